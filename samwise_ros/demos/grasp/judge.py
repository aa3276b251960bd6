"""What the truth says about an attempt to pick something, and why it failed. No ROS."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

_LIFTED = 0.04  # [m] above where it stood...
_STAYS = 5  # ...in so many frames in a row
_STIRRED = 0.015  # [m] above where it stood: the fingers had it
_SEEN = 0.5  # share of frames with a target; below, the mask was lost


@dataclass(frozen=True)
class Tick:
    """The truth about one frame: the middles of the objects, float [O, 3] m, in the world."""

    time: float
    places: np.ndarray


@dataclass(frozen=True)
class Answer:
    """The node's answer to one frame, beside the truth.

    Attributes:
        present: Whether the node says that the target is there.
        overlap: IoU of the mask with each object's true pixels, float [O].
    """

    present: bool
    overlap: np.ndarray


@dataclass
class Attempt:
    """All that happened between a sentence and the end of the scene.

    Attributes:
        target: Index of the object that the sentence names.
        ticks, answers: Oldest first.
        misses: Why the client gave attempts up.
        done: Whether the client says that it is done.
        in_tray: Of each object, at the end.
    """

    target: int
    ticks: list[Tick] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    misses: Sequence[str] = ()
    done: bool = False
    in_tray: Sequence[bool] = ()

    def lifted(self) -> list[bool]:
        """Of each object: whether it was clear of the table for some time."""
        high = self._rise() > _LIFTED  # [T, O]
        runs = np.lib.stride_tricks.sliding_window_view(high, min(_STAYS, len(high)), axis=0)
        return np.asarray(runs.all(axis=-1).any(axis=0)).tolist()

    def _rise(self) -> np.ndarray:
        heights = np.stack([tick.places[:, 2] for tick in self.ticks])
        return heights - heights[0]

    def cause(self) -> str:
        """Why the named object does not lie in the tray; empty when it does."""
        if self.in_tray[self.target] and self.done:
            return ""
        others = [index for index in range(len(self.in_tray)) if index != self.target]
        overlap = self._overlap()
        if any(self.lifted()[index] or self.in_tray[index] for index in others) or any(
                overlap[index] > max(overlap[self.target], 0.3) for index in others):
            return "wrong object"
        if self._seen() < _SEEN or not self.answers[-1].present:
            return "mask lost"
        if self._rise()[:, self.target].max() > _STIRRED:
            return "slipped"
        if any("reached" in miss for miss in self.misses):
            return "unreachable"
        return "pose off" if self.misses else "time-out"

    def _seen(self) -> float:
        return float(np.mean([answer.present for answer in self.answers])) if self.answers else 0.0

    def _overlap(self) -> np.ndarray:
        """Mean IoU with each object over the frames in which something was seen, [O]."""
        seen = [answer.overlap for answer in self.answers if answer.present]
        return np.mean(seen, axis=0) if seen else np.zeros(len(self.in_tray))

    def report(self, number: int, sentence: str) -> dict:
        """A row of the table."""
        return {"scene": number, "sentence": sentence, "lifted": self.lifted()[self.target],
                "placed": not self.cause(), "cause": self.cause(),
                "seconds": round(self.ticks[-1].time - self.ticks[0].time, 1),
                "mask_j": round(float(self._overlap()[self.target]), 3),
                "seen": round(self._seen(), 3), "misses": list(self.misses)}


def overlaps(mask: np.ndarray, instances: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """IoU, float [O], of a mask, bool [H, W], with the pixels of each number in `instances`."""
    truths = [instances == number for number in numbers]
    return np.array([np.count_nonzero(mask & truth) / (np.count_nonzero(mask | truth) or 1)
                     for truth in truths])


def summary(scenes: Sequence[dict]) -> dict:
    """The figures of all scenes."""
    causes = [scene["cause"] for scene in scenes if scene["cause"]]
    return {"scenes": len(scenes), "lifted": sum(scene["lifted"] for scene in scenes),
            "placed": sum(scene["placed"] for scene in scenes),
            "causes": {cause: causes.count(cause) for cause in sorted(set(causes))}}
