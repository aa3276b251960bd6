"""Pairs a frame's answer with its depth image and camera_info by stamp. Standard library only.

The mask must not wait for depth, so this is a join of two streams rather than a synchroniser in
front of the model: whichever of answer and depth comes second completes the pair. Both sides
are bounded.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from samwise_ros.structures import ConfigError

Answer = TypeVar("Answer")
Depth = TypeVar("Depth")
Info = TypeVar("Info")
Item = TypeVar("Item")

_SHARE = 0.45  # of a period: below half of it no depth belongs to two images
_FIRST = 15_000_000  # ns, until there is a period: below half of that at 30 Hz
_MOST = 100_000_000  # ns
_PERIODS = 9  # that the median is taken of


class StampLike(Protocol):
    """The fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


class StampedBuffer(Generic[Item]):
    """The items that came last, at most `size` of them, to be found by stamp.

    Last by arrival: a single stamp from the far future would otherwise keep its place for good.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ConfigError(f"size: expected >= 1, got {size}")
        self._size = size
        self._items: dict[int, Item] = {}  # by stamp, in the order of arrival

    def __len__(self) -> int:
        return len(self._items)

    def put(self, stamp: int, item: Item) -> int:
        """Store an item under its stamp [ns], in place of one with the same stamp.

        Returns how many earlier items were given up for it.
        """
        self._items.pop(stamp, None)
        self._items[stamp] = item
        if len(self._items) <= self._size:
            return 0
        del self._items[next(iter(self._items))]
        return 1

    def nearest(self, stamp: int, slop: int | None = None) -> int | None:
        """Stamp of the item nearest to `stamp`, at most `slop` ns away (None: any distance)."""
        near = min(self._items, key=lambda other: abs(other - stamp), default=None)
        return near if near is None or slop is None or abs(near - stamp) <= slop else None

    def get(self, stamp: int) -> Item:
        """The item with exactly this stamp. Raises KeyError."""
        return self._items[stamp]

    def pop(self, stamp: int) -> Item:
        """Remove and return the item with exactly this stamp. Raises KeyError."""
        return self._items.pop(stamp)

    def clear(self) -> None:
        """Drop everything."""
        self._items = {}


class Period:
    """Time between the stamps of one stream: the median of the last ones."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._differences: deque[int] = deque(maxlen=_PERIODS)

    def add(self, stamp: int) -> None:
        """Note a stamp [ns]; one that is not later than the last counts for nothing."""
        if self._last is not None and stamp > self._last:
            self._differences.append(stamp - self._last)
        self._last = stamp

    @property
    def nanoseconds(self) -> int | None:
        """The period; None before two stamps."""
        return sorted(self._differences)[len(self._differences) // 2] if self._differences else None


@dataclass(frozen=True)
class DepthPair(Generic[Answer, Depth, Info]):
    """An answer with what belongs to it.

    Attributes:
        answer, depth, info: As they were given.
        difference: Nanoseconds from the answer's stamp to the depth's.
    """

    answer: Answer
    depth: Depth
    info: Info
    difference: int


class DepthSync(Generic[Answer, Depth, Info]):
    """Joins answers with depth images, and gives each pair the camera_info nearest in time.

    An answer is paired at once where the right depth has come already, and otherwise kept until it
    comes. Each answer is paired at most once. Camera_info needs no match in time: a camera's
    intrinsics stay as they are, and some drivers send them once.

    Args:
        slop: Largest difference of stamps [ns]; 0 demands equal ones. None: just below half the
            period of depth or answers, whichever is shorter, and at most 0.1 s.
        size: Answers and depth images that are kept waiting.

    Attributes:
        unmatched: Answers given up without depth.
        offset: Nanoseconds from the stamp of the last answer to the nearest depth that had come;
            None before any.
    """

    def __init__(self, slop: int | None = 0, size: int = 20) -> None:
        if slop is not None and slop < 0:
            raise ConfigError(f"slop: expected >= 0 ns, got {slop}")
        self._slop = slop
        self._periods = (Period(), Period())  # of answers and of depth
        self._lock = threading.Lock()
        self._answers: StampedBuffer[Answer] = StampedBuffer(size)
        self._depths: StampedBuffer[Depth] = StampedBuffer(size)
        self._infos: StampedBuffer[Info] = StampedBuffer(size)
        self.unmatched = 0
        self.offset: int | None = None

    @property
    def slop(self) -> int:
        """Largest difference of stamps [ns] as of now."""
        if self._slop is not None:
            return self._slop
        known = [period.nanoseconds for period in self._periods if period.nanoseconds]
        return min(_MOST, int(_SHARE * min(known))) if known else _FIRST

    def add_answer(self, stamp: int, answer: Answer) -> DepthPair[Answer, Depth, Info] | None:
        """Take in the answer to the image with this stamp [ns]; its pair if that is complete."""
        with self._lock:
            self._periods[0].add(stamp)
            self.unmatched += self._answers.put(stamp, answer)
            near = self._depths.nearest(stamp)
            self.offset = None if near is None else near - stamp
            return self._pair(stamp, self._depths.nearest(stamp, self.slop))

    def add_depth(self, stamp: int, depth: Depth) -> DepthPair[Answer, Depth, Info] | None:
        """Take in a depth image; the pair that it completes, if any."""
        with self._lock:
            self._periods[1].add(stamp)
            self._depths.put(stamp, depth)
            answer = self._answers.nearest(stamp, self.slop)
            return None if answer is None else self._pair(answer, stamp)

    def add_info(self, stamp: int, info: Info) -> DepthPair[Answer, Depth, Info] | None:
        """Take in camera_info; the pair that was only waiting for the first of them, if any."""
        with self._lock:
            first = not len(self._infos)
            self._infos.put(stamp, info)
            answer = self._answers.nearest(stamp) if first else None
            if answer is None:
                return None
            return self._pair(answer, self._depths.nearest(answer, self.slop))

    def reset(self) -> None:
        """Drop what waits, as after a jump of the clock or another size of image."""
        with self._lock:
            for buffer in (self._answers, self._depths, self._infos):
                buffer.clear()
            self._periods = (Period(), Period())

    def _pair(self, answer: int, depth: int | None) -> DepthPair[Answer, Depth, Info] | None:
        """The pair of two stamps, taken off the answers.

        The depth stays: with slop, another camera rate may need it again.
        """
        info = self._infos.nearest(answer)
        if depth is None or info is None:
            return None
        return DepthPair(self._answers.pop(answer), self._depths.get(depth), self._infos.get(info),
                         depth - answer)


def nanoseconds(stamp: StampLike) -> int:
    """A message's stamp as one number; unlike rclpy's Time it takes the negative ones, too."""
    return stamp.sec * 10**9 + stamp.nanosec
