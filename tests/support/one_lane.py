"""A ledger and the writer of its only lane in one, for tests of what happens in one lane."""

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


async def open_one_lane(address: LedgerAddress, *, run_id: str, clock: Clock, wait_lock_s: float = 0.0) -> OneLane:
    """Open a ledger and return the writer of its only lane. Raises as `open_ledger` does. Close it."""
    opened = await open_ledger(address, run_id=run_id, clock=clock, wait_lock_s=wait_lock_s)
    assert isinstance(opened, Store)
    return OneLane(opened)
