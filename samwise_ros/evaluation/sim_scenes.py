"""Evaluation on simulated scenes: J&F by kind of expression beside two baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from samwise_ros.config import Mode
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import KINDS
from samwise_ros.engines.sessions import SessionMaker
from samwise_ros.evaluation.clip_rows import ClipRowsPredictor
from samwise_ros.evaluation.expression_scores import ExpressionResult, absent_accuracy, mean_scores
from samwise_ros.evaluation.late_target_scores import LateTargetReport, late_target_report
from samwise_ros.evaluation.metrics import Scores
from samwise_ros.evaluation.predictors import Predictor, make_predictor
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.store import ResultStore
from samwise_ros.evaluation.stream_statistics import StreamStatistics, stream_statistics
from samwise_ros.evaluation.videos import evaluate_videos
from samwise_ros.model.samwise import SamwiseModel

PRESENT_KINDS = tuple(kind for kind in KINDS if kind != "absent")


@dataclass(frozen=True)
class KindScores:
    """Means over the expressions of one kind.

    Attributes:
        scores: The model's J and F.
        count: Number of expressions.
        random_object: Expected J and F of a perfect mask of a random visible object.
        colour_guess: Expected J and F of the best guess that only knows colours.
    """

    scores: Scores
    count: int
    random_object: Scores | None
    colour_guess: Scores | None

    def to_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        return {
            "j": self.scores.j, "f": self.scores.f, "jf": self.scores.jf, "count": self.count,
            "random_object_jf": self.random_object.jf if self.random_object else None,
            "colour_guess_jf": self.colour_guess.jf if self.colour_guess else None,
        }


@dataclass(frozen=True)
class SimReport:
    """Outcome of an evaluation on simulated data.

    Attributes:
        mode: "clip" or "stream".
        overall: Means over all expressions that refer to something; None without any.
        by_kind: Means per kind that occurs, in the order of PRESENT_KINDS.
        absent_accuracy: Share of frames of absent expressions answered with an empty mask.
        streaming: How quickly targets are found and how often the memory is switched.
        late_target: How soon a look-alike is left for the target; None without such scenes.
        results: One record per expression.
    """

    mode: str
    overall: KindScores | None
    by_kind: dict[str, KindScores]
    absent_accuracy: float | None
    streaming: StreamStatistics
    late_target: LateTargetReport | None
    results: tuple[ExpressionResult, ...]

    @property
    def jf(self) -> float:
        """J&F over all expressions that refer to something; 0 without any."""
        return self.overall.scores.jf if self.overall else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The JSON report."""
        overall = self.overall.to_dict() if self.overall else {}
        probe = dataclasses.asdict(self.late_target) if self.late_target else None
        return {
            "mode": self.mode,
            "jf": self.jf,
            "j": overall.get("j"),
            "f": overall.get("f"),
            "count": overall.get("count", 0),
            "random_object_jf": overall.get("random_object_jf"),
            "colour_guess_jf": overall.get("colour_guess_jf"),
            "by_kind": {kind: scores.to_dict() for kind, scores in self.by_kind.items()},
            "absent_accuracy": self.absent_accuracy,
            "absent_count": sum(result.kind == "absent" for result in self.results),
            "streaming": dataclasses.asdict(self.streaming),
            **({} if probe is None else {"late_target": probe}),
            "videos": len({result.video for result in self.results}),
        }


def sim_predictor(model: SamwiseModel, mode: Mode,
                  sessions: SessionMaker | None = None) -> Predictor:
    """Predictor for simulated scenes, where clip mode may batch expressions."""
    return ClipRowsPredictor(model) if mode == "clip" else make_predictor(model, mode, sessions)


def evaluate_sim(predictor: Predictor, mode: Mode, source: MevisSource, store: ResultStore, *,
                 selection: Selection, chunk: int = 8, masks: bool = False,
                 progress: bool = True) -> SimReport:
    """Score a predictor (eval mode) on simulated scenes; what the store holds is not done again.

    Args:
        predictor, mode: From `sim_predictor`.
        source: Folder written by `samwise simulate`.
        store: Takes the results.
        selection: Which part of the data.
        chunk, masks, progress: As in `evaluate_videos`.

    Raises DataError for missing or broken data.
    """
    videos = selection.apply(source.videos)
    evaluate_videos(source, videos, predictor, store, chunk=chunk, masks=masks, progress=progress)
    wanted = {(video.name, key) for video in videos for key in video.expression_ids}
    return sim_report(mode, [result for result in store.results if result.key in wanted])


def sim_report(mode: str, results: Sequence[ExpressionResult]) -> SimReport:
    """Means of the recorded results."""
    present = [result for result in results if result.kind != "absent"]
    groups = {kind: [result for result in present if result.kind == kind]
              for kind in PRESENT_KINDS}
    return SimReport(
        mode=mode,
        overall=_means(present),
        by_kind={kind: means for kind, group in groups.items() if (means := _means(group))},
        absent_accuracy=absent_accuracy(results),
        streaming=stream_statistics(results),
        late_target=late_target_report(results),
        results=tuple(results),
    )


def _means(results: Sequence[ExpressionResult]) -> KindScores | None:
    scores = mean_scores(result.scores for result in results)
    if scores is None:
        return None
    return KindScores(scores, len(results),
                      mean_scores(result.random_object for result in results),
                      mean_scores(result.colour_guess for result in results))
