"""What is drawn of a clip at random: frames, sentences, and what some rows remember."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from samwise_ros.training.recolour import Sentence

MIN_VISIBLE = 12  # pixels at the packed size; fewer are neither visible nor absent

# Sentences that tell nothing, for rows that have to look into their memory.
REMINDERS = ("it", "that one", "the same one", "the same object", "the same thing as before",
             "the one from before", "keep following it", "stay with it")

SIDES = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDE_WORDS = re.compile(r"\b(leftmost|rightmost|left|right)\b")


def swap_sides(text: str) -> str:
    """The sentence that is true of the mirrored picture."""
    return _SIDE_WORDS.sub(lambda match: SIDES[match.group()], text)


def draw_frames(length: int, frames: int, max_stride: int, rng: np.random.Generator,
                from_start: bool = False) -> np.ndarray:
    """Indices of T equally spaced frames, 1..max_stride apart as far as the clip allows.

    A still is repeated. With `from_start` the first frame is the clip's first, otherwise any.
    """
    if length == 1:
        return np.zeros(frames, dtype=int)
    limit = max_stride if frames == 1 else min(max_stride, (length - 1) // (frames - 1))
    stride = int(rng.integers(1, max(1, limit) + 1))
    start = 0 if from_start else int(rng.integers(0, length - (frames - 1) * stride))
    return start + stride * np.arange(frames)


def draw_expressions(expressions: Sequence[Sentence], count: int,
                     kind_weights: Mapping[str, float], rng: np.random.Generator,
                     ) -> list[Sentence]:
    """`count` different expressions; a kind's weight is shared by its expressions in the clip.

    Kinds that `kind_weights` does not name weigh 1 (all do when it is empty). A clip with fewer
    usable expressions gives some twice.
    """
    kinds = [kind for _, kind, _ in expressions]
    weights = np.array([kind_weights.get(str(kind), 1.0 if not kind_weights else 0.0)
                        / kinds.count(kind) for kind in kinds])
    usable = np.flatnonzero(weights > 0)
    if usable.size == 0:
        usable, weights = np.arange(len(expressions)), np.ones(len(expressions))
    share = weights[usable] / weights[usable].sum()
    order = list(rng.choice(usable, min(count, usable.size), replace=False, p=share))
    order += list(rng.choice(usable, count - len(order), p=share))
    return [expressions[int(i)] for i in order]


def draw_reminded(masks: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Rows that learn from their memory alone: bool [N], a share of those with a past to remember.

    Args:
        masks: bool [N, T, H, W].
    """
    seen = (masks[:, :-1].sum((2, 3)) >= MIN_VISIBLE).any(1)
    return seen & (rng.random(len(masks)) < share)


def draw_reminders(texts: Sequence[str], masks: np.ndarray, rows: np.ndarray, distract: float,
                   rng: np.random.Generator) -> list[str]:
    """The sentences, those of reminded rows replaced by ones that say nothing or another thing.

    Args:
        texts: N sentences. masks: bool [N, T, H, W] their answers. rows: bool [N], the reminded.
        distract: Share of the reminded rows that get a sentence with another answer, if the clip
            has one.
    """
    drawn = list(texts)
    for row in np.flatnonzero(rows):
        others = [text for text, mask in zip(texts, masks, strict=True)
                  if mask.any() and not (mask & masks[row]).any()]
        distracted = distract > 0 and rng.random() < distract and others
        drawn[row] = str(rng.choice(others if distracted else REMINDERS))
    return drawn


def draw_misled(masks: np.ndarray, numbers: np.ndarray, share: float,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that remember another object than the one that is meant, as after locking on to it.

    Args:
        masks: bool [N, T, H, W], the answers. numbers: uint8 [T, H, W], 1-based objects.
        share: Of the rows whose target is in view on the last frame, while another object was
            before.

    Returns:
        bool [N], and bool [N, T, H, W] the masks of the other object.
    """
    rows, others = np.zeros(len(masks), bool), np.zeros_like(masks)
    seen = [number for number in np.unique(numbers) if number > 0
            and ((numbers[:-1] == number).sum((1, 2)) >= MIN_VISIBLE).any()]
    for row, mask in enumerate(masks):
        free = [number for number in seen if not mask[numbers == number].any()]
        if free and mask[-1].sum() >= MIN_VISIBLE and rng.random() < share:
            rows[row], others[row] = True, numbers == rng.choice(free)
    return rows, others
