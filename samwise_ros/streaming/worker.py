"""The thread that owns inference: answers the frames of one or more cameras, one at a time."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from samwise_ros.streaming.mailbox import Mailbox

T = TypeVar("T")


@dataclass(frozen=True)
class Lane(Generic[T]):
    """One camera as the worker sees it.

    Attributes:
        mailbox: Where its frames come from; closed by `FrameWorker.stop`.
        begin: Called in the worker's thread before the first frame.
        answer: Called in the worker's thread.
        failed: Called in the worker's thread with whatever `answer` raises, after which the next
            frame is taken: one bad frame must not end the stream.
    """

    mailbox: Mailbox[T]
    begin: Callable[[], None]
    answer: Callable[[T], None]
    failed: Callable[[Exception], None]


class ModelThread:
    """Runs what it is given, one after the other, in a thread of its own.

    Everything that computes with the model goes here, through all transitions. What torch and
    malloc keep for a thread is then laid out once; a new thread for each activation left a model's
    worth of holes now and then. A daemon: a frame that hangs must not keep the process.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="samwise-model", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` after all that was submitted before."""
        future: Future[T] = Future()

        def job() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001  whoever asks for the result gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        self._jobs.put(job)
        return future

    def close(self, timeout: float) -> bool:
        """Let the thread end after what was submitted; whether it has within `timeout` seconds."""
        self._jobs.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # else it would keep a session, and so the model, until the next one comes


class FrameWorker(Generic[T]):
    """Serves the lanes in turns: whoever has a frame waiting is served once before anyone twice.

    Args:
        lanes: All of them.
        changed: The condition that their mailboxes share.
        thread: Where frames are answered.
        crashed: Called in that thread with what ended the worker before it was told to: whatever
            `begin` or `failed` raises, or what is no Exception.
    """

    def __init__(self, lanes: Sequence[Lane[T]], changed: threading.Condition,
                 thread: ModelThread, crashed: Callable[[BaseException], None]) -> None:
        self._lanes = list(lanes)
        self._changed = changed
        self._thread = thread
        self._crashed = crashed
        self._closed = False
        self._ended: Future[None] | None = None

    def start(self) -> None:
        """Take the thread."""
        self._ended = self._thread.submit(self._run)

    def stop(self, timeout: float) -> bool:
        """Close the mailboxes and wait for the frame in work.

        Returns False when that takes longer than `timeout` seconds; the thread is then free after
        that frame.
        """
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.mailbox.close()
        return self._ended is None or bool(wait([self._ended], timeout).done)

    def _run(self) -> None:
        try:
            for lane in () if self._closed else tuple(self._lanes):
                lane.begin()
            while (turn := self._next()) is not None:
                self._serve(*turn)
        except BaseException as error:  # noqa: BLE001  nobody asks for the result of this job
            self._crashed(error)

    def _serve(self, lane: Lane[T], item: T) -> None:
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
            assert item is not None  # one waits, and only this thread takes
            self._lanes.remove(lane)  # to the end of the line
            self._lanes.append(lane)
            return lane, item
