"""Nothing of other people's is written over, no name leads out of a folder, marks are read over."""

import codecs
import json
import os
from pathlib import Path

import pytest

from samwise_ros.structures import ConfigError, DataError
from samwise_ros.user_files import (
    claim_outputs,
    contained_name,
    decode_text,
    keep_apart,
    load_json,
    whole_file,
    write_once,
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    data = mark + json.dumps({"a": "caf\u00e9"}, ensure_ascii=False).encode(encoding)
    (tmp_path / "f.json").write_bytes(data)
    assert load_json(tmp_path / "f.json") == {"a": "caf\u00e9"}


def test_text_without_a_mark_is_read_as_told() -> None:
    assert decode_text("caf\u00e9".encode("latin-1"), "latin-1") == "caf\u00e9"
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"\xff!")


@pytest.mark.parametrize("name",
                         ["..", "../x", "a/../../x", "/etc/passwd", "", ".", "a//b", "a/", "x\0y",
                                  None, 3, ["a"]])
def test_names_that_lead_out_of_the_folder_are_refused(name: object) -> None:
    with pytest.raises(DataError, match=r"meta\.json: .*not a name"):
        contained_name(name, "meta.json")


@pytest.mark.parametrize("name", ["00000", "a b", "...", "..x", "train2014/i", "-x", "\u00e9"])
def test_odd_names_that_stay_inside_are_kept(name: str) -> None:
    assert contained_name(name, "here") == name


def test_taken_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim_outputs(out / "new" / "deep", ["a", "b"])
    assert list((out / "new" / "deep").iterdir()) == []
    (out / "empty").mkdir()
    (out / "full" / "x").mkdir(parents=True)
    (out / "dangling").symlink_to(tmp_path / "nowhere")
    (out / "file").write_text("mine")
    claim_outputs(out, ["empty", "other"])
    for name in ("full", "dangling", "file"):
        with pytest.raises(ConfigError, match=f"{name} exists"):
            claim_outputs(out, ["other", name])
    assert (out / "file").read_text() == "mine" and not (tmp_path / "nowhere").exists()


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="file/out: cannot write"):
        claim_outputs(tmp_path / "file" / "out", ["a"])


def test_inputs_are_seen_through_links_and_relative_paths(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = tmp_path / "out" / "Annotations" / "clip"
    frames.mkdir(parents=True)
    video = tmp_path / "out" / "overlay.mp4"
    video.write_bytes(b"v")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "copy.mp4").symlink_to(video)
    os.link(video, tmp_path / "hard.mp4")
    monkeypatch.chdir(tmp_path / "out")
    out = tmp_path / "link"
    for name, source in (("overlay.mp4", Path("overlay.mp4")),
                         ("overlay.mp4", tmp_path / "copy.mp4"),
                         ("overlay.mp4", tmp_path / "hard.mp4"), ("Annotations", frames),
                         ("Annotations/clip", frames), ("new.mp4", Path("."))):
        with pytest.raises(ConfigError, match="what is read"):
            keep_apart(out, [name], [source])
    keep_apart(out / "below", ["new.mp4"], [Path(".")])
    keep_apart(tmp_path, ["overlay.mp4"], [video])


def test_a_file_is_whole_or_absent_and_keeps_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_file(path) as part:
        part.write_text("whole")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["whole"]


def test_written_once_is_kept_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "meta.json"
    write_once(path, "one")
    before = path.stat().st_mtime_ns
    write_once(path, "one")
    assert path.stat().st_mtime_ns == before
    with pytest.raises(DataError, match="not overwritten"):
        write_once(path, "two")
    assert path.read_text() == "one"
