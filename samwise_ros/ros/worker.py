"""The thread that owns inference: takes the newest frame and answers it, one at a time."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from samwise_ros.ros.mailbox import Mailbox

T = TypeVar("T")


class FrameWorker(Generic[T]):
    """Runs `answer` on each item of a mailbox until stopped.

    Args:
        mailbox: Where the items come from; closed by `stop`.
        answer: Called in the worker's thread.
        failed: Called in the worker's thread with whatever `answer` raises, after which the
            next item is taken: one bad frame must not end the stream.
    """

    def __init__(self, mailbox: Mailbox[T], answer: Callable[[T], None],
                 failed: Callable[[Exception], None]) -> None:
        self._mailbox = mailbox
        self._answer = answer
        self._failed = failed
        self._thread = threading.Thread(target=self._run, name="samwise-worker", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Close the mailbox and wait for the frame in work.

        Returns False when that takes longer than `timeout` seconds; the thread then ends by itself
        after that frame.
        """
        self._mailbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._mailbox.closed:
            item = self._mailbox.take()
            if item is None:
                continue
            try:
                self._answer(item)
            except Exception as error:  # noqa: BLE001  the node names it and goes on
                self._failed(error)
