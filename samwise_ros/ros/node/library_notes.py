"""What the library writes to Python's log, in the log of the node."""

import logging

from rclpy.node import Node


class LibraryNotes(logging.Handler):
    """Passes on what modules of this package log from INFO on, until it is detached.

    Args:
        node: Into whose log. Its context ends before the library does: nothing is said then.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(logging.INFO)
        self._node = node
        self._source = logging.getLogger("samwise_ros")
        self._source.addHandler(self)
        self._source.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Say it at the node's level of the same name."""
        if not self._node.context.ok():
            return
        logger = self._node.get_logger()
        if record.levelno >= logging.ERROR:
            logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            logger.warning(record.getMessage())
        else:
            logger.info(record.getMessage())

    def detach(self) -> None:
        """Pass nothing on any more."""
        self._source.removeHandler(self)
