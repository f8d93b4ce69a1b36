"""A ledger that is open, and one that can be opened again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.one_lane import OneLane, Open, opening
from tests.unit.ledger.samples import RUN, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "june.ledger"


@pytest.fixture
async def opened(path: Path, clock: ManualClock) -> AsyncIterator[Open]:
    async with opening(path, run_id=RUN, clock=clock) as open_one:
        yield open_one


@pytest.fixture
async def ledger(opened: Open) -> OneLane:
    return await opened()
