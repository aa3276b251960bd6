"""The third process of the demo: gives the command, receives the masks, writes what it saw.

    python -m samwise_ros.demos.demo_client --expression "the red ball" --out DIR
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sensor_msgs.msg import Image

from samwise_ros.demos.client import (
    QOS,
    TARGET,
    CommandingClient,
    DemoError,
    latency_report,
    mono_to_array,
    run_client,
    stamp_of,
)
from samwise_ros.ros.inputs.image_codec import image_to_rgb
from samwise_ros.ros.services.lifecycle_client import LifecycleClient
from samwise_ros.streaming.drawing import ContactSheet, paint_masks
from samwise_ros.streaming.video_io import VideoWriter, write_png

_KEPT_IMAGES = 60  # that wait for their mask
_KEPT_PAIRS = 400  # for the overlay; 0.5 GB of 854x480
_IDLE = 3.0  # seconds without an image that mean the camera has finished


@dataclass(frozen=True)
class Answer:
    """One received mask: seconds since the image's stamp, and both as uint8 arrays."""

    latency: float
    rgb: np.ndarray | None
    mask: np.ndarray


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


def _run(client: DemoClient, options: argparse.Namespace) -> None:
    LifecycleClient(client, TARGET).run("up", options.timeout)
    client.ask(options.expression, options.timeout)
    client.watch(options.timeout)
    health = client.fresh_health(options.timeout)
    report = summarise(client.answers, client.images_seen) | {"model": health["model"]}
    write_pictures(client.answers, options.expression, options.rate, options.out)
    (options.out / "client.json").write_text(json.dumps(report))


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the node up, command, receive, write `client.json` and pictures; 1 on failure."""
    options = _options(arguments)
    return run_client("demo client", DemoClient, lambda client: _run(client, options),
                      ["image:=/camera/image_raw"])


if __name__ == "__main__":
    raise SystemExit(main())
