"""Processes that write to a ledger in a PostgreSQL database, as many as a test wants, on one event loop.

Each has a connection, a writing thread and leases of its own. Leases are of milliseconds or are moved with SQL, so that
no test waits for one to lapse.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio

from batch_upload.clock import SystemClock
from batch_upload.ledger.postgres import PostgresLeases, open_fenced
from batch_upload.ledger.store import LaneWriter, Store
from batch_upload.ledger.writer import Writer
from batch_upload.ledger_address import PostgresUrl
from batch_upload.ports import Clock
from tests.support.postgres import PostgresServer

TTL_S = 30.0


@dataclass(slots=True)
class Controller:
    """A process with the ledger open, and what a test looks into."""

    store: Store
    leases: PostgresLeases
    thread: Writer

    async def writer(self, target: str = "acme/us-east-1") -> LaneWriter:
        """Return a writer of a target that is not pinned yet."""
        return await self.store.writer(target)


async def open_controller(
    url: str,
    run_id: str,
    *,
    ttl_s: float = TTL_S,
    wait_lane_s: float = 0.0,
    clock: Clock | None = None,
    reconnect_s: float = 10.0,
    ending_s: float = 0.5,
) -> Controller:
    """Open the ledger as a process does. Close its `store`."""
    own_clock, address = clock or SystemClock(), PostgresUrl(url, url)
    leases = PostgresLeases(run_id=run_id, shown="the ledger", now_s=own_clock.monotonic, ttl_s=ttl_s)
    opened = open_fenced(
        address,
        at=own_clock.now(),
        leases=leases,
        now_s=own_clock.monotonic,
        reconnect_s=reconnect_s,
        ending_s=ending_s,
    )
    thread = Writer(opened, shown="the ledger", on_closed=lambda: None)
    store = Store(thread, leases, shown="the ledger", clock=own_clock, wait_lane_s=wait_lane_s)
    try:
        await store.start()
    except BaseException:
        await store.close()
        raise
    return Controller(store, leases, thread)


@asynccontextmanager
async def controller(url: str, run_id: str, **options: Any) -> AsyncIterator[Controller]:  # noqa: ANN401
    """Have the ledger open as a process has it, with the options of `open_controller`; it is closed at the end."""
    opened = await open_controller(url, run_id, **options)
    try:
        yield opened
    finally:
        await opened.store.close()


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Return as soon as something is so. Raises what it raises, and TimeoutError after 20 s."""
    with anyio.fail_after(20):
        while not is_so():  # noqa: ASYNC110 - what the thread does sets no event
            await anyio.sleep(0.005)


def lapse(server: PostgresServer, url: str) -> None:
    """Let every lease lapse, as if its holder had given no sign of life."""
    server.execute("UPDATE lane SET lease_until = clock_timestamp() - interval '1 s'", database_of(url))


def lane_rows(server: PostgresServer, url: str, columns: str) -> list[tuple[Any, ...]]:
    """Return columns of every lane, the oldest first."""
    return server.execute(f"SELECT {columns} FROM lane ORDER BY lane_id", database_of(url))  # noqa: S608


def database_of(url: str) -> str:
    """Return the name of a URL's database."""
    return urlsplit(url).path.strip("/")


def through(url: str, port: int) -> str:
    """Return the URL by way of another port of this machine."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
