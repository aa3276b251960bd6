"""Which engine can run where: refused by name, with what to do, before weights are loaded."""

import sys

import pytest
import torch

from samwise_ros.config import EngineName
from samwise_ros.engines import choice
from samwise_ros.engines.choice import engine_device, engine_precision
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.structures import ConfigError, MissingDependencyError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all packages were there."""
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    monkeypatch.setattr(choice, "require_openvino", lambda: None)
    monkeypatch.setattr(choice, "require_onnxruntime", lambda cuda: _Runtime)
    monkeypatch.setattr(choice, "require_compiler", lambda: None)


class _Runtime:
    @staticmethod
    def get_available_providers() -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(("engine", "gpu", "asked", "device"), [
    ("eager", True, "auto", "auto"), ("eager", False, "cpu", "cpu"),
    ("compile", True, "cuda:1", "cuda:1"), ("cuda_graph", True, "auto", "auto"),
    ("cuda_graph", True, "cuda:1", "cuda:1"), ("openvino", True, "auto", "cpu"),
    ("openvino", False, "cpu", "cpu"), ("onnx", False, "auto", "cpu"),
    ("onnx", True, "auto", "cuda"), ("onnx", True, "cuda:1", "cuda:1"),
    ("onnx", True, "cpu", "cpu")])
def test_an_engine_goes_where_it_can_run(
        installed: None, monkeypatch: pytest.MonkeyPatch, engine: EngineName, gpu: bool,
        asked: str, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert engine_device(engine, asked) == device


@pytest.mark.parametrize(("engine", "gpu", "asked", "reason"), [
    ("cuda_graph", False, "auto", r"cuda_graph needs a GPU .* none here: use eager"),
    ("cuda_graph", True, "cpu", "device is cpu"),
    ("openvino", True, "cuda:0", "openvino runs on the CPU: set device")])
def test_where_it_cannot_run_it_is_refused(
        installed: None, monkeypatch: pytest.MonkeyPatch, engine: EngineName, gpu: bool,
        asked: str, reason: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    with pytest.raises(ConfigError, match=reason):
        engine_device(engine, asked)


@pytest.mark.parametrize(("engine", "package"), [
    ("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_what_is_not_installed_is_refused_with_what_installs_it(
        monkeypatch: pytest.MonkeyPatch, engine: EngineName, package: str) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError,
                       match=rf"engine {engine} needs .*{package}: pip install "
                             rf"'samwise_ros\[{engine}\]'"):
        engine_device(engine)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=f"engine {engine} needs .*onnxscript: pip"):
        engine_device(engine)


def test_a_runtime_without_cuda_is_refused_with_what_installs_it() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has a CUDA provider")
    pytest.importorskip("onnxscript")
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime-gpu"):
        engine_device("onnx", "cuda")


def test_graphs_compute_in_full_precision_only(micro_model: SamwiseModel) -> None:
    assert engine_precision("onnx", "auto") == engine_precision("openvino", "fp32") == "fp32"
    assert engine_precision("compile", "bf16") == "bf16"
    with pytest.raises(ConfigError, match="engine onnx computes in fp32"):
        engine_precision("onnx", "bf16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_session_of_an_engine_that_cannot_run_is_not_made(micro_model: SamwiseModel) -> None:
    with pytest.raises(ConfigError, match="cuda_graph needs a GPU"):
        SessionMaker(micro_model, "cuda_graph")
