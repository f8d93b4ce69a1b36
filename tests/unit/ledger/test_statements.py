"""Statements: written once, compiled for each database, and with the same parameters for all."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import batch_upload.ledger
from batch_upload.ledger.driver import Statement
from batch_upload.ledger.postgres.connection import PostgresDatabase
from batch_upload.ledger.sqlite.connection import SqliteDatabase, open_for_writing
from batch_upload.ledger.sqlite.files import make_file
from tests.unit.ledger.samples import T0

DIALECTS = (SqliteDatabase.DIALECT, PostgresDatabase.DIALECT)


def statements() -> Iterator[tuple[str, Statement]]:
    """Every statement of the room, by its name."""
    for module in pkgutil.walk_packages(batch_upload.ledger.__path__, "batch_upload.ledger."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Statement):
                yield f"{module.name.rpartition('.')[2]}.{name}", value


STATEMENTS = dict(statements())


def test_there_are_statements_to_compile() -> None:
    assert len(STATEMENTS) > 40


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_statement_is_compiled_for_both_databases(name: str) -> None:
    for_sqlite, for_postgresql = (STATEMENTS[name].compiled(dialect) for dialect in DIALECTS)

    assert for_sqlite.required == for_postgresql.required
    assert "POSTCOMPILE" not in for_sqlite.sql + for_postgresql.sql
    assert (for_sqlite.sql.count("?"), for_postgresql.sql.count("%s")) == (
        len(for_sqlite.names),
        len(for_postgresql.names),
    )


@pytest.mark.parametrize("word", ["json_each", "julianday", "rowid", "= 1", "GLOB", "PRAGMA"])
def test_nothing_that_only_sqlite_understands_reaches_postgresql(word: str) -> None:
    texts = {name: each.compiled(DIALECTS[1]).sql for name, each in STATEMENTS.items()}

    assert [name for name, text in texts.items() if word in text] == []


def test_a_statement_is_compiled_once() -> None:
    for each in STATEMENTS.values():
        assert each.compiled(DIALECTS[0]) is each.compiled(DIALECTS[0])


def test_a_parameter_that_is_left_out_is_our_fault() -> None:
    with pytest.raises(KeyError):
        STATEMENTS["items._BY_TOKEN"].compiled(DIALECTS[0]).parameters({"of_lane": 1})


WHOLE = {
    "history._TALLIES": "counts every attempt of a batch",
    "history._BUCKETS": "counts every attempt of some runs",
    "items._LATEST_OPEN": "asked once a boot",
    "runs._LANES": "there are few",
    "runs._LABELLED": "there are few",
    "runs._TARGETS": "there are few",
    "runs._BEGIN": "a check of references that is passed over while none is broken",
    "runs._ADD_LANE": "a check of references that is passed over while none is broken",
    "runs._RUNS": "from the latest on",
    "runs._RUN_BATCHES": "a run is one row, and asked once by a verb that is given the ledger alone",
    "runs._ENDED": "from the latest on",
    "runs._ENDED_OF_TARGET": "from the latest on",
}
"""Statements that SQLite may answer by reading a whole table of the ledger, and why."""


BY_BINDS = (
    *("bindings._HAS_BINDS", "bindings._BOUND", "bindings._REPLACE", "bindings._FIELDS_OF"),
    "doubts._UNCONFIRMED",
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDatabase]:
    path = tmp_path_factory.mktemp("ledger") / "june.ledger"
    make_file(path, shown="june.ledger")
    with open_for_writing(path, shown="june.ledger", at=T0) as opened:
        yield opened


def plan_of(db: SqliteDatabase, name: str) -> list[str]:
    compiled = STATEMENTS[name].compiled(SqliteDatabase.DIALECT)
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", [None] * len(compiled.names))]


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name not in WHOLE])
def test_what_is_asked_for_is_found_by_an_index(db: SqliteDatabase, name: str) -> None:
    scans = [step for step in plan_of(db, name) if step.startswith("SCAN")]

    assert set(scans) <= {"SCAN CONSTANT ROW", "SCAN wanted"}


@pytest.mark.parametrize(
    "name", ["runs._RUNS", "runs._ENDED", "runs._ENDED_OF_TARGET", "attempts._LAST_SENT", "history._ATTEMPTS_AFTER"]
)
def test_what_is_read_from_one_end_on_is_not_sorted_first(db: SqliteDatabase, name: str) -> None:
    assert [step for step in plan_of(db, name) if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize("name", BY_BINDS)
def test_what_is_bound_is_found_without_a_look_at_the_other_items(db: SqliteDatabase, name: str) -> None:
    searched = [step for step in plan_of(db, name) if step.startswith("SEARCH item")]

    assert all("item_bind" in step or "PRIMARY KEY" in step for step in searched)


@pytest.mark.parametrize("name", ["sets._UNFINISHED", "sets._UNFINISHED_OR_UNBOUND", "sets._COUNTS", "sets._RETIRE"])
def test_a_manifest_is_compared_in_the_order_of_its_ids(db: SqliteDatabase, name: str) -> None:
    plan = " ".join(plan_of(db, name))

    assert "item_current (lane_id=? AND batch=? AND item_id=?)" in plan
    assert "client_token=?" not in plan
