"""Transforms at the image's stamp, around a stand-in for tf2's buffer."""

import os
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.context import Context
from rclpy.node import Node
from ros_processes import ROOT, Client, RosProcess, StandIn, new_domain
from std_msgs.msg import Header

from samwise_ros.ros.inputs import tf_lookup
from samwise_ros.ros.inputs.tf_lookup import TransformError, TransformLookup, rotation_matrix
from samwise_ros.ros.outputs import target_publisher
from samwise_ros.ros.outputs.output_settings import OutputSettings
from samwise_ros.ros.outputs.sender import Sender
from samwise_ros.structures import MissingDependencyError

HEADER = Header(stamp=Time(sec=12, nanosec=345), frame_id="eye")


class Buffer:
    """Knows one transform at one time, like tf2_ros.Buffer."""

    def __init__(self) -> None:
        self.asked = []
        self.cleared = 0

    def clear(self) -> None:
        self.cleared += 1

    def lookup_transform(self, target: str, source: str, time, timeout) -> TransformStamped:
        self.asked.append((target, source, time.nanoseconds))
        if time.nanoseconds != 12 * 10**9 + 345:
            raise RuntimeError("Lookup would require extrapolation into the future")
        found = TransformStamped()
        found.transform.translation.x = 1.0
        turn = found.transform.rotation  # optical axes -> x forward, y left, z up
        turn.x, turn.y, turn.z, turn.w = -0.5, 0.5, -0.5, 0.5
        return found


def test_the_transform_is_asked_for_at_the_stamp_of_the_image():
    buffer = Buffer()
    found = TransformLookup(None, "base_link", buffer).at(HEADER)
    assert buffer.asked == [("base_link", "eye", 12 * 10**9 + 345)]
    ahead = found.rotation @ [0.0, 0.0, 2.0] + found.translation  # 2 m before the camera
    np.testing.assert_allclose(ahead, [3.0, 0.0, 0.0], atol=1e-12)


def test_a_transform_that_is_not_there_is_named_with_both_frames():
    late = Header(stamp=Time(sec=99), frame_id="eye")
    with pytest.raises(TransformError, match="'eye' to 'base_link' at .*extrapolation"):
        TransformLookup(None, "base_link", Buffer()).at(late)


def test_a_jump_of_the_clock_clears_what_tf2_has_kept(monkeypatch):
    buffer = Buffer()
    monkeypatch.setattr(target_publisher, "TransformLookup",
                        lambda node, frame, camera: TransformLookup(node, frame, buffer, camera))
    context = Context()
    rclpy.init(context=context, domain_id=new_domain())
    node = Node("places", context=context)
    try:
        sender = Sender("places", print)
        places = target_publisher.TargetPublisher(
            node, OutputSettings(target_frame="base_link"), sender)
        places.reset()
        assert buffer.cleared == 1
        sender.close()
        places.destroy()
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_without_tf2_a_target_frame_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(tf_lookup, "tf2_ros", None)
    with pytest.raises(MissingDependencyError, match="tf2-ros-py, or leave target_frame empty"):
        TransformLookup(SimpleNamespace(), "base_link")


def test_a_quaternion_turns_vectors_like_the_rotation_that_it_stands_for():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_matrix(0, 0, half, half) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_matrix(half, 0, 0, half) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


@pytest.fixture
def node_with_tf(standin: StandIn) -> tuple[RosProcess, Client]:
    """The node as launch starts it, with a target_frame; the real tf2_ros where there is one."""
    path = [os.environ.get("PYTHONPATH", "")] if find_spec("tf2_ros") else [
        str(ROOT / "test" / "helpers" / "tf2_double")]
    return standin.start(
        "--ros-args", "-r", "__node:=samwise", "-r", "/tf:=/robot/tf", "-p",
        "target_frame:=base_link", PYTHONPATH=os.pathsep.join(filter(None, [
            str(ROOT), str(ROOT / "test" / "helpers"), *path])))


def test_transforms_are_heard_by_a_node_with_a_name_of_its_own(node_with_tf):
    process, client = node_with_tf
    client.lifecycle.run("up")
    names = client.node.get_node_names
    client.wait(lambda: "samwise_transforms" in names(), f"the second node is there: {names()}")
    client.spin(1.0)
    assert sorted(names()) == ["samwise", "samwise_transforms", "test_client"]
    services = client.node.get_service_names_and_types_by_node("samwise_transforms", "/")
    assert not [name for name, _ in services if "parameter" in name]
    publishers = client.node.get_publisher_names_and_types_by_node("samwise_transforms", "/")
    assert "/rosout" not in dict(publishers)
    assert client.node.count_subscribers("/robot/tf") == 1  # remapped as for every node here
    assert all(client.parameter("model") == "mini" for _ in range(8))
    assert "already registered" not in process.text


def test_each_cleanup_ends_the_listening_thread_and_ctrl_c_is_silent(node_with_tf):
    process, client = node_with_tf

    threads = []
    for _ in range(8):
        client.lifecycle.run("up")
        client.lifecycle.run("down")
        threads.append(psutil.Process(process.pid).num_threads())
    # The executor's pool starts a thread now and then; one left behind would make it one a trip.
    assert threads[-1] - threads[1] <= 3, threads
    client.lifecycle.run("up")
    assert process.interrupt() == 0
    assert "Traceback" not in process.text and "Exception" not in process.text, process.text
