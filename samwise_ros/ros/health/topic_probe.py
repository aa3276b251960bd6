"""Watches topics for a while: who offers them and how, how often they come and how old they are."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from samwise_ros.ros.health.topic_report import TopicReport

_KINDS = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage,
          "sensor_msgs/msg/CameraInfo": CameraInfo}
_BEST_EFFORT = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT)
_DISCOVERY = 5.0  # seconds


def probe_topics(names: Sequence[str], seconds: float = 3.0) -> list[TopicReport]:
    """Watch topics.

    Args:
        names: Topics with images or camera_info, absolute or relative.
        seconds: For how long, once publishers have been found (at most 5 s more are spent on that).
    """
    context = Context()
    rclpy.init(context=context)
    node = Node("samwise_doctor", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        probes = [_Probe(node, name) for name in names]
        _spin(executor, _DISCOVERY, lambda: all(probe.find() for probe in probes))
        start = time.monotonic()
        for probe in probes:
            probe.listen()
        _spin(executor, seconds, lambda: False)
        watched = time.monotonic() - start
        return [probe.report(watched) for probe in probes]
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _spin(executor: SingleThreadedExecutor, seconds: float, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not done():
        executor.spin_once(timeout_sec=0.05)


class _Probe:
    """One topic."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = node.resolve_topic_name(name)
        self._last: Any = None
        self._ages: list[float] = []
        self._stamped = True

    def find(self) -> bool:
        """Whether anyone publishes it."""
        return bool(self._node.get_publishers_info_by_topic(self._name))

    def listen(self) -> None:
        """Subscribe with the type that is offered, to every kind of publisher."""
        for info in self._node.get_publishers_info_by_topic(self._name):
            if info.topic_type in _KINDS:
                self._node.create_subscription(
                    _KINDS[info.topic_type], self._name, self._on_message, _BEST_EFFORT)
                return

    def report(self, seconds: float) -> TopicReport:
        """What was found in this time."""
        found = self._node.get_publishers_info_by_topic(self._name)
        names = [profile.qos_profile for profile in found]
        return TopicReport(
            name=self._name,
            types=tuple(sorted({info.topic_type for info in found})),
            offers=tuple(f"{info.node_name}: {info.qos_profile.reliability.name.lower()}, "
                         f"{info.qos_profile.durability.name.lower()}" for info in found),
            reliable=all(qos.reliability == QoSReliabilityPolicy.RELIABLE for qos in names),
            received=len(self._ages), seconds=seconds, size=len(getattr(self._last, "data", ())),
            detail=_describe(self._last), stamped=self._stamped,
            age=statistics.median(self._ages) if self._ages else None, alike=self._alike())

    def _on_message(self, message: Any) -> None:
        self._last = message
        stamp = Time.from_msg(message.header.stamp)
        self._stamped = self._stamped and stamp.nanoseconds != 0
        self._ages.append((self._node.get_clock().now().nanoseconds - stamp.nanoseconds) * 1e-9)

    def _alike(self) -> tuple[str, ...]:
        """Other topics with images."""
        return tuple(sorted(name for name, types in self._node.get_topic_names_and_types()
                            if any("Image" in kind for kind in types) and name != self._name))


def _describe(message: Any) -> str:
    if message is None:
        return ""
    if isinstance(message, CompressedImage):
        return f"{message.format}, {len(message.data)} bytes"
    size = f"{message.width}x{message.height}"
    return f"{size} {message.encoding}" if isinstance(message, Image) else f"camera_info for {size}"
