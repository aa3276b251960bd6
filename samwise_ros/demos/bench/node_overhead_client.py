"""Camera and listener of the overhead benchmark, in a process of its own as on a robot.

Started by `node_overhead.measure`. Sends one image at a time and waits for its mask. Which encoding
an image has is its frame id.
"""

import sys
import time

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import Image

from samwise_ros.demos.client import run_client, spin_until
from samwise_ros.demos.options import BYTES_PER_PIXEL, OverheadOptions, from_argument
from samwise_ros.ros.outputs.conversions import TargetArray

NAME = "samwise_overhead"  # of the node that is measured
WARM_UP = 5  # frames per encoding that don't count
_TIMEOUT = 30.0  # seconds for one answer
_PAUSE = 0.02  # seconds between an answer and the next image, as a camera has them


class OverheadClient(Node):
    """One camera, and one subscriber each of mask and targets."""

    def __init__(self) -> None:
        super().__init__(f"{NAME}_client")
        self._camera = self.create_publisher(Image, f"/{NAME}/image", 1)
        self._answered: Time | None = None
        self.create_subscription(Image, f"/{NAME}/mask", self._on_mask, 1)
        if TargetArray is not None:
            self.create_subscription(TargetArray, f"/{NAME}/targets", lambda message: None, 1)

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


def _run(client: OverheadClient, options: OverheadOptions) -> None:
    client.wait_for_node()
    for encoding in options.encodings:
        image = noise(encoding, options.size)
        for _ in range(WARM_UP + options.frames):
            client.ask(image)


def main() -> int:
    """Send all images; 1 when one was not answered. Argument of the process: OverheadOptions."""
    options = from_argument(OverheadOptions, sys.argv[1])
    return run_client("overhead", OverheadClient, lambda client: _run(client, options))


if __name__ == "__main__":
    raise SystemExit(main())
