"""Every test here runs on a ledger in a file and on one in a PostgreSQL database: what they do is the same.

With `BATCH_UPLOAD_TESTS_POOLED=1` also through pgbouncer, which gives each transaction another connection.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from batch_upload.ledger_address import LedgerAddress
from tests.support.ledgers import Ledgers, PostgresLedgers, SqliteLedgers
from tests.support.one_lane import OneLane, Open, opening
from tests.support.pgbouncer import running_pgbouncer
from tests.unit.ledger.samples import RUN, ManualClock

KINDS = ("sqlite", "postgres", *(["pooled"] if os.environ.get("BATCH_UPLOAD_TESTS_POOLED") == "1" else []))


@pytest.fixture(params=KINDS, scope="session")
def ledgers(request: pytest.FixtureRequest) -> Iterator[Ledgers]:
    if request.param == "sqlite":
        yield SqliteLedgers()
        return
    server = request.getfixturevalue("postgres")
    if request.param == "postgres":
        yield PostgresLedgers(server)
        return
    with running_pgbouncer(server) as pooler:
        yield PostgresLedgers(server, pooler)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def new_address(ledgers: Ledgers) -> Iterator[Callable[[], LedgerAddress]]:
    """Returns the address of another new ledger at each call."""
    with ExitStack() as lent:
        yield lambda: lent.enter_context(ledgers.one())


@pytest.fixture
def address(new_address: Callable[[], LedgerAddress]) -> LedgerAddress:
    return new_address()


@pytest.fixture
async def opened(address: LedgerAddress, clock: ManualClock) -> AsyncIterator[Open]:
    async with opening(address, run_id=RUN, clock=clock) as open_one:
        yield open_one


@pytest.fixture
async def ledger(opened: Open) -> OneLane:
    return await opened()
