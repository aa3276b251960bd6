"""`samwise evaluate`: scores of a model on a benchmark or on simulated scenes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:  # `samwise evaluate --help` need not wait for torch
    from samwise_ros.evaluation.predictors import Predictor
    from samwise_ros.evaluation.selection import Selection
    from samwise_ros.evaluation.store import ResultStore
    from samwise_ros.model.samwise import SamwiseModel


class Benchmark(str, Enum):
    """What can be evaluated."""

    mevis = "mevis"
    ref_youtube_vos = "ref-youtube-vos"
    ref_davis17 = "ref-davis17"
    refcoco = "refcoco"
    sim = "sim"


class Mode(str, Enum):
    """How the model is run."""

    clip = "clip"
    stream = "stream"


class Part(str, Enum):
    """Parts of the model that can be switched off."""

    cmt = "cmt"
    hsa = "hsa"
    cme = "cme"
    memory = "memory"


SWITCHED_OFF = {
    Part.cmt: {"cmt": {"enabled": False}},
    Part.hsa: {"cmt": {"hsa": False}},
    Part.cme: {"cme": {"enabled": False}},
    Part.memory: {"memory": {"num_spatial": 0, "num_pointers": 0}},
}
DEFAULT_SPLITS = {Benchmark.mevis: "", Benchmark.ref_youtube_vos: "valid",
                  Benchmark.ref_davis17: "valid", Benchmark.refcoco: "val", Benchmark.sim: ""}


DataOption = Annotated[Path, typer.Option(
    help="mevis, sim: folder of one split. ref-youtube-vos, ref-davis17: folder with "
    "meta_expressions/. refcoco: folder of the converted sets.")]
ModelOption = Annotated[str, typer.Option(help="A size, a released model, or a path.")]
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
SeedOption = Annotated[int, typer.Option(help="Seed of both draws.")]
ChunkOption = Annotated[int, typer.Option(
    min=1, help="Expressions of one video that run together.")]
WithoutOption = Annotated[list[Part] | None, typer.Option(
    help="Switch off a part of the model; may be repeated.")]
ContextOption = Annotated[int | None, typer.Option(
    min=0, max=7, help="Stream mode: earlier frames that HSA sees.")]
TimeCodeOption = Annotated[str | None, typer.Option(help="Stream mode: sliding or aligned.")]
ImageSizeOption = Annotated[int | None, typer.Option(help="Input side in pixels.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]


def evaluate(
    benchmark: Annotated[Benchmark, typer.Argument(help="What to evaluate on.")],
    data: DataOption,
    model: ModelOption = "nano",
    mode: ModeOption = Mode.stream,
    out: OutOption = None,
    json_file: JsonOption = None,
    split: SplitOption = None,
    refcoco_set: SetOption = "refcoco",
    images: ImagesOption = None,
    masks: MasksOption = None,
    max_videos: MaxVideosOption = None,
    max_expressions_per_kind: MaxExpressionsOption = None,
    seed: SeedOption = 0,
    chunk: ChunkOption = 8,
    without: WithoutOption = None,
    context_frames: ContextOption = None,
    time_code: TimeCodeOption = None,
    image_size: ImageSizeOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Score a model: J, F and J&F on videos, IoU on images.

    \b
      samwise simulate --split test --seed 7 --clips 50 --out data/test
      samwise evaluate sim --data data/test --model nano --mode stream --json nano.json
      samwise evaluate mevis --data MeViS_release/valid_u --model mevis --mode clip

    Masks of splits without public answers are written for the benchmark's server.
    """
    import torch

    from samwise_ros.evaluation.selection import Selection
    from samwise_ros.model.checkpoint import load_model

    if threads:
        torch.set_num_threads(threads)
    given = {"context_frames": context_frames, "time_code": time_code}
    run = _Run(
        benchmark, data, mode.value, split or DEFAULT_SPLITS[benchmark],
        load_model(model, device=device, **_config_changes(without or [], image_size)),
        out or Path("runs/evaluate") / f"{benchmark.value}-{mode.value}",
        Selection(max_videos, max_expressions_per_kind, seed), chunk,
        benchmark is not Benchmark.sim if masks is None else masks,
        {key: value for key, value in given.items() if value is not None}, refcoco_set, images)
    summary = {"benchmark": benchmark.value, "mode": mode.value, "model": model,
               "data": str(data), "without": [part.value for part in without or []],
               **_RUNNERS[benchmark](run)}
    _finish(summary, run.out, json_file)


@dataclass(frozen=True)
class _Run:
    """The options of one call, brought into the library's form."""

    benchmark: Benchmark
    data: Path
    mode: str
    split: str
    model: SamwiseModel
    out: Path
    selection: Selection
    chunk: int
    masks: bool
    session: dict[str, Any]
    refcoco_set: str
    images: Path | None

    def store(self, **kwargs: Any) -> ResultStore:
        """The store of results in `out`, tied to what determines them."""
        from samwise_ros.evaluation.store import ResultStore, weights_digest

        return ResultStore(self.out, {
            "benchmark": self.benchmark.value, "data": str(self.data.resolve()),
            "split": self.split, "set": self.refcoco_set, "mode": self.mode, "masks": self.masks,
            "config": self.model.config.to_dict(), "session": self.session,
            "weights": weights_digest(self.model)}, **kwargs)

    def predictor(self) -> Predictor:
        """The model in the mode asked for."""
        from samwise_ros.config import SessionConfig
        from samwise_ros.evaluation.predictors import make_predictor
        from samwise_ros.evaluation.sim import sim_predictor

        make = sim_predictor if self.benchmark is Benchmark.sim else make_predictor
        return make(self.model, self.mode, SessionConfig(**self.session))


def _sim(run: _Run) -> dict[str, Any]:
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.evaluation.report import (
        sim_table,
        stream_table,
        write_expression_csv,
        write_video_csv,
    )
    from samwise_ros.evaluation.sim import evaluate_sim_into

    report = evaluate_sim_into(run.predictor(), run.mode, MevisSource(run.data), run.store(),
                               selection=run.selection, chunk=run.chunk, masks=run.masks)
    write_expression_csv(run.out / "per_expression.csv", report.results)
    write_video_csv(run.out / "per_video.csv", report.results)
    Console().print(sim_table(report))
    Console().print(stream_table(report))
    return report.to_dict()


def _recorded(run: _Run) -> dict[str, Any]:
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
    from samwise_ros.evaluation.recorded import evaluate_recorded
    from samwise_ros.evaluation.report import write_expression_csv, write_video_csv

    is_mevis = run.benchmark is Benchmark.mevis
    source = MevisSource(run.data) if is_mevis else RefYoutubeVosSource(run.data, run.split)
    report = evaluate_recorded(run.predictor(), source, run.store(), selection=run.selection,
                               keep_top=not is_mevis, chunk=run.chunk, masks=run.masks)
    write_expression_csv(run.out / "per_expression.csv", report.results)
    write_video_csv(run.out / "per_video.csv", report.results)
    return report.to_dict()


def _ref_davis17(run: _Run) -> dict[str, Any]:
    from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
    from samwise_ros.evaluation.ref_davis17 import evaluate_ref_davis
    from samwise_ros.structures import ConfigError

    if run.selection.max_expressions_per_kind is not None:
        raise ConfigError("ref-davis17: --max-expressions-per-kind would break up the annotators' "
                          "expressions; use --max-videos")
    source = RefYoutubeVosSource(run.data, run.split)
    run.store()  # refuses a folder of another run
    return evaluate_ref_davis(run.predictor(), source, run.selection.apply(source.videos),
                              run.out).to_dict()


def _refcoco(run: _Run) -> dict[str, Any]:
    from samwise_ros.data.refcoco import RefCocoSource
    from samwise_ros.evaluation.refcoco import (
        ImageResult,
        OfficialImagePredictor,
        StreamImagePredictor,
        evaluate_refcoco,
    )

    if run.images is None:
        raise typer.BadParameter("refcoco needs the folder of COCO's train2014 images",
                                 param_hint="--images")
    source = RefCocoSource(run.data, run.images, run.refcoco_set, run.split)
    kind = OfficialImagePredictor if run.mode == "clip" else StreamImagePredictor
    return evaluate_refcoco(kind(run.model), source, run.selection.apply(source.videos),
                            run.store(record_type=ImageResult)).to_dict()


_RUNNERS = {Benchmark.mevis: _recorded, Benchmark.ref_youtube_vos: _recorded,
            Benchmark.ref_davis17: _ref_davis17, Benchmark.refcoco: _refcoco, Benchmark.sim: _sim}


def _config_changes(without: list[Part], image_size: int | None) -> dict[str, Any]:
    changes: dict[str, Any] = {} if image_size is None else {"image_size": image_size}
    for part in without:
        for key, fields in SWITCHED_OFF[part].items():
            changes[key] = {**changes.get(key, {}), **fields}
    return changes


def _finish(summary: dict[str, Any], out: Path, json_file: Path | None) -> None:
    from samwise_ros.evaluation.report import write_json

    for path in (out / "summary.json", json_file):
        if path is not None:
            write_json(path, summary)
    console = Console()
    for key in ("jf", "j", "f", "overall_iou", "mean_iou"):
        if summary.get(key) is not None:
            console.print(f"{key:>12} {summary[key]:.4f}")
    if summary.get("submission"):
        console.print(f"submission: {summary['submission']}", soft_wrap=True)
    console.print(f"results: {out}", soft_wrap=True)
