"""A step that another runtime computes from its ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from samwise_ros.engines.flat_step import StepInputs, named_inputs, read_outputs
from samwise_ros.engines.onnx_graph import padded_text
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.frame_step import Answer, Fill
from samwise_ros.streaming.stream_state import StreamState
from samwise_ros.structures import MissingDependencyError, SamwiseError


class Runtime(Protocol):
    """Runs a loaded graph: arrays in the order of its inputs -> arrays in that of its outputs."""

    def __call__(self, arrays: list[np.ndarray], /) -> list[np.ndarray]:
        """Run once."""


def onnx_runtime(path: Path, threads: int, cuda: bool = False) -> Runtime:
    """ONNX Runtime on the CPU, or with its CUDA provider.

    Args:
        path: The graph. threads: Of the CPU. cuda: On the GPU; arrays go there and back.

    Raises:
        MissingDependencyError: It is not installed, or has no CUDA provider.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("engine onnx needs the Python package onnxruntime: "
                                     "pip install 'samwise_ros[onnx]'") from error
    provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise MissingDependencyError(f"engine onnx: this onnxruntime has no {provider}: "
                                     "pip install onnxruntime-gpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    names = [entry.name for entry in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def openvino_runtime(path: Path, threads: int) -> Runtime:
    """OpenVINO on the CPU, in fp32.

    Raises MissingDependencyError when it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError("engine openvino needs the Python package openvino: "
                                     "pip install 'samwise_ros[openvino]'") from error
    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()

    def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
        found = request.infer(arrays)
        # copies: the request's own buffers are written to by the next frame
        return [np.array(found[output]) for output in compiled.outputs]

    return run


class GraphStep:
    """Takes and returns what a `FrameStep` does.

    Args:
        run: The runtime with the graph loaded.
        inputs: The example that the graph was made from.
    """

    def __init__(self, run: Runtime, inputs: StepInputs) -> None:
        self._run = run
        self._length = inputs.text.mask.shape[1]
        self._shapes = [(name, tensor.shape) for name, tensor in named_inputs(inputs)]

    def __call__(self, pixels: Tensor, text: TextState, state: StreamState,
                 fill: Fill | None = None) -> tuple[Answer, StreamState]:
        """See `FrameStep.forward`; `fill` is not needed: the graph serves every state.

        Raises:
            SamwiseError: A tensor has another shape than the graph was made for.
        """
        given = named_inputs(StepInputs(pixels, padded_text(text, self._length), state))
        for (name, tensor), (_, shape) in zip(given, self._shapes, strict=True):
            if tensor.shape != shape:
                raise SamwiseError(f"the graph takes {name} of shape {list(shape)}, not "
                                   f"{list(tensor.shape)}: export it for that")
        found = self._run([tensor.detach().cpu().numpy() for _, tensor in given])
        return read_outputs(state, iter([torch.from_numpy(array).to(pixels.device)
                                         for array in found]))


RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    "onnx": onnx_runtime, "openvino": openvino_runtime}
