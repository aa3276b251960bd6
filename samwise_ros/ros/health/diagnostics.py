"""The node's health as messages: ~/status of our own type, and the standard /diagnostics."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from samwise_ros.ros.health.monitor import StreamReport
from samwise_ros.ros.outputs.conversions import Status

_OK, _IDLE, _ERROR = 0, 1, 2
_LEVELS = {_OK: DiagnosticStatus.OK, _IDLE: DiagnosticStatus.WARN, _ERROR: DiagnosticStatus.ERROR}


@dataclass(frozen=True)
class CameraHealth:
    """How one camera is doing.

    Attributes:
        topic: Resolved name of the image topic.
        stream: Counts and latencies.
        name: Of the camera; empty for the only one.
        command: Number of the last accepted command.
        targets: Ids of what is being looked for.
        enabled: Whether images are answered.
        dropped: Images that were not answered because newer ones came or too many waited.
        waiting: Images that wait for their turn.
        output_error: What could not be published of the last frame.
        notice: Why the last frame's targets have no pose, though nothing failed.
        refusal: Why a command was not taken, and when; empty once a later one was.
    """

    topic: str
    stream: StreamReport
    name: str = ""
    command: int = 0
    targets: tuple[str, ...] = ()
    enabled: bool = True
    dropped: int = 0
    waiting: int = 0
    output_error: str = ""
    notice: str = ""
    refusal: str = ""

    @property
    def error(self) -> str:
        """What went wrong last with a frame, and with a command; empty when all is well."""
        frame = self.stream.error or self.output_error
        return "; ".join(filter(None, (frame, self.refusal)))


@dataclass(frozen=True)
class NodeHealth:
    """What both messages are made from.

    Attributes:
        name: Fully qualified name of the node.
        model: Description of model and device, empty while none is loaded.
        active: Whether the node is in its active state.
        idle_after: Seconds without an image that count as idle.
        cameras: At least one.
        fault: What is wrong with the device, or why the node could not be configured; empty when
            nothing is.
        retries: Frames that were answered only after freeing memory.
        memory, device_memory: Bytes that the process occupies; None where unknown or without GPU.
    """

    name: str
    model: str
    active: bool
    idle_after: float
    cameras: tuple[CameraHealth, ...]
    fault: str = ""
    retries: int = 0
    memory: int | None = None
    device_memory: int | None = None

    def idle(self, camera: CameraHealth) -> bool:
        """Whether images should come from this camera but don't."""
        return self.active and camera.stream.idle > self.idle_after

    def level(self, camera: CameraHealth) -> int:
        """OK, IDLE or ERROR as numbered in Status.msg."""
        if self.fault or camera.error:
            return _ERROR
        return _IDLE if self.idle(camera) else _OK

    def message(self, camera: CameraHealth) -> str:
        """One line for people."""
        if self.fault or camera.error:
            return self.fault or camera.error
        if not self.active:
            return "not active"
        if self.idle(camera):
            return f"no image on {camera.topic} for {camera.stream.idle:.1f} s"
        if not camera.enabled:
            return "disabled: frames are not answered"
        if not camera.targets:
            return "answering frames; no target asked for"
        return f"answering frames; {camera.notice}" if camera.notice else "answering frames"


def health_to_status(health: NodeHealth, stamp: Time) -> Any:
    """NodeHealth -> samwise_ros/Status: of several cameras the sums, and the worst of each."""
    cameras = health.cameras
    streams = [camera.stream for camera in cameras]
    level = max(map(health.level, cameras))
    worst = next(camera for camera in cameras if health.level(camera) == level)
    prefix = f"{worst.name}: " if worst.name and not health.fault else ""
    return Status(
        stamp=stamp, level=level, message=prefix + health.message(worst), model=health.model,
        command=max(camera.command for camera in cameras),
        targets=[f"{camera.name}/{target}" if camera.name else target
                 for camera in cameras for target in camera.targets],
        received=sum(stream.received for stream in streams),
        processed=sum(stream.processed for stream in streams),
        dropped=sum(camera.dropped for camera in cameras),
        failed=sum(stream.failed for stream in streams),
        rate=sum(stream.rate for stream in streams),
        latency_p50=_largest(stream.latency_p50 for stream in streams),
        latency_p95=_largest(stream.latency_p95 for stream in streams))


def health_to_diagnostics(health: NodeHealth, stamp: Time) -> DiagnosticArray:
    """NodeHealth -> diagnostic_msgs/DiagnosticArray with one entry for each camera."""
    message = DiagnosticArray(status=[_camera_to_msg(health, camera) for camera in health.cameras])
    message.header.stamp = stamp
    return message


def _camera_to_msg(health: NodeHealth, camera: CameraHealth) -> DiagnosticStatus:
    stream = camera.stream
    values = {
        "model": health.model, "state": "active" if health.active else "not active",
        "enabled": camera.enabled, "image topic": camera.topic, "command": camera.command,
        "targets": ", ".join(camera.targets), "received": stream.received,
        "processed": stream.processed, "dropped": camera.dropped, "waiting": camera.waiting,
        "failed": stream.failed, "input rate [1/s]": f"{stream.input_rate:.2f}",
        "rate [1/s]": f"{stream.rate:.2f}",
        "latency p50 [ms]": f"{1e3 * stream.latency_p50:.1f}",
        "latency p95 [ms]": f"{1e3 * stream.latency_p95:.1f}",
        "refused command": camera.refusal, "no pose": camera.notice,
        "memory resets": stream.resets, "last memory reset": stream.last_reset,
        "out-of-memory retries": health.retries, "memory [MB]": _megabytes(health.memory),
        "GPU memory [MB]": _megabytes(health.device_memory),
    }
    level = health.level(camera)
    part = f"segmentation of {camera.name}" if camera.name else "segmentation"
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if level == _OK and camera.notice else _LEVELS[level],
        name=f"{health.name}: {part}",
        message=health.message(camera), hardware_id="",
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])


def _largest(values: Iterable[float]) -> float:
    """Largest value that is not NaN; NaN when there is none."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f}"
