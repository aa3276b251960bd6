"""The whole step through torch.compile, or captured in a CUDA graph."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import torch

from samwise_ros.engines.flat_step import StepInputs
from samwise_ros.engines.static_step import Run, StaticStep
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.frame_step import Answer, FrameStep
from samwise_ros.streaming.stream_state import StreamState
from samwise_ros.structures import MissingDependencyError

_BACKEND = "inductor"  # of torch.compile
_WARM_UP = 3  # runs before a capture: libraries choose kernels and allocate in the first ones


def require_compiler() -> None:
    """Raise MissingDependencyError where torch.compile finds no C++ compiler for the CPU."""
    if not any(shutil.which(name) for name in ("g++", "clang++")):
        raise MissingDependencyError(
            "engine compile: torch.compile on the CPU needs a C++ compiler and there is neither "
            "g++ nor clang++; install one (apt install g++) or use another engine")


def compiled(step: FrameStep) -> Run:
    """The step through torch.compile, without graph breaks, for one shape of inputs.

    The first call compiles, which takes a minute or more on a CPU. Weights are read when it runs.
    """
    def run(pixels: torch.Tensor, text: TextState, state: StreamState
            ) -> tuple[Answer, StreamState]:
        return step(pixels, text, state)

    # torch keeps what it compiled by code object, and few variants of each: every step has its own.
    run.__code__ = run.__code__.replace()
    fast: Callable[..., tuple[Answer, StreamState]] = torch.compile(
        run, fullgraph=True, dynamic=False, backend=_BACKEND)
    return lambda inputs: fast(*inputs)


def captured(step: FrameStep, held: StepInputs) -> Run:
    """The step as a CUDA graph on these very inputs. Never run: there was no GPU.

    Args:
        step: Of a model on a GPU, which is the current device.
        held: Whose tensors the graph reads and, as far as they are rings, writes to.
    """
    # A stream of the model's own device: torch's default for captures is made once, on whatever
    # device is current then.
    device = held.pixels.device
    stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):  # makes its device the current one, too
        for _ in range(_WARM_UP):
            step(*held)
    current.wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Weights that autocast has cast stay valid inside of the graph only where it casts them itself.
    torch.clear_autocast_cache()
    with torch.cuda.graph(graph, stream=stream):
        outputs = step(*held)
    torch.clear_autocast_cache()

    def run(_: StepInputs) -> tuple[Answer, StreamState]:
        graph.replay()
        return outputs

    return run


def captured_step(step: FrameStep, example: StepInputs) -> StaticStep:
    """A captured step with buffers of its own."""
    return StaticStep(captured(step, example), example)
