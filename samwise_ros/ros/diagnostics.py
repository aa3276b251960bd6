"""The node's health as messages: ~/status of our own type, and the standard /diagnostics."""

from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from samwise_ros.ros.conversions import Status
from samwise_ros.ros.monitor import StreamReport

_OK, _IDLE, _ERROR = 0, 1, 2
_LEVELS = {_OK: DiagnosticStatus.OK, _IDLE: DiagnosticStatus.WARN, _ERROR: DiagnosticStatus.ERROR}


@dataclass(frozen=True)
class NodeHealth:
    """What both messages are made from.

    Attributes:
        name: Fully qualified name of the node.
        model: Description of model and device, empty while none is loaded.
        active: Whether the node is in its active state.
        topic: Resolved name of the image topic.
        command: Number of the last accepted command.
        targets: Ids of what is being looked for.
        dropped: Images replaced before their turn.
        idle_after: Seconds without an image that count as idle.
        stream: Counts and latencies.
    """

    name: str
    model: str
    active: bool
    topic: str
    command: int
    targets: tuple[str, ...]
    dropped: int
    idle_after: float
    stream: StreamReport

    @property
    def idle(self) -> bool:
        """Whether images should come but don't."""
        return self.active and self.stream.idle > self.idle_after

    @property
    def level(self) -> int:
        """OK, IDLE or ERROR as numbered in Status.msg."""
        if self.stream.error:
            return _ERROR
        return _IDLE if self.idle else _OK

    @property
    def message(self) -> str:
        """One line for people."""
        if self.stream.error:
            return self.stream.error
        if not self.active:
            return "not active"
        if self.idle:
            return f"no image on {self.topic} for {self.stream.idle:.1f} s"
        return "answering frames" if self.targets else "answering frames; no target asked for"


def health_to_status(health: NodeHealth, stamp: Time) -> Any:
    """NodeHealth -> samwise_ros/Status."""
    stream = health.stream
    return Status(
        stamp=stamp, level=health.level, message=health.message, model=health.model,
        command=health.command, targets=list(health.targets), received=stream.received,
        processed=stream.processed, dropped=health.dropped, failed=stream.failed,
        rate=stream.rate, latency_p50=stream.latency_p50, latency_p95=stream.latency_p95)


def health_to_diagnostics(health: NodeHealth, stamp: Time) -> DiagnosticArray:
    """NodeHealth -> diagnostic_msgs/DiagnosticArray with one entry."""
    stream = health.stream
    values = {
        "model": health.model, "image topic": health.topic, "command": health.command,
        "targets": ", ".join(health.targets), "received": stream.received,
        "processed": stream.processed, "dropped": health.dropped, "failed": stream.failed,
        "rate [1/s]": f"{stream.rate:.2f}",
        "latency p50 [ms]": f"{1e3 * stream.latency_p50:.1f}",
        "latency p95 [ms]": f"{1e3 * stream.latency_p95:.1f}",
    }
    status = DiagnosticStatus(
        level=_LEVELS[health.level], name=f"{health.name}: segmentation", message=health.message,
        hardware_id="", values=[KeyValue(key=key, value=str(value))
                                for key, value in values.items()])
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
