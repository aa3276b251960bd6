"""Results of a session -> whole messages. Every function returns a complete message.

Our own messages and vision_msgs are optional: where they can't be imported the names below are
None, and the parts that need them are left out.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import Image, RegionOfInterest
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

_STATE_NUMBERS = {TargetState.SEARCHING: 0, TargetState.TRACKING: 1, TargetState.LOST: 2}


@dataclass(frozen=True)
class ResultMessages:
    """All messages about one frame; None where the message type is not installed.

    Attributes:
        mask: sensor_msgs/Image mono8 of the primary target.
        targets: samwise_ros/TargetArray.
        detections: vision_msgs/Detection2DArray of the visible targets.
    """

    mask: Image
    targets: Any
    detections: Any


def missing_messages() -> tuple[str, ...]:
    """What the node can't publish here, with the remedy; for the log."""
    missing = []
    if TargetArray is None:
        missing.append("~/targets and ~/status (build the package's messages: `make setup`, or "
                       "colcon)")
    if Detection2DArray is None:
        missing.append("~/detections (install vision_msgs, e.g. apt install "
                       "ros-$ROS_DISTRO-vision-msgs)")
    return tuple(missing)


def result_to_msgs(result: FrameResult, header: Header) -> ResultMessages:
    """Build the messages that answer one frame.

    Args:
        result: The session's answer.
        header: Header of the camera image; stamp and frame id are taken over unchanged.
    """
    return ResultMessages(
        mask=mask_to_msg(primary_mask(result), header),
        targets=None if TargetArray is None else targets_to_msg(result, header),
        detections=None if Detection2DArray is None else detections_to_msg(result, header))


def primary_mask(result: FrameResult) -> np.ndarray:
    """bool [H, W] mask of the first target; all False without a target."""
    return result.targets[0].mask if result.targets else np.zeros(result.size, bool)


def mask_to_msg(mask: np.ndarray, header: Header) -> Image:
    """bool [H, W] -> mono8 image, 255 where the mask is set."""
    height, width = mask.shape
    data = array("B")  # assigning bytes instead costs 60 ms per 1280x720 on Humble
    data.frombytes(memoryview(np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)).cast("B"))
    message = Image(header=header, height=height, width=width, encoding="mono8", step=width)
    message.data = data
    return message


def rgb_to_msg(rgb: np.ndarray, header: Header, encoding: str = "rgb8") -> Image:
    """uint8 [H, W, 3] or [H, W] -> image message; `encoding` says what the values are."""
    height, width = rgb.shape[:2]
    data = array("B")
    data.frombytes(memoryview(np.ascontiguousarray(rgb)).cast("B"))
    message = Image(header=header, height=height, width=width, encoding=encoding,
                    step=rgb[0].nbytes)
    message.data = data
    return message


def targets_to_msg(result: FrameResult, header: Header) -> Any:
    """FrameResult -> samwise_ros/TargetArray."""
    height, width = result.size
    return TargetArray(header=header, height=height, width=width,
                       targets=[_target_to_msg(target, header) for target in result.targets])


def _target_to_msg(target: TargetResult, header: Header) -> Any:
    x, y = mask_centroid(target.mask, target.box)
    return Target(
        header=header, id=target.target_id, expression=target.expression, command=target.command,
        state=_STATE_NUMBERS[target.state], score=target.score,
        object_score=float(target.object_score), box=_box_to_msg(target.box), centroid_x=x,
        centroid_y=y, area=target.area, switched=target.switched, age=target.age)


def _box_to_msg(box: Box | None) -> RegionOfInterest:
    if box is None:
        return RegionOfInterest()
    return RegionOfInterest(x_offset=box.x0, y_offset=box.y0, width=box.x1 - box.x0,
                            height=box.y1 - box.y0)


def mask_centroid(mask: np.ndarray, box: Box | None) -> tuple[float, float]:
    """Mean column and row of a bool [H, W] mask in pixels; (NaN, NaN) for an empty one."""
    if box is None:
        return float("nan"), float("nan")
    inside = np.ascontiguousarray(mask[box.y0:box.y1, box.x0:box.x1]).view(np.uint8)
    moments = cv2.moments(inside, binaryImage=True)
    return box.x0 + moments["m10"] / moments["m00"], box.y0 + moments["m01"] / moments["m00"]


def detections_to_msg(result: FrameResult, header: Header) -> Any:
    """FrameResult -> vision_msgs/Detection2DArray, best score first, absent targets left out."""
    visible = [target for target in result.targets if target.box is not None]
    visible.sort(key=lambda target: target.object_score, reverse=True)
    return Detection2DArray(header=header,
                            detections=[_detection_to_msg(target, header) for target in visible])


def _detection_to_msg(target: TargetResult, header: Header) -> Any:
    detection = Detection2D(header=header, id=target.target_id)
    box = target.box
    detection.bbox.center.position.x = (box.x0 + box.x1) / 2
    detection.bbox.center.position.y = (box.y0 + box.y1) / 2
    detection.bbox.size_x = float(box.x1 - box.x0)
    detection.bbox.size_y = float(box.y1 - box.y0)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target.expression
    hypothesis.hypothesis.score = target.score
    detection.results = [hypothesis]
    return detection
