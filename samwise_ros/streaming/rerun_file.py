"""The option --rerun: a log where one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from samwise_ros.structures import MissingDependencyError

if TYPE_CHECKING:
    from samwise_ros.streaming.rerun_log import RerunLog


@contextmanager
def rerun_log(path: Path | None) -> Iterator[RerunLog | None]:
    """A log that is closed at the end; None without a path.

    Raises MissingDependencyError where rerun-sdk is not installed.
    """
    if path is None:
        yield None
        return
    require_rerun()
    from samwise_ros.streaming.rerun_log import RerunLog

    with closing(RerunLog(path)) as log:
        yield log


def require_rerun() -> None:
    """Raise MissingDependencyError where rerun-sdk is not installed."""
    if find_spec("rerun") is None:
        raise MissingDependencyError("--rerun needs rerun-sdk: pip install 'samwise_ros[rerun]'")
