"""A ledger that is open, and one that can be opened again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import RUN, ManualClock

Open = Callable[..., Awaitable[OneLane]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "june.ledger"


@pytest.fixture
async def opened(path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    """Opens ledgers that are closed when the test ends."""
    ledgers: list[OneLane] = []

    async def open_one(where: Path = path, run_id: str = RUN) -> OneLane:
        ledgers.append(await open_one_lane(where, run_id=run_id, clock=clock))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        await ledger.close()


@pytest.fixture
async def ledger(opened: Open) -> OneLane:
    return await opened()
