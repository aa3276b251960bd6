"""`samwise export` as people call it: files, the comparison, what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from model_builders import MICRO, make_frames, make_model, set_object_score
from typer.testing import CliRunner

from samwise_ros.cli.main import app
from samwise_ros.engines.export import GraphErrors
from samwise_ros.model.checkpoint import save_model
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_errors_are_judged_by_the_tolerance() -> None:
    assert GraphErrors(20, 1e-4, 2e-4, 1e-4, 0.9995, 20).within(1e-3)
    assert not GraphErrors(20, 1e-4, 2e-3, 1e-4, 1.0, 20).within(1e-3)
    assert not GraphErrors(20, 1e-4, 1e-4, 2e-3, 1.0, 20).within(1e-3)
    assert not GraphErrors(20, 1e-4, 1e-4, 1e-4, 0.9, 20).within(1e-3)


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (width, height))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


@pytest.mark.timeout(900)
def test_a_model_is_exported_and_compared_on_a_given_video(micro_model: SamwiseModel,
                                                           tmp_path: Path) -> None:
    weights = save_model(micro_model, tmp_path / "micro")
    frames = make_frames(6)
    height, width = frames[0].shape[:2]
    write_video(tmp_path / "video.avi", frames)
    arguments = ["export", "--model", str(weights), "--camera", f"{width}x{height}",
                 "--check", str(tmp_path / "video.avi"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "over 6 frames" in result.output
    described = json.loads((tmp_path / "out" / "step.json").read_text())
    assert described["camera"] == [height, width] and described["targets"] == 1
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "step.onnx" in again.output, "nothing is overwritten"


@pytest.mark.timeout(900)
def test_products_in_half_precision_are_compared_with_the_model_in_full(
        micro_model: SamwiseModel, tmp_path: Path) -> None:
    weights = save_model(micro_model, tmp_path / "micro")
    result = CliRunner().invoke(app, [
        "export", "--model", str(weights), "--camera", "128x96", "--frames", "4", "--precision",
        "fp16", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    graph = onnx.load(tmp_path / "out" / "step.onnx").graph
    halves = {part.name for part in graph.initializer
              if part.data_type == onnx.TensorProto.FLOAT16}
    multiplied = [node for node in graph.node if node.op_type in ("MatMul", "Gemm", "Conv")]
    assert sum(not halves.isdisjoint(node.input) for node in multiplied) > len(multiplied) / 3
    norms = [node for node in graph.node if node.op_type in ("LayerNormalization", "Softmax")]
    assert norms and all(halves.isdisjoint(node.input) for node in norms)
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}.isdisjoint(
        {onnx.TensorProto.FLOAT16})
    assert json.loads((tmp_path / "out" / "step.json").read_text())["precision"] == "fp16"


@pytest.mark.timeout(900)
def test_above_the_tolerance_errors_are_printed_and_the_exit_code_is_1(
        micro_model: SamwiseModel, tmp_path: Path) -> None:
    weights = save_model(micro_model, tmp_path / "micro")
    result = CliRunner().invoke(app, [
        "export", "--model", str(weights), "--camera", "128x96", "--frames", "2", "--tolerance",
        "1e-12", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "object score" in result.output and "error: more than 1e-12" in result.output


@pytest.mark.timeout(900)
def test_a_comparison_without_any_mask_says_so(tiny_tokenizer: ExpressionTokenizer,
                                               tmp_path: Path) -> None:
    model = make_model(MICRO, tiny_tokenizer)
    set_object_score(model, -5.0)
    weights = save_model(model, tmp_path / "micro")
    result = CliRunner().invoke(app, ["export", "--model", str(weights), "--camera", "128x96",
                                      "--frames", "2", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "no mask in either" in said and "mask IoU" not in said


def test_a_video_of_another_size_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "video.avi", make_frames(2))
    done = CliRunner().invoke(app, ["export", "--seeded", "--check", str(tmp_path / "video.avi"),
                                    "--out", str(tmp_path / "out")])
    assert done.exit_code == 2 and not (tmp_path / "out").exists()
    assert "frames of 128x96 pixels: give that as --camera" in " ".join(done.output.split())
