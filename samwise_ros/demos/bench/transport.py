"""What an image costs between two processes of one machine, by transport of Fast DDS.

A camera and a subscriber, nothing else, in processes of their own. All transports are gone through
in turn, several times, so that what else the machine does meets all of them. This process imports
no ROS.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from samwise_ros.demos.options import TransportOptions, to_argument
from samwise_ros.demos.process_group import ProcessGroup, share_file
from samwise_ros.ros.launch_arguments import profile_variable

# Fast DDS's built-in transports, and a profile.
TRANSPORTS = {
    "as it is": ("DEFAULT", ""),
    "config/fastdds.xml": ("DEFAULT", "config/fastdds.xml"),
    "LARGE_DATA": ("LARGE_DATA", ""),
    "UDP alone": ("UDPv4", ""),
}
_PATIENCE = 120.0  # seconds beside the images themselves


@dataclass
class Cost:
    """Of one kind of image by one transport; times in milliseconds, one entry per image or round.

    Attributes:
        size, encoding, transport: "1280x720", "rgb8" or "jpeg", key of TRANSPORTS.
        nbytes: Of the picture.
        serialise: Turning the message into bytes (part of `publish`).
        publish: The whole call.
        codec: Encoding and decoding the JPEG; 0 for rgb8.
        latency: From before `publish` to the subscriber's callback, by "best effort", "reliable".
        sent: Images, in the same way.
        camera_cpu, subscriber_cpu: Computed per image by the whole process; reliable images, all of
            which arrive.
    """

    size: str
    encoding: str
    transport: str
    nbytes: int = 0
    serialise: list[float] = field(default_factory=list)
    publish: list[float] = field(default_factory=list)
    codec: list[float] = field(default_factory=list)
    latency: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    camera_cpu: list[float] = field(default_factory=list)
    subscriber_cpu: list[float] = field(default_factory=list)

    def add(self, row: dict) -> None:
        """A burst, as transport_subscriber wrote it."""
        self.nbytes = row["nbytes"]
        self.sent[row["qos"]] += row["frames"]
        self.latency[row["qos"]] += row["latency"]
        self.codec.append(row["encode"] + row["decode"])
        if row["qos"] == "reliable":
            self.serialise.append(row["serialise"])
            self.publish += row["publish"]
            self.camera_cpu.append(row["camera_cpu"])
            self.subscriber_cpu.append(row["subscriber_cpu"])


def measure(options: TransportOptions) -> list[Cost]:
    """Run camera and subscriber with each transport in turn. Raises SamwiseError when one fails."""
    costs: dict[tuple[str, str, str], Cost] = {}
    for _ in range(options.rounds):
        for transport in TRANSPORTS:
            for row in _bursts(options, transport):
                key = row["size"], row["encoding"], transport
                costs.setdefault(key, Cost(*key)).add(row)
    order = list(TRANSPORTS)
    return sorted(costs.values(), key=lambda cost: (
        cost.encoding != "rgb8", options.sizes.index(cost.size), order.index(cost.transport)))


def table(costs: Sequence[Cost]) -> str:
    """The figures as Markdown: medians, latencies with their 95th percentile.

    The ratio is that of reliable latencies, to the transport "as it is".
    """
    head = ("image", "KB", "transport", "serialise [ms]", "publish [ms]", "JPEG [ms]",
            "best effort: latency [ms]", "lost", "reliable: latency [ms]", "lost", "ratio",
            "CPU camera, subscriber [ms]")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    usual = {(cost.size, cost.encoding): cost for cost in costs if cost.transport == "as it is"}
    for cost in costs:
        ratio = _median(cost.latency["reliable"]) / _median(
            usual[cost.size, cost.encoding].latency["reliable"])
        cells = (f"{cost.size} {cost.encoding}", f"{cost.nbytes / 1e3:.0f}", cost.transport,
                 f"{_median(cost.serialise):.2f}", f"{_median(cost.publish):.2f}",
                 f"{_median(cost.codec):.1f}" if cost.encoding == "jpeg" else "",
                 *_arrival(cost, "best effort"), *_arrival(cost, "reliable"), f"{ratio:.2f}",
                 f"{_median(cost.camera_cpu):.1f}, {_median(cost.subscriber_cpu):.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _arrival(cost: Cost, qos: str) -> tuple[str, str]:
    latency = cost.latency[qos]
    lost = f"{100 * (1 - len(latency) / cost.sent[qos]):.0f} %"
    if not latency:
        return "", lost
    return f"{_median(latency):.1f}, {np.percentile(latency, 95):.1f}", lost


def _median(values: Iterable[float]) -> float:
    return float(np.median(list(values) or [np.nan]))


def _environment(transports: str, profile: str) -> dict[str, str]:
    found = {
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp", "FASTDDS_BUILTIN_TRANSPORTS": transports,
        # With LOCALHOST ROS sets transports up by itself, and the line above counts for nothing.
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    if profile:
        found[profile_variable()] = str(share_file(profile))
    return found


def _bursts(options: TransportOptions, transport: str) -> Iterator[dict]:
    with tempfile.TemporaryDirectory(prefix="samwise_transport_") as folder:
        out = Path(folder, "bursts.json")
        group = ProcessGroup(Path(folder, "logs"), _environment(*TRANSPORTS[transport]))
        try:
            group.start("camera", "samwise_ros.demos.bench.transport_camera", to_argument(options))
            group.start("subscriber", "samwise_ros.demos.bench.transport_subscriber",
                        to_argument(options), str(out))
            seconds = 4 * len(options.sizes) * options.frames / options.rate
            group.wait_for("subscriber", _PATIENCE + 3 * seconds)
        finally:
            group.stop()
        yield from json.loads(out.read_text())
