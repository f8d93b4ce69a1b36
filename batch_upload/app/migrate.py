"""`ledger migrate`: a ledger's tables are made or brought up to date, and nothing else."""

from batch_upload.clock import SystemClock
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import LedgerAddress
from batch_upload.summary import new_run_id


async def migrate_ledger(ledger: LedgerAddress) -> None:
    """Make a ledger's tables, or bring them up to date. Raises as `open_ledger`."""
    clock = SystemClock()
    opened = await open_ledger(ledger, run_id=new_run_id(clock.now()), clock=clock)
    await opened.close()
