"""Drawn textures for table, floor and walls: planks, tiles, stripes, speckles and clouds."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 256


def draw_texture(rng: np.random.Generator) -> np.ndarray | None:
    """A grey texture, uint8 [256, 256, 3], that is multiplied with the surface's colour.

    Returns None for a plain surface (a third of the cases). Contrast is kept low, so that the
    objects and not the background carry the strong edges.
    """
    if rng.random() < 0.3:
        return None
    draw = (_planks, _tiles, _stripes, _speckles, _clouds)[int(rng.integers(5))]
    strength = rng.uniform(0.08, 0.28)
    pattern = np.clip(1.0 - strength * draw(rng), 0.0, 1.0)
    grey = np.round(255 * pattern).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    total = np.zeros((SIDE, SIDE))
    for cells in (4, 8, 16, 64):
        coarse = rng.random((cells, cells)).astype(np.float32)
        fine = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(fine, np.float32) / cells**0.5
    return (total - total.min()) / np.ptp(total)


def _planks(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(4, 12))
    coarse = rng.random((count * 4, 6)).astype(np.float32)
    grain = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    tone = np.repeat(rng.random(count), SIDE // count + 1)[:SIDE, None]
    rows = np.arange(SIDE)[:, None] % max(SIDE // count, 1)
    return np.clip(0.5 * grain + 0.5 * tone + (rows < 2), 0, 1)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(6, 16))
    index = np.arange(SIDE) * count // SIDE
    if rng.random() < 0.5:
        return ((index[:, None] + index[None]) % 2).astype(float)
    edge = (np.arange(SIDE) * count % SIDE) < 2 * count
    return (edge[:, None] | edge[None]).astype(float)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    wave = np.sin(2 * np.pi * rng.integers(4, 14) * np.arange(SIDE) / SIDE + rng.uniform(0, 6))
    band = np.tile(0.5 + 0.5 * wave[None], (SIDE, 1))
    return band if rng.random() < 0.5 else band.T


def _speckles(rng: np.random.Generator) -> np.ndarray:
    noise = (rng.random((SIDE, SIDE)) < 0.06).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2) * 3, 0, 1)
