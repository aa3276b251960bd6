"""Answers and clients for the tests of the page. Nothing here is a model."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import cv2
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from samwise_ros.live.board import Board
from samwise_ros.structures import Box, FrameResult, TargetResult, TargetState

TIMEOUT = 60.0  # a busy machine is slow


def answer_with_square(rgb: np.ndarray, expression: str = "the square") -> FrameResult:
    """One target: the upper left quarter of the picture."""
    height, width = rgb.shape[:2]
    mask = np.zeros((height, width), bool)
    mask[:height // 2, :width // 2] = True
    target = TargetResult("target", expression, 1, TargetState.TRACKING, 2.0, mask,
                          Box(0, 0, width // 2, height // 2), int(mask.sum()), False, 4,
                          np.zeros((4, 4), np.float32))
    return FrameResult(0, None, (height, width), (target,))


def show(board: Board, rgb: np.ndarray, camera: str = "", latency: float = 0.05) -> None:
    """Put an answer with the square on the board."""
    board.show(camera, rgb, answer_with_square(rgb), {"target": 1}, latency)


def noise(height: int = 120, width: int = 160, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3] that no encoder makes small."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def get(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, body) of a GET; `Host` and the like as keywords with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={
            name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def watch(port: int, **headers: str) -> ClientConnection:
    """A connection as a browser's, to the name `Host`. Raises InvalidStatus when refused."""
    host = headers.pop("Host", f"127.0.0.1:{port}")
    return connect(f"ws://{host}/live", sock=socket.create_connection(("127.0.0.1", port)),
                   proxy=None, max_size=None, open_timeout=TIMEOUT, additional_headers=headers)


def states(client: ClientConnection, until: Callable[[dict], bool]) -> dict:
    """The first JSON message that fits; pictures meanwhile are acknowledged."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        message = client.recv(timeout=TIMEOUT)
        if isinstance(message, bytes):
            client.send(json.dumps({"seen": message[0]}))
        elif until(found := json.loads(message)):
            return found
    raise AssertionError("no such message")


def picture(client: ClientConnection, acknowledge: bool = True) -> tuple[int, int, np.ndarray]:
    """(camera, number, uint8 RGB [H, W, 3]) of the next picture."""
    while isinstance(message := client.recv(timeout=TIMEOUT), str):
        pass
    camera, number = struct.unpack(">BI", message[:5])
    bgr = cv2.imdecode(np.frombuffer(message[5:], np.uint8), cv2.IMREAD_COLOR)
    if acknowledge:
        client.send(json.dumps({"seen": camera}))
    return camera, number, bgr[..., ::-1]


def command(client: ClientConnection, text: str, camera: str = "") -> dict:
    """Send a command; what became of it."""
    client.send(json.dumps({"camera": camera, "text": text}))
    return states(client, lambda message: "cameras" not in message)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = TIMEOUT) -> None:
    """Look every few milliseconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Onlooker:
    """A connection that takes in and acknowledges everything in a thread of its own.

    Attributes:
        cameras: The newest state of each by name.
        pictures: The newest picture of each by number, uint8 RGB [H, W, 3].
        replies: What became of commands, in order.
    """

    def __init__(self, port: int) -> None:
        self._opened = ExitStack()
        self._client = self._opened.enter_context(watch(port))
        self.cameras: dict[str, dict] = {}
        self.pictures: dict[int, np.ndarray] = {}
        self.replies: list[dict] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, text: str, camera: str = "") -> None:
        """Send a command."""
        self._client.send(json.dumps({"camera": camera, "text": text}))

    def close(self) -> None:
        """Leave."""
        self._opened.close()
        self._thread.join(TIMEOUT)

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            for message in self._client:
                self._take(message)

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            bgr = cv2.imdecode(np.frombuffer(message[5:], np.uint8), cv2.IMREAD_COLOR)
            self.pictures[message[0]] = bgr[..., ::-1]
            self._client.send(json.dumps({"seen": message[0]}))
        elif "cameras" in (said := json.loads(message)):
            self.cameras = {camera["name"]: camera for camera in said["cameras"]}
        else:
            self.replies.append(said)
