"""No statement reads a whole table of a PostgreSQL ledger to find a part of it."""

import re
from collections.abc import AsyncIterator

import psycopg
import pytest

from batch_upload.ledger.postgres.connection import WANTED, PostgresDatabase
from batch_upload.ledger_address import ledger_address
from tests.support.one_lane import open_one_lane
from tests.unit.ledger.samples import RUN, ManualClock
from tests.unit.ledger.test_statements import STATEMENTS, WHOLE

LARGE = ("item", "attempt", "outcome", "bind_attempt", "bind_outcome", "stranger")
OF_SET = ("history._BUCKETS",)
"""Counts what some runs did: begins with those runs or with all attempts, as the planner likes."""
NAMES = [name for name in STATEMENTS if name not in (*WHOLE, *OF_SET) and not name.startswith("memory._")]


@pytest.fixture
async def raw(url: str) -> AsyncIterator[psycopg.Connection[tuple[object, ...]]]:
    await (await open_one_lane(ledger_address(url), run_id=RUN, clock=ManualClock())).close()
    with psycopg.connect(url, autocommit=True) as connection:
        # a table without rows is read whole by every plan that may do so
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        yield connection


async def test_what_is_asked_for_is_found_by_an_index(raw: psycopg.Connection[tuple[object, ...]]) -> None:
    scans = {name: whole_tables(raw, name) for name in NAMES}

    assert {name: found for name, found in scans.items() if found} == {}


@pytest.mark.parametrize("name", ["items._SENDING", "items._LATEST_OPEN_OF_LANE"])
async def test_what_is_open_is_found_without_a_look_at_the_other_items(
    raw: psycopg.Connection[tuple[object, ...]], name: str
) -> None:
    assert "item_open" in plan_of(raw, name)


@pytest.mark.parametrize("name", ["bindings._HAS_BINDS", "bindings._BOUND", "bindings._REPLACE"])
async def test_what_is_bound_is_found_without_a_look_at_the_other_items(
    raw: psycopg.Connection[tuple[object, ...]], name: str
) -> None:
    assert "item_bind" in plan_of(raw, name)


def whole_tables(raw: psycopg.Connection[tuple[object, ...]], name: str) -> list[str]:
    """Return the large tables that the plan of a statement reads whole."""
    return [table for table in re.findall(r"Seq Scan on (\w+)", plan_of(raw, name)) if table in LARGE]


def plan_of(raw: psycopg.Connection[tuple[object, ...]], name: str) -> str:
    sql = STATEMENTS[name].compiled(PostgresDatabase.DIALECT).sql
    if "wanted.key" in sql:
        sql = f"WITH {WANTED} {sql}"
    count = sql.count("%s")
    for number in range(1, count + 1):
        sql = sql.replace("%s", f"${number}", 1)
    raw.execute(f"PREPARE asked AS {sql}".encode())
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    plan = "\n".join(str(line) for (line,) in raw.execute(f"EXPLAIN EXECUTE asked{values}".encode()))
    raw.execute("DEALLOCATE asked")
    return plan
