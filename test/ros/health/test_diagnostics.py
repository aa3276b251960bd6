"""The node's health becomes the same story in ~/status and in /diagnostics."""

import math
import os

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (pip install 'samwise_ros[ros]' or apt)")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.serialization import deserialize_message, serialize_message
from ros_processes import touched_memory

from samwise_ros.ros.health.diagnostics import (
    CameraHealth,
    NodeHealth,
    health_to_diagnostics,
    health_to_status,
)
from samwise_ros.ros.health.monitor import StreamMonitor, resident_memory
from samwise_ros.ros.outputs.conversions import Status

STAMP = Time(sec=12, nanosec=345)
needs_own_messages = pytest.mark.skipif(
    Status is None, reason="the package was installed without its messages")


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def camera(monitor: StreamMonitor, **changes) -> CameraHealth:
    fields = {"topic": "/image", "stream": monitor.report(), "command": 2, "targets": ("cup",),
              "dropped": 5}
    return CameraHealth(**fields | changes)


def health(*cameras: CameraHealth, **changes) -> NodeHealth:
    fields = {"name": "/samwise", "model": "nano on cpu", "active": True, "idle_after": 2.0,
              "cameras": cameras}
    return NodeHealth(**fields | changes)


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


@needs_own_messages
def test_health_is_told_the_same_way_in_status_and_diagnostics():
    now = [0.0]
    monitor = StreamMonitor(lambda: now[0])
    for _ in range(5):
        now[0] += 0.5
        monitor.image_received()
        monitor.frame_answered(0.1)
    good = health(camera(monitor), memory=123_000_000)
    disabled = health(camera(monitor, enabled=False))
    placeless = health(camera(monitor, output_error="targets not placed: no focal length"))
    unplaced = health(camera(monitor, notice="no pose of cup: too far"))
    faulty = health(camera(monitor), fault="the GPU does not answer")
    monitor.frame_failed("frame not answered: too dark")
    bad = health(camera(monitor))
    monitor.frame_answered(0.1)
    now[0] += 3.0
    idle = health(camera(monitor))
    paused = health(camera(monitor), active=False)
    for case, level, ros_level, text in (
            (good, Status.OK, DiagnosticStatus.OK, "answering"),
            (disabled, Status.OK, DiagnosticStatus.OK, "disabled"),
            (placeless, Status.ERROR, DiagnosticStatus.ERROR, "no focal length"),
            (unplaced, Status.OK, DiagnosticStatus.WARN, "frames; no pose of cup: too far"),
            (faulty, Status.ERROR, DiagnosticStatus.ERROR, "GPU does not answer"),
            (bad, Status.ERROR, DiagnosticStatus.ERROR, "too dark"),
            (idle, Status.IDLE, DiagnosticStatus.WARN, "no image on /image for 3.0 s"),
            (paused, Status.OK, DiagnosticStatus.OK, "not active")):
        status = through_the_wire(health_to_status(case, STAMP))
        diagnostics = through_the_wire(health_to_diagnostics(case, STAMP))
        assert isinstance(diagnostics, DiagnosticArray) and len(diagnostics.status) == 1
        assert status.level == level and diagnostics.status[0].level == ros_level
        assert text in status.message and status.message == diagnostics.status[0].message
    values = values_of(health_to_diagnostics(good, STAMP).status[0])
    assert values["rate [1/s]"] == values["input rate [1/s]"] == "2.00"
    assert values["dropped"] == "5" and values["latency p95 [ms]"] == "100.0"
    assert values["memory [MB]"] == "123.0" and values["GPU memory [MB]"] == ""


@needs_own_messages
def test_of_several_cameras_the_status_tells_the_sums_and_the_worst():
    now = [0.0]
    monitors = [StreamMonitor(lambda: now[0]) for _ in range(2)]
    for _ in range(3):
        now[0] += 1.0
        for monitor in monitors:
            monitor.image_received()
    monitors[0].frame_answered(0.2)
    monitors[1].frame_failed("frame not answered: too dark")
    cameras = [camera(monitor, name=name, topic=f"/{name}/image")
               for monitor, name in zip(monitors, ("left", "right"), strict=True)]
    status = health_to_status(health(*cameras), STAMP)
    assert (status.received, status.processed, status.failed, status.dropped) == (6, 1, 1, 10)
    assert status.level == Status.ERROR
    assert status.message == "right: frame not answered: too dark"
    assert list(status.targets) == ["left/cup", "right/cup"]
    assert status.latency_p50 == pytest.approx(0.2)  # the other camera has none yet
    assert math.isnan(health_to_status(health(cameras[1]), STAMP).latency_p50)

    left, right = health_to_diagnostics(health(*cameras), STAMP).status
    assert left.name == "/samwise: segmentation of left"
    assert left.level == DiagnosticStatus.OK and right.level == DiagnosticStatus.ERROR
    assert values_of(right)["image topic"] == "/right/image"


def test_memory_grows_with_what_is_held():
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("the system does not tell")
    before = resident_memory()
    with touched_memory(50_000_000):
        assert 40e6 < resident_memory() - before < 80e6
