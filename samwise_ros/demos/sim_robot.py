"""A simulated mobile robot: camera, depth and camera_info out, cmd_vel in.

    python -m samwise_ros.demos.sim_robot

Publishes /clock, so that whoever runs beside it with use_sim_time keeps its pace on a slow machine.
For tests and demos it also tells the truth: `instance` (mono8, object number or 0) and
`ground_truth` (PoseArray in the world: the camera's base first, then the objects' footprints).

With `patience` its time stands still until the last frame was answered on `mask` and the base was
told twice what to do (the first may come from an older pose), so that a run on a machine with too
much work comes out as on an idle one.
"""

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Twist
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from samwise_ros.demos.sim_parts import depth_to_msg, info_to_msg, instance_to_msg
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.sim.follow_scene import follow_scene
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

CAMERA_FRAME = "camera_optical_frame"
WORLD_FRAME = "world"
_BEGIN = 1.0  # [s] time of the first frame; 0 means "no time" in ROS
_QOS = QoSProfile(depth=5)
_SILENCE = 0.4  # seconds after which nobody wants the base to move; a follower speaks every 0.05


@dataclass(frozen=True)
class SimRobotParameters:
    """Values of the robot's parameters."""

    width: int = parameter(320, "Image width [px].", limits=(64, 1920))
    height: int = parameter(240, "Image height [px].", limits=(48, 1080))
    rate: float = parameter(10.0, "Frames per second.", limits=(1.0, 60.0))
    patience: float = parameter(
        0.0, "Seconds for which a frame waits until the one before was answered; 0: in real time.",
        limits=(0.0, 60.0))


class SimRobot(Node):
    """Simulates and publishes one frame per period, then obeys what it was told meanwhile."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        wanted = declare_parameters(self, SimRobotParameters)
        self._patience = wanted.patience
        self._sent = self._answered = 0  # stamps [ns] of the last frame and of the last mask
        self._sent_at = self._answered_at = time.monotonic()
        self._told = 0  # velocities since the last mask
        self.camera = SimulatedCamera(follow_scene(wanted.width, wanted.height, wanted.rate))
        self.camera.drive(0.0, 0.0)  # puts the camera on its wheels
        self._outputs = {name: self.create_publisher(kind, topic, _QOS) for name, kind, topic in (
            ("clock", ClockMessage, "/clock"), ("image", Image, "image"), ("depth", Image, "depth"),
            ("info", CameraInfo, "camera_info"), ("instance", Image, "instance"),
            ("truth", PoseArray, "ground_truth"))}
        self.create_subscription(Twist, "cmd_vel", self._on_velocity, 1)
        if self._patience:
            self.create_subscription(Image, "mask", self._on_mask, _QOS)
        self.create_timer(1 / wanted.rate, self._step,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_velocity(self, message: Twist) -> None:
        self.camera.drive(message.linear.x, message.angular.z)
        self._told += 1

    def _on_mask(self, message: Image) -> None:
        self._answered = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        self._answered_at, self._told = time.monotonic(), 0

    def _step(self) -> None:
        now = time.monotonic()
        if self._answered < self._sent and now - self._sent_at < self._patience:
            return
        if self._patience and self._told < 2 and now - self._answered_at < _SILENCE:
            return
        frame = self.camera.step()
        self._sent, self._sent_at = round((_BEGIN + frame.time) * 1e9), time.monotonic()
        stamp = Time(sec=self._sent // 10**9, nanosec=self._sent % 10**9)
        self._outputs["clock"].publish(ClockMessage(clock=stamp))
        header = Header(stamp=stamp, frame_id=CAMERA_FRAME)
        self._outputs["info"].publish(info_to_msg(frame.intrinsics, header))
        self._outputs["depth"].publish(depth_to_msg(frame.depth, header))
        self._outputs["truth"].publish(self._truth(frame, stamp))
        self._outputs["instance"].publish(instance_to_msg(frame.instance, header))
        self._outputs["image"].publish(rgb_to_msg(frame.rgb, header))

    def _truth(self, frame: SimFrame, stamp: Time) -> PoseArray:
        base = self.camera.base
        assert base is not None  # `drive` was called at the start
        poses = [Pose(position=Point(x=base.x, y=base.y),
                      orientation=Quaternion(z=math.sin(base.yaw / 2), w=math.cos(base.yaw / 2)))]
        for item in frame.objects:
            x, y, z = map(float, item.position)
            poses.append(Pose(position=Point(x=x, y=y, z=z)))
        return PoseArray(header=Header(stamp=stamp, frame_id=WORLD_FRAME), poses=poses)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when a parameter is out of range or the simulator is missing."""
    with ros_process("sim_robot", arguments), until_shutdown():
        robot = SimRobot()
        with closing(robot.camera):
            rclpy.spin(robot)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
