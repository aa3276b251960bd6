"""The third process of the demo: gives the command, receives the masks, writes what it saw.

    python -m samwise_ros.ros.demo_client --expression "the red ball" --out DIR
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from samwise_ros.ros.image_codec import image_to_rgb
from samwise_ros.ros.lifecycle import LifecycleClient
from samwise_ros.streaming.video_io import ContactSheet, VideoWriter, paint_masks, write_png
from samwise_ros.structures import SamwiseError

TARGET = "/samwise"
# Reliable: what a camera sends after it has found a subscriber is sent again until it arrives,
# even if the subscriber has yet to find the camera. Best effort loses the first images then.
QOS = QoSProfile(depth=10)
_KEPT_IMAGES = 60  # that wait for their mask
_KEPT_PAIRS = 400  # for the overlay; 0.5 GB of 854x480
_IDLE = 3.0  # seconds without an image that mean the camera has finished


class DemoError(SamwiseError):
    """The demo did not get what it waited for."""


@dataclass(frozen=True)
class Answer:
    """One received mask: seconds since the image's stamp, and both as uint8 arrays."""

    latency: float
    rgb: np.ndarray | None
    mask: np.ndarray


class CommandingClient(Node):
    """Gives commands to the node and listens to its diagnostics.

    Attributes:
        health: The node's newest diagnostics by key.
        health_stamp: When they were sent [ns].
    """

    def __init__(self) -> None:
        super().__init__("demo_client")
        self.health: dict[str, str] = {}
        self.health_stamp = 0
        self._command = self.create_publisher(String, "command", 10)
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
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"{otherwise} (waited {timeout:.0f} s)")
            rclpy.spin_once(self, timeout_sec=0.1)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{TARGET}:"):
                self.health = {item.key: item.value for item in status.values}
                self.health_stamp = stamp_of(message.header)


class DemoClient(CommandingClient):
    """Has one sentence answered on every frame of a video.

    Attributes:
        answers: What was received, in order.
        images_seen: How many images the camera sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self._images: dict[int, Image] = {}
        self._image_order: deque[int] = deque()
        self._last_image = time.monotonic()
        self.images_seen = 0
        self.create_subscription(Image, f"{TARGET}/mask", self._on_mask, QOS)

    def ask(self, text: str, timeout: float) -> None:
        """Give the command and wait until the node reports that it took it."""
        self.command(text, timeout)
        self.wait(lambda: self.health.get("command", "0") != "0", timeout,
                  f"the node did not accept the command {text!r}")

    def watch(self, timeout: float) -> None:
        """Receive until the camera has been silent for a while."""
        self.create_subscription(Image, "image", self._on_image, QOS)
        self.wait(lambda: self.images_seen > 0, timeout, "no image came from the camera")
        self.wait(lambda: time.monotonic() - self._last_image > _IDLE, timeout,
                  "the camera does not come to an end")

    def _on_image(self, image: Image) -> None:
        self._last_image = time.monotonic()
        self.images_seen += 1
        stamp = stamp_of(image.header)
        self._images[stamp] = image
        self._image_order.append(stamp)
        if len(self._image_order) > _KEPT_IMAGES:
            self._images.pop(self._image_order.popleft(), None)

    def _on_mask(self, message: Image) -> None:
        stamp = stamp_of(message.header)
        latency = (self.get_clock().now().nanoseconds - stamp) * 1e-9
        image = self._images.pop(stamp, None)
        if len(self.answers) >= _KEPT_PAIRS:
            image = None
        self.answers.append(Answer(
            latency, None if image is None else image_to_rgb(image), mono_to_array(message)))


def stamp_of(header: Header) -> int:
    """A header's stamp in nanoseconds."""
    return Time.from_msg(header.stamp).nanoseconds


def mono_to_array(message: Image) -> np.ndarray:
    """Our own mono8 images (rows without padding) -> uint8 [H, W]."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width)


def latency_report(latencies: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile of seconds, as milliseconds under the report's names."""
    p50, p95 = np.percentile(np.asarray(latencies) * 1e3, (50, 95))
    return {"latency_ms_p50": round(float(p50), 2), "latency_ms_p95": round(float(p95), 2)}


def summarise(answers: Sequence[Answer], images: int) -> dict[str, float | int | None]:
    """Figures of the report.

    Args:
        answers: What was received.
        images: How many the camera sent. What the node counts as dropped would miss those that the
            middleware replaced by newer ones while the node was too busy to fetch them.

    Raises:
        DemoError: Nothing was answered.
    """
    if not answers:
        raise DemoError("no mask was received")
    return {
        "frames": len(answers),
        "jf": None,  # the video has no ground truth
        **latency_report([answer.latency for answer in answers]),
        "drops": images - len(answers),
        "frames_with_mask": sum(bool(answer.mask.any()) for answer in answers),
    }


def write_pictures(answers: Sequence[Answer], expression: str, rate: float, out: Path) -> None:
    """Write overlay.mp4 and contact_sheet.png of the answers whose image was received, too."""
    sheet = ContactSheet()
    with closing(VideoWriter(out / "overlay.mp4", rate)) as video:
        for answer in answers:
            if answer.rgb is not None:
                painted = paint_masks(answer.rgb, [answer.mask > 0])
                video.write(painted)
                sheet.add(painted, expression)
    write_png(out / "contact_sheet.png", sheet.image())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo_client", description=__doc__)
    parser.add_argument("--expression", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=10.0, help="of the overlay video")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds per step")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the node up, command, receive, write `client.json` and pictures; 1 on failure."""
    options = _options(arguments)
    rclpy.init(args=["--ros-args", "-r", "image:=/camera/image_raw"])
    client = DemoClient()
    try:
        LifecycleClient(client, TARGET).run("up", options.timeout)
        client.ask(options.expression, options.timeout)
        client.watch(options.timeout)
        health = client.fresh_health(options.timeout)
        report = summarise(client.answers, client.images_seen) | {"model": health["model"]}
        write_pictures(client.answers, options.expression, options.rate, options.out)
        (options.out / "client.json").write_text(json.dumps(report))
    except SamwiseError as error:
        print(f"demo client: {error}")
        return 1
    finally:
        client.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
