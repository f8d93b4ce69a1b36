"""Growing: forward, a step at a time, and not at all when a step fails."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.connecting import connect
from batch_upload.ledger.migrations import MIGRATIONS, migrate, schema_version
from tests.unit.ledger.samples import T0, after, rows

ADDS = ("CREATE TABLE rate (per_second REAL) STRICT", "INSERT INTO rate VALUES (1.0)")
FAILS = (*ADDS, "INSERT INTO rate VALUES ('fast')")


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    path.touch()
    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0)
        yield connection


def test_a_later_step_is_taken_on_top_of_what_is_there(raw: sqlite3.Connection, path: Path) -> None:
    migrate(raw, shown="june.ledger", at=after(60), steps=(*MIGRATIONS, ADDS))

    assert rows(path, "SELECT version, applied_at FROM migration") == [
        (1, "2026-11-23T09:00:00.000000Z"),
        (2, "2026-11-23T09:01:00.000000Z"),
    ]
    assert rows(path, "SELECT per_second FROM rate") == [(1.0,)]


def test_a_step_that_fails_leaves_the_ledger_as_it_was(raw: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, FAILS))

    assert schema_version(raw, shown="june.ledger") == 1
    assert rows(path, "SELECT version FROM migration") == [(1,)]
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'rate'") == []


def test_a_step_is_taken_once(raw: sqlite3.Connection, path: Path) -> None:
    for _ in range(2):
        migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, ADDS))

    assert rows(path, "SELECT count(*) FROM rate") == [(1,)]


def test_there_is_no_way_back(raw: sqlite3.Connection) -> None:
    migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, ADDS))

    with pytest.raises(LedgerUnusable, match="schema 2"):
        migrate(raw, shown="june.ledger", at=T0)
