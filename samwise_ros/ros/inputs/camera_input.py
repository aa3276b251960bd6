"""The image subscription of one camera: topic, message type and quality of service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from samwise_ros.messages.compressed_codec import compressed_to_rgb
from samwise_ros.ros.inputs.cv_bridge_codec import any_image_to_rgb

IMAGE_QOS = {  # depth 1: more would let the middleware queue old frames
    "sensor_data": QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT),
    "reliable": QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE),
}
_TRANSPORTS: dict[str, tuple[type, Callable[[Any], np.ndarray]]] = {
    "raw": (Image, any_image_to_rgb), "compressed": (CompressedImage, compressed_to_rgb)}


@dataclass(frozen=True)
class InputSettings:
    """How images are subscribed to.

    Attributes:
        transport: "raw" or "compressed".
        qos: A key of `IMAGE_QOS`.
        keep_all: Whether the middleware keeps every image until it is taken, not only the last.
    """

    transport: str = "raw"
    qos: str = "sensor_data"
    keep_all: bool = False


class CameraInput:
    """Hands each image message of a topic to a callback.

    Args:
        node: That subscribes.
        topic: Base name, such as "image"; compressed images are below it.
        settings: How.
        received: Called with each message, in the executor's thread.

    Attributes:
        topic: Resolved name of the topic that is subscribed to.
    """

    def __init__(self, node: Node, topic: str, settings: InputSettings,
                 received: Callable[[Any], None]) -> None:
        self.topic = resolve_image_topic(node, topic, settings.transport)
        self._node = node
        self._settings = settings
        self._received = received
        self._kind, self._to_rgb = _TRANSPORTS[settings.transport]
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscription = None

    def start(self) -> None:
        """Subscribe."""
        self._subscription = self._node.create_subscription(
            self._kind, self.topic, self._received, self._qos(), callback_group=self._group)

    def stop(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def decode(self, message: Any) -> np.ndarray:
        """uint8 [H, W, 3] RGB of a message, perhaps a view on it. Raises FrameError."""
        return self._to_rgb(message)

    def describe_publishers(self) -> str:
        """Who offers the topic and how: the usual cause of silence is a mismatch there."""
        found = self._node.get_publishers_info_by_topic(self.topic)
        if not found:
            return f"nobody publishes {self.topic}; check the name and the remapping"
        offers = ", ".join(f"{info.node_name} ({info.topic_type}, "
                           f"{info.qos_profile.reliability.name.lower()})" for info in found)
        asked = f"sensor_msgs/msg/{self._kind.__name__}, {self._settings.qos}"
        return (f"offered by {offers}, asked for as {asked}; large best-effort images need "
                "config/fastdds.xml on the camera's side")

    def _qos(self) -> QoSProfile:
        profile = IMAGE_QOS[self._settings.qos]
        if not self._settings.keep_all:
            return profile
        return QoSProfile(history=QoSHistoryPolicy.KEEP_ALL, depth=0,
                          reliability=profile.reliability)


def resolve_image_topic(node: Node, topic: str, transport: str) -> str:
    """Full name of an image topic.

    For compressed images either `TOPIC/compressed` is remapped, or it follows where `TOPIC` is
    remapped to, so that one rule serves both transports.
    """
    if transport == "raw":
        return node.resolve_topic_name(topic)
    below = f"{topic}/{transport}"
    resolved = node.resolve_topic_name(below)
    if resolved != node.resolve_topic_name(below, only_expand=True):
        return resolved
    return f"{node.resolve_topic_name(topic)}/{transport}"
