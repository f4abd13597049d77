"""Serving a Starlette application on this machine: addresses, who may ask, and the event loop.

On loopback anyone on the machine may ask, but no other site's page: the Host header must name this machine (against
DNS rebinding), and what changes anything needs a header that a foreign page cannot send without asking first. On
other addresses each request needs a token.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from typing import Any

from caffe.errors import InputError, MissingPackageError, StateError

App = Any
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
COOKIE = "caffe_token"
HEADER = "x-caffe"
"""A page of another site cannot send it: the browser would ask this server first, which does not answer."""


def require(purpose: str) -> None:
    """Raise MissingPackageError without what pages and servers need."""
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingPackageError.of("starlette", "web", purpose) from None
    _ = starlette


def new_token() -> str:
    return secrets.token_urlsafe(18)


class Guard:
    """ASGI middleware: refuses requests that name another host or lack the token."""

    def __init__(self, app: App, host: str, token: str = "", open_paths: tuple[str, ...] = ()) -> None:
        self.app = app
        self.loopback = host in LOOPBACK
        self.token = token
        self.open_paths = open_paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            status, reason = refused
            await _answer(send, status, reason)
            return
        await self.app(scope, receive, self._with_headers(scope, send))

    def _refused(self, scope: Any, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").rsplit(":", 1)[0] if "]" not in headers.get("host", "") else "[::1]"
        if self.loopback and host not in LOOPBACK:
            return 403, f"This server answers to 127.0.0.1 and localhost, not to {host!r}"
        origin = headers.get("origin")
        if origin and origin != "null" and origin.split("//", 1)[-1] != headers.get("host"):
            return 403, "Pages of other sites may not ask this server"
        if self.token and scope["path"] not in self.open_paths:
            given = [headers.get("authorization", "").removeprefix("Bearer ").strip()]
            query = scope.get("query_string", b"").decode("latin-1")
            given += [part[6:] for part in query.split("&") if part.startswith("token=")]
            cookies = headers.get("cookie", "").split(";")
            given += [c.split("=", 1)[1] for c in map(str.strip, cookies) if c.startswith(COOKIE + "=")]
            if not any(hmac.compare_digest(g.encode(), self.token.encode()) for g in given):
                return 401, "The token is missing or wrong: send 'Authorization: Bearer TOKEN'"
        return None

    def _with_headers(self, scope: Any, send: Any) -> Any:
        async def wrapped(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-cache"))  # another version may serve here next
                headers += [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
                if self.token and f"token={self.token}".encode() in scope.get("query_string", b""):
                    cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                    headers.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": headers}
            await send(message)

        return wrapped


async def _answer(send: Any, status: int, reason: str) -> None:
    import json

    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises InputError where the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        raise InputError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}",
            fix="Choose another --host or --port",
        ) from None
    return made


def address(host: str, listening: socket.socket, token: str = "") -> str:
    """The page's address as one types it into a browser."""
    name = f"[{host}]" if ":" in host else host
    if host in ("0.0.0.0", "::"):
        name = socket.gethostname()
    return f"http://{name}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")


def server(app: App, **settings: Any) -> Any:
    """A uvicorn server for an application; not started."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", server_header=False, **settings
    )
    return uvicorn.Server(config)


def run(
    app: App,
    listening: socket.socket,
    browse: str = "",
    announce: Callable[[], None] | None = None,
    **settings: Any,
) -> None:
    """Serve until interrupted; opens a browser at ``browse``, calls ``announce`` once requests are answered."""
    made = server(app, **settings)
    if browse or announce is not None:
        threading.Thread(target=_when_started, args=(made, browse, announce), daemon=True).start()
    made.run(sockets=[listening])
    if not made.started:
        raise StateError("The server could not start")


def _when_started(made: Any, browse: str, announce: Callable[[], None] | None) -> None:
    while not made.started and not made.should_exit:
        time.sleep(0.02)
    if made.started and announce is not None:
        announce()
    if made.started and browse:
        _open(browse)


def in_background(app: App, host: str = "127.0.0.1") -> tuple[str, Callable[[], None]]:
    """Serve from a thread of this process; returns the address and what stops it."""
    listening = listen(host, 0)
    made = server(app)
    made.install_signal_handlers = lambda: None
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    def stop() -> None:
        made.should_exit = True
        thread.join(5)

    return address(host, listening), stop


def _open(url: str) -> None:
    try:
        webbrowser.open(url)
    except webbrowser.Error:
        return
