"""Answers what cameras see, in real time, and shows the answers on a board. No model, no ROS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from samwise_ros.live.board import Board
from samwise_ros.streaming.commands import parse_command
from samwise_ros.streaming.label_map import LabelMap
from samwise_ros.streaming.mailbox import Mailbox
from samwise_ros.streaming.worker import FrameWorker, Lane, ModelThread
from samwise_ros.structures import Command, CommandError, FrameError, FrameResult, SamwiseError

_PATIENCE = 10.0  # seconds for the picture in work
_RETRY = 2.0  # seconds until a camera that failed is tried again


class Session(Protocol):
    """What is needed of `streaming.session.StreamingSession`."""

    @property
    def targets(self) -> tuple[tuple[str, str, int], ...]:
        """(id, expression, command number) of each target."""

    def submit(self, command: Command | str) -> int:
        """Take a command in for the next picture and return its number; raises CommandError."""

    def step(self, rgb: np.ndarray, stamp: object = None) -> FrameResult:
        """Answer one picture, uint8 [H, W, 3]; raises FrameError."""

    def reset(self) -> None:
        """Forget what was seen, keep what is looked for."""


@dataclass(frozen=True)
class Shot:
    """A picture that has just been taken.

    Attributes:
        rgb: uint8 [H, W, 3].
        first: Whether it has nothing to do with the one before: the first one, or that of a video
            which begins again.
        stamp: Handed through to the answer.
    """

    rgb: np.ndarray
    first: bool = False
    stamp: object = None


# Pictures as they come, in real time. It is given a function that waits for so many seconds, and
# returns True when it is time to end. May raise FrameError, and is then begun again.
Source = Callable[[Callable[[float], bool]], Iterator[Shot]]


class Player:
    """One session per camera, all stepped in one thread; the newest picture of each is answered.

    Args:
        sources: By camera name; one empty name for the only camera.
        sessions: Of each.
        board: Has these cameras.
    """

    def __init__(self, sources: Mapping[str, Source], sessions: Mapping[str, Session], board: Board
                 ) -> None:
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._cameras = {
            name: _Camera(name, source, sessions[name], board, self._changed, self._ended)
            for name, source in sources.items()}
        self._thread = ModelThread()
        self._worker = FrameWorker([camera.lane for camera in self._cameras.values()],
                                   self._changed, self._thread, self._crashed)
        self._crash: BaseException | None = None

    def start(self) -> None:
        """Begin to read and to answer."""
        self._worker.start()
        for camera in self._cameras.values():
            camera.reader.start()

    def wait(self) -> None:
        """Until `close`; raises what ended the model's thread."""
        self._ended.wait()
        if self._crash is not None:
            raise self._crash

    def close(self) -> None:
        """End all threads."""
        self._ended.set()
        self._worker.stop(_PATIENCE)
        for camera in self._cameras.values():
            if camera.reader.is_alive():  # not started, if the page could not be
                camera.reader.join(_PATIENCE)
        self._thread.close(_PATIENCE)

    def command(self, camera: str, text: str | Command) -> str:
        """Hand a command, a text or a record, to one camera, or to all when the name is empty.

        Returns:
            What became of it.

        Raises:
            CommandError: It cannot be understood, or a camera cannot carry it out; others then may.
        """
        meant = [each for name, each in self._cameras.items() if camera in ("", name)]
        refusals, accepted = [], []
        for each in meant:
            try:
                accepted.append(each.submit(text))
            except CommandError as error:
                refusals.append(f"{each.name}: {error}" if each.name else str(error))
        if refusals:
            raise CommandError("; ".join(dict.fromkeys(refusals)))
        return f"accepted as command {', '.join(map(str, accepted))}"

    def _crashed(self, error: BaseException) -> None:
        self._crash = error
        self._ended.set()


class _Camera:
    """One source and its session."""

    def __init__(self, name: str, source: Source, session: Session, board: Board,
                 changed: threading.Condition, ended: threading.Event) -> None:
        self.name = name
        self._source, self._session, self._board, self._ended = source, session, board, ended
        self._labels = LabelMap()
        self._refusal = ""
        self._scenes = self._answered = 0
        self._mailbox: Mailbox[tuple[Shot, int, float]] = Mailbox(changed)
        self.lane = Lane(self._mailbox, session.reset, self._answer, self._failed)
        self.reader = threading.Thread(target=self._read, name=f"camera {name}", daemon=True)

    def submit(self, wish: str | Command) -> int:
        """Hand a command to the session. A refusal stays on the board until one is taken."""
        try:
            command = wish if isinstance(wish, Command) else parse_command(wish)
            number = self._session.submit(command)
        except CommandError as error:
            self._refusal = f"command refused: {error}"
            self._board.say(self.name, self._refusal, "error")
            raise
        self._refusal = ""
        return number

    def _read(self) -> None:
        """Put pictures into the mailbox until the end; in the reader's thread."""
        while not self._ended.is_set():
            try:
                for shot in self._source(self._ended.wait):
                    self._scenes += shot.first
                    self._mailbox.put((shot, self._scenes, time.monotonic()))
                return
            except Exception as error:  # noqa: BLE001  shown, and tried again
                kind = "" if isinstance(error, FrameError) else f"{type(error).__name__}: "
                self._board.say(self.name, f"no pictures: {kind}{error}", "error")
                self._ended.wait(_RETRY)

    def _answer(self, received: tuple[Shot, int, float]) -> None:
        """In the model's thread."""
        shot, scene, taken = received
        if scene != self._answered:
            self._answered = scene
            self._session.reset()
        result = self._session.step(shot.rgb, shot.stamp)
        if result.refused:
            self._refusal = "; ".join(result.refused)
        labels = self._labels.update([target.target_id for target in result.targets])
        status = "answering pictures" if result.targets else "nothing is looked for"
        self._board.say(self.name, self._refusal or status, "error" if self._refusal else "ok")
        self._board.show(self.name, shot.rgb, result, labels, time.monotonic() - taken)

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, SamwiseError):
            raise error
        self._board.say(self.name, f"picture not answered: {error}", "error")
