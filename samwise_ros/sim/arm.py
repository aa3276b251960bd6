"""The robot arm: a KUKA iiwa with a two-finger gripper that pushes, lifts or just stands there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from samwise_ros.sim.geometry import Pose
from samwise_ros.sim.motions import Lift, Span
from samwise_ros.sim.physics import Pusher

SOURCE = "kuka_iiwa/kuka_with_gripper2.sdf"
SCALE = 1.25
WRIST_LINK = 6
WRIST_JOINTS = 7
FINGER_LENGTH = 0.355  # [m] from the wrist link down to the finger tips, at SCALE
REACH = (0.35, 0.98)  # [m] horizontal distance from the base at which a low target is reached
REST_ANGLES = (0.0, 0.4, 0.0, -1.2, 0.0, 1.2, 0.0)
DOWNWARDS = (1.0, 0.0, 0.0, 0.0)  # quaternion: half a turn about x
GREYS = ((0.62, 0.62, 0.64), (0.45, 0.45, 0.47))


@dataclass(frozen=True)
class ArmPlan:
    """Where the arm stands and what its finger tips do.

    Args:
        base: foot of the arm [m], world frame.
        rest: where the finger tips wait, world frame; the task of an idle arm.
        target: index of the object it acts on, or None.
        pusher: what it pushes with, and from when on (`span`: start and the recording's length).
        lift: how it lifts.
    """

    base: tuple[float, float, float]
    rest: tuple[float, float, float]
    target: int | None = None
    pusher: Pusher | None = None
    span: Span | None = None
    lift: Lift | None = None

    def tips(self, time: float, home: Pose | None, height: float) -> np.ndarray:
        """Position [3] of the finger tips at `time` [s], world frame.

        Args:
            time: seconds.
            home: pose of the target before the arm acts on it (None for an idle arm).
            height: height of the target [m].
        """
        if self.pusher is not None and self.span is not None:
            return self.pusher.position(self.span.clock(time) * self.span.duration)
        if self.lift is not None and home is not None:
            top = home.position + [0.0, 0.0, height]
            share = self.lift.span.progress(time)
            approach = 0.25 * max(0.2 - share, 0.0) / 0.2
            return top + [0.0, 0.0, approach - 0.03 + self.lift.height * max(share - 0.2, 0) / 0.8]
        return np.asarray(self.rest)


def within_reach(base: np.ndarray, points: np.ndarray) -> bool:
    """True if the arm at `base` [3] reaches all finger tip positions [N, 3]."""
    distance = np.linalg.norm((np.atleast_2d(points) - base)[:, :2], axis=1)
    return bool((distance > REACH[0]).all() and (distance < REACH[1]).all())


class Arm:
    """The arm's body in one PyBullet client."""

    def __init__(self, bullet: ModuleType, client: int, data: Path, base: np.ndarray) -> None:
        self._bullet = bullet
        self._client = client
        self.body = bullet.loadSDF(str(data / SOURCE), globalScaling=SCALE, physicsClientId=client)[
            0
        ]
        bullet.resetBasePositionAndOrientation(
            self.body, list(base), [0, 0, 0, 1], physicsClientId=client
        )
        for link in range(-1, bullet.getNumJoints(self.body, physicsClientId=client)):
            # Grey all over: in its own orange and blue it would be one more "blue thing".
            bullet.changeVisualShape(
                self.body, link, rgbaColor=[*GREYS[link % 2], 1.0], physicsClientId=client
            )

    def reach(self, tips: np.ndarray) -> None:
        """Moves the finger tips to `tips` [3], world frame, gripper pointing down.

        It always starts from the same joint angles, so that the posture depends on nothing but
        the argument.
        """
        goal = [float(tips[0]), float(tips[1]), float(tips[2]) + FINGER_LENGTH]
        self._pose(REST_ANGLES)
        for _ in range(4):  # the solver does a limited number of steps per call
            angles = self._bullet.calculateInverseKinematics(
                self.body,
                WRIST_LINK,
                goal,
                DOWNWARDS,
                maxNumIterations=60,
                residualThreshold=1e-4,
                physicsClientId=self._client,
            )
            self._pose(angles[:WRIST_JOINTS])

    def _pose(self, angles: tuple[float, ...]) -> None:
        for joint, angle in enumerate(angles):
            self._bullet.resetJointState(self.body, joint, angle, physicsClientId=self._client)
