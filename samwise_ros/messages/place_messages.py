"""Localizations -> whole messages. Every function returns a complete message. No ROS import.

The first argument makes messages, as in `result_messages`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from samwise_ros.messages.localization import Localization
from samwise_ros.messages.result_messages import MakeMessage, hypothesis_to_msg
from samwise_ros.structures import TargetResult

_CLOUD_FIELDS = ("x", "y", "z", "rgb")
_CLOUD = np.dtype([(name, "<f4") for name in _CLOUD_FIELDS])
_FLOAT32 = 7  # of sensor_msgs/PointField


def pose_to_msg(make: MakeMessage, position: np.ndarray, header: Any) -> Any:
    """Position [3] m in the header's frame -> geometry_msgs/PoseStamped without a turn.

    A mask says nothing about how the target is turned; the orientation is the frame's own.
    """
    return make("geometry_msgs/msg/PoseStamped", header=header, pose=_pose(make, position))


def detections_3d_to_msg(make: MakeMessage, found: Sequence[tuple[TargetResult, Localization]],
                         header: Any) -> Any:
    """Targets in space -> vision_msgs/Detection3DArray, best score first."""
    ordered = sorted(found, key=lambda pair: pair[0].object_score, reverse=True)
    return make("vision_msgs/msg/Detection3DArray", header=header, detections=[
        _detection_to_msg(make, target, place, header) for target, place in ordered])


def _detection_to_msg(make: MakeMessage, target: TargetResult, place: Localization,
                      header: Any) -> Any:
    hypothesis = hypothesis_to_msg(make, target)
    hypothesis.pose.pose = _pose(make, place.position)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = place.covariance
    # Unknown orientation: half a turn either way is one standard deviation.
    covariance[3:, 3:] = np.eye(3) * np.pi**2
    hypothesis.pose.covariance = covariance.ravel()
    detection = make("vision_msgs/msg/Detection3D", header=header, id=target.target_id,
                     results=[hypothesis])
    detection.bbox.center = _pose(make, place.centre)
    detection.bbox.size = make("geometry_msgs/msg/Vector3",
                               **dict(zip("xyz", map(float, place.size), strict=True)))
    return detection


def cloud_to_msg(make: MakeMessage, place: Localization, rgb: np.ndarray, header: Any) -> Any:
    """The target's points with their colours.

    Args:
        make: Makes messages.
        place: From `localize`.
        rgb: uint8 [H, W, 3] of the same image.
        header: Of the image.

    Returns:
        sensor_msgs/PointCloud2 of x, y, z float32 [m] and rgb, three bytes packed into a float32
        as 0xRRGGBB (what RViz and PCL read); unordered, without NaN.
    """
    points = np.empty(place.num_valid, _CLOUD)
    for axis, name in enumerate("xyz"):
        points[name] = place.points[:, axis]
    red, green, blue = place.colours(rgb).astype("<u4").T
    points["rgb"] = (red << 16 | green << 8 | blue).view("<f4")
    data = array("B")
    data.frombytes(points.view(np.uint8).data)
    return make(
        "sensor_msgs/msg/PointCloud2", header=header, height=1, width=len(points),
        fields=[make("sensor_msgs/msg/PointField", name=name, offset=4 * number, datatype=_FLOAT32,
                     count=1) for number, name in enumerate(_CLOUD_FIELDS)],
        is_bigendian=False, point_step=_CLOUD.itemsize, row_step=len(data), data=data,
        is_dense=True)


def _pose(make: MakeMessage, position: np.ndarray) -> Any:
    x, y, z = map(float, position)
    return make("geometry_msgs/msg/Pose", position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
                orientation=make("geometry_msgs/msg/Quaternion", w=1.0))
