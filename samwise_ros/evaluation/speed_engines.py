"""Engines against each other in one run: frame after frame in turn, medians, full memory."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from samwise_ros.config import EngineName, SessionConfig
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.evaluation.agreement import Agreement, agreement
from samwise_ros.evaluation.gpu_measure import DRAWN_TARGETS, drawn_clip
from samwise_ros.evaluation.speed import describe_machine, filled
from samwise_ros.evaluation.speed_parts import timed
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.image_ops import input_size
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import FrameResult

_IMAGES, _WARM_UP = 8, 3


@dataclass(frozen=True)
class EngineRow:
    """One engine with a number of targets.

    Attributes:
        ms: Median of a frame, from picture to masks.
        speedup: Median of the first engine over this one's, at as many targets.
        prepare_s: Seconds until the first frame could be answered.
        beside_first: How far the answers are from the first engine's.
    """

    engine: EngineName
    targets: int
    ms: float
    speedup: float
    prepare_s: float
    beside_first: Agreement


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
        columns = ("targets", "engine", "ms", "frames/s", "beside the first", "mask IoU",
                   "mask logits within", "object scores within", "prepared in")
        lines = [head, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {row.targets} | {row.engine} | {row.ms:.1f} | {1e3 / row.ms:.1f} | "
                  f"{row.speedup:.2f} | {_iou(row.beside_first)} | {row.beside_first.logits:.1e} | "
                  f"{row.beside_first.score:.1e} | {row.prepare_s:.0f} s |" for row in self.rows]
        if any(row.beside_first.empty for row in self.rows):
            lines += ["", ("All masks empty: nobody found anything, so what tells whether engines "
                           "agree is the mask logits and object scores.")]
        return "\n".join(lines)


def _iou(found: Agreement) -> str:
    return "all masks empty" if found.empty else f"{found.iou:.4f}"


def compare_engines(model: SamwiseModel, config: SessionConfig, *, engines: Sequence[EngineName],
                    camera: tuple[int, int], targets: Sequence[int], frames: int = 16,
                    weights: str = "given",
                    progress: Callable[[str], None] = lambda _: None) -> EngineReport:
    """Measure engines with each number of targets.

    Args:
        model: In eval mode, with a tokenizer. config: Of the sessions.
        engines: The first one is what the others are compared with.
        camera: (H, W) of the drawn camera frames, which show what nano knows.
        targets: Numbers of targets. frames: Measured frames per engine and number.
        weights: What to say about the weights.
        progress: Called with a line of text now and then.

    Raises:
        ConfigError, MissingDependencyError: An engine cannot run here.
    """
    makers = {name: SessionMaker(model, name, config, progress) for name in engines}
    images, rows = drawn_clip(_IMAGES + 1, *camera), []
    for count in targets:
        seconds, sessions = {}, {}
        for name, make in makers.items():
            begun = time.perf_counter()
            session = make()
            session.prepare(camera, count)
            seconds[name] = time.perf_counter() - begun
            sessions[name] = filled(session, images[-1],
                                    list(islice(cycle(DRAWN_TARGETS), count)))
        progress(f"{count} target(s), {frames} frames")
        runs = _in_turn(model, sessions, images, frames)
        first = runs[engines[0]]
        rows += [EngineRow(name, count, 1e3 * run.median, first.median / run.median,
                           seconds[name], agreement(run.results, first.results))
                 for name, run in runs.items()]
    size = input_size(camera, model.config.image_size, model.config.fit)
    return EngineReport(describe_machine(model), {
        "name": model.config.name, "input": list(size.padded), "camera": list(camera),
        "fit": model.config.fit, "weights": weights}, rows)


@dataclass
class _Run:
    """Answers of one engine, and the seconds that each took."""

    results: list[FrameResult] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the frames after the first ones."""
        return statistics.median(self.seconds[_WARM_UP:])


def _in_turn(model: SamwiseModel, sessions: Mapping[EngineName, StreamingSession],
             images: Sequence[np.ndarray], frames: int) -> dict[EngineName, _Run]:
    """One frame of each session after the other's."""
    runs: dict[EngineName, _Run] = {name: _Run() for name in sessions}

    def answer(session: StreamingSession, image: np.ndarray, run: _Run) -> None:
        run.results.append(session.step(image))

    for index in range(_WARM_UP + frames):
        for name, session in sessions.items():
            run = runs[name]
            run.seconds.append(timed(model, partial(
                answer, session, images[index % _IMAGES], run)))
    return runs
