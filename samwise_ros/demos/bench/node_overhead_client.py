"""Camera and listener of the overhead benchmark, in a process of its own as on a robot.

    python -m samwise_ros.demos.bench.node_overhead_client --name NODE --frames 65 --size 720 1280 rgb8 bgr8

Sends one image at a time and waits for its mask. Which encoding an image has is its frame id.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from samwise_ros.demos.client import run_client, spin_until
from samwise_ros.ros.outputs.conversions import TargetArray

BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2,
                   "rgb16": 6, "bayer_rggb8": 1, "uyvy": 2, "yuyv": 2}
_TIMEOUT = 30.0  # seconds for one answer
_PAUSE = 0.02  # seconds between an answer and the next image, as a camera has them


class OverheadClient(Node):
    """One camera, and one subscriber each of mask and targets.

    Args:
        name: Of the node that is measured.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}_client")
        self._camera = self.create_publisher(Image, f"/{name}/image", 1)
        self._answered = None
        self.create_subscription(Image, f"/{name}/mask", self._on_mask, 1)
        if TargetArray is not None:
            self.create_subscription(TargetArray, f"/{name}/targets", lambda message: None, 1)

    def wait_for_node(self) -> None:
        """Until it listens. Raises DemoError when it doesn't in time."""
        spin_until(self, lambda: self._camera.get_subscription_count() > 0, _TIMEOUT,
                   "the node does not find the camera")

    def ask(self, image: Image) -> None:
        """Send an image and wait for its mask. Raises DemoError when none comes in time."""
        image.header.stamp = self.get_clock().now().to_msg()
        self._camera.publish(image)
        spin_until(self, lambda: self._answered == image.header.stamp, _TIMEOUT,
                   f"no answer to a {image.encoding} image")
        self._rest(time.monotonic() + _PAUSE)

    def _rest(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def _on_mask(self, mask: Image) -> None:
        self._answered = mask.header.stamp


def noise(encoding: str, size: tuple[int, int]) -> Image:
    """An image of random bytes, (H, W) pixels."""
    height, width = size
    step = width * BYTES_PER_PIXEL[encoding]
    image = Image(height=height, width=width, encoding=encoding, step=step)
    image.header.frame_id = encoding
    image.data.frombytes(np.random.default_rng(0).bytes(height * step))
    return image


def _run(client: OverheadClient, options: argparse.Namespace) -> None:
    client.wait_for_node()
    for encoding in options.encodings:
        image = noise(encoding, tuple(options.size))
        for _ in range(options.frames):
            client.ask(image)


def main(arguments: Sequence[str] | None = None) -> int:
    """Send all images; 1 when one was not answered."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, required=True, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("encodings", nargs="+", choices=BYTES_PER_PIXEL)
    options = parser.parse_args(arguments)
    return run_client("overhead", lambda: OverheadClient(options.name),
                      lambda client: _run(client, options))


if __name__ == "__main__":
    raise SystemExit(main())
