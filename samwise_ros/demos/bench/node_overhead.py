"""What the node itself costs per frame, beside the model: hand-over, decoding, publishing.

The real node in this process, with a model that only waits. A camera and a listener to the mask and
the targets run in a process of their own, over DDS; one image is sent at a time. The way of the
image to the node is not counted: every subscriber pays it.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy

from samwise_ros.demos.bench.node_overhead_client import NAME, WARM_UP
from samwise_ros.demos.options import OverheadOptions, to_argument
from samwise_ros.ros.health.monitor import StreamMonitor
from samwise_ros.ros.node.node import SamwiseNode, run
from samwise_ros.streaming.target_tracker import TrackSettings
from samwise_ros.structures import (
    Box,
    Command,
    FrameResult,
    SamwiseError,
    TargetResult,
    TargetState,
)


@dataclass(frozen=True)
class Overhead:
    """Medians of one encoding, in milliseconds.

    Attributes:
        encoding: Of the images.
        handover: From the image's arrival in the callback until the worker has it.
        decoding: From there to the model.
        publishing: From the model's answer until mask and targets are published.
        total: Median of the sum of the three.
        quick: 10th percentile of that sum: what is left on a busy machine when nobody interferes.
        slow: 90th percentile.
        cpu: Median of what the threads computed for decoding and publishing; whatever else
            runs on the machine, waiting for a core is not in it.
        share: `total` as a part of the whole time from arrival to publication.
    """

    encoding: str
    handover: float
    decoding: float
    publishing: float
    total: float
    quick: float
    slow: float
    cpu: float
    share: float


class _Times(StreamMonitor):
    """Notes what happens to an image when: rows of times by the frame id of the image.

    A row holds the arrival and three pairs of wall and thread time: the worker has it, the model
    has it, the model's answer is there; then a last pair, the answer is published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[tuple[float, ...]]] = {}
        self.frame_id = ""
        self.arrived = 0.0
        self.taken = self.begun = self.ended = (0.0, 0.0)
        self._sent = 0.0  # what the thread of the answers had computed by the last one

    def image_received(self) -> None:
        """An image is there."""
        self.arrived = time.perf_counter()
        super().image_received()

    def frame_taken(self) -> None:
        """The worker has it."""
        self.taken = _now()

    def frame_answered(self, latency: float) -> None:
        """Mask and targets are published: the row is complete."""
        # In another thread: what it has computed since the last answer is this one's.
        now, sent = _now()
        answered = now, self.ended[1] + sent - self._sent
        self._sent = sent
        super().frame_answered(latency)
        self.rows.setdefault(self.frame_id, []).append(
            (self.arrived, *self.taken, *self.begun, *self.ended, *answered))


def _now() -> tuple[float, float]:
    """Wall time, and what this thread has computed."""
    return time.perf_counter(), time.thread_time()


class _WaitingModel:
    """Engine and session in one: waits, then marks a rectangle of a quarter of the image."""

    description = "a model that waits"
    device_memory = None
    targets = (("target", "the rectangle", 1),)
    command = 1
    tracking = TrackSettings()  # its states are what they are

    def __init__(self, seconds: float) -> None:
        self.times = _Times()
        self._seconds = seconds

    def new_session(self) -> "_WaitingModel":
        return self

    def submit(self, command: Command) -> int:
        return 1

    def reset(self) -> None:
        """Nothing is remembered."""

    def free_memory(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""

    def step(self, rgb: np.ndarray, stamp: Any = None) -> FrameResult:
        self.times.begun = _now()
        self.times.frame_id = stamp.frame_id
        time.sleep(self._seconds)
        height, width = rgb.shape[:2]
        box = Box(width // 4, height // 4, width // 4 + width // 2, height // 4 + height // 2)
        mask = np.zeros((height, width), bool)
        mask[height // 4:height // 4 + height // 2, width // 4:width // 4 + width // 2] = True
        target = TargetResult("target", "the rectangle", 1, TargetState.TRACKING, 2.0, mask, box,
                              int(mask.sum()), False, 0, np.zeros((4, 4), np.float32))
        self.times.ended = _now()
        return FrameResult(0, stamp, (height, width), (target,))


def measure(options: OverheadOptions) -> list[Overhead]:
    """Start node, camera and listener, and measure each encoding.

    Raises:
        SamwiseError: An image was not answered in time.
    """
    # Names and topics of its own, so that neither a robot's node nor its cameras get in the way.
    rclpy.init(args=["--ros-args", "-r", f"image:=/{NAME}/image", "-r",
                     f"command:=/{NAME}/command", "-p", "image_qos:=reliable"])
    model = _WaitingModel(options.model_ms / 1e3)
    node = SamwiseNode(lambda parameters: model, NAME, lambda: model.times)
    node.trigger_configure()
    node.trigger_activate()
    spinning = threading.Thread(target=run, args=(node,))
    spinning.start()
    try:
        client = subprocess.run(
            [sys.executable, "-m", "samwise_ros.demos.bench.node_overhead_client",
             to_argument(options)], stdout=subprocess.PIPE, text=True, check=False)
    finally:
        rclpy.try_shutdown()
        spinning.join()
    if client.returncode:
        raise SamwiseError(client.stdout.strip() or "overhead: the camera failed")
    return [_summary(encoding, model.times.rows[encoding][WARM_UP:])
            for encoding in options.encodings]


def table(rows: Sequence[Overhead]) -> str:
    """The figures as Markdown."""
    head = ("encoding", "hand-over [ms]", "decoding [ms]", "publishing [ms]", "all three [ms]",
            "10th, 90th percentile [ms]", "CPU [ms]", "of the whole")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {row.encoding} | {row.handover:.2f} | {row.decoding:.2f} | "
              f"{row.publishing:.2f} | {row.total:.2f} | {row.quick:.2f}, {row.slow:.2f} | "
              f"{row.cpu:.2f} | {100 * row.share:.1f} % |" for row in rows]
    return "\n".join(lines)


def _summary(encoding: str, rows: Sequence[tuple[float, ...]]) -> Overhead:
    arrived, *pairs = 1e3 * np.array(rows).T
    (taken, begun, ended, answered), cpu = pairs[::2], pairs[1::2]
    handover, decoding, publishing = taken - arrived, begun - taken, answered - ended
    total = handover + decoding + publishing
    quick, median, slow = np.percentile(total, (10, 50, 90))
    return Overhead(
        encoding, float(np.median(handover)), float(np.median(decoding)),
        float(np.median(publishing)), float(median), float(quick), float(slow),
        cpu=float(np.median(cpu[1] - cpu[0] + cpu[3] - cpu[2])),
        share=float(np.median(total / (answered - arrived))))
