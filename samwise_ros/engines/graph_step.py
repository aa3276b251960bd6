"""A step that another runtime computes from its ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import torch
from torch import Tensor

from samwise_ros.engines.flat_step import StepInputs, check_shapes, named_inputs, read_outputs
from samwise_ros.engines.onnx_graph import padded_text
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.frame_step import Answer, Fill
from samwise_ros.streaming.stream_state import StreamState
from samwise_ros.structures import MissingDependencyError

_ONNX_TYPES = {"tensor(float)": torch.float32, "tensor(int64)": torch.int64,
               "tensor(int32)": torch.int32, "tensor(bool)": torch.bool}


class Runtime(Protocol):
    """Runs a loaded graph: tensors in the order of its inputs -> tensors in that of its outputs."""

    def __call__(self, tensors: Sequence[Tensor], /) -> list[Tensor]:
        """Run once, from and into tensors on the runtime's device."""


def onnx_runtime(path: Path, threads: int, device: torch.device | None = None) -> Runtime:
    """ONNX Runtime: its CPU provider, or its CUDA provider on the GPU where the tensors are.

    Args:
        path: The graph. threads: Of the CPU. device: Where tensors are; None: the CPU.

    Raises:
        MissingDependencyError: It is not installed, or has no CUDA provider.
    """
    device = device or torch.device("cpu")
    onnxruntime = require_onnxruntime(device.type == "cuda")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait would keep the cores from whatever else runs between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    index = device.index or 0
    provider = (("CUDAExecutionProvider", {"device_id": index}) if device.type == "cuda"
                else "CPUExecutionProvider")
    session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
    names = [entry.name for entry in session.get_inputs()]
    made = [(entry.name, entry.shape, _ONNX_TYPES[entry.type])
            for entry in session.get_outputs()]

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        binding = session.io_binding()

        def place(name: str, tensor: Tensor) -> tuple[Any, ...]:
            dtype = str(tensor.dtype).removeprefix("torch.")
            return name, device.type, index, dtype, tuple(tensor.shape), tensor.data_ptr()

        given = [tensor.contiguous() for tensor in tensors]
        found = [torch.empty(shape, dtype=dtype, device=device) for _, shape, dtype in made]
        for name, tensor in zip(names, given, strict=True):
            binding.bind_input(*place(name, tensor))
        for (name, _, _), tensor in zip(made, found, strict=True):
            binding.bind_output(*place(name, tensor))
        if device.type == "cuda":  # the runtime has a stream of its own
            torch.cuda.current_stream(device).synchronize()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return found

    return run


def require_onnxruntime(cuda: bool) -> Any:
    """The package; raises MissingDependencyError without it or without the provider."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("engine onnx needs the Python package onnxruntime: "
                                     "pip install 'samwise_ros[onnx]'") from error
    if cuda and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise MissingDependencyError("engine onnx: this onnxruntime has no CUDAExecutionProvider: "
                                     "pip install onnxruntime-gpu, or set device to cpu")
    return onnxruntime


def require_openvino() -> Any:
    """The package; raises MissingDependencyError without it."""
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError("engine openvino needs the Python package openvino: "
                                     "pip install 'samwise_ros[openvino]'") from error
    return openvino


def openvino_runtime(path: Path, threads: int) -> Runtime:
    """OpenVINO on the CPU, in fp32.

    Raises MissingDependencyError when it is not installed.
    """
    openvino = require_openvino()
    compiled = _openvino_core().compile_model(str(path), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32", "CACHE_DIR": str(path.parent)})
    request = compiled.create_infer_request()
    made = [(index, list(output.shape), getattr(torch, output.element_type.to_dtype().name))
            for index, output in enumerate(compiled.outputs)]

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        given = [tensor.contiguous() for tensor in tensors]  # kept: the request does not own them
        found = [torch.empty(shape, dtype=dtype) for _, shape, dtype in made]
        for index, tensor in enumerate(given):
            request.set_input_tensor(index, openvino.Tensor(tensor.numpy(), shared_memory=True))
        for (index, _, _), tensor in zip(made, found, strict=True):
            request.set_output_tensor(index, openvino.Tensor(tensor.numpy(), shared_memory=True))
        request.infer()
        return found

    return run


@cache
def _openvino_core() -> Any:
    """One for the process, its CPU plugin loaded in a thread of its own.

    The plugin gives the thread that loads it another stack for signal handlers, and takes it back
    when it goes; of two that do not go in the reverse order of their coming, a stack stays that is
    no longer mapped. The next signal, a child's end or Ctrl-C, would then end the process with a
    segmentation fault.
    """
    core = require_openvino().Core()
    loader = Thread(target=core.get_property, args=("CPU", "FULL_DEVICE_NAME"))
    loader.start()
    loader.join()
    return core


class GraphStep:
    """Takes and returns what a `FrameStep` does. It keeps nothing: several streams may share it.

    Args:
        run: The runtime with the graph loaded.
        inputs: The example that the graph was made from.
    """

    nbytes = 0

    def __init__(self, run: Runtime, inputs: StepInputs) -> None:
        self._run = run
        self._inputs = inputs

    def __call__(self, pixels: Tensor, text: TextState, state: StreamState,
                 fill: Fill | None = None) -> tuple[Answer, StreamState]:
        """See `FrameStep.forward`; `fill` is not needed: the graph serves every state.

        Raises:
            SamwiseError: A tensor has another shape than the graph was made for.
        """
        given = StepInputs(pixels, padded_text(text, self._inputs.text.mask.shape[1]), state)
        check_shapes(given, self._inputs)
        found = self._run([tensor.detach() for _, tensor in named_inputs(given)])
        return read_outputs(state, iter(found))


RUNTIMES: dict[str, Callable[[Path, int], Runtime]] = {
    "onnx": onnx_runtime, "openvino": openvino_runtime}
