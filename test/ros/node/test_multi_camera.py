"""Several cameras on one model: two camera processes, the node in a third."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import Client, RosProcess, StandIn, mask_array
from sensor_msgs.msg import Image
from std_msgs.msg import String

from samwise_ros.ros.outputs.conversions import TargetArray

needs_own_messages = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")
CAMERAS = {"front": ("30", (64, 48), 8), "wrist": ("15", (96, 40), 40)}  # rate, (W, H), column


class Rig:
    """The node with two cameras, and what comes back from each."""

    def __init__(self, standin: StandIn, seconds: str) -> None:
        self.process, self.client = standin.start(
            "--ros-args", "-p", "cameras:=['front', 'wrist']", "-p", "image_timeout:=0.5",
            STANDIN_SECONDS=seconds)
        self._standin = standin
        self.began = time.monotonic()
        node = self.client.node
        self.masks: dict[str, list[Image]] = {name: [] for name in CAMERAS}
        self.targets: dict[str, list[object]] = {name: [] for name in CAMERAS}
        self._commands = {}
        for name in CAMERAS:
            node.create_subscription(Image, f"/samwise/{name}/mask", self.masks[name].append, 50)
            if TargetArray is not None:
                node.create_subscription(
                    TargetArray, f"/samwise/{name}/targets", self.targets[name].append, 50)
            self._commands[name] = node.create_publisher(String, f"{name}/command", 10)
        self.client.lifecycle.run("up")
        self.client.command("the red square")
        self.cameras = {name: self.start_camera(name) for name in CAMERAS}
        for name in CAMERAS:
            self.wait_for_answers(name, 1)

    def start_camera(self, name: str) -> RosProcess:
        rate, (width, height), column = CAMERAS[name]
        return self._standin.run(
            ["test/helpers/ros_standin_camera.py", name, rate, f"{width}x{height}", str(column),
             "--ros-args", "-r", f"image:={name}/image"], name)

    def command(self, name: str, text: str) -> None:
        """A command for one camera."""
        publisher = self._commands[name]
        self.client.wait(lambda: publisher.get_subscription_count() > 0, "the node listens")
        publisher.publish(String(data=text))

    def wait_for_answers(self, name: str, count: int) -> None:
        """Wait for that many more masks of a camera."""
        count += len(self.masks[name])
        self.client.wait(lambda: len(self.masks[name]) >= count, f"{count} answers to {name}")

    def expressions(self, name: str) -> list[str]:
        """What is looked for on the last answer to a camera."""
        return [target.expression for target in self.targets[name][-1].targets] \
            if self.targets[name] else []


@pytest.fixture
def rig(standin):
    return Rig(standin, seconds="0.1")


def test_answers_come_in_fair_turns_and_are_never_mixed(rig):
    client: Client = rig.client
    client.spin(1.0)
    before = {name: len(masks) for name, masks in rig.masks.items()}
    rig.wait_for_answers("wrist", 15)
    elapsed = time.monotonic() - rig.began
    front, wrist = (len(rig.masks[name]) - before[name] for name in ("front", "wrist"))
    # Both cameras are faster than their half of the model: turns, so one answer each.
    assert sum(map(len, rig.masks.values())) <= elapsed / 0.1
    assert 0.5 <= front / wrist <= 2.0, (front, wrist)
    for name, (_, (width, height), column) in CAMERAS.items():
        expected = np.zeros((height, width), np.uint8)
        expected[4:12, column:column + 8] = 255
        stamps = [(mask.header.stamp.sec, mask.header.stamp.nanosec) for mask in rig.masks[name]]
        assert stamps == sorted(set(stamps))
        assert {mask.header.frame_id for mask in rig.masks[name]} == {name}
        assert {(mask.width, mask.height) for mask in rig.masks[name]} == {(width, height)}
        np.testing.assert_array_equal(mask_array(rig.masks[name][-1]), expected)
    assert not client.masks  # ~/mask belongs to a single camera
    assert "memory reset" not in rig.process.text


@needs_own_messages
def test_a_camera_has_commands_of_its_own_and_the_global_one_reaches_all(rig):
    client: Client = rig.client
    client.wait(lambda: rig.expressions("front") == rig.expressions("wrist") == ["the red square"],
                "the global command reached both")
    rig.command("wrist", "the bolt")
    client.wait(lambda: rig.expressions("wrist") == ["the bolt"], "the wrist's own command")
    rig.wait_for_answers("front", 3)
    assert rig.expressions("front") == ["the red square"]
    client.command("the door")
    client.wait(lambda: rig.expressions("front") == rig.expressions("wrist") == ["the door"],
                "another command for both")
    assert all(message.header.frame_id == name
               for name, messages in rig.targets.items() for message in messages)


def test_a_camera_that_dies_does_not_hold_up_the_other(rig):
    client: Client = rig.client
    rig.cameras["front"].crash()
    client.wait(lambda: "no image on /front/image" in
                client.diagnosis("segmentation of front").message, "its silence is told")
    rig.wait_for_answers("wrist", 10)
    client.wait(lambda: client.diagnosis("segmentation of wrist").message == "answering frames"
                and "no image" in client.diagnosis("segmentation of front").message,
                "one is silent, the other is answered")
    rig.start_camera("front")
    rig.wait_for_answers("front", 3)
    assert rig.process.alive and "memory reset" not in rig.process.text


def test_each_of_two_silent_cameras_is_named_on_the_log(standin):
    process, client = standin.start("--ros-args", "-p", "cameras:=['front', 'wrist']", "-p",
                                    "image_timeout:=0.3")
    client.lifecycle.run("up")
    for name in CAMERAS:
        client.wait(lambda name=name: f"nobody publishes /{name}/image" in process.text,
                    f"{name} is named")
