"""Camera of the transport benchmark, in a process of its own.

    python -m samwise_ros.demos.bench.transport_camera OPTIONS

Sends a burst for each `go` (String, JSON of a `Burst`) and then `sent` (String, JSON) with what it
cost. An image's frame id is the number of its burst, its stamp the machine's monotonic clock.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from samwise_ros.demos.options import TransportOptions, from_argument
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.conversions import jpeg_to_msg, rgb_to_msg

QOS = {"best effort": QoSProfile(depth=5, reliability=QoSReliabilityPolicy.BEST_EFFORT),
       "reliable": QoSProfile(depth=5, reliability=QoSReliabilityPolicy.RELIABLE)}
KINDS = {"rgb8": Image, "jpeg": CompressedImage}
_QUALITY = 95  # of image_transport's compressed images, unless told otherwise
_REPEATS = 5


@dataclass(frozen=True)
class Burst:
    """Which images are sent: "1280x720", a key of KINDS and one of QOS; `frames` of them."""

    number: int
    size: str
    encoding: str
    qos: str
    frames: int


def topic(encoding: str, qos: str) -> str:
    """Of these images."""
    return f"transport/{qos.replace(' ', '_')}/{encoding}"


def picture(size: str) -> np.ndarray:
    """uint8 [H, W, 3] with surfaces, edges and a camera's noise: the usual work for JPEG."""
    width, height = map(int, size.split("x"))
    random = np.random.default_rng(0)
    surfaces = cv2.resize(random.integers(0, 256, (9, 16, 3)).astype(np.float32), (width, height),
                          interpolation=cv2.INTER_CUBIC)
    edges = cv2.resize(random.integers(-20, 21, (36, 64, 1)).astype(np.float32), (width, height),
                       interpolation=cv2.INTER_NEAREST)
    noise = random.normal(0, 3, (height, width, 3)).astype(np.float32)
    return np.clip(surfaces + edges[..., None] + noise, 0, 255).astype(np.uint8)


def milliseconds(work: Any) -> float:
    """Median time of a call."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


class TransportCamera(Node):
    """Sends what it is asked for."""

    def __init__(self, options: TransportOptions) -> None:
        super().__init__("transport_camera")
        self._options = options
        self._pictures = {size: picture(size) for size in options.sizes}
        self._outputs = {
            (encoding, qos): self.create_publisher(kind, topic(encoding, qos), profile)
            for encoding, kind in KINDS.items() for qos, profile in QOS.items()}
        self._sent = self.create_publisher(String, "transport/sent", 10)
        self.create_subscription(String, "transport/go", self._on_go, 10)

    def _on_go(self, message: String) -> None:
        burst = Burst(**json.loads(message.data))
        image, encode = self._message(burst)
        image.header.frame_id = str(burst.number)
        output = self._outputs[burst.encoding, burst.qos]
        figures = {"serialise": milliseconds(lambda: serialize_message(image)), "encode": encode,
                   "nbytes": len(image.data)}
        cpu, start, publish = time.process_time(), time.monotonic(), []
        for number in range(burst.frames):
            time.sleep(max(0.0, start + number / self._options.rate - time.monotonic()))
            before = time.monotonic_ns()
            image.header.stamp = Time(sec=before // 10**9, nanosec=before % 10**9)
            output.publish(image)
            publish.append((time.monotonic_ns() - before) / 1e6)
        computed = 1e3 * (time.process_time() - cpu) / burst.frames
        self._sent.publish(String(data=json.dumps(
            asdict(burst) | figures | {"publish": publish, "camera_cpu": computed})))

    def _message(self, burst: Burst) -> tuple[Any, float]:
        """The image, and the milliseconds that encoding it took."""
        rgb = self._pictures[burst.size]
        if burst.encoding == "rgb8":
            return rgb_to_msg(rgb, Header()), 0.0

        def encoded() -> np.ndarray:
            return cv2.imencode(".jpg", rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1]

        return jpeg_to_msg(encoded().tobytes(), Header()), milliseconds(encoded)


def main() -> int:
    """Entry point. Argument of the process: TransportOptions."""
    with ros_process("transport camera", []), until_shutdown():
        rclpy.spin(TransportCamera(from_argument(TransportOptions, sys.argv[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
