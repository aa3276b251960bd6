"""Subscriber of the transport benchmark: asks for bursts of images and notes when they come.

    python -m samwise_ros.demos.bench.transport_subscriber OPTIONS FILE

Writes a list of bursts as JSON. It subscribes as the node does: one image waits, the newest.
"""

import json
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from samwise_ros.demos.bench.transport_camera import KINDS, QOS, Burst, milliseconds, topic
from samwise_ros.demos.client import DemoError, run_client
from samwise_ros.demos.options import TransportOptions, from_argument
from samwise_ros.messages.compressed_codec import compressed_to_rgb

_TIMEOUT = 60.0  # seconds
_FAREWELL = 0.5  # seconds in which the last images may arrive
_WARM_UP = 3  # images


class TransportSubscriber(Node):
    """Subscribes to all kinds of images at once; only one kind is sent at a time."""

    def __init__(self) -> None:
        super().__init__("transport_subscriber")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._burst = ""
        self._latency: list[float] = []  # [ms]
        self._newest: Any = None
        self._report: dict[str, Any] | None = None
        self._go = self.create_publisher(String, "transport/go", 10)
        self.create_subscription(String, "transport/sent", self._on_sent, 10)
        for (encoding, kind), qos in product(KINDS.items(), QOS):
            self.create_subscription(kind, topic(encoding, qos), self._on_image,
                                     QoSProfile(depth=1, reliability=QOS[qos].reliability))

    def run(self, options: TransportOptions, out: Path) -> None:
        """Ask for all bursts. Raises DemoError when the camera does not answer."""
        self._spin(lambda: self._go.get_subscription_count() > 0 and all(
            self.count_publishers(topic(*kind)) for kind in product(KINDS, QOS)), "no camera")
        found = []
        for number, kind in enumerate(product(options.sizes, KINDS, QOS), 1):
            self._ask(Burst(-number, *kind, _WARM_UP))
            found.append(self._ask(Burst(number, *kind, options.frames)))
        out.write_text(json.dumps(found))

    def _ask(self, burst: Burst) -> dict[str, Any]:
        self._burst, self._latency, self._newest, self._report = str(burst.number), [], None, None
        cpu = time.process_time()
        self._go.publish(String(data=json.dumps(asdict(burst))))
        self._spin(lambda: self._report is not None, f"{burst} was not sent")
        report: dict[str, Any] = self._report or {}
        end = time.monotonic() + _FAREWELL
        while len(self._latency) < burst.frames and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.1)
        computed = 1e3 * (time.process_time() - cpu) / burst.frames
        decode = 0.0
        if burst.encoding == "jpeg" and self._newest is not None:
            decode = milliseconds(lambda: compressed_to_rgb(self._newest))
        return report | {"latency": self._latency, "subscriber_cpu": computed, "decode": decode}

    def _spin(self, condition: Any, otherwise: str) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"{otherwise} (waited {_TIMEOUT:.0f} s)")
            self._executor.spin_once(timeout_sec=0.1)

    def _on_image(self, message: Any) -> None:
        if message.header.frame_id != self._burst:
            return
        stamp = message.header.stamp
        self._latency.append((time.monotonic_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)
        self._newest = message

    def _on_sent(self, message: String) -> None:
        self._report = json.loads(message.data)


def main() -> int:
    """Measure and write; 1 when no image was sent in time. Arguments: TransportOptions, FILE."""
    options, out = from_argument(TransportOptions, sys.argv[1]), Path(sys.argv[2])
    return run_client("transport", TransportSubscriber, lambda client: client.run(options, out))


if __name__ == "__main__":
    raise SystemExit(main())
