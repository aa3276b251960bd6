"""The page without a browser: real sockets, who is let in, and what a slow or rude one costs."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the page: pip install 'samwise_ros[live]'")
pytest.importorskip("websockets", reason="needs the page: pip install 'samwise_ros[live]'")

from live_builders import (
    TIMEOUT,
    answer_with_square,
    command,
    get,
    noise,
    picture,
    show,
    states,
    wait_until,
    watch,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from samwise_ros.live import board as board_module
from samwise_ros.live import painter, server
from samwise_ros.live.board import Board
from samwise_ros.live.server import PageServer
from samwise_ros.streaming.commands import parse_command
from samwise_ros.structures import Command, CommandError, ConfigError

Serve = Callable[..., tuple[Board, PageServer]]


def carried_out(camera: str, wish: str | Command) -> str:
    if isinstance(wish, Command):
        prompt = wish.prompt
        return (f"{camera}: {wish.target_id} {wish.expression} {wish.replace_all} {prompt.points} "
                f"{prompt.box} {prompt.stamp}")
    return f"{camera}: {parse_command(wish).kind.value}"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Pages whose commands are parsed and numbered, and nothing else."""
    opened: list[PageServer] = []

    def start(*cameras: str, **options: str) -> tuple[Board, PageServer]:
        board = Board(cameras or ("",))
        page = PageServer(board, carried_out, 0, **options)
        opened.append(page)
        return board, page

    yield start
    for page in opened:
        page.close()


def refused(port: int, **headers: str) -> int:
    """HTTP status with which a connection is refused."""
    with pytest.raises(InvalidStatus) as caught:
        watch(port, **headers)
    return caught.value.response.status_code


def test_the_files_are_sent_with_headers_that_keep_everything_else_out(serve: Serve) -> None:
    _, page = serve()
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"),
                       ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml"),
                       ("/nothing", "text/plain")):
        status, headers, body = get(page.port, path)
        policy = headers["content-security-policy"]
        assert status == (404 if path == "/nothing" else 200) and body
        assert headers["content-type"].startswith(kind) and "server" not in headers
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_on_this_machine_only_its_own_names_and_pages_are_let_in(serve: Serve) -> None:
    _, page = serve()
    assert page.url == f"http://localhost:{page.port}/"
    for host in ("localhost", f"127.0.0.1:{page.port}", "[::1]:9000"):
        assert get(page.port, Host=host)[0] == 200
    for host in ("robot.example", "localhost.example:80", "", "[", "127.0.0.1.example"):
        assert get(page.port, Host=host)[0] == 403, host
    own = f"http://localhost:{page.port}"
    with watch(page.port, Host=f"localhost:{page.port}", Origin=own):
        pass
    for origin in ("http://robot.example", f"http://localhost:{page.port + 1}", "null",
                   own + ".example"):
        assert refused(page.port, Host=f"localhost:{page.port}", Origin=origin) == 403
        assert get(page.port, Host=f"localhost:{page.port}", Origin=origin)[0] == 403
    assert refused(page.port, Host="robot.example") == 403


def test_beyond_this_machine_a_token_is_needed_and_leaves_the_address(serve: Serve, capfd) -> None:
    _, page = serve(address="0.0.0.0")
    address, _, token = page.url.partition("?token=")
    assert len(token) >= 32 and address.endswith(f":{page.port}/")
    status, headers, body = get(page.port)
    assert status == 403 and "token" in body and token not in body
    assert "content-security-policy" in headers
    assert get(page.port, "/?token=wrong")[0] == get(page.port, "/page.js")[0] == 403
    assert refused(page.port) == refused(page.port, Authorization="Bearer wrong") == 403
    status, headers, _ = get(page.port, f"/?token={token}")
    cookie = headers["set-cookie"]
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()
    carried = cookie.partition(";")[0]
    assert get(page.port, Cookie=carried, Host="any.name:1")[0] == 200
    with watch(page.port, Cookie=carried, Host="any.name:1", Origin="http://any.name:1"), \
            watch(page.port, Authorization=f"Bearer {token}"):
        pass
    # A site that a browser with the cookie has open.
    assert refused(page.port, Cookie=carried, Host="any.name:1",
                   Origin="http://evil.example") == 403
    assert token not in "".join(capfd.readouterr())


def test_each_page_has_a_token_of_its_own(serve: Serve) -> None:
    pages = [serve(address="0.0.0.0")[1] for _ in range(2)]
    assert len({page.url.partition("=")[2] for page in pages}) == 2


def test_a_port_in_use_and_an_address_of_others_are_refused_by_name(serve: Serve) -> None:
    _, page = serve()
    for port, address, words in (
            (page.port, "localhost", f"port {page.port} of localhost is in use"),
            (0, "192.0.2.7", "192.0.2.7"), (0, "no such host", "no such host")):
        with pytest.raises(ConfigError, match=words):
            PageServer(Board(("",)), lambda camera, text: "", port, address)


def test_everyone_sees_the_newest_answer_with_its_mask(serve: Serve) -> None:
    board, page = serve()
    board.say("", "answering")
    grey = np.full((120, 160, 3), 128, np.uint8)
    with watch(page.port) as first, watch(page.port) as second:
        show(board, grey, latency=0.0421)
        for client in (first, second):
            camera, number, rgb = picture(client)
            changed = (np.abs(rgb.astype(int) - 128).max(2) > 20)
            assert (camera, number) == (0, 1) and rgb.shape == grey.shape
            assert changed[:58, :78].all() and not changed[62:].any() and not changed[:, 82:].any()
        found = states(second, lambda message: bool(message["cameras"][0]["targets"]))["cameras"][0]
        assert (found["status"], found["level"], found["latency"], found["size"]) == (
            "answering", "ok", 42.1, [160, 120])
        (target,) = found["targets"]
        assert target == {"id": "target", "expression": "the square", "command": 1, "age": 4,
                          "state": "TRACKING", "score": 0.881, "colour": "#e69f00"}
        assert (grey == 128).all()


def test_large_pictures_are_made_small_and_small_ones_left(serve: Serve) -> None:
    board, page = serve()
    with watch(page.port) as client:
        show(board, np.zeros((1080, 1920, 3), np.uint8))
        assert picture(client)[2].shape == (720, 1280, 3)


def test_a_picture_is_encoded_once_for_all_and_only_when_someone_looks(
        serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    real = painter.encode_jpeg
    monkeypatch.setattr(painter, "encode_jpeg", lambda rgb: encoded.append(1) or real(rgb))
    board, page = serve()
    for seed in range(20):
        show(board, noise(seed=seed))
    time.sleep(0.2)
    assert not encoded
    with watch(page.port) as first, watch(page.port) as second:
        for _ in range(5):
            show(board, noise())
            numbers = {picture(client)[1] for client in (first, second)}
            assert len(numbers) == 1
        assert len(encoded) <= 6  # five, and the newest before them
    wait_until(lambda: page.watchers == 0, "both are gone")
    time.sleep(0.1)
    before = len(encoded)
    for seed in range(20):
        show(board, noise(seed=seed))
        time.sleep(0.01)
    assert len(encoded) <= before + 1  # one that was wanted while they left


def test_who_does_not_acknowledge_gets_no_more_pictures_but_the_state(serve: Serve) -> None:
    board, page = serve("front", "rear")
    with watch(page.port) as client:
        show(board, noise(), "rear")
        assert picture(client, acknowledge=False)[0] == 1
        received = []
        for number in range(2, 8):
            show(board, noise(), "rear", latency=number)
            while not (received and isinstance(received[-1], str) and json.loads(
                    received[-1])["cameras"][1]["latency"] == 1e3 * number):
                received.append(client.recv(timeout=TIMEOUT))
        assert not any(isinstance(message, bytes) for message in received)
        client.send(json.dumps({"seen": 1}))
        assert picture(client)[:2] == (1, 7)  # the newest, none between


def test_a_browser_that_never_reads_slows_nobody_and_is_dropped(
        serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_GONE_AFTER", 1.0)
    board, page = serve()
    stuck = socket.create_connection(("127.0.0.1", page.port))
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.sendall(f"GET /live HTTP/1.1\r\nHost: localhost:{page.port}\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
    wait_until(lambda: page.watchers == 1, "it is connected")
    large = noise(720, 1280)
    with watch(page.port) as client:
        wait_until(lambda: page.watchers == 2, "the other is connected, too")
        slowest, number = 0.0, 0
        deadline = time.monotonic() + TIMEOUT
        while page.watchers == 2:
            assert time.monotonic() < deadline, "the stuck one is still there"
            for _ in range(30):  # states, which it need not acknowledge: more than any buffer holds
                board.say("", "x" * 20000 + str(time.monotonic()))
            begun = time.monotonic()
            show(board, large)
            slowest = max(slowest, time.monotonic() - begun)
            number = picture(client)[1]
        assert number > 3 and slowest < 0.5
        show(board, large)
        assert picture(client)[1] > number
    stuck.close()


def test_idle_and_half_open_connections_do_not_keep_others_out(
        serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_GONE_AFTER", 1.0)
    board, page = serve()
    with ExitStack() as stack:
        client = stack.enter_context(watch(page.port))
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", page.port)))
                for _ in range(server._MOST_CONNECTIONS)]
        idle[0].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")  # and no more
        wait_until(lambda: get(page.port)[0] == 503, "all places are taken")
        wait_until(lambda: get(page.port)[0] == 200, "they are given up")
        for connection in idle:
            connection.settimeout(TIMEOUT)
            assert ended(connection)
        show(board, noise())
        picture(client)  # who watches goes on


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it, without a word."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_closing_ends_threads_and_frees_the_port_whoever_is_connected(serve: Serve) -> None:
    before, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    board, page = serve()
    with watch(page.port) as client:
        stuck = socket.create_connection(("127.0.0.1", page.port))
        show(board, noise())
        picture(client, acknowledge=False)
        page.close()
        with pytest.raises(ConnectionClosed):
            while True:
                client.recv(timeout=TIMEOUT)
        show(board, noise())  # nobody is there to be told
        stuck.close()
    wait_until(lambda: set(threading.enumerate()) <= before, "threads end")
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= files, "sockets are closed")
    PageServer(Board(("",)), lambda camera, text: "", page.port).close()


def test_commands_go_to_the_camera_that_is_named_and_refusals_come_back(serve: Serve) -> None:
    _, page = serve("front", "rear")
    with watch(page.port) as client:
        assert command(client, "the red mug", "front") == {"accepted": "front: add"}
        assert command(client, "Stop!") == {"accepted": ": clear"}
        assert "expected an id" in command(client, "add: : the mug")["refused"]
        assert "4096" in command(client, "x" * 5000)["refused"]


@pytest.mark.parametrize("message", ["", "{", "[]", "3", "\ud800", "[" * 50000, b"\x00\x01"])
def test_what_is_no_message_ends_that_connection_only(serve: Serve, message: object) -> None:
    _, page = serve()
    with watch(page.port) as good, watch(page.port) as rude:
        rude.send(message.encode("utf-8", "surrogatepass").decode("latin-1")
                  if isinstance(message, str) else message)
        with pytest.raises(ConnectionClosed):
            while True:
                rude.recv(timeout=TIMEOUT)
        assert command(good, "the mug") == {"accepted": ": add"}


@pytest.mark.parametrize("message", [
    {}, {"seen": 7}, {"seen": -1}, {"seen": "0"}, {"text": 3, "camera": ""},
    {"text": "mug", "camera": "x"}, {"text": "mug", "camera": ["x"]}, {"text": "mug"},
    {"seen": None, "text": None}])
def test_what_makes_no_sense_is_passed_over(serve: Serve, message: dict) -> None:
    _, page = serve()
    with watch(page.port) as client:
        client.send(json.dumps(message))
        assert command(client, "the mug") == {"accepted": ": add"}


def test_only_so_many_browsers_are_served(serve: Serve) -> None:
    _, page = serve()
    with ExitStack() as clients:
        for _ in range(16):
            clients.enter_context(watch(page.port))
        late = clients.enter_context(watch(page.port))
        with pytest.raises(ConnectionClosed, match="16 browsers"):
            late.recv(timeout=TIMEOUT)


def test_an_oversized_message_is_not_taken_in(serve: Serve) -> None:
    _, page = serve()
    with watch(page.port) as client, pytest.raises(ConnectionClosed):
        client.send("x" * 2**17)
        while True:
            client.recv(timeout=TIMEOUT)


def test_a_camera_that_falls_silent_is_said_to_be(
        serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from samwise_ros.live import board as module

    monkeypatch.setattr(module, "_SILENT", 0.5)
    board, page = serve()
    board.say("", "answering")
    show(board, noise())
    show(board, noise())
    with watch(page.port) as client:
        assert states(client, lambda message: True)["cameras"][0]["rate"] > 0
        silent = states(client, lambda message: message["cameras"][0]["level"] == "idle")
        assert silent["cameras"][0]["status"].startswith("no answer for")


def test_a_refusal_of_the_commander_is_no_fault(serve: Serve) -> None:
    def full(camera: str, text: str) -> str:
        raise CommandError("there are already 16 targets")

    page = PageServer(Board(("",)), full, 0)
    try:
        with watch(page.port) as client:
            assert command(client, "the mug") == {"refused": "there are already 16 targets"}
    finally:
        page.close()


def asked(client: ClientConnection, **message: object) -> dict:
    """The reply to a message."""
    client.send(json.dumps(message))
    return states(client, lambda found: "cameras" not in found)


def test_what_is_pointed_at_becomes_a_command_with_the_stamp_of_its_picture(
        serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    board, page = serve()
    with watch(page.port) as client:
        for stamp in (7.25, 7.5):
            rgb = noise()
            board.show("", rgb, replace(answer_with_square(rgb), stamp=stamp), {"target": 1}, 0.1)
        shown = {"camera": "", "picture": 1, "text": "", "id": ""}
        assert asked(client, **shown, point=[3, 4.5]) == {
            "accepted": ": target None True ((3.0, 4.5),) None 7.25"}
        assert asked(client, **{**shown, "text": "the mug", "id": "cup", "picture": 2},
                     box=[1, 2, 30, 40]) == {
            "accepted": ": cup the mug False () (1.0, 2.0, 30.0, 40.0) 7.5"}
        for wrong, why in (({"point": [3]}, "a point or a box"), ({"point": ["a", 2]}, "a point"),
                           ({"point": [1, 2], "box": [1, 2, 3, 4]}, "a point or a box"),
                           ({"point": [1e9, 2]}, "a point"), ({"box": [5, 5, 5, 9]}, "x0 < x1"),
                           ({"point": [1, 2], "picture": 3}, "too old"),
                           ({"point": [1, 2], "picture": "1"}, "number of its picture"),
                           ({"point": [1, 2], "text": "stop"}, "release word"),
                           ({"point": [1, 2], "id": "a b"}, "id without spaces")):
            assert why in asked(client, **{**shown, **wrong})["refused"]
        monkeypatch.setattr(board_module, "_OLD", -1.0)
        assert "too old" in asked(client, **shown, point=[1, 2])["refused"]


def test_a_camera_has_to_be_named_where_there_are_several(serve: Serve) -> None:
    board, page = serve("left", "right")
    show(board, noise(), "right")
    with watch(page.port) as client:
        for camera, outcome in (("right", "accepted"), ("", "refused"), ("left", "refused")):
            assert outcome in asked(client, camera=camera, picture=1, text="", point=[1, 1])
