"""Engines against each other in one run: frame after frame in turn, medians, full memory."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from samwise_ros.config import EngineName, SessionConfig
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.evaluation.speed import describe_machine, filled, moving_noise
from samwise_ros.evaluation.speed_parts import timed
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.image_ops import input_size

_IMAGES, _WARM_UP = 8, 3


@dataclass(frozen=True)
class EngineRow:
    """One engine with a number of targets.

    Attributes:
        ms: Median of a frame, from picture to masks.
        speedup: Median of the first engine over this one's, at as many targets.
        prepare_s: Seconds until the first frame could be answered.
    """

    engine: EngineName
    targets: int
    ms: float
    speedup: float
    prepare_s: float


@dataclass(frozen=True)
class EngineReport:
    """What was found, on which machine and with what."""

    machine: dict[str, Any]
    model: dict[str, Any]
    rows: list[EngineRow]

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return dataclasses.asdict(self)

    def markdown(self) -> str:
        """A table, below a line that says what was measured."""
        model, machine = self.model, self.machine
        (width, height), (high, wide) = reversed(model["camera"]), model["input"]
        head = (f"{model['name']}, input {wide}x{high} ({model['fit']}), camera {width}x{height}, "
                f"{model['weights']} weights, {machine['device']}, {machine['processor']}, "
                f"{machine['threads']} thread(s), torch {machine['torch']}:")
        lines = [head, "",
                 "| targets | engine | ms | frames/s | beside the first | prepared in |",
                 "|---" * 6 + "|"]
        lines += [f"| {row.targets} | {row.engine} | {row.ms:.1f} | {1e3 / row.ms:.1f} | "
                  f"{row.speedup:.2f} | {row.prepare_s:.0f} s |" for row in self.rows]
        return "\n".join(lines)


def compare_engines(model: SamwiseModel, config: SessionConfig, *, engines: Sequence[EngineName],
                    camera: tuple[int, int], targets: Sequence[int], frames: int = 16,
                    weights: str = "given",
                    progress: Callable[[str], None] = lambda _: None) -> EngineReport:
    """Measure engines with each number of targets.

    Args:
        model: In eval mode, with a tokenizer. config: Of the sessions.
        engines: The first one is what the others are compared with.
        camera: (H, W) of the synthetic camera frames.
        targets: Numbers of targets. frames: Measured frames per engine and number.
        weights: What to say about the weights.
        progress: Called with a line of text now and then.

    Raises:
        ConfigError, MissingDependencyError: An engine cannot run here.
    """
    makers = {name: SessionMaker(model, name, config, progress) for name in engines}
    images, rows = moving_noise(camera, _IMAGES + 1), []
    for count in targets:
        sessions, seconds = {}, {}
        for name, make in makers.items():
            begun = time.perf_counter()
            sessions[name] = make()
            sessions[name].prepare(camera, count)
            seconds[name] = time.perf_counter() - begun
            filled(sessions[name], images[-1], count)
        times: dict[EngineName, list[float]] = {name: [] for name in engines}
        for index in range(_WARM_UP + frames):
            progress(f"{count} target(s), frame {index + 1}")
            for name, session in sessions.items():
                taken = timed(model, partial(session.step, images[index % _IMAGES]))
                if index >= _WARM_UP:
                    times[name].append(taken)
        medians = {name: statistics.median(found) for name, found in times.items()}
        rows += [EngineRow(name, count, 1e3 * median, medians[engines[0]] / median, seconds[name])
                 for name, median in medians.items()]
    size = input_size(camera, model.config.image_size, model.config.fit)
    return EngineReport(describe_machine(model), {
        "name": model.config.name, "input": list(size.padded), "camera": list(camera),
        "fit": model.config.fit, "weights": weights}, rows)
