"""Several programs that make the tables of a database, or bring them up to date, while others write and read."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier, Event

import psycopg
import pytest

from batch_upload.ledger.postgres.migrations import SCHEMA_VERSION, migrate, schema_version
from batch_upload.ledger.postgres.schema import MIGRATIONS
from tests.support.postgres import PostgresServer

PROGRAMS = 8
DATABASES = 5
CONTROLLERS = 4
AT = datetime(2026, 11, 27, tzinfo=UTC)
BEFORE_BINDS = MIGRATIONS[:3]
LANES = """
INSERT INTO lane (account, region, endpoint, pinned_at)
SELECT lpad(number::text, 12, '0'), 'us-east-1', 'e', '2026-11-27T00:00:00.000000Z' FROM generate_series(1, 4) number
"""
ITEMS = """
INSERT INTO item (lane_id, client_token, batch, item_id, source, content, tags, generation, identity_tag, current,
  state, enlisted_at, changed_at)
SELECT 1 + number % 4, 'bu1-' || number, 'june', number::text, 'a.pdf', 'sha256:00', '{}', 1, true, true,
  'pending', '2026-11-27T00:00:00.000000Z', '2026-11-27T00:00:00.000000Z' FROM generate_series(1, 20000) number
"""
RUN = "INSERT INTO run (lane_id, run_id, verb, batch, program, began_at) VALUES (%s, %s, 'upload', 'june', '0', %s)"


def test_each_of_them_finds_or_makes_the_ledger(postgres: PostgresServer) -> None:
    begin = Barrier(PROGRAMS)

    def open_and_migrate(url: str) -> int:
        with psycopg.connect(url, autocommit=True) as raw:
            begin.wait()
            migrate(raw, shown="x", at=AT)
            return schema_version(raw, shown="x")

    for number in range(DATABASES):
        url = postgres.new_database(f"at_once_{number}")
        with ThreadPoolExecutor(PROGRAMS) as threads:
            versions = list(threads.map(open_and_migrate, [url] * PROGRAMS))

        assert versions == [SCHEMA_VERSION] * PROGRAMS


def ledger_before_binds(postgres: PostgresServer, name: str) -> str:
    """Return the URL of a ledger of the earlier schema, with items."""
    url = postgres.new_database(name)
    with psycopg.connect(url, autocommit=True) as raw:
        migrate(raw, shown="x", at=AT, steps=BEFORE_BINDS)
        for statement in (LANES, ITEMS):
            raw.execute(statement.encode())
    return url


def test_controllers_of_the_earlier_program_go_on_while_the_tables_are_brought_up_to_date(
    postgres: PostgresServer,
) -> None:
    url, is_done, begin = ledger_before_binds(postgres, "goes_on"), Event(), Barrier(CONTROLLERS + 1)

    def control(lane_id: int) -> int:
        """Write as a controller does: the lane, then items and runs in any order. Return how often."""
        commits = 0
        with psycopg.connect(url, autocommit=True) as raw:
            begin.wait()
            while not is_done.is_set() or commits < 50:
                with raw.transaction():
                    raw.execute(b"SELECT set_config('lock_timeout', '5s', true)")
                    raw.execute(b"UPDATE lane SET commit_no = commit_no + 1 WHERE lane_id = %s", [lane_id])
                    in_turn: list[tuple[str, list[object]]] = [
                        ("UPDATE item SET source = source WHERE item_no = %s", [lane_id + 4 * commits]),
                        (RUN, [lane_id, f"run-{commits}", "2026-11-27T00:00:00.000000Z"]),
                    ]
                    for statement, values in in_turn if commits % 2 else reversed(in_turn):
                        raw.execute(statement.encode(), values)
                commits += 1
        return commits

    with ThreadPoolExecutor(CONTROLLERS) as threads:
        controllers = [threads.submit(control, lane_id) for lane_id in range(1, CONTROLLERS + 1)]
        with psycopg.connect(url, autocommit=True) as raw:
            begin.wait()
            try:
                migrate(raw, shown="x", at=AT)
            finally:
                is_done.set()

    assert all(each.result() >= 50 for each in controllers)


def test_a_reader_that_holds_the_items_ends_the_step_and_not_the_controllers(postgres: PostgresServer) -> None:
    url = ledger_before_binds(postgres, "held_up")

    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as raw:
        reader.execute(b"SELECT count(*) FROM item")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migrate(raw, shown="x", at=AT)
        assert schema_version(raw, shown="x") == len(BEFORE_BINDS)
        reader.rollback()
        migrate(raw, shown="x", at=AT)
        assert schema_version(raw, shown="x") == SCHEMA_VERSION
