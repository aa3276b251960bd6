"""The unsupervised protocol of the DAVIS 2017 toolkit, which Ref-DAVIS17 is scored with.

Objects of a sequence and answered ids are matched one to one by the Hungarian algorithm on mean
(J + F) / 2, so which expression meant which object is not enforced
(docs/evaluation.md, 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from samwise_ros.evaluation.metrics import mask_scores
from samwise_ros.structures import DataError

VOID = 255
MAX_ANSWERS = 20  # the toolkit stops at more


@dataclass(frozen=True)
class ObjectScores:
    """One object of one sequence: J and F per frame, float [T] each."""

    sequence: str
    number: int
    j: np.ndarray
    f: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """Mean over frames, share of frames above 0.5, and fall from first to last quarter."""

    mean: float
    recall: float
    decay: float


def score_sequence(sequence: str, answered: np.ndarray, truth: np.ndarray) -> list[ObjectScores]:
    """Scores of every object of one sequence.

    Args:
        sequence: Its name.
        answered: uint8 [T, H, W] answered ids, 0 background.
        truth: uint8 [T, H, W] object ids, 255 where nothing is asked.

    Raises DataError for more than 20 answered ids, or sizes that differ.
    """
    if answered.shape != truth.shape:
        raise DataError(f"sequence {sequence}: answers of {answered.shape}, annotations of "
                        f"{truth.shape} (frames, height, width)")
    void = truth == VOID
    num_objects = int(np.where(void[0], 0, truth[0]).max())
    num_answers = int(answered.max())
    if num_answers > MAX_ANSWERS:
        raise DataError(f"sequence {sequence}: {num_answers} answered ids, the protocol allows "
                        f"{MAX_ANSWERS}")
    table = np.zeros((max(num_answers, num_objects), num_objects, len(truth), 2))
    for row in range(table.shape[0]):
        for column in range(num_objects):
            for frame in range(len(truth)):
                table[row, column, frame] = mask_scores(
                    answered[frame] == row + 1, truth[frame] == column + 1, void[frame])
    rows, columns = linear_sum_assignment(-table.mean(axis=(2, 3)))
    matched = table[rows[np.argsort(columns)], np.arange(num_objects)]
    return [ObjectScores(sequence, number + 1, scores[:, 0], scores[:, 1])
            for number, scores in enumerate(matched)]


def frame_statistics(per_frame: np.ndarray) -> Statistics:
    """Statistics of the toolkit for float [T] values.

    The toolkit casts the limits of its quarters to 8 bits, which is wrong beyond 256 frames; here
    they are not.
    """
    limits = np.round(np.linspace(1, len(per_frame), 5) + 1e-10).astype(int) - 1
    first = per_frame[limits[0]:limits[1] + 1]
    last = per_frame[limits[3]:limits[4] + 1]
    return Statistics(float(per_frame.mean()), float((per_frame > 0.5).mean()),
                      float(first.mean() - last.mean()))


def mean_statistics(values: Sequence[Statistics]) -> Statistics:
    """Mean of each figure over objects."""
    table = np.array([(value.mean, value.recall, value.decay) for value in values])
    return Statistics(*(float(figure) for figure in table.mean(axis=0)))


def palette() -> list[int]:
    """768 numbers: the colours (red, green, blue) of ids 0..255 in DAVIS annotations.

    Each id's bits, three at a time from the lowest, set one bit of red, green and blue, from the
    highest down.
    """
    colours = np.zeros((256, 3), int)
    for number in range(256):
        for place in range(3):
            for channel in range(3):
                colours[number, channel] |= ((number >> (3 * place + channel)) & 1) << (7 - place)
    return colours.ravel().tolist()
