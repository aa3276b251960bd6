"""How a node's main function ends when it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation

RCLError = rclpy_implementation.RCLError


@contextmanager
def until_shutdown() -> Iterator[None]:
    """Let Ctrl-C and a shutdown end what is inside without a word.

    rclpy's handler invalidates the context at once, and a callback that publishes after that fails:
    an error then, and only then, is the end that was asked for.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RCLError, InvalidHandle):
        if rclpy.ok():
            raise
