"""The client that moves the arm: it knows the node's topics and the arm's, and no simulator.

    python -m samwise_ros.demos.grasp.picker_node

In: `/samwise/targets`, `/samwise/target_pose`, `/samwise/target_cloud`; `gripper_pose`,
`joint_states`, `camera_transform`. Out: one `gripper_goal` and `gripper_opening` for each answered
image, `picker_state` (String, JSON: command, step, still, misses), and "stop" on `/command` once a
thing lies in the tray.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Float64, Header, String

from samwise_ros.demos.client import TARGET, cloud_points, stamp_of
from samwise_ros.demos.grasp.frames import (
    BASE_FRAME,
    FINGER_JOINTS,
    LATCHED,
    hand_from_msg,
    hand_to_msg,
    transformed,
)
from samwise_ros.demos.grasp.picker import Hand, Picker, Sight, Step
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import Target, TargetArray
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters

_FRESH = 10**9  # [ns] age of a pose or a cloud that still counts
_READY = (0.30, 0.0, 0.42)  # [m] base frame: folded back, out of the picture
_QOS = QoSProfile(depth=10)


@dataclass(frozen=True)
class PickerParameters:
    """Values of the client's parameters, in the arm's base frame."""

    tray_x: float = parameter(0.36, "Where things are put, forwards [m].", limits=(0.0, 1.0))
    tray_y: float = parameter(0.02, "Where things are put, to the left [m].", limits=(-1.0, 1.0))


class PickerNode(Node):
    """Answers each `targets` with a goal of the gripper."""

    def __init__(self) -> None:
        super().__init__("picker")
        wanted = declare_parameters(self, PickerParameters)
        self.picker = Picker((wanted.tray_x, wanted.tray_y), _READY)
        self._hand: Hand | None = None
        self._opening = 0.0
        self._transform: TransformStamped | None = None
        self._cloud: tuple[int, np.ndarray] | None = None  # stamp [ns], points in the base frame
        self._pose: tuple[int, np.ndarray] | None = None
        self._command = self._commanded_at = 0  # number, stamp of its first answer [ns]
        self._step = self.picker.step
        self._goal = self.create_publisher(PoseStamped, "gripper_goal", _QOS)
        self._fingers = self.create_publisher(Float64, "gripper_opening", _QOS)
        self._state = self.create_publisher(String, "picker_state", _QOS)
        self._commands = self.create_publisher(String, "command", _QOS)
        for kind, topic, callback, qos in (
                (TransformStamped, "camera_transform", self._on_transform, LATCHED),
                (PoseStamped, "gripper_pose", self._on_hand, _QOS),
                (JointState, "joint_states", self._on_joints, _QOS),
                (PointCloud2, f"{TARGET}/target_cloud", self._on_cloud, _QOS),
                (PoseStamped, f"{TARGET}/target_pose", self._on_pose, _QOS),
                (TargetArray, f"{TARGET}/targets", self._on_targets, _QOS)):
            self.create_subscription(kind, topic, callback, qos)

    def _on_transform(self, message: TransformStamped) -> None:
        self._transform = message

    def _on_joints(self, message: JointState) -> None:
        positions = dict(zip(message.name, message.position))
        self._opening = sum(positions[joint] for joint in FINGER_JOINTS)

    def _on_hand(self, message: PoseStamped) -> None:
        self._hand = Hand(*hand_from_msg(message.pose), self._opening)

    def _on_cloud(self, message: PointCloud2) -> None:
        if self._transform is not None:
            self._cloud = (stamp_of(message.header),
                           transformed(cloud_points(message), self._transform.transform))

    def _on_pose(self, message: PoseStamped) -> None:
        if self._transform is not None:
            place = message.pose.position
            self._pose = (stamp_of(message.header), transformed(
                np.array([[place.x, place.y, place.z]]), self._transform.transform)[0])

    def _on_targets(self, message: TargetArray) -> None:
        if self._hand is None:
            return
        goal = self.picker.update(self.sight(message), self._hand)
        self._fingers.publish(Float64(data=float(goal.opening)))
        self._goal.publish(PoseStamped(
            header=Header(stamp=message.header.stamp, frame_id=BASE_FRAME),
            pose=hand_to_msg(goal.tip, goal.yaw)))
        self._state.publish(String(data=json.dumps(
            {"command": self._command, "step": self.picker.step.value, "still": self.picker.still,
             "misses": self.picker.misses})))
        if self.picker.step is Step.DONE and self._step is not Step.DONE:
            self._commands.publish(String(data="stop"))
        self._step = self.picker.step

    def sight(self, message: TargetArray) -> Sight:
        """The first target, with what is known of its place since its command."""
        stamp = stamp_of(message.header)
        if not message.targets:
            self._command = 0
            return Sight(stamp * 1e-9, 0, False)
        target = message.targets[0]
        if target.command != self._command:
            self._command, self._commanded_at = target.command, stamp
        present = target.state in (Target.TRACKING, Target.REACQUIRED)
        return Sight(stamp * 1e-9, target.command, present,
                     self._recent(self._cloud, stamp), self._recent(self._pose, stamp))

    def _recent(self, measured: tuple[int, np.ndarray] | None, now: int) -> np.ndarray | None:
        if measured is None or measured[0] < max(self._commanded_at, now - _FRESH):
            return None
        return measured[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    with ros_process("picker", arguments), until_shutdown():
        rclpy.spin(PickerNode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
