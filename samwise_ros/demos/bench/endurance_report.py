"""Samples, verdict and picture of an endurance run. No ROS import.

The verdict's rules, on samples after warm-up (the first sixth of the run):

- memory: resident memory of the node rises by at most `MAX_RISE` MiB per hour, by the slope of the
  least-squares line;
- latency: its 95th percentile over the last third is at most `MAX_RATIO` times that over the first;
- handles: no more threads or open files at the end than at the most before the last third;
- answers: every sample has some;
- commands: the node has accepted each one that was given.
"""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from samwise_ros.streaming.pictures import write_png

MAX_RISE = 8.0
MAX_RATIO = 1.25
_LEAST_SAMPLES = 12  # fewer can't tell a slope from noise
_WARM_UP = 6  # the first sixth
_PLOT = (150, 900)  # height and width of one curve [px]
_MARGIN = 14


@dataclass(frozen=True)
class Sample:
    """What happened since the sample before.

    Attributes:
        minute: Since the start of the run.
        answered: Masks received.
        dropped: Images that the node replaced by newer ones.
        latency_ms_p50, latency_ms_p95: Camera stamp to mask received.
        cpu_ms: Processor time of the node per answer; hardly moved by other work on the machine.
        memory_mib: Resident memory of the node.
        threads, files: Of the node; files: open ones, sockets included.
        targets: That were looked for.
        with_mask: Share of the masks that were not empty.
        poses: Received, of the primary target.
        sent, accepted: Commands: given, and counted by the node.
        load: The machine's one-minute load average.
        level: 0, 1 or 2 (ok, idle, error), of the node's diagnostics.
        state: Their one line for people.
        event: Command given or transition made at its start.
        latencies: Seconds, one per answer.
    """

    minute: float
    answered: int
    dropped: int
    latency_ms_p50: float
    latency_ms_p95: float
    cpu_ms: float
    memory_mib: float
    threads: int
    files: int
    targets: int
    with_mask: float
    poses: int
    sent: int
    accepted: int
    load: float
    level: int
    state: str
    event: str
    latencies: tuple[float, ...] = field(default=(), repr=False)


COLUMNS = tuple(item.name for item in dataclasses.fields(Sample) if item.name != "latencies")


class SampleFile:
    """A CSV that grows with the run, so that an interrupted one leaves what it has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("w", newline="") as file:
            csv.writer(file).writerow(COLUMNS)

    def append(self, sample: Sample) -> None:
        """Add one line."""
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(getattr(sample, name) for name in COLUMNS)


def percentiles_ms(latencies: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile of seconds as milliseconds; NaN without any."""
    if not len(latencies):
        return float("nan"), float("nan")
    p50, p95 = np.percentile(np.asarray(latencies) * 1e3, (50, 95))
    return round(float(p50), 2), round(float(p95), 2)


def summarise(samples: Sequence[Sample]) -> dict:
    """Totals and verdict of a run of at least one sample; the rules are this module's."""
    everything = [value for sample in samples for value in sample.latencies]
    p50, p95 = percentiles_ms(everything)
    return {
        "minutes": samples[-1].minute,
        "answered": sum(sample.answered for sample in samples),
        "dropped": sum(sample.dropped for sample in samples),
        "poses": sum(sample.poses for sample in samples),
        "commands_sent": sum(sample.sent for sample in samples),
        "commands_accepted": sum(sample.accepted for sample in samples),
        "latency_ms_p50": p50, "latency_ms_p95": p95,
        "latency_ms_max": round(1e3 * max(everything), 2) if everything else None,
        "memory_mib_first": samples[0].memory_mib, "memory_mib_last": samples[-1].memory_mib,
        "errors": sum(sample.level == 2 for sample in samples),
        "verdict": judge(samples),
    }


def judge(samples: Sequence[Sample]) -> dict:
    """Figures behind each rule, and whether it holds; `passed` is None for too short a run."""
    warm = samples[len(samples) // _WARM_UP:]
    if len(warm) < _LEAST_SAMPLES:
        return {"passed": None,
                "reason": f"{len(warm)} samples after warm-up, {_LEAST_SAMPLES} are needed"}
    third = len(warm) // 3
    first, last = warm[:third], warm[-third:]
    rise = 60 * float(np.polyfit([sample.minute for sample in warm],
                                 [sample.memory_mib for sample in warm], 1)[0])
    p95 = [percentiles_ms([value for sample in part for value in sample.latencies])[1]
           for part in (first, last)]
    cpu = [float(np.mean([sample.cpu_ms for sample in part])) for part in (first, last)]
    before = warm[:-third]
    end = last[-1]
    rules = {
        "memory": rise <= MAX_RISE,
        "latency": p95[1] <= MAX_RATIO * p95[0],
        "handles": (end.threads <= max(sample.threads for sample in before)
                    and end.files <= max(sample.files for sample in before)),
        "answers": all(sample.answered for sample in samples),
        "commands": all(sample.accepted == sample.sent for sample in samples),
    }
    return {
        "passed": all(rules.values()), "rules": rules,
        "memory_mib_per_hour": round(rise, 2), "allowed_mib_per_hour": MAX_RISE,
        "latency_ms_p95_first_third": p95[0], "latency_ms_p95_last_third": p95[1],
        "latency_ratio": round(p95[1] / p95[0], 3), "allowed_ratio": MAX_RATIO,
        "cpu_ms_first_third": round(cpu[0], 2), "cpu_ms_last_third": round(cpu[1], 2),
    }


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Write memory, latency and processor time over the minutes as one PNG."""
    curves: tuple[tuple[str, Callable[[Sample], float]], ...] = (
        ("memory of the node [MiB]", lambda sample: sample.memory_mib),
        ("latency, median [ms]", lambda sample: sample.latency_ms_p50),
        ("latency, 95th percentile [ms]", lambda sample: sample.latency_ms_p95),
        ("processor time per answer [ms]", lambda sample: sample.cpu_ms))
    minutes = np.array([sample.minute for sample in samples])
    write_png(path, np.vstack([
        _curve(minutes, np.array([value(sample) for sample in samples], float), title)
        for title, value in curves]))


def _curve(minutes: np.ndarray, values: np.ndarray, title: str) -> np.ndarray:
    """uint8 RGB: one curve from zero up, its largest value written above."""
    height, width = _PLOT
    picture = np.full((height, width, 3), 255, np.uint8)
    values = np.nan_to_num(values)
    top = max(float(values.max()), 1e-9)
    x = _MARGIN + (width - 2 * _MARGIN) * minutes / max(float(minutes[-1]), 1e-9)
    y = height - _MARGIN - (height - 3 * _MARGIN) * values / top
    points = np.stack([x, y], 1).round().astype(np.int32)
    cv2.line(picture, (_MARGIN, height - _MARGIN), (width - _MARGIN, height - _MARGIN),
             (150, 150, 150), 1)
    cv2.polylines(picture, [points], False, (0, 114, 178), 2, cv2.LINE_AA)
    text = f"{title}: 0 to {top:.0f}, over {minutes[-1]:.0f} minutes"
    cv2.putText(picture, text, (_MARGIN, 2 * _MARGIN), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1,
                cv2.LINE_AA)
    return picture
