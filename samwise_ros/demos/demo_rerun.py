"""What the demo's client writes for Rerun's viewer: answers, and with depth where targets are.

Only what is published: the camera's `depth` and `camera_info`, the node's `~/target_cloud`.
"""

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from samwise_ros.demos.client import QOS, TARGET, cloud_points, stamp_of
from samwise_ros.messages.camera_model import pinhole_from_info
from samwise_ros.messages.depth_sync import StampedBuffer
from samwise_ros.messages.image_codec import image_to_depth
from samwise_ros.streaming.rerun_log import RerunLog, ShownPlace, ShownTarget
from samwise_ros.streaming.video_io import Frame

_CAMERA = "camera"


class DemoRerun:
    """Keeps depth and clouds until their frames are shown.

    Args:
        node: That listens.
        log: What is written.
        frames: That may be between a depth image and its frame's turn.
    """

    def __init__(self, node: Node, log: RerunLog, frames: int) -> None:
        self._log = log
        self._shown = 0
        self._depths: StampedBuffer[Image] = StampedBuffer(frames)
        self._clouds: StampedBuffer[PointCloud2] = StampedBuffer(frames)
        self._info: CameraInfo | None = None
        node.create_subscription(CameraInfo, "camera_info", self._on_info, QOS)
        for kind, topic, buffer in ((Image, "depth", self._depths),
                                    (PointCloud2, f"{TARGET}/target_cloud", self._clouds)):
            node.create_subscription(
                kind, topic,
                lambda message, buffer=buffer: buffer.put(stamp_of(message.header), message), QOS)

    def show(self, stamp: int, rgb: np.ndarray, target: ShownTarget, latency: float) -> None:
        """A frame of `stamp` [ns] with its answer; uint8 RGB [H, W, 3], `latency` in seconds."""
        frame = Frame("", rgb, self._shown, 0.0, stamp)
        self._shown += 1
        self._log.answer(_CAMERA, frame, [target], latency)
        try:
            depth = image_to_depth(self._depths.pop(stamp))
        except KeyError:
            return
        if self._info is not None:
            self._log.places(_CAMERA, frame, self._places(stamp, target.target_id), depth,
                             pinhole_from_info(self._info).matrix)

    def _places(self, stamp: int, target_id: str) -> list[ShownPlace]:
        """The box of the target's visible surface; empty where it is not seen."""
        try:
            points = cloud_points(self._clouds.pop(stamp))
        except KeyError:
            return []
        low, high = points.min(axis=0), points.max(axis=0)
        return [ShownPlace(target_id, (low + high) / 2, high - low)]

    def _on_info(self, info: CameraInfo) -> None:
        self._info = info
