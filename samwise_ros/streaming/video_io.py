"""Frames in from video files, folders and pictures, one by one. No torch, no ROS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samwise_ros.streaming.pictures import (
    IMAGE_SUFFIXES,
    DamagedPictureError,
    count_pages,
    first_with_pages,
    is_picture,
    list_pictures,
    read_pages,
    read_picture,
)
from samwise_ros.streaming.video_file import FALLBACK_RATE, VideoFile, VideoFrame
from samwise_ros.structures import FrameError
from samwise_ros.user_files import real_path

_STORED = "JPEGImages"  # every data set's folder of frames


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        name: File stem in a folder, five-digit number in a video.
        rgb: uint8 [H, W, 3].
        index: Its place, from 0; damaged frames have places, too.
        time: Seconds since the first frame.
        stamp: Nanoseconds of the camera's clock; None where only `time` is known.
    """

    name: str
    rgb: np.ndarray
    index: int
    time: float
    stamp: int | None = None


class FrameSource:
    """A video file, a folder of pictures or one picture file, read from the start each time.

    Folders are read in natural order (2 before 10), without hidden files. Pictures are turned as
    their EXIF says, as people see them; below a folder `JPEGImages` they are read as stored, since
    masks of data sets are. A frame that is damaged is left out and noted; the others keep their
    numbers and times.

    Args:
        path: File or folder.
        limit: Read no frame from this number on.

    Attributes:
        name: Name of the video: the file's stem or the folder's name.
        rate: Frames per second on average (25 where nothing says).
        count: Number of frames, None where a container does not say. May be wrong for a damaged
            video.
        damaged: Name -> fault of each frame that the latest reading left out.

    Raises:
        FrameError: Nothing is there, or what is there holds no frame that can be decoded.
    """

    def __init__(self, path: str | Path, limit: int | None = None) -> None:
        self.path, self.limit = Path(path), limit
        self.rate = FALLBACK_RATE
        self.count: int | None = None
        self.damaged: dict[str, str] = {}
        self.name = _name_of(self.path)
        self._names: list[str] = []
        places = {*self.path.absolute().parts, *real_path(self.path).parts}
        self._entries = self._open(upright=_STORED not in places)
        if self.count is not None and limit is not None:
            self.count = min(self.count, limit)

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order.

        Raises FrameError when none can be decoded, or for a picture of a kind that is not read.
        """
        self.damaged = damaged = {}
        found = False
        for entry in self._entries:
            if self.limit is not None and entry.number >= self.limit:
                break
            name = self._names[entry.number] if self._names else f"{entry.number:05d}"
            if entry.rgb is None or entry.time is None:
                damaged[name] = entry.fault
                continue
            found = True
            yield Frame(name, entry.rgb, entry.number, entry.time)
        if not found:
            raise FrameError(f"{self.path}: no frame of it can be decoded "
                             f"({next(iter(damaged.values()), 'it is empty')})")

    def _open(self, upright: bool) -> Iterable[VideoFrame]:
        if self.path.is_dir():
            return self._pictures(_pictures_of(self.path), upright)
        if not self.path.is_file():
            raise FrameError(f"{self.path}: no such video, image or folder")
        if not is_picture(self.path):
            if self.path.suffix.lower() in IMAGE_SUFFIXES:
                read_picture(self.path)  # raises and says why
            video = VideoFile(self.path)
            self.rate, self.count = video.rate, video.count
            return video
        if (count := count_pages(self.path)) > 1:
            self.count = count
            first = next(read_pages(self.path))
            self.rate = 1 / (getattr(first, "duration", None) or 1 / FALLBACK_RATE)
            return _Pages(self.path, upright)
        return self._pictures([self.path], upright)

    def _pictures(self, files: list[Path], upright: bool) -> Iterable[VideoFrame]:
        self.count, self._names = len(files), [path.stem for path in files]
        return _Pictures(files, upright)


@dataclass(frozen=True)
class _Pictures:
    """One frame per file, at the fallback rate."""

    files: list[Path]
    upright: bool

    def __iter__(self) -> Iterator[VideoFrame]:
        for number, path in enumerate(self.files):
            try:
                rgb = read_picture(path, self.upright)
            except DamagedPictureError as error:
                yield VideoFrame(number, fault=str(error))
            else:
                yield VideoFrame(number, number / FALLBACK_RATE, rgb)


@dataclass(frozen=True)
class _Pages:
    """The pictures of one file, each shown as long as the file says."""

    file: Path
    upright: bool

    def __iter__(self) -> Iterator[VideoFrame]:
        time = 0.0
        for number, page in enumerate(read_pages(self.file, self.upright)):
            if isinstance(page, DamagedPictureError):
                yield VideoFrame(number, fault=str(page))
                time += 1 / FALLBACK_RATE
            else:
                yield VideoFrame(number, time, page.rgb)
                time += page.duration or 1 / FALLBACK_RATE


def _name_of(path: Path) -> str:
    """What a video is called in results; never a name that leads elsewhere ("/", "...mp4")."""
    name = real_path(path).name if path.is_dir() else path.stem
    return name if name.strip(".") else "video"


def _pictures_of(folder: Path) -> list[Path]:
    """Picture files in order. Raises FrameError: none, two of one stem, several frames in one."""
    files = list_pictures(folder)
    if not files:
        raise FrameError(f"{folder}: no images ({' '.join(IMAGE_SUFFIXES)}) in this folder")
    stems: dict[str, Path] = {}
    for path in files:
        if path.stem in stems:
            raise FrameError(f"{folder}: {stems[path.stem].name} and {path.name} would be written "
                             "to one mask file; keep one of them")
        stems[path.stem] = path
    if (several := first_with_pages(files)) is not None:
        read_picture(several)  # raises and says what to do
    return files
