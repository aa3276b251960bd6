"""Targets that are shown over DDS: nano in a process of its own, a drawn ball as the truth."""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from geometry_msgs.msg import Point, PointStamped
from ros_processes import ROOT, Client, RosProcess, StandIn, mask_array
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from samwise_ros.ros.inputs.tf_lookup import Transform
from samwise_ros.ros.outputs.conversions import TargetArray, mask_to_msg
from samwise_ros.structures import TargetState

pytestmark = pytest.mark.skipif(TargetArray is None,
                                reason="needs the package's messages (`make setup`, or colcon)")
WIDTH, HEIGHT, RADIUS = 320, 240, 24
INFO = CameraInfo(header=Header(frame_id="camera"), width=WIDTH, height=HEIGHT,
                  k=[300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0])
TRACKING = list(TargetState).index(TargetState.TRACKING)


def ball(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Frame uint8 [H, W, 3] with a ball that moves right, and its mask, bool [H, W]."""
    x, y = 70 + 4 * index, 120
    mask = np.hypot(*np.mgrid[-y:HEIGHT - y, -x:WIDTH - x]) < RADIUS
    frame = np.full((HEIGHT, WIDTH, 3), (150, 160, 170), np.uint8)
    cv2.circle(frame, (240, 60), RADIUS, (40, 70, 190), cv2.FILLED, cv2.LINE_AA)
    cv2.circle(frame, (x, y), RADIUS, (205, 45, 40), cv2.FILLED, cv2.LINE_AA)
    return frame, mask


def stamped(header: Header, x: float, y: float, z: float = 0.0) -> PointStamped:
    return PointStamped(header=header, point=Point(x=float(x), y=float(y), z=float(z)))


def point_message(header: Header) -> PointStamped:
    return stamped(header, 72, 118)


def mask_message(header: Header) -> Image:
    return mask_to_msg(ball(0)[1], header)


def box_message(header: Header) -> object:
    from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

    message = Detection2D(header=header, id="ball")
    message.bbox.center.position.x, message.bbox.center.position.y = 70.0, 120.0
    message.bbox.size_x = message.bbox.size_y = 2.0 * RADIUS + 2
    message.results = [ObjectHypothesisWithPose()]
    message.results[0].hypothesis.class_id = "37"  # a detector's number
    return message


class Show:
    """The node with nano, active, and a client that shows it targets."""

    def __init__(self, process: RosProcess, client: Client) -> None:
        self.process, self.client = process, client
        publisher = client.node.create_publisher(CameraInfo, "camera_info", 10)
        client.node.create_timer(0.05, lambda: publisher.publish(INFO))
        client.lifecycle.run("up")
        client.ask(ball(0)[0])

    def publish(self, topic: str, make: Callable[[Header], object]) -> Header:
        """Send the first frame and a message about it."""
        header = self.client.send(ball(0)[0])
        message = make(header)
        publisher = self.client.node.create_publisher(type(message), topic, 10)
        self.client.wait(lambda: publisher.get_subscription_count() > 0, f"{topic} is listened to")
        publisher.publish(message)
        self.client.spin(0.3)
        self.client.node.destroy_publisher(publisher)
        return header

    def follow(self, name: str) -> list[float]:
        """J of each answer about a target while the ball moves on."""
        self.client.send_until(lambda: [each.id for each in self.client.targets[-1].targets]
                               == [name], ball(0)[0], "what is shown is a target")
        overlaps = []
        for index in range(15):
            frame, truth = ball(index)
            header = self.client.send(frame)
            self.client.wait(lambda stamp=header.stamp: any(
                mask.header.stamp == stamp for mask in self.client.masks[-9:]) and any(
                found.header.stamp == stamp for found in self.client.targets[-9:]), "an answer")
            answer = next(each for each in self.client.targets if each.header == header)
            mask = mask_array(next(each for each in self.client.masks if each.header == header)) > 0
            assert [target.id for target in answer.targets] == [name]
            assert answer.targets[0].expression == ""
            overlaps.append((mask & truth).sum() / (mask | truth).sum())
        assert answer.targets[0].state == TRACKING
        return overlaps


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    scene = StandIn(tmp_path_factory.mktemp("node"))
    path = [] if find_spec("tf2_ros") else [str(ROOT / "test" / "helpers" / "tf2_double")]
    process = scene.run(
        ["-m", "samwise_ros.ros.node.node", "--ros-args", "-p", "image_qos:=reliable", "-p",
         "process_all:=true", "-p", "num_threads:=1", "-p", "overlay_rate:=0.0", "-p",
         "model:=nano"], "node",
        PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), *path, os.environ.get("PYTHONPATH")])))
    yield Show(process, scene.client())
    scene.leave()


@pytest.mark.parametrize(("topic", "make", "name"), [
    ("point", point_message, "target"), ("mask", mask_message, "target"),
    pytest.param("box", box_message, "ball", marks=pytest.mark.skipif(
        find_spec("vision_msgs") is None,
        reason="vision_msgs is neither installed nor built (make test does)"))])
def test_what_is_shown_is_followed(show: Show, topic: str, make: Callable[[Header], object],
                                   name: str) -> None:
    show.client.command("stop")
    show.publish(f"prompt/{topic}", make)
    overlaps = show.follow(name)
    assert np.mean(overlaps) > 0.75 and min(overlaps) > 0.5, overlaps


def test_a_place_in_space_is_found_in_the_image(show: Show) -> None:
    show.client.command("stop")
    show.publish("prompt/point", lambda header: stamped(header, (70 - 160) / 300 * 2, 0.0, 2.0))
    show.client.spin(0.5)
    assert np.mean(show.follow("target")) > 0.75


@pytest.mark.parametrize(("topic", "make", "reason"), [
    ("point", lambda header: stamped(header, 900, 9), "outside the image of 320x240"),
    ("point", lambda header: stamped(Header(stamp=header.stamp, frame_id="map"), 1, 2, 3),
     "no transform from 'map' to 'camera'"),
    ("point", lambda header: stamped(header, 0, 0, -1), "not in front of the camera"),
    ("point", lambda header: stamped(Header(frame_id="camera", stamp=Header().stamp.__class__(
        sec=header.stamp.sec - 60)), 70, 120), "older than the newest one"),
    ("mask", lambda header: mask_to_msg(np.zeros((HEIGHT, WIDTH), bool), header), "mask is empty"),
    ("mask", lambda header: mask_to_msg(np.ones((9, 9), bool), header), "got 9x9"),
    ("mask", lambda header: Image(header=header, encoding="rgb8"), "encoding mono8")])
def test_a_bad_prompt_is_named_and_the_node_goes_on(
        show: Show, topic: str, make: Callable[[Header], object], reason: str) -> None:
    client = show.client
    client.command("add:target: the red ball")
    client.ask(ball(0)[0])
    client.spin(1.1)  # the log has at most one such line a second
    show.publish(f"prompt/{topic}", make)
    client.send_until(lambda: reason in client.diagnosis().message, ball(0)[0],
                      f"diagnostics say {reason!r}: {client.diagnosis().message!r}")
    assert reason in show.process.text and "Traceback" not in show.process.text
    client.command("stop")
    client.send_until(lambda: not client.targets[-1].targets, ball(0)[0], "it goes on")


def test_a_place_in_another_frame_is_turned_into_the_camera_s(tmp_path: Path) -> None:
    import rclpy
    from rclpy.context import Context

    from samwise_ros.ros.inputs.prompt_input import _Camera

    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("place", context=context)
    for name, value in (("rectified", False), ("release_words", ["stop"])):
        node.declare_parameter(name, value)
    camera = _Camera(node, "", None, dict)
    camera._info = INFO
    # The camera looks along x of the base, one metre above it.
    turn = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], float)

    class Lookup:
        target_frame = "camera"

        def at(self, header: Header) -> Transform:
            assert header.frame_id == "base"
            return Transform(turn, np.array([0.0, 1.0, 0.0]))

        def close(self) -> None:
            pass

    camera._lookup = Lookup()
    command = camera._projected(stamped(Header(frame_id="base"), 2.0, 0.2, 1.1))
    np.testing.assert_allclose(command.prompt.points, [(160 - 0.1 * 300, 120 - 0.05 * 300)])
    assert command.replace_all and command.prompt.stamp is None
    camera.close()
    node.destroy_node()
    rclpy.shutdown(context=context)
