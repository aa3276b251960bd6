"""A ROS domain that no other demo or test of this user on this machine has. No ROS import.

By hand: ament_cmake_ros's `domain_coordinator` does the same with sockets, but is not on PyPI.
"""

import fcntl
import os
import random
import stat
import tempfile
from pathlib import Path

from samwise_ros.structures import SamwiseError

_DOMAINS = range(1, 101)  # ports of higher ones are ephemeral, 0 is everybody's
_OPEN = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class ReservedDomain:
    """Holds a domain until it is closed or this process ends.

    Attributes:
        number: From 1 to 100.

    Raises:
        SamwiseError: All domains are taken, or there is no folder for lock files.
    """

    def __init__(self) -> None:
        folder = _lock_folder()
        for number in random.SystemRandom().sample(_DOMAINS, len(_DOMAINS)):
            lock = _locked(folder / f"samwise_ros_domain_{number}.lock")
            if lock is not None:
                self.number = number
                self._lock: int | None = lock
                return
        raise SamwiseError("all ROS domains from 1 to 100 are in use on this machine")

    def close(self) -> None:
        """Let others have the domain, in which nothing must run any more."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a file; None when another process has it."""
    try:
        lock = os.open(path, _OPEN, 0o600)
    except OSError:  # a link, or not ours
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _lock_folder() -> Path:
    """XDG_RUNTIME_DIR, or a folder in the temporary one that is ours alone. Raises SamwiseError."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime)
    folder = Path(tempfile.gettempdir(), f"samwise_ros-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SamwiseError(f"no folder for lock files: {error}; set XDG_RUNTIME_DIR") from error
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SamwiseError(f"{folder}: expected a folder that only you can write to; remove it or "
                           "set XDG_RUNTIME_DIR")
    return folder
