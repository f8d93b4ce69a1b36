"""Every test here runs on a ledger in a file and on one in a PostgreSQL database: what they do is the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack

import pytest

from batch_upload.ledger_address import LedgerAddress
from tests.support.ledgers import Ledgers, PostgresLedgers, SqliteLedgers
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import RUN, ManualClock

Open = Callable[..., Awaitable[OneLane]]


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def ledgers(request: pytest.FixtureRequest) -> Ledgers:
    return SqliteLedgers() if request.param == "sqlite" else PostgresLedgers(request.getfixturevalue("postgres"))


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
    """Opens ledgers that are closed when the test ends."""
    made: list[OneLane] = []

    async def open_one(where: LedgerAddress = address, run_id: str = RUN) -> OneLane:
        made.append(await open_one_lane(where, run_id=run_id, clock=clock))
        return made[-1]

    yield open_one
    for ledger in made:
        await ledger.close()


@pytest.fixture
async def ledger(opened: Open) -> OneLane:
    return await opened()
