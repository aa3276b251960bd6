"""Spatial relations that hold clearly in every frame of a clip.

A relation counts only with a margin: the target clearly has it and no other candidate comes near
to having it. Left and right are as seen in the picture; near and far are depths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samwise_ros.sim.facts import ClipFacts

COLUMN_MARGIN = 0.06  # of the image width
DEPTH_MARGIN = 0.10  # [m]
SIZE_RATIO = 1.25
BESIDE_RATIO = 1.5


def extreme(facts: ClipFacts, relation: str, candidates: Sequence[int]) -> int | None:
    """The candidate that is most `relation` in every frame.

    Args:
        facts: the clip.
        relation: "left", "right", "near", "far", "big" or "small".
        candidates: at least two object indices.

    Returns:
        Object index, or None if no candidate leads clearly throughout or one is not visible.
    """
    if len(candidates) < 2 or not facts.always_visible(candidates):
        return None
    values, margin = _values(facts, relation, candidates)  # [T, n], larger is more
    order = np.argsort(values[0])
    best = int(order[-1])
    others = np.delete(values, best, axis=1).max(axis=1)
    return candidates[best] if (values[:, best] > others + margin).all() else None


def _values(facts: ClipFacts, relation: str, candidates: Sequence[int]) -> tuple[np.ndarray, float]:
    chosen = list(candidates)
    if relation in ("left", "right"):
        sign = -1 if relation == "left" else 1
        return sign * facts.centres[:, chosen, 0], COLUMN_MARGIN * facts.width
    if relation in ("near", "far"):
        sign = -1 if relation == "near" else 1
        return sign * facts.depths[:, chosen], DEPTH_MARGIN
    return _sizes(facts, 1 if relation == "big" else -1, chosen)


def _sizes(facts: ClipFacts, sign: int, chosen: list[int]) -> tuple[np.ndarray, float]:
    """Size in the picture, as log [T, n]; no leader unless the true sizes agree clearly."""
    boxes = sign * np.log([np.prod(facts.objects[index].box) ** (1 / 3) for index in chosen])
    areas = sign * np.log(facts.pixels[:, chosen]) / 2
    margin = float(np.log(SIZE_RATIO) / 2)
    ranked = np.sort(boxes)
    agrees = (np.argmax(areas, axis=1) == np.argmax(boxes)).all()
    if agrees and ranked[-1] - ranked[-2] > margin:
        return areas, margin
    return np.zeros_like(areas), 1.0


def satisfying(
    facts: ClipFacts, relation: str, candidates: Sequence[int], other: int
) -> int | None:
    """The only candidate in `relation` to the object `other` in every frame, else None.

    Args:
        facts: the clip.
        relation: "left", "right", "near" (in front of), "far" (behind) or "beside".
        candidates: object indices, without `other`.
        other: index of the reference object.
    """
    if not candidates or not facts.always_visible([*candidates, other]):
        return None
    if relation == "beside":
        return _nearest(facts, candidates, other)
    chosen = list(candidates)
    columns = facts.centres[:, chosen, 0] - facts.centres[:, [other], 0]  # [T, n]
    depths = facts.depths[:, chosen] - facts.depths[:, [other]]
    if relation in ("left", "right"):
        score = (columns if relation == "right" else -columns) / (COLUMN_MARGIN * facts.width)
        aligned = np.ones_like(score, bool)
    else:
        score = (depths if relation == "far" else -depths) / DEPTH_MARGIN
        aligned = np.abs(columns) < 0.22 * facts.width
    holds = ((score > 1) & aligned).all(axis=0)
    excluded = (score < -1).all(axis=0)
    if holds.sum() == 1 and (holds | excluded).all():
        return chosen[int(np.flatnonzero(holds)[0])]
    return None


def _nearest(facts: ClipFacts, candidates: Sequence[int], other: int) -> int | None:
    if len(candidates) < 2:
        return None
    chosen = list(candidates)
    offsets = facts.positions[:, chosen] - facts.positions[:, [other]]
    distances = np.linalg.norm(offsets, axis=2)  # [T, n]
    best = int(np.argmin(distances[0]))
    rest = np.delete(distances, best, axis=1).min(axis=1)
    clear = (distances[:, best] * BESIDE_RATIO < rest) & (distances[:, best] < 0.5)
    return chosen[best] if clear.all() else None


def between(facts: ClipFacts, candidates: Sequence[int], first: int, second: int) -> int | None:
    """The only candidate whose column lies between those of two objects in every frame."""
    if not candidates or not facts.always_visible([*candidates, first, second]):
        return None
    ends = np.sort(facts.centres[:, [first, second], 0], axis=1)  # [T, 2]
    margin = COLUMN_MARGIN * facts.width
    columns = facts.centres[:, list(candidates), 0]
    inside = ((columns > ends[:, :1] + margin) & (columns < ends[:, 1:] - margin)).all(axis=0)
    outside = ((columns < ends[:, :1] - margin) | (columns > ends[:, 1:] + margin)).all(axis=0)
    # Far in front or behind is "between" for nobody.
    ends_depth = np.sort(facts.depths[:, [first, second]], axis=1)
    depth = facts.depths[:, list(candidates)]
    level = (depth > ends_depth[:, :1] - 0.15) & (depth < ends_depth[:, 1:] + 0.15)
    inside &= level.all(axis=0)
    if inside.sum() == 1 and (inside | outside).all():
        return candidates[int(np.flatnonzero(inside)[0])]
    return None
