"""The table that maps permanent target ids to what is remembered of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from samwise_ros.config import CmtConfig
from samwise_ros.model.features import CausalContext
from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.text_encoder import TextState
from samwise_ros.streaming.image_ops import InputSize
from samwise_ros.streaming.target_tracker import TargetTracker


@dataclass(frozen=True)
class TargetMemory:
    """All that is remembered of one target; a new one forgets everything.

    Attributes:
        bank: Spatial memories and object pointers (one row).
        context: Per further adapter the projected frames [1, K, h, w, E], or None.
        last_switch: Frame (age) of the last CME switch, 0 for never.
        age: Frames since the command.
    """

    bank: MemoryBank
    context: tuple[Tensor | None, ...]
    last_switch: int = 0
    age: int = 0

    @staticmethod
    def empty(config: CmtConfig) -> TargetMemory:
        """Memory of a target that has just been named."""
        return TargetMemory(MemoryBank(), CausalContext.empty(config).rows)

    @property
    def nbytes(self) -> int:
        """Bytes of tensors held."""
        return self.bank.nbytes + sum(t.nbytes for t in self.context if t is not None)


@dataclass(frozen=True)
class SessionMemory:
    """All that a session remembers of the frames it has seen, but not what it looks for.

    Attributes:
        size: Of the frames; None before the first.
        shared: Projected frames [1, K, h, w, E] of the adapters whose past all targets share.
        earlier: Frames that a motion branch compares with.
        targets: By id, memory and state of each target.
    """

    size: InputSize | None
    shared: tuple[Tensor | None, ...]
    earlier: Tensor | None
    targets: Mapping[str, tuple[TargetMemory, TargetTracker]]


@dataclass
class Target:
    """One entry of the table: what was asked for, its memory, and whether it is there."""

    target_id: str
    expression: str
    command: int
    text: TextState
    memory: TargetMemory
    tracker: TargetTracker = field(default_factory=TargetTracker)


@dataclass
class TargetTable:
    """Targets in the order in which they were added. The row of a target is its position."""

    targets: dict[str, Target] = field(default_factory=dict)

    def rows(self) -> list[Target]:
        """Targets by row."""
        return list(self.targets.values())
