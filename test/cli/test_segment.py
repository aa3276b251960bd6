"""`samwise segment` on real small videos, in this process and as a program that is interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from data_builders import build_mevis
from model_builders import MICRO, make_frames, make_model
from PIL import Image
from typer.testing import CliRunner, Result

from samwise_ros.cli.main import app
from samwise_ros.data.mevis import MevisSource
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.clip_runner import ClipRunner
from samwise_ros.streaming.drawing import colour_of
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.video_file import VideoWriter
from samwise_ros.streaming.video_io import FrameSource
from samwise_ros.structures import Command, CommandKind

pytestmark = pytest.mark.usefixtures("one_thread")
SENTENCES = ["the red mug", "duck"]


@pytest.fixture(scope="module")
def model_folder(tiny_tokenizer: ExpressionTokenizer,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(make_model(MICRO, tiny_tokenizer), tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "toys.mp4"
    with closing(VideoWriter(path, 10)) as writer:
        for frame in make_frames(10, 48, 64):
            writer.write(frame)
    return path


def segment(source: Path, out: Path, model: Path, *arguments: str,
            sentences: list[str] = SENTENCES) -> Result:
    asked = [part for sentence in sentences for part in ("--expression", sentence)]
    return CliRunner().invoke(app, ["segment", str(source), *asked, "--model", str(model),
                                    "--device", "cpu", "--out", str(out), *arguments])


def masks_of(out: Path, video_name: str, target: int) -> dict[str, np.ndarray]:
    return {path.stem: np.array(Image.open(path)) for path in
            sorted((out / "Annotations" / video_name / str(target)).glob("*.png"))}


def records_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_stream_mode_writes_what_a_session_answers(
        tmp_path: Path, model_folder: Path, video: Path) -> None:
    from samwise_ros import load_model

    done = segment(video, tmp_path, model_folder)
    assert done.exit_code == 0, done.output
    session = StreamingSession(load_model(model_folder, device="cpu"))
    for index, sentence in enumerate(SENTENCES):
        session.submit(Command(CommandKind.ADD, str(index), sentence))
    records = iter(records_of(tmp_path))
    for frame in FrameSource(video):
        for index, target in enumerate(session.step(frame.rgb).targets):
            mask = masks_of(tmp_path, "toys", index)[frame.name]
            assert mask.dtype == np.uint8 and mask.shape == (48, 64)
            np.testing.assert_array_equal(mask, target.mask * np.uint8(255))
            record = next(records)
            assert (record["name"], record["target"]) == (frame.name, index)
            assert (record["state"], record["area"]) == (target.state.value, target.area)
            assert record["object_score"] == pytest.approx(target.object_score, abs=1e-5)
            assert record["score"] == pytest.approx(target.score, abs=1e-6)
    assert next(records, None) is None
    assert len(list(FrameSource(tmp_path / "overlay.mp4"))) == 10
    assert Image.open(tmp_path / "contact_sheet.png").size[0] == 4 * 320


def test_clip_mode_writes_what_the_official_protocol_answers(
        tmp_path: Path, model_folder: Path, video: Path) -> None:
    from samwise_ros import load_model

    done = segment(video, tmp_path, model_folder, "--mode", "clip")
    assert done.exit_code == 0, done.output
    model = load_model(model_folder, device="cpu")
    for index, sentence in enumerate(SENTENCES):
        found = masks_of(tmp_path, "toys", index)
        assert len(found) == 10
        for frame in ClipRunner(model).run((f.rgb for f in FrameSource(video)), sentence):
            np.testing.assert_array_equal(found[f"{frame.index:05d}"] > 0, frame.mask)


def test_max_frames_cuts_the_video_and_a_folder_keeps_its_names(
        tmp_path: Path, model_folder: Path) -> None:
    folder = tmp_path / "dogs"
    folder.mkdir()
    for index, frame in enumerate(make_frames(4, 30, 40)):
        Image.fromarray(frame).save(folder / f"{5 * index:05d}.jpg")
    done = segment(folder, tmp_path / "o", model_folder, "--max-frames", "2",
                   sentences=["the ball"])
    assert done.exit_code == 0 and "2 frames" in done.output
    assert list(masks_of(tmp_path / "o", "dogs", 0)) == ["00000", "00005"]


@pytest.mark.parametrize("mode", ["stream", "clip"])
def test_one_image_is_enough(tmp_path: Path, model_folder: Path, mode: str) -> None:
    Image.fromarray(make_frames(1, 31, 47)[0]).save(tmp_path / "photo.png")
    done = segment(tmp_path / "photo.png", tmp_path / "o", model_folder, "--mode", mode,
                   "--image-size", "128", "--fit", "rectangle", sentences=["mug"])
    assert done.exit_code == 0, done.output
    assert masks_of(tmp_path / "o", "photo", 0)["photo"].shape == (31, 47)
    assert (tmp_path / "o" / "overlay.mp4").stat().st_size > 0


@pytest.mark.parametrize(("arguments", "sentences", "message"), [
    ((), [" "], "expected an id and a sentence|empty"),
    ((), ["unforeseeable " * 200], "tokens"),
    (("--image-size", "100"), ["mug"], "multiple of 64"),
    (("--mode", "clip", "--precision", "bf16"), ["mug"], "fp32"),
    (("--mode", "clip", "--engine", "onnx"), ["mug"], "--mode stream for onnx"),
    (("--mode", "clip"), [""], "empty")])
def test_wrong_use_is_one_line_with_exit_code_two(
        tmp_path: Path, model_folder: Path, video: Path, arguments: tuple, sentences: list,
        message: str) -> None:
    done = segment(video, tmp_path / "o", model_folder, *arguments, sentences=sentences)
    assert done.exit_code == 2 and re.search(message, done.output), done.output
    assert "Traceback" not in done.output
    assert not list((tmp_path / "o").glob("Annotations/*/*/*.png"))


def test_a_simulated_folder_brings_its_own_sentences_and_a_legend(
        tmp_path: Path, model_folder: Path) -> None:
    data = build_mevis(tmp_path / "sim", ("v0", "v1"), simulated=True)
    done = segment(data, tmp_path / "o", model_folder, sentences=[])
    other = segment(data / "JPEGImages" / "v1", tmp_path / "p", model_folder, sentences=["mug"])
    assert done.exit_code == 0 and other.exit_code == 0, done.output + other.output
    asked = [record["expression"] for record in records_of(tmp_path / "o")[:4]]
    known = MevisSource(data).videos[0].expressions
    kinds = {expression.text: expression for expression in known}
    objects = [number for text in asked for number in kinds[text].object_ids]
    assert sorted(objects) == [0, 1, 2], "every object once"
    assert kinds[asked[-1]].kind == "absent"
    sheets = [np.array(Image.open(tmp_path / name / "contact_sheet.png")) for name in "op"]
    assert sheets[0].shape[0] - sheets[1].shape[0] == 22 * (len(asked) - 1)
    assert tuple(sheets[1][-15, 10]) == colour_of(0)


def test_without_sentences_a_plain_video_asks_for_them(video: Path, model_folder: Path,
                                                       tmp_path: Path) -> None:
    done = segment(video, tmp_path / "o", model_folder, sentences=[])
    assert done.exit_code == 2 and "say what to find" in done.output


def test_an_absent_model_says_how_to_get_one(tmp_path: Path, video: Path) -> None:
    done = segment(video, tmp_path / "o", Path("base_plus"), sentences=["mug"])
    assert done.exit_code == 2 and "seeded" in done.output


@pytest.mark.timeout(600)
def test_ctrl_c_leaves_valid_output(tmp_path: Path, model_folder: Path) -> None:
    """A real process and a real signal, on a video that would take minutes."""
    folder, out = tmp_path / "long", tmp_path / "o"
    folder.mkdir()
    frame = Image.fromarray(make_frames(1, 48, 64)[0])
    for index in range(3000):
        frame.save(folder / f"{index:05d}.bmp")
    process = subprocess.Popen(
        [sys.executable, "-m", "samwise_ros.cli.main", "segment", str(folder), "-e", "mug",
         "--model", str(model_folder), "--device", "cpu", "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"))
    try:
        deadline = time.monotonic() + 400
        while len(list(out.glob("Annotations/long/0/*.png"))) < 4:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no masks in time"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "stopping" in errors and "Traceback" not in errors
    masks, records = masks_of(out, "long", 0), records_of(out)
    assert 4 <= len(masks) < 3000 and [r["name"] for r in records] == list(masks)
    assert all(mask.shape == (48, 64) for mask in masks.values())
    assert len(list(FrameSource(out / "overlay.mp4"))) == len(masks)
    assert Image.open(out / "contact_sheet.png").verify() is None
    assert f"{len(masks)} frames" in output
    assert not list(out.rglob("*.partial"))


# What is shown

@pytest.fixture(scope="module")
def shown_folder(tiny_tokenizer: ExpressionTokenizer,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model(MICRO.replace(shown="masks"), tiny_tokenizer)
    return save_model(model, tmp_path_factory.mktemp("model") / "m")


@pytest.mark.parametrize("sentences", [[], ["the red mug"]])
def test_a_mask_shows_the_target_from_its_frame_on(
        video: Path, shown_folder: Path, tmp_path: Path, sentences: list[str]) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = segment(video, tmp_path / "out", shown_folder, "--mask", str(tmp_path / "mask.png"),
                     "--frame", "4", sentences=sentences)
    assert result.exit_code == 0, result.output
    found = masks_of(tmp_path / "out", "toys", 0)
    assert list(found) == [f"{index:05d}" for index in range(4, 10)]
    overlap = ((found["00004"] > 0) & (mask > 0)).sum() / ((found["00004"] > 0) | (mask > 0)).sum()
    assert overlap > 0.9
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["expression"] == (sentences or ["shown"])[0]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--point", "9,9,9"], "expected 2 numbers"), (["--box", "1,2,x,4"], "expected 4 numbers"),
    (["--box", "9,9,3,12"], "x0 < x1"), (["--frame", "3"], "goes with --point"),
    (["--point", "9,9", "-e", "a", "-e", "b"], "one target is shown at a time"),
    (["--point", "9,9", "--mode", "clip"], "--mode stream"),
    (["--point", "99,9"], "outside the image of 64x48"), (["--mask", "none.png"], "none.png")])
def test_what_shows_nothing_is_refused_with_the_reason(
        video: Path, shown_folder: Path, tmp_path: Path, arguments: list[str], message: str
        ) -> None:
    result = segment(video, tmp_path / "out", shown_folder, *arguments, sentences=[])
    said = " ".join((result.output + str(result.exception)).replace("\u2502", " ").split())
    assert result.exit_code and message in said
