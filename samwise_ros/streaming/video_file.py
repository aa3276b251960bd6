"""Video files, read and written with FFmpeg through PyAV: every codec, frame times, damage by name.

Files are opened by Python and handed over, so any name works: FFmpeg would read protocols
(`pipe:0`) and patterns (`%05d`) into some.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition

from samwise_ros.streaming.pictures import check_size
from samwise_ros.structures import FrameError

FALLBACK_RATE = 25.0  # frames per second, for folders and for containers that don't say
_TICKS = 60000  # of a second: exact for 24, 25, 30, 50, 60 and 29.97, and MPEG-4 allows 65535
_SMALLEST_SIDE = 16  # encoders refuse less, and crop odd sides
_CODEC_FOR_ALL = "libx264" in av.codecs_available  # plays everywhere; not in every build of FFmpeg
_REMEDY = ("If it plays elsewhere, make a copy with `ffmpeg -i FILE -c:v libx264 out.mp4`, or give "
           "a folder of frames.")
_LONGEST_LAST = 5  # times the longest other frame that the last one may be shown
_RIFF_HEADER = 8  # bytes between an AVI chunk's place in the index and its data


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a file.

    Attributes:
        number: Its place in the video, from 0, damaged frames counted.
        time: Seconds since the first frame; None for a damaged one.
        rgb: uint8 [H, W, 3], turned upright; None for a damaged one.
        fault: What is wrong with a damaged one.
    """

    number: int
    time: float | None = None
    rgb: np.ndarray | None = None
    fault: str = ""


class VideoFile:
    """A video file that can be read any number of times.

    Attributes:
        rate: Frames per second on average.
        count: Number of frames, None where the container does not say.

    Raises:
        FrameError: It is no video, or its codec cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as (_, stream):
            rate = float(stream.average_rate or stream.guessed_rate or 0)
            self.rate = rate if 0 < rate < 1000 else FALLBACK_RATE
            seconds = _announced_seconds(stream) or 0
            self.count = stream.frames or round(seconds * self.rate) or None
            codec = stream.codec_context.name
        if all(frame.rgb is None for frame in self):
            raise FrameError(f"{path}: no frame of this {codec} video can be decoded. {_REMEDY}")

    def __iter__(self) -> Iterator[VideoFrame]:
        """Frames in the order of showing, damaged ones in their places."""
        with self._opened() as (container, stream):
            yield from _Decoding(container, stream).frames()

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """(container, first video stream). Raises FrameError."""
        try:
            with self.path.open("rb") as file, av.open(
                    file, metadata_errors="replace") as container:
                yield container, self._video_stream(container)
        except (FFmpegError, OSError) as error:
            raise FrameError(f"{self.path}: holds no frame that can be read, neither as a picture "
                             f"nor as a video ({_reason(error)}). {_REMEDY}") from error

    def _video_stream(self, container: Any) -> Any:
        streams = [entry for entry in container.streams.video
                   if not entry.disposition & Disposition.attached_pic]  # album covers
        if not streams:
            raise FrameError(f"{self.path}: holds no video")
        if streams[0].codec_context is None:
            raise FrameError(f"{self.path}: this FFmpeg does not know its codec. {_REMEDY}")
        try:
            check_size(streams[0].width, streams[0].height)
        except FrameError as error:
            raise FrameError(f"{self.path}: {error}") from error
        return streams[0]


class _Decoding:
    """One pass over a stream.

    A packet that cannot be decoded leaves its time behind; when a frame shown later comes out, the
    numbers between are known to be damaged. Packets that never show (alternate references) or that
    hold half a frame do not count, since nothing went wrong with them.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self._failed: list[int] = []  # times of showing, a heap
        self._number = self._packets = 0
        self._first: int | None = None
        self._last = self._longest = 0
        self._places = _places_in_index(container, stream)
        self._next_place = 0

    def frames(self) -> Iterator[VideoFrame]:
        """See `VideoFile.__iter__`."""
        for packet in self._demuxed():
            for frame in self._decoded(packet):
                yield from self._before(frame.pts)
                yield self._shown(frame)
        yield from self._before(None)
        yield from self._cut_off()

    def _demuxed(self) -> Iterator[Any]:
        try:
            for packet in self._container.demux(self._stream):
                self._packets += bool(packet.size)
                self._number_by_index(packet)
                yield packet
        except FFmpegError:  # what is missing at the end shows in the count
            return

    def _number_by_index(self, packet: Any) -> None:
        """An AVI file numbers frames by counting what it finds; its index knows what it should."""
        place = self._places.get(packet.pos) if packet.size else None
        if place is None:
            return
        for lost in range(self._next_place, place):
            heapq.heappush(self._failed, lost)
        self._packets += max(0, place - self._next_place)
        packet.pts = packet.dts = place
        self._next_place = place + 1

    def _decoded(self, packet: Any) -> list[Any]:
        if packet.is_corrupt and packet.pts is not None:
            heapq.heappush(self._failed, packet.pts)
        try:
            return packet.decode()
        except FFmpegError:
            if packet.pts is not None and packet.pts not in self._failed:
                heapq.heappush(self._failed, packet.pts)
            return []

    def _before(self, time: int | None) -> Iterator[VideoFrame]:
        """Damaged frames that should have been shown before `time`, by default all."""
        while self._failed and (time is None or self._failed[0] < time):
            self._last = heapq.heappop(self._failed)
            yield self._damaged("cannot be decoded")

    def _shown(self, frame: Any) -> VideoFrame:
        pts = frame.pts
        if pts is not None:
            self._longest = max(self._longest, pts - self._last if self._number else 0)
            self._last = pts
        if frame.is_corrupt or (self._failed and self._failed[0] == pts):
            while self._failed and self._failed[0] == pts:
                heapq.heappop(self._failed)
            return self._damaged("only parts of it can be decoded")
        if self._first is None:
            self._first = pts or 0
        number, self._number = self._number, self._number + 1
        time = (number / FALLBACK_RATE if pts is None
                else float((pts - self._first) * self._stream.time_base))
        rgb = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        return VideoFrame(number, max(0.0, time), np.ascontiguousarray(rgb))

    def _damaged(self, fault: str) -> VideoFrame:
        number, self._number = self._number, self._number + 1
        return VideoFrame(number, fault=fault)

    def _cut_off(self) -> Iterator[VideoFrame]:
        """Frames that the header announces and the file does not hold."""
        missing = self._stream.frames - self._packets
        if _holds_its_index(self._container, self._stream):
            missing = 0  # frames that an editor trimmed are announced, too
        announced = _announced_seconds(self._stream)
        if not self._stream.frames and announced and self._first is not None:
            seconds = announced - float((self._last - self._first) * self._stream.time_base)
            longest = float(self._longest * self._stream.time_base)
            if seconds > _LONGEST_LAST * longest:  # the last frame of a changing rate may be long
                missing = round(seconds * float(self._stream.average_rate or FALLBACK_RATE)) - 1
        for _ in range(max(0, missing)):
            yield self._damaged("missing: the file is damaged or was cut off")


def _holds_its_index(container: Any, stream: Any) -> bool:
    """Whether an MP4 or MOV file is long enough for all frames that are to be shown."""
    return "mov" in container.format.name and bool(len(stream.index_entries)) and all(
        entry.pos + entry.size <= container.size for entry in stream.index_entries)


def _places_in_index(container: Any, stream: Any) -> dict[int, int]:
    if container.format.name != "avi" or len(stream.index_entries) != stream.frames:
        return {}
    return {entry.pos + _RIFF_HEADER: entry.timestamp for entry in stream.index_entries}


def _announced_seconds(stream: Any) -> float | None:
    """Length of a Matroska or WebM stream, from the tag that their writers leave."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class VideoWriter:
    """Writes RGB frames as MP4 with their own times; valid after `close` (`contextlib.closing`).

    The first frame sets the size. Odd and very small sides are extended by repeating the edge,
    since encoders would crop or refuse them; later frames of another size are resized. A file that
    exists is replaced: see `user_files.claim_outputs`.

    Args:
        path: Where to write.
        rate: Frames per second of frames that come without a time.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path = Path(path)
        self.rate = rate
        self._file: IO[bytes] | None = None
        self._size = (0, 0)
        self._ticks = -1

    def write(self, rgb: np.ndarray, time: float | None = None) -> None:
        """Append one frame, shown at `time` seconds; by default 1/rate after the one before.

        Raises FrameError when the file cannot be written.
        """
        rgb = _even_sides(rgb)
        if self._file is None:
            self._open((rgb.shape[1], rgb.shape[0]))
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            rgb = np.asarray(cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        step = round(_TICKS / self.rate) if self._ticks >= 0 else 1
        wanted = self._ticks + step if time is None else round(time * _TICKS)
        frame.pts = self._ticks = max(wanted, self._ticks + 1)
        frame.time_base = Fraction(1, _TICKS)
        self._encode(frame)

    def close(self) -> None:
        """Finish the file; harmless when repeated."""
        if self._file is None:
            return
        try:
            self._encode(None)
            self._container.close()
        finally:
            self._file.close()
            self._file = None

    def _open(self, size: tuple[int, int]) -> None:
        self._size = size
        try:
            self._file = self.path.open("wb")
        except OSError as error:
            raise FrameError(f"{self.path}: cannot write this video ({error.strerror})") from error
        self._container = av.open(self._file, "w", format="mp4")
        codec, options = ("libx264", {"preset": "veryfast"}) if _CODEC_FOR_ALL else ("mpeg4", {})
        stream: Any = self._container.add_stream(  # of video, by the codec's name
            codec, rate=Fraction(self.rate).limit_denominator(1001), options=options)
        stream.width, stream.height = size
        if not _CODEC_FOR_ALL:
            stream.bit_rate = round(size[0] * size[1] * self.rate / 4)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise FrameError(f"{self.path}: cannot write this video ({_reason(error)})") from error


def _even_sides(rgb: np.ndarray) -> np.ndarray:
    height, width = (max(_SMALLEST_SIDE, side + side % 2) for side in rgb.shape[:2])
    below, right = height - rgb.shape[0], width - rgb.shape[1]
    if below == right == 0:
        return rgb
    return cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
