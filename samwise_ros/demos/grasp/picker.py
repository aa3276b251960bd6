"""From what is seen of a target to where a gripper goes: a small state machine. No ROS.

    WAIT -> APPROACH -> DESCEND -> CLOSE -> LIFT -> CARRY -> LOWER -> OPEN -> LEAVE -> DONE
    RISE -> WAIT     after a new sentence, a miss, or a way that takes too long

No target means standing still, in whatever state; so does a target that is not seen, until it is
let go. A new sentence is obeyed at once; what is held by then is put back to where it was.

Frame of reference: the arm's base (x forward, y left, z up from the table), metres, radians,
seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from samwise_ros.demos.grasp.grip import Grip, grip_of

OPEN = 0.08  # [m] between the fingers
_SHUT = 0.006  # [m]: with less between them the fingers hold nothing
_REACHED = 0.008  # [m]
_TURNED = 0.06  # [rad]
_HIGH = 0.15  # [m] of the tip on its way over other objects
_NEAR = 0.10  # [m]: from here on the hand may cover what it goes to
_MOVED = 0.06  # [m] that a target may seem to move while the hand comes
_CLOSING, _OPENING = 0.8, 0.6  # [s]
_LONGEST = 8.0  # [s] of one way
_LOOKS = 4  # grips that have to agree...
_AGREED = 0.012  # [m] ...this well
_DROP = 0.015  # [m] above where it stood


class Step(Enum):
    """What the arm is doing."""

    WAIT = "waiting"
    RISE = "rising"
    APPROACH = "approaching"
    DESCEND = "descending"
    CLOSE = "closing"
    LIFT = "lifting"
    CARRY = "carrying"
    LOWER = "lowering"
    OPEN = "opening"
    LEAVE = "leaving"
    DONE = "done"


_HOLDING = (Step.CLOSE, Step.LIFT, Step.CARRY, Step.LOWER)
_LETTING_GO = (Step.OPEN, Step.LEAVE, Step.DONE)  # needs no target any more


@dataclass(frozen=True)
class Sight:
    """What the node says about one image.

    Attributes:
        time: Of the image.
        command: Number of the command that it answers; 0: nothing is looked for.
        present: Whether the target is there.
        points: Newest visible surface of this target, float [N, 3]; None before the first.
        place: Newest pose of it, [3].
    """

    time: float
    command: int
    present: bool
    points: np.ndarray | None = None
    place: np.ndarray | None = None


@dataclass(frozen=True)
class Hand:
    """Where the gripper is: `tip` [3], `yaw` of the hand, `opening` of the fingers."""

    tip: np.ndarray
    yaw: float
    opening: float


@dataclass(frozen=True)
class Goal:
    """Where the gripper shall go, as in Hand; an opening less than what it holds grips that."""

    tip: np.ndarray
    yaw: float
    opening: float


class Picker:
    """Picks the target of the newest command and puts it into the tray.

    Args:
        tray: Where things are put, x and y.
        ready: Where the tip waits, [3].

    Attributes:
        step: What it does.
        still: Why it stands still; empty while it doesn't.
        misses: Why attempts at this command had to be given up, oldest first.
    """

    def __init__(self, tray: tuple[float, float], ready: tuple[float, float, float]) -> None:
        self.step = Step.WAIT
        self.still = "nothing is looked for"
        self.misses: list[str] = []
        self._tray, self._ready = tray, np.array(ready)
        self._command = 0
        self._since = 0.0  # when the step began
        self._updated = 0.0  # time of the update before
        self._grips: deque[Grip] = deque(maxlen=_LOOKS)
        self._grip = Grip(*ready, 0.0, 0.0, 0.0)
        self._drop = tray
        self._points: np.ndarray | None = None
        self._goal: Goal | None = None
        self._steps: dict[Step, Callable[[Sight, Hand], Goal]] = {
            Step.WAIT: self._wait, Step.RISE: self._rise, Step.APPROACH: self._approach,
            Step.DESCEND: self._descend, Step.CLOSE: self._close, Step.LIFT: self._lift,
            Step.CARRY: self._carry, Step.LOWER: self._lower, Step.OPEN: self._open,
            Step.LEAVE: self._leave, Step.DONE: self._done}

    def update(self, sight: Sight, hand: Hand) -> Goal:
        """Where to go until the next image is answered."""
        elapsed, self._updated = sight.time - self._updated, sight.time
        if sight.command != self._command:
            self._obey(sight, hand)
        why = self._why_still(sight)
        if why:
            if not self.still or self._goal is None:
                opening = OPEN if self._goal is None else self._goal.opening
                self._goal = Goal(hand.tip, hand.yaw, opening)
            self._since += elapsed  # the clock of a step stands still, too
        else:
            self._goal = self._steps[self.step](sight, hand)
        self.still = why
        return self._goal

    def _why_still(self, sight: Sight) -> str:
        if not sight.command:
            return "nothing is looked for"
        return "" if sight.present or self.step in _LETTING_GO else "the target is not seen"

    def _obey(self, sight: Sight, hand: Hand) -> None:
        """A new command, or none: what is held has to go back before another thing is taken."""
        self._command = sight.command
        if not sight.command:
            return
        self.misses = []
        self._grips.clear()
        self._points = None
        if self.step in _HOLDING and hand.opening >= _SHUT:
            self._drop = (self._grip.x, self._grip.y)
            self._begin(Step.CARRY, sight)
        elif self.step in (Step.OPEN, Step.LEAVE):
            self._drop = (self._grip.x, self._grip.y)  # so that it goes on after
        elif self.step is not Step.WAIT:
            self._begin(Step.RISE, sight)

    def _begin(self, step: Step, sight: Sight) -> None:
        self.step, self._since = step, sight.time

    def _miss(self, why: str, sight: Sight, hand: Hand) -> Goal:
        self.misses.append(why)
        self._begin(Step.RISE, sight)
        return self._rise(sight, hand)

    def _wait(self, sight: Sight, hand: Hand) -> Goal:
        self._look(sight)
        if len(self._grips) == _LOOKS:
            places = np.array([(grip.x, grip.y) for grip in self._grips])
            if np.ptp(places, axis=0).max() < _AGREED:
                self._grip = sorted(self._grips, key=lambda grip: grip.width)[_LOOKS // 2]
                self._drop = self._tray
                self._begin(Step.APPROACH, sight)
        return Goal(self._ready, 0.0, OPEN)

    def _look(self, sight: Sight) -> Grip | None:
        """The grip on what a new cloud shows."""
        if sight.points is None or sight.points is self._points:
            return None
        self._points = sight.points
        grip = grip_of(sight.points)
        if grip is not None:
            self._grips.append(grip)
        return grip

    def _rise(self, sight: Sight, hand: Hand) -> Goal:
        goal = Goal(np.array([*hand.tip[:2], _HIGH]), hand.yaw, OPEN)
        if hand.tip[2] > _HIGH - _REACHED:
            self._grips.clear()
            self._begin(Step.WAIT, sight)
        return goal

    def _approach(self, sight: Sight, hand: Hand) -> Goal:
        grip = self._grip
        if np.hypot(hand.tip[0] - grip.x, hand.tip[1] - grip.y) > _NEAR:
            self._grip = self._look(sight) or grip
        goal = self._over((self._grip.x, self._grip.y))
        return self._go(goal, Step.DESCEND, sight, hand)

    def _descend(self, sight: Sight, hand: Hand) -> Goal:
        grip = self._grip
        if sight.place is not None and (
                np.hypot(sight.place[0] - grip.x, sight.place[1] - grip.y) > _MOVED):
            return self._miss("the target moved", sight, hand)
        goal = Goal(np.array([grip.x, grip.y, grip.z]), grip.yaw, OPEN)
        return self._go(goal, Step.CLOSE, sight, hand)

    def _close(self, sight: Sight, hand: Hand) -> Goal:
        grip = self._grip
        if sight.time - self._since > _CLOSING:
            if hand.opening < _SHUT:
                return self._miss("nothing was between the fingers", sight, hand)
            self._begin(Step.LIFT, sight)
        return Goal(np.array([grip.x, grip.y, grip.z]), grip.yaw, 0.0)

    def _lift(self, sight: Sight, hand: Hand) -> Goal:
        if hand.opening < _SHUT:
            return self._miss("it slipped", sight, hand)
        goal = self._holding((self._grip.x, self._grip.y), _HIGH)
        return self._go(goal, Step.CARRY, sight, hand)

    def _carry(self, sight: Sight, hand: Hand) -> Goal:
        if hand.opening < _SHUT:
            return self._miss("it slipped", sight, hand)
        return self._go(self._holding(self._drop, _HIGH), Step.LOWER, sight, hand)

    def _lower(self, sight: Sight, hand: Hand) -> Goal:
        return self._go(self._holding(self._drop, self._grip.z + _DROP), Step.OPEN, sight, hand)

    def _open(self, sight: Sight, hand: Hand) -> Goal:
        if sight.time - self._since > _OPENING:
            self._begin(Step.LEAVE, sight)
        return replace(self._holding(self._drop, self._grip.z + _DROP), opening=OPEN)

    def _leave(self, sight: Sight, hand: Hand) -> Goal:
        placed = self._drop == self._tray
        return self._go(self._over(self._drop), Step.DONE if placed else Step.WAIT, sight, hand)

    def _done(self, sight: Sight, hand: Hand) -> Goal:
        return Goal(self._ready, 0.0, OPEN)

    def _over(self, spot: tuple[float, float]) -> Goal:
        return Goal(np.array([*spot, _HIGH]), self._grip.yaw, OPEN)

    def _holding(self, spot: tuple[float, float], height: float) -> Goal:
        return Goal(np.array([*spot, height]), self._grip.yaw, 0.0)

    def _go(self, goal: Goal, then: Step, sight: Sight, hand: Hand) -> Goal:
        """On the way to a goal; the next step once it is reached, up again when it cannot be."""
        near = np.linalg.norm(goal.tip - hand.tip) < _REACHED
        if near and abs(np.sin(goal.yaw - hand.yaw)) < _TURNED:
            self._begin(then, sight)
        elif sight.time - self._since > _LONGEST:
            return self._miss("a place could not be reached", sight, hand)
        return goal
