"""How a node's main function ends when it is told to."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation

RCLError = rclpy_implementation.RCLError
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ros_process(arguments: Sequence[str] | None = None) -> Iterator[None]:
    """rclpy from its start to its end in a process that is told to end by signals.

    rclpy ends its context on SIGINT and SIGTERM. Python's own KeyboardInterrupt on top of that comes
    wherever the main thread happens to be: in a destructor it is printed and lost, and launch sends
    a second signal while the first one is being obeyed. Here neither is an interruption.

    Args:
        arguments: See `rclpy.init`.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init(args=arguments)
    try:
        yield
    finally:
        rclpy.try_shutdown()
        ignore_signals()


def ignore_signals() -> None:
    """Have SIGINT and SIGTERM change nothing any more; for a process that is about to end."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


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


def leave_at_once(status: int = 0) -> None:
    """End the process although a thread is still computing.

    The interpreter's own end would let it run on while what it uses is taken down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
