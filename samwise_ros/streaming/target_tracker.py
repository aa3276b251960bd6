"""Whether a target is there, steadily: thresholds with hysteresis, and debouncing.

The network answers each frame for itself. A following robot wants to know whether it has the
target, loses it, or has just got it back. Standard library and NumPy only.
"""

from dataclasses import dataclass, replace

import numpy as np

from samwise_ros.structures import ConfigError, TargetResult, TargetState


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
        self.state = TargetState.SEARCHING
        self._streak = 0  # frames in a row that contradict `present`
        self._reacquired = 0  # frames for which REACQUIRED still holds

    @property
    def present(self) -> bool:
        """Whether the target counts as there."""
        return self.state.present

    def judge(self, result: TargetResult) -> TargetResult:
        """Take in the answer to one frame, and put the state into it.

        A target that doesn't count as there has no mask either, whatever the network says;
        `object_score` and `mask_logits` stay the network's.
        """
        state = self.update(result.score, result.area > 0)
        if state.present or not result.area:
            return replace(result, state=state)
        return replace(result, state=state, mask=np.zeros_like(result.mask), box=None, area=0)

    def update(self, score: float, visible: bool) -> TargetState:
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
        elif self.state is TargetState.REACQUIRED:
            self._reacquired -= 1
            if self._reacquired <= 0:
                self.state = TargetState.TRACKING
        return self.state

    def _turn(self) -> None:
        """Present becomes LOST, absent becomes TRACKING or REACQUIRED."""
        if self.present:
            self.state = TargetState.LOST
        elif self.state is TargetState.LOST and self.settings.reacquired_frames > 0:
            self.state = TargetState.REACQUIRED
            self._reacquired = self.settings.reacquired_frames
        else:
            self.state = TargetState.TRACKING
