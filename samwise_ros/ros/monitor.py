"""Counts and latencies of one camera's stream. Standard library and NumPy only."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_WINDOW = 200  # answers that rate and percentiles look back on


@dataclass(frozen=True)
class StreamReport:
    """A snapshot of `StreamMonitor`.

    Attributes:
        received, processed, failed: Images since activation.
        idle: Seconds since the last image came (or since activation).
        rate: Answers per second over the last answers; 0 when there are fewer than two.
        latency_p50, latency_p95: Seconds from the image's stamp to its answer; NaN before one.
        error: What the last frame or command failed with; empty once one has succeeded since.
    """

    received: int
    processed: int
    failed: int
    idle: float
    rate: float
    latency_p50: float
    latency_p95: float
    error: str


class StreamMonitor:
    """Collects what a report needs; every method may be called from any thread.

    Args:
        clock: Steady time in seconds; a test can pass its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._received = self._processed = self._failed = 0
        self._last_image = clock()
        self._answers: deque[tuple[float, float]] = deque(maxlen=_WINDOW)  # (when, latency)
        self._error = ""

    def image_received(self) -> None:
        """Count an image that arrived."""
        with self._lock:
            self._received += 1
            self._last_image = self._clock()

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

    def command_failed(self, reason: str) -> None:
        """Keep the reason why a command was refused until the next answer."""
        with self._lock:
            self._error = reason

    def report(self) -> StreamReport:
        """Everything so far."""
        with self._lock:
            now = self._clock()
            times = [when for when, _ in self._answers]
            latencies = [latency for _, latency in self._answers]
            p50, p95 = (np.percentile(latencies, (50, 95)) if latencies
                        else (float("nan"), float("nan")))
            # Up to now rather than up to the last answer: a stalled stream shows a falling rate.
            span = now - times[0] if len(times) > 1 else 0.0
            return StreamReport(
                received=self._received, processed=self._processed, failed=self._failed,
                idle=now - self._last_image, rate=(len(times) - 1) / span if span > 0 else 0.0,
                latency_p50=float(p50), latency_p95=float(p95), error=self._error)
