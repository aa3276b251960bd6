"""How it went with each target of a video, in figures. Standard library only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from samwise_ros.structures import TargetState


@dataclass
class TrackFigures:
    """Figures of one target, taken in frame by frame.

    Attributes:
        states: Frames in each state.
        switches: Frames on which the memory was turned to another object.
        losses: How often it was lost after it had been there.
        seconds: Time for which it was there, from each frame on which it was to the next such one.
    """

    states: Counter[TargetState] = field(default_factory=Counter)
    switches: int = 0
    losses: int = 0
    seconds: float = 0.0
    _last: tuple[float, TargetState] | None = None

    def add(self, time: float, state: TargetState, switched: bool) -> None:
        """Take in the answer to a frame of this time [s]."""
        if self._last is not None:
            before, last = self._last
            if last.present and state.present:
                self.seconds += max(0.0, time - before)
            self.losses += last.present and state is TargetState.LOST
        self.states[state] += 1
        self.switches += switched
        self._last = time, state

    def pause(self) -> None:
        """The next frame does not go on from the last one, as after a jump of the stamps."""
        self._last = None
