"""Publishes once a second how the node is doing."""

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

from samwise_ros.ros.health.diagnostics import (
    CameraHealth,
    NodeHealth,
    health_to_diagnostics,
    health_to_status,
)
from samwise_ros.ros.health.monitor import StreamMonitor, resident_memory
from samwise_ros.ros.limited_log import LimitedLog
from samwise_ros.ros.node.camera_group import CameraGroup
from samwise_ros.ros.node.camera_stream import CameraStream
from samwise_ros.ros.node.engine import Engine
from samwise_ros.ros.outputs.conversions import Status
from samwise_ros.ros.outputs.publishers import LATCHED_QOS, create_publisher

_PERIOD = 1.0  # seconds


class HealthReporter:
    """Sends ~/status and /diagnostics, and names cameras that are silent in the log.

    Args:
        node: That has the publishers, always on, whatever its lifecycle state.
        snapshot: Says what there is: engine and cameras (None while nothing is configured), and
            whether the node is active.
        failure: Why the node could not be configured; empty: it could, or was not told to.
        early_refusal: Why a command was not taken while nothing is configured; empty: none was.
        told: Called with what both messages are made from.
    """

    def __init__(self, node: Node,
                 snapshot: Callable[[], tuple[Engine | None, CameraGroup | None, bool]],
                 failure: Callable[[], str], early_refusal: Callable[[], str],
                 told: Callable[[NodeHealth], None]) -> None:
        self._node = node
        self._log = LimitedLog(node, seconds=10.0)
        self._snapshot = snapshot
        self._failure = failure
        self._early_refusal = early_refusal
        self._told = told
        self._unused = StreamMonitor()
        self._diagnostics = create_publisher(
            node, DiagnosticArray, "/diagnostics", QoSProfile(depth=10), steady=True)
        self._status = (None if Status is None else
                        create_publisher(node, Status, "~/status", LATCHED_QOS, steady=True))
        # Steady, because with use_sim_time and no clock nobody would learn what is missing.
        node.create_timer(_PERIOD, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Send both messages."""
        engine, group, active = self._snapshot()
        streams = {} if group is None else group.streams
        health = NodeHealth(
            name=self._node.get_fully_qualified_name(),
            model="" if engine is None else engine.description,
            active=active,
            idle_after=self._node.get_parameter("image_timeout").value,
            cameras=self._cameras(streams),
            fault=self._failure() if group is None else group.guard.fault,
            retries=0 if group is None else group.guard.retries,
            memory=resident_memory(),
            device_memory=None if engine is None else engine.device_memory)
        self._told(health)
        stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(health_to_diagnostics(health, stamp))
        if self._status is not None:
            self._status.publish(health_to_status(health, stamp))
        for camera in health.cameras:
            if health.idle(camera) and camera.name in streams:
                offered = streams[camera.name].input.describe_publishers()
                self._log.warning(f"{health.message(camera)}; {offered}",
                                  about=f"{camera.name}: {offered}")

    def _cameras(self, streams: Mapping[str, CameraStream]) -> tuple[CameraHealth, ...]:
        if not streams:
            topic = self._node.resolve_topic_name("image")
            return (CameraHealth(topic=topic, stream=self._unused.report(),
                                 refusal=self._early_refusal()),)
        return tuple(
            CameraHealth(
                topic=stream.input.topic, stream=stream.monitor.report(), name=name,
                command=stream.command, targets=tuple(t[0] for t in stream.session.targets),
                enabled=stream.enabled, dropped=stream.dropped, waiting=stream.waiting,
                output_error=stream.outputs.error, notice=stream.outputs.notice,
                refusal=stream.refusal)
            for name, stream in streams.items())
