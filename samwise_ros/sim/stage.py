"""The stage on which motions are planned: who stands where, what is free, what is in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from samwise_ros.sim import arm as arms
from samwise_ros.sim.camera_motion import CameraScript
from samwise_ros.sim.content import ObjectContent
from samwise_ros.sim.geometry import Intrinsics, Pose
from samwise_ros.sim.layout import image_box, inside_share, radius
from samwise_ros.sim.motions import Motion, Span, Still, direction_tag

CHECKS = 9  # points in time at which collisions and visibility are checked
LONGEST = 3.0  # [s] that a motion takes, however long the scene


@dataclass
class Choreography:
    """Homes (possibly moved), motions per object and the arm, if there is one."""

    homes: list[Pose]
    motions: list[Motion]
    arm: arms.ArmPlan | None = None


class Stage:
    """A scene while its motions are being chosen. World frame, metres, seconds.

    Args:
        objects, homes: what stands where.
        camera, intrinsics: how it is seen.
        duration: seconds in which every motion must have shown itself.
        repeat: motions swing to and fro for ever; directions are then no longer true.
        rng: source of randomness.
    """

    def __init__(
        self,
        objects: Sequence[ObjectContent],
        homes: Sequence[Pose],
        camera: CameraScript,
        intrinsics: Intrinsics,
        duration: float,
        repeat: bool,
        rng: np.random.Generator,
    ) -> None:
        self.objects = objects
        self.duration = duration
        self.repeat = repeat
        self.rng = rng
        self.plan = Choreography(list(homes), [Still() for _ in objects])
        self._intrinsics = intrinsics
        self._radii = [radius(item) for item in objects]
        self._times = [float(time) for time in np.linspace(0.0, duration, CHECKS)]
        self._cameras = [camera.pose(time) for time in self._times]
        axes = self._cameras[0].axes
        self.right = axes[:, 0] / np.linalg.norm(axes[:, 0])
        away = axes[:, 2] * [1, 1, 0]
        self.away = away / np.linalg.norm(away)

    def home(self, index: int) -> Pose:
        """Where object `index` was placed."""
        return self.plan.homes[index]

    def radius(self, index: int) -> float:
        """Radius [m] of the circle around the object's footprint."""
        return self._radii[index]

    # -- checks -------------------------------------------------------------------------------

    def allows(self, index: int, motion: Motion) -> bool:
        """No collision with another object, and in the picture as far as the kind allows."""
        item, home = self.objects[index], self.home(index)
        poses = [motion.pose(time, home) for time in self._times]
        if not all(self._clear(index, pose, time) for pose, time in zip(poses, self._times)):
            return False
        shares = [
            inside_share(image_box(item, pose, camera, self._intrinsics), self._intrinsics)
            for pose, camera in zip(poses, self._cameras)
        ]
        if motion.kind in ("enter", "drop"):
            return shares[0] < 0.02 and shares[-1] > 0.75
        if motion.kind == "leave":
            return shares[0] > 0.75 and shares[-1] < 0.02
        if motion.kind == "back":
            return shares[0] > 0.75 and min(shares) < 0.15 and shares[-1] > 0.6
        return min(shares) > (0.45 if motion.kind == "lift" else 0.75)

    def _clear(self, index: int, pose: Pose, time: float) -> bool:
        for other, home in enumerate(self.plan.homes):
            if other == index:
                continue
            offset = pose.position - self.plan.motions[other].pose(time, home).position
            gap = np.hypot(offset[0], offset[1]) - self._radii[other] - self._radii[index]
            if gap < -0.03 and abs(offset[2]) < 0.3:  # circles overestimate corners a little
                return False
        return True

    def outside(self, index: int, heading: np.ndarray) -> np.ndarray | None:
        """Offset [3] along `heading` at which the object is just out of the picture."""
        item, home = self.objects[index], self.home(index)
        for distance in np.arange(0.3, 2.2, 0.1):
            pose = Pose(home.position + heading * distance, home.rotation)
            boxes = [
                image_box(item, pose, camera, self._intrinsics)
                for camera in (self._cameras[0], self._cameras[-1])
            ]
            if all(inside_share(box, self._intrinsics) == 0.0 for box in boxes):
                return heading * distance
        return None

    # -- ingredients --------------------------------------------------------------------------

    def start(self, latest: float, earliest: float = 0.0) -> float:
        """A random start [s] between two shares of the duration."""
        return float(self.rng.uniform(earliest, latest) * self.duration)

    def span(self, shortest: float = 0.45) -> Span:
        """A random span that takes at least the share `shortest` of the duration."""
        start = self.start(0.15)
        longest = min(self.duration - start, LONGEST)
        duration = self.rng.uniform(min(shortest * self.duration, longest), longest)
        return Span(start, float(duration), self.repeat)

    def heading(self, index: int) -> np.ndarray:
        """A direction [3] over the ground, mostly sideways and to where there is room."""
        axis = self.right if self.rng.random() < 0.75 else self.away
        room = -np.sign(self.home(index).position @ axis) or 1.0
        base = axis * (room if self.rng.random() < 0.75 else -room)
        return Rotation.from_euler("z", self.rng.uniform(-0.25, 0.25)).apply(base)

    def sideways(self) -> np.ndarray:
        """Exactly left or right as seen by the camera, [3]."""
        return self.right * self.rng.choice([-1, 1])

    def face(self, index: int, heading: np.ndarray) -> None:
        """Turns a car so that it drives forwards (its x axis) along `heading`."""
        if self.objects[index].class_name == "car":
            yaw = float(np.arctan2(heading[1], heading[0]))
            self.plan.homes[index] = Pose(self.home(index).position, Rotation.from_euler("z", yaw))

    def tags(self, kind: str, displacement: np.ndarray) -> frozenset[str]:
        """Tags of a movement along `displacement` [3], with its direction as the camera sees it."""
        direction = direction_tag(displacement, self._cameras[0])
        if self.repeat or direction is None:
            return frozenset({"moves", kind})
        return frozenset({"moves", kind, direction})

    def arm_base(self, points: np.ndarray) -> tuple[float, float, float] | None:
        """A free place behind the objects from which the arm reaches `points` [N, 3]."""
        for _ in range(6):
            side = self.rng.uniform(-0.35, 0.35)
            base = self.right * side + self.away * self.rng.uniform(0.8, 0.95)
            gaps = [np.linalg.norm((home.position - base)[:2]) for home in self.plan.homes]
            if min(gaps) > 0.3 and arms.within_reach(base, points):
                return float(base[0]), float(base[1]), float(base[2])
        return None
