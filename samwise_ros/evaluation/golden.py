"""Recordings of the official code ("goldens"), the frames and names that they refer to."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samwise_ros.evaluation.name_hash import Calibration, Entry
from samwise_ros.structures import DataError

# crc32 of the decoded BGR bytes of the sample video, as the recorder saw them.
SAMPLE_VIDEO = "example_video.mp4"
SAMPLE_CRC = {0: "00dff6ca", 19: "ac22b758", 25: "9c28daa9", 30: "8d418e59", 44: "a58fd808"}


@dataclass(frozen=True)
class Header:
    """What was recorded.

    Attributes:
        size: Model size. salt, calibration: Of the weights. text: The expression.
        first_frame, frames: Which frames of the video. clip_window: Frames per window.
        original_hw, input_hw: Frame size as decoded, and resized before padding.
        video: File name in the folder of samples.
    """

    size: str
    salt: str
    text: str
    first_frame: int
    frames: int
    clip_window: int
    original_hw: tuple[int, int]
    input_hw: tuple[int, int]
    calibration: Calibration
    video: str = SAMPLE_VIDEO

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Header:
        """Read the `header` of a recording's `meta`; entries that are not needed are ignored."""
        return cls(
            str(values["size"]), str(values["salt"]), str(values["text"]),
            int(values["first_frame"]), int(values["frames"]), int(values["clip_window"]),
            tuple(values["original_hw"]), tuple(values["input_hw"]),
            dict(values.get("calibration") or {}), str(values.get("video", SAMPLE_VIDEO)))


@dataclass(frozen=True)
class KeyInfo:
    """One recorded array: what is stored is `full[::s0, ::s1, ...]`.

    Attributes:
        full_shape: Shape of the whole tensor.
        strides: One step per dimension.
        std: Standard deviation of the whole tensor; 0 for constants and for exact values.
    """

    full_shape: tuple[int, ...]
    strides: tuple[int, ...]
    std: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> KeyInfo:
        """Read one entry of `meta["keys"]`."""
        shape = tuple(int(side) for side in values["full_shape"])
        strides = tuple(values.get("strides") or (1,) * len(shape))
        return cls(shape, strides, float((values.get("stats") or {}).get("std", 0.0)))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index that picks the stored elements."""
        return tuple(slice(None, None, step) for step in self.strides)


@dataclass(frozen=True)
class Golden:
    """A recording in memory.

    Attributes:
        path: The file. header: What was recorded.
        keys: Name -> shape, strides, spread. arrays: Name -> recorded values.
    """

    path: Path
    header: Header
    keys: dict[str, KeyInfo]
    arrays: dict[str, np.ndarray]

    @property
    def frame_offset(self) -> int:
        """Number that the first frame has in the names (`frame000/...`)."""
        numbers = [int(found[1]) for name in self.keys if (found := re.match(r"frame(\d+)/", name))]
        return min(numbers, default=0)


def read_golden(path: Path | str) -> Golden:
    """Read a `.npz` recording. Raises DataError for anything else."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        header = Header.from_dict(meta["header"])
        keys = {name: KeyInfo.from_dict(info) for name, info in meta["keys"].items()}
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataError(f"{path} is not a recording of the official code: {error!r}") from error
    absent = sorted(set(keys) ^ set(arrays))
    if absent:
        raise DataError(f"{path}: header and arrays differ in {', '.join(absent[:5])}")
    return Golden(path, header, keys, arrays)


def find_assets(given: Path | None) -> Path:
    """The folder with `goldens/`, `samples/`, `tokenizer/`: as given, else `../shared`.

    Raises DataError when it is not there.
    """
    if given is not None:
        candidates = [given]
    else:
        checkout = Path(__file__).resolve().parents[2]
        candidates = [Path("../shared"), checkout.parent / "shared"]
    for folder in candidates:
        if (folder / "samples").is_dir() and (folder / "tokenizer").is_dir():
            return folder
    raise DataError(f"no assets in {' or '.join(map(str, candidates))}: expected a folder with "
                    "goldens/, samples/ and tokenizer/; name it with --assets")


def read_official_entries(path: Path) -> dict[str, Entry]:
    """Names, shapes and dtypes of an `official_keys_*.json`. Raises DataError."""
    try:
        keys = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return {name: Entry(tuple(info["shape"]), info.get("dtype", "float32"))
                for name, info in keys.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read the official names in {path}: {error!r}") from error


def read_frames(path: Path, first: int, count: int) -> tuple[list[np.ndarray], dict[int, str]]:
    """Decode frames `first` .. `first + count - 1` of a video.

    Returns uint8 [H, W, 3] RGB frames, and frame number -> crc32 of the decoded BGR bytes.
    Raises DataError when the video is absent or too short.
    """
    # OpenCV, whose pixels were recorded; it ends the process over a path that is no Unicode.
    name = os.fsencode(path).decode("utf-8", "replace")
    capture = cv2.VideoCapture(name)
    if not capture.isOpened():
        raise DataError(f"cannot open the video {path}")
    frames, checks = [], {}
    try:
        for index in range(first + count):  # decoded in order: seeking is not exact
            found, bgr = capture.read()
            if not found:
                raise DataError(f"{path} ends after {index} frames; "
                                f"the recording needs {first + count}")
            if index >= first:
                checks[index] = f"{zlib.crc32(np.ascontiguousarray(bgr).data):08x}"
                frames.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    finally:
        capture.release()
    return frames, checks
