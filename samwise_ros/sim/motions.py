"""How objects move: scripts as pure functions of time, and tracks recorded from physics.

Each motion names *tags* that are true of its object ("moves", "left", "roll", ...) and tags that a
person might also grant it. An expression is asked only if exactly one object has its tag and no
other might have it. Directions are as seen by the camera at time 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from samwise_ros.sim.geometry import Pose

DIRECTIONS = ("left", "right", "near", "far")


class Motion(Protocol):
    """What every motion offers; `home` is where the object was placed."""

    @property
    def kind(self) -> str:
        """Word for it, such as "slide"."""

    @property
    def tags(self) -> frozenset[str]:
        """What can be said about it."""

    @property
    def possible_tags(self) -> frozenset[str]:
        """What might be said as well, so that its denial would be unfair."""

    def pose(self, time: float, home: Pose) -> Pose:
        """Pose of the object (middle of its footprint, world frame) at `time` [s]."""


@dataclass(frozen=True)
class Still:
    """Stays where it is."""

    kind: str = "still"
    tags: frozenset[str] = frozenset({"still"})
    possible_tags: frozenset[str] = frozenset()

    def pose(self, time: float, home: Pose) -> Pose:
        """`home` at all times."""
        return home


@dataclass(frozen=True)
class Span:
    """A time interval [s] with a smooth progress; `repeat` swings to and fro for ever."""

    start: float
    duration: float
    repeat: bool = False

    def __post_init__(self) -> None:
        if self.duration <= 0:
            raise ValueError(f"expected a duration > 0 s, got {self.duration}")

    def progress(self, time: float) -> float:
        """0 before, 1 after, smooth (zero speed at both ends) between."""
        phase = self.clock(time)
        return phase * phase * (3 - 2 * phase)

    def clock(self, time: float) -> float:
        """Like `progress`, at constant speed."""
        phase = max(time - self.start, 0.0) / self.duration
        if not self.repeat:
            return min(phase, 1.0)
        return 1.0 - abs(phase % 2.0 - 1.0)


@dataclass(frozen=True)
class Travel:
    """Moves in a straight line by `offset` [m, world] within `span`, from `begin` on.

    Args:
        kind: "slide", "drive", "enter", "leave", "return" or "hide".
        begin: offset from home at the start (something that enters begins outside).
        offset: offset from home at the end.
        back: comes back to where it began after half of the span.
    """

    kind: str
    span: Span
    begin: tuple[float, float, float]
    offset: tuple[float, float, float]
    tags: frozenset[str]
    possible_tags: frozenset[str] = frozenset()
    back: bool = False

    def pose(self, time: float, home: Pose) -> Pose:
        """On the line between `begin` and `offset`."""
        share = self.span.progress(time)
        if self.back:
            share = float(np.sin(np.pi * share))
        place = np.asarray(self.begin) * (1 - share) + np.asarray(self.offset) * share
        return Pose(home.position + place, home.rotation)


@dataclass(frozen=True)
class Circle:
    """Goes round a point at `radius` [m] beside its home, `rate` [rad/s], without an end."""

    start: float
    radius: float
    rate: float
    angle: float
    face: bool
    kind: str = "circle"
    tags: frozenset[str] = frozenset({"moves", "circle"})
    possible_tags: frozenset[str] = frozenset({*DIRECTIONS, "slide", "roll", "drive", "spin"})

    def pose(self, time: float, home: Pose) -> Pose:
        """On the circle; with `face` its x axis points along the path."""
        turn = self.angle + self.rate * max(time - self.start, 0.0)
        arm = np.array([np.cos(turn), np.sin(turn), 0.0])
        first = np.array([np.cos(self.angle), np.sin(self.angle), 0.0])
        rotation = home.rotation
        if self.face:
            rotation = Rotation.from_euler("z", turn + np.sign(self.rate) * np.pi / 2)
        return Pose(home.position + self.radius * (arm - first), rotation)


@dataclass(frozen=True)
class Spin:
    """Turns on the spot with `rate` [rad/s], without an end."""

    start: float
    rate: float
    kind: str = "spin"
    tags: frozenset[str] = frozenset({"spin"})
    possible_tags: frozenset[str] = frozenset({"moves", "circle", "still"})

    def pose(self, time: float, home: Pose) -> Pose:
        """`home` turned about the vertical."""
        angle = self.rate * max(time - self.start, 0.0)
        return Pose(home.position, Rotation.from_euler("z", angle) * home.rotation)


@dataclass(frozen=True)
class Lift:
    """Is raised by the arm by `height` [m] within `span` and held there."""

    span: Span
    height: float
    kind: str = "lift"
    tags: frozenset[str] = frozenset({"moves", "lift"})
    possible_tags: frozenset[str] = frozenset()

    def pose(self, time: float, home: Pose) -> Pose:
        """`home` raised; the first fifth of the span is the gripper's way down to it."""
        share = max(self.span.progress(time) - 0.2, 0.0) / 0.8
        return Pose(home.position + [0.0, 0.0, self.height * share], home.rotation)


@dataclass(frozen=True)
class Track:
    """Poses recorded from a physics simulation: rolling, falling, being pushed.

    Args:
        kind: "roll", "fall", "drop" or "push".
        start: when the recording begins [s]; before that its first pose holds.
        times: [K] seconds since `start`, rising.
        positions: [K, 3] middle of the footprint [m], world frame.
        quaternions: [K, 4] (x, y, z, w).
        repeat: plays to and fro for ever.
    """

    kind: str
    start: float
    times: np.ndarray
    positions: np.ndarray
    quaternions: np.ndarray
    tags: frozenset[str]
    possible_tags: frozenset[str] = frozenset()
    repeat: bool = False
    _slerp: Slerp = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slerp = Slerp(self.times, Rotation.from_quat(self.quaternions))
        object.__setattr__(self, "_slerp", slerp)

    def pose(self, time: float, home: Pose) -> Pose:
        """The recorded pose; `home` plays no part."""
        last = float(self.times[-1])
        local = Span(self.start, last, self.repeat).clock(time) * last
        place = [np.interp(local, self.times, self.positions[:, axis]) for axis in range(3)]
        return Pose(np.array(place), self._slerp(local))


def direction_tag(displacement: np.ndarray, camera: Pose) -> str | None:
    """Which of `DIRECTIONS` a world displacement [3] points to as seen from `camera`.

    Returns None for a displacement between two directions (30 degrees or more off both).
    """
    axes = camera.axes
    right = axes[:, 0] * [1, 1, 0]
    away = axes[:, 2] * [1, 1, 0]
    values = {
        "right": float(displacement @ right / np.linalg.norm(right)),
        "far": float(displacement @ away / np.linalg.norm(away)),
    }
    values |= {"left": -values["right"], "near": -values["far"]}
    best = max(values, key=values.__getitem__)
    length = np.linalg.norm(displacement[:2])
    return best if values[best] > np.cos(np.deg2rad(30)) * length > 0 else None
