"""What an endurance run with trouble has around the node: depth and transforms, or the listener.

Started by `endurance.run_endurance`, twice.
"""

import sys
import time
from array import array
from collections.abc import Callable

import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from samwise_ros.demos.bench.endurance_trouble import BASE_FRAME, LISTENER, NO_TRANSFORMS_FROM
from samwise_ros.demos.client import QOS, TARGET
from samwise_ros.demos.sim_parts import info_to_msg
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.sim.geometry import Intrinsics

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not on PyPI
    TFMessage = None

_MILLIMETRES = 1500  # from the camera to all that it sees
_FIELD_OF_VIEW = 1.0  # vertical [rad]


class DepthCamera(Node):
    """Publishes a plane as depth for every image, with its calibration and the camera's place.

    Args:
        period: Seconds of which transforms are left out from `NO_TRANSFORMS_FROM` on.
    """

    def __init__(self, period: float) -> None:
        super().__init__("depth_camera")
        self._period = period
        self._depth = self.create_publisher(Image, "/camera/depth", 5)
        self._info = self.create_publisher(CameraInfo, "/camera/camera_info", 5)
        self._transforms = TFMessage and self.create_publisher(TFMessage, "/tf", 100)
        self.create_subscription(Image, "/camera/image_raw", self._on_image,
                                 qos_profile_sensor_data)

    def _on_image(self, image: Image) -> None:
        header, height, width = image.header, image.height, image.width
        if self._transforms and time.monotonic() % self._period < NO_TRANSFORMS_FROM * self._period:
            self._transforms.publish(TFMessage(transforms=[TransformStamped(
                header=Header(stamp=header.stamp, frame_id=BASE_FRAME),
                child_frame_id=header.frame_id)]))
        self._info.publish(info_to_msg(
            Intrinsics.from_field_of_view(width, height, _FIELD_OF_VIEW), header))
        message = Image(header=header, height=height, width=width, encoding="16UC1",
                        step=2 * width)
        data = array("B")
        data.frombytes(array("H", [_MILLIMETRES]).tobytes() * (height * width))
        message.data = data
        self._depth.publish(message)


class Listener(Node):
    """Subscribes to what is large. Who listens makes the node work; it is stopped from outside."""

    def __init__(self) -> None:
        super().__init__(LISTENER)
        for kind, topic, qos in (
                (Image, "overlay", qos_profile_sensor_data),
                (CompressedImage, "overlay/compressed", qos_profile_sensor_data),
                (Image, "label_mask", QOS), (PointCloud2, "target_cloud", QOS),
                (PoseStamped, "target_pose", QoSProfile(depth=1))):
            self.create_subscription(kind, f"{TARGET}/{topic}", lambda message: None, qos)


def main() -> int:
    """Run what the first argument names, until told to end; the second is the period."""
    make: Callable[[], Node] = (
        Listener if sys.argv[1] == LISTENER else lambda: DepthCamera(float(sys.argv[2])))
    with ros_process(sys.argv[1], []), until_shutdown():
        rclpy.spin(make())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
