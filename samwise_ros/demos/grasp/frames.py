"""What the arm's process and its client share: names, and how a hand that points down is a pose."""

from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation

BASE_FRAME = "panda_link0"
CAMERA_FRAME = "camera_optical_frame"
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")  # each: half of the opening [m]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_DOWNWARDS = Rotation.from_euler("x", np.pi)  # the hand's z axis, where its fingers point to


def hand_to_msg(tip: np.ndarray, yaw: float) -> Pose:
    """A hand that points down, its tip at [3] m, turned by `yaw` rad -> pose."""
    turn = Rotation.from_euler("z", yaw) * _DOWNWARDS
    return Pose(position=Point(**_xyz(tip)), orientation=_quaternion(turn))


def hand_from_msg(pose: Pose) -> tuple[np.ndarray, float]:
    """The other way: tip [3] m, and the turn [rad] of the hand's x axis in the plane."""
    axis = _rotation(pose.orientation).apply([1.0, 0.0, 0.0])
    return _array(pose.position), float(np.arctan2(axis[1], axis[0]))


def transform_to_msg(rotation: Rotation, shift: np.ndarray) -> Transform:
    """x -> `rotation` x + `shift` [3] m."""
    return Transform(translation=Vector3(**_xyz(shift)), rotation=_quaternion(rotation))


def transformed(points: np.ndarray, transform: Transform) -> np.ndarray:
    """Points [N, 3] of the child frame in the parent frame, float64 [N, 3]."""
    return _rotation(transform.rotation).apply(points) + _array(transform.translation)


def _rotation(turn: Quaternion) -> Rotation:
    return Rotation.from_quat([turn.x, turn.y, turn.z, turn.w])


def _quaternion(rotation: Rotation) -> Quaternion:
    return Quaternion(**dict(zip("xyzw", map(float, rotation.as_quat()))))


def _xyz(values: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", map(float, values)))


def _array(message: Any) -> np.ndarray:
    """A Point or Vector3, float64 [3]."""
    return np.array([message.x, message.y, message.z])
