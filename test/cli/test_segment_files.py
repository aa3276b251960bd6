"""`samwise segment` beside files that people care about, on damaged ones, under any name."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from model_builders import MICRO, make_frames, make_model
from PIL import Image
from typer.testing import CliRunner, Result

from samwise_ros.cli.main import app
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.video_file import VideoWriter
from samwise_ros.streaming.video_io import FrameSource

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model_folder(tiny_tokenizer: ExpressionTokenizer,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_model(MICRO, tiny_tokenizer), tmp_path_factory.mktemp("model") / "m")


def segment(source: Path | str, out: Path | str, model: Path, *more: str) -> Result:
    return CliRunner().invoke(app,
                              ["segment", "-e", "mug", "--model", str(model), "--device", "cpu",
                                    f"--out={out}", *more, "--", str(source)])


def make_folder(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(make_frames(count, 30, 40)):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file()}


def records_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_annotations_of_a_data_set_survive(tmp_path: Path, model_folder: Path) -> None:
    frames = make_folder(tmp_path / "train" / "JPEGImages" / "clip1")
    make_folder(tmp_path / "train" / "Annotations" / "clip1")
    before = contents(tmp_path)
    done = segment(frames, tmp_path / "train", model_folder)
    assert done.exit_code == 2 and "Annotations/clip1 exists" in done.output
    assert contents(tmp_path) == before


def test_an_earlier_result_survives(tmp_path: Path, model_folder: Path) -> None:
    frames = make_folder(tmp_path / "clip")
    assert segment(frames, tmp_path / "r", model_folder).exit_code == 0
    before = contents(tmp_path)
    again = segment(frames, tmp_path / "r", model_folder)
    assert again.exit_code == 2 and "Give another folder" in again.output
    assert contents(tmp_path) == before


@pytest.mark.parametrize("out", ["seq", "link", "SELF/../seq", "seq/"])
def test_results_never_lie_among_the_frames(
        tmp_path: Path, model_folder: Path, out: str) -> None:
    frames = make_folder(tmp_path / "seq")
    (tmp_path / "link").symlink_to(frames)
    (tmp_path / "SELF").mkdir()
    for _ in range(2):
        done = segment(frames, f"{tmp_path}/{out}", model_folder)
        assert done.exit_code == 2 and "what is read" in done.output
    assert [frame.name for frame in FrameSource(frames)] == ["00000", "00001", "00002"]
    assert len(list(frames.iterdir())) == 3


def test_results_above_and_below_the_frames_are_fine_twice(
        tmp_path: Path, model_folder: Path) -> None:
    frames = make_folder(tmp_path / "seq")
    for out in (tmp_path, frames / "one", frames / "two"):
        assert segment(frames, out, model_folder).exit_code == 0
        assert [record["name"] for record in records_of(out)] == ["00000", "00001", "00002"]


@pytest.mark.parametrize("name", ["overlay.mp4", "contact_sheet.png", "results.jsonl"])
def test_the_input_is_not_written_over_while_it_is_read(
        tmp_path: Path, model_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name.endswith(".png"):
        Image.fromarray(make_frames(1)[0]).save(name)
    else:
        with closing(VideoWriter("v.mp4", 10)) as video:
            for frame in make_frames(4):
                video.write(frame)
        Path("v.mp4").replace(name)
    before = contents(tmp_path)
    done = segment(name, ".", model_folder)
    assert done.exit_code == 2 and contents(tmp_path) == before


def test_damaged_frames_are_named_and_the_exit_code_says_so(
        tmp_path: Path, model_folder: Path) -> None:
    frames = make_folder(tmp_path / "clip", 5)
    (frames / "00002.png").write_bytes((frames / "00002.png").read_bytes()[:200])
    done = segment(frames, tmp_path / "r", model_folder)
    assert done.exit_code == 3, done.output
    assert "4 frames" in done.output and "00002" in done.output
    assert [(record["frame"], record["name"]) for record in records_of(tmp_path / "r")] == [
        (0, "00000"), (1, "00001"), (3, "00003"), (4, "00004")]


def test_times_reach_records_and_overlay(tmp_path: Path, model_folder: Path) -> None:
    times = [0.0, 0.2, 0.25, 1.5]
    with closing(VideoWriter(tmp_path / "v.mp4", 10)) as video:
        for frame, time in zip(make_frames(4, 32, 48), times, strict=True):
            video.write(frame, time)
    assert segment(tmp_path / "v.mp4", tmp_path / "r", model_folder).exit_code == 0
    assert [record["time"] for record in records_of(tmp_path / "r")] == pytest.approx(times,
                                                                                      abs=1e-3)
    overlay = FrameSource(tmp_path / "r" / "overlay.mp4")
    assert [frame.time for frame in overlay] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("name",
                         [b"a b", b"-x", b"%05d", b"[red]x[", b"[bold", b"a\nb", b"\xff\xfe",
                          b":+1:",
                                  b"x" * 200])
def test_any_path_works_and_is_printed_as_it_is(
        tmp_path: Path, model_folder: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames, out = make_folder(Path(os.fsdecode(name))), os.fsdecode(b"out " + name)
    os.replace(frames / "00001.png", frames / os.fsdecode(name + b".png"))
    done = segment(frames, out, model_folder)
    assert done.exit_code == 0, done.output
    assert b"3 frames -> out " + name + b"\n" in done.stdout_bytes
    masks = os.listdir(os.fsencode(out) + b"/Annotations/" + name + b"/0")
    assert sorted(masks) == sorted([b"00000.png", b"00002.png", name + b".png"])
    assert {os.fsencode(record["name"]) for record in records_of(Path(out))} == {
        b"00000", b"00002", name}
    again = segment(frames, out, model_folder)
    assert again.exit_code == 2 and b"error: out " + name in again.stderr_bytes


def test_a_real_process_prints_undecodable_bytes(tmp_path: Path, model_folder: Path) -> None:
    make_folder(tmp_path / "clip")
    done = subprocess.run(
        [sys.executable, "-m", "samwise_ros.cli.main", "segment", tmp_path / "clip", "-e", "mug",
         "--model", model_folder, "--device", "cpu", b"--out", bytes(tmp_path) + b"/\xff[b]%"],
        capture_output=True, check=False, timeout=300,
        env=dict(os.environ, OMP_NUM_THREADS="1", LC_ALL="C.UTF-8"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"/\xff[b]%\n")


def test_the_root_folder_is_a_video_like_any_other(
        tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is empty, and `Annotations/` alone would be everybody's."""
    make_folder(tmp_path / "out" / "Annotations" / "other")
    monkeypatch.setattr("samwise_ros.streaming.video_io._pictures_of",
                        lambda folder: sorted(make_folder(tmp_path / "frames").iterdir()))
    assert segment("/", tmp_path / "out", model_folder).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out" / "Annotations").iterdir()) == [
        "other", "video"]


def test_frames_whose_names_differ_in_case_are_not_mixed(
        tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without case the second mask would replace the first."""
    frames = make_folder(tmp_path / "clip", 2)
    os.replace(frames / "00000.png", frames / "a.png")
    os.replace(frames / "00001.png", frames / "A.png")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: exists(path) or (
        path.suffix == ".png" and "Annotations" in path.parts
        and exists(path.with_name(path.name.swapcase().replace(".PNG", ".png")))))
    done = segment(frames, tmp_path / "r", model_folder)
    assert done.exit_code == 2 and "two frames have this name" in done.output
    assert np.array(Image.open(tmp_path / "r/Annotations/clip/0/A.png")).shape == (30, 40)
