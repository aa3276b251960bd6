"""Results of a session -> whole messages. Every function returns a complete message. No ROS import.

The first argument of each makes messages: `make("std_msgs/msg/Header", frame_id="camera")`. The
node gives one for the classes of rosidl (`ros/outputs/conversions.py`), recordings one for those of
rosbags.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, Protocol

import cv2
import numpy as np

from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState

STATE_NUMBERS = {state: number for number, state in enumerate(TargetState)}  # of Target.msg


class MakeMessage(Protocol):
    """Makes a message of a type by its full name; fields that are left out are zero or empty.

    A uint8[] is given as `array("B")`: whatever else rosidl checks value by value, on Humble for
    60 ms per 1280x720.
    """

    def __call__(self, name: str, /, **fields: Any) -> Any:
        """`name`: "std_msgs/msg/Header" and the like."""


def primary_mask(result: FrameResult) -> np.ndarray:
    """bool [H, W] mask of the first target; all False without a target."""
    return result.targets[0].mask if result.targets else np.zeros(result.size, bool)


def mask_to_msg(make: MakeMessage, mask: np.ndarray, header: Any) -> Any:
    """bool [H, W] -> mono8 image, 255 where the mask is set."""
    height, width = mask.shape
    data = array("B", b"\0") * mask.size  # written in place, without a picture in between
    np.negative(mask.view(np.uint8),  # 1 -> 255
                out=np.frombuffer(data, np.uint8).reshape(height, width))
    return make("sensor_msgs/msg/Image", header=header, height=height, width=width,
                encoding="mono8", step=width, data=data)


def labels_to_msg(make: MakeMessage, labels: np.ndarray, header: Any) -> Any:
    """uint8 or uint16 [H, W] -> mono8 or mono16 (little-endian) image of the same numbers."""
    if labels.dtype == np.uint8:
        return rgb_to_msg(make, labels, header, "mono8")
    return rgb_to_msg(make, labels.astype("<u2"), header, "mono16")


def rgb_to_msg(make: MakeMessage, rgb: np.ndarray, header: Any, encoding: str = "rgb8") -> Any:
    """uint8 [H, W, 3] or [H, W] -> image message; `encoding` says what the values are."""
    height, width = rgb.shape[:2]
    data = array("B")
    data.frombytes(np.ascontiguousarray(rgb).data.cast("B"))
    return make("sensor_msgs/msg/Image", header=header, height=height, width=width,
                encoding=encoding, step=rgb[0].nbytes, data=data)


def jpeg_to_msg(make: MakeMessage, data: bytes, header: Any) -> Any:
    """An encoded rgb8 image -> message that image_transport and Foxglove read."""
    return make("sensor_msgs/msg/CompressedImage", header=header,
                format="rgb8; jpeg compressed bgr8", data=array("B", data))


def label_info_to_msg(make: MakeMessage, result: FrameResult, labels: Mapping[str, int],
                      threshold: float, header: Any) -> Any:
    """What each number of a label picture means -> vision_msgs/LabelInfo.

    Args:
        make: Makes messages.
        result: Whose targets are named by their sentences, or else by their ids.
        labels: Number of each target id.
        threshold: Score from which a target counts as there.
        header: Of the first image that this holds for.
    """
    return make("vision_msgs/msg/LabelInfo", header=header, threshold=threshold, class_map=[
        make("vision_msgs/msg/VisionClass", class_id=labels[target.target_id],
             class_name=target.name)
        for target in result.targets])


def label_key(result: FrameResult, labels: Mapping[str, int], threshold: float) -> tuple:
    """What a LabelInfo says; another one is due when this changes."""
    return threshold, *((labels[target.target_id], target.name) for target in result.targets)


def targets_to_msg(make: MakeMessage, result: FrameResult, labels: Mapping[str, int],
                   header: Any) -> Any:
    """FrameResult, with the label number of each target id -> samwise_ros/TargetArray."""
    height, width = result.size
    return make("samwise_ros/msg/TargetArray", header=header, height=height, width=width, targets=[
        _target_to_msg(make, target, labels[target.target_id], header)
        for target in result.targets])


def _target_to_msg(make: MakeMessage, target: TargetResult, label: int, header: Any) -> Any:
    x, y = mask_centroid(target.mask, target.box)
    return make(
        "samwise_ros/msg/Target", header=header, id=target.target_id, expression=target.expression,
        command=target.command, label=label, state=STATE_NUMBERS[target.state], score=target.score,
        object_score=float(target.object_score), box=box_to_msg(make, target.box), centroid_x=x,
        centroid_y=y, area=target.area, switched=target.switched, age=target.age)


def box_to_msg(make: MakeMessage, box: Box | None) -> Any:
    """Box -> region in image pixels; None -> all zero."""
    if box is None:
        return make("sensor_msgs/msg/RegionOfInterest")
    return make("sensor_msgs/msg/RegionOfInterest", x_offset=box.x0, y_offset=box.y0,
                width=box.x1 - box.x0, height=box.y1 - box.y0)


def mask_centroid(mask: np.ndarray, box: Box | None) -> tuple[float, float]:
    """Mean column and row of a bool [H, W] mask in pixels; (NaN, NaN) for an empty one."""
    if box is None:
        return float("nan"), float("nan")
    inside = mask[box.y0:box.y1, box.x0:box.x1].view(np.uint8)
    # Ten times as fast as cv2.moments, which copies the mask and computes eight moments too many.
    columns, rows = (cv2.reduce(inside, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
                     for axis in (0, 1))
    return box.x0 + _mean_index(columns), box.y0 + _mean_index(rows)


def _mean_index(counts: np.ndarray) -> float:
    """Mean of the indices, each as often as `counts` says."""
    return float(counts @ np.arange(len(counts))) / float(counts.sum())


def detections_to_msg(make: MakeMessage, result: FrameResult, header: Any) -> Any:
    """FrameResult -> vision_msgs/Detection2DArray, best score first, absent targets left out."""
    ordered = sorted(result.targets, key=lambda target: target.object_score, reverse=True)
    return make("vision_msgs/msg/Detection2DArray", header=header, detections=[
        _detection_to_msg(make, target, target.box, header) for target in ordered
        if target.box is not None])


def _detection_to_msg(make: MakeMessage, target: TargetResult, box: Box, header: Any) -> Any:
    detection = make("vision_msgs/msg/Detection2D", header=header, id=target.target_id)
    detection.bbox.center.position.x = (box.x0 + box.x1) / 2
    detection.bbox.center.position.y = (box.y0 + box.y1) / 2
    detection.bbox.size_x = float(box.x1 - box.x0)
    detection.bbox.size_y = float(box.y1 - box.y0)
    detection.results = [hypothesis_to_msg(make, target)]
    return detection


def hypothesis_to_msg(make: MakeMessage, target: TargetResult) -> Any:
    """Name and score of a target -> vision_msgs/ObjectHypothesisWithPose without a pose."""
    message = make("vision_msgs/msg/ObjectHypothesisWithPose")
    message.hypothesis.class_id = target.name
    message.hypothesis.score = target.score
    message.pose.pose.orientation.w = 1.0  # rosidl's default, which rosbags does not know
    return message
