"""A server on loopback that gives chosen answers, such as no service would give, and counts what comes to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answering:
    """What it answers, and what came. `head` is the status line and headers without Content-Length."""

    url: str = ""
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0"
    body: bytes = b"{}"
    requests: int = 0
    received: bytearray = field(default_factory=bytearray)
    """Every byte that came, headers too."""

    def answer(self, status: int, body: bytes, *, content_type: str = "application/x-amz-json-1.0") -> None:
        """Answer so from now on."""
        self.head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}".encode()
        self.body = body

    def redirect(self, status: int, location: str) -> None:
        """Answer with a redirect from now on."""
        self.head, self.body = f"HTTP/1.1 {status} X\r\nLocation: {location}".encode(), b""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                self.received += head
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self.received += await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                writer.write(b"%s\r\nContent-Length: %d\r\n\r\n%s" % (self.head, len(self.body), self.body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering() -> AsyncIterator[Answering]:
    """Serve until the context ends."""
    made = Answering()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(made.take(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
