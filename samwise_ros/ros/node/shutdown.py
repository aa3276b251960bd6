"""How a node's main function begins and ends."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation

from samwise_ros.structures import ConfigError, SamwiseError

RCLError = rclpy_implementation.RCLError
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_NODE = "error creating node"  # as rclpy begins it: its security, its network


@contextmanager
def ros_process(name: str, arguments: Sequence[str] | None = None) -> Iterator[None]:
    """rclpy from its start to its end in a process that is told to end by signals.

    What cannot be taken at the start (a SamwiseError, security that the middleware does not have)
    is one message in the log and exit status 1.

    rclpy ends its context on SIGINT and SIGTERM. Python's own KeyboardInterrupt on top of that
    comes wherever the main thread happens to be: in a destructor it is printed and lost, and launch
    sends a second signal while the first one is being obeyed. Here neither is an interruption.

    Args:
        name: For the log.
        arguments: See `rclpy.init`.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        start_ros(arguments)
        yield
    except SamwiseError as error:
        refuse_start(name, error)
    except RCLError as error:
        if _NO_NODE not in str(error):
            raise
        refuse_start(name, error)
    finally:
        rclpy.try_shutdown()
        ignore_signals()


def start_ros(arguments: Sequence[str] | None, **options: Any) -> None:
    """`rclpy.init`. Raises ConfigError for arguments or parameter files that it cannot read."""
    try:
        rclpy.init(args=arguments, **options)
    except RCLError as error:
        raise ConfigError(str(error)) from None


def refuse_start(name: str, error: Exception) -> NoReturn:
    """End the process with the reason in the log."""
    rclpy.logging.get_logger(name).error(str(error))
    raise SystemExit(1)


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
