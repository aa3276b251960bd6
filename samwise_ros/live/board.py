"""What the page shows: the newest answer of each camera and how that camera is doing.

Whoever has answers puts them here, in whatever thread, and waits for nobody. Who shows them takes
the newest.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from samwise_ros.streaming.drawing import colour_of
from samwise_ros.streaming.prompts import seconds_of
from samwise_ros.structures import CommandError, FrameResult, TargetResult

Level = Literal["ok", "idle", "error"]
_RATE_OVER = 10.0  # seconds
_SILENT = 3.0  # seconds without an answer after which that is said
_KEPT = 200  # answers of which times are known
_OLD = 2.0  # seconds from a picture to the newest, after which nothing can be shown on it


@dataclass(frozen=True)
class Answer:
    """One answered picture.

    Attributes:
        rgb: uint8 [H, W, 3], the camera's picture; not changed by anyone.
        result: What was found in it.
        labels: Number from 1 of each target's id, which gives its colour.
        latency: Seconds from the picture to its answer.
        number: Counted from 1 by the board.
    """

    rgb: np.ndarray
    result: FrameResult
    labels: Mapping[str, int]
    latency: float
    number: int = 0


@dataclass
class _Camera:
    """What is known of one camera."""

    answer: Answer | None = None
    status: str = ""
    level: Level = "idle"
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))  # of answers
    stamps: deque[float | None] = field(default_factory=lambda: deque(maxlen=_KEPT))  # the same


class Board:
    """The newest of several cameras. All methods may be called from any thread.

    Args:
        cameras: Their names; one empty name for the only camera.

    Attributes:
        changed: Notified on every change.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        self.changed = threading.Condition()
        self._cameras = {name: _Camera() for name in cameras}
        self._version = 0
        self._written = ((-1, -1), "")  # (version, second) and JSON
        self._listeners: tuple[Callable[[], None], ...] = ()

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names in their order, which gives their numbers on the page."""
        return tuple(self._cameras)

    def show(self, camera: str, rgb: np.ndarray, result: FrameResult, labels: Mapping[str, int],
             latency: float) -> None:
        """Put a camera's newest answer up; see `Answer`."""
        with self.changed:
            shown = self._cameras[camera]
            number = 1 + (shown.answer.number if shown.answer else 0)
            shown.answer = Answer(rgb, result, dict(labels), latency, number)
            shown.times.append(time.monotonic())
            shown.stamps.append(seconds_of(result.stamp))
            self._touch()
        self._tell()

    def say(self, camera: str, status: str, level: Level = "ok") -> None:
        """Put up how a camera is doing, in one line."""
        with self.changed:
            shown = self._cameras[camera]
            if (shown.status, shown.level) == (status, level):
                return
            shown.status, shown.level = status, level
            self._touch()
        self._tell()

    def answer(self, camera: str) -> Answer | None:
        """The newest answer; None before the first."""
        return self._cameras[camera].answer

    def stamp(self, camera: str, number: int) -> float | None:
        """The stamp in seconds of a picture that was shown; None where it has none.

        Raises CommandError when it is too old to point at: what it shows may have moved.
        """
        with self.changed:
            shown = self._cameras[camera]
            back = shown.answer.number - number if shown.answer else -1
            if not 0 <= back < len(shown.times) or shown.times[-1] - shown.times[-1 - back] > _OLD:
                raise CommandError("that picture is too old: point at a newer one")
            return shown.stamps[-1 - back]

    def written(self) -> tuple[int, str]:
        """Version and JSON of everything but the pictures. The version grows with every change."""
        with self.changed:
            key = (self._version, int(time.monotonic()))  # rates fall while nothing comes
            if self._written[0] != key:
                cameras = [_described(name, camera) for name, camera in self._cameras.items()]
                self._written = (key, json.dumps({"cameras": cameras}))
            return self._version, self._written[1]

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change, in the thread that made it."""
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Undo `listen`."""
        self._listeners = tuple(other for other in self._listeners if other is not listener)

    def _touch(self) -> None:
        self._version += 1
        self.changed.notify_all()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _described(name: str, camera: _Camera) -> dict[str, Any]:
    answer = camera.answer
    status, level = camera.status, camera.level
    silent = time.monotonic() - camera.times[-1] if camera.times else 0.0
    if level == "ok" and silent > _SILENT:
        status, level = f"no answer for {silent:.0f} s", "idle"
    described: dict[str, Any] = {"name": name, "status": status, "level": level,
                                 "rate": _rate(camera.times), "latency": None, "size": None,
                                 "targets": []}
    if answer is not None:
        height, width = answer.result.size
        described |= {"latency": round(1e3 * answer.latency, 1), "size": [width, height],
                      "targets": [_target(target, answer.labels[target.target_id])
                                  for target in answer.result.targets]}
    return described


def _target(target: TargetResult, label: int) -> dict[str, Any]:
    return {"id": target.target_id, "expression": target.name, "command": target.command,
            "state": target.state.value, "score": round(target.score, 3), "age": target.age,
            "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(label - 1))}


def _rate(times: Sequence[float]) -> float:
    """Answers per second over the last seconds, up to now: a camera that stalls shows it."""
    now = time.monotonic()
    recent = [when for when in times if now - when < _RATE_OVER]
    return round((len(recent) - 1) / (now - recent[0]), 1) if len(recent) > 1 else 0.0
