"""How far two runs over the same frames are from each other: other engines, other precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.structures import FrameResult, TargetResult


@dataclass(frozen=True)
class Agreement:
    """What two runs have in common, before states hold any mask back.

    Attributes:
        iou: Intersection over union of all masks together; 1 where both runs have none.
        logits: Largest difference of mask logits. They are constant where a target is called
            absent.
        score: Largest difference of object scores, logits.
        empty: All masks of both runs are empty, so that `iou` says nothing.
    """

    iou: float
    logits: float
    score: float
    empty: bool

    def __str__(self) -> str:
        masks = "all masks are empty" if self.empty else f"IoU {self.iou:.4f}"
        return f"{masks}, mask logits within {self.logits:.1e}, object scores {self.score:.1e}"


def agreement(ours: Sequence[FrameResult], theirs: Sequence[FrameResult]) -> Agreement:
    """Compare the answers of two runs to the same targets on the same frames.

    Args:
        ours, theirs: With mask logits, which sessions give unless told otherwise.
    """
    pairs = [(a, b) for one, other in zip(ours, theirs, strict=True)
             for a, b in zip(one.targets, other.targets, strict=True)]
    common = either = 0
    logits = 0.0
    for a, b in ((_logits(a), _logits(b)) for a, b in pairs):
        common += int(np.count_nonzero((a > 0) & (b > 0)))
        either += int(np.count_nonzero((a > 0) | (b > 0)))
        logits = max(logits, float(np.abs(a - b).max()))
    score = max((abs(a.object_score - b.object_score) for a, b in pairs), default=0.0)
    return Agreement(common / either if either else 1.0, logits, score, not either)


def _logits(target: TargetResult) -> np.ndarray:
    assert target.mask_logits is not None  # sessions' default
    return target.mask_logits
