"""Connections to a ledger's database for the tables of a queue there. No query on them waits for long."""

# ruff: noqa: ASYNC109 - `timeout` is as inherited

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg_pool import AsyncConnectionPool

from batch_upload.ledger.postgres.connection import (
    WAKE_S,
    WRITING_LIMITS,
    connect,
    database_errors,
    until_silent,
)
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger_address import PostgresUrl


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """Closes itself, with OperationalError, if the server is silent for SILENCE_S in a statement. LISTEN may wait."""

    async def wait(self, gen: PQGen[RV], interval: float = WAKE_S, timeout: float | None = None) -> RV:
        return await super().wait(until_silent(gen, self.pgconn), interval, timeout)


class BoundedPool(AsyncConnectionPool[BoundedConnection]):
    """Begins a transaction with WRITING_LIMITS on each connection that it lends."""

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[BoundedConnection]:
        async with super().connection(timeout) as connection:
            await connection.execute(WRITING_LIMITS)
            yield connection


def reach_pool(url: PostgresUrl, *, writes: bool = True) -> Callable[..., BoundedPool]:
    """Connect once, and return a factory of pools: BoundedPool without its connections' parameters. Blocking.

    Without `writes` a standby will do. Raises as `parameters_of` and `PostgresParameters.keywords`, and LedgerUnusable
    if the server cannot be used.
    """
    parameters = parameters_of(url, writes=writes)
    with database_errors(parameters):
        connect(parameters).close()

    async def keywords() -> dict[str, Any]:
        return {**parameters.keywords(), "prepare_threshold": None}  # poolers know no prepared statements

    return partial(BoundedPool, connection_class=BoundedConnection, kwargs=keywords)
