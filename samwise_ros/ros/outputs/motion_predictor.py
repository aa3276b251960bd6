"""Where a target should be now, from where it was. NumPy only, no ROS."""

from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """Where a target should be now, were it to go on as before. Never a measurement.

    Attributes:
        position: float64 [3] metres, in the frame of the measurements.
        velocity: float64 [3] metres per second.
        age: Seconds since the last measurement.
    """

    position: np.ndarray
    velocity: np.ndarray
    age: float


class MotionPredictor:
    """Constant velocity through the last positions (least squares).

    Args:
        horizon: Seconds after the last measurement up to which anything is predicted.
        window: Seconds of measurements that the velocity is taken from.
    """

    def __init__(self, horizon: float = 0.5, window: float = 0.6) -> None:
        self._horizon = horizon
        self._window = window
        self._measured: deque[tuple[float, np.ndarray]] = deque(maxlen=100)

    def reset(self) -> None:
        """Forget all measurements."""
        self._measured.clear()

    def add(self, stamp: float, position: np.ndarray) -> None:
        """Take in a position [3] m measured at `stamp` [s]; a stamp in the past starts afresh."""
        if self._measured and stamp <= self._measured[-1][0]:
            self.reset()
        self._measured.append((stamp, np.asarray(position, float)))
        while stamp - self._measured[0][0] > self._window:
            self._measured.popleft()

    def predict(self, stamp: float) -> Prediction | None:
        """The target at `stamp` [s]; None without two measurements or beyond the horizon."""
        if len(self._measured) < 2:
            return None
        age = stamp - self._measured[-1][0]
        if not 0 <= age <= self._horizon:
            return None
        times = np.array([when for when, _ in self._measured]) - stamp
        positions = np.stack([position for _, position in self._measured])
        design = np.stack([np.ones_like(times), times], axis=1)
        (here, velocity), *_ = np.linalg.lstsq(design, positions, rcond=None)
        return Prediction(here, velocity, age)
