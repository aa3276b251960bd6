"""What `samwise evaluate` does once its options are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from samwise_ros.cli.terminal import say

if TYPE_CHECKING:
    from samwise_ros.config import EngineName, Mode
    from samwise_ros.evaluation.predictors import Predictor
    from samwise_ros.evaluation.selection import Selection
    from samwise_ros.evaluation.store import ResultStore
    from samwise_ros.model.samwise import SamwiseModel


@dataclass(frozen=True)
class EvaluationRun:
    """The options of one call, brought into the library's form."""

    benchmark: str
    data: Path
    mode: Mode
    split: str
    model_name: str
    model: SamwiseModel
    out: Path
    selection: Selection
    chunk: int
    masks: bool
    session: dict[str, Any]
    refcoco_set: str
    images: Path | None
    engine: EngineName = "eager"

    def store(self, **kwargs: Any) -> ResultStore:
        """The store of results in `out`, tied to what determines them."""
        from samwise_ros.evaluation.store import ResultStore, weights_digest

        return ResultStore(self.out, {
            "benchmark": self.benchmark, "data": str(self.data.resolve()),
            "split": self.split, "set": self.refcoco_set, "mode": self.mode, "masks": self.masks,
            "config": self.model.config.to_dict(), "session": self.session,
            "weights": weights_digest(self.model),
            **({} if self.engine == "eager" else {"engine": self.engine})},
            inputs=[path for path in (self.data, self.images) if path is not None], **kwargs)

    def predictor(self) -> Predictor:
        """The model in the mode and with the engine asked for."""
        from samwise_ros.config import SessionConfig
        from samwise_ros.engines.sessions import SessionMaker
        from samwise_ros.evaluation.predictors import make_predictor
        from samwise_ros.evaluation.sim_scenes import sim_predictor

        make = sim_predictor if self.benchmark == "sim" else make_predictor
        return make(self.model, self.mode, SessionMaker(
            self.model, self.engine, SessionConfig(**self.session), tell=say))


def _sim(run: EvaluationRun) -> dict[str, Any]:
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.evaluation.report import (
        late_target_table,
        sim_table,
        stream_table,
        write_expression_csv,
        write_video_csv,
    )
    from samwise_ros.evaluation.sim_scenes import evaluate_sim

    report = evaluate_sim(run.predictor(), run.mode, MevisSource(run.data), run.store(),
                               selection=run.selection, chunk=run.chunk, masks=run.masks)
    write_expression_csv(run.out / "per_expression.csv", report.results)
    write_video_csv(run.out / "per_video.csv", report.results)
    Console().print(sim_table(report))
    Console().print(stream_table(report))
    if report.late_target is not None:
        Console().print(late_target_table(report.late_target))
    return report.to_dict()


def _recorded(run: EvaluationRun) -> dict[str, Any]:
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
    from samwise_ros.evaluation.mevis_ytvos import evaluate_recorded
    from samwise_ros.evaluation.report import write_expression_csv, write_video_csv

    is_mevis = run.benchmark == "mevis"
    source = MevisSource(run.data) if is_mevis else RefYoutubeVosSource(run.data, run.split)
    report = evaluate_recorded(run.predictor(), source, run.store(), selection=run.selection,
                               keep_top=not is_mevis, chunk=run.chunk, masks=run.masks)
    write_expression_csv(run.out / "per_expression.csv", report.results)
    write_video_csv(run.out / "per_video.csv", report.results)
    return report.to_dict()


def _ref_davis17(run: EvaluationRun) -> dict[str, Any]:
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


def _refcoco(run: EvaluationRun) -> dict[str, Any]:
    from samwise_ros.data.refcoco import RefCocoSource
    from samwise_ros.evaluation.refcoco_protocol import (
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


RUNNERS = {"mevis": _recorded, "ref-youtube-vos": _recorded, "ref-davis17": _ref_davis17,
           "refcoco": _refcoco, "sim": _sim}


def run_ablations(run: EvaluationRun, load: Callable[..., SamwiseModel],
                  table: Path) -> dict[str, Any]:
    """Evaluate all variants of a model in turns, write the table, and return the summary.

    Args:
        run: The model unchanged; results go into a folder per variant below its own.
        load: Gives the same model with changes of its configuration.
        table: The Markdown file.
    """
    from samwise_ros.data.mevis import MevisSource
    from samwise_ros.evaluation.ablations import evaluate_in_turns, markdown, variants
    from samwise_ros.evaluation.sim_scenes import sim_report

    command = _ablation_command(run, table)
    source = MevisSource(run.data)
    videos = run.selection.apply(source.videos)
    found = variants(run.model.config)
    runs = [replace(run, mode=variant.mode, session=dict(variant.session),
                    model=load(**variant.changes) if variant.changes else run.model,
                    out=run.out / variant.folder) for variant in found]
    stores = [part.store() for part in runs]
    evaluate_in_turns([(part.predictor(), store) for part, store in zip(runs, stores, strict=True)],
                      source, videos, chunk=run.chunk)
    wanted = {(video.name, key) for video in videos for key in video.expression_ids}
    reports = {variant: sim_report(variant.mode, [r for r in store.results if r.key in wanted])
               for variant, store in zip(found, stores, strict=True)}
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(markdown(command, reports), encoding="utf-8")
    say(f"table: {table}")
    return {"command": command, "variants": {
        variant.title: {"options": variant.options, **report.to_dict()}
        for variant, report in reports.items()}}


def _ablation_command(run: EvaluationRun, table: Path) -> str:
    """What the reader of the table types to get it."""
    chosen = run.selection
    limits = {"max-videos": chosen.max_videos,
              "max-expressions-per-kind": chosen.max_expressions_per_kind,
              "kinds": ",".join(chosen.kinds or ()), "seed": chosen.seed}
    limited = "".join(f" --{name} {value}" for name, value in limits.items() if value)
    return (f"samwise evaluate sim --data {run.data} --model {run.model_name}{limited} "
            f"--ablations {table}")
