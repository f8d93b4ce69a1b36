"""A ledger and the writer of its only lane in one, for tests of what happens in one lane."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from batch_upload.document import RememberedDigest
from batch_upload.ledger import open_ledger
from batch_upload.ledger.store import LaneWriter, Store
from batch_upload.ledger_address import LedgerAddress
from batch_upload.ports import Clock


class OneLane(LaneWriter):
    """A writer that closes its ledger. `ledger` makes writers of other lanes."""

    def __init__(self, ledger: Store) -> None:
        super().__init__(ledger)
        self.ledger = ledger

    async def remember_digests(self, remembered: dict[str, RememberedDigest]) -> None:
        await self.ledger.remember_digests(remembered)

    async def close(self) -> None:
        await self.ledger.close()


Open = Callable[..., Awaitable[OneLane]]
"""Opens the ledger of a test, or another one, for a run."""


@asynccontextmanager
async def opening(first: LedgerAddress, *, run_id: str, clock: Clock) -> AsyncIterator[Open]:
    """Yield what opens ledgers, `first` unless another is named; they are closed at the end."""
    made: list[OneLane] = []

    async def open_one(where: LedgerAddress = first, run_id: str = run_id) -> OneLane:
        made.append(await open_one_lane(where, run_id=run_id, clock=clock))
        return made[-1]

    yield open_one
    for ledger in made:
        await ledger.close()


async def open_one_lane(address: LedgerAddress, *, run_id: str, clock: Clock, wait_lock_s: float = 0.0) -> OneLane:
    """Open a ledger and return the writer of its only lane. Raises as `open_ledger` does. Close it."""
    opened = await open_ledger(address, run_id=run_id, clock=clock, wait_lock_s=wait_lock_s)
    assert isinstance(opened, Store)
    return OneLane(opened)
