"""ResultPublisher in a process of its own, with answers that the test dictates.

An image's header.frame_id is JSON: a list of targets [id, expression, command, score]. Pixels of
target number i (from 0) have red + 256 * green = i + 1. Environment: RESULT_SETTINGS, the
OutputSettings as JSON.
"""

import json
import math
import os
from dataclasses import replace

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from samwise_ros.messages.image_codec import image_to_rgb
from samwise_ros.ros.outputs.outputs import OutputSettings, ResultPublisher
from samwise_ros.streaming.target_tracker import TargetTracker, TrackSettings
from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState


def settings_from_json(text: str) -> tuple[OutputSettings, TrackSettings]:
    """The values that differ from the defaults; those of states under "thresholds"."""
    values = json.loads(text)
    thresholds = TrackSettings(**values.pop("thresholds", {}))
    return OutputSettings(threshold=thresholds.enter_score, **values), thresholds


def coded(codes: np.ndarray) -> np.ndarray:
    """Numbers [H, W] -> the image in which `scripted_result` finds them."""
    blue = np.full(codes.shape, 77)
    return np.stack([codes % 256, codes // 256, blue], axis=2).astype(np.uint8)


def scripted_result(rgb: np.ndarray, script: list[list], index: int = 0) -> FrameResult:
    """The answer that an image and its script ask for."""
    codes = rgb[..., 0] + 256 * rgb[..., 1].astype(int)
    return FrameResult(index, None, rgb.shape[:2], tuple(
        _target(codes == number, index, *entry) for number, entry in enumerate(script, 1)))


def _target(mask: np.ndarray, age: int, name: str, expression: str, command: int, score: float
            ) -> TargetResult:
    box = None
    if mask.any():
        rows, columns = np.nonzero(mask)
        box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return TargetResult(
        name, expression, command, TargetState.TRACKING, math.log(score / (1 - score)), mask, box,
        int(mask.sum()), False, age, np.zeros((1, 1), np.float32))


def main() -> None:
    rclpy.init()
    node = Node("samwise")
    settings, thresholds = settings_from_json(os.environ.get("RESULT_SETTINGS", "{}"))
    results = ResultPublisher(node, settings)
    results.start()
    trackers: dict[tuple[str, int], TargetTracker] = {}

    def judged(target: TargetResult) -> TargetResult:
        return trackers.setdefault((target.target_id, target.command),
                                   TargetTracker(thresholds)).judge(target)

    def answer(image: Image) -> None:
        rgb = image_to_rgb(image)
        result = scripted_result(rgb, json.loads(image.header.frame_id))
        result = replace(result, targets=tuple(map(judged, result.targets)))
        results.publish(result, image.header, rgb)

    node.create_subscription(Image, "image", answer, QoSProfile(depth=100))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()
