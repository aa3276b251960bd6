"""How images get into the node: transports, qualities of service, every frame or the newest."""

import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from builtin_interfaces.msg import Time
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from ros_processes import Client, frame_with_square, mask_array
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from samwise_ros.ros.node.parameters import NodeParameters
from samwise_ros.ros.outputs.conversions import TargetArray, rgb_to_msg

RELIABLE = QoSReliabilityPolicy.RELIABLE
BEST_EFFORT = QoSReliabilityPolicy.BEST_EFFORT
needs_own_messages = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")


def now(client: Client) -> Header:
    return Header(stamp=client.node.get_clock().now().to_msg(), frame_id="camera")


def answer(client: Client, publisher: object, make: object, full: bool = False) -> Image:
    """Publish `make()` until a mask comes (`full`: one that is not empty)."""
    client.wait(lambda: publisher.get_subscription_count() > 0, "the node listens")
    count = len(client.masks)

    def answered() -> bool:
        publisher.publish(make())
        client.spin(0.2)
        return len(client.masks) > count and (any(client.masks[-1].data) or not full)

    client.wait(answered, "a mask")
    return client.masks[-1]


@pytest.mark.parametrize("rule, topic", [
    ("image:=cam/color", "/cam/color/compressed"), ("image/compressed:=cam/jpeg", "/cam/jpeg")])
def test_compressed_images_are_answered_wherever_they_are_remapped_from(standin, rule, topic):
    _, client = standin.start("--ros-args", "-p", "image_transport:=compressed", "-r", rule)
    client.lifecycle.run("up")
    client.command("the red square")
    publisher = client.node.create_publisher(CompressedImage, topic, 5)
    bgr = cv2.cvtColor(frame_with_square(), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".png", bgr)[1].tobytes()
    header = now(client)
    mask = answer(client, publisher, lambda: CompressedImage(
        header=header, format="rgb8; png compressed bgr8", data=data), full=True)
    assert mask.header == header
    np.testing.assert_array_equal(mask_array(mask), frame_with_square()[..., 0])


def test_a_compressed_image_that_is_cut_off_is_named_and_survived(standin):
    process, client = standin.start("--ros-args", "-p", "image_transport:=compressed")
    client.lifecycle.run("up")
    publisher = client.node.create_publisher(CompressedImage, "image/compressed", 5)
    data = cv2.imencode(".png", frame_with_square())[1].tobytes()
    bad = CompressedImage(header=now(client), format="png", data=data[:50])
    client.wait(lambda: publisher.get_subscription_count() > 0, "the node listens")

    def named() -> bool:
        publisher.publish(bad)
        client.spin(0.2)
        return "compressed image of 50 bytes, format 'png'" in process.text

    client.wait(named, "the bad image is named")
    assert answer(client, publisher, lambda: CompressedImage(
        header=now(client), format="png", data=data)).width == 321


@pytest.mark.parametrize("reliability", [RELIABLE, BEST_EFFORT])
@pytest.mark.parametrize("durability", list(QoSDurabilityPolicy)[1:3])
def test_every_kind_of_camera_connects(standin, reliability, durability):
    assert durability in (QoSDurabilityPolicy.VOLATILE, QoSDurabilityPolicy.TRANSIENT_LOCAL)
    _, client = standin.start()
    client.lifecycle.run("up")
    camera = client.node.create_publisher(Image, "image", QoSProfile(
        depth=2, reliability=reliability, durability=durability))
    answer(client, camera, lambda: rgb_to_msg(frame_with_square(), now(client)))


def test_silence_is_explained_by_topic_and_offered_quality_of_service(standin):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable", "-p",
                                    "image_timeout:=0.3")
    client.node.destroy_publisher(client.camera)
    began = time.monotonic()
    client.lifecycle.run("up")
    client.wait(lambda: "nobody publishes /image; check the name" in process.text, "a warning")
    client.wait(lambda: "no image on /image for" in client.diagnosis().message,
                "diagnostics say it, too")
    client.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=BEST_EFFORT))
    client.wait(lambda: "offered by test_client (sensor_msgs/msg/Image, best_effort), asked for as "
                "sensor_msgs/msg/Image, reliable" in process.text, "the mismatch is named")
    # Each cause every ten seconds at most.
    assert process.text.count("nobody publishes") <= 1 + (time.monotonic() - began) / 10


def play(client: Client, frames: int) -> list[object]:
    """Publish frames in one go, stamped from 1000 s on; masks and targets as they come back."""
    player = client.node.create_publisher(Image, "image", QoSProfile(depth=2 * frames))
    # Stamped now: what follows is a jump back, so every run begins with an empty memory.
    client.ask(frame_with_square(48, 64))
    client.wait(lambda: player.get_subscription_count() > 0, "the node listens")
    client.settle(frame_with_square(48, 64))
    for number in range(frames):
        picture = frame_with_square(48, 64)
        picture[:, :number] = 0
        header = Header(stamp=Time(sec=1000 + number, nanosec=number), frame_id="bag")
        player.publish(rgb_to_msg(picture, header))
    client.wait(lambda: len(client.masks) >= frames and len(client.targets) >= frames,
                "every frame is answered")
    assert [mask.header.stamp.sec for mask in client.masks] == [
        1000 + number for number in range(frames)]
    assert [targets.targets[0].age for targets in client.targets] == list(range(frames))
    # The messages: serialised they would differ in the padding between fields, which is arbitrary.
    return [*client.masks, *client.targets]


@needs_own_messages
def test_process_all_answers_every_frame_in_order_and_twice_the_same_bytes(standin):
    arguments = ("--ros-args", "-p", "process_all:=true", "-p", "image_qos:=reliable", "-p",
                 "expression:=the red square")
    runs = []
    for _ in range(2):
        process, client = standin.start(*arguments, STANDIN_SECONDS="0.03")
        client.lifecycle.run("up")
        runs.append(play(client, 40))
        assert "memory reset: stamps jumped back" in process.text
        standin.close()
    assert runs[0] == runs[1]


def accounted_for(client: Client) -> bool:
    """Whether the last diagnostics say that every image was answered or dropped."""
    received, processed, dropped = (int(client.value(key) or -1) for key in (
        "received", "processed", "dropped"))
    return received == processed + dropped


def test_process_all_says_loudly_what_does_not_fit(standin):
    process, client = standin.start(
        "--ros-args", "-p", "process_all:=true", "-p", "image_qos:=reliable", "-p", "queue_size:=3",
        STANDIN_SECONDS="0.5")
    client.lifecycle.run("up")
    began = time.monotonic()
    client.ask(frame_with_square(24, 32))
    client.wait(lambda: accounted_for(client) and int(client.value("received")) == client.sent,
                "what came so far is answered")
    player = client.node.create_publisher(Image, "image", QoSProfile(depth=100))
    client.wait(lambda: player.get_subscription_count() > 0, "the node listens")
    received = int(client.value("received"))
    for number in range(12):
        player.publish(rgb_to_msg(frame_with_square(24, 32), Header(
            stamp=Time(sec=2_000_000_000 + number))))
    client.wait(lambda: accounted_for(client) and int(client.value("received")) == received + 12,
                "all have arrived and are accounted for")
    dropped = int(client.value("dropped"))

    def answered() -> list[int]:
        numbers = [mask.header.stamp.sec - 2_000_000_000 for mask in client.masks]
        return [number for number in numbers if number >= 0]

    client.wait(lambda: len(answered()) == 12 - dropped, "the rest is answered")
    # How many fit depends on how long the machine takes to hand them over; those that did are kept.
    assert dropped > 0 and answered()[:3] == [0, 1, 2] and answered() == sorted(answered())
    assert "/image: 3 images wait, one more is dropped" in process.text
    assert process.text.count("images wait") <= 1 + time.monotonic() - began  # one a second


def test_process_all_keeps_as_many_answers_for_slow_subscribers_as_images_may_wait():
    assert NodeParameters(process_all=True, queue_size=70).outputs.history == 70
    assert NodeParameters(queue_size=70).outputs.history == 5  # a robot wants the newest
