"""An executor that gives a callback time to begin before it looks for the next one."""

import time
from typing import Any

from rclpy.executors import MultiThreadedExecutor

_STEP = 2e-4  # seconds between looks
_PATIENCE = 0.1  # seconds; a callback that has not begun by then waits for a free thread


class PatientExecutor(MultiThreadedExecutor):
    """rclpy's pool of threads without its busy loop.

    rclpy hands a callback out again and again until a thread of the pool has begun it. To begin,
    that thread needs the interpreter, which the loop holds: a hundred rounds pass, and the thread
    that runs the model has to ask for the interpreter after each of its operations. On two cores
    single frames took 100 to 300 ms instead of 40.

    `rclpy.experimental.EventsExecutor` would need no loop, but is no alternative: Humble does not
    have it; it has one thread, so a configuration that loads a model for a minute would hold
    commands and parameters; and that of rclpy 9.1.2 from PyPI called no timer and no service at
    all.
    """

    _handed_out: Any = None

    def wait_for_ready_callbacks(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """As in the base class."""
        self._let_begin()
        ready = super().wait_for_ready_callbacks(*args, **kwargs)
        self._handed_out = ready[0]
        return ready

    def _let_begin(self) -> None:
        task, self._handed_out = self._handed_out, None
        deadline = time.monotonic() + _PATIENCE
        while task is not None and not (task.executing() or task.done()):
            if time.monotonic() > deadline:
                return
            time.sleep(_STEP)
