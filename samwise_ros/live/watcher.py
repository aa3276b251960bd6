"""One browser: what it is sent, and what it says.

It gets the state as JSON, and pictures as bytes: the camera's number (uint8), the answer's (uint32,
big-endian), JPEG. It says {"seen": CAMERA} when it has shown a picture, so that at most one of each
camera is on its way however slow the line is, and {"camera": NAME, "text": COMMAND}, which is
answered by {"accepted": WHAT} or {"refused": WHY}. {"camera": NAME, "picture": NUMBER, "point": [X,
Y] or "box": [X0, Y0, X1, Y1], "text": SENTENCE or "", "id": ID or ""} shows a target, in pixels of
the camera's image.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from samwise_ros.live.board import Board
from samwise_ros.live.painter import Painter
from samwise_ros.streaming.commands import shown_command
from samwise_ros.structures import Command, CommandError, Prompt

Commander = Callable[[str, str | Command], str]

_HEARTBEAT = 1.0  # seconds: a page that hears nothing for longer says that it is blind
_FAR = 1e6  # pixels
_UNREADABLE = 1007  # close code: a message that is none


class Watcher:
    """Serves one connection from its start to its end, in the page's event loop.

    Args:
        socket: Accepted already.
        board: What is shown.
        painter: Who paints it.
        command: Carries out a command, a text or a record, for a camera (an empty name: for all)
            and says what became of it; raises CommandError.
    """

    def __init__(self, socket: WebSocket, board: Board, painter: Painter, command: Commander
                 ) -> None:
        self._socket = socket
        self._board = board
        self._painter = painter
        self._command = command
        self._news = asyncio.Event()
        self._ready = set(board.cameras)  # cameras whose last picture has been shown
        self._sent: dict[str, int] = {}  # numbers of pictures
        self._version = -1

    def wake(self) -> None:
        """Look whether there is something new to send; in the event loop."""
        self._news.set()

    async def run(self) -> None:
        """Until either side has enough."""
        tasks = [asyncio.create_task(part) for part in (self._send(), self._receive())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, (WebSocketDisconnect, OSError)):
                raise error

    async def _send(self) -> None:
        while True:
            version, text = self._board.written()
            if version != self._version or not self._news.is_set():  # news, or nothing for too long
                self._version = version
                await self._socket.send_text(text)
            self._news.clear()
            await self._send_pictures()
            try:
                await asyncio.wait_for(self._news.wait(), _HEARTBEAT)
            except asyncio.TimeoutError:
                pass

    async def _send_pictures(self) -> None:
        for number, camera in enumerate(self._board.cameras):
            if camera not in self._ready:
                continue
            picture = self._painter.picture(camera)
            answer = self._board.answer(camera)
            if picture is not None and picture.number > self._sent.get(camera, 0):
                self._ready.discard(camera)
                self._sent[camera] = picture.number
                await self._socket.send_bytes(
                    struct.pack(">BI", number, picture.number & 0xFFFFFFFF) + picture.jpeg)
            elif answer is not None:
                self._painter.want(camera)

    async def _receive(self) -> None:
        while True:
            message = _parsed(await self._socket.receive())
            if message is None:
                await self._socket.close(_UNREADABLE)
                return
            await self._obey(message)

    async def _obey(self, message: dict[str, Any]) -> None:
        cameras = self._board.cameras
        seen, camera, text = (message.get(name) for name in ("seen", "camera", "text"))
        if isinstance(seen, int) and 0 <= seen < len(cameras):
            self._ready.add(cameras[seen])
            self.wake()
        elif isinstance(text, str) and (camera == "" or camera in cameras):
            try:
                wish = self._shown(message, str(camera)) if "picture" in message else text
                reply = {"accepted": self._command(str(camera), wish)}
            except CommandError as error:
                reply = {"refused": str(error)}
            await self._socket.send_text(json.dumps(reply))


    def _shown(self, message: dict[str, Any], camera: str) -> Command:
        """What was pointed at. Raises CommandError."""
        point, box = (_numbers(message.get(name)) for name in ("point", "box"))
        number, name = message["picture"], message.get("id", "")
        if (len(point), len(box)) not in ((2, 0), (0, 4)) or not isinstance(number, int) \
                or not isinstance(name, str) or camera not in self._board.cameras:
            raise CommandError("expected a camera, the number of its picture, and a point or a box")
        prompt = Prompt(points=((point[0], point[1]),) if point else (),
                        box=(box[0], box[1], box[2], box[3]) if box else None,
                        stamp=self._board.stamp(camera, number))
        return shown_command(name, message["text"], prompt)


def _numbers(values: Any) -> tuple[float, ...]:
    """The values of a list of numbers; nothing for whatever else."""
    fits = isinstance(values, list) and all(
        isinstance(value, (int, float)) and abs(value) < _FAR for value in values)
    return tuple(map(float, values)) if fits else ()


def _parsed(event: Any) -> dict[str, Any] | None:
    """A message of the browser; None when it is none. Raises WebSocketDisconnect."""
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1000))
    try:
        message = json.loads(event.get("text") or "")
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
