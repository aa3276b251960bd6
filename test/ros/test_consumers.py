"""Our outputs over real DDS into doubles of Nav2's FollowObject and of FoundationPose.

The doubles (ros_consumers.py) are processes of their own that follow the consumers' published
rules. Masks come from the ground truth node, poses from the real depth path.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from ros_processes import TIMEOUT, Client, RosProcess, new_domain
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from samwise_ros.demos.sim_parts import depth_to_msg, info_to_msg
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.sim.geometry import Intrinsics

CAMERA = Intrinsics.from_field_of_view(64, 48, 1.0)
NODE = ["-m", "samwise_ros.demos.ground_truth_node", "--ros-args", "-p", "names:=['red ball']"]


class DepthCamera(Client):
    """A camera with depth, and the truth for the node."""

    def __init__(self, domain: int) -> None:
        super().__init__(domain)
        self._outputs = {name: self.node.create_publisher(kind, name, 5) for name, kind in (
            ("depth", Image), ("camera_info", CameraInfo), ("instance", Image))}
        self.poses: list[PoseStamped] = []
        self.clouds: list[PointCloud2] = []
        self.node.create_subscription(PoseStamped, "/samwise/target_pose", self.poses.append,
                                      QoSProfile(depth=10))
        self.node.create_subscription(PointCloud2, "/samwise/target_cloud", self.clouds.append, 10)

    def show(self, visible: bool, depth_encoding: str = "32FC1", info: bool = True) -> Header:
        """One frame: a board of 20x16 pixels 2 m away, or nothing."""
        instance = np.zeros((48, 64), np.uint8)
        if visible:
            instance[16:32, 22:42] = 1
        metres = np.where(instance > 0, 2.0, 5.0).astype(np.float32)
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id="eye")
        depth = depth_to_msg(metres, header)
        if depth_encoding == "16UC1":
            depth = Image(header=header, height=48, width=64, encoding="16UC1", step=128,
                          data=(metres * 1000).astype("<u2").tobytes())
        if info:
            self._outputs["camera_info"].publish(info_to_msg(CAMERA, header))
        self._outputs["depth"].publish(depth)
        self._outputs["instance"].publish(rgb_to_msg(instance, header, "mono8"))
        self.camera.publish(rgb_to_msg(np.full((48, 64, 3), 90, np.uint8), header))
        return header

    def show_until(self, condition: Callable[[list[Header]], bool], what: str, visible: bool = True,
                   **changes: object) -> list[Header]:
        """Ten frames per second until the condition holds for their headers, which are returned."""
        deadline, headers = time.monotonic() + TIMEOUT, []
        while not condition(headers):
            assert time.monotonic() < deadline, what
            headers.append(self.show(visible, **changes))
            self.spin(0.1)
        return headers

    def show_for(self, seconds: float, visible: bool) -> None:
        """Ten frames per second for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.show(visible)
            self.spin(0.1)


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[DepthCamera]:
    domain = new_domain()
    node = RosProcess(NODE, domain, tmp_path / "node.log")
    opened = DepthCamera(domain)
    yield opened
    opened.close()
    node.kill()


def of(results: list, headers: list[Header]) -> list:
    """Those of these images."""
    return [result for result in results if result.header in headers]


def wait_for_poses(camera: DepthCamera) -> None:
    """Show the target until poses and clouds come: everything has found everything."""
    camera.command("the red ball")
    deadline = time.monotonic() + TIMEOUT
    while not (camera.poses and camera.clouds):
        assert time.monotonic() < deadline, "no pose came"
        camera.show(True)
        camera.spin(0.1)


def reports(process: RosProcess) -> list[dict]:
    return [json.loads(line) for line in process.text.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_the_pose_has_the_stamp_and_frame_of_its_image_and_the_board_s_place(camera, encoding):
    wait_for_poses(camera)
    headers = camera.show_until(
        lambda sent: any(pose.header == cloud.header for pose in of(camera.poses, sent)
                         for cloud in of(camera.clouds, sent)),
        "pose and cloud of one image", depth_encoding=encoding)
    cloud = of(camera.clouds, headers)[0]
    (pose,) = of(camera.poses, [cloud.header])
    position = pose.pose.position
    expected = [(31.5 - CAMERA.cx) / CAMERA.fx * 2, (23.5 - CAMERA.cy) / CAMERA.fy * 2, 2.0]
    np.testing.assert_allclose([position.x, position.y, position.z], expected, atol=1e-3)
    assert cloud.width == (20 - 6) * (16 - 6) == len(cloud.data) // 16


def test_without_a_target_or_camera_info_the_pose_is_silent_and_the_mask_still_comes(camera):
    camera.command("the red ball")
    camera.wait_for_camera_match()
    camera.show_until(lambda sent: len(of(camera.masks, sent)) >= 5, "masks", info=False)
    assert not camera.poses
    wait_for_poses(camera)
    invisible = camera.show_until(lambda sent: len(of(camera.masks, sent)) >= 5, "masks go on",
                                  visible=False)
    shown = camera.show_until(lambda sent: bool(of(camera.poses, sent)), "poses come again")
    assert not of(camera.poses, invisible) and of(camera.masks, shown)


def test_nav2_follow_object_sees_the_target_its_loss_and_its_return(camera, tmp_path):
    wait_for_poses(camera)
    double = RosProcess(
        ["test/helpers/ros_consumers.py", "follow_object", "--ros-args",
         "-r", "pose:=/samwise/target_pose"],
        camera.node.context.get_domain_id(), tmp_path / "double.log")
    try:
        for visible, verdict in ((True, "detected"), (False, "lost"), (True, "detected")):
            seen = len(reports(double))
            deadline = time.monotonic() + TIMEOUT
            while not any(line.get("verdict") == verdict for line in reports(double)[seen:]):
                assert time.monotonic() < deadline, (verdict, double.text)
                camera.show_for(0.3, visible)
        verdicts = [line["verdict"] for line in reports(double)]
        assert verdicts[-3:] == ["detected", "lost", "detected"]
    finally:
        double.kill()


def test_foundation_pose_joins_every_mask_with_its_image_by_exact_time(camera, tmp_path):
    wait_for_poses(camera)
    double = RosProcess(
        ["test/helpers/ros_consumers.py", "foundation_pose", "--ros-args", "-r",
         "depth_image:=depth", "-r", "segmentation:=/samwise/mask"],
        camera.node.context.get_domain_id(), tmp_path / "double.log")
    try:
        deadline = time.monotonic() + TIMEOUT
        while len(reports(double)) < 10:
            assert time.monotonic() < deadline, double.text
            camera.show_for(0.3, visible=True)
        report = reports(double)[-1]["report"]
        assert report["with_target"] == report["matched"] >= 10
        assert report["faults"] == []
    finally:
        double.kill()
