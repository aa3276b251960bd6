"""How soon a tracker leaves a look-alike for the target that enters later.

The scenes (`samwise simulate --probe late_target`) in which a Conditional Memory Encoder can earn
its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.evaluation.expression_scores import ExpressionResult, LateTargetCounts


@dataclass(frozen=True)
class LateTargetStatistics:
    """Means over expressions.

    Attributes:
        count: Number of expressions.
        wait_mean: Mean frames from the target's appearance to the first correct mask; a target
            that is never found counts all frames that remained.
        found_share: Share of targets found before the end.
        distracted_share: Share of frames after the appearance with the answer on the look-alike.
        switches: CME switches after the appearance.
        switched_share: Share of expressions with one.
        first_switch_mean: Mean frames until the first of them, where there is one.
    """

    count: int
    wait_mean: float
    found_share: float
    distracted_share: float
    switches: int
    switched_share: float
    first_switch_mean: float | None


@dataclass(frozen=True)
class LateTargetReport:
    """`all` expressions, and those that were `locked` on the look-alike (None: none was)."""

    all: LateTargetStatistics
    locked: LateTargetStatistics | None


def count_late_target(visible: Sequence[bool], on_look_alike: Sequence[bool],
                      switched: Sequence[bool]) -> LateTargetCounts | None:
    """Counts of one expression; None when its target never appears.

    Args:
        visible: T flags: the target has pixels.
        on_look_alike: T flags: the answer lies on the look-alike.
        switched: T flags: the CME replaced the memory.
    """
    if not any(visible):
        return None
    entry = list(visible).index(True)
    later = list(switched[entry:])
    return LateTargetCounts(
        locked=entry > 0 and bool(on_look_alike[entry - 1]),
        frames=len(visible) - entry,
        distracted=sum(map(bool, on_look_alike[entry:])),
        switches=sum(map(bool, later)),
        first_switch=later.index(True) if any(later) else None,
    )


def late_target_report(results: Iterable[ExpressionResult]) -> LateTargetReport | None:
    """Summary of a run; None when it holds no such scene."""
    probes = [(result.late_target, result.first_correct) for result in results
              if result.late_target is not None]
    if not probes:
        return None
    locked = [probe for probe in probes if probe[0].locked]
    return LateTargetReport(_statistics(probes), _statistics(locked) if locked else None)


def _statistics(probes: Sequence[tuple[LateTargetCounts, int | None]]) -> LateTargetStatistics:
    """Of what was counted in each scene, and the frames until the target was found."""
    counts, found = zip(*probes, strict=True)
    first = [entry.first_switch for entry in counts if entry.first_switch is not None]
    waits = [entry.frames if wait is None else wait
             for entry, wait in zip(counts, found, strict=True)]
    return LateTargetStatistics(
        count=len(probes),
        wait_mean=float(np.mean(waits)),
        found_share=float(np.mean([wait is not None for wait in found])),
        distracted_share=(sum(entry.distracted for entry in counts)
                          / sum(entry.frames for entry in counts)),
        switches=sum(entry.switches for entry in counts),
        switched_share=len(first) / len(probes),
        first_switch_mean=float(np.mean(first)) if first else None,
    )
