"""A simulated camera, with the truth about each of its pictures.

    python -m samwise_ros.demos.sim_camera --ros-args -p seed:=3 -p clip:=0

Shows a scene of the simulator's test split in real time, for ever. `image_raw`, `depth`,
`camera_info` and `instance` (mono8, object number or 0) carry one stamp per frame: the time of
sending.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from samwise_ros.demos.sim_parts import depth_to_msg, info_to_msg, instance_to_msg
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.sim.demo_scene import demo_plan
from samwise_ros.sim.scene import SimFrame, SimulatedCamera

FRAME_ID = "camera_optical_frame"
_QOS = QoSProfile(depth=5)  # reliable and volatile: serves every kind of subscriber


@dataclass(frozen=True)
class SimCameraParameters:
    """Values of the camera's parameters."""

    seed: int = parameter(0, "Seed of the scenes.", limits=(0, 2**31 - 1))
    clip: int = parameter(0, "Which scene of the seed.", limits=(0, 2**31 - 1))
    rate: float = parameter(10.0, "Frames per second.", limits=(1.0, 60.0))
    width: int = parameter(320, "Image width [px], 4:3.", limits=(64, 1920))
    wait_for_subscribers: int = parameter(
        0, "Begin once image_raw has this many subscribers.", limits=(0, 100))


class SimCamera(Node):
    """Renders and publishes one frame per period.

    Raises:
        SamwiseError: PyBullet is missing, or there is no such scene.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        wanted = declare_parameters(self, SimCameraParameters)
        self._wanted = wanted.wait_for_subscribers
        self.camera = SimulatedCamera(demo_plan(
            wanted.seed, wanted.clip, wanted.rate, wanted.width, wanted.width * 3 // 4))
        self._image = self.create_publisher(Image, "image_raw", _QOS)
        self._depth = self.create_publisher(Image, "depth", _QOS)
        self._info = self.create_publisher(CameraInfo, "camera_info", _QOS)
        self._instance = self.create_publisher(Image, "instance", _QOS)
        self._begun = False
        self.create_timer(1.0 / wanted.rate, self._step)

    def _step(self) -> None:
        self._begun = self._begun or self._image.get_subscription_count() >= self._wanted
        if self._begun:
            self._publish(self.camera.step())

    def _publish(self, frame: SimFrame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=FRAME_ID)
        self._image.publish(rgb_to_msg(frame.rgb, header))
        self._info.publish(info_to_msg(frame.intrinsics, header))
        if self._depth.get_subscription_count():
            self._depth.publish(depth_to_msg(frame.depth, header))
        self._instance.publish(instance_to_msg(frame.instance, header))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when there is no such scene or a parameter is out of range."""
    with ros_process("camera", arguments), until_shutdown():
        node = SimCamera()
        with closing(node.camera):
            rclpy.spin(node)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
