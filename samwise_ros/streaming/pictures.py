"""Picture files: which of a folder's files are frames, in which order, and their pixels.

The one place that opens pictures. Pillow reads them, by content and not by suffix. The node's
compressed images, whose `camera_info` knows no orientation, are decoded in `ros/inputs`; how large
a picture may be is judged here for both, by its header: few bytes can claim to be many gigabytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from samwise_ros.structures import FrameError
from samwise_ros.user_files import whole_file

IMAGE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".avif",
                  ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2")
_MAY_HAVE_PAGES = frozenset({".png", ".apng", ".webp", ".avif", ".gif", ".tif", ".tiff"})
# Pictures that people have, and that would otherwise be left out without a word.
_NOT_READ = frozenset({".heic", ".heif", ".jxl", ".exr", ".hdr", ".psd", ".svg", ".dng", ".cr2",
                       ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"})
_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "WEBP", "AVIF", "GIF", "TIFF", "PPM", "JPEG2000")
_BITS, _POLARITY, _SUBFILE = 258, 262, 254  # TIFF tags
# The largest cameras have 100 million; this many take 400 MB as 8-bit RGB.
MAX_PIXELS = 2**27
_REMEDY = "Convert it to an 8-bit PNG or JPEG."


class DamagedPictureError(FrameError):
    """A picture file is cut off, damaged, or none at all."""


@dataclass(frozen=True)
class Page:
    """One picture of a file. `duration`: seconds that it is shown, None where nothing says."""

    rgb: np.ndarray
    duration: float | None


def check_size(width: int, height: int) -> None:
    """Raise FrameError for a picture of more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise FrameError(f"{width}x{height} pixels are more than {MAX_PIXELS / 1e6:.0f} million, "
                         "the most that is decoded")


def header_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the header of a picture file says. Raises DamagedPictureError.

    JPEG 2000 counts as damaged: its size stands in two places, which may differ.
    """
    image = _open(io.BytesIO(data), "compressed image", omit="JPEG2000")
    return image.width, image.height


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts names as people count: frame2 before frame10, whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def list_pictures(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Picture files of a folder in natural order; hidden ones (`._0.png`) are no frames.

    Raises FrameError for a picture in a format that is not read.
    """
    # Links that lead nowhere stay, to be named when they are read. Pipes and devices do not:
    # opening one may wait for ever.
    files = [path for path in folder.iterdir() if not path.name.startswith(".")
             and (path.is_file() or not path.exists())]
    for path in files:
        if path.suffix.lower() in _NOT_READ:
            raise FrameError(f"{path}: this format is not read. {_REMEDY}")
    return sorted((path for path in files if path.suffix.lower() in suffixes),
                  key=lambda path: natural_key(path.name))


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, complete or not, whatever its name says."""
    try:
        with _open(path, path):
            return True
    except DamagedPictureError:
        return False


def count_pages(path: Path) -> int:
    """Number of pictures in a file, previews not counted. Raises DamagedPictureError."""
    with _open(path, path) as image:
        return len(_pages(image, path))


def first_with_pages(paths: Iterable[Path]) -> Path | None:
    """The first file that holds several pictures, or None; damaged ones are passed over."""
    for path in paths:
        if path.suffix.lower() in _MAY_HAVE_PAGES and is_picture(path):
            try:
                if count_pages(path) > 1:
                    return path
            except DamagedPictureError:
                continue
    return None


def read_picture(path: Path, upright: bool = True) -> np.ndarray:
    """uint8 [H, W, 3] RGB of a file with one picture.

    Args:
        path: The file.
        upright: Turn it as its EXIF orientation says: photos as people see them. False: as stored,
            which is the frame of reference of every data set's masks.

    16-bit values are scaled to 8; transparency is ignored, as in a camera's rgba8. Raises
    DamagedPictureError; FrameError for several pictures or for values that have no fixed white.
    """
    with _open(path, path) as image:
        pages = _pages(image, path)
        if len(pages) > 1:
            raise FrameError(f"{path}: holds {len(pages)} pictures. Give this file alone, as a "
                             "video, or take it apart into one file per frame.")
        return _load(image, pages[0], path, upright)


def read_pages(path: Path, upright: bool = True) -> Iterator[Page | DamagedPictureError]:
    """All pictures of one file in order; an error in place of one that is damaged.

    Arguments and errors as for `read_picture`.
    """
    with _open(path, path) as image:
        for number in _pages(image, path):
            try:
                rgb = _load(image, number, path, upright)
            except DamagedPictureError as error:
                yield error
                continue
            milliseconds = image.info.get("duration")
            yield Page(rgb, milliseconds / 1000 if milliseconds else None)


def _open(file: Path | io.BytesIO, name: object, omit: str = "") -> Image.Image:
    """Read a header. Raises DamagedPictureError, and FrameError where Pillow finds it too large."""
    Image.init()
    # AVIF needs a newer Pillow
    formats = [kind for kind in _FORMATS if kind in Image.OPEN and kind != omit]
    try:
        return Image.open(file, formats=formats)
    except Image.DecompressionBombError as error:
        raise FrameError(f"{name}: {error}") from error
    except Exception as error:  # Pillow's readers raise many types for damaged files
        raise _damaged(name, error) from error


def _damaged(name: object, error: Exception) -> DamagedPictureError:
    return DamagedPictureError(f"{name}: not a readable image ({error})")


def _pages(image: Image.Image, path: Path) -> list[int]:
    """Numbers of the pictures that a viewer shows."""
    if image.format == "MPO":  # of phones and 3D cameras: the others are previews and second eyes
        return [0]
    try:
        every = range(getattr(image, "n_frames", 1))
        if not isinstance(image, TiffImagePlugin.TiffImageFile) or len(every) == 1:
            return list(every)
        return [number for number in every if not _is_preview(image, number)] or [0]
    except Exception as error:  # as in `_open`
        raise _damaged(path, error) from error


def _is_preview(image: TiffImagePlugin.TiffImageFile, number: int) -> bool:
    image.seek(number)
    return bool(image.tag_v2.get(_SUBFILE, 0) & 1)


def _load(image: Image.Image, page: int, path: Path, upright: bool) -> np.ndarray:
    try:
        image.seek(page)
        check_size(*image.size)
        image.load()
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error
    except Exception as error:  # as in `_open`
        raise _damaged(path, error) from error
    try:
        rgb = _to_rgb(image)
    except ValueError as error:
        raise FrameError(f"{path}: {error}. {_REMEDY}") from error
    if upright:
        rgb = np.asarray(ImageOps.exif_transpose(_with_exif_of(image, rgb)))
    return np.array(rgb)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Pixels of the current page. Raises ValueError for modes without fixed white or RGB."""
    wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if not wide:
        if image.mode in ("I", "F"):
            raise ValueError(f"holds {'32-bit' if image.mode == 'I' else 'floating point'} values, "
                             "and nothing says which of them is white")
        return np.asarray(image.convert("RGB"))
    tags = getattr(image, "tag_v2", {})
    white = (1 << int(np.max(tags.get(_BITS, 16)))) - 1
    grey = np.minimum(np.asarray(image).astype(np.uint32), white)
    grey = ((grey * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(_POLARITY) == 0:  # white is zero
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=2)


def _with_exif_of(image: Image.Image, rgb: np.ndarray) -> Image.Image:
    turned = Image.fromarray(rgb)
    turned.getexif()[0x0112] = image.getexif().get(0x0112, 1)
    return turned


def write_encoded(path: Path, bgr: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write BGR or grey pixels with OpenCV's encoder for the suffix. Raises OSError."""
    path.write_bytes(cv2.imencode(path.suffix, bgr, list(options))[1].tobytes())


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W] grey or [H, W, 3] RGB so that the file is either whole or absent."""
    with whole_file(path) as part:
        Image.fromarray(pixels).save(part, format="PNG")
