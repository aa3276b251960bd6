"""Everything that one camera's answers are published as.

| topic below `prefix` | for each answered frame |
|---|---|
| mask | primary target, mono8 0/255; all zero when it is absent (`empty_masks` off: silent) |
| targets | all, with states |
| label_info, label_mask | all in one picture of numbers, and what the numbers mean |
| detections | the present ones |
| overlay, overlay/compressed | a picture for people, rate-limited |
| target_pose, target_cloud, detections_3d, predicted_pose | see `target_publisher` |

All carry the image's header and size. What nobody listens to is not made. Messages are made and
published in two threads: one for the answers, one for what takes longer (poses, overlays). Of
pictures and poses only the newest leaves; a recording (`keep_all`) gets all of them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from samwise_ros.messages.result_messages import label_key, primary_mask
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.outputs.conversions import (
    Detection2DArray,
    LabelInfo,
    TargetArray,
    detections_to_msg,
    jpeg_to_msg,
    label_info_to_msg,
    labels_to_msg,
    mask_to_msg,
    rgb_to_msg,
    targets_to_msg,
)
from samwise_ros.ros.outputs.output_settings import OutputSettings
from samwise_ros.ros.outputs.overlay import RateLimit, draw_overlay
from samwise_ros.ros.outputs.publishers import LATCHED_QOS, create_publisher, destroy_publisher
from samwise_ros.ros.outputs.sender import Sender
from samwise_ros.ros.outputs.target_publisher import TargetPublisher
from samwise_ros.streaming.drawing import encode_jpeg
from samwise_ros.streaming.label_map import LabelMap, paint_labels
from samwise_ros.structures import FrameResult

_TOPICS = {  # name: message type, None where it is not installed
    "mask": Image,
    "targets": TargetArray,
    "label_mask": Image,
    "detections": Detection2DArray,
    "overlay": Image,
    "overlay/compressed": CompressedImage,
}
_OVERLAYS = ("overlay", "overlay/compressed")  # for people, who miss no lost one
_FLUSH = 2.0  # seconds for what waits to be published


class ResultPublisher:
    """Publishes the answers of one camera.

    `publish` is called from one thread at a time, and waits for nobody; the setters from any.

    Args:
        node: Everything is created on it; lifecycle publishers where it is a lifecycle node.
        settings: How.
        prefix: Of the topics: "~" for the only camera of a node, "~/front" for one of several.

    Attributes:
        labels: Number of each target on the last frame.
        threshold: Score from which a target counts as there, as told by ~/label_info.

    Raises:
        MissingDependencyError: `settings.target_frame` without tf2_ros.
    """

    def __init__(self, node: Node, settings: OutputSettings, prefix: str = "~") -> None:
        self._node = node
        self._log = LimitedLog(node)
        self.threshold = settings.threshold
        self._empty_masks = settings.empty_masks
        self.labels: dict[str, int] = {}
        self._labels = LabelMap()
        self._label_key: tuple | None = None  # what the last LabelInfo said
        self._overlay_limit = RateLimit(settings.overlay_rate)
        self._answers, self._extras = (
            Sender(name, self._failed, settings.keep_all) for name in ("answers", "extras"))
        self._places = TargetPublisher(node, settings, self._extras, prefix)
        self._publishers = {
            name: create_publisher(node, kind, f"{prefix}/{name}", QoSProfile(
                depth=settings.history, reliability=(
                    QoSReliabilityPolicy.BEST_EFFORT if name in _OVERLAYS
                    else QoSReliabilityPolicy.RELIABLE)))
            for name, kind in _TOPICS.items() if kind is not None}
        self._label_info = None if LabelInfo is None else create_publisher(
            node, LabelInfo, f"{prefix}/label_info", LATCHED_QOS)

    @property
    def error(self) -> str:
        """Why the last frame with depth could not be placed in space; empty when it could."""
        return self._places.error

    @property
    def notice(self) -> str:
        """Why targets have masks but no pose, though nothing failed; empty when they have one."""
        return self._places.notice

    def start(self) -> None:
        """Subscribe to depth and camera_info; on activation."""
        self._label_key = None
        self._places.start()

    def stop(self) -> None:
        """Unsubscribe and publish what waits; on deactivation."""
        self._places.stop()
        for sender in (self._answers, self._extras):
            sender.flush(_FLUSH)

    def destroy(self) -> None:
        """Unsubscribe and remove the publishers."""
        self._places.stop()
        for sender in (self._answers, self._extras):
            sender.close()
        self._places.destroy()
        publishers = [*self._publishers.values(), self._label_info]
        self._publishers, self._label_info = {}, None
        for publisher in publishers:
            if publisher is not None:
                destroy_publisher(self._node, publisher)

    def reset(self) -> None:
        """Forget waiting frames, as after a jump of the clock or another image size."""
        self._places.reset()

    def set_overlay_rate(self, rate: float) -> None:
        """Publish at most this many overlays per second from now on; 0: none."""
        self._overlay_limit.rate = rate

    def publish(self, result: FrameResult, header: Header, rgb: np.ndarray,
                published: Callable[[], None] = lambda: None) -> None:
        """Have the answer to a frame published, the mask first.

        Args:
            result: The session's answer.
            header: Of the image, taken over unchanged.
            rgb: uint8 [H, W, 3], the image; not written to, may be kept for a few frames.
            published: Called in the thread of the answers when all but poses and overlays are out.
        """
        labels = self._labels.update([target.target_id for target in result.targets])
        if self._empty_masks or (result.targets and result.targets[0].area):
            self._put_picture("mask", lambda: mask_to_msg(primary_mask(result), header))
        self._put_picture("label_mask",
                          lambda: labels_to_msg(paint_labels(result, labels), header))
        self._answers.put("frame", lambda: self._publish_frame(result, labels, header, published))
        self._places.frame_answered(result, header, rgb)
        if any(map(self._wanted, _OVERLAYS)) and self._overlay_limit.take():
            self._extras.put("overlay", lambda: self._publish_overlay(rgb, result, labels, header),
                             newest_only=True)

    def _put_picture(self, name: str, make: Callable[[], Any]) -> None:
        if self._wanted(name):
            self._answers.put(name, lambda: self._send(name, make), newest_only=True)

    def _publish_frame(self, result: FrameResult, labels: dict[str, int], header: Header,
                       published: Callable[[], None]) -> None:
        """What is small, and so published for every frame."""
        self.labels = labels
        self._send("targets", lambda: targets_to_msg(result, labels, header))
        self._publish_label_info(result, labels, header)
        self._send("detections", lambda: detections_to_msg(result, header))
        published()

    def _failed(self, error: Exception) -> None:
        if self._node.context.ok():  # else told to end
            self._log.error(f"not published: {type(error).__name__}: {error}")

    def _send(self, name: str, make: Callable[[], Any]) -> None:
        """Publish a message, made only if someone listens."""
        if self._wanted(name):
            self._publishers[name].publish(make())

    def _wanted(self, name: str) -> bool:
        publisher = self._publishers.get(name)
        return publisher is not None and publisher.get_subscription_count() > 0

    def _publish_label_info(self, result: FrameResult, labels: dict[str, int], header: Header
                            ) -> None:
        """Say what the numbers mean, when that has changed; kept for late subscribers."""
        key = label_key(result, labels, self.threshold)
        if self._label_info is not None and key != self._label_key:
            self._label_info.publish(label_info_to_msg(result, labels, self.threshold, header))
            self._label_key = key

    def _publish_overlay(self, rgb: np.ndarray, result: FrameResult, labels: dict[str, int],
                         header: Header) -> None:
        picture = draw_overlay(rgb, result, labels)
        self._send("overlay", lambda: rgb_to_msg(picture, header))
        self._send("overlay/compressed", lambda: jpeg_to_msg(encode_jpeg(picture), header))
