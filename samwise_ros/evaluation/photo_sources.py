"""Photos out of installable packages: none is ours to hand on, all can be had by anyone."""

from __future__ import annotations

import bz2
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.structures import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def picture_folder(source: str, cache: Path, local: Path | None) -> Path:
    """The folder to which an item's path is relative; fetched once, then kept in `cache`.

    Args:
        source: "pip:PACKAGE", "apt:PACKAGE" or "deb:PACKAGE"; any other word means `local`.
        cache: Where packages are unpacked.
        local: Folder of pictures that come from no package.

    Raises DataError when a package cannot be fetched or `local` is not given.
    """
    kind, colon, package = source.partition(":")
    if not colon:
        if local is None:
            raise DataError(f"items with source {source!r} come from no package: say with --local "
                            "where they lie")
        return local
    fetchers = {"pip": _from_wheel, "apt": _from_debian, "deb": _from_debian}
    if kind not in fetchers:
        raise DataError(f"expected a source pip:NAME, apt:NAME or a folder's name, got {source!r}")
    folder = cache / package
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            part = Path(work, "part")
            part.mkdir()
            fetchers[kind](package, Path(work), part)
            part.rename(folder)
    return folder


def _from_wheel(package: str, work: Path, folder: Path) -> None:
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
          "-d", str(work), package], work)
    with zipfile.ZipFile(_only(work, "*.whl")) as wheel:
        names = [name for name in wheel.namelist() if name.lower().endswith(PICTURES)]
        wheel.extractall(folder, names)
        if "scipy/misc/face.dat" in wheel.namelist():  # a picture in a form of its own
            face = np.frombuffer(bz2.decompress(wheel.read("scipy/misc/face.dat")), np.uint8)
            cv2.imwrite(str(folder / "face.png"), face.reshape(768, 1024, 3)[..., ::-1])


def _from_debian(package: str, work: Path, folder: Path) -> None:
    _run(["apt-get", "download", "-q", package], work)
    _run(["dpkg", "-x", str(_only(work, "*.deb")), str(folder)], work)


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise DataError(f"{command[0]} was not found, which fetches these photos: use a Debian or "
                        "Ubuntu machine or container")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"`{' '.join(command[:4])} ...` failed: {done.stderr.strip()[-300:]}")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(f"nothing like {pattern} was downloaded to {folder}")
    return found[0]
