"""A video file played as a camera: for demos, tests and trying the node without hardware."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.streaming.video_io import FrameSource

_FROM_RGB = {"rgb8": None, "bgr8": cv2.COLOR_RGB2BGR, "mono8": cv2.COLOR_RGB2GRAY}
_QOS = {
    "sensor_data": QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT),
    "reliable": QoSProfile(depth=5, reliability=QoSReliabilityPolicy.RELIABLE),
}
_FAREWELL = 30  # seconds for the last images to arrive, on a machine as busy as may be


@dataclass(frozen=True)
class CameraParameters:
    """Values of the camera's parameters."""

    video: str = parameter("", "Path of a video file, of a folder of images, or of one image.")
    rate: float = parameter(0.0, "Frames per second; 0: the file's own times.",
                            limits=(0.0, 1000.0))
    loop: bool = parameter(True, "Start again at the end; otherwise the camera exits.")
    frame_id: str = parameter("camera_optical_frame", "frame_id of the images.")
    encoding: str = parameter("bgr8", "Of the images.", choices=tuple(_FROM_RGB))
    width: int = parameter(0, "Resize to this many pixels, keeping the aspect ratio; 0: don't.",
                           limits=(0, 16384))
    qos: str = parameter("reliable", "reliable serves both kinds of subscribers.",
                         choices=tuple(_QOS))
    wait_for_subscribers: int = parameter(
        0, "Play only once this many subscribers are there.", limits=(0, 100))


class VideoCamera(Node):
    """Publishes `image_raw` at a steady rate or the file's own times, stamped when it is sent.

    Raises:
        SamwiseError: A parameter is out of its range, or the video can't be read.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self._settings = declare_parameters(self, CameraParameters)
        self._source = FrameSource(self._settings.video)
        self._frames = _play(self._source, self._settings.loop)
        self._publisher = self.create_publisher(Image, "image_raw", _QOS[self._settings.qos])
        self.sent = 0
        self.finished = False
        self._reported: set[str] = set()
        self._due = 0.0
        rate = self._settings.rate or self._source.rate
        self._timer = self.create_timer(1.0 / rate, self._send_next)
        self.get_logger().info(f"playing {self._source.name} at {rate:.1f} frames per second on "
                               f"{self._publisher.topic_name}")

    def flush(self) -> None:
        """Wait until reliable subscribers have every image: an earlier end takes some with it."""
        for _ in range(_FAREWELL):  # one by one, so that Ctrl-C is heard
            if not rclpy.ok() or self._publisher.wait_for_all_acked(Duration(seconds=1)):
                return

    def _send_next(self) -> None:
        if self._publisher.get_subscription_count() < self._settings.wait_for_subscribers:
            return
        frame, pause = next(self._frames, (None, 0.0))
        self._report_damage()
        if frame is None:
            self.finished = True
            return
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._settings.frame_id)
        self._publisher.publish(
            rgb_to_msg(self._prepare(frame), header, self._settings.encoding))
        self.sent += 1
        if not self._settings.rate:
            self._wait(pause)

    def _wait(self, pause: float) -> None:
        """Send the next frame `pause` seconds after this one was due: delays do not add up."""
        now = time.monotonic()
        self._due = max((self._due or now) + pause, now)
        self._timer.timer_period_ns = max(1, int((self._due - now) * 1e9))
        self._timer.reset()

    def _report_damage(self) -> None:
        for name, fault in self._source.damaged.items():
            if name not in self._reported:
                self._reported.add(name)
                self.get_logger().warning(f"frame {name} is left out: {fault}")

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        """uint8 RGB [H, W, 3] -> the wanted width and encoding."""
        if self._settings.width:
            height = round(frame.shape[0] * self._settings.width / frame.shape[1])
            frame = cv2.resize(frame, (self._settings.width, max(1, height)),
                               interpolation=cv2.INTER_AREA)
        code = _FROM_RGB[self._settings.encoding]
        return frame if code is None else cv2.cvtColor(frame, code)


def _play(source: FrameSource, loop: bool) -> Iterator[tuple[np.ndarray, float]]:
    """uint8 RGB [H, W, 3] frames with the seconds until the next, once or again and again."""
    while True:
        shown = None
        for frame in source:
            if shown is not None:
                yield shown.rgb, frame.time - shown.time
            shown = frame
        if shown is not None:
            yield shown.rgb, 1.0 / source.rate
        if not loop:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `ros2 run samwise_ros samwise_camera`; 1 when the video can't be played."""
    with ros_process("camera", arguments), until_shutdown():
        camera = VideoCamera()
        while rclpy.ok() and not camera.finished:
            rclpy.spin_once(camera, timeout_sec=1.0)
        camera.flush()
        camera.get_logger().info(f"sent {camera.sent} frames")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
