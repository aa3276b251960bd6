"""How quickly a target is found, found again, and how often the memory is switched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from samwise_ros.evaluation.expression_scores import ExpressionResult, absent_accuracy

CORRECT_J = 0.5  # a mask counts as correct from this overlap on


@dataclass(frozen=True)
class StreamStatistics:
    """Over all expressions of a run; None where the data hold no case.

    Attributes:
        absent_accuracy: Share of frames of absent expressions answered with an empty mask.
        switches_per_minute: CME switches per minute of video and target.
        first_correct_median: Median frames from first appearance to first correct mask, among the
            targets that were found.
        found_share: Share of visible targets that were ever masked correctly.
        late_count: Targets that enter after the first frame: what the sentence names is not there
            when the search begins, and something else may be remembered for it.
        late_first_correct_median, late_found_share: The two figures above for these alone.
        reacquire_median: Median frames from return to correct mask, among those found again.
        reacquired_share: Share of returns after which the target was found again.
        returns: Number of returns after a gap.
    """

    absent_accuracy: float | None
    switches_per_minute: float | None
    first_correct_median: float | None
    found_share: float | None
    late_count: int
    late_first_correct_median: float | None
    late_found_share: float | None
    reacquire_median: float | None
    reacquired_share: float | None
    returns: int


def first_correct(visible: Sequence[bool], overlaps: Sequence[float]) -> int | None:
    """Frames from the first visible frame to the first correct mask on a visible one.

    Args:
        visible: T flags: the target has pixels.
        overlaps: T values of J.
    """
    shown = [index for index, flag in enumerate(visible) if flag]
    for index in shown:
        if overlaps[index] >= CORRECT_J:
            return index - shown[0]
    return None


def reacquired(visible: Sequence[bool], overlaps: Sequence[float]) -> tuple[int | None, ...]:
    """For each return after a gap, frames until a correct mask; None where none came in time.

    Arguments as in `first_correct`. A stretch of frames without the target before its first
    appearance is no gap.
    """
    flags = np.concatenate(([False], np.asarray(visible, bool), [False]))
    starts = np.flatnonzero(~flags[:-1] & flags[1:])
    ends = np.flatnonzero(flags[:-1] & ~flags[1:])
    found: list[int | None] = []
    for start, end in list(zip(starts, ends, strict=True))[1:]:
        hits = [index for index in range(start, end) if overlaps[index] >= CORRECT_J]
        found.append(int(hits[0] - start) if hits else None)
    return tuple(found)


def stream_statistics(results: Sequence[ExpressionResult]) -> StreamStatistics:
    """Summary of the per-expression counts."""
    minutes = sum(result.seconds for result in results) / 60
    visible = [result for result in results if result.visible and result.kind != "absent"]
    late = [result for result in visible if result.first_visible]
    returns = [wait for result in visible for wait in result.reacquired]
    again = [wait for wait in returns if wait is not None]
    return StreamStatistics(
        absent_accuracy=absent_accuracy(results),
        switches_per_minute=(sum(result.switches for result in results) / minutes
                             if minutes else None),
        first_correct_median=_median(result.first_correct for result in visible),
        found_share=_found_share(visible),
        late_count=len(late),
        late_first_correct_median=_median(result.first_correct for result in late),
        late_found_share=_found_share(late),
        reacquire_median=_median(again),
        reacquired_share=len(again) / len(returns) if returns else None,
        returns=len(returns),
    )


def _median(waits: Iterable[int | None]) -> float | None:
    found = [wait for wait in waits if wait is not None]
    return float(np.median(found)) if found else None


def _found_share(results: Sequence[ExpressionResult]) -> float | None:
    if not results:
        return None
    return sum(result.first_correct is not None for result in results) / len(results)
