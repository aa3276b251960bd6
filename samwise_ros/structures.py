"""Records and errors that every layer shares. No torch model, no ROS.

Shape alphabet used in all docstrings: N rows (targets), B clips or cameras, T frames, K past
frames, L text tokens, D text width, C channels, S input side, h w feature grid, H W camera pixels.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

# Normalisation of model inputs: mean and standard deviation of the channels in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SamwiseError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(SamwiseError, ValueError):
    """A configuration value is out of its range or contradicts another."""


class CheckpointError(SamwiseError):
    """A weight file is missing, unreadable or does not fit the model."""


class FrameError(SamwiseError, ValueError):
    """An input frame cannot be used (type, shape, size or values)."""


class CommandError(SamwiseError, ValueError):
    """A command cannot be understood or carried out."""


class DataError(SamwiseError):
    """A data set file is missing, broken or inconsistent."""


class MissingDependencyError(SamwiseError, ImportError):
    """An optional dependency is needed; the message says how to install it."""


class TargetState(str, Enum):
    """What is known about one target after a frame (see `streaming.target_tracker`)."""

    SEARCHING = "SEARCHING"  # asked for, never seen yet
    TRACKING = "TRACKING"  # there
    LOST = "LOST"  # was there, is gone
    REACQUIRED = "REACQUIRED"  # there again after LOST, for a number of frames

    @property
    def present(self) -> bool:
        """Whether the target counts as there."""
        return self in (TargetState.TRACKING, TargetState.REACQUIRED)


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is shown of a target on one picture, in place of a sentence or beside it.

    Pixels are those of the camera image; (0, 0) is the middle of the upper left one.

    Attributes:
        points: (x, y) of each.
        beside: Of each point, whether it lies beside the target instead of on it; empty: none does.
        box: x0, y0, x1, y1 of two corners.
        mask: bool [H, W] of the image's size; with neither points nor box.
        stamp: Of the picture in seconds, on the clock of the frames' stamps; None: whichever is
            answered next.
    """

    points: tuple[tuple[float, float], ...] = ()
    beside: tuple[bool, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    stamp: float | None = None


class CommandKind(str, Enum):
    """What a command does to the table of targets."""

    ADD = "add"
    REMOVE = "remove"
    CLEAR = "clear"


@dataclass(frozen=True)
class Command:
    """One request to change what is looked for.

    Attributes:
        kind: ADD sets or replaces the target `target_id`; REMOVE drops it; CLEAR drops all.
        target_id: Public, permanent name of the target; None only for CLEAR.
        expression: The sentence that names the target; only for ADD, and there not needed with a
            prompt.
        replace_all: For ADD: drop every other target first (a plain sentence does that).
        prompt: For ADD: what is shown of the target.
    """

    kind: CommandKind
    target_id: str | None = None
    expression: str | None = None
    replace_all: bool = False
    prompt: Prompt | None = None


@dataclass(frozen=True)
class Box:
    """Tight box in camera pixels: x0, y0 inclusive, x1, y1 exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int


def probability(logit: float) -> float:
    """Sigmoid: the probability in [0, 1] that a logit stands for."""
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -60.0, 60.0))))


@dataclass(frozen=True)
class TargetResult:
    """The answer for one target on one frame.

    Attributes:
        target_id: Public id of the target.
        expression: The sentence it answers; empty for a target that was shown without one.
        command: Number of the command that set the expression, counted from 1 per session.
        state: Steadied by thresholds with hysteresis.
        object_score: Logit that the target is visible (> 0 means visible): what the network says of
            this frame alone.
        mask: bool [H, W] in camera pixels; all False when the target is absent.
        box: Tight box of the mask, or None for an empty mask.
        area: Number of mask pixels.
        switched: True when CME replaced what the memory keeps of this frame.
        age: Frames since the command, 0 on the first answer.
        mask_logits: float32 [h, w] low-resolution logits (stride 4 of the model input, padding
            included), -1024 everywhere when the object score says absent; None unless the session
            was asked for them.
    """

    target_id: str
    expression: str
    command: int
    state: TargetState
    object_score: float
    mask: np.ndarray
    box: Box | None
    area: int
    switched: bool
    age: int
    mask_logits: np.ndarray | None

    @property
    def name(self) -> str:
        """The sentence, or the id of a target that has none."""
        return self.expression or self.target_id

    @property
    def score(self) -> float:
        """Probability in [0, 1] that the target is visible."""
        return probability(self.object_score)


@dataclass(frozen=True)
class FrameResult:
    """The answer for one frame.

    Attributes:
        index: Frames that the session has processed before this one.
        stamp: The caller's time stamp, returned untouched (any type; None if none was given).
        size: (H, W) of the camera frame.
        targets: One result per target in the order in which they were added.
        refused: Why targets that were to be shown on this frame could not be, and were dropped.
    """

    index: int
    stamp: object
    size: tuple[int, int]
    targets: tuple[TargetResult, ...]
    refused: tuple[str, ...] = ()

    def __getitem__(self, target_id: str) -> TargetResult:
        """The result of one target. Raises KeyError when there is no such target."""
        for target in self.targets:
            if target.target_id == target_id:
                return target
        raise KeyError(target_id)
