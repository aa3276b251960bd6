"""`samwise export` as people call it: files, the comparison, what is refused."""

import json
from pathlib import Path

import cv2
import pytest
from model_builders import make_frames
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.engines.export import GraphErrors
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.samwise import SamwiseModel

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_errors_are_judged_by_the_tolerance() -> None:
    assert GraphErrors(20, 1e-4, 2e-4, 1e-4, 0.9995).within(1e-3)
    assert not GraphErrors(20, 1e-4, 2e-3, 1e-4, 1.0).within(1e-3)
    assert not GraphErrors(20, 1e-4, 1e-4, 2e-3, 1.0).within(1e-3)
    assert not GraphErrors(20, 1e-4, 1e-4, 1e-4, 0.9).within(1e-3)


@pytest.mark.timeout(900)
def test_a_model_is_exported_and_compared_on_a_given_video(micro_model: SamwiseModel,
                                                           tmp_path: Path) -> None:
    weights = save_model(micro_model, tmp_path / "micro")
    frames = make_frames(6)
    height, width = frames[0].shape[:2]
    (tmp_path / "video").mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "video" / f"{number:05d}.png"), frame[..., ::-1])
    arguments = ["export", "--model", str(weights), "--camera", f"{width}x{height}",
                 "--check", str(tmp_path / "video"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "over 6 frames" in result.output
    described = json.loads((tmp_path / "out" / "step.json").read_text())
    assert described["camera"] == [height, width] and described["targets"] == 1
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "step.onnx" in again.output, "nothing is overwritten"
