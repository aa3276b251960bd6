"""Region similarity J and contour accuracy F of DAVIS (docs/evaluation.md, 2.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

TOLERANCE = 0.008  # contour tolerance as a share of the image diagonal


class Scores(NamedTuple):
    """J and F of one frame, or means of them, each in 0..1."""

    j: float
    f: float

    @property
    def jf(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


def mask_scores(predicted: np.ndarray, truth: np.ndarray,
                void: np.ndarray | None = None) -> Scores:
    """J and F of one frame.

    Args:
        predicted: bool [H, W].
        truth: bool [H, W].
        void: bool [H, W], pixels that do not count; None when all count.

    Raises ValueError when sizes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"expected masks of one size, got {predicted.shape} and {truth.shape}")
    if void is not None:
        predicted, truth = predicted & ~void, truth & ~void
    window = _common_window(predicted, truth)
    if window is None:
        return Scores(1.0, 1.0)
    radius = contour_tolerance(*truth.shape)
    predicted, truth = predicted[window], truth[window]
    return Scores(region_similarity(predicted, truth),
                  contour_accuracy(predicted, truth, radius))


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool [H, W] masks; 1 when both are empty."""
    union = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / union) if union else 1.0


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray, radius: int) -> float:
    """F measure of the contours of two bool [H, W] masks that may miss each other by `radius` px.

    Precision is the share of predicted contour pixels within the tolerance of a true one, recall
    the reverse. An empty contour against one that is not gives 0, two empty ones 1.
    """
    ours, theirs = contour(predicted), contour(truth)
    num_ours, num_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if num_ours == 0 and num_theirs == 0:
        return 1.0
    if num_ours == 0 or num_theirs == 0:
        return 0.0
    disk = _disk(radius)
    precision = np.count_nonzero(ours & cv2.dilate(theirs, disk)) / num_ours
    recall = np.count_nonzero(theirs & cv2.dilate(ours, disk)) / num_theirs
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of 0 and 1: pixels that differ from a right, lower or lower right neighbour.

    The picture's border is never a contour.
    """
    mask = mask.astype(np.uint8)
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def contour_tolerance(height: int, width: int) -> int:
    """Pixels by which contours may miss each other: 0.8 % of the diagonal, rounded up."""
    return int(np.ceil(TOLERANCE * np.hypot(height, width)))


def _common_window(first: np.ndarray, second: np.ndarray) -> tuple[slice, slice] | None:
    """Smallest window with both masks and one pixel around them; None when both are empty.

    Every contour pixel lies in it, and contours in it equal those of the whole picture, since the
    added pixel is either background or does not exist.
    """
    both = first | second
    rows = np.flatnonzero(both.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(both[rows[0]:rows[-1] + 1].any(axis=0))
    return (slice(max(0, rows[0] - 1), rows[-1] + 2),
            slice(max(0, columns[0] - 1), columns[-1] + 2))


@lru_cache(maxsize=16)
def _disk(radius: int) -> np.ndarray:
    """uint8 [2r+1, 2r+1] with ones where x^2 + y^2 <= r^2."""
    side = np.arange(-radius, radius + 1)
    return (side[:, None] ** 2 + side[None] ** 2 <= radius**2).astype(np.uint8)
