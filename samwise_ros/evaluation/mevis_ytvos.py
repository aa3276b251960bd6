"""MeViS and Ref-YouTube-VOS: scores where answers are public, masks and the zip elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samwise_ros.data.reader import VideoSource
from samwise_ros.evaluation.expression_scores import (
    ExpressionResult,
    mean_of_equal_texts_once,
    mean_scores,
)
from samwise_ros.evaluation.metrics import Scores
from samwise_ros.evaluation.predictors import Predictor
from samwise_ros.evaluation.selection import Selection
from samwise_ros.evaluation.store import ResultStore, write_zip
from samwise_ros.evaluation.videos import evaluate_videos


@dataclass(frozen=True)
class RecordedReport:
    """Outcome on recorded videos.

    Attributes:
        scores: Mean J and F over expressions; None where the split has no public answers.
        scores_by_text: The same as the published MeViS script counts, where equal sentences of
            different videos count once.
        results: One record per expression.
        submission: The zip for the benchmark's server, when masks were written.
    """

    scores: Scores | None
    scores_by_text: Scores | None
    results: tuple[ExpressionResult, ...]
    submission: Path | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON report; figures are null where the split has no public answers."""
        scores, by_text = self.scores, self.scores_by_text
        return {
            "jf": scores.jf if scores else None,
            "j": scores.j if scores else None,
            "f": scores.f if scores else None,
            "jf_equal_texts_once": by_text.jf if by_text else None,
            "expressions": len(self.results),
            "videos": len({result.video for result in self.results}),
            "submission": None if self.submission is None else str(self.submission),
        }


def evaluate_recorded(predictor: Predictor, source: VideoSource, store: ResultStore, *,
                      selection: Selection, keep_top: bool, chunk: int = 8, masks: bool = True,
                      progress: bool = True) -> RecordedReport:
    """Run every expression of a split.

    Args:
        predictor: The model in one of its modes.
        source: A split of MeViS or Ref-YouTube-VOS.
        store: On disk; finished expressions in it are not run again.
        selection: Which part of the split.
        keep_top: The zip's names begin with `Annotations/` (Ref-YouTube-VOS) or not (MeViS).
        chunk: Expressions of one video that run together.
        masks: Write mask pictures, and zip them.
        progress: Show a progress bar.

    Raises DataError for missing or broken data.
    """
    videos = selection.apply(source.videos)
    evaluate_videos(source, videos, predictor, store, chunk=chunk, masks=masks, progress=progress)
    wanted = {(video.name, key) for video in videos for key in video.expression_ids}
    results = tuple(result for result in store.results if result.key in wanted)
    submission = None
    if masks and store.folder is not None:
        submission = write_zip(store.folder, store.folder / "submission.zip", keep_top=keep_top)
    return RecordedReport(mean_scores(result.scores for result in results),
                          mean_of_equal_texts_once(results), results, submission)
