"""Connections for what is kept beside the ledger, such as a queue: no query waits for long."""

# ruff: noqa: ASYNC109 - `timeout` is as inherited

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg_pool import AsyncConnectionPool

from batch_upload.ledger.postgres.connection import WAKE_S, connect, database_errors, until_silent
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger_address import PostgresUrl

_LIMITS = (
    b"SELECT set_config('statement_timeout', '15s', true), set_config('lock_timeout', '5s', true), "
    b"set_config('idle_in_transaction_session_timeout', '15s', true)"
)
"""As the ledger writes. Of the transaction alone: a pooler gives the connection to others, and refuses `options`."""
RV = TypeVar("RV")


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """Is closed, with OperationalError, when the server is silent for SILENCE_S in a statement. LISTEN may wait."""

    async def wait(self, gen: PQGen[RV], interval: float = WAKE_S, timeout: float | None = None) -> RV:
        return await super().wait(until_silent(gen, self.pgconn), interval, timeout)


class BoundedPool(AsyncConnectionPool[BoundedConnection]):
    """Gives connections whose transaction ends a statement after 15 s, and one that waits for a lock after 5 s."""

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[BoundedConnection]:
        async with super().connection(timeout) as connection:
            await connection.execute(_LIMITS)
            yield connection


def reach_pool(url: PostgresUrl, *, writes: bool = True) -> Callable[..., BoundedPool]:
    """Connect once, and return what makes a pool of its arguments. With `writes` off, a standby will do. Blocking.

    Raises as `parameters_of` and `PostgresParameters.keywords`, and LedgerUnusable where the server cannot be used.
    """
    parameters = parameters_of(url, writes=writes)
    with database_errors(parameters):
        connect(parameters).close()

    async def keywords() -> dict[str, Any]:
        return {**parameters.keywords(), "prepare_threshold": None}  # poolers know no prepared statements

    return partial(BoundedPool, connection_class=BoundedConnection, kwargs=keywords)
