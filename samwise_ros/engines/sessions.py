"""Sessions of a model with a chosen engine: one maker for node, commands and library."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from samwise_ros.config import EngineName, SessionConfig
from samwise_ros.engines.choice import engine_device, engine_precision
from samwise_ros.engines.flat_step import StepInputs, example_inputs
from samwise_ros.engines.graph_cache import graph_key, kept_graph
from samwise_ros.engines.graph_step import GraphStep, onnx_runtime, openvino_runtime
from samwise_ros.engines.onnx_graph import export_step, weights_digest
from samwise_ros.engines.static_step import StaticStep
from samwise_ros.engines.torch_steps import captured_step, compiled
from samwise_ros.model.precision import resolve_precision
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.frame_step import FrameStep
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.steps import EagerSteps, Step, StepShape
from samwise_ros.streaming.stream_state import STATE_DTYPES
from samwise_ros.streaming.target_tracker import TrackSettings

TOKENS = 32  # of a sentence, at least; more are rounded up to twice as many, and so on
_MOST_STEPS = 8  # that are kept, the last used ones
_log = logging.getLogger(__name__)


def bucket(count: int, least: int = 1) -> int:
    """`count` rounded up to `least`, twice that, four times that and so on."""
    while least < count:
        least *= 2
    return least


class SessionMaker:
    """Opens sessions that share a model, an engine, and what of the engine can be shared.

    All engines but eager have programs of fixed shape: the number of targets is rounded up to 1,
    2, 4, 8 or 16, sentences to 32, 64 ... tokens, and the rest is blank. A new size, number or
    length needs another program, which `tell` announces with what it cost.

    Args:
        model: In eval mode, on a device of `engine_device`.
        engine: What runs the frames.
        config: Of the sessions.
        tell: Takes a line of text for people.
        cache: Folder for exported graphs; None: in the user's cache folder.

    Raises:
        MissingDependencyError: The engine is not installed; says what installs it.
        ConfigError: The engine cannot run on the model's device or in the precision.
    """

    def __init__(self, model: SamwiseModel, engine: EngineName = "eager",
                 config: SessionConfig | None = None,
                 tell: Callable[[str], None] = _log.info, cache: Path | None = None) -> None:
        config = config or SessionConfig()
        engine_device(engine, str(model.device))
        self.model = model
        self.engine = engine
        self.config = replace(config, precision=engine_precision(engine, config.precision))
        self._tell = tell
        self._cache = cache
        self._weights = ""  # their digest, once it was needed
        self._programs = lru_cache(maxsize=_MOST_STEPS)(self._program)

    def __call__(self, tracking: TrackSettings | None = None, targets: int = 0
                 ) -> StreamingSession:
        """A session of its own.

        Args:
            tracking: When a target counts as there.
            targets: So many are allowed even if the configuration says less.
        """
        config = replace(self.config, max_targets=max(self.config.max_targets, targets))
        return StreamingSession(self.model, config, tracking, EagerSteps if self.engine == "eager"
                                else lambda *_: _FixedSteps(self._programs))

    @contextmanager
    def _announced(self, shape: StepShape) -> Iterator[None]:
        (height, width), begun = shape.size.camera, time.perf_counter()
        name = (f"engine {self.engine} for {width}x{height}, {shape.rows} row(s), "
                f"{shape.tokens} tokens")
        self._tell(f"{name}: being prepared, no frame is answered meanwhile")
        # Weights and tables are no tensors of inference mode, nor is what is made of them.
        with torch.inference_mode(False), torch.no_grad():
            yield
        self._tell(f"{name}: ready after {time.perf_counter() - begun:.1f} s")

    def _program(self, shape: StepShape) -> Callable[[], Step]:
        """What makes the steps of a shape for one session after the other."""
        if self.engine == "cuda_graph":
            return lambda: self._captured(shape)
        with self._announced(shape):
            if self.engine == "compile":
                step, example = FrameStep(self.model, shape.size, self.config), self._example(shape)
                step(*example)  # fills what sam2 keeps, which would have it compiled once more
                run = compiled(step)
                run(example)
                return lambda: StaticStep(run, self._example(shape))
            graph = self._graph_step(shape)
            graph(*self._example(shape))  # whose first run is slower
            return lambda: graph

    def _captured(self, shape: StepShape) -> Step:
        with self._announced(shape):
            return captured_step(FrameStep(self.model, shape.size, self.config),
                                 self._example(shape))

    def _example(self, shape: StepShape) -> StepInputs:
        precision = resolve_precision(self.config.precision, self.model.device)
        return example_inputs(self.model, shape, self.config, STATE_DTYPES[precision])

    def _graph_step(self, shape: StepShape) -> GraphStep:
        self._weights = self._weights or weights_digest(self.model)
        key = graph_key(self._weights, self.model.config, shape, self.config)
        threads, device = torch.get_num_threads(), self.model.device
        with kept_graph(key, partial(self._export, shape), self._cache) as path:
            runtime = (openvino_runtime(path, threads) if self.engine == "openvino"
                       else onnx_runtime(path, threads, device))
        return GraphStep(runtime, self._example(shape))

    def _export(self, shape: StepShape, path: Path) -> dict[str, Any]:
        model = self.model if self.model.device.type == "cpu" else deepcopy(self.model).cpu()
        return export_step(FrameStep(model, shape.size, self.config).eval(),
                           example_inputs(model, shape, self.config), path)


class _FixedSteps:
    """The steps of fixed shape of one session."""

    def __init__(self, program: Callable[[StepShape], Callable[[], Step]]) -> None:
        self._own = lru_cache(maxsize=_MOST_STEPS)(lambda shape: program(shape)())

    def room(self, targets: int, tokens: int) -> tuple[int, int]:
        """Rows and tokens, rounded up."""
        return bucket(targets), bucket(tokens, TOKENS)

    def step(self, shape: StepShape) -> Step:
        """The session's own step of a shape."""
        return self._own(shape)
