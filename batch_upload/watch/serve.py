"""The server of a page: read-only HTTP on loopback, under a secret path.

A page elsewhere can make a name of its own mean 127.0.0.1 and let a browser ask here (DNS rebinding): the Host header
then has that other name. So only requests for our own address are answered.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import unquote

import anyio
from aiohttp import web

from batch_upload.errors import UsageError

LOOPBACK = "127.0.0.1"
LOOPBACK_NAMES = (LOOPBACK, "localhost", "[::1]")
SHUTDOWN_S = 1.0
"""For answers that are under way at the end."""
HEARTBEAT_S = 15.0
"""After so long without a change a comment is sent, which finds out whether the reader is still there."""
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the path is the secret
    "Server": "batch-upload",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer."""
_FRAMES = "frame-ancestors 'none'"
"""Added to the page's own policy: a page cannot say it of itself."""


class PageSource(Protocol):
    """What is served: a page, and its changes by revision."""

    policy: str

    async def page(self) -> bytes:
        """Return the page as it is now, HTML in UTF-8."""
        ...

    async def since(self, revision: int) -> tuple[int, str]:
        """Return the revision now, and what has changed since the given one: JSON on one line."""
        ...

    async def wait_for_change(self, revision: int) -> None:
        """Return as soon as there is a later revision than this."""
        ...


class Route(StrEnum):
    """What there is behind the secret."""

    PAGE = ""
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class HttpRejection:
    """Why a request is not answered: a status of HTTP, and a sentence without the secret."""

    status: int
    message: str


def route_of(*, method: str, host: str | None, path: str, token: str, port: int) -> Route | HttpRejection:
    """Return where a request goes. `host` is its Host header; `path` is as it was sent, without the query.

    The secret is compared in constant time.
    """
    own_hosts = {f"{name}:{port}" for name in LOOPBACK_NAMES} | (set(LOOPBACK_NAMES) if port == 80 else set())
    if host is None or host.lower() not in own_hosts:
        return HttpRejection(421, "this is served on loopback, under its own address only")
    if method != "GET":
        return HttpRejection(405, "this can only be read")
    given, slash, route = unquote(path, errors="replace").removeprefix("/").partition("/")
    if not hmac.compare_digest(given.encode(), token.encode()) or not slash:
        return HttpRejection(404, "nothing is here: open the address that `watch` has printed")
    return Route(route) if route in set(Route) else HttpRejection(404, "nothing is here")


@asynccontextmanager
async def served_page(source: PageSource, *, token: str, port: int = 0) -> AsyncIterator[str]:
    """Serve until the context ends, and yield the address; port 0 takes a free one. Connected readers get the end.

    Raises UsageError for a port that is taken.
    """
    handler = _Handler(source, token)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except (OSError, OverflowError) as error:
            hint = "`--port 0` takes a free one"
            raise UsageError(f"cannot listen on {LOOPBACK}:{port}: {error}", hint=hint) from error
        handler.port = runner.addresses[0][1]
        yield f"http://{LOOPBACK}:{handler.port}/{token}/"
    finally:
        handler.stopping.set()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Handler:
    """Answers requests."""

    def __init__(self, source: PageSource, token: str) -> None:
        self._source = source
        self._token = token
        self.port = 0
        self.stopping = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        route = route_of(
            method=request.method,
            host=hosts[0] if len(hosts) == 1 else None,
            path=request.rel_url.raw_path,
            token=self._token,
            port=self.port,
        )
        match route:
            case HttpRejection():
                allow = {"Allow": "GET"} if route.status == 405 else {}
                return web.Response(status=route.status, text=f"{route.message}\n", headers={**HEADERS, **allow})
            case Route.PAGE:
                headers = {**HEADERS, "Content-Security-Policy": f"{self._source.policy}; {_FRAMES}"}
                body = await self._source.page()
                return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)
            case Route.CHANGES:
                return await self._stream_changes(request)

    async def _stream_changes(self, request: web.Request) -> web.StreamResponse:
        """Send server-sent events: `changes` each time there are some, `ended` when no more will come."""
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = request.query.get("since", "")
        # what is no revision is taken as 0: everything is sent
        revision = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
        with suppress(ConnectionError):  # the reader has closed the page
            while not self.stopping.is_set():
                known = revision
                revision, changes = await self._source.since(known)
                if revision != known:
                    await response.write(f"event: changes\ndata: {changes}\n\n".encode())
                while not await self._wait(revision):
                    await response.write(b":\n\n")
            await response.write(b"event: ended\ndata:\n\n")
        return response

    async def _wait(self, revision: int) -> bool:
        """Return True as soon as there is a change or the end, False after `HEARTBEAT_S`."""
        waits = [
            asyncio.ensure_future(self._source.wait_for_change(revision)),
            asyncio.ensure_future(self.stopping.wait()),
        ]
        try:
            done, _ = await asyncio.wait(waits, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return bool(done)
