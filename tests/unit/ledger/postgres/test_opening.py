"""Opening a database as a ledger: what is made, what is refused, and what it says then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger import find_reader
from batch_upload.ledger.postgres.connection import connect
from batch_upload.ledger.postgres.migrations import SCHEMA_VERSION, migrate, schema_version
from batch_upload.ledger.postgres.parameters import parameters_of
from batch_upload.ledger.postgres.schema import MIGRATIONS
from batch_upload.ledger.tables import METADATA, utc_text
from batch_upload.ledger_address import PostgresUrl, ledger_address
from tests.support.one_lane import open_one_lane
from tests.support.postgres import PostgresServer
from tests.unit.ledger.samples import RUN, T0, ManualClock, rows


@pytest.fixture
def address(url: str) -> PostgresUrl:
    found = ledger_address(url)
    assert isinstance(found, PostgresUrl)
    return found


async def made(address: PostgresUrl) -> None:
    """A new ledger, closed."""
    await (await open_one_lane(address, run_id=RUN, clock=ManualClock())).close()


async def refusal(address: PostgresUrl) -> str:
    """Return what opening it for writing says."""
    with pytest.raises(LedgerUnusable) as caught:
        await made(address)
    assert caught.value.exit_code == 24
    return caught.value.message


@contextmanager
def configured(postgres: PostgresServer, name: str, value: str) -> Iterator[None]:
    """A setting of the whole server, for a moment."""
    postgres.execute(f"ALTER SYSTEM SET {name} = {value}")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        until = (
            f"DO $$ BEGIN WHILE current_setting('{name}') <> '{value}' LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
        )
        postgres.execute(until)
        yield
    finally:
        postgres.execute(f"ALTER SYSTEM RESET {name}")
        postgres.execute("SELECT pg_reload_conf()")


async def test_an_empty_database_is_no_ledger_yet_and_becomes_one(address: PostgresUrl) -> None:
    assert find_reader(address) is None

    await made(address)

    reader = find_reader(address)
    assert reader is not None
    with reader:
        assert (reader.lanes(), reader.lane()) == ([], None)
    assert rows(address, "SELECT version FROM migration ORDER BY version") == [
        (step,) for step in range(1, SCHEMA_VERSION + 1)
    ]


async def test_programs_that_begin_at_the_same_time_make_one_ledger(address: PostgresUrl) -> None:
    await asyncio.gather(*(made(address) for _ in range(4)))

    assert rows(address, "SELECT count(*) FROM migration") == [(SCHEMA_VERSION,)]


async def test_statements_see_the_tables_as_they_are(address: PostgresUrl) -> None:
    await made(address)

    found = rows(
        address, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    seen = {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns}

    assert {each for each in seen if each[0] != "digest"} - set(found) == set()
    assert {each for each in set(found) - seen if each[0] != "lane"} == set()  # a lane has its lease as well


def test_a_step_that_fails_leaves_nothing_behind(address: PostgresUrl) -> None:
    steps = (*MIGRATIONS, ("CREATE TABLE extra (n integer)", "SELECT 1 / 0"))
    with connect(parameters_of(address)) as raw:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrate(raw, shown="ledger", at=T0, steps=steps)

        assert schema_version(raw, shown="ledger") == len(MIGRATIONS)
        assert raw.execute("SELECT to_regclass('extra')").fetchall() == [(None,)]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_a_crash_would_damage_is_refused(
    address: PostgresUrl, postgres: PostgresServer, setting: str
) -> None:
    with configured(postgres, setting, "off"):
        said = await refusal(address)

    assert f"`{setting}` is off" in said
    assert rows(address, "SELECT to_regclass('migration')") == [(None,)]


async def test_a_database_that_may_lose_what_was_committed_is_refused(address: PostgresUrl) -> None:
    rows(
        address,
        'ALTER ROLE postgres IN DATABASE "' + address.secret.rpartition("/")[2] + '" SET synchronous_commit = off',
    )

    assert "`synchronous_commit` is off" in await refusal(address)


async def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc")
    address = ledger_address(postgres.url("latin"))
    assert isinstance(address, PostgresUrl)

    assert "is encoded in LATIN1" in await refusal(address)


async def test_a_database_of_something_else_is_refused_and_left_as_it_is(address: PostgresUrl) -> None:
    rows(address, "CREATE TABLE migration AS SELECT 7 AS version")

    assert "is not a ledger: it has other tables named migration" in await refusal(address)
    with pytest.raises(LedgerUnusable, match="is not a ledger"):
        find_reader(address)
    assert rows(address, "SELECT relname FROM pg_stat_user_tables") == [("migration",)]


async def test_a_ledger_of_a_newer_program_is_refused(address: PostgresUrl) -> None:
    await made(address)
    rows(address, "INSERT INTO migration VALUES (99, '9.9.9', '2026-11-23T09:00:00.000000Z')")

    assert "was written by batch-upload 9.9.9 (schema 99)" in await refusal(address)
    with pytest.raises(LedgerUnusable, match="schema 99"):
        find_reader(address)


def ledger_of_before(address: PostgresUrl) -> None:
    """A ledger as the program left it that knew version 1 of the tables, with a run that goes on."""
    with connect(parameters_of(address)) as raw:
        migrate(raw, shown="ledger", at=T0, steps=MIGRATIONS[:1])
    lane = "INSERT INTO lane (account, region, endpoint, pinned_at) VALUES ('123456789012', 'us-east-1', 'e', '{at}')"
    rows(address, lane.format(at=utc_text(T0)))
    rows(address, RUN_OF_BEFORE.format(run_id="old", at=utc_text(T0)))
    rows(address, ITEM_OF_BEFORE.format(item_id="a", at=utc_text(T0)))


RUN_OF_BEFORE = (
    "INSERT INTO run (lane_id, target, run_id, verb, batch, program, began_at)"
    " VALUES (1, NULL, '{run_id}', 'upload', 'june', '0.1.0', '{at}')"
)


ITEM_OF_BEFORE = (
    "INSERT INTO item (lane_id, client_token, batch, item_id, source, content, tags, generation, identity_tag, current,"
    " state, enlisted_at, changed_at) VALUES (1, 'bu1-{item_id}-1', 'june', '{item_id}', 'a.pdf', 'sha256:00', '{{}}',"
    " 1, true, true, 'pending', '{at}', '{at}')"
)


def test_a_ledger_of_an_earlier_schema_is_read_as_it_is(address: PostgresUrl) -> None:
    ledger_of_before(address)

    reader = find_reader(address)

    assert reader is not None
    with reader:
        (run,) = reader.runs("june", 5)
        assert reader.uploaders("june", ["a"]) == {}
        assert [(known.item_id, known.bind) for known in reader.known("june")] == [("a", None)]
        assert reader.compare("june", {"a": "bu1-a-1"}).unfinished == {"a": True}
        assert (reader.bound("june"), reader.bind_attempts("bu1-a-1")) == ([], [])
        assert reader.field_definitions(after=T0) == {}
    assert (run.run_id, run.principal, run.os_user, run.host) == ("old", None, None, None)
    assert rows(address, "SELECT max(version) FROM migration") == [(1,)]


async def test_a_controller_of_the_program_of_before_goes_on_and_no_new_one_begins(address: PostgresUrl) -> None:
    ledger_of_before(address)
    await made(address)

    rows(address, RUN_OF_BEFORE.format(run_id="goes on", at=utc_text(T0)))
    rows(address, ITEM_OF_BEFORE.format(item_id="b", at=utc_text(T0)))
    with connect(parameters_of(address)) as raw, pytest.raises(LedgerUnusable, match=f"schema {SCHEMA_VERSION}"):
        schema_version(raw, shown="ledger", newest=1)

    assert rows(address, "SELECT run_id, principal FROM run ORDER BY run_no") == [("old", None), ("goes on", None)]


async def test_a_ledger_without_one_of_its_tables_is_refused(address: PostgresUrl) -> None:
    await made(address)
    rows(address, "DROP TABLE rate")

    assert "is damaged: it has no rate" in await refusal(address)
    with pytest.raises(LedgerUnusable, match="has no rate"):
        find_reader(address)
