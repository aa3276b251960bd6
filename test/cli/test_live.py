"""`samwise live`: what can be watched, and the program as a whole."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the page: pip install 'samwise_ros[live]'")
pytest.importorskip("websockets", reason="needs the page: pip install 'samwise_ros[live]'")

from live_builders import TIMEOUT, command, picture, states, watch
from typer.testing import CliRunner

from samwise_ros.cli import live_sources
from samwise_ros.cli.live_sources import open_source, source_names
from samwise_ros.cli.main import app
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import ConfigError, FrameError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one after the other at 25 per second."""
    for number in range(3):
        rgb = np.full((48, 64, 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), rgb)
    return tmp_path


def test_cameras_are_named_after_what_they_show() -> None:
    assert source_names(["clip.mp4"]) == source_names(["0"]) == [""]
    assert source_names(["0", "a/clip.mp4", "b/clip.mkv", "sim:3", "a b.mp4", "clip.avi"]) == [
        "camera0", "clip", "clip_2", "sim3", "a_b", "clip_3"]


def test_a_folder_is_played_in_real_time_and_begun_again(folder: Path) -> None:
    begun = time.monotonic()
    shots = list(itertools.islice(open_source(str(folder))(lambda s: time.sleep(s) is not None), 7))
    assert time.monotonic() - begun >= 6 * 0.04 - 0.02
    assert [shot.rgb[0, 0, 0] for shot in shots] == [0, 40, 80, 0, 40, 80, 0]
    assert [shot.first for shot in shots] == [True, False, False, True, False, False, True]


def test_playing_ends_when_told(folder: Path) -> None:
    assert len(list(open_source(str(folder))(lambda seconds: True))) == 0


def test_a_reader_that_was_held_up_does_not_hurry_after(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_sources, "_LATE", 0.0)
    waits: list[float] = []
    frames = open_source(str(folder))(lambda seconds: waits.append(seconds))
    next(frames)
    time.sleep(0.3)
    next(frames)
    next(frames)
    assert waits[1] == 0.0 and waits[2] > 0.02


@pytest.mark.parametrize(("source", "words"), [
    ("nothing.mp4", "no such video"), ("77", "camera 77 cannot be opened")])
def test_what_is_not_there_is_refused_by_name(source: str, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        open_source(source)
    done = CliRunner().invoke(app, ["live", source])
    assert done.exit_code == 2 and words in done.output


@pytest.mark.parametrize(("sources", "model"), [
    (["sim"], "nano"), (["sim:3", "sim"], "nano"), (["clip"], "mini"), (["sim", "0"], "mini"),
    (["sim", "--model", "tiny"], "tiny")], ids=str)
def test_nano_is_taken_for_simulated_cameras_alone(sources: list[str], model: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, **_: object) -> None:
        raise ConfigError(f"asked for {name}")

    monkeypatch.setattr("samwise_ros.cli.live.open_source", lambda source: source)
    monkeypatch.setattr("samwise_ros.model.checkpoint.load_model", load)
    done = CliRunner().invoke(app, ["live", *sources, "--port", "0"])
    assert done.exit_code == 2 and f"asked for {model}" in done.output


def test_a_port_in_use_is_said_before_a_model_is_looked_for(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["live", str(folder), "--model", "no_such_model",
                                        "--port", str(port)])
    assert done.exit_code == 2 and f"port {port} of localhost is in use" in done.output


def test_a_device_is_read_as_rgb_and_its_end_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV reads a video through the same calls as a camera, which may not be there."""
    path = str(tmp_path / "device.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(2):
        writer.write(np.full((48, 64, 3), (200, 100, 20), np.uint8))
    writer.release()
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: real(path))
    frames = open_source("0")(lambda seconds: False)
    first, second = next(frames), next(frames)
    assert (first.first, second.first) == (True, False)
    assert np.abs(first.rgb[20, 20].astype(int) - (20, 100, 200)).max() < 12
    with pytest.raises(FrameError, match="camera 0 sends no pictures"):
        next(frames)


@pytest.mark.timeout(600)
def test_the_program_answers_with_an_engine(folder: Path, micro_model: SamwiseModel,
                                            tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    beside = tmp_path_factory.mktemp("live")
    weights = save_model(micro_model, beside / "micro")
    process = subprocess.Popen(
        [sys.executable, "-m", "samwise_ros.cli.main", "live", str(folder), "--port", "0",
         "--model", str(weights), "--engine", "onnx", "-e", "the cup"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(beside)})
    try:
        port = int(process.stdout.readline().rpartition(":")[2].strip().strip("/"))
        name = "engine onnx for 64x48, 1 row(s), 32 tokens"
        assert process.stdout.readline().startswith(f"{name}: being prepared")
        assert process.stdout.readline().startswith(f"{name}: ready after")
        with watch(port) as client:
            found = states(client, lambda message: bool(message["cameras"][0]["targets"]))
            assert found["cameras"][0]["targets"][0]["expression"] == "the cup"
    finally:
        process.terminate()
        process.communicate()


def test_an_engine_that_cannot_run_is_said_before_a_model_is_looked_for(folder: Path) -> None:
    done = CliRunner().invoke(app, ["live", str(folder), "--model", "no_such_model", "--engine",
                                    "cuda_graph", "--device", "cpu"])
    assert done.exit_code == 2 and "cuda_graph needs a GPU" in done.output


def test_the_program_shows_a_folder_takes_commands_and_ends(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "samwise_ros.cli.main", "live", str(folder), "--port", "0",
         "--model", "nano", "-e", "the cup"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))  # noqa: PLW1509
    try:
        url = process.stdout.readline().removeprefix("open ").strip()
        assert url.startswith("http://localhost:"), process.stderr.read()
        port = url.rpartition(":")[2].strip("/")
        with watch(int(port)) as client:
            assert picture(client)[2].shape == (48, 64, 3)
            found = states(client, lambda message: bool(message["cameras"][0]["targets"]))
            assert found["cameras"][0]["targets"][0]["expression"] == "the cup"
            assert command(client, "add:duck: the duck") == {"accepted": "accepted as command 2"}
            assert "known are target, duck" in command(client, "remove:x")["refused"]
            assert command(client, "stop") == {"accepted": "accepted as command 3"}
            states(client, lambda said: said["cameras"][0]["status"] == "nothing is looked for")
        taken = CliRunner().invoke(app, ["live", str(folder), "--port", port])
        assert taken.exit_code == 2 and "is in use" in taken.output
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0 and "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
