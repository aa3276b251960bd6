"""Ref-DAVIS17: four annotators, merged palette pictures, DAVIS scores and their average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import Progress

from samwise_ros.data.files import image_size, read_indexed
from samwise_ros.data.reader import VideoRecord
from samwise_ros.data.ref_youtube_vos import RefYoutubeVosSource
from samwise_ros.evaluation.davis_protocol import (
    ObjectScores,
    Statistics,
    frame_statistics,
    mean_statistics,
    palette,
    score_sequence,
)
from samwise_ros.evaluation.predictors import FrameSequence, PredictedMask, Predictor
from samwise_ros.evaluation.report import write_csv
from samwise_ros.structures import DataError
from samwise_ros.user_files import whole_file

ANNOTATORS = 4
BACKGROUND = 0.1  # probability of the background when objects are merged
FOREGROUND = 0.5  # probabilities below this count as zero; fixed by the protocol


@dataclass(frozen=True)
class AnnotatorScores:
    """J and F statistics over all objects of all sequences, for one annotator's expressions."""

    j: Statistics
    f: Statistics

    @property
    def jf(self) -> float:
        """Mean of J and F."""
        return (self.j.mean + self.f.mean) / 2


@dataclass(frozen=True)
class DavisReport:
    """Outcome on Ref-DAVIS17: one entry per annotator; the published figure is their average."""

    annotators: tuple[AnnotatorScores, ...]
    sequences: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "jf": float(np.mean([entry.jf for entry in self.annotators])),
            "j": float(np.mean([entry.j.mean for entry in self.annotators])),
            "f": float(np.mean([entry.f.mean for entry in self.annotators])),
            "annotators": [{"jf": entry.jf, "j": entry.j.mean, "f": entry.f.mean}
                           for entry in self.annotators],
            "videos": self.sequences,
        }


def evaluate_ref_davis(predictor: Predictor, source: RefYoutubeVosSource,
                       videos: Sequence[VideoRecord], folder: Path,
                       progress: bool = True) -> DavisReport:
    """Answer and score every sequence for each annotator.

    Args:
        predictor: The model in one of its modes.
        source: The validation split of converted Ref-DAVIS17.
        videos: Sequences of it, with all of their expressions.
        folder: Receives `eval_davis/valid/anno_<k>/<video>/<frame>.png` and two CSV files per
            annotator. Sequences whose pictures are there are not run again.
        progress: Show a progress bar.

    Raises DataError for missing or broken data.
    """
    annotators = []
    with Progress(disable=not progress) as bar:
        task = bar.add_task("evaluating", total=len(videos) * ANNOTATORS)
        for annotator in range(ANNOTATORS):
            target = folder / "eval_davis" / "valid" / f"anno_{annotator}"
            objects: list[ObjectScores] = []
            for video in videos:
                _answer(predictor, source, video, annotator, target)
                objects += _score(source, video, target)
                bar.advance(task)
            annotators.append(_summarise(objects, target))
    return DavisReport(tuple(annotators), len(videos))


def merge_objects(logits: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [H, W] ids 1.. of the most probable object, 0 where none reaches 0.5.

    Args:
        logits: Mask logits [H, W] of each object in order. A tie goes to the lower id.
    """
    probabilities = 1 / (1 + np.exp(-np.clip(np.stack(logits).astype(np.float64), -60, 60)))
    probabilities[probabilities < FOREGROUND] = 0
    background = np.full((1, *probabilities.shape[1:]), BACKGROUND)
    return np.concatenate((background, probabilities)).argmax(axis=0).astype(np.uint8)


def _answer(predictor: Predictor, source: RefYoutubeVosSource, video: VideoRecord, annotator: int,
            folder: Path) -> None:
    if len(video.expressions) % ANNOTATORS:
        raise DataError(f"{source.root}: video {video.name} has {len(video.expressions)} "
                        f"expressions, expected {ANNOTATORS} per object. Convert DAVIS again.")
    if (folder / video.name / f"{video.frames[-1]}.png").is_file():
        return
    texts = [expression.text for expression in video.expressions[annotator::ANNOTATORS]]
    answers: tuple[PredictedMask, ...]
    for frame, answers in zip(video.frames, predictor.run(FrameSequence(source, video), texts),
                              strict=True):
        merged = merge_objects([answer.logits() for answer in answers])
        _write_ids(folder / video.name / f"{frame}.png", merged)


def _score(source: RefYoutubeVosSource, video: VideoRecord, folder: Path) -> list[ObjectScores]:
    every = range(len(video.frames))
    truth = source.object_maps(video, every, image_size(source.frame_path(video, 0)))
    answered = np.stack([read_indexed(folder / video.name / f"{frame}.png")
                         for frame in video.frames])
    return score_sequence(video.name, answered, truth)


def _summarise(objects: Sequence[ObjectScores], folder: Path) -> AnnotatorScores:
    if not objects:
        raise DataError(f"{folder}: no objects in the first frames of any sequence")
    per_object = [(frame_statistics(entry.j), frame_statistics(entry.f)) for entry in objects]
    scores = AnnotatorScores(mean_statistics([j for j, _ in per_object]),
                             mean_statistics([f for _, f in per_object]))
    row = {"J&F-Mean": scores.jf,
           "J-Mean": scores.j.mean, "J-Recall": scores.j.recall, "J-Decay": scores.j.decay,
           "F-Mean": scores.f.mean, "F-Recall": scores.f.recall, "F-Decay": scores.f.decay}
    write_csv(folder / "global_results-val.csv", tuple(row), [row])
    write_csv(folder / "per-sequence_results-val.csv", ("Sequence", "J-Mean", "F-Mean"), (
        {"Sequence": f"{entry.sequence}_{entry.number}", "J-Mean": j.mean, "F-Mean": f.mean}
        for entry, (j, f) in zip(objects, per_object, strict=True)))
    return scores


def _write_ids(path: Path, ids: np.ndarray) -> None:
    """Palette PNG, moved into place when complete: the last one marks a finished sequence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids).convert("P")
    image.putpalette(palette())
    with whole_file(path) as part:
        image.save(part, format="PNG")
