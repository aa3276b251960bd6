"""Which engines can run here and on which device, said before any weights are loaded."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from samwise_ros.config import EngineName, Precision
from samwise_ros.engines.graph_step import require_onnxruntime, require_openvino
from samwise_ros.engines.torch_steps import require_compiler
from samwise_ros.structures import ConfigError, MissingDependencyError

GRAPH_ENGINES = ("onnx", "openvino")  # of an exported graph, in fp32


def engine_device(engine: EngineName, device: str = "auto") -> str:
    """The device for a model that an engine runs, as `load_model` takes it.

    Args:
        engine: One of `config.EngineName`.
        device: What was asked for; "auto": a GPU where there is one and the engine can use it.

    Raises:
        MissingDependencyError: The engine is not installed; says what installs it.
        ConfigError: The engine cannot run on that device.
    """
    asked, gpu = device.partition(":")[0], torch.cuda.is_available()
    if engine in GRAPH_ENGINES:
        _require_exporter(engine)
    if engine == "onnx":
        return _onnx_device(device, gpu)
    if engine == "openvino":
        require_openvino()
        if asked == "cuda":
            raise ConfigError("engine openvino runs on the CPU: set device to cpu or auto, or use "
                              "cuda_graph or onnx")
        return "cpu" if asked == "auto" else device
    if engine == "cuda_graph" and (asked not in ("auto", "cuda") or not gpu):
        raise ConfigError("engine cuda_graph needs a GPU that torch can use (CUDA), and "
                          + (f"device is {device}" if gpu else "there is none here")
                          + ": use eager, compile, onnx or openvino")
    if engine == "compile" and (asked == "cpu" or not gpu):
        require_compiler()
    return device


def engine_precision(engine: EngineName, precision: Precision) -> Precision:
    """The precision of a session with an engine. Raises ConfigError where it has no such one."""
    if engine not in GRAPH_ENGINES:
        return precision
    if precision not in ("auto", "fp32"):
        raise ConfigError(f"engine {engine} computes in fp32: set precision to auto or fp32, not "
                          f"{precision}")
    return "fp32"


def _onnx_device(device: str, gpu: bool) -> str:
    if device != "auto":
        require_onnxruntime(cuda=device.startswith("cuda"))
        return device
    onnxruntime = require_onnxruntime(cuda=False)
    on_gpu = gpu and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return "cuda" if on_gpu else "cpu"


def _require_exporter(engine: EngineName) -> None:
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise MissingDependencyError(
            f"engine {engine} needs the Python packages {' and '.join(missing)}: "
            f"pip install 'samwise_ros[{engine}]'")
