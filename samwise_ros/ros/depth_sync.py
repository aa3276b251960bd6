"""Pairs a frame's answer with its depth image and camera_info by stamp. Standard library only.

The mask must not wait for depth, so this is a join of two streams rather than a synchroniser in
front of the model: whichever of answer and depth comes second completes the pair. Both sides
are bounded.
"""

import bisect
import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

from samwise_ros.structures import ConfigError

Answer = TypeVar("Answer")
Depth = TypeVar("Depth")
Info = TypeVar("Info")
Item = TypeVar("Item")


class StampedBuffer(Generic[Item]):
    """The newest items by stamp, at most `size` of them.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ConfigError(f"size: expected >= 1, got {size}")
        self._size = size
        self._stamps: list[int] = []
        self._items: list[Item] = []

    def __len__(self) -> int:
        return len(self._stamps)

    def put(self, stamp: int, item: Item) -> int:
        """Store an item under its stamp [ns], in place of one with the same stamp.

        Returns how many older items were given up for it.
        """
        at = bisect.bisect_left(self._stamps, stamp)
        if at < len(self._stamps) and self._stamps[at] == stamp:
            self._items[at] = item
            return 0
        self._stamps.insert(at, stamp)
        self._items.insert(at, item)
        surplus = len(self._stamps) - self._size
        if surplus > 0:
            del self._stamps[:surplus], self._items[:surplus]
        return max(0, surplus)

    def nearest(self, stamp: int, slop: int | None = None) -> int | None:
        """Stamp of the item nearest to `stamp`, at most `slop` ns away (None: any distance)."""
        if not self._stamps:
            return None
        at = bisect.bisect_left(self._stamps, stamp)
        near = min(self._stamps[max(0, at - 1):at + 1], key=lambda other: abs(other - stamp))
        return near if slop is None or abs(near - stamp) <= slop else None

    def get(self, stamp: int) -> Item:
        """The item with exactly this stamp. Raises KeyError."""
        at = bisect.bisect_left(self._stamps, stamp)
        if at == len(self._stamps) or self._stamps[at] != stamp:
            raise KeyError(stamp)
        return self._items[at]

    def pop(self, stamp: int) -> Item:
        """Remove and return the item with exactly this stamp. Raises KeyError."""
        item = self.get(stamp)
        at = bisect.bisect_left(self._stamps, stamp)
        del self._stamps[at], self._items[at]
        return item

    def clear(self) -> None:
        """Drop everything."""
        self._stamps, self._items = [], []


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
        slop: Largest difference of stamps [ns]; 0 demands equal ones.
        size: Answers and depth images that are kept waiting.
    """

    def __init__(self, slop: int = 0, size: int = 20) -> None:
        if slop < 0:
            raise ConfigError(f"slop: expected >= 0 ns, got {slop}")
        self._slop = slop
        self._lock = threading.Lock()
        self._answers: StampedBuffer[Answer] = StampedBuffer(size)
        self._depths: StampedBuffer[Depth] = StampedBuffer(size)
        self._infos: StampedBuffer[Info] = StampedBuffer(size)
        self.unmatched = 0  # answers given up without depth

    def add_answer(self, stamp: int, answer: Answer) -> DepthPair[Answer, Depth, Info] | None:
        """Take in the answer to the image with this stamp [ns]; its pair if that is complete."""
        with self._lock:
            self.unmatched += self._answers.put(stamp, answer)
            return self._pair(stamp, self._depths.nearest(stamp, self._slop))

    def add_depth(self, stamp: int, depth: Depth) -> DepthPair[Answer, Depth, Info] | None:
        """Take in a depth image; the pair that it completes, if any."""
        with self._lock:
            self._depths.put(stamp, depth)
            answer = self._answers.nearest(stamp, self._slop)
            return None if answer is None else self._pair(answer, stamp)

    def add_info(self, stamp: int, info: Info) -> DepthPair[Answer, Depth, Info] | None:
        """Take in camera_info; the pair that was only waiting for the first of them, if any."""
        with self._lock:
            first = not len(self._infos)
            self._infos.put(stamp, info)
            answer = self._answers.nearest(stamp) if first else None
            if answer is None:
                return None
            return self._pair(answer, self._depths.nearest(answer, self._slop))

    def reset(self) -> None:
        """Drop what waits, as after a jump of the clock or another size of image."""
        with self._lock:
            for buffer in (self._answers, self._depths, self._infos):
                buffer.clear()

    def _pair(self, answer: int, depth: int | None) -> DepthPair[Answer, Depth, Info] | None:
        """The pair of two stamps, taken off the answers. The depth stays: with slop, another
        camera rate may need it again."""
        info = self._infos.nearest(answer)
        if depth is None or info is None:
            return None
        return DepthPair(self._answers.pop(answer), self._depths.get(depth), self._infos.get(info),
                         depth - answer)
