"""Runs a model over the videos of a data set and records a result per expression.

The expressions of one video run together, several at a time: in stream mode they are targets of
one session and share what does not depend on the sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from samwise_ros.data.files import check_same_size
from samwise_ros.data.mevis import MevisSource
from samwise_ros.data.reader import ExpressionRecord, VideoRecord, VideoSource
from samwise_ros.data.scene_objects import scene_objects
from samwise_ros.evaluation.baselines import SceneBaselines
from samwise_ros.evaluation.expression_scores import ExpressionResult, mean_scores
from samwise_ros.evaluation.late_target_scores import count_late_target
from samwise_ros.evaluation.metrics import Scores, mask_scores, region_similarity
from samwise_ros.evaluation.predictors import FrameSequence, PredictedMask, Predictor
from samwise_ros.evaluation.store import ResultStore, mask_path, write_mask
from samwise_ros.evaluation.stream_statistics import CORRECT_J, first_correct, reacquired

DEFAULT_FPS = 30.0  # of recorded videos whose meta file gives none
Truth = Callable[[ExpressionRecord, int], np.ndarray]


class ExpressionScorer:
    """Collects the answers to one expression, frame by frame.

    Args:
        video: The video.
        expression: The expression.
        truth: Gives the true mask of a frame; None where there are no answers.
        baselines: Baselines of a simulated video, or None.
        mask_folder: Evaluation folder to write masks into; None writes none.
    """

    def __init__(self, video: VideoRecord, expression: ExpressionRecord, truth: Truth | None,
                 baselines: SceneBaselines | None, mask_folder: Path | None) -> None:
        self._video = video
        self._expression = expression
        self._absent = expression.kind == "absent"
        self._truth = None if self._absent else truth
        self._baselines = None if self._absent else baselines
        self._mask_folder = mask_folder
        self._scores: list[Scores] = []
        self._visible: list[bool] = []
        self._empty = 0
        self._switched: list[bool] = []
        self._look_alike = video.scene.get("probe", {}).get("distractor")
        self._on_look_alike: list[bool] = []

    def add(self, frame: int, answer: PredictedMask) -> None:
        """Take the answer for frame `frame`; frames come in order."""
        self._empty += not answer.mask.any()
        self._switched.append(bool(answer.switched))
        if self._truth is not None:
            truth = self._truth(self._expression, frame)
            check_same_size(truth.shape, answer.mask.shape,
                            f"video {self._video.name}, frame {frame}")
            self._scores.append(mask_scores(answer.mask, truth))
            self._visible.append(bool(truth.any()))
            if self._baselines is not None and self._look_alike is not None:
                other = self._baselines.object_mask(self._look_alike, frame)
                overlap = region_similarity(answer.mask, other)
                self._on_look_alike.append(overlap >= CORRECT_J)
        if self._mask_folder is not None:
            write_mask(mask_path(self._mask_folder, self._video.name,
                                 self._expression.expression_id, self._video.frames[frame]),
                       answer.mask)

    def finish(self) -> ExpressionResult:
        """The result, after the last frame."""
        overlaps = [scores.j for scores in self._scores]
        expression, baselines = self._expression, self._baselines
        known = self._truth is not None
        return ExpressionResult(
            video=self._video.name,
            expression_id=expression.expression_id,
            text=expression.text,
            kind=expression.kind,
            frames=len(self._video.frames),
            seconds=len(self._video.frames) / video_fps(self._video),
            scores=mean_scores(self._scores),
            random_object=baselines.random_object(expression) if baselines else None,
            colour_guess=baselines.colour_guess(expression) if baselines else None,
            empty_frames=self._empty,
            switches=sum(self._switched),
            visible=any(self._visible) if known else None,
            first_visible=self._visible.index(True) if any(self._visible) else None,
            first_correct=first_correct(self._visible, overlaps) if known else None,
            reacquired=reacquired(self._visible, overlaps) if known else (),
            late_target=(count_late_target(self._visible, self._on_look_alike, self._switched)
                         if self._on_look_alike else None),
        )


def video_fps(video: VideoRecord) -> float:
    """Frames per second: the simulator's, else DEFAULT_FPS."""
    return float(video.scene.get("fps", DEFAULT_FPS))


def evaluate_videos(source: VideoSource, videos: Sequence[VideoRecord], predictor: Predictor,
                    store: ResultStore, *, chunk: int = 8, masks: bool = False,
                    progress: bool = True) -> None:
    """Run every expression that the store has not yet, and record its result.

    Args:
        source: The data set that `videos` belong to.
        videos: What to evaluate; each with the expressions wanted.
        predictor: The model in one of its modes.
        store: Receives the results; expressions it holds are skipped.
        chunk: Expressions of one video that run together.
        masks: Write mask pictures into the store's folder.
        progress: Show a progress bar.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("evaluating", total=sum(len(video.expressions) for video in videos))
        for video in videos:
            pending = [expression for expression in video.expressions
                       if (video.name, expression.expression_id) not in store]
            bar.advance(task, len(video.expressions) - len(pending))
            if not pending:
                continue
            baselines = _baselines(source, video)
            for first in range(0, len(pending), chunk):
                group = pending[first:first + chunk]
                folder = store.folder if masks else None
                scorers = [_scorer(source, video, expression, baselines, folder)
                           for expression in group]
                store.add(_run(source, video, group, predictor, scorers))
                bar.advance(task, len(group))


def _run(source: VideoSource, video: VideoRecord, group: Sequence[ExpressionRecord],
         predictor: Predictor, scorers: Sequence[ExpressionScorer]) -> Iterator[ExpressionResult]:
    texts = [expression.text for expression in group]
    for frame, answers in enumerate(predictor.run(FrameSequence(source, video), texts)):
        for scorer, answer in zip(scorers, answers, strict=True):
            scorer.add(frame, answer)
    return (scorer.finish() for scorer in scorers)


def _baselines(source: VideoSource, video: VideoRecord) -> SceneBaselines | None:
    if isinstance(source, MevisSource) and video.scene and scene_objects(video):
        return SceneBaselines(source, video)
    return None


def _scorer(source: VideoSource, video: VideoRecord, expression: ExpressionRecord,
            baselines: SceneBaselines | None, mask_folder: Path | None) -> ExpressionScorer:
    truth: Truth | None = None
    if baselines is not None:
        truth = baselines.truth
    elif expression.answered:
        def truth(wanted: ExpressionRecord, frame: int) -> np.ndarray:
            return source.masks(video, wanted, [frame])[0]
    return ExpressionScorer(video, expression, truth, baselines, mask_folder)
