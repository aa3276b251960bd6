"""The thread that owns inference: answers the frames of one or more cameras, one at a time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from samwise_ros.ros.mailbox import Mailbox

T = TypeVar("T")


@dataclass(frozen=True)
class Lane(Generic[T]):
    """One camera as the worker sees it.

    Attributes:
        mailbox: Where its frames come from; closed by `FrameWorker.stop`.
        answer: Called in the worker's thread.
        failed: Called in the worker's thread with whatever `answer` raises, after which the next
            frame is taken: one bad frame must not end the stream.
    """

    mailbox: Mailbox[T]
    answer: Callable[[T], None]
    failed: Callable[[Exception], None]


class FrameWorker(Generic[T]):
    """Serves the lanes in turns: whoever has a frame waiting is served once before anyone twice.

    Args:
        lanes: All of them.
        changed: The condition that their mailboxes share.
    """

    def __init__(self, lanes: Sequence[Lane[T]], changed: threading.Condition) -> None:
        self._lanes = list(lanes)
        self._changed = changed
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="samwise-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Close the mailboxes and wait for the frame in work.

        Returns False when that takes longer than `timeout` seconds; the thread then ends by itself
        after that frame.
        """
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.mailbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            lane, item = turn
            try:
                lane.answer(item)
            except Exception as error:  # noqa: BLE001  the node names it and goes on
                lane.failed(error)

    def _next(self) -> tuple[Lane[T], T] | None:
        """Wait for a frame and choose whose turn it is; None once stopped."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or any(lane.mailbox.waiting for lane in self._lanes))
            if self._closed:
                return None
            lane = next(lane for lane in self._lanes if lane.mailbox.waiting)
            item = lane.mailbox.take()
            self._lanes.remove(lane)  # to the end of the line
            self._lanes.append(lane)
            return lane, item
