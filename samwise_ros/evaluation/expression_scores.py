"""What is recorded per expression, and means over expressions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samwise_ros.evaluation.metrics import Scores


@dataclass(frozen=True)
class LateTargetCounts:
    """One expression on a scene with a look-alike; frames from the target's first visible one.

    Attributes:
        locked: On the frame before the target appeared the answer lay on the look-alike.
        frames: Frames from the target's appearance to the end.
        distracted: Those of them on which the answer lay on the look-alike.
        switches: Those of them on which the CME replaced the memory.
        first_switch: Frames until the first of these; None without one.
    """

    locked: bool
    frames: int
    distracted: int
    switches: int
    first_switch: int | None


@dataclass(frozen=True)
class ExpressionResult:
    """Scores and counts of one expression over one video.

    Attributes:
        video, expression_id, text, kind: Which expression (kind: None in recorded data).
        frames: Number of frames T.
        seconds: Length of the video [s].
        scores: Mean J and F over all frames; None for absent expressions and without answers.
        random_object: Expected scores of a perfect mask of a random visible object (simulated).
        colour_guess: Expected scores of the best guess that only knows colours (simulated).
        empty_frames: Frames answered with an empty mask.
        switches: Frames on which CME replaced the memory.
        visible: Whether the target is ever visible; None without answers.
        first_visible: Frame on which it first appears; None when it does not.
        first_correct: Frames from the target's first appearance to the first correct mask (0: at
            once); None when there is none.
        reacquired: For each return of the target after a gap, frames until the next correct mask;
            None where there was none before the target left again or the video ended.
        late_target: Counts of a probe scene in which a look-alike was there first; else None.
    """

    video: str
    expression_id: str
    text: str
    kind: str | None
    frames: int
    seconds: float
    scores: Scores | None
    random_object: Scores | None = None
    colour_guess: Scores | None = None
    empty_frames: int = 0
    switches: int = 0
    visible: bool | None = None
    first_visible: int | None = None
    first_correct: int | None = None
    reacquired: tuple[int | None, ...] = ()
    late_target: LateTargetCounts | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(video, expression id): what makes an expression unique in a data set."""
        return self.video, self.expression_id

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ExpressionResult:
        """Inverse of `to_dict`, also after a round trip through JSON."""
        values = dict(values)
        for name in ("scores", "random_object", "colour_guess"):
            values[name] = None if values[name] is None else Scores(*values[name])
        values["reacquired"] = tuple(values["reacquired"])
        counts = values.get("late_target")
        values["late_target"] = None if counts is None else LateTargetCounts(**counts)
        return cls(**values)


def mean_scores(scores: Iterable[Scores | None]) -> Scores | None:
    """Mean J and mean F of those that are there; None when none is."""
    found = [entry for entry in scores if entry is not None]
    if not found:
        return None
    j, f = np.mean(np.asarray(found, float), axis=0)
    return Scores(float(j), float(f))


def mean_of_equal_texts_once(results: Sequence[ExpressionResult]) -> Scores | None:
    """The published script's mean: keyed by sentence, so a later equal sentence replaces one."""
    return mean_scores({result.text: result.scores for result in results
                        if result.scores is not None}.values())


def absent_accuracy(results: Iterable[ExpressionResult]) -> float | None:
    """Share of frames of absent expressions that were answered with an empty mask."""
    absent = [result for result in results if result.kind == "absent"]
    frames = sum(result.frames for result in absent)
    return sum(result.empty_frames for result in absent) / frames if frames else None
