"""A simulated arm on a table and an RGB-D camera opposite: goals of the gripper in, pictures out.

    python -m samwise_ros.demos.grasp.arm_node

Publishes /clock. Its time stands still until the last picture was answered by a goal (`patience`
seconds at most), so that a run on a machine with too much work comes out as on an idle one, and one
on an idle machine is done sooner.

Out: `image`, `depth`, `camera_info`; `camera_transform` (TransformStamped, kept for late
subscribers: what tf2's static broadcaster would send, were it on PyPI); `gripper_pose`,
`joint_states`. In: `gripper_goal` (PoseStamped in the base frame, stamped with the picture that it
answers), `gripper_opening` [m]. Without a goal for half a second the arm stands still. `scene`
(Int32) starts a scene. The truth, for judges only: `instance`, `ground_truth` (PoseArray, frame
world_N of scene N: the tip of the gripper, then the objects' middles) and `view`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, PoseStamped, Quaternion, TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64, Header, Int32

from samwise_ros.demos.grasp.frames import (
    BASE_FRAME,
    CAMERA_FRAME,
    FINGER_JOINTS,
    LATCHED,
    hand_from_msg,
    hand_to_msg,
    transform_to_msg,
)
from samwise_ros.demos.sim_parts import depth_to_msg, info_to_msg, instance_to_msg
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.sim.geometry import Pose as Placed
from samwise_ros.sim.grasp_scene import BASE_POSE, grasp_scene
from samwise_ros.sim.grasp_world import GraspWorld
from samwise_ros.sim.scene import SimFrame

_BEGIN = 1.0  # [s] time of the first frame; 0 means "no time" in ROS
_STALE = 0.5  # [s] age of a goal that is obeyed no more
_POLL = 0.004  # [s]
_QOS = QoSProfile(depth=10)


@dataclass(frozen=True)
class ArmParameters:
    """Values of the arm's parameters."""

    seed: int = parameter(0, "Seed of the scenes.", limits=(0, 2**31 - 1))
    rate: float = parameter(5.0, "Frames per second of simulated time.", limits=(1.0, 60.0))
    patience: float = parameter(
        3.0, "Seconds for which a frame waits until the one before was answered.",
        limits=(0.0, 60.0))


class ArmNode(Node):
    """Simulates and publishes one frame after the other, and obeys what it was told meanwhile."""

    def __init__(self) -> None:
        super().__init__("arm")
        self._wanted = declare_parameters(self, ArmParameters)
        self.world: GraspWorld | None = None
        self._number = -1
        self._now = round(_BEGIN * 1e9)  # [ns]
        self._sent = self._answered = 0  # stamps [ns]
        self._sent_at = time.monotonic()
        self._outputs = {name: self.create_publisher(kind, name, _QOS) for name, kind in (
            ("image", Image), ("depth", Image), ("camera_info", CameraInfo),
            ("gripper_pose", PoseStamped), ("joint_states", JointState),
            ("instance", Image), ("ground_truth", PoseArray), ("view", Image))}
        self._clock_output = self.create_publisher(ClockMessage, "/clock", _QOS)
        self._transform = self.create_publisher(TransformStamped, "camera_transform", LATCHED)
        self.create_subscription(Int32, "scene", self._on_scene, _QOS)
        self.create_subscription(PoseStamped, "gripper_goal", self._on_goal, _QOS)
        self.create_subscription(Float64, "gripper_opening", self._on_opening, _QOS)
        self.create_timer(_POLL, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Frees the simulator."""
        if self.world is not None:
            self.world.close()

    def _on_scene(self, message: Int32) -> None:
        self.close()
        self._number = message.data
        self.world = GraspWorld(grasp_scene(self._wanted.seed, self._number))
        to_base = BASE_POSE.inverse
        camera = self.world.scene.camera
        self._transform.publish(TransformStamped(
            header=self._header(BASE_FRAME), child_frame_id=CAMERA_FRAME,
            transform=transform_to_msg(to_base.rotation * camera.rotation,
                                       to_base.transform(camera.position[None])[0])))

    def _on_goal(self, message: PoseStamped) -> None:
        stamp = message.header.stamp
        self._answered = stamp.sec * 10**9 + stamp.nanosec
        if self.world is None:
            return
        tip, yaw = hand_from_msg(message.pose)
        self.world.physics.goal = BASE_POSE.transform(tip[None])[0]
        self.world.physics.goal_yaw = yaw

    def _on_opening(self, message: Float64) -> None:
        if self.world is not None:
            self.world.physics.goal_opening = message.data

    def _step(self) -> None:
        waited = time.monotonic() - self._sent_at
        if self.world is None or (self._answered < self._sent and waited < self._wanted.patience):
            return
        if self._now - self._answered > _STALE * 1e9:
            self.world.physics.stop()
        self.world.advance(1 / self._wanted.rate)
        self._now += round(1e9 / self._wanted.rate)
        self._sent, self._sent_at = self._now, time.monotonic()
        self._publish(self.world.frame())

    def _publish(self, frame: SimFrame) -> None:
        """The picture last: what belongs to it is there then."""
        assert self.world is not None  # there was a frame
        header = self._header(CAMERA_FRAME)
        self._clock_output.publish(ClockMessage(clock=header.stamp))
        arm = self.world.physics.arm
        tip = BASE_POSE.inverse.transform(arm.tip[None])[0]
        self._outputs["gripper_pose"].publish(PoseStamped(
            header=self._header(BASE_FRAME), pose=hand_to_msg(tip, self.world.physics.yaw)))
        self._outputs["joint_states"].publish(JointState(
            header=self._header(BASE_FRAME), name=list(FINGER_JOINTS),
            position=[arm.opening / 2] * 2))
        self._outputs["ground_truth"].publish(self._truth(frame))
        if self._outputs["view"].get_subscription_count():
            self._outputs["view"].publish(rgb_to_msg(self.world.side_view(), header))
        self._outputs["instance"].publish(instance_to_msg(frame.instance, header))
        self._outputs["camera_info"].publish(info_to_msg(frame.intrinsics, header))
        self._outputs["depth"].publish(depth_to_msg(frame.depth, header))
        self._outputs["image"].publish(rgb_to_msg(frame.rgb, header))

    def _truth(self, frame: SimFrame) -> PoseArray:
        assert self.world is not None  # there was a frame
        places = [Placed(self.world.physics.arm.tip, Rotation.identity())]
        for item, pose in zip(self.world.scene.objects, frame.objects, strict=True):
            middle = pose.transform(np.array([[0.0, 0.0, item.box[2] / 2]]))[0]
            places.append(Placed(middle, pose.rotation))
        return PoseArray(header=self._header(f"world_{self._number}"),
                         poses=[_pose(place) for place in places])

    def _header(self, frame: str) -> Header:
        return Header(stamp=Time(sec=self._now // 10**9, nanosec=self._now % 10**9), frame_id=frame)


def _pose(pose: Placed) -> Pose:
    return Pose(position=Point(**dict(zip("xyz", map(float, pose.position)))),
                orientation=Quaternion(**dict(zip("xyzw", map(float, pose.quaternion)))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when a parameter is out of range or the simulator is missing."""
    with ros_process("arm", arguments), until_shutdown():
        arm = ArmNode()
        try:
            rclpy.spin(arm)
        finally:
            arm.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
