"""How often a node may write the same thing to its log."""

import threading
import time

from rclpy.node import Node


class LimitedLog:
    """Writes to the log of a node, at most one line in a while about each thing.

    rclpy's own throttle counts for each calling line, so what a second camera has to say, or a
    second reason, would be left out for what the first one said.

    Args:
        node: Whose log it is.
        seconds: Between two lines about the same thing.
    """

    def __init__(self, node: Node, seconds: float = 1.0) -> None:
        self._node = node
        self._seconds = seconds
        self._lock = threading.Lock()
        self._written: dict[str, float] = {}  # when, by what it was about [s]
        self._left_out: dict[str, int] = {}

    def warning(self, text: str, about: str = "") -> None:
        """Write a warning, unless one `about` the same thing has just been written."""
        if self._due(about):
            self._node.get_logger().warning(text + self._omitted(about))

    def error(self, text: str, about: str = "") -> None:
        """Write an error, unless one `about` the same thing has just been written."""
        if self._due(about):
            self._node.get_logger().error(text + self._omitted(about))

    def _due(self, about: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._written.get(about, -self._seconds) < self._seconds:
                self._left_out[about] = self._left_out.get(about, 0) + 1
                return False
            self._written[about] = now
            return True

    def _omitted(self, about: str) -> str:
        with self._lock:
            count = self._left_out.pop(about, 0)
        return f" ({count} more since the last line)" if count else ""
