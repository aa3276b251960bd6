"""What a session looks for, and all that it remembers of what it saw."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.image_ops import InputSize
from samwise_ros.streaming.stream_state import StreamState
from samwise_ros.streaming.target_tracker import TargetTracker
from samwise_ros.structures import Prompt


@dataclass
class Target:
    """What was asked for, and whether it is there.

    `text` is None, and `expression` empty, for what was shown without a sentence. The row of any
    other is its place among those that have a text.
    """

    target_id: str
    expression: str
    command: int
    text: TextState | None
    prompt: Prompt | None = None
    tracker: TargetTracker = field(default_factory=TargetTracker)


@dataclass(frozen=True)
class FrameMemory:
    """What a session remembers of the frames it has seen; what the host knows of it without asking.

    Attributes:
        size: Of the frames; None before the first.
        state: Of one row per target; None where nothing is remembered of any.
        clock: Frames written to the state.
        ages: Frames since its command, per row; blank rows grow old, too.
        earlier: [1, lag, 3, S_h, S_w] frames that a motion branch compares with; None before the
            first frame and without such a branch. They are kept without any target, too.
        shown: Memories of the targets without a sentence, by command number.
        prompted: Numbers of the commands whose prompts have been used.
    """

    size: InputSize | None = None
    state: StreamState | None = None
    clock: int = 0
    ages: tuple[int, ...] = ()
    earlier: Tensor | None = None
    shown: Mapping[int, MemoryBank] = field(default_factory=dict)
    prompted: frozenset[int] = frozenset()

    def arranged(self, rows: list[int | None]) -> FrameMemory:
        """The memory of other targets: rows of those that stay, None for new ones."""
        if rows == list(range(len(self.ages))):
            return self
        ages = tuple(0 if row is None else self.ages[row] for row in rows)
        if self.state is None or not any(ages):
            return replace(self, state=None, clock=0, ages=ages)
        return replace(self, state=self.state.arranged(rows), ages=ages)

    def of_commands(self, numbers: Collection[int]) -> FrameMemory:
        """The memory without what was shown by other commands."""
        return replace(self, shown={number: bank for number, bank in self.shown.items()
                                    if number in numbers},
                       prompted=self.prompted.intersection(numbers))

    def restarted(self, size: InputSize | None = None) -> FrameMemory:
        """The memory in which everything is forgotten but whose prompts have been used."""
        return FrameMemory(size, ages=(0,) * len(self.ages), prompted=self.prompted)

    def copied(self) -> FrameMemory:
        """A copy that later steps do not write to."""
        return replace(self, state=None if self.state is None else self.state.copied())

    @property
    def nbytes(self) -> int:
        """Bytes of tensors."""
        shown = sum(part.nbytes for bank in self.shown.values()
                    for part in (bank.spatial, bank.pointers, bank.peak) if part is not None)
        if self.state is not None:
            return shown + self.state.nbytes
        return shown + (0 if self.earlier is None else self.earlier.nbytes)


@dataclass(frozen=True)
class SessionMemory:
    """All that a session remembers of what it saw, but not what it looks for.

    Attributes:
        frames: Whose rows are those of `trackers`, in order.
        trackers: By target.
    """

    frames: FrameMemory
    trackers: Mapping[str, TargetTracker]
