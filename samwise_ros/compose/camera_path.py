"""The camera of a composed clip: per frame an affine map from world to picture pixels."""

from __future__ import annotations

import numpy as np

KINDS = ("fixed", "pan", "zoom", "shake", "hand")
SHARES = (0.35, 0.22, 0.13, 0.15, 0.15)  # hand: pans and shakes


def camera_path(frames: int, width: int, height: int,
                rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """Kind of motion and float [T, 2, 3] maps; the middle frame shows the world as it is."""
    kind = str(rng.choice(KINDS, p=SHARES)) if frames > 1 else "fixed"
    time = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(1)
    shift, zoom, roll = np.zeros((frames, 2)), np.ones(frames), np.zeros(frames)
    if kind in ("pan", "hand"):
        turn = rng.choice([0, np.pi]) + rng.normal(0, 0.3)
        reach = rng.uniform(0.1, 0.35) * width
        shift += time[:, None] * reach * np.array([np.cos(turn), np.sin(turn)])
    if kind == "zoom":
        zoom = rng.uniform(1.2, 1.7) ** (rng.choice([-1, 1]) * time)
    if kind in ("shake", "hand"):
        shift += _wander(frames, rng) * rng.uniform(0.5, 2.5)
        roll = _wander(frames, rng)[:, 0] * rng.uniform(0.1, 0.6)
    return kind, np.stack([_matrix(*row, width, height) for row in zip(shift, zoom, roll)])


def _wander(frames: int, rng: np.random.Generator) -> np.ndarray:
    """[T, 2]: a shaking hand, of about one pixel."""
    steps = rng.normal(0, 1, (frames + 4, 2))
    return np.stack([steps[i:i + frames] for i in range(5)]).mean(0) * 2


def _matrix(shift: np.ndarray, zoom: float, roll: float, width: int, height: int) -> np.ndarray:
    turn = np.deg2rad(roll)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([width / 2, height / 2])
    return np.hstack([linear, (middle + shift - linear @ middle)[:, None]])
