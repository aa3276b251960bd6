"""Results of a session -> whole messages. Every function returns a complete message.

Our own messages and vision_msgs are optional: where they can't be imported the names below are
None, and the parts that need them are left out.
"""

from array import array
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState

try:
    from samwise_ros.msg import Status, Target, TargetArray
except ImportError:  # installed without messages
    Status = Target = TargetArray = None
try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:  # not on PyPI
    Detection2D = Detection2DArray = ObjectHypothesisWithPose = None
try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:  # came later than the detections
    LabelInfo = VisionClass = None

STATE_NUMBERS = {state: number for number, state in enumerate(TargetState)}  # of Target.msg


def missing_messages() -> tuple[str, ...]:
    """What the node can't publish here, with the remedy; for the log."""
    missing = []
    if TargetArray is None:
        missing.append("~/targets and ~/status (build the package's messages: `make setup`, or "
                       "colcon)")
    if Detection2DArray is None:
        missing.append("~/detections, ~/detections_3d and ~/label_info (install vision_msgs, e.g. "
                       "apt install ros-$ROS_DISTRO-vision-msgs)")
    return tuple(missing)


def primary_mask(result: FrameResult) -> np.ndarray:
    """bool [H, W] mask of the first target; all False without a target."""
    return result.targets[0].mask if result.targets else np.zeros(result.size, bool)


def mask_to_msg(mask: np.ndarray, header: Header) -> Image:
    """bool [H, W] -> mono8 image, 255 where the mask is set."""
    height, width = mask.shape
    # Written in place, without a picture in between; bytes instead of an array would cost 60 ms per
    # 1280x720 on Humble.
    data = array("B", b"\0") * mask.size
    np.negative(mask.view(np.uint8),  # 1 -> 255
                out=np.frombuffer(data, np.uint8).reshape(height, width))
    message = Image(header=header, height=height, width=width, encoding="mono8", step=width)
    message.data = data
    return message


def labels_to_msg(labels: np.ndarray, header: Header) -> Image:
    """uint8 or uint16 [H, W] -> mono8 or mono16 (little-endian) image of the same numbers."""
    if labels.dtype == np.uint8:
        return rgb_to_msg(labels, header, "mono8")
    return rgb_to_msg(labels.astype("<u2"), header, "mono16")


def label_info_to_msg(result: FrameResult, labels: Mapping[str, int], threshold: float,
                      header: Header) -> Any:
    """What each number of a label picture means -> vision_msgs/LabelInfo.

    Args:
        result: Whose targets are named by their expressions.
        labels: Number of each target id.
        threshold: Score from which a target counts as there.
        header: Of the first image that this holds for.
    """
    return LabelInfo(header=header, threshold=threshold, class_map=[
        VisionClass(class_id=labels[target.target_id], class_name=target.expression)
        for target in result.targets])


def jpeg_to_msg(data: bytes, header: Header) -> CompressedImage:
    """An encoded rgb8 image -> message that image_transport and Foxglove read."""
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = array("B", data)
    return message


def rgb_to_msg(rgb: np.ndarray, header: Header, encoding: str = "rgb8") -> Image:
    """uint8 [H, W, 3] or [H, W] -> image message; `encoding` says what the values are."""
    height, width = rgb.shape[:2]
    data = array("B")
    data.frombytes(np.ascontiguousarray(rgb).data.cast("B"))
    message = Image(header=header, height=height, width=width, encoding=encoding,
                    step=rgb[0].nbytes)
    message.data = data
    return message


def targets_to_msg(result: FrameResult, labels: Mapping[str, int], header: Header) -> Any:
    """FrameResult, with the label number of each target id -> samwise_ros/TargetArray."""
    height, width = result.size
    return TargetArray(header=header, height=height, width=width, targets=[
        _target_to_msg(target, labels[target.target_id], header)
        for target in result.targets])


def _target_to_msg(target: TargetResult, label: int, header: Header) -> Any:
    x, y = mask_centroid(target.mask, target.box)
    return Target(
        header=header, id=target.target_id, expression=target.expression, command=target.command,
        label=label, state=STATE_NUMBERS[target.state], score=target.score,
        object_score=float(target.object_score), box=box_to_msg(target.box), centroid_x=x,
        centroid_y=y, area=target.area, switched=target.switched, age=target.age)


def box_to_msg(box: Box | None) -> RegionOfInterest:
    """Box -> region in image pixels; None -> all zero."""
    if box is None:
        return RegionOfInterest()
    return RegionOfInterest(x_offset=box.x0, y_offset=box.y0, width=box.x1 - box.x0,
                            height=box.y1 - box.y0)


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


def detections_to_msg(result: FrameResult, header: Header) -> Any:
    """FrameResult -> vision_msgs/Detection2DArray, best score first, absent targets left out."""
    ordered = sorted(result.targets, key=lambda target: target.object_score, reverse=True)
    return Detection2DArray(header=header, detections=[
        _detection_to_msg(target, target.box, header) for target in ordered
        if target.box is not None])


def _detection_to_msg(target: TargetResult, box: Box, header: Header) -> Any:
    detection = Detection2D(header=header, id=target.target_id)
    detection.bbox.center.position.x = (box.x0 + box.x1) / 2
    detection.bbox.center.position.y = (box.y0 + box.y1) / 2
    detection.bbox.size_x = float(box.x1 - box.x0)
    detection.bbox.size_y = float(box.y1 - box.y0)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target.expression
    hypothesis.hypothesis.score = target.score
    detection.results = [hypothesis]
    return detection
