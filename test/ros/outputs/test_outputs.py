"""What is published about a frame, over DDS from a process with dictated answers, and its parts."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from ros_processes import TIMEOUT, Client, RosProcess, new_domain
from ros_results_node import coded, scripted_result
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from samwise_ros.messages.depth_sync import nanoseconds
from samwise_ros.ros.outputs import outputs
from samwise_ros.ros.outputs.conversions import LabelInfo, TargetArray, rgb_to_msg
from samwise_ros.ros.outputs.outputs import OutputSettings, ResultPublisher
from samwise_ros.structures import ConfigError

HEIGHT, WIDTH = 48, 64
CUP = ["cup", "the red cup", 1, 0.9]
needs_own_messages = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")


def square(number: int = 1) -> np.ndarray:
    """An image with target `number` at rows 16..31 and columns 22..41."""
    codes = np.zeros((HEIGHT, WIDTH), int)
    codes[16:32, 22:42] = number
    return coded(codes)


class Scripted(Client):
    """Sends images with the answers to them."""

    def listen(self, kind: type, topic: str, **qos: object) -> list:
        """Subscribe to a result; the list that fills."""
        found: list = []
        self.node.create_subscription(kind, f"/samwise/{topic}", found.append,
                                      QoSProfile(depth=50, **qos))
        return found

    def show(self, rgb: np.ndarray, *script: list) -> Header:
        return self.send(rgb, json.dumps(script))

    def meet(self, *received: list) -> None:
        """Send images until something has come on every list, then empty them."""
        deadline = time.monotonic() + TIMEOUT
        while not (self.masks and all(received)):
            assert time.monotonic() < deadline, "results do not come"
            self.show(square(), CUP)
            self.spin(0.1)
        self.settle(square(0), "[]")
        for heard in received:
            heard.clear()

    def meet_targets(self) -> None:
        """Send images until masks and targets come."""
        deadline = time.monotonic() + TIMEOUT
        while not (self.masks and self.targets):
            assert time.monotonic() < deadline, "results do not come"
            self.show(square(), CUP)
            self.spin(0.1)

    def of(self, header: Header, *received: list) -> list:
        """Wait for the results that have this header, one of each list."""
        self.wait(lambda: all(any(result.header == header for result in heard)
                              for heard in received), "the results of one image")
        return [next(result for result in heard if result.header == header) for heard in received]


@pytest.fixture
def scripted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scripted]:
    domain = new_domain()
    settings = getattr(request, "param", {})
    process = RosProcess(["test/helpers/ros_results_node.py"], domain, tmp_path / "node.log",
                         RESULT_SETTINGS=json.dumps(settings))
    client = Scripted(domain)
    client.process = process
    yield client
    client.close()
    process.kill()


@needs_own_messages
@pytest.mark.parametrize("count, encoding", [(7, "mono8"), (300, "mono16")])
def test_label_ids_arrive_without_loss(scripted, count, encoding):
    label_masks = scripted.listen(Image, "label_mask")
    scripted.meet(label_masks)
    codes = np.random.default_rng(count).integers(0, count + 1, (HEIGHT, WIDTH))
    codes.flat[:count] = np.arange(1, count + 1)
    header = scripted.show(coded(codes), *(
        [f"id{number}", "a thing", number, 0.9] for number in range(1, count + 1)))
    image, targets = scripted.of(header, label_masks, scripted.targets)
    assert image.encoding == encoding
    dtype = np.dtype("u1" if encoding == "mono8" else "<u2")
    labels = np.frombuffer(image.data, dtype).reshape(image.height, image.width)
    number_of = np.array([0, *(target.label for target in targets.targets)])
    assert len(set(number_of)) == count + 1
    np.testing.assert_array_equal(labels, number_of[codes])


def test_reliable_and_best_effort_subscribers_all_get_the_mask_with_the_image_s_header(scripted):
    heard = [scripted.listen(Image, "mask", reliability=reliability, durability=volatile)
             for volatile in (QoSDurabilityPolicy.VOLATILE,)
             for reliability in (QoSReliabilityPolicy.RELIABLE, QoSReliabilityPolicy.BEST_EFFORT)]
    scripted.meet(*heard)
    header = scripted.show(square(), CUP)
    for mask in scripted.of(header, *heard):
        values = np.frombuffer(mask.data, np.uint8).reshape(HEIGHT, WIDTH)
        np.testing.assert_array_equal(values, square()[..., 0] * 255)


@pytest.mark.parametrize("scripted", [{"overlay_rate": 2.0}], indirect=True)
def test_the_overlay_is_rate_limited_and_carries_its_image_s_header(scripted):
    raw, compressed = (scripted.listen(Image, "overlay",
                                       reliability=QoSReliabilityPolicy.BEST_EFFORT),
                       scripted.listen(CompressedImage, "overlay/compressed",
                                       reliability=QoSReliabilityPolicy.BEST_EFFORT))
    scripted.meet(raw, compressed)
    began, headers = time.monotonic(), []

    def overlays(heard: list) -> list:
        return [image for image in heard if image.header in headers]

    while time.monotonic() < began + 2 or not (overlays(raw) and overlays(compressed)):
        assert time.monotonic() < began + TIMEOUT, "no overlay came"
        headers.append(scripted.show(square(), CUP))
        scripted.spin(0.03)
    scripted.of(headers[-1], scripted.masks)
    assert len(headers) > len(overlays(raw)) <= 2 * (time.monotonic() - began) + 1
    jpeg = overlays(compressed)[0]
    (image,) = scripted.of(jpeg.header, raw)
    assert image.encoding == "rgb8" and jpeg.format == "rgb8; jpeg compressed bgr8"
    picture = np.frombuffer(image.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert (picture[20:30, 25:40] != square()[20:30, 25:40]).any(axis=2).all()
    np.testing.assert_array_equal(picture[35:, :], square()[35:, :])
    decoded = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - picture).mean() < 12


@needs_own_messages
@pytest.mark.parametrize("scripted", [{"thresholds": {
    "enter_score": 0.7, "leave_score": 0.4, "leave_frames": 2, "reacquired_frames": 2}}],
    indirect=True)
def test_states_have_hysteresis_and_masks_follow_them(scripted):
    scripted.meet(scripted.targets)
    story = [(0.6, "SEARCHING"), (0.8, "TRACKING"), (0.5, "TRACKING"), (0.3, "TRACKING"),
             (0.3, "LOST"), (0.6, "LOST"), (0.8, "REACQUIRED"), (0.8, "REACQUIRED"),
             (0.8, "TRACKING")]
    for number, (score, state) in enumerate(story, 1):
        header = scripted.show(square(), ["target", "the thing", 1, score])
        mask, targets = scripted.of(header, scripted.masks, scripted.targets)
        target = targets.targets[0]
        assert target.state == getattr(target, state), (number, score)
        assert target.score == pytest.approx(score)
        present = state in ("TRACKING", "REACQUIRED")
        assert any(mask.data) == bool(target.area) == present, (number, score)


@needs_own_messages
def test_without_targets_mask_and_arrays_are_empty_but_sent(scripted):
    label_masks = scripted.listen(Image, "label_mask")
    scripted.meet(label_masks)
    header = scripted.show(square())
    mask, targets, labels = scripted.of(header, scripted.masks, scripted.targets, label_masks)
    assert not any(mask.data) and not any(labels.data)
    assert (targets.height, targets.width) == (HEIGHT, WIDTH) and not targets.targets


@needs_own_messages
@pytest.mark.parametrize("scripted", [{"empty_masks": False}], indirect=True)
def test_masks_without_a_target_can_be_left_out(scripted):
    scripted.meet_targets()
    headers = [scripted.show(square(0), CUP), scripted.show(square(), CUP),
               scripted.show(square(0))]
    scripted.of(headers[-1], scripted.targets)
    (mask,) = scripted.of(headers[1], scripted.masks)
    assert any(mask.data)
    assert not [mask for mask in scripted.masks if mask.header in (headers[0], headers[2])]


class Depth:
    """Depth and camera_info beside a scripted client."""

    def __init__(self, client: Scripted) -> None:
        self._client = client
        self._depth = client.node.create_publisher(Image, "depth", 5)
        self._info = client.node.create_publisher(CameraInfo, "camera_info", 5)

    def show(self, metres: np.ndarray | float = 2.0, *script: list, width: int = WIDTH,
             focal: float = 60.0) -> Header:
        header = Header(stamp=self._client.node.get_clock().now().to_msg(),
                        frame_id=json.dumps(script or [CUP]))
        values = np.broadcast_to(np.float32(metres), (HEIGHT, WIDTH))
        self._info.publish(CameraInfo(
            header=header, height=HEIGHT, width=width,
            k=[focal, 0.0, 32.0, 0.0, focal, 24.0, 0.0, 0.0, 1.0]))
        self._depth.publish(Image(
            header=header, height=HEIGHT, width=WIDTH, encoding="32FC1", step=4 * WIDTH,
            data=values.tobytes()))
        self._client.camera.publish(rgb_to_msg(square(), header))
        return header

    def late(self, header: Header) -> None:
        """The depth of an image that was shown without any."""
        self._depth.publish(Image(
            header=header, height=HEIGHT, width=WIDTH, encoding="32FC1", step=4 * WIDTH,
            data=np.full((HEIGHT, WIDTH), 2.0, np.float32).tobytes()))

    def meet(self, poses: list) -> None:
        """Show the target until poses come."""
        deadline = time.monotonic() + TIMEOUT
        while not poses:
            assert time.monotonic() < deadline, "no pose came"
            self.show()
            self._client.spin(0.1)
        self._client.settle(square(0), "[]")
        poses.clear()

    def show_until(self, condition: Callable[[list[Header]], bool], what: str, **changes: object
                   ) -> list[Header]:
        """Show frames until the condition holds for their headers, which are returned."""
        deadline, headers = time.monotonic() + TIMEOUT, []
        while not condition(headers):
            assert time.monotonic() < deadline, what
            headers.append(self.show(**changes))
            self._client.spin(0.2)
        return headers


def placed(poses: list[PoseStamped], headers: list[Header]) -> list[PoseStamped]:
    """Those of these images."""
    return [pose for pose in poses if pose.header in headers]


def test_depth_without_values_and_wrong_camera_info_are_named_and_survived(scripted):
    depth, poses = Depth(scripted), scripted.listen(PoseStamped, "target_pose")
    depth.meet(poses)
    for changes, named in (
            ({"width": 2 * WIDTH}, "camera_info: expected 64x48 like depth, got 128x48"),
            ({"focal": 0.0}, "K of camera_info: expected positive focal lengths"),
            ({"metres": np.nan}, ""), ({"metres": np.inf}, ""), ({"metres": -1.0}, "")):
        headers = depth.show_until(
            lambda sent, text=named: len(sent) > 2 and text in scripted.process.text,
            f"{named!r} on the log", **changes)
        scripted.of(headers[-1], scripted.masks)
        good = depth.show_until(lambda sent: bool(placed(poses, sent)), "the next pose comes")
        assert not placed(poses, headers)
        assert placed(poses, good)[-1].pose.position.z == 2.0


@pytest.mark.parametrize("scripted", [{"predict": True}], indirect=True)
def test_a_lost_target_has_no_pose_and_for_a_moment_a_predicted_one(scripted):
    depth = Depth(scripted)
    poses, predicted = (scripted.listen(PoseStamped, "target_pose"),
                        scripted.listen(PoseStamped, "predicted_pose"))
    deadline = time.monotonic() + TIMEOUT
    after_loss: list[PoseStamped] = []
    while not after_loss:  # once more if this machine was too slow for the half second
        assert time.monotonic() < deadline, "no prediction came"
        poses.clear()
        while len(poses) < 5:
            assert time.monotonic() < deadline, "no pose came"
            depth.show()
            scripted.spin(0.05)
        scripted.spin(0.1)
        measured = len(poses)
        predicted.clear()
        header = depth.show(2.0, ["cup", "the red cup", 1, 0.1])
        scripted.spin(0.3)
        after_loss = [pose for pose in predicted if pose.header.stamp != header.stamp]
        # Not yet LOST on the first frame, and on the third it is.
        depth.show(2.0, ["cup", "the red cup", 1, 0.1])
        scripted.spin(0.1)
        lost = depth.show(2.0, ["cup", "the red cup", 1, 0.1])
        scripted.spin(0.3)
        assert lost not in [pose.header for pose in poses[measured:]]
    assert after_loss[0].pose.position.z == pytest.approx(2.0, abs=0.05)


@pytest.mark.skipif(LabelInfo is None,
                    reason="vision_msgs is neither installed nor built (make test does)")
def test_label_info_is_kept_for_late_subscribers_and_renewed_on_a_change(scripted):
    scripted.meet()
    scripted.show(square(), CUP)
    infos = scripted.listen(LabelInfo, "label_info",
                            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    scripted.wait(lambda: infos, "the last label_info comes")
    assert [entry.class_name for entry in infos[-1].class_map] == ["the red cup"]
    number = infos[-1].class_map[0].class_id
    for _ in range(3):
        scripted.show(square(), ["cup", "the blue cup", 2, 0.9])
        scripted.spin(0.2)
    scripted.wait(lambda: len(infos) >= 2, "the new sentence is told")
    assert [(entry.class_id, entry.class_name) for entry in infos[-1].class_map] == [
        (number, "the blue cup")]
    assert len(infos) == 2


def test_no_pose_or_cloud_of_an_earlier_frame_follows_that_of_a_later_one(scripted):
    depth = Depth(scripted)
    poses, clouds = (scripted.listen(PoseStamped, "target_pose"),
                     scripted.listen(PointCloud2, "target_cloud"))
    depth.meet(poses)
    headers = [scripted.show(square(), CUP) for _ in range(2)]
    scripted.of(headers[1], scripted.masks)
    scripted.spin(0.3)
    for header in (headers[1], headers[0]):
        depth.late(header)
        scripted.spin(0.3)
    last = depth.show()
    scripted.of(last, poses, clouds)
    for heard in (poses, clouds):
        stamps = [nanoseconds(message.header.stamp) for message in heard]
        assert stamps == sorted(stamps) and len(stamps) >= 2


def test_what_nobody_listens_to_is_not_made(plain_node, monkeypatch):
    made = []
    for name in ("mask_to_msg", "targets_to_msg", "paint_labels", "detections_to_msg",
                 "draw_overlay"):
        monkeypatch.setattr(outputs, name, lambda *_, name=name: made.append(name))
    results = ResultPublisher(plain_node, OutputSettings())
    results.start()
    rgb = square()
    results.publish(scripted_result(rgb, [CUP]), Header(), rgb)
    results.stop()
    assert results.labels == {"cup": 1} and not made
    results.destroy()


def test_several_cameras_of_a_node_have_their_topics_below_their_names(plain_node):
    before = topics_of(plain_node)
    results = [ResultPublisher(plain_node, OutputSettings(), f"~/{name}")
               for name in ("front", "rear")]
    for camera in results:
        camera.start()
    added = topics_of(plain_node) - before
    for name in ("front", "rear"):
        assert {f"/samwise/{name}/mask", f"/samwise/{name}/overlay/compressed",
                f"/samwise/{name}/target_pose", f"/{name}/depth", f"/{name}/camera_info"} <= added
    for camera in results:
        camera.stop()
        camera.destroy()
    assert topics_of(plain_node) == before


def topics_of(node: Node) -> set[str]:
    own = (node.get_name(), node.get_namespace())
    return {topic for topic, _ in (*node.get_publisher_names_and_types_by_node(*own),
                                   *node.get_subscriber_names_and_types_by_node(*own))}


@pytest.mark.parametrize("changes", [{"depth_slop": -0.1}, {"overlay_rate": -1.0}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match="got"):
        OutputSettings(**changes)
