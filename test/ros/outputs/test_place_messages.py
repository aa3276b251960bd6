"""Localizations become whole messages that survive serialisation."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from samwise_ros.messages.localization import Localization, Pinhole, localize
from samwise_ros.ros.outputs.conversions import (
    Detection3DArray,
    cloud_to_msg,
    detections_3d_to_msg,
    pose_to_msg,
)
from samwise_ros.structures import Box, TargetResult, TargetState

HEADER = Header(stamp=Time(sec=12, nanosec=345), frame_id="left_optical")
RGB = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def through_the_wire(message: object) -> object:
    return deserialize_message(serialize_message(message), type(message))


def place_and_target(score: float = 1.0, column: int = 4) -> tuple[TargetResult, Localization]:
    mask = np.zeros((24, 40), bool)
    mask[5:15, column:column + 20] = True
    target = TargetResult(f"t{column}", "the red cup", 1, TargetState.TRACKING, score, mask,
                          Box(column, 5, column + 20, 15), 200, False, 0,
                          np.zeros((1, 1), np.float32))
    depth = np.linspace(1, 1.5, 24 * 40, dtype=np.float32).reshape(24, 40)
    return target, localize(mask, depth, Pinhole(40, 24, 30.0, 30.0, 19.5, 11.5))


def test_the_pose_has_the_image_header_and_a_neutral_turn():
    _, place = place_and_target()
    message = through_the_wire(pose_to_msg(place.position, HEADER))
    assert message.header == HEADER
    position, turn = message.pose.position, message.pose.orientation
    np.testing.assert_array_equal([position.x, position.y, position.z], place.position)
    assert (turn.x, turn.y, turn.z, turn.w) == (0.0, 0.0, 0.0, 1.0)


def test_the_cloud_holds_each_point_with_the_colour_of_its_pixel():
    _, place = place_and_target()
    message = through_the_wire(cloud_to_msg(place, RGB, HEADER))
    assert message.header == HEADER and message.is_dense
    assert (message.height, message.width) == (1, place.num_valid)
    assert message.row_step == message.width * message.point_step == len(message.data)
    assert [field.name for field in message.fields] == ["x", "y", "z", "rgb"]
    assert [field.offset for field in message.fields] == [0, 4, 8, 12]
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, 16)
    np.testing.assert_array_equal(rows[:, :12].copy().view(np.float32), place.points)
    # 0x00RRGGBB, little-endian: blue comes first.
    np.testing.assert_array_equal(rows[:, 14:11:-1], place.colours(RGB))
    np.testing.assert_array_equal(
        place.colours(RGB)[7], RGB[place.pixels[7, 0], place.pixels[7, 1]])


def test_the_cloud_is_what_sensor_msgs_py_makes_and_reads():
    point_cloud2 = pytest.importorskip(
        "sensor_msgs_py.point_cloud2", reason="sensor_msgs_py comes with ROS from apt")
    _, place = place_and_target()
    ours = cloud_to_msg(place, RGB, HEADER)
    points = point_cloud2.read_points(ours)
    np.testing.assert_array_equal(points["z"], place.points[:, 2])
    theirs = point_cloud2.create_cloud(HEADER, ours.fields, points)
    theirs.is_dense = True
    assert ours == theirs


@pytest.mark.skipif(Detection3DArray is None,
                    reason="vision_msgs is neither installed nor built (make test does)")
def test_detections_hold_box_covariance_and_score_best_first():
    weak, strong = place_and_target(0.5, 4), place_and_target(2.0, 10)
    message = through_the_wire(detections_3d_to_msg([weak, strong], HEADER))
    assert message.header == HEADER
    assert [detection.id for detection in message.detections] == ["t10", "t4"]
    target, place = strong
    detection = message.detections[0]
    size, centre = detection.bbox.size, detection.bbox.center.position
    np.testing.assert_allclose([size.x, size.y, size.z], place.size)
    np.testing.assert_allclose([centre.x, centre.y, centre.z], place.centre)
    found = detection.results[0]
    assert found.hypothesis.class_id == "the red cup"
    assert found.hypothesis.score == pytest.approx(target.score)
    covariance = np.reshape(found.pose.covariance, (6, 6))
    np.testing.assert_allclose(covariance[:3, :3], place.covariance)
