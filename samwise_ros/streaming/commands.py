"""Text commands, and the plan of targets that all of them together make. No torch, no ROS.

A base or an arm obeys these words, and speech recognition writes them its own way: "Stop.",
"STOP!", a byte-order mark in front. What asks for a stop must never become a target to look for.
"""

import re
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from samwise_ros.streaming.prompts import check_prompt
from samwise_ros.structures import Command, CommandError, CommandKind, Prompt

DEFAULT_ID = "target"
RELEASE_WORDS = (
    "stop", "clear", "cancel", "halt", "abort", "quit", "stop all", "clear all", "cancel all",
    "stop everything", "stop it", "stop now", "stop moving", "stop tracking", "stop following",
    "stop searching", "stop looking", "stop the robot", "cancel tracking", "stop please",
    "please stop", "emergency stop")
# Said beside a release word they change nothing: "Okay stop", "stop right there".
_FILLERS = {"please", "now", "ok", "okay", "hey", "just", "right", "there", "here", "immediately",
            "robot", "no", "yes", "at", "once", "so", "and"}
LONGEST_COMMAND = 4096  # characters; no model takes more than 512 tokens
_LONGEST_ID = 100  # characters; every answer repeats the ids
_COLON = re.compile("[:：]")
_KEYWORD = re.compile(r"(add|remove)\s*[:：](.*)", re.IGNORECASE | re.DOTALL)
_CLAUSES = re.compile(r"[.,;!?…¡¿。、，；！？\n]|\s[-–—]+\s|—")  # what ends one
_WORD = re.compile(r"[^\W_]+")
_QUOTES = "\"'`´“”„‟‘’‚‛«»‹›「」『』"
_PUNCTUATION = _QUOTES + ".,;!?…¡¿。、，；！？"  # that speech and typing leave around an id


def parse_command(text: str, release_words: Iterable[str] = RELEASE_WORDS) -> Command:
    """Read a text command.

    Grammar (keywords in any case; `ID` is a word of up to 100 characters without spaces or
    colons; invisible characters at the ends and quotes around the whole are ignored):

    - `add:ID: SENTENCE` adds target ID, or gives it a new sentence; other targets stay.
    - `remove:ID` drops one target.
    - one of the release words alone, or as a clause of its own ("Stop, robot."), drops all,
      whatever its case and punctuation; so does a text without any letter or digit.
    - anything else is a sentence: it becomes the only target, under the id "target".

    Args:
        text: What was said.
        release_words: Words and phrases that drop all targets.

    Raises:
        CommandError: The text is not a string or too long, or `add:` / `remove:` lacks its id or
            sentence.
    """
    if not isinstance(text, str):
        raise CommandError(f"command: expected text, got {type(text).__name__}")
    _check_length(text)
    bare = _unquoted(text)
    keyword = _KEYWORD.fullmatch(bare)
    if keyword is None and _releases(text, release_words):
        return Command(CommandKind.CLEAR)
    if keyword is None:
        return Command(CommandKind.ADD, DEFAULT_ID, bare, replace_all=True)
    if keyword[1].lower() == "remove":
        return remove_command(keyword[2])
    name, *sentence = _COLON.split(keyword[2], maxsplit=1)
    return add_command(name, "".join(sentence), release_words)


def shown_command(target_id: str, sentence: str, prompt: Prompt,
                  release_words: Iterable[str] = RELEASE_WORDS) -> Command:
    """The command that shows a target, and names it unless the sentence is empty.

    Without an id it becomes the only target, under the id "target", as a plain sentence does.
    Raises CommandError as `add_command` does, and for a prompt of no use.
    """
    check_prompt(prompt)
    command = (add_command(target_id or DEFAULT_ID, sentence, release_words) if sentence.strip()
               else Command(CommandKind.ADD, _checked_id(target_id or DEFAULT_ID)))
    return replace(command, replace_all=not target_id, prompt=prompt)


def add_command(target_id: str, sentence: str, release_words: Iterable[str] = RELEASE_WORDS
                ) -> Command:
    """The command `add:ID: SENTENCE`.

    Raises CommandError for an id or a sentence of no use, and for a release word as a sentence:
    whoever says it wants nothing looked for.
    """
    _check_length(target_id + sentence)
    if not _words(sentence):
        raise CommandError("expected 'add:ID: SENTENCE', got no sentence after "
                           f"{_short('add:' + target_id)}")
    if _releases(sentence, release_words):
        raise CommandError(f"{_short(sentence.strip())} is or has a release word, not a sentence: "
                           "send it alone to drop all targets, or remove:ID to drop one")
    return Command(CommandKind.ADD, _checked_id(target_id), _unquoted(sentence))


def remove_command(target_id: str) -> Command:
    """The command `remove:ID`. Raises CommandError when that can be no id."""
    return Command(CommandKind.REMOVE, _checked_id(target_id))


@dataclass(frozen=True)
class PlannedTarget:
    """What is wanted under one id, and the number of the command that asked for it.

    `expression` is empty for what is only shown.
    """

    command: int
    expression: str
    prompt: Prompt | None = None


class TargetPlan:
    """The targets that all accepted commands together ask for. Any thread may use it.

    A newer command for an id takes the older one's place at once, so what waits for the next frame
    is never more than `max_targets` sentences, however many commands come.
    """

    def __init__(self, max_targets: int) -> None:
        self._max_targets = max_targets
        self._lock = threading.Lock()
        self._newest = 0
        self._targets: Mapping[str, PlannedTarget] = MappingProxyType({})

    @property
    def newest(self) -> int:
        """Number of the last accepted command, counted from 1; 0 before the first."""
        return self._newest

    @property
    def targets(self) -> Mapping[str, PlannedTarget]:
        """By id, in the order in which they were added; never changed, only replaced."""
        return self._targets

    def submit(self, command: Command) -> int:
        """Take a command in and return its number.

        Raises:
            CommandError: No id or sentence, one that is too long, an unknown id, or too many
                targets. Nothing changes then.
        """
        if command.kind is CommandKind.ADD:
            check_add(command)
        with self._lock:
            targets = self._after(command, self._newest + 1)
            self._newest, self._targets = self._newest + 1, MappingProxyType(targets)
            return self._newest

    def withdraw(self, target_id: str, command: int, earlier: PlannedTarget | None) -> None:
        """Undo a command that cannot be carried out after all, unless a newer one is about its id.

        Args:
            target_id, command: Of the target.
            earlier: What was looked for under this id before; None: nothing.
        """
        with self._lock:
            places = {name: earlier if (name, each.command) == (target_id, command) else each
                      for name, each in self._targets.items()}
            self._targets = MappingProxyType(
                {name: each for name, each in places.items() if each is not None})

    def _after(self, command: Command, number: int) -> dict[str, PlannedTarget]:
        targets = dict(self._targets)
        if command.kind is CommandKind.CLEAR or command.replace_all:
            targets.clear()
        name = str(command.target_id)
        if command.kind is CommandKind.REMOVE and not targets.pop(name, None):
            known = ", ".join(targets) or "none"
            raise CommandError(f"remove: no target {_short(name)}; known are {known}")
        if command.kind is CommandKind.ADD:
            targets[name] = PlannedTarget(number, command.expression or "", command.prompt)
        if len(targets) > self._max_targets:
            raise CommandError(f"add {_short(name)}: there are already "
                               f"{self._max_targets} targets; remove one first or raise "
                               "max_targets")
        return targets


def check_add(command: Command) -> None:
    """Raise CommandError for an ADD that cannot be carried out.

    It lacks an id, or both a sentence and a prompt, a text is too long, or the prompt is of no use.
    Comes before any tokeniser sees the text: tokenising a megabyte takes seconds.
    """
    said, prompt = command.expression or "", command.prompt
    if not command.target_id or not (said.strip() or (prompt is not None and not said)):
        raise CommandError("add: expected an id and a sentence that names the target, or a point, "
                           "box or mask that shows it")
    _check_length(command.target_id + said)
    if prompt is not None:
        check_prompt(prompt)


def _releases(text: str, release_words: Iterable[str]) -> bool:
    """Whether a text asks for a stop: by a clause that does, or by saying nothing at all.

    Better one stop too many: of "clear, round bottle" somebody finds out at once.
    """
    phrases = set(map(_words, release_words)) - {()}
    said = {_words(text), *map(_words, _CLAUSES.split(text))}
    said |= {tuple(word for word in words if word not in _FILLERS) for words in said}
    return not _words(text) or not said.isdisjoint(phrases)


def _check_length(text: str) -> None:
    if len(text) > LONGEST_COMMAND:
        raise CommandError(f"command {_short(text)} has {len(text)} characters; at most "
                           f"{LONGEST_COMMAND} are taken: shorten it")


def _words(text: str) -> tuple[str, ...]:
    """Words without case, punctuation and invisible characters; said twice in a row is once."""
    visible = "".join(character for character in unicodedata.normalize("NFKC", text)
                      if unicodedata.category(character) != "Cf")
    words = _WORD.findall(visible.casefold())
    return tuple(word for word, before in zip(words, [None, *words], strict=False)
                 if word != before)


def _trimmed(text: str) -> str:
    """Without spaces, control and format characters (byte-order marks, zero width) at the ends."""
    kept = [place for place, character in enumerate(text)
            if not character.isspace() and unicodedata.category(character) not in ("Cf", "Cc")]
    return text[kept[0]:kept[-1] + 1] if kept else ""


def _unquoted(text: str) -> str:
    """Trimmed, and without quotes around the whole."""
    text = _trimmed(text)
    while len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = _trimmed(text[1:-1])
    return text


def _checked_id(name: str) -> str:
    """An id without what surrounds it. Raises CommandError when nothing usable is left."""
    bare = _trimmed(_trimmed(name).strip(_PUNCTUATION))
    if not 0 < len(bare) <= _LONGEST_ID or ":" in bare or any(map(str.isspace, bare)):
        raise CommandError(f"expected an id without spaces and colons, of at most {_LONGEST_ID} "
                           "characters, as in 'add:cup: the red cup' or 'remove:cup', got "
                           f"{_short(name)}")
    return bare


def _short(text: str, limit: int = 60) -> str:
    """Quoted beginning of a text, for messages."""
    return repr(text if len(text) <= limit else text[:limit] + "...")
