"""Counts and latencies of one camera's stream. Standard library and NumPy only."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_WINDOW = 200  # answers that rate and percentiles look back on


@dataclass(frozen=True)
class StreamReport:
    """A snapshot of `StreamMonitor`.

    Attributes:
        received, processed, failed: Images since activation.
        idle: Seconds since the last image came (or since activation).
        input_rate, rate: Images and answers per second over the last ones; 0 when there are fewer
            than two.
        latency_p50, latency_p95: Seconds from the image's stamp to its answer; NaN before one.
        resets: Times that memory was reset.
        last_reset: Why, the last time; empty before one.
        error: What the last frame failed with; empty once one has succeeded since.
    """

    received: int
    processed: int
    failed: int
    idle: float
    input_rate: float
    rate: float
    latency_p50: float
    latency_p95: float
    resets: int
    last_reset: str
    error: str


class StreamMonitor:
    """Collects what a report needs; every method may be called from any thread.

    Args:
        clock: Steady time in seconds; a test can pass its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._received = self._processed = self._failed = self._resets = 0
        self._last_image = clock()
        self._arrivals: deque[float] = deque(maxlen=_WINDOW)
        self._answers: deque[tuple[float, float]] = deque(maxlen=_WINDOW)  # (when, latency)
        self._last_reset = self._error = ""

    def image_received(self) -> None:
        """Count an image that arrived."""
        with self._lock:
            self._received += 1
            self._last_image = self._clock()
            self._arrivals.append(self._last_image)

    def frame_taken(self) -> None:
        """The worker begins with a frame. Not counted; a benchmark's monitor notes the time."""

    def frame_answered(self, latency: float) -> None:
        """Count an answer that was published `latency` seconds after its image's stamp."""
        with self._lock:
            self._processed += 1
            self._answers.append((self._clock(), latency))
            self._error = ""

    def frame_failed(self, reason: str) -> None:
        """Count a frame that could not be answered."""
        with self._lock:
            self._failed += 1
            self._error = reason

    def memory_reset(self, reason: str) -> None:
        """Count a reset."""
        with self._lock:
            self._resets += 1
            self._last_reset = reason

    def report(self) -> StreamReport:
        """Everything so far."""
        with self._lock:
            now = self._clock()
            latencies = [latency for _, latency in self._answers]
            p50, p95 = (np.percentile(latencies, (50, 95)) if latencies
                        else (float("nan"), float("nan")))
            return StreamReport(
                received=self._received, processed=self._processed, failed=self._failed,
                idle=now - self._last_image, input_rate=_rate(self._arrivals, now),
                rate=_rate([when for when, _ in self._answers], now), latency_p50=float(p50),
                latency_p95=float(p95), resets=self._resets, last_reset=self._last_reset,
                error=self._error)


def _rate(times: Sequence[float], now: float) -> float:
    """Events per second.

    Up to now rather than up to the last one: a stream that stalls shows a falling rate.
    """
    span = now - times[0] if len(times) > 1 else 0.0
    return (len(times) - 1) / span if span > 0 else 0.0


def with_time(reason: str) -> str:
    """A reason that stays on show, with the time at which it arose."""
    return f"{reason} (at {time.strftime('%H:%M:%S', time.gmtime())} UTC)"


def resident_memory() -> int | None:
    """Bytes of main memory that this process occupies; None where the system doesn't tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
