"""`samwise evaluate`: scores of a model on a benchmark or on simulated scenes."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from samwise_ros.cli.shared_options import (
    DeviceOption,
    EngineOption,
    ModelOption,
    QualityOption,
    check_engine,
)
from samwise_ros.cli.terminal import say
from samwise_ros.config import EngineName, Mode
from samwise_ros.sizes import DEFAULT_MODEL
from samwise_ros.structures import ConfigError
from samwise_ros.user_files import keep_foreign

if TYPE_CHECKING:
    from samwise_ros.evaluation.selection import Selection
    from samwise_ros.model.samwise import SamwiseModel

Benchmark = Literal["mevis", "ref-youtube-vos", "ref-davis17", "refcoco", "sim"]


class Part(str, Enum):
    """Parts of the model that can be switched off."""

    cmt = "cmt"
    hsa = "hsa"
    cme = "cme"
    memory = "memory"
    motion = "motion"
    map = "map"
    coarse = "coarse"
    colour = "colour"


_ABLATED = ("stream", "sim", "eager")
_ABLATIONS_CHOOSE = "sim with eager only; it chooses mode, parts, time"
DEFAULT_SPLITS = {"mevis": "", "ref-youtube-vos": "valid", "ref-davis17": "valid",
                  "refcoco": "val", "sim": ""}


DataOption = Annotated[Path, typer.Option(
    help="mevis, sim: folder of one split. ref-youtube-vos, ref-davis17: folder with "
    "meta_expressions/. refcoco: folder of the converted sets.")]
ModeOption = Annotated[Mode, typer.Option(
    help="clip: the published windows of eight; stream: frame by frame.")]
OutOption = Annotated[Path | None, typer.Option(
    help="Folder of results; the same folder resumes an interrupted run. "
    "[default: runs/evaluate/BENCHMARK-MODE]", show_default=False)]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the summary here as well.")]
SplitOption = Annotated[str | None, typer.Option(
    help="ref-youtube-vos: train, valid, test. refcoco: val, testA, testB, test.")]
SetOption = Annotated[str, typer.Option(
    "--set", help="refcoco only: refcoco, refcoco+ or refcocog.")]
ImagesOption = Annotated[Path | None, typer.Option(
    help="refcoco only: folder of COCO's train2014 images.")]
MasksOption = Annotated[bool | None, typer.Option(
    "--masks/--no-masks", help="Write mask pictures and the submission zip. "
    "[default: yes, for sim no]", show_default=False)]
MaxVideosOption = Annotated[int | None, typer.Option(min=1, help="Draw this many videos.")]
MaxExpressionsOption = Annotated[int | None, typer.Option(
    min=1, help="Draw this many expressions of each kind.")]
KindsOption = Annotated[str | None, typer.Option(
    help="sim only: kinds to evaluate, e.g. relation,motion.")]
SeedOption = Annotated[int, typer.Option(help="Seed of both draws.")]
ChunkOption = Annotated[int, typer.Option(
    min=1, help="Expressions of one video that run together.")]
WithoutOption = Annotated[list[Part] | None, typer.Option(
    help="Switch off a part of the model; may be repeated.")]
WithCmeOption = Annotated[bool, typer.Option(
    "--with-cme", help="Switch on a CME that the model's configuration has off.")]
AblationsOption = Annotated[Path | None, typer.Option(
    help="sim only: evaluate the model with each part switched off and with shorter pasts, "
    "all on the same videos, and write the table to this Markdown file.")]
ContextOption = Annotated[int | None, typer.Option(
    min=0, max=7, help="Stream mode: earlier frames that HSA sees.")]
ImageSizeOption = Annotated[int | None, typer.Option(help="Input side in pixels.")]
ThreadsOption = Annotated[int | None, typer.Option(
    min=1, help="CPU threads. [default: as many as there are idle cores]", show_default=False)]


def evaluate(
    benchmark: Annotated[Benchmark, typer.Argument(help="What to evaluate on.")],
    data: DataOption,
    model: ModelOption = DEFAULT_MODEL,
    mode: ModeOption = "stream",
    out: OutOption = None,
    json_file: JsonOption = None,
    split: SplitOption = None,
    refcoco_set: SetOption = "refcoco",
    images: ImagesOption = None,
    masks: MasksOption = None,
    max_videos: MaxVideosOption = None,
    max_expressions_per_kind: MaxExpressionsOption = None,
    kinds: KindsOption = None,
    seed: SeedOption = 0,
    chunk: ChunkOption = 8,
    without: WithoutOption = None,
    with_cme: WithCmeOption = False,
    ablations: AblationsOption = None,
    context_frames: ContextOption = None,
    image_size: ImageSizeOption = None,
    quality: QualityOption = "exact",
    device: DeviceOption = "auto",
    engine: EngineOption = "eager",
    threads: ThreadsOption = None,
) -> None:
    """Score a model: J, F and J&F on videos, IoU on images.

    \b
      samwise simulate --split test --seed 7 --clips 50 --out data/test
      samwise evaluate sim --data data/test --model nano --mode stream --json nano.json
      samwise evaluate mevis --data MeViS_release/valid_u --model mevis --mode clip

    Ablations and the CME on scenes made for it, each one command:

    \b
      samwise evaluate sim --data data/test --max-videos 12 --ablations table.md
      samwise simulate --probe late_target --split test --frames 24 --clips 20 --out data/late
      samwise evaluate sim --data data/late --with-cme
    """
    from samwise_ros.cli.evaluation_run import RUNNERS, EvaluationRun, run_ablations

    _keep_foreign_reports(json_file, ablations)
    _limit_threads(threads)
    session = _given(context_frames=context_frames)
    _check_engine(benchmark, mode, engine)
    if ablations and (without or with_cme or session or (mode, benchmark, engine) != _ABLATED):
        raise typer.BadParameter(_ABLATIONS_CHOOSE, param_hint="--ablations")
    load = _loader(model, engine, device, image_size=image_size, quality=quality)
    name = f"{benchmark}-{'ablations' if ablations else mode}"
    run = EvaluationRun(
        benchmark, data, mode, split or DEFAULT_SPLITS[benchmark], model,
        load(**_part_changes(without or [], with_cme)), out or Path("runs/evaluate", name),
        _selection(max_videos, max_expressions_per_kind, seed, kinds), chunk,
        benchmark != "sim" if masks is None else masks, session, refcoco_set, images, engine)
    found = run_ablations(run, load, ablations) if ablations else RUNNERS[benchmark](run)
    _finish({"benchmark": benchmark, "mode": mode, "model": model, "data": str(data),
             "engine": engine, "without": [part.value for part in without or []], **found},
            run.out, json_file)


def _selection(videos: int | None, expressions: int | None, seed: int,
               kinds: str | None) -> Selection:
    from samwise_ros.evaluation.selection import Selection

    return Selection(videos, expressions, seed, tuple(kinds.split(",")) if kinds else None)


def _loader(model: str, engine: EngineName, device: str, **changes: Any,
            ) -> Callable[..., SamwiseModel]:
    """What loads the model, for its engine, with further changes of its configuration."""
    from samwise_ros.engines.choice import engine_device
    from samwise_ros.model.checkpoint import load_model

    return partial(load_model, model, device=engine_device(engine, device), **_given(**changes))


def _check_engine(benchmark: Benchmark, mode: Mode, engine: EngineName) -> None:
    check_engine(mode, engine)
    if benchmark == "refcoco" and engine != "eager":
        raise ConfigError(f"refcoco: images are of many sizes, and {engine} would be prepared for "
                          "each; use eager")


def _keep_foreign_reports(json_file: Path | None, ablations: Path | None) -> None:
    keep_foreign(json_file, '"benchmark":')
    keep_foreign(ablations, "samwise evaluate sim")


def _limit_threads(threads: int | None) -> None:
    """Leave busy cores alone: threads that wait for one another there are many times slower."""
    import torch

    idle = max(1, round((os.cpu_count() or 1) - os.getloadavg()[0]))
    torch.set_num_threads(threads or min(torch.get_num_threads(), idle))


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _part_changes(without: list[Part], with_cme: bool) -> dict[str, Any]:
    from samwise_ros.evaluation.ablations import CME_ON, SWITCHED_OFF

    changes: dict[str, Any] = {}
    for given in [SWITCHED_OFF[part.value] for part in without] + [CME_ON] * with_cme:
        for key, value in given.items():
            nested = isinstance(value, dict)
            changes[key] = {**changes.get(key, {}), **value} if nested else value
    return changes


def _finish(summary: dict[str, Any], out: Path, json_file: Path | None) -> None:
    from samwise_ros.evaluation.report import write_json

    for path in (out / "summary.json", json_file):
        if path is not None:
            write_json(path, summary)
    for key in ("jf", "j", "f", "overall_iou", "mean_iou"):
        if summary.get(key) is not None:
            say(f"{key:>12} {summary[key]:.4f}")
    if summary.get("submission"):
        say(f"submission: {summary['submission']}")
    say(f"results: {out}")
