"""Whether a model is right on a device, and how quick it is there, within eight minutes.

`samwise bench gpu` and `pytest -m gpu` run it on a GPU. On a CPU it runs as well, with small
models: that is how it is tested where there is no GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samwise_ros.config import EngineName, Precision, SessionConfig
from samwise_ros.engines.choice import GRAPH_ENGINES
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.evaluation import gpu_measure as measure
from samwise_ros.evaluation.agreement import agreement
from samwise_ros.evaluation.golden import find_assets, read_frames
from samwise_ros.evaluation.parity import run_parity
from samwise_ros.evaluation.speed import moving_noise
from samwise_ros.model.checkpoint import load_model
from samwise_ros.model.precision import resolve_precision
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import (
    CheckpointError,
    ConfigError,
    DataError,
    FrameResult,
    MissingDependencyError,
)

BF16_IOU, ENGINE_IOU = 0.995, 0.999
# Bytes that a steady stream may come to hold: of tensors on a GPU, of the whole process on a CPU.
_GROWTH = {"cuda": 2**20, "cpu": 2**25}
# What a machine lacks: recordings, a package, a device for an engine, weights.
_CANNOT = (DataError, MissingDependencyError, ConfigError, CheckpointError)
_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
_GOLDEN, _SAMPLE, _CAMERA = "golden_tiny_dev_q1.npz", "example_video.mp4", (480, 854)
_SENTENCES = ("the dog", "the object that moves")  # of the sample video


# The first one is the reference. What takes longest to be prepared comes last.
ENGINES: tuple[EngineName, ...] = ("eager", "cuda_graph", "onnx", "compile")


@dataclass(frozen=True)
class CheckSetup:
    """What is run.

    Attributes:
        device: Where. On a CPU the limits of a GPU hold as well.
        sizes, sides, targets: Model sizes, input sides and numbers of targets that are timed.
        frames: Measured frames per row. flat_frames: Length of the stream that must stay flat.
        budget: Seconds; rows that would begin later are left out and named.
        assets: Folder with goldens/, samples/ and tokenizer/; None: `../shared` where it is.
        engines: Of `ENGINES`, eager first.
    """

    device: torch.device
    sizes: tuple[str, ...] = ("tiny", "base_plus")
    sides: tuple[int, ...] = (512, 768, 1024)
    targets: tuple[int, ...] = (1, 4, 8)
    frames: int = 30
    flat_frames: int = 500
    budget: float = 480.0
    assets: Path | None = None
    engines: tuple[EngineName, ...] = ENGINES


@dataclass(frozen=True)
class Check:
    """One thing that is right or wrong.

    Attributes:
        name: What was checked.
        passed: None: it could not be run, or there is no limit to it.
        detail: The figure beside its limit, or why it was not run.
    """

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True)
class SpeedRow:
    """One timed stream; `speedup` is over eager with the same model, side and targets."""

    size: str
    side: int
    targets: int
    engine: str
    precision: str
    fps: float
    p50_ms: float
    p95_ms: float
    peak_bytes: int
    speedup: float | None


@dataclass
class GpuReport:
    """What was found so far."""

    card: str
    torch_version: str
    ceilings: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    rows: list[SpeedRow] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """No check failed; those that were not run do not count."""
        return all(check.passed is not False for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return {**asdict(self), "passed": self.passed}


def check_device(setup: CheckSetup,
                 save: Callable[[GpuReport], None] = lambda _: None) -> GpuReport:
    """Run all checks, then time rows until the budget is spent.

    Args:
        setup: What is run.
        save: Called with the report after each finding, so that a run that is cut off leaves one.
    """
    device, start = setup.device, time.monotonic()
    cuda = device.type == "cuda"
    report = GpuReport(torch.cuda.get_device_name(device) if cuda else "CPU", torch.__version__)
    report.ceilings = measure.ceilings(device, 8192 if cuda else 256)
    report.ceilings |= measure.attention_forms(device, 4096 if cuda else 64)
    save(report)
    for name, run in _checks(setup):
        report.checks.append(_outcome(name, run))
        save(report)
    _time_rows(setup, report, start + setup.budget, save)
    return report


def _outcome(name: str, run: Callable[[], tuple[bool | None, str]]) -> Check:
    """A check that was run. A fault of one of them does not cost the others their turn."""
    try:
        return Check(name, *run())
    except _CANNOT as error:
        return Check(name, None, f"not run: {error}")
    except Exception as error:  # noqa: BLE001
        return Check(name, False, _first_line(error))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _checks(setup: CheckSetup) -> Iterator[tuple[str, Callable[[], tuple[bool | None, str]]]]:
    """What is checked, by name, and what runs it."""
    drawn = _Answers(partial(load_model, "nano", device=setup.device),
                     partial(measure.drawn_clip, 20), measure.DRAWN_TARGETS)
    video = _Answers(partial(load_model, "mini", device=setup.device),
                     partial(_sample_video, setup), _SENTENCES)
    yield f"parity of {_GOLDEN}, fp32", partial(_parity, setup)
    for precision in _PRECISIONS:
        yield f"no unfused attention, {precision}", partial(_attention, drawn, precision)
    for name, answers in (("nano, drawn balls", drawn), ("mini, sample video", video)):
        yield f"bf16 beside fp32, {name}", partial(
            answers.compare, ("eager", "bf16"), ("eager", "fp32"), BF16_IOU)
        for engine, precision in product(setup.engines[1:], _PRECISIONS):
            if engine == "compile" and (answers is video or precision == "fp32"):
                continue  # takes minutes each time
            if engine not in GRAPH_ENGINES or precision == "fp32":
                yield f"{engine} beside eager, {precision}, {name}", partial(
                    answers.compare, (engine, precision), ("eager", precision), ENGINE_IOU)
    yield f"flat memory over {setup.flat_frames} frames", partial(_flat, setup, drawn)
    if setup.device.type == "cuda":
        yield "waits of the host per frame", partial(_waits, drawn)


class _Answers:
    """Of a model on a clip, by engine and precision; made when they are first asked for.

    Args:
        load, read: Give the model and the frames. sentences: What is looked for.
    """

    def __init__(self, load: Callable[[], SamwiseModel], read: Callable[[], list[np.ndarray]],
                 sentences: Sequence[str]) -> None:
        self._load, self._read, self._sentences = load, read, sentences
        self._found: dict[tuple[EngineName, Precision], list[FrameResult]] = {}

    @cached_property
    def clip(self) -> list[np.ndarray]:
        """The frames."""
        return self._read()

    @cached_property
    def _model(self) -> SamwiseModel:
        return self._load()

    def session(self, engine: EngineName = "eager",
                precision: Precision = "auto") -> StreamingSession:
        """A new one that looks for the sentences."""
        session = SessionMaker(self._model, engine, SessionConfig(precision=precision))()
        measure.name_targets(session, self._sentences)
        return session

    def compare(self, one: tuple[EngineName, Precision], other: tuple[EngineName, Precision],
                limit: float) -> tuple[bool, str]:
        """Whether there are masks, and those of two have an IoU of `limit`."""
        for which in (one, other):
            if which not in self._found:
                clip, session = self.clip, self.session(*which)
                self._found[which] = [session.step(frame) for frame in clip]
        found = agreement(self._found[one], self._found[other])
        return found.iou >= limit and not found.empty, f"{found}; IoU at least {limit}"


def _attention(answers: _Answers, precision: Precision) -> tuple[bool, str]:
    session = answers.session(precision=precision)
    why = measure.unfused_attention(session, answers.clip[:3], session.model.device)
    return not why, why or "fused kernels"


def _parity(setup: CheckSetup) -> tuple[bool, str]:
    """A recording of the official code, in fp32 on the device."""
    assets = find_assets(setup.assets)
    report = run_parity(assets / "goldens" / _GOLDEN, assets, device=setup.device)
    failed = [row.name for row in report.rows if not row.passed]
    return report.passed, (f"{len(report.rows) - len(failed)} of {len(report.rows)} within "
                           "tolerance" + (f"; not {', '.join(failed[:5])}" if failed else ""))


def _sample_video(setup: CheckSetup) -> list[np.ndarray]:
    return read_frames(find_assets(setup.assets) / "samples" / _SAMPLE, 0, 16)[0]


def _flat(setup: CheckSetup, answers: _Answers) -> tuple[bool, str]:
    early, late = measure.held_bytes(answers.session(), answers.clip, setup.flat_frames,
                                     setup.device)
    return late - early <= _GROWTH[setup.device.type], f"{early} bytes, then {late}"


def _waits(answers: _Answers) -> tuple[bool, str]:
    waits = measure.waits_per_frame(answers.session(), answers.clip[0])
    return waits <= 1, f"{waits}, at most 1"


def _time_rows(setup: CheckSetup, report: GpuReport, deadline: float,
               save: Callable[[GpuReport], None]) -> None:
    """Eager rows first, then the other engines with one target, which is quicker to prepare."""
    cases: list[tuple[tuple[str, int, int], EngineName]] = [
        (case, "eager") for case in product(setup.sizes, setup.sides, setup.targets)]
    cases += [(case, engine) for engine in setup.engines[1:]
              for case in product(setup.sizes, setup.sides, setup.targets[:1])]
    weights: dict[str, SamwiseModel] = {}
    missing: set[EngineName] = set()
    for (size, side, targets), engine in cases:
        if engine in missing:
            continue
        if time.monotonic() > deadline:
            report.left_out.append(f"{size} {side}, {targets} targets, {engine} (no time left)")
            continue
        try:
            if size not in weights:  # one size at a time: two would share the memory
                weights = {size: load_model(size, device=setup.device, seeded=True)}
            model = measure.at_side(weights[size], side)
            report.rows.append(_time_row(setup, model, targets, engine, report.rows))
        except _CANNOT as error:
            missing.add(engine)
            report.left_out.append(f"{engine} ({error})")
        except Exception as error:  # noqa: BLE001
            report.left_out.append(f"{size} {side}, {targets} targets, {engine} "
                                   f"({_first_line(error)})")
        save(report)


def _time_row(setup: CheckSetup, model: SamwiseModel, targets: int, engine: EngineName,
              earlier: list[SpeedRow]) -> SpeedRow:
    precision: Precision = "fp32" if engine in GRAPH_ENGINES else "auto"
    config = SessionConfig(precision=precision, fast_resize=True)
    session = SessionMaker(model, engine, config)()
    measure.name_targets(session, ["the object that moves to the left"] * targets)
    times, peak = measure.frame_times(session, moving_noise(_CAMERA, 8), setup.frames,
                                      setup.device)
    p50, p95 = (1e3 * float(np.quantile(times, share)) for share in (0.5, 0.95))
    case = (model.config.name, model.config.image_size, targets)
    eager = next((row.p50_ms for row in earlier if row.engine == "eager"
                  and (row.size, row.side, row.targets) == case), None)
    speedup = eager / p50 if eager and engine != "eager" else None
    return SpeedRow(*case, engine, resolve_precision(precision, setup.device), 1e3 / p50, p50, p95,
                    peak, speedup)


def markdown(report: GpuReport) -> str:
    """The report as two Markdown tables, with the card's name above them."""
    found = report.ceilings
    head = (f"{report.card}, torch {report.torch_version}. Copies: {found['copy_gb_s']:.0f} GB/s; "
            f"bf16 products: {found['bf16_tflops']:.1f} TFLOP/s. One memory attention with values "
            f"64 wide {found['values_64_ms']:.2f} ms, padded to 256 "
            f"{found['values_256_ms']:.2f} ms.")
    lines = [head, "", "| check | | |", "|---|---|---|"]
    words = {True: "passed", False: "**FAILED**", None: ""}
    lines += [f"| {check.name} | {words[check.passed]} | {check.detail} |"
              for check in report.checks]
    columns = ("model, side", "targets", "engine", "frames/s", "p50", "p95", "peak memory",
               "beside eager")
    lines += ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {row.size} {row.side} | {row.targets} | {row.engine}, {row.precision} | "
              f"{row.fps:.1f} | {row.p50_ms:.1f} ms | {row.p95_ms:.1f} ms | "
              f"{row.peak_bytes / 2**20:.0f} MiB | "
              + (f"{row.speedup:.2f}" if row.speedup else "") + " |" for row in report.rows]
    if report.left_out:
        lines += ["", "Not timed: " + "; ".join(report.left_out) + "."]
    return "\n".join(lines) + "\n"
