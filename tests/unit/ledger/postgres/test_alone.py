"""Processes that begin together, and runs of one process: one of them makes the tables, one has a lane."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from batch_upload.clock import SystemClock
from batch_upload.errors import LedgerLocked
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import ledger_address
from batch_upload.model import Lane
from tests.support.postgres import PostgresServer

LANE = Lane("111122223333", "us-east-1")
AT = datetime(2026, 11, 27, tzinfo=UTC)
PROGRAMS = 4


def test_programs_that_open_a_new_database_at_once_make_its_tables_once(postgres: PostgresServer) -> None:
    address, ready = ledger_address(postgres.new_database("opened_at_once")), Barrier(PROGRAMS)

    async def open_and_close() -> None:
        await (await open_ledger(address, run_id="run", clock=SystemClock())).close()

    def program() -> None:
        ready.wait()
        asyncio.run(open_and_close())

    with ThreadPoolExecutor(PROGRAMS) as threads:
        ends = [each.result() for each in [threads.submit(program) for _ in range(PROGRAMS)]]

    assert ends == [None] * PROGRAMS
    assert postgres.execute("SELECT count(*) > 0 FROM migration", "opened_at_once") == [(True,)]


async def test_two_runs_of_one_process_do_not_have_a_lane_together(postgres: PostgresServer) -> None:
    address = ledger_address(postgres.new_database("two_runs_of_a_process"))
    ledger = await open_ledger(address, run_id="run", clock=SystemClock())
    try:
        first, second = await ledger.writer("acme/us-east-1"), await ledger.writer("acme/us-east-1")
        await first.pin(LANE, endpoint="http://127.0.0.1:1", at=AT)
        with pytest.raises(LedgerLocked, match=f"another run of this process holds lane {LANE}"):
            await second.pin(LANE, endpoint="http://127.0.0.1:1", at=AT)
        await first.pin(LANE, endpoint="http://127.0.0.1:1", at=AT)
        await first.release()

        await second.pin(LANE, endpoint="http://127.0.0.1:1", at=AT)
        await second.begin_run("second", verb="upload", batch="june", at=AT)
        with pytest.raises(LedgerLocked):
            await first.pin(LANE, endpoint="http://127.0.0.1:1", at=AT)
    finally:
        await ledger.close()
