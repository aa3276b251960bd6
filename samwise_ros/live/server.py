"""The page as a thread that listens on a port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from samwise_ros.live.access import Access
from samwise_ros.live.app import Page
from samwise_ros.live.board import Board
from samwise_ros.live.painter import Painter
from samwise_ros.live.watcher import Commander
from samwise_ros.structures import ConfigError, SamwiseError

_GONE_AFTER = 20.0  # seconds without a sign of a browser until its connection is ended
_MOST_CONNECTIONS = 64
_MOST_BYTES = 2**16  # of a message: the longest command in any encoding
_PATIENCE = 10.0  # seconds to begin and to end


class _BriefConnection(H11Protocol):
    """Ends what has not become a WebSocket in time: without that a few idle connections are all.

    uvicorn's own limit begins with the answer to a first request, which need not come.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count."""
        super().connection_made(transport)
        self.loop.call_later(_GONE_AFTER, self._end)

    def _end(self) -> None:
        if self.transport.get_protocol() is self:
            self.transport.abort()


class PageServer:
    """Serves a board to browsers until it is closed.

    Args:
        board: What is shown.
        command: Carries out a text command for a camera (an empty name: for all) and says what
            became of it; raises CommandError. Called in the server's thread.
        port: To listen on; 0: a free one.
        address: Name or IP address to listen on. Beyond this machine ("0.0.0.0") a token is needed.

    Attributes:
        url: Where the page is, with the token where one is needed.

    Raises:
        ConfigError: The address is none of this machine's, or the port is in use or not allowed.
    """

    def __init__(self, board: Board, command: Commander, port: int, address: str = "localhost"
                 ) -> None:
        listener = _listen(address, port)
        host, self.port = listener.getsockname()[:2]
        access = Access.at(host, self.port)
        self.url = _url(address, host, self.port, access.token)
        self._board = board
        self._painter = Painter(board, self._wake)
        self._page = Page(board, self._painter, command, access)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = uvicorn.Server(uvicorn.Config(
            self._page.app, http=_BriefConnection, log_config=None, log_level="warning",
            access_log=False, lifespan="off", server_header=False, proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS, ws_max_size=_MOST_BYTES,
            ws_per_message_deflate=False, timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._run, args=(listener,), name="page",
                                        daemon=True)
        self._thread.start()
        board.listen(self._wake)
        deadline = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise SamwiseError(f"the page at port {self.port} did not start")
            time.sleep(0.01)

    @property
    def watchers(self) -> int:
        """Number of connected browsers."""
        return self._page.watchers

    def close(self) -> None:
        """End connections and threads; the port is free then."""
        self._board.unlisten(self._wake)
        self._painter.close()
        self._server.should_exit = True
        self._thread.join(_PATIENCE)

    def _run(self, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[listener])

        asyncio.run(serve())

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(self._page.wake)


def check_port(port: int, address: str) -> None:
    """Raise what `PageServer` would raise; for programs that load a model before they have one."""
    _listen(address, port).close()


def _listen(address: str, port: int) -> socket.socket:
    """A listening socket, whose connections end when the other side is silent or does not read."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # "localhost" stands for two; the older one is what everybody tries.
        family, kind, protocol, _, place = min(found, key=lambda each: each[0] != socket.AF_INET)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"page: {address!r} is no address: {error}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: the kernel ends those that do not take what is sent. A
        # write that waits for them would wait for ever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * _GONE_AFTER))
        listener.bind(place)
        listener.listen(_MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"page: port {port} of {address} is in use by another program "
                              "(or another node); choose another port") from None
        raise ConfigError(f"page: port {port} of {address}: {error.strerror}") from None
    return listener


def _url(address: str, host: str, port: int, token: str) -> str:
    """Address of the page, as it is to be opened on this machine or, with a token, on others."""
    if host in ("0.0.0.0", "::"):
        address = socket.gethostname()
    shown = f"[{address}]" if ":" in address else address
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
