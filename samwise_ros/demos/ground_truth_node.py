"""A segmentation node without a network: it knows from the simulator what is where.

    python -m samwise_ros.demos.ground_truth_node --ros-args -p names:="['red ball', 'blue ball']"

It stands in the place of `samwise_ros.ros.node.node` in tests of what comes after the mask (pose,
follower, consumers): same topics, headers and rules, with a perfect mask. A sentence names the
first object of `names` all of whose words it contains; "stop" releases. It says nothing about the
model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from samwise_ros.messages.depth_sync import StampedBuffer
from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.ros.node.shutdown import ros_process, until_shutdown
from samwise_ros.ros.outputs.outputs import OutputSettings, ResultPublisher
from samwise_ros.ros.parameters.fields import parameter
from samwise_ros.ros.parameters.server import declare_parameters
from samwise_ros.streaming.commands import DEFAULT_ID, parse_command
from samwise_ros.streaming.target_tracker import TargetTracker
from samwise_ros.structures import Box, CommandError, FrameResult, TargetResult, TargetState

_CERTAIN = 8.0  # object score


@dataclass(frozen=True)
class GroundTruthParameters:
    """Values of the node's parameters."""

    names: tuple[str, ...] = parameter(
        ("red ball", "blue ball"),
        "What each object is called, in the order of instance numbers from 1.")


class GroundTruthNode(Node):
    """Answers each `image` with the truth from `instance` of the same stamp."""

    def __init__(self) -> None:
        super().__init__("samwise")
        self._names = declare_parameters(self, GroundTruthParameters).names
        self._expression = ""
        self._command = self._index = 0
        self._tracker = TargetTracker()
        self._images: StampedBuffer[Image] = StampedBuffer(5)
        self._instances: StampedBuffer[Image] = StampedBuffer(5)
        self._results = ResultPublisher(self, OutputSettings())
        self._results.start()
        self.create_subscription(String, "command", self._on_command, 10)
        for topic, buffer in (("image", self._images), ("instance", self._instances)):
            self.create_subscription(
                Image, topic, lambda image, buffer=buffer: self._on_image(image, buffer), 5)

    def _on_command(self, message: String) -> None:
        try:
            self._expression = parse_command(message.data).expression or ""
        except CommandError as error:
            self.get_logger().error(f"command refused: {error}")
            return
        self._command += 1
        self._index = 0
        self._tracker = TargetTracker()
        self.get_logger().info(f"command {self._command}: {self._expression!r}")

    def _on_image(self, image: Image, buffer: StampedBuffer[Image]) -> None:
        stamp = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
        buffer.put(stamp, image)
        try:
            image, instance = self._images.get(stamp), self._instances.get(stamp)
        except KeyError:  # the other half is still to come
            return
        self._answer(image.header, image_to_rgb(image), image_to_rgb(instance)[..., 0])

    def _answer(self, header: Header, rgb: np.ndarray, instance: np.ndarray) -> None:
        targets: tuple[TargetResult, ...] = ()
        if self._expression:
            number = find_name(self._expression, self._names)
            mask = instance == number if number else np.zeros(instance.shape, bool)
            targets = (self._tracker.judge(
                _target(self._expression, self._command, self._index, mask)),)
        result = FrameResult(self._index, header, instance.shape, targets)
        self._index += 1
        self._results.publish(result, header, rgb)


def find_name(expression: str, names: Sequence[str]) -> int:
    """Number, from 1, of the first name whose words are all in the sentence; 0: none."""
    words = set(re.findall(r"\w+", expression.lower()))
    for number, name in enumerate(names, 1):
        if words.issuperset(name.lower().split()):
            return number
    return 0


def _target(expression: str, command: int, age: int, mask: np.ndarray) -> TargetResult:
    """The answer for one target whose mask is known."""
    area = int(np.count_nonzero(mask))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = None
    if area:
        box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return TargetResult(
        DEFAULT_ID, expression, command, TargetState.SEARCHING, _CERTAIN if area else -_CERTAIN,
        mask, box, area, False, age, np.zeros((1, 1), np.float32))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    with ros_process("samwise", arguments), until_shutdown():
        rclpy.spin(GroundTruthNode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
