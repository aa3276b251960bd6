"""Whether a target is there, steadily: thresholds with hysteresis, debouncing, and honest loss.

The session answers each frame for itself. A following robot wants to know whether it has the
target, loses it, or has just got it back. Standard library and NumPy only.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from samwise_ros.structures import ConfigError, FrameResult, TargetResult


class TrackState(str, Enum):
    """What is known about one target after a frame."""

    SEARCHING = "SEARCHING"  # asked for, never seen yet
    TRACKING = "TRACKING"  # there
    LOST = "LOST"  # was there, is gone
    REACQUIRED = "REACQUIRED"  # there again after LOST, for a number of frames


PRESENT = (TrackState.TRACKING, TrackState.REACQUIRED)


@dataclass(frozen=True)
class TrackSettings:
    """When a target counts as there.

    Attributes:
        enter_score: Score in [0, 1] from which an absent target counts as seen.
        leave_score: Score below which a present target counts as unseen; at most `enter_score`.
        enter_frames: Frames in a row that it must be seen for to become present.
        leave_frames: Frames in a row that it must be unseen for to become LOST.
        reacquired_frames: Frames for which the state says REACQUIRED before TRACKING; 0: never.
    """

    enter_score: float = 0.5
    leave_score: float = 0.5
    enter_frames: int = 1
    leave_frames: int = 3
    reacquired_frames: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.leave_score <= self.enter_score <= 1:
            raise ConfigError("expected 0 <= leave_score <= enter_score <= 1, got "
                              f"{self.leave_score} and {self.enter_score}")
        if min(self.enter_frames, self.leave_frames) < 1 or self.reacquired_frames < 0:
            raise ConfigError("expected enter_frames and leave_frames >= 1 and reacquired_frames "
                              f">= 0, got {self.enter_frames}, {self.leave_frames}, "
                              f"{self.reacquired_frames}")


class TargetTracker:
    """Follows one target's score from frame to frame.

    Attributes:
        settings: May be replaced between frames.
        state: After the last frame.
    """

    def __init__(self, settings: TrackSettings = TrackSettings()) -> None:
        self.settings = settings
        self.state = TrackState.SEARCHING
        self._streak = 0  # frames in a row that contradict `present`
        self._reacquired = 0  # frames for which REACQUIRED still holds

    @property
    def present(self) -> bool:
        """Whether the target counts as there."""
        return self.state in PRESENT

    def update(self, score: float, visible: bool) -> TrackState:
        """Take in one frame.

        Args:
            score: Probability in [0, 1] that the target is visible.
            visible: Whether its mask has any pixels.
        """
        settings = self.settings
        seen = visible and score >= (settings.leave_score if self.present else settings.enter_score)
        self._streak = 0 if seen == self.present else self._streak + 1
        if self._streak >= (settings.leave_frames if self.present else settings.enter_frames):
            self._streak = 0
            self._turn()
        elif self.state is TrackState.REACQUIRED:
            self._reacquired -= 1
            if self._reacquired <= 0:
                self.state = TrackState.TRACKING
        return self.state

    def _turn(self) -> None:
        """Present becomes LOST, absent becomes TRACKING or REACQUIRED."""
        if self.present:
            self.state = TrackState.LOST
        elif self.state is TrackState.LOST and self.settings.reacquired_frames > 0:
            self.state = TrackState.REACQUIRED
            self._reacquired = self.settings.reacquired_frames
        else:
            self.state = TrackState.TRACKING


class TargetTrackers:
    """A `TargetTracker` for each target of a session. A new command for a target starts afresh."""

    def __init__(self, settings: TrackSettings = TrackSettings()) -> None:
        self._settings = settings
        self._trackers: dict[str, tuple[int, TargetTracker]] = {}

    def set(self, settings: TrackSettings) -> None:
        """Use other thresholds from the next frame on; states are kept."""
        self._settings = settings

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._trackers = {}

    def update(self, result: FrameResult) -> dict[str, TrackState]:
        """Take in one frame; the state of each of its targets by id."""
        settings = self._settings
        self._trackers = {target.target_id: self._of(target) for target in result.targets}
        states = {}
        for target in result.targets:
            tracker = self._trackers[target.target_id][1]
            tracker.settings = settings
            states[target.target_id] = tracker.update(target.score, target.area > 0)
        return states

    def _of(self, target: TargetResult) -> tuple[int, TargetTracker]:
        command, tracker = self._trackers.get(target.target_id, (None, None))
        if command != target.command:
            return target.command, TargetTracker(self._settings)
        return command, tracker


def present_only(result: FrameResult, states: Mapping[str, TrackState]) -> FrameResult:
    """The answer without the masks of targets that don't count as there.

    With the default thresholds nothing changes: what has a mask is there. Higher ones keep a mask
    back until its target has been seen well, or often, enough; scores stay as they are.

    Args:
        result: The session's answer.
        states: State of each of its targets, from `TargetTrackers.update`.
    """
    return replace(result, targets=tuple(
        target if states[target.target_id] in PRESENT or not target.area
        else replace(target, mask=np.zeros_like(target.mask), box=None, area=0)
        for target in result.targets))


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
