"""Draws and encodes answers, once for all who look and only when someone does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from samwise_ros.live.board import Answer, Board
from samwise_ros.streaming.drawing import colour_of, encode_jpeg, paint_mask

_PERIOD = 1 / 20  # seconds between two pictures of a camera: enough for eyes
_LONGEST_SIDE = 1280  # pixels on the page


@dataclass(frozen=True)
class Picture:
    """An answer as people see it: JPEG, and the number of its answer."""

    number: int
    jpeg: bytes


class Painter:
    """A thread that paints the newest answers that somebody wants. All methods from any thread.

    Args:
        board: Where answers are taken from.
        painted: Called in the thread when there is a new picture.
    """

    def __init__(self, board: Board, painted: Callable[[], None]) -> None:
        self._board = board
        self._painted = painted
        self._wanted: set[str] = set()
        self._pictures: dict[str, Picture] = {}
        self._due: dict[str, float] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="page-painter", daemon=True)
        self._thread.start()

    def want(self, camera: str) -> None:
        """Have the next answer of a camera painted, or the newest one if it is not yet."""
        with self._board.changed:
            self._wanted.add(camera)
            self._board.changed.notify_all()

    def picture(self, camera: str) -> Picture | None:
        """The newest one painted."""
        return self._pictures.get(camera)

    def close(self) -> None:
        """End the thread."""
        with self._board.changed:
            self._closed = True
            self._board.changed.notify_all()
        self._thread.join(5.0)

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            camera, answer = turn
            self._pictures[camera] = Picture(answer.number, encode_jpeg(_painted(answer)))
            del turn, answer  # else they would keep a frame until the next one comes
            self._painted()

    def _next(self) -> tuple[str, Answer] | None:
        """Wait for an answer that is wanted, new and due; None once closed."""
        with self._board.changed:
            while not self._closed:
                waits = []
                now = time.monotonic()
                for camera in sorted(self._wanted, key=lambda name: self._due.get(name, 0.0)):
                    answer, done = self._board.answer(camera), self._pictures.get(camera)
                    if answer is None or (done is not None and done.number >= answer.number):
                        continue
                    if (due := self._due.get(camera, 0.0)) <= now:
                        self._wanted.discard(camera)
                        self._due[camera] = now + _PERIOD
                        return camera, answer
                    waits.append(due - now)
                self._board.changed.wait(min(waits, default=None))
            return None


def _painted(answer: Answer) -> np.ndarray:
    """uint8 [h, w, 3] RGB: the picture with the masks, the primary target's on top."""
    picture = answer.rgb.copy()
    for target in reversed(answer.result.targets):
        if target.box is not None:
            paint_mask(picture, target.mask, colour_of(answer.labels[target.target_id] - 1),
                       target.box)
    height, width = picture.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
