"""Commands, and the table that maps permanent target ids to what is remembered of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from samwise_ros.model.memory_bank import MemoryBank
from samwise_ros.model.text_encoder import TextState
from samwise_ros.structures import Command, CommandError, CommandKind, TargetState

DEFAULT_ID = "target"
_RELEASE_WORDS = ("", "stop", "clear")
_LONGEST_ID = 100  # characters; every answer repeats the ids


def parse_command(text: str) -> Command:
    """Read a text command.

    Grammar (keywords in any case; `ID` is a word of up to 100 characters without spaces or
    colons):

    - `add:ID: SENTENCE` adds target ID, or gives it a new sentence; other targets stay.
    - `remove:ID` drops one target.
    - `clear`, `stop` or nothing drops all.
    - anything else is a sentence: it becomes the only target, under the id "target".

    Raises:
        CommandError: The text is not a string, or `add:` / `remove:` lacks its id or sentence.
    """
    if not isinstance(text, str):
        raise CommandError(f"command: expected text, got {type(text).__name__}")
    stripped = text.strip()
    if stripped.lower() in _RELEASE_WORDS:
        return Command(CommandKind.CLEAR)
    keyword, _, rest = stripped.partition(":")
    if keyword.lower() == "remove":
        return Command(CommandKind.REMOVE, _target_id(rest, stripped))
    if keyword.lower() == "add":
        name, _, sentence = rest.partition(":")
        if not sentence.strip():
            raise CommandError(f"command {_short(stripped)}: expected 'add:ID: SENTENCE'")
        return Command(CommandKind.ADD, _target_id(name, stripped), sentence.strip())
    return Command(CommandKind.ADD, DEFAULT_ID, stripped, replace_all=True)


def _target_id(name: str, command: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= _LONGEST_ID or any(character.isspace() for character in name):
        raise CommandError(f"command {_short(command)}: expected an id without spaces, of at most "
                           f"{_LONGEST_ID} characters, after the first colon, as in "
                           "'add:cup: the red cup' or 'remove:cup'")
    return name


def _short(text: str, limit: int = 60) -> str:
    """Quoted beginning of a text, for messages."""
    return repr(text if len(text) <= limit else text[:limit] + "...")


@dataclass(frozen=True)
class TargetMemory:
    """All that is remembered of one target; a new one forgets everything.

    Attributes:
        bank: Spatial memories and object pointers (one row).
        context: Per further adapter the projected frames [1, K, h, w, E], or None.
        last_switch: Frame (age) of the last CME switch, 0 for never.
        age: Frames since the command.
        seen: Whether the target was visible on any frame so far.
    """

    bank: MemoryBank
    context: tuple[Tensor | None, ...]
    last_switch: int = 0
    age: int = 0
    seen: bool = False

    @staticmethod
    def empty(num_adapters: int) -> TargetMemory:
        """Memory of a target that has just been named."""
        return TargetMemory(MemoryBank(), (None,) * max(0, num_adapters - 1))

    @property
    def nbytes(self) -> int:
        """Bytes of tensors held."""
        return self.bank.nbytes + sum(t.nbytes for t in self.context if t is not None)

    def next_state(self, visible: bool) -> TargetState:
        """State of a frame on which the target is visible or not."""
        if visible:
            return TargetState.TRACKING
        return TargetState.LOST if self.seen else TargetState.SEARCHING


@dataclass
class Target:
    """One entry of the table: what was asked for, and its memory."""

    target_id: str
    expression: str
    command: int
    text: TextState
    memory: TargetMemory


@dataclass
class TargetTable:
    """Targets in the order in which they were added. The row of a target is its position."""

    targets: dict[str, Target] = field(default_factory=dict)

    def assign(self, target: Target, *, replace_all: bool) -> None:
        """Add a target, or replace the one of the same id in its place."""
        if replace_all:
            self.targets.clear()
        self.targets[target.target_id] = target

    def rows(self) -> list[Target]:
        """Targets by row."""
        return list(self.targets.values())
