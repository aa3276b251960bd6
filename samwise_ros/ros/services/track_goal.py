"""When a goal of the action track_target is over. No ROS.

| outcome | when |
|---|---|
| FOUND | the target is there; only without `keep`, at once |
| LOST | it has not been there for `timeout` seconds, counted from the command or the last sight |
| CANCELLED | a newer command took its id or dropped it, its prompt is refused, or it was ended |
"""

from dataclasses import dataclass
from enum import IntEnum

from samwise_ros.streaming.prompts import is_early, seconds_of
from samwise_ros.structures import FrameResult, Prompt, TargetResult

# The frame in work while the command came may be answered without it, the one after it may not.
_MISSING_FRAMES = 2


class Outcome(IntEnum):
    """Numbers of TrackTarget.action."""

    FOUND = 1
    LOST = 2
    CANCELLED = 3


@dataclass(frozen=True)
class Verdict:
    """How a goal ended, with one line for people.

    Attributes:
        release: The target is of no use to anybody any more.
    """

    outcome: Outcome
    reason: str
    release: bool = False


class TrackGoal:
    """One goal, from its command to its end. Times are seconds of any one clock.

    Args:
        target_id: Of the target.
        command: Number of the command that the goal became.
        timeout: Seconds that the target may be unseen; 0: for ever.
        keep: Go on after it was found.
        now: The time.
        prompt: What is shown of the target, which is not looked for before its picture.

    Attributes:
        last: The target on the last frame that answered it, None before.
        last_seen: The same on the last frame on which it was there.
        seen_stamp: `FrameResult.stamp` of that frame.
    """

    def __init__(self, target_id: str, command: int, timeout: float, keep: bool, now: float,
                 prompt: Prompt | None = None) -> None:
        self.target_id = target_id
        self.command = command
        self.last: TargetResult | None = None
        self.last_seen: TargetResult | None = None
        self.seen_stamp: object = None
        self._prompt = prompt
        self._timeout = timeout
        self._keep = keep
        self._since = now
        self._found = False
        self._missing = 0

    def frame(self, result: FrameResult, now: float) -> Verdict | None:
        """Take in an answered frame; the verdict if it ends the goal."""
        begun = f"command {self.command} "
        if refusal := next((each for each in result.refused if each.startswith(begun)), ""):
            return Verdict(Outcome.CANCELLED, refusal)
        if self._prompt is not None and is_early(self._prompt, seconds_of(result.stamp)):
            return self.tick(now)
        target = next((t for t in result.targets if t.target_id == self.target_id), None)
        if target is None or target.command < self.command:
            self._missing += 1
            if self._missing < _MISSING_FRAMES:
                return None
            return Verdict(Outcome.CANCELLED, "a newer command dropped the target")
        if target.command > self.command:
            return Verdict(Outcome.CANCELLED,
                           f"command {target.command} is about {self.target_id!r}, too, and newer")
        self._missing = 0
        self.last = target
        if not target.state.present:
            return self.tick(now)
        self._found, self._since = True, now
        if target.box is not None:
            self.last_seen, self.seen_stamp = target, result.stamp
        return None if self._keep else Verdict(Outcome.FOUND, "the target is there")

    def tick(self, now: float) -> Verdict | None:
        """Judge the time alone, for when no frames come."""
        self._since = min(self._since, now)  # the clock of a recording jumps back
        unseen = now - self._since
        if not self._timeout or unseen < self._timeout:
            return None
        reason = (f"not seen any more for {unseen:.1f} s" if self._found
                  else f"not found within {unseen:.1f} s")
        if self.last is None:
            reason += "; no image was answered"
        return Verdict(Outcome.LOST, reason, release=True)
