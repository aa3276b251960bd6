"""The thread in which results become messages and leave. Standard library only.

The model must not wait for whoever listens: a reliable subscriber that is slow, a picture that
takes long to draw, a transform that is late.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_MOST = 100  # jobs that may wait
_FAREWELL = 5.0  # seconds for the job in work


@dataclass(frozen=True)
class _Job:
    kind: str
    run: Callable[[], None]


class Sender:
    """Runs jobs in order, in a thread of its own. All calls from any other thread.

    Args:
        name: Of the thread.
        failed: Called in the thread with what a job raises.
        keep_all: Whether every job is run. `put` then waits while too many do; otherwise the oldest
            make room.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None], keep_all: bool = False
                 ) -> None:
        self._failed = failed
        self._keep_all = keep_all
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._busy = self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, kind: str, run: Callable[[], None], newest_only: bool = False) -> None:
        """Have a job run; nothing happens once closed.

        Args:
            kind: Any name.
            run: The job.
            newest_only: A job of this kind that still waits is not worth running any more.
        """
        with self._changed:
            if self._keep_all:
                self._changed.wait_for(lambda: self._closed or len(self._jobs) < _MOST)
            elif newest_only:
                self._jobs = deque(job for job in self._jobs if job.kind != kind)
            elif len(self._jobs) >= _MOST:
                self._jobs.popleft()
            if not self._closed:
                self._jobs.append(_Job(kind, run))
                self._changed.notify_all()

    def flush(self, timeout: float) -> None:
        """Wait until nothing is left to run; after `timeout` seconds forget what still waits."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._changed.wait_for(lambda: not (self._busy or self._jobs), timeout)
            self._jobs.clear()
            self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))
            self._changed.notify_all()

    def close(self) -> None:
        """Forget what waits; the thread has ended then."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
        self._thread.join(_FAREWELL)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.run()
            except Exception as error:  # noqa: BLE001  one message must not end the others
                self._failed(error)
            finally:
                del job  # else it would keep a frame, and what made it, until the next one comes

    def _next(self) -> _Job | None:
        """The next job; None once closed."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._jobs)
            if self._closed:
                return None
            self._busy = True
            job = self._jobs.popleft()
            self._changed.notify_all()
            return job
