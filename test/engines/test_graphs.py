"""The step as an ONNX graph: what is in it, and what two runtimes make of it, frame by frame."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mini_builders import make_mini
from model_builders import make_frames

from samwise_ros.config import SessionConfig
from samwise_ros.engines import onnx_graph
from samwise_ros.engines.export import compare, export_model
from samwise_ros.engines.flat_step import StepInputs, example_inputs, named_tensors
from samwise_ros.engines.graph_step import RUNTIMES, GraphStep
from samwise_ros.engines.onnx_graph import (
    export_step,
    export_text,
    forbidden_operators,
    halve_products,
    padded_text,
    weights_digest,
)
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.text_encoder import TextState, stack_text
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.image_ops import prepare_frame
from samwise_ros.streaming.steps import StepShape
from samwise_ros.structures import SamwiseError

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'samwise_ros[onnx]')")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytestmark = pytest.mark.timeout(900)  # an export takes a minute of a quiet core
SENTENCES = ("the red mug", "the small blue ball on the left side")
LENGTH = 24


def example(model: SamwiseModel, rows: int = 2) -> tuple[FrameStep, StepInputs]:
    _, size = prepare_frame(make_frames(1)[0], model.config)
    return FrameStep(model, size, SessionConfig()).eval(), example_inputs(
        model, StepShape(size, rows, LENGTH), SessionConfig())


@pytest.fixture(scope="module")
def graph(micro_model: SamwiseModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    path = tmp_path_factory.mktemp("graph") / "step.onnx"
    step, inputs = example(micro_model)
    return path, export_step(step, inputs, path)


def test_the_graph_is_described_as_it_is(micro_model: SamwiseModel,
                                         graph: tuple[Path, dict]) -> None:
    import onnx

    path, description = graph
    model = onnx.load(path)
    onnx.checker.check_model(model)
    for side in ("input", "output"):
        described = {entry["name"]: entry["shape"] for entry in description[f"{side}s"]}
        assert {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
                for value in getattr(model.graph, side)} == described
    assert description["weights_sha256"] == weights_digest(micro_model)
    assert model.opset_import[0].version == description["opset"]
    json.dumps(description)


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_a_runtime_follows_the_step_through_a_stream(micro_model: SamwiseModel, name: str,
                                                     graph: tuple[Path, dict]) -> None:
    """Two rows, one of which starts anew on the way; each with its own memory."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(name, name))
    step, inputs = example(micro_model)
    runtime = GraphStep(RUNTIMES[name](graph[0], 1), inputs)
    state, other = inputs.state, inputs.state
    with torch.no_grad():
        text = stack_text([micro_model.encode_text(micro_model.tokenizer([s])) for s in SENTENCES])
        for t, frame in enumerate(make_frames(22)):
            pixels, _ = prepare_frame(frame, micro_model.config)
            if t == 9:
                first = torch.tensor([True, False])
                state, other = state.restarted(first), other.restarted(first)
            answer, state = step(pixels, text, state)
            # As pixels lie in memory where a picture needs no padding.
            pixels = pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1)
            found, other = runtime(pixels, text, other)
            for (field, one), (_, two) in zip(named_tensors(answer, "answer"),
                                              named_tensors(found, "answer"), strict=True):
                if field in ("answer.scores", "answer.low_res"):
                    torch.testing.assert_close(one, two, atol=1e-3, rtol=1e-3)
            assert (answer.masks != found.masks).float().mean() < 1e-3
    assert other.ages.tolist() == [13, 22]


def test_another_shape_is_refused_by_name(micro_model: SamwiseModel,
                                          graph: tuple[Path, dict]) -> None:
    pytest.importorskip("onnxruntime")
    _, inputs = example(micro_model)
    runtime = GraphStep(RUNTIMES["onnx"](graph[0], 1), inputs)
    _, one = example(micro_model, rows=1)
    with pytest.raises(SamwiseError, match=r"text.hidden of shape \[2, 24, 32\]"):
        runtime(*one)
    with pytest.raises(SamwiseError, match="a sentence has 24 tokens"):
        padded_text(inputs.text, 8)


def test_a_model_that_takes_sentences_apart_is_exported_without_its_text(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, frames = make_mini(), make_frames(3)
    graph = export_model(model, tmp_path, camera=frames[0].shape[:2], targets=1, tokens=LENGTH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step.json", "step.onnx"]
    errors = compare(model, graph, frames, ["the red mug"], LENGTH)
    assert errors.frames == 3 and errors.within(1e-2)


@pytest.mark.parametrize("beside", [False, True])
def test_the_text_prefix_is_a_graph_of_its_own(
        micro_model: SamwiseModel, tmp_path: Path, beside: bool,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """With its weights in the same file, or, where they are too many for one, in one beside it."""
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "text.onnx"
    if beside:
        monkeypatch.setattr(onnx_graph, "_ONE_FILE", 0)
    export_text(micro_model, LENGTH, path)
    weights = tmp_path / "text.onnx.data"
    assert weights.exists() is beside
    tokens = micro_model.tokenizer([SENTENCES[1]])
    with torch.no_grad():
        expected = padded_text(micro_model.encode_text(tokens), LENGTH)
    ids = np.full((1, LENGTH), 1)
    ids[:, : tokens.ids.shape[1]] = tokens.ids
    mask = expected.mask.numpy()
    found = onnxruntime.InferenceSession(str(path)).run(None, {"ids": ids, "mask": mask})
    text = TextState(torch.from_numpy(found[0]), expected.mask)
    torch.testing.assert_close(text.hidden[expected.mask], expected.hidden[expected.mask],
                               atol=1e-5, rtol=1e-5)
    if beside:
        full = weights.stat().st_size
        halve_products(path)
        assert weights.stat().st_size < full
        rough = onnxruntime.InferenceSession(str(path)).run(None, {"ids": ids, "mask": mask})[0]
        assert 0 < np.abs(rough - found[0])[mask].max() < 0.02


def test_what_engines_of_fixed_shape_refuse_is_found(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    path = tmp_path / "graph.onnx"
    given = helper.make_tensor_value_info("x", TensorProto.COMPLEX64, [2])
    made = helper.make_tensor_value_info("y", TensorProto.INT64, [1, None])
    save(helper.make_model(helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"])], "graph", [given], [made])), path)
    assert forbidden_operators(path) == ["NonZero", "complex numbers"]


_SIGNALLED = """
import ctypes, faulthandler, gc, os, signal, sys
from pathlib import Path
from samwise_ros.engines.graph_step import openvino_runtime

faulthandler.enable()  # gives the main thread a stack for signal handlers, as pytest does
stack = ctypes.create_string_buffer(24)
ctypes.CDLL(None).sigaltstack(None, stack)
before = stack.raw
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
runs = [openvino_runtime(Path(path), 1) for path in sys.argv[1:]]
while runs:
    os.kill(os.getpid(), signal.SIGUSR1)
    del runs[0]
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
ctypes.CDLL(None).sigaltstack(None, stack)
print(len(heard), stack.raw == before)
"""


def test_signals_are_survived_once_openvino_was_used(graph: tuple[Path, dict]) -> None:
    pytest.importorskip("openvino", reason="pip install 'samwise_ros[openvino]'")
    ended = subprocess.run([sys.executable, "-c", _SIGNALLED, graph[0], graph[0]],
                           capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("3 True\n", 0), ended.stderr
