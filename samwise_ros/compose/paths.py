"""How an object moves: place, size and angle on every frame, in the world's pixels.

The world's pixels are those of the picture as long as the camera stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Path:
    """A path of T frames.

    Args:
        script: name of the motion.
        position: [T, 2] float, column and row of the middle [px].
        scale: [T] float, size relative to the object's own.
        angle: [T] float, anticlockwise rotation [degrees].
    """

    script: str
    position: np.ndarray
    scale: np.ndarray
    angle: np.ndarray


@dataclass(frozen=True)
class Stage:
    """The picture in which paths lie, and the object's extent in it [px]."""

    width: int
    height: int
    frames: int
    extent: float

    @property
    def time(self) -> np.ndarray:
        """[T] from 0 to 1."""
        return np.linspace(0, 1, self.frames) if self.frames > 1 else np.zeros(1)


def still(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Stays at `place`."""
    count = stage.frames
    return Path("still", np.tile(place, (count, 1)), np.ones(count), np.zeros(count))


def glide(stage: Stage, place: np.ndarray, rng: np.random.Generator,
          direction: tuple[float, float] | None = None, script: str = "glide") -> Path:
    """Moves straight through `place`; in a drawn direction unless one is given."""
    if direction is None:
        turn = rng.uniform(0, 2 * np.pi)
        direction = (np.cos(turn), np.sin(turn))
    length = rng.uniform(0.25, 0.6) * (stage.width * abs(direction[0])
                                       + stage.height * abs(direction[1]))
    step = (stage.time - rng.uniform(0.3, 0.7))[:, None] * length
    sway = np.stack([-np.array(direction)[1:], np.array(direction)[:1]], 1)
    wave = np.sin(stage.time * rng.uniform(2, 7))[:, None] * sway * rng.uniform(0, 0.02) * length
    return replace(still(stage, place, rng), script=script,
                   position=place + step * np.array(direction) + wave)


def approach(stage: Stage, place: np.ndarray, rng: np.random.Generator, sign: int) -> Path:
    """Grows (`sign` 1) or shrinks (-1) by a factor of 1.6 to 2.4."""
    factor = rng.uniform(1.6, 2.4)
    scale = factor ** (sign * (stage.time - 0.5))
    drift = (stage.time - 0.5)[:, None] * sign * np.array([rng.normal(0, 10), rng.uniform(0, 25)])
    return Path("near" if sign > 0 else "far", place + drift, scale, np.zeros(stage.frames))


def circle(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Goes round and round, at least once."""
    turn = rng.choice([-1, 1]) * rng.uniform(1.1, 1.8) * 2 * np.pi * stage.time
    turn = turn + rng.uniform(0, 2 * np.pi)
    radius = rng.uniform(0.12, 0.22) * stage.height
    ring = np.stack([np.cos(turn), np.sin(turn) * rng.uniform(0.6, 1.0)], 1) * radius
    return replace(still(stage, place, rng), script="circle", position=place + ring)


def spin(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Turns on the spot by 200 to 400 degrees."""
    angle = rng.choice([-1, 1]) * rng.uniform(200, 400) * stage.time
    return replace(still(stage, place, rng), script="spin", angle=angle)


def enter(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Comes from beyond a border to `place`."""
    start, end = rng.uniform(0.1, 0.45), rng.uniform(0.6, 1.0)
    share = np.clip((stage.time - start) / (end - start), 0, 1)[:, None]
    outside = _beyond(stage, place, rng)
    return replace(still(stage, place, rng), script="enter",
                   position=outside + (place - outside) * share)


def leave(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Goes from `place` beyond a border."""
    return replace(_reversed(enter(stage, place, rng)), script="leave")


def come_back(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Leaves over a border and comes back over the same one."""
    away = np.interp(stage.time, [0.0, 0.15, 0.42, 0.58, 0.85, 1.0], [0, 0, 1, 1, 0, 0])[:, None]
    outside = _beyond(stage, place, rng)
    return replace(still(stage, place, rng), script="return",
                   position=place + (outside - place) * away)


def hide(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> Path:
    """Passes through `place` from side to side; something stands in front of it there."""
    sign = rng.choice([-1, 1])
    reach = stage.extent * rng.uniform(1.0, 1.5) + 0.15 * stage.width
    return replace(still(stage, place, rng), script="hide", position=place + (
        (stage.time - 0.5) * 2 * sign * reach)[:, None] * np.array([1.0, rng.normal(0, 0.05)]))


Script = Callable[[Stage, np.ndarray, np.random.Generator], Path]
SCRIPTS: dict[str, Script] = {
    "still": still,
    "glide": glide,
    "left": lambda s, p, r: glide(s, p, r, (-1.0, r.normal(0, 0.1)), "left"),
    "right": lambda s, p, r: glide(s, p, r, (1.0, r.normal(0, 0.1)), "right"),
    "up": lambda s, p, r: glide(s, p, r, (r.normal(0, 0.1), -1.0), "up"),
    "down": lambda s, p, r: glide(s, p, r, (r.normal(0, 0.1), 1.0), "down"),
    "near": lambda s, p, r: approach(s, p, r, 1),
    "far": lambda s, p, r: approach(s, p, r, -1),
    "circle": circle,
    "spin": spin,
    "enter": enter,
    "leave": leave,
    "return": come_back,
    "hide": hide,
}


def _beyond(stage: Stage, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A place outside the nearer left or right border, sometimes the upper or lower one."""
    margin = 0.75 * stage.extent + 4
    if rng.random() < 0.75:
        left = place[0] < stage.width / 2
        return np.array([-margin if left else stage.width + margin, place[1]])
    upper = place[1] < stage.height / 2
    return np.array([place[0], -margin if upper else stage.height + margin])


def _reversed(path: Path) -> Path:
    return replace(path, position=path.position[::-1].copy())
