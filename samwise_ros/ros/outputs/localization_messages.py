"""Localizations -> whole messages. Every function returns a complete message.

vision_msgs is optional, as in `conversions`: without it `Detection3DArray` is None. Clouds are
built by sensor_msgs_py; where that is not installed (it is not on PyPI), the same message is filled
here.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Vector3
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from samwise_ros.ros.outputs.localization import Localization
from samwise_ros.structures import TargetResult

try:
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
except ImportError:  # not on PyPI
    Detection3D = Detection3DArray = ObjectHypothesisWithPose = None

try:
    from sensor_msgs_py.point_cloud2 import create_cloud
except ImportError:  # not on PyPI
    create_cloud = None

_CLOUD_FIELDS = ("x", "y", "z", "rgb")
_CLOUD = np.dtype([(name, "<f4") for name in _CLOUD_FIELDS])
_FIELDS = [PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
           for number, name in enumerate(_CLOUD_FIELDS)]


def pose_to_msg(position: np.ndarray, header: Header) -> PoseStamped:
    """Position [3] m in the header's frame -> pose without a turn.

    A mask says nothing about how the target is turned; the orientation is the frame's own.
    """
    return PoseStamped(header=header, pose=_pose(position))


def detections_3d_to_msg(found: Sequence[tuple[TargetResult, Localization]], header: Header) -> Any:
    """Targets in space -> vision_msgs/Detection3DArray, best score first."""
    ordered = sorted(found, key=lambda pair: pair[0].object_score, reverse=True)
    return Detection3DArray(header=header, detections=[
        _detection_to_msg(target, place, header) for target, place in ordered])


def _detection_to_msg(target: TargetResult, place: Localization, header: Header) -> Any:
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target.expression
    hypothesis.hypothesis.score = target.score
    hypothesis.pose.pose = _pose(place.position)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = place.covariance
    # Unknown orientation: half a turn either way is one standard deviation.
    covariance[3:, 3:] = np.eye(3) * np.pi**2
    hypothesis.pose.covariance = covariance.ravel()
    detection = Detection3D(header=header, id=target.target_id, results=[hypothesis])
    detection.bbox.center = _pose(place.centre)
    detection.bbox.size = Vector3(**dict(zip("xyz", map(float, place.size))))
    return detection


def cloud_to_msg(place: Localization, rgb: np.ndarray, header: Header) -> PointCloud2:
    """The target's points with their colours.

    Args:
        place: From `localize`.
        rgb: uint8 [H, W, 3] of the same image.
        header: Of the image.

    Returns:
        PointCloud2 of x, y, z float32 [m] and rgb, the three bytes packed into a float32 as
        0xRRGGBB (what RViz and PCL read); unordered.
    """
    points = np.empty(place.num_valid, _CLOUD)
    for axis, name in enumerate("xyz"):
        points[name] = place.points[:, axis]
    red, green, blue = place.colours(rgb).astype("<u4").T
    points["rgb"] = (red << 16 | green << 8 | blue).view("<f4")
    if create_cloud is None:
        message = _create_cloud(header, points)
    else:
        message = create_cloud(header, _FIELDS, points)
    message.is_dense = True  # no point is NaN
    return message


def _create_cloud(header: Header, points: np.ndarray) -> PointCloud2:
    """What sensor_msgs_py's `create_cloud` makes of `_FIELDS` and points of type `_CLOUD`."""
    message = PointCloud2(
        header=header, height=1, width=len(points), fields=_FIELDS, is_bigendian=False,
        point_step=_CLOUD.itemsize, row_step=_CLOUD.itemsize * len(points), is_dense=False)
    data = array("B")
    data.frombytes(points.view(np.uint8).data)
    message.data = data
    return message


def _pose(position: np.ndarray) -> Pose:
    x, y, z = map(float, position)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=1.0))
