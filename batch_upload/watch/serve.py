"""A page and its changes over HTTP on loopback, for whoever was given the address; nothing can be changed by it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import anyio
from aiohttp import web

from batch_upload.errors import UsageError
from batch_upload.watch.guard import FRAMES, HEADERS, Place, Refused, admitted

LOOPBACK = "127.0.0.1"
SHUTDOWN_S = 1.0
"""How long answers that are under way get at the end."""
HEARTBEAT_S = 15.0
"""After so long without news a comment is sent, which finds out whether anybody still listens."""


class Showing(Protocol):
    """What is shown. Everything since a revision is told by `since`; `news` waits until there is a later one."""

    policy: str

    async def page(self) -> bytes:
        """The page as it stands, HTML in UTF-8."""
        ...

    async def since(self, revision: int) -> tuple[int, str]:
        """The revision now, and what has changed since the given one: JSON on one line."""
        ...

    async def news(self, revision: int) -> None:
        """Return as soon as there is a later revision than this."""
        ...


@asynccontextmanager
async def serving(showing: Showing, *, token: str, port: int = 0) -> AsyncIterator[str]:
    """Serve until the context ends, and give the address; port 0 takes a free one. Whoever listens then is told.

    Raises UsageError for a port that is taken.
    """
    desk = _Desk(showing, token)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", desk.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True)
    await runner.setup()
    try:
        desk.port = await _listening(runner, port)
        yield f"http://{LOOPBACK}:{desk.port}/{token}/"
    finally:
        desk.stopping.set()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


async def _listening(runner: web.AppRunner, port: int) -> int:
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
    except (OSError, OverflowError) as error:
        hint = "`--port 0` takes a free one"
        raise UsageError(f"cannot listen on {LOOPBACK}:{port}: {error}", hint=hint) from error
    bound: int = runner.addresses[0][1]
    return bound


class _Desk:
    """Answers requests."""

    def __init__(self, showing: Showing, token: str) -> None:
        self._showing = showing
        self._token = token
        self.port = 0
        self.stopping = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        place = admitted(
            method=request.method,
            host=hosts[0] if len(hosts) == 1 else None,
            path=request.rel_url.raw_path,
            token=self._token,
            port=self.port,
        )
        match place:
            case Refused():
                allow = {"Allow": "GET"} if place.status == 405 else {}
                return web.Response(status=place.status, text=f"{place.message}\n", headers={**HEADERS, **allow})
            case Place.PAGE:
                return await self._page()
            case Place.CHANGES:
                return await self._changes(request)

    async def _page(self) -> web.Response:
        policy = {"Content-Security-Policy": f"{self._showing.policy}; {FRAMES}"}
        body = await self._showing.page()
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers={**HEADERS, **policy})

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `changes` each time there are some, `ended` when no more will come."""
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionError):  # nobody listens any more, which is their right
            await self._tell(response, _number(request.query.get("since")))
        return response

    async def _tell(self, response: web.StreamResponse, revision: int) -> None:
        while not self.stopping.is_set():
            known = revision
            revision, changes = await self._showing.since(known)
            if revision != known:
                await response.write(f"event: changes\ndata: {changes}\n\n".encode())
            while not await self._waited(revision):
                await response.write(b":\n\n")
        await response.write(b"event: ended\ndata:\n\n")

    async def _waited(self, revision: int) -> bool:
        """Whether there is news or an end, rather than nothing for a long time."""
        waits = [asyncio.ensure_future(self._showing.news(revision)), asyncio.ensure_future(self.stopping.wait())]
        try:
            done, _ = await asyncio.wait(waits, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return bool(done)


def _number(text: str | None) -> int:
    """A revision; anything else is of somebody who knows nothing yet."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else 0
