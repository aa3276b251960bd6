"""Masks, depth and camera_info are there and no pose: the log, ~/status and /diagnostics say
why."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from rclpy.time import Duration, Time
from ros_processes import Client
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

HEIGHT, WIDTH = 24, 32
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PICTURE[8:16, 12:20, 0] = 255  # what the stand-in finds: 64 pixels


class DepthCamera:
    """Sends a picture with the stand-in's target, depth and camera_info, ten times a second."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._depth = client.node.create_publisher(Image, "depth", 5)
        self._info = client.node.create_publisher(CameraInfo, "camera_info", 5)
        self.poses: list[PoseStamped] = []
        client.node.create_subscription(PoseStamped, "/samwise/target_pose", self.poses.append,
                                        QoSProfile(depth=50))

    def show(self, depth: np.ndarray, offset: float = 0.0, info: bool = True) -> None:
        """One frame; depth uint16 or float32 [H, W] is stamped `offset` seconds later."""
        header = self._client.send(PICTURE)
        later = Time.from_msg(header.stamp) + Duration(seconds=offset)
        if info:
            self._info.publish(CameraInfo(header=header, height=HEIGHT, width=WIDTH,
                                          k=[30.0, 0.0, 16.0, 0.0, 30.0, 12.0, 0.0, 0.0, 1.0]))
        self._depth.publish(Image(
            header=Header(stamp=later.to_msg(), frame_id=header.frame_id), height=HEIGHT,
            width=WIDTH,
            encoding={2: "16UC1", 4: "32FC1"}[depth.itemsize], step=WIDTH * depth.itemsize,
            data=depth.tobytes()))
        self._client.spin(0.1)

    def show_until(self, condition, depth: np.ndarray, offset: float = 0.0, info: bool = True
                   ) -> None:
        for _ in range(300):
            if condition():
                return
            self.show(depth, offset, info)
        raise AssertionError(f"not within 300 frames; the node says {self._client.diagnosis()}")


def filled(value: float, dtype: type = np.float32) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), value, dtype)


def started(standin, *arguments: str):
    """Node, client and depth camera, once a pose has come."""
    process, client = standin.start(*arguments)
    client.lifecycle.run("up")
    client.command("the red square")
    camera = DepthCamera(client)
    camera.show_until(lambda: camera.poses, filled(2.0))
    return process, client, camera


@pytest.fixture
def seen(standin):
    return started(standin)


def test_depth_that_is_no_measurement_is_named_with_counts_and_median(seen):
    process, client, camera = seen
    for depth, says in (
            (filled(1500.0),
             "64 farther than 20 m; median of the values 1500 m: millimetres in a 32FC1"),
            (filled(np.nan), "64 without a value (0, NaN), 0 nearer than 0.05 m, 0 farther"),
            (filled(0, np.uint16), "not one value"),
            (filled(2, np.uint16), "median of the values 0.002 m: metres in a 16UC1 image?")):
        camera.show_until(lambda says=says: says in client.diagnosis().message, depth)
        diagnosis = client.diagnosis()
        assert diagnosis.level == DiagnosticStatus.WARN
        assert diagnosis.message.startswith("answering frames; no pose of ")
        assert client.value("no pose") in diagnosis.message
    assert 1 <= process.text.count("no pose of ") <= 4  # one in ten seconds
    camera.poses.clear()
    camera.show_until(lambda: camera.poses, filled(2.0))
    camera.show_until(lambda: client.diagnosis().message == "answering frames", filled(2.0))


def test_depth_that_is_stamped_apart_by_less_than_half_a_period_is_placed_by_default(seen):
    _, _, camera = seen
    camera.poses.clear()
    camera.show_until(lambda: any(pose.pose.position.z == 3.0 for pose in camera.poses),
                      filled(3.0), offset=0.03)


def test_depth_that_is_stamped_further_apart_is_named_with_its_distance(standin):
    process, client, camera = started(standin, "--ros-args", "-p", "depth_slop:=0.015")
    camera.show_until(lambda: "none within 0.015 s of an image (the nearest is" in
                      client.diagnosis().message, filled(2.0), offset=0.04)
    assert "set depth_slop above the cameras' offset" in process.text


def test_a_reason_that_is_mended_does_not_keep_the_next_one_from_the_log(standin):
    process, client = standin.start("--ros-args", "-p", "depth_slop:=0.015")
    client.lifecycle.run("up")
    client.command("the red square")
    camera = DepthCamera(client)
    camera.show_until(lambda: "no camera_info on" in client.diagnosis().message, filled(2.0),
                      offset=0.04, info=False)
    camera.show_until(lambda: "the nearest is" in client.diagnosis().message, filled(2.0),
                      offset=0.04)
    assert "depth comes, but no camera_info on" in process.text
    assert "set depth_slop above the cameras' offset" in process.text
