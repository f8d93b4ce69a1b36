"""Growing: forward, a step at a time, and not at all when a step fails."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.sqlite.connection import connect
from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION, migrate, schema_version
from batch_upload.ledger.sqlite.schema import MIGRATIONS
from tests.crash.make_ledgers import KEPT
from tests.unit.ledger.samples import T0, after, rows

ADDS = ("CREATE TABLE later (per_second REAL) STRICT", "INSERT INTO later VALUES (1.0)")
_KNOWN = (
    "SELECT item_no, client_token, item_id, state, attachment_id, tags, changed_at, attempts, request_id, first_sent_at"
)
_TRIED = "SELECT client_token, number, run_id, started_at, kind, outcome.request_id"
OF_OLD = (
    f"{_KNOWN} FROM known ORDER BY item_no",
    f"{_TRIED} FROM attempt LEFT JOIN outcome USING (attempt_id) ORDER BY attempt_id",
)
NOW = (
    f"{_KNOWN} FROM item ORDER BY item_no",
    f"{_TRIED} FROM attempt JOIN item USING (item_no) JOIN run USING (run_no) LEFT JOIN outcome USING (attempt_id) "
    "ORDER BY attempt_id",
)
FAILS = (*ADDS, "INSERT INTO later VALUES ('fast')")


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    path.touch()
    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0)
        yield connection


def test_a_later_step_is_taken_on_top_of_what_is_there(raw: sqlite3.Connection, path: Path) -> None:
    migrate(raw, shown="june.ledger", at=after(60), steps=(*MIGRATIONS, ADDS))

    assert rows(path, "SELECT version, applied_at FROM migration") == [
        *((step, "2026-11-23T09:00:00.000000Z") for step in range(1, SCHEMA_VERSION + 1)),
        (SCHEMA_VERSION + 1, "2026-11-23T09:01:00.000000Z"),
    ]
    assert rows(path, "SELECT per_second FROM later") == [(1.0,)]


def test_a_step_that_fails_leaves_the_ledger_as_it_was(raw: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, FAILS))

    assert schema_version(raw, shown="june.ledger") == SCHEMA_VERSION
    assert rows(path, "SELECT max(version) FROM migration") == [(SCHEMA_VERSION,)]
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'later'") == []


def test_a_step_is_taken_once(raw: sqlite3.Connection, path: Path) -> None:
    for _ in range(2):
        migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, ADDS))

    assert rows(path, "SELECT count(*) FROM later") == [(1,)]


def test_there_is_no_way_back(raw: sqlite3.Connection) -> None:
    migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, ADDS))

    with pytest.raises(LedgerUnusable, match=f"schema {SCHEMA_VERSION + 1}"):
        migrate(raw, shown="june.ledger", at=T0)


def test_a_ledger_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    path.touch()
    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0, steps=MIGRATIONS[:1])

        migrate(connection, shown="june.ledger", at=after(60))

        assert schema_version(connection, shown="june.ledger") == SCHEMA_VERSION
    assert rows(path, "SELECT (SELECT count(*) FROM rate), (SELECT count(*) FROM digest)") == [(0, 0)]


def test_every_version_grows_into_the_same_ledger(tmp_path: Path) -> None:
    shapes = set()
    for version in range(SCHEMA_VERSION):
        path = tmp_path / f"{version}.ledger"
        path.touch()
        with closing(connect(path, query="mode=rw")) as connection:
            migrate(connection, shown="june.ledger", at=T0, steps=MIGRATIONS[:version])
            migrate(connection, shown="june.ledger", at=T0)
        shapes.add(frozenset(rows(path, "SELECT type, name, sql FROM sqlite_master")))

    assert len(shapes) == 1


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_kept_ledger_grows_into_the_same_ledger_as_a_new_one(
    raw: sqlite3.Connection, tmp_path: Path, version: int
) -> None:
    path = tmp_path / "kept.ledger"
    shutil.copyfile(KEPT / f"version-{version}.ledger", path)

    with closing(connect(path, query="mode=rw")) as kept:
        migrate(kept, shown="kept.ledger", at=T0)

        shape = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        assert kept.execute(shape).fetchall() == raw.execute(shape).fetchall()
        assert kept.execute("PRAGMA foreign_keys").fetchall() == [(1,)]


@pytest.mark.parametrize("version", range(1, 5))
def test_the_runs_of_a_ledger_of_old_are_of_its_only_lane(path: Path, version: int) -> None:
    shutil.copyfile(KEPT / f"version-{version}.ledger", path)

    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0)

    assert rows(path, "SELECT run_no, lane_id FROM run") == [(1, 1)]


def test_digests_without_a_look_inside_are_forgotten_so_that_the_files_are_looked_into(path: Path) -> None:
    path.touch()
    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0, steps=MIGRATIONS[:6])
        sample = ("/files/a.pdf", 1, 2, 3, 4, "0f" * 32, "application/pdf")
        connection.execute("INSERT INTO digest VALUES (?, ?, ?, ?, ?, ?, ?)", sample)

        migrate(connection, shown="june.ledger", at=T0)

    assert rows(path, "SELECT path, insight FROM digest") == []


def test_a_step_that_leaves_a_reference_to_nothing_is_undone(raw: sqlite3.Connection, path: Path) -> None:
    breaks = ("INSERT INTO rate VALUES (9, 'Create', '{}', '2026-11-23T09:00:00.000000Z')",)

    with pytest.raises(sqlite3.IntegrityError):
        migrate(raw, shown="june.ledger", at=T0, steps=(*MIGRATIONS, breaks))

    assert schema_version(raw, shown="june.ledger") == SCHEMA_VERSION
    assert rows(path, "SELECT count(*) FROM rate") == [(0,)]


@pytest.mark.parametrize(
    ("version", "queries"),
    [(1, OF_OLD), (2, OF_OLD), (3, OF_OLD), (4, NOW), (5, NOW), (6, NOW), (7, NOW), (8, NOW), (9, NOW)],
)
def test_what_a_ledger_of_old_told_of_its_items_it_tells_still(
    path: Path, version: int, queries: tuple[str, ...]
) -> None:
    shutil.copyfile(KEPT / f"version-{version}.ledger", path)
    before = [rows(path, query) for query in queries]

    with closing(connect(path, query="mode=rw")) as connection:
        migrate(connection, shown="june.ledger", at=T0)

        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert all(before)
    assert [rows(path, query) for query in NOW] == before
