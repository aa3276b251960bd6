"""Clips zoomed in on one of their objects, since composed scenes hold few large ones."""

from __future__ import annotations

import cv2
import numpy as np

SMALLEST = 0.3  # side of the view over that of the frame: less would be blur
TIGHT, WIDE = 0.8, 2.0  # side of the view over that of the object; below one its border cuts it


def zoom_in(pictures: np.ndarray, numbers: np.ndarray,
            rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same part of all frames, at full size; frames without any object are left alone.

    Args:
        pictures: uint8 [T, H, W, 3]. numbers: uint8 [T, H, W], 1-based objects.
        rng: Draws the object of the first frame that has any, the size and the place of the view.
    """
    shown = next((frame for frame in numbers if frame.any()), None)
    if shown is None:
        return pictures, numbers
    number = rng.choice(np.unique(shown[shown > 0]))
    seen = (numbers == number).any(0)
    size = np.array(seen.shape)
    extent = [np.flatnonzero(seen.any(axis)) for axis in (1, 0)]  # rows, columns
    low = np.array([places[0] for places in extent])
    high = np.array([places[-1] + 1 for places in extent])
    share = float(np.clip(((high - low) / size).max() * rng.uniform(TIGHT, WIDE), SMALLEST, 1))
    side = np.maximum(np.round(share * size), 1).astype(int)
    spare = np.abs(side - (high - low))
    middle = (low + high) / 2 + rng.uniform(-0.5, 0.5, 2) * spare
    top, left = np.clip(np.round(middle - side / 2).astype(int), 0, size - side)
    part = np.s_[:, top:top + side[0], left:left + side[1]]
    width_height = (int(size[1]), int(size[0]))
    return (np.stack([cv2.resize(np.ascontiguousarray(frame), width_height)
                      for frame in pictures[part]]),
            np.stack([cv2.resize(np.ascontiguousarray(frame), width_height,
                                 interpolation=cv2.INTER_NEAREST) for frame in numbers[part]]))
