"""Reading of the files that data sets are made of, with errors that name file and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from samwise_ros.streaming.pictures import read_picture
from samwise_ros.structures import DataError, FrameError
from samwise_ros.user_files import decode_text, load_json

_KINDS = {dict: "an object {...}", list: "a list [...]", str: "a text", int: "a whole number",
          float: "a number"}


def require_file(path: Path, remedy: str) -> Path:
    """Return `path` when it is a file. Raises DataError with the remedy when it is not."""
    if not path.is_file():
        raise DataError(f"{path}: no such file. {remedy}")
    return path


def require_dir(path: Path, remedy: str) -> Path:
    """Return `path` when it is a folder. Raises DataError with the remedy when it is not."""
    if not path.is_dir():
        raise DataError(f"{path}: no such folder. {remedy}")
    return path


def read_json(path: Path, remedy: str) -> Any:
    """Content of a JSON file. Raises DataError when it is missing or not JSON."""
    require_file(path, remedy)
    try:
        return load_json(path)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}). The file is damaged or was not "
                        "downloaded completely: fetch it again.") from error


def read_lines(path: Path, remedy: str, encoding: str = "utf-8") -> list[str]:
    """Lines of a text file. Raises DataError when it is missing or in another encoding."""
    require_file(path, remedy)
    try:
        return decode_text(path.read_bytes(), encoding).splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text in {encoding} ({error}). {remedy}") from error


def read_field(record: Any, key: str, path: Path, where: str,
               kind: type | tuple[type, ...] = object) -> Any:
    """`record[key]`, of type `kind`. Raises DataError naming the file when it is not there."""
    if not isinstance(record, dict) or key not in record:
        found = ", ".join(sorted(record)[:8]) if isinstance(record, dict) else type(record).__name__
        raise DataError(f"{path}: {where} has no {key!r} (found: {found}). "
                        "Is this the file of another data set or split?")
    return typed(record[key], kind, f"{path}: {key!r} of {where}")


def typed(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """`value`, if it is of type `kind`; true and false are no numbers. Raises DataError."""
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not object):
        return value
    kinds = kind if isinstance(kind, tuple) else (kind,)
    raise DataError(f"{where}: expected {' or '.join(_KINDS[entry] for entry in kinds)}, got "
                    f"{str(value)[:60]!r}. Is this the file of another data set or split?")


def whole_number(value: Any, where: str) -> int:
    """A number of JSON, written as one or as a text. Raises DataError, beginning with `where`."""
    if not str(typed(value, (int, str), where)).isdecimal():
        raise DataError(f"{where}: expected a whole number, got {value!r}. Fetch the file again.")
    return int(value)


def read_rgb(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB of an image file as stored, as masks are. Raises DataError."""
    require_file(path, "Unpack the images of this data set completely.")
    try:
        return read_picture(path, upright=False)
    except FrameError as error:
        raise DataError(f"{error}. Unpack it from its archive again.") from error


def read_indexed(path: Path) -> np.ndarray:
    """uint8 [H, W] indices of a palette or grey PNG. Raises DataError."""
    require_file(path, "Unpack the annotations of this data set completely.")
    try:
        with Image.open(path) as image:
            indices = np.array(image)
    except Exception as error:  # Pillow's readers raise many types for damaged files
        raise DataError(f"{path}: not a readable PNG ({error}). Unpack it again.") from error
    if indices.ndim != 2 or indices.dtype != np.uint8:
        raise DataError(f"{path}: expected a palette or grey 8-bit PNG, got {indices.dtype} "
                        f"{indices.shape}. Do not convert annotations to colour images.")
    return indices


def image_size(path: Path) -> tuple[int, int]:
    """(H, W) of an image file as stored, from its header alone. Raises DataError."""
    require_file(path, "Unpack the images of this data set completely.")
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception as error:  # as in `read_indexed`
        raise DataError(f"{path}: not a readable image ({error}). Unpack it again.") from error


def decode_rle(rle: Any, where: str) -> np.ndarray:
    """uint8 [H, W] of 0 and 1 from a COCO run-length code, compressed or as a list of counts.

    Raises DataError, beginning with `where`, when the code is not one.
    """
    if not isinstance(rle, dict) or "size" not in rle or "counts" not in rle:
        raise DataError(f"{where}: expected a COCO RLE with 'size' and 'counts', got "
                        f"{str(rle)[:60]!r}. Fetch the mask file again.")
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        if isinstance(counts, list):
            counts = coco_mask.frPyObjects({"size": [height, width], "counts": counts},
                                           height, width)["counts"]
        # pycocotools leaves uninitialised memory where the runs end early, so count them first.
        total = _total_of_runs(counts.encode() if isinstance(counts, str) else counts)
        if total != height * width:
            raise ValueError(f"runs cover {total} pixels, the size is {height}x{width}")
        return coco_mask.decode({"size": [height, width], "counts": counts})
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{where}: wrong RLE ({error}). Fetch the mask file again.") from error


def _total_of_runs(counts: bytes) -> int:
    """Pixels covered by a compressed COCO code.

    The format: numbers in groups of 5 bits, lowest first, bit 5 says that more follow, bit 4 of
    the last group is the sign; from the fourth number on, differences to the number two before.
    """
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(groups):
        return 0
    last = (groups & 0x20) == 0
    starts = np.flatnonzero(np.concatenate(([True], last[:-1])))
    place = np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))
    parts = (groups & 0x1F) << (5 * place)
    parts -= np.where(last & ((groups & 0x10) != 0), np.int64(32) << (5 * place), 0)
    numbers = np.add.reduceat(parts, starts)
    return int(numbers[0] + numbers[1::2].cumsum().sum() + numbers[2::2].cumsum().sum())


def check_same_size(mask: tuple[int, ...], frame: tuple[int, ...], where: str) -> None:
    """Raises DataError unless (H, W) of a mask equals that of its frame."""
    if tuple(mask[-2:]) != tuple(frame[:2]):
        raise DataError(f"{where}: mask of {mask[-2]}x{mask[-1]} pixels for a frame of "
                        f"{frame[0]}x{frame[1]} (height x width). Images and masks come from "
                        "different resolutions of the data set: take both from one.")
