"""What the clients of demos and benchmarks share: asking the node, and how they end."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String

from samwise_ros.structures import SamwiseError

TARGET = "/samwise"
# Reliable: what a camera sends after it has found a subscriber is sent again until it arrives,
# even if the subscriber has yet to find the camera. Best effort loses the first images then.
QOS = QoSProfile(depth=10)

Client = TypeVar("Client", bound=Node)


class DemoError(SamwiseError):
    """A client did not get what it waited for."""


def spin_until(node: Node, condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
    """Spin until the condition holds. Raises DemoError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"{otherwise} (waited {timeout:.0f} s)")
        rclpy.spin_once(node, timeout_sec=0.1)


class CommandingClient(Node):
    """Gives commands to the node and listens to its diagnostics.

    Args:
        name: Of this node.
        history: Commands that are kept until the node has them.

    Attributes:
        health: The node's newest diagnostics by key.
        health_stamp: When they were sent [ns].
    """

    def __init__(self, name: str = "demo_client", history: int = 10) -> None:
        super().__init__(name)
        self.health: dict[str, str] = {}
        self.health_stamp = 0
        self._command = self.create_publisher(String, "command", history)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def command(self, text: str, timeout: float) -> None:
        """Publish a command once the node listens. Raises DemoError when it does not."""
        self.wait(lambda: self._command.get_subscription_count() > 0, timeout,
                  "nobody listens to commands")
        self._command.publish(String(data=text))

    def fresh_health(self, timeout: float) -> dict[str, str]:
        """Diagnostics sent from now on. Raises DemoError when none come."""
        now = self.get_clock().now().nanoseconds
        self.wait(lambda: self.health_stamp > now, timeout, "the node's diagnostics do not come")
        return self.health

    def wait(self, condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
        """Spin until the condition holds. Raises DemoError after `timeout` seconds."""
        spin_until(self, condition, timeout, otherwise)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{TARGET}:"):
                self.health = {item.key: item.value for item in status.values}
                self.health_stamp = stamp_of(message.header)


def stamp_of(header: Header) -> int:
    """A header's stamp in nanoseconds."""
    return Time.from_msg(header.stamp).nanoseconds


def mono_to_array(message: Image) -> np.ndarray:
    """Our own mono8 images (rows without padding) -> uint8 [H, W]."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def cloud_points(message: PointCloud2) -> np.ndarray:
    """x, y, z of a cloud whose fields are float32, float32 [N, 3]."""
    offsets = {field.name: field.offset for field in message.fields}
    kind = np.dtype({"names": list("xyz"), "formats": ["<f4"] * 3,
                     "offsets": [offsets[axis] for axis in "xyz"], "itemsize": message.point_step})
    points = np.frombuffer(bytes(message.data), kind)
    return np.stack([points[axis] for axis in "xyz"], axis=1)


def latency_report(latencies: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of seconds, as milliseconds under the report's names."""
    p50, p95 = np.percentile(np.asarray(latencies) * 1e3, (50, 95))
    return {"latency_ms_p50": round(float(p50), 2), "latency_ms_p95": round(float(p95), 2)}


def run_client(title: str, opened: Callable[[], Client], work: Callable[[Client], None],
               remappings: Sequence[str] = ()) -> int:
    """A client's main function: open it, let it work, and close it whatever happens.

    Args:
        title: Said before the reason of a failure.
        opened: Makes the client.
        work: What it does; may raise SamwiseError or OSError.
        remappings: Names as after `-r`.

    Returns:
        Exit status, 1 on failure.
    """
    rules = [part for rule in remappings for part in ("-r", rule)]
    rclpy.init(args=["--ros-args", *rules] if rules else [])
    client = opened()
    try:
        work(client)
    except (SamwiseError, OSError) as error:
        print(f"{title}: {error}")
        return 1
    finally:
        client.destroy_node()
        rclpy.try_shutdown()
    return 0
