"""What is left over by an activation disturbs no later one and keeps nothing alive."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from diagnostic_msgs.msg import DiagnosticStatus
from ros_processes import ROOT, frame_with_square, new_domain

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


def test_cleanup_lets_go_of_every_session_and_so_of_the_model():
    run = run_script(LET_GO)
    assert "answered True held 1" in run.stdout, run.stdout + run.stderr
    assert run.stdout.rstrip().endswith("held 0"), run.stdout


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
