"""Frames in from video files, folders and images; videos out. No torch, no ROS.

All frames are uint8 [H, W, 3] RGB here; OpenCV's BGR order stays inside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from samwise_ros.structures import FrameError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
FALLBACK_RATE = 25.0  # frames per second, for folders and for containers that don't say
_SMALLEST_SIDE = 16  # MPEG-4 encoders refuse less, and crop odd sides


@dataclass(frozen=True)
class Frame:
    """One frame. `name`: file stem in a folder, five-digit number in a video. `rgb`: [H, W, 3]."""

    name: str
    rgb: np.ndarray


class FrameSource:
    """A video file, a folder of images or one image, read frame by frame, from the start each time.

    Args:
        path: File or folder.
        limit: Read at most this many frames.

    Attributes:
        name: Name of the video: the file's stem or the folder's name.
        rate: Frames per second (25 where nothing says).
        count: Number of frames, None where a container does not say. May be wrong for a damaged
            video.

    Raises:
        FrameError: Nothing is there, or what is there holds no frame that can be decoded.
    """

    def __init__(self, path: str | Path, limit: int | None = None) -> None:
        self.path, self.limit = Path(path), limit
        self.rate, self.count = FALLBACK_RATE, None
        self.name = self.path.resolve().name if self.path.is_dir() else self.path.stem
        self._images: list[Path] | None = None
        if self.path.is_dir():
            self._images = _sorted_images(self.path)
        elif not self.path.is_file():
            raise FrameError(f"{self.path}: no such video, image or folder")
        elif self.path.suffix.lower() in IMAGE_SUFFIXES:
            self._images = [self.path]
        else:
            self._probe_video()
        if self._images is not None:
            self.count = len(self._images)
        if self.count is not None and limit is not None:
            self.count = min(self.count, limit)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order. Raises FrameError for an image that cannot be decoded."""
        if self._images is not None:
            frames = (Frame(path.stem, read_image(path)) for path in self._images)
        else:
            frames = (Frame(f"{index:05d}", rgb)
                      for index, rgb in enumerate(_read_video(self.path)))
        return islice(frames, self.limit)

    def _probe_video(self) -> None:
        if next(_read_video(self.path), None) is None:
            raise FrameError(f"{self.path}: holds no frame that OpenCV can decode; expected a "
                             f"video or an image ({' '.join(IMAGE_SUFFIXES)})")
        capture = cv2.VideoCapture(str(self.path))
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self.rate = rate if 0 < rate < 1000 else FALLBACK_RATE
        self.count = count if count > 0 else None


def _sorted_images(folder: Path) -> list[Path]:
    """Image files by name. Raises FrameError when there are none or two would share a stem."""
    images = sorted(path for path in folder.iterdir()
                    if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not images:
        raise FrameError(f"{folder}: no images ({' '.join(IMAGE_SUFFIXES)}) in this folder")
    stems: dict[str, Path] = {}
    for path in images:
        if path.stem in stems:
            raise FrameError(f"{folder}: {stems[path.stem].name} and {path.name} would be written "
                             "to one mask file; keep one of them")
        stems[path.stem] = path
    return images


def read_image(path: Path) -> np.ndarray:
    """uint8 [H, W, 3] RGB of an image file, upright. Raises FrameError."""
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FrameError(f"{path}: not a readable image ({error})") from error


def _read_video(path: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            readable, bgr = capture.read()
            if not readable:
                return
            yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


class VideoWriter:
    """Writes RGB frames as MPEG-4. The file is valid after `close` (use `contextlib.closing`).

    The first frame sets the size. Odd and very small sides are extended by repeating the edge, since
    encoders would crop or refuse them; later frames of another size are resized.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path = Path(path)
        self.rate = rate
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, rgb: np.ndarray) -> None:
        """Append one frame. Raises FrameError when OpenCV cannot write the file."""
        rgb = _even_sides(rgb)
        if self._writer is None:
            self._size = (rgb.shape[1], rgb.shape[0])
            self._writer = cv2.VideoWriter(
                str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), self.rate, self._size)
            if not self._writer.isOpened():
                raise FrameError(f"{self.path}: OpenCV cannot write this video; expected a "
                                 "writable .mp4 path")
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            rgb = cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA)
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file; harmless when repeated."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None


def _even_sides(rgb: np.ndarray) -> np.ndarray:
    height, width = (max(_SMALLEST_SIDE, side + side % 2) for side in rgb.shape[:2])
    below, right = height - rgb.shape[0], width - rgb.shape[1]
    if below == right == 0:
        return rgb
    return cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 [H, W] grey or [H, W, 3] RGB so that the file is either whole or absent."""
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(pixels).save(partial, format="PNG")
    partial.replace(path)
