"""`samwise convert-data`, from archives to folders that the readers accept."""

from pathlib import Path

from data_builders import build_davis_archives, build_mevis, build_refcoco_archive
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.data.packed import PackedClips
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.data.refcoco import RefCocoSource


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["convert-data", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_davis_is_converted_by_links(tmp_path: Path) -> None:
    archive, texts = build_davis_archives(tmp_path)
    out = tmp_path / "ref-davis"

    call("davis", "--archive", archive, "--texts", texts, "--out", out, "--placement", "symlink")

    assert len(RefYoutubeVosSource(out, "valid").videos) == 1
    assert (out / "valid" / "JPEGImages" / "goat" / "00000.jpg").is_symlink()


def test_refcocog_is_converted(tmp_path: Path) -> None:
    archive, images = build_refcoco_archive(tmp_path, "refcocog")

    output = call("refcoco", "--archive", archive, "--set", "refcocog", "--out", tmp_path / "coco")

    assert "train 2, val 2, test 2 sentences" in output
    assert len(RefCocoSource(tmp_path / "coco", images, "refcocog", "test").videos) == 2


def test_two_folders_are_packed_into_one(tmp_path: Path) -> None:
    sources = [build_mevis(tmp_path / name, (name,), simulated=True) for name in ("a", "b")]

    call("pack", *sources, "--out", tmp_path / "packed", "--height", 16, "--width", 24)

    packed = PackedClips(tmp_path / "packed")
    assert packed.num_clips == 2 and packed.frames(1).shape == (10, 16, 24, 3)


def test_a_missing_archive_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["convert-data", "refcoco", "--archive", str(tmp_path),
                                      "--set", "refcoco", "--out", str(tmp_path / "out")])

    assert result.exit_code == 2
    assert "refs(unc).p: no such file" in result.output
