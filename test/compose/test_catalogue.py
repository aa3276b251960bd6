"""The lists that ship, their splits, and reading Qt's archives."""

import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from samwise_ros.compose.catalogue import (
    SPLITS,
    Catalogue,
    CutOut,
    Label,
    load_catalogue,
    native_labels,
)
from samwise_ros.compose.errors import ComposeError
from samwise_ros.compose.library import PACKAGES, PictureLibrary, fetch
from samwise_ros.compose.rcc import read_member
from samwise_ros.compose.words import SYNONYMS
from samwise_ros.structures import DataError


def test_no_split_shares_a_cut_out_or_a_background_with_another_side() -> None:
    catalogue = load_catalogue()
    paths = [item.path for item in catalogue.cut_outs]
    assert len(paths) == len(set(paths)) > 400
    seen: dict[str, str] = {}
    for split in SPLITS:
        pool = catalogue.pool(split)
        assert pool.targets and pool.backgrounds
        for item in (*pool.backgrounds, *pool.photographs):
            assert seen.setdefault(item.path, split.partition("_")[0]) == split.partition("_")[0]
        assert split == "train" or not set(pool.targets) & set(pool.fillers)


def test_held_out_names_are_no_noun_of_anything_in_training() -> None:
    catalogue = load_catalogue()
    train = {noun for item in catalogue.pool("train").targets
             for noun in (item.label.name, *SYNONYMS.get(item.label.name, ()))}
    train |= {native.label.name for item in catalogue.pool("train").photographs
              for native in item.natives}
    for split in ("val_names", "test_names"):
        held = {item.label.name for item in catalogue.pool(split).targets}
        assert not held & train
    assert not ({item.label.name for item in catalogue.pool("val_names").targets}
                & {item.label.name for item in catalogue.pool("test_names").targets})


def test_what_a_computer_drew_is_for_training_only() -> None:
    catalogue = load_catalogue()
    drawn = {item for item in catalogue.cut_outs if item.rendered}
    assert len(drawn) > 1000 and drawn < set(catalogue.pool("train").targets)
    for split in SPLITS[1:]:
        pool = catalogue.pool(split)
        assert not drawn & {*pool.targets, *pool.fillers}


def test_outlines_lie_in_their_photographs_and_cover_what_they_say() -> None:
    for item in load_catalogue().photographs:
        labels = native_labels(item, (192, 256))
        shares = [(labels == number).mean() for number in range(1, len(item.natives) + 1)]
        assert min(shares) > 0.001, item.path
        assert sum(shares) < 0.95, item.path


@pytest.mark.parametrize(("name", "kind", "noun", "might"), [
    ("rubber duck", "toy", "duck", True), ("duck", "bird", "rubber duck", True),
    ("apple", "fruit", "fruit", True), ("apple", "fruit", "lemon", False),
    ("parrot", "bird", "animal", True), ("oak tree", "tree", "plant", True),
    ("car", "vehicle", "automobile", True)])
def test_what_a_person_might_call_a_thing(name: str, kind: str, noun: str, might: bool) -> None:
    assert Label(name, kind).might_be(noun) is might


def test_a_missing_picture_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="samwise compose fetch"):
        PictureLibrary(tmp_path).background("nothing.jpg")


def test_a_picture_in_a_furniture_archive_is_read(tmp_path: Path) -> None:
    picture = np.full((40, 60, 4), 200, np.uint8)
    folder = tmp_path / "debian" / "usr"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "a.sh3f", "w") as archive:
        archive.writestr("a/chair.png", cv2.imencode(".png", picture)[1].tobytes())
    chair = CutOut("usr/a.sh3f:a/chair.png", Label("chair"), "train", rendered=True)
    for package in PACKAGES:
        (tmp_path / "debian" / f"{package}.done").touch()
    for package in ("npm", "npm_emoji"):
        (tmp_path / package).mkdir()
    fetch(tmp_path, Catalogue((chair,), ()), lambda line: None)
    assert (PictureLibrary(tmp_path).cut_out(chair.path) == 200).all()
    lacking = replace(chair, path="usr/a.sh3f:a/table.png")
    with pytest.raises(ComposeError, match=r"cannot read a/table.png of .*a.sh3f"):
        fetch(tmp_path, Catalogue((lacking,), ()), lambda line: None)


def test_fetching_without_apt_says_where_the_pictures_come_from(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="tuxpaint-stamps-default"):
        fetch(tmp_path, load_catalogue(), lambda line: None)


def _archive(name: str, content: bytes, flags: int) -> bytes:
    """A Qt resource archive, format 1, with one file in one folder."""
    def named(text: str) -> bytes:
        return struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")

    names = named("") + named("dir") + named(name)
    dir_at, file_at = len(named("")), len(named("")) + len(named("dir"))
    tree = (struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", dir_at, 2, 1, 2)
            + struct.pack(">IHHHI", file_at, flags, 0, 0, 0))
    data = struct.pack(">I", len(content)) + content
    start = 20
    return (struct.pack(">4sIIII", b"qres", 1, start, start + len(tree),
                        start + len(tree) + len(data)) + tree + data + names)


def test_an_archive_gives_back_its_files(tmp_path: Path) -> None:
    file = tmp_path / "a.rcc"
    file.write_bytes(_archive("é.webp", b"pixels", 0))
    assert read_member(file, "dir/é.webp") == b"pixels"
    packed = struct.pack(">I", 6) + zlib.compress(b"pixels")
    other = tmp_path / "b.rcc"
    other.write_bytes(_archive("x", packed, 1))
    assert read_member(other, "dir/x") == b"pixels"
    with pytest.raises(ComposeError, match="another release"):
        read_member(other, "dir/y")
    (tmp_path / "c.rcc").write_bytes(np.zeros(40, np.uint8).tobytes())
    with pytest.raises(ComposeError, match="not a Qt resource archive"):
        read_member(tmp_path / "c.rcc", "x")
