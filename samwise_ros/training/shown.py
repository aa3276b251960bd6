"""Batches for a decoder and a memory that follow any object, whatever it is called.

A row is an object of a clip. It is shown once, on the clip's first frame, by points, a box or its
mask; on the other frames nothing but memory says who is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import torch

from samwise_ros.data.packed import PackedClips
from samwise_ros.model.prompts import (
    BESIDE,
    LOWER_RIGHT,
    NOTHING,
    ON_TARGET,
    UPPER_LEFT,
    VisualPrompt,
)
from samwise_ros.training.batches import PackedBatches, TrainBatch, clip_pixels
from samwise_ros.training.draws import MIN_VISIBLE, draw_frames

POINTS = 3  # room for each row's points
BOX_NOISE = 0.1  # of a side, how far a drawn corner may lie from the true one
TRIES = 4  # at finding frames of a clip of which the first shows something


class ShownBatches(PackedBatches):
    """Draws clips and, of each, objects that its first frame shows.

    The recipe's `data.prompts` says how often each way of showing is drawn; `data.expressions` is
    the number of objects of a clip.
    """

    def _clip(self, pack: PackedClips, clip: int, frames: int, rng: np.random.Generator
              ) -> TrainBatch:
        numbers, indices = _frames_with_object(
            pack.labels(clip),
            lambda: draw_frames(pack.length(clip), frames, self.setup.max_stride, rng))
        pixels, numbers = self._zoomed(pack.frames(clip)[indices], numbers, rng)
        seen = _seen(numbers[0])
        if self.setup.flip and rng.random() < 0.5:
            pixels, numbers = pixels[:, :, ::-1].copy(), numbers[:, :, ::-1].copy()
        count = self.setup.expressions
        rows = rng.permutation(seen)[:count]
        rows = np.concatenate((rows, rng.choice(seen, count - len(rows)))) if len(seen) else rows
        masks = np.stack([numbers == number for number in rows]) if len(rows) else \
            np.zeros((0, *numbers.shape), bool)
        prompt, kinds = draw_prompts(masks[:, 0], self.setup.prompts, rng)
        return TrainBatch(clip_pixels(pixels), (), torch.zeros(len(rows), dtype=torch.long),
                          torch.from_numpy(masks), kinds=kinds, prompt=prompt)


def _frames_with_object(labels: np.ndarray, draw: Callable[[], np.ndarray],
                        ) -> tuple[np.ndarray, np.ndarray]:
    """Object numbers [T, H, W] of drawn frames, the first with an object if any, and the frames."""
    for _ in range(TRIES):
        indices = draw()
        numbers = np.array(labels[indices])
        if _seen(numbers[0]):
            break
    return numbers, indices


def _seen(numbers: np.ndarray) -> list[int]:
    """The objects that a frame of object numbers [H, W] shows."""
    found, areas = np.unique(numbers, return_counts=True)
    return [int(n) for n, area in zip(found, areas, strict=True) if n and area >= MIN_VISIBLE]


def draw_prompts(masks: np.ndarray, weights: Mapping[str, float], rng: np.random.Generator,
                 ) -> tuple[VisualPrompt, tuple[str, ...]]:
    """How each row is shown.

    Args:
        masks: bool [N, H, W], none empty.
        weights: Of "point", "box" and "mask".

    Returns:
        The prompt of the rows, and each one's kind.
    """
    names = sorted(weights)
    share = np.array([weights[name] for name in names])
    kinds = tuple(str(kind) for kind in rng.choice(names, len(masks), p=share / share.sum()))
    points = np.zeros((len(masks), POINTS, 2), np.float32)
    labels = np.full((len(masks), POINTS), NOTHING)
    for row, (kind, mask) in enumerate(zip(kinds, masks, strict=True)):
        if kind == "box":
            points[row, :2], labels[row, :2] = _box(mask, rng), (UPPER_LEFT, LOWER_RIGHT)
        elif kind == "point":
            points[row], labels[row] = _points(mask, rng)
    return VisualPrompt(torch.from_numpy(points), torch.from_numpy(labels), torch.from_numpy(masks),
                        torch.tensor([kind == "mask" for kind in kinds], dtype=torch.bool)), kinds


def _box(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Corners [2, 2] of a box as people draw it."""
    ys, xs = np.nonzero(mask)
    corners = np.array([[xs.min(), ys.min()], [xs.max(), ys.max()]], np.float32)
    noise = rng.uniform(-BOX_NOISE, BOX_NOISE, (2, 2)) * (corners[1] - corners[0])
    return np.clip(corners + noise, 0, (mask.shape[1] - 1, mask.shape[0] - 1))


def _points(mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A point well inside, and sometimes another one, on the target or close beside it."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    points, labels = np.zeros((POINTS, 2), np.float32), np.full(POINTS, NOTHING)
    points[0], labels[0] = _one_of(depth >= 0.5 * depth.max(), rng), ON_TARGET
    chance = rng.random()
    if chance < 0.15:
        points[1], labels[1] = _one_of(mask, rng), ON_TARGET
    elif chance < 0.3:
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool) & ~mask
        if ring.any():
            points[1], labels[1] = _one_of(ring, rng), BESIDE
    return points, labels


def _one_of(mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """(x, y) of a pixel."""
    ys, xs = np.nonzero(mask)
    index = int(rng.integers(len(ys)))
    return int(xs[index]), int(ys[index])
