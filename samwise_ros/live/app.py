"""The page's routes: three files and one connection per browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from samwise_ros.live.access import HEADERS, Access
from samwise_ros.live.board import Board
from samwise_ros.live.painter import Painter
from samwise_ros.live.watcher import Commander, Watcher

_MOST_WATCHERS = 16
_FULL = 1013  # close code "try again later"
_FILES = {  # path: (file, type)
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Page:
    """The application, and who is connected. In one event loop.

    Args:
        board: What is shown.
        painter: Who paints it.
        command: See `Watcher`.
        access: Who may come.
    """

    def __init__(self, board: Board, painter: Painter, command: Commander, access: Access) -> None:
        self._board, self._painter, self._command = board, painter, command
        self._watchers: set[Watcher] = set()
        folder = files("samwise_ros.live") / "page"
        routes = [Route(path, _file((folder / name).read_bytes(), kind))
                  for path, (name, kind) in _FILES.items()]
        self.app = Starlette(routes=[*routes, WebSocketRoute("/live", self._serve)],
                             middleware=[Middleware(_Guard, access=access)])

    @property
    def watchers(self) -> int:
        """Number of connected browsers."""
        return len(self._watchers)

    def wake(self) -> None:
        """Have all look whether there is something new."""
        for watcher in self._watchers:
            watcher.wake()

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self._watchers) >= _MOST_WATCHERS:
            await socket.close(_FULL, f"{_MOST_WATCHERS} browsers are connected already")
            return
        watcher = Watcher(socket, self._board, self._painter, self._command)
        self._watchers.add(watcher)
        try:
            await watcher.run()
        finally:
            self._watchers.discard(watcher)


def _file(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return Response(content, media_type=kind)

    return send


class _Guard:
    """Asks `Access` before anything else, and puts the headers on whatever is sent.

    A token in the address becomes a cookie: addresses are kept and shown where no secret should be.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._access.refusal(headers)
        if scope["type"] == "http":
            token = Request(scope).query_params.get("token", "")
            if self._access.token and self._access.fits(token):
                redirect = RedirectResponse("/", 303)
                redirect.set_cookie(self._access.cookie, token, httponly=True, samesite="lax")
                answer: ASGIApp = redirect
            elif refusal:
                answer = PlainTextResponse(refusal + "\n", 403)
            else:
                answer = self._app
            await answer(scope, receive, _with_headers(send))
        elif refusal:
            await WebSocket(scope, receive, send).close(1008, refusal)
        else:
            await self._app(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] += [(name.lower().encode(), value.encode())
                                   for name, value in HEADERS.items()]
        await send(message)

    return sent
