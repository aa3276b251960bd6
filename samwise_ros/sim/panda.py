"""The robot arm that grasps: a Franka Emika Panda of `pybullet_data`, its fingers included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from samwise_ros.sim.arm import GREYS

SOURCE = "franka_panda/panda.urdf"
ARM_JOINTS = tuple(range(7))
FINGERS = (9, 10)
TIP = 11  # link between the finger tips, 7 mm above their ends
_LIMITS = ((-2.90, 2.90), (-1.76, 1.76), (-2.90, 2.90), (-3.07, -0.07), (-2.90, 2.90),
           (-0.02, 3.75), (-2.90, 2.90))  # [rad], franka_description
_TORQUES = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # [N m], franka_description
_GRIP = 25.0  # [N] of each finger; the real hand holds with up to 70
REST = (0.0, -0.9, 0.0, -2.6, 0.0, 1.75, 0.785)  # [rad]: folded back, out of the picture
_COMFORTABLE = (0.0, 0.2, 0.0, -2.2, 0.0, 2.4, 0.785)  # what redundant joints tend to [rad]
_FINGER_GAIN = 0.3
MOST_OPEN = 0.08  # [m] between the fingers


class Panda:
    """The arm's body in one PyBullet client. Poses are in the client's world, metres.

    Args:
        bullet, client, data: PyBullet, the client, and the folder of pybullet_data.
        base: Foot of the arm.
        yaw: Where it looks, from +x [rad].
    """

    def __init__(self, bullet: ModuleType, client: int, data: Path, base: Sequence[float],
                 yaw: float) -> None:
        self._bullet, self._client = bullet, client
        self.body = bullet.loadURDF(
            str(data / SOURCE), list(base), bullet.getQuaternionFromEuler([0, 0, yaw]),
            useFixedBase=True, physicsClientId=client)
        for link in range(-1, bullet.getNumJoints(self.body, physicsClientId=client)):
            # Grey all over, as the simulator's other arm: its own white is one of the objects'.
            bullet.changeVisualShape(self.body, link, rgbaColor=[*GREYS[link % 2], 1.0],
                                     physicsClientId=client)
        self.put(REST, MOST_OPEN)

    def put(self, angles: Sequence[float], opening: float) -> None:
        """Set joint angles [7] (rad) and the opening [m] at once, without physics."""
        for joint, angle in zip(ARM_JOINTS, angles, strict=True):
            self._bullet.resetJointState(self.body, joint, angle, physicsClientId=self._client)
        for finger in FINGERS:
            self._bullet.resetJointState(
                self.body, finger, opening / 2, physicsClientId=self._client)

    @property
    def angles(self) -> list[float]:
        """Joint angles of the arm, [7] rad."""
        return [state[0] for state in self._states(ARM_JOINTS)]

    @property
    def opening(self) -> float:
        """Distance between the fingers [m]."""
        return sum(state[0] for state in self._states(FINGERS))

    @property
    def tip(self) -> np.ndarray:
        """Where the middle between the finger tips is, float64 [3]."""
        state = self._bullet.getLinkState(self.body, TIP, computeForwardKinematics=1,
                                          physicsClientId=self._client)
        return np.array(state[4])

    def hold(self) -> None:
        """Makes the fingers a pair, as the hand's own gear does; motors keep all joints."""
        bullet, client = self._bullet, self._client
        gear = bullet.createConstraint(
            self.body, FINGERS[0], self.body, FINGERS[1], bullet.JOINT_GEAR, [1, 0, 0], [0, 0, 0],
            [0, 0, 0], physicsClientId=client)
        bullet.changeConstraint(gear, gearRatio=-1, erp=0.1, maxForce=50, physicsClientId=client)
        self.drive(REST, MOST_OPEN)

    def drive(self, angles: Sequence[float], opening: float) -> None:
        """Have the motors, as strong as the arm's, go to angles [7] (rad) and an opening [m]."""
        bullet, client = self._bullet, self._client
        bullet.setJointMotorControlArray(
            self.body, ARM_JOINTS, bullet.POSITION_CONTROL, list(angles), forces=_TORQUES,
            physicsClientId=client)
        bullet.setJointMotorControlArray(
            self.body, FINGERS, bullet.POSITION_CONTROL, [opening / 2] * 2, forces=[_GRIP] * 2,
            positionGains=[_FINGER_GAIN] * 2, physicsClientId=client)

    def angles_for(self, tip: np.ndarray, turn: np.ndarray) -> list[float]:
        """Joint angles [7] (rad), near the present ones, that bring the tip to a place.

        Args:
            tip: [3].
            turn: Quaternion [4] of the hand; its z axis is where the fingers point to.
        """
        low, high = zip(*_LIMITS)
        fingers = [0.0] * len(FINGERS), [MOST_OPEN / 2] * len(FINGERS)
        found = self._bullet.calculateInverseKinematics(
            self.body, TIP, tip.tolist(), turn.tolist(), lowerLimits=[*low, *fingers[0]],
            upperLimits=[*high, *fingers[1]],
            jointRanges=[*np.subtract(high, low), *fingers[1]],
            restPoses=[*_COMFORTABLE, *fingers[1]], maxNumIterations=100, residualThreshold=1e-5,
            physicsClientId=self._client)
        return list(found[:len(ARM_JOINTS)])

    def _states(self, joints: Sequence[int]) -> list[tuple]:
        return self._bullet.getJointStates(self.body, joints, physicsClientId=self._client)
