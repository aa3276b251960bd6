"""What the node itself costs per frame, beside the model: queue, decoding, publishing.

    python -m samwise_ros.ros.overhead [--frames 60] [--model-ms 50] [--encodings rgb8 bgr8]

The real node in this process, over DDS, with a model that only waits. One camera image is sent at a
time; a client listens to the mask and the targets. The way of the image to the node is not counted:
every subscriber pays it.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from samwise_ros.ros.camera_stream import CameraStream
from samwise_ros.ros.conversions import TargetArray
from samwise_ros.ros.monitor import StreamMonitor
from samwise_ros.ros.node import SamwiseNode
from samwise_ros.ros.parameters import NodeParameters
from samwise_ros.structures import Box, FrameResult, SamwiseError, TargetResult, TargetState

BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2,
                   "rgb16": 6, "bayer_rggb8": 1, "uyvy": 2, "yuyv": 2}
_NAME = "samwise_overhead"
_TIMEOUT = 30.0  # seconds for one answer
_WARM_UP = 5  # frames per encoding that don't count


@dataclass(frozen=True)
class Overhead:
    """Medians of one encoding, in milliseconds.

    Attributes:
        encoding: Of the images.
        before: From the image's arrival in the callback to the model: queue and decoding.
        after: From the model's answer until mask and targets are published.
        total: Median of the sum of both.
        quick: 10th percentile of that sum: what is left on a busy machine when nobody interferes.
        share: `total` as a part of the whole time from arrival to publication.
    """

    encoding: str
    before: float
    after: float
    total: float
    quick: float
    share: float


class _Times(StreamMonitor):
    """Notes when an image arrived, when the model had it, and when its answer was out."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = self.begun = self.ended = self.answered = 0.0
        self.done = threading.Event()

    def image_received(self) -> None:
        self.arrived = time.perf_counter()
        super().image_received()

    def frame_answered(self, latency: float) -> None:
        self.answered = time.perf_counter()
        super().frame_answered(latency)
        self.done.set()


class _WaitingModel:
    """Engine and session in one: waits, then marks a rectangle of a quarter of the image."""

    description = "a model that waits"
    device_memory = None
    targets = (("target", "the rectangle", 1),)

    def __init__(self, seconds: float) -> None:
        self.times = _Times()
        self._seconds = seconds

    def new_session(self) -> "_WaitingModel":
        return self

    def submit(self, command: str) -> int:
        return 1

    def reset(self) -> None:
        """Nothing is remembered."""

    def free_memory(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        self.times.begun = time.perf_counter()
        time.sleep(self._seconds)
        height, width = rgb.shape[:2]
        box = Box(width // 4, height // 4, width // 4 + width // 2, height // 4 + height // 2)
        mask = np.zeros((height, width), bool)
        mask[height // 4:height // 4 + height // 2, width // 4:width // 4 + width // 2] = True
        target = TargetResult("target", "the rectangle", 1, TargetState.TRACKING, 2.0, mask, box,
                              int(mask.sum()), False, 0, np.zeros((4, 4), np.float32))
        self.times.ended = time.perf_counter()
        return FrameResult(0, stamp, (height, width), (target,))


def measure(encoding: str, frames: int, model: _WaitingModel, stream: CameraStream,
            camera: Node, size: tuple[int, int] = (720, 1280)) -> Overhead:
    """Send images of one encoding one by one.

    Args:
        encoding: A key of `BYTES_PER_PIXEL`.
        frames: That count.
        model: Whose times are read.
        stream: Of the active node.
        camera: A node that offers the stream's topic; its own thread spins it.
        size: (H, W) of the images in pixels.

    Raises:
        SamwiseError: An image was not answered in time.
    """
    height, width = size
    step = width * BYTES_PER_PIXEL[encoding]
    image = Image(height=height, width=width, encoding=encoding, step=step)
    image.header.frame_id = "camera"
    image.data.frombytes(np.random.default_rng(0).bytes(height * step))
    publisher = camera.create_publisher(Image, stream.input.topic, 1)
    times = stream.monitor = model.times
    rows = []
    try:
        _wait_for_match(publisher)
        for _ in range(_WARM_UP + frames):
            times.done.clear()
            image.header.stamp = camera.get_clock().now().to_msg()
            publisher.publish(image)
            if not times.done.wait(_TIMEOUT):
                raise SamwiseError(f"overhead: no answer to a {encoding} image in {_TIMEOUT:.0f} s")
            rows.append((times.begun - times.arrived, times.answered - times.ended,
                         times.answered - times.arrived))
            time.sleep(0.02)  # until the client has taken the answer
    finally:
        camera.destroy_publisher(publisher)
    before, after, whole = 1e3 * np.array(rows[_WARM_UP:]).T
    return Overhead(encoding, statistics.median(before), statistics.median(after),
                    statistics.median(before + after),
                    float(np.percentile(before + after, 10)),
                    statistics.median((before + after) / whole))


def _wait_for_match(publisher: rclpy.publisher.Publisher) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise SamwiseError("overhead: the node does not find the camera")
        time.sleep(0.05)


def run(encodings: Sequence[str], frames: int, model_seconds: float) -> list[Overhead]:
    """Start the node and a client, and measure each encoding.

    Raises:
        SamwiseError: An image was not answered in time.
    """
    # Names and topics of its own, so that neither a robot's node nor its cameras get in the way.
    rclpy.init(args=["--ros-args", "-r", f"image:=/{_NAME}/image", "-r",
                     f"command:=/{_NAME}/command", "-p", "image_qos:=reliable"])
    model = _WaitingModel(model_seconds)
    node = SamwiseNode(_engine(model), _NAME)
    client = Node(f"{_NAME}_client")
    client.create_subscription(Image, f"/{_NAME}/mask", lambda message: None, 1)
    if TargetArray is not None:
        client.create_subscription(TargetArray, f"/{_NAME}/targets", lambda message: None, 1)
    executors = [SingleThreadedExecutor(), SingleThreadedExecutor()]
    threads = []
    for executor, member in zip(executors, (node, client), strict=True):
        executor.add_node(member)
        threads.append(threading.Thread(target=executor.spin, daemon=True))
    node.trigger_configure()
    node.trigger_activate()
    (stream,) = node.streams.values()
    for thread in threads:
        thread.start()
    try:
        return [measure(encoding, frames, model, stream, client) for encoding in encodings]
    finally:
        for executor, thread in zip(executors, threads, strict=True):
            executor.shutdown()
            thread.join(_TIMEOUT)
        node.close()
        client.destroy_node()
        rclpy.try_shutdown()


def _engine(model: _WaitingModel) -> object:
    def make(parameters: NodeParameters) -> _WaitingModel:
        return model

    return make


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=60, help="frames per encoding")
    parser.add_argument("--model-ms", type=float, default=50.0, help="time that the model takes")
    parser.add_argument("--encodings", nargs="+", choices=BYTES_PER_PIXEL, metavar="ENCODING",
                        default=list(BYTES_PER_PIXEL), help=", ".join(BYTES_PER_PIXEL))
    options = parser.parse_args(arguments)
    print("| encoding | queue and decoding [ms] | publishing [ms] | both [ms] | "
          "both, 10th percentile [ms] | of the whole |\n|---|---|---|---|---|---|")
    for row in run(options.encodings, options.frames, options.model_ms / 1e3):
        print(f"| {row.encoding} | {row.before:.2f} | {row.after:.2f} | {row.total:.2f} | "
              f"{row.quick:.2f} | {100 * row.share:.1f} % |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
