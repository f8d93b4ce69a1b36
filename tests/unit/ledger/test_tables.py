"""The tables: what they refuse from anybody, and that statements see them as they are."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from batch_upload.ledger.tables import METADATA, utc_text
from batch_upload.model import OutcomeKind
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import RUN, T0, accepted, began, ended, item, rows


async def _filled(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"), item("c"))
    await ledger.conclude(await ledger.intend("bu1-a-1", run_id=RUN, at=T0), accepted())
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), ended(OutcomeKind.UNKNOWN))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE attempt SET number = 9",
        "DELETE FROM attempt",
        "UPDATE outcome SET kind = 'refused'",
        "DELETE FROM outcome",
    ],
)
async def test_what_happened_is_never_changed(ledger: OneLane, path: Path, statement: str) -> None:
    await _filled(ledger)

    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="never changed"):
        other.execute(statement)


@pytest.mark.parametrize(
    "values",
    [
        "state = 'done'",
        "state = 'complete', completed_at = NULL WHERE item_id = 'a'",
        "state = 'processing' WHERE item_id = 'c'",
        "state = 'pending' WHERE item_id = 'a'",
        "state = 'pending' WHERE item_id = 'b'",
        "unknown_since = NULL WHERE item_id = 'b'",
        "state = 'failed' WHERE item_id = 'c'",
        "current = 2",
        "identity_tag = 'yes'",
        "attachment_status = 'SOON' WHERE item_id = 'a'",
        "attachment_arn = NULL WHERE item_id = 'a'",
        "resume_after = enlisted_at WHERE item_id = 'a'",
        "enlisted_at = '2026-11-23'",
        "size_bytes = -1",
        "size_bytes = 'big'",
        "client_token = ''",
        "client_token = 'bu1-a-1' WHERE item_id = 'c'",
        "item_id = 'a' WHERE item_id = 'c'",
    ],
)
async def test_an_item_that_cannot_be_is_refused(ledger: OneLane, path: Path, values: str) -> None:
    await _filled(ledger)

    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError):
        other.execute(f"UPDATE item SET {values}")  # noqa: S608 - our own text


async def test_statements_see_the_tables_as_they_are(ledger: OneLane, path: Path) -> None:
    await began(ledger)

    found = {
        table: [column[1] for column in rows(path, f"PRAGMA table_info({table})")]
        for (table,) in rows(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    }

    assert found == {name: [column.name for column in table.columns] for name, table in METADATA.tables.items()}


async def test_every_table_is_strict(ledger: OneLane, path: Path) -> None:
    await began(ledger)

    assert rows(path, "SELECT name FROM pragma_table_list WHERE type = 'table' AND NOT strict AND schema = 'main'") == [
        ("sqlite_schema",)
    ]


async def test_what_is_asked_every_day_is_found_by_an_index(ledger: OneLane, path: Path) -> None:
    await began(ledger)

    asked = (
        "SELECT * FROM item WHERE lane_id = 1 AND client_token = 't'",
        "SELECT * FROM item WHERE lane_id = 1 AND batch = 'june'",
        "SELECT * FROM item WHERE lane_id = 1 AND state = 'sending'",
        "SELECT client_token FROM item WHERE lane_id = 1 AND attachment_id = 'x'",
    )

    plans = [str(rows(path, f"EXPLAIN QUERY PLAN {query}")) for query in asked]
    assert [plan for plan in plans if "SCAN" in plan] == []


def test_times_are_of_one_width_in_utc() -> None:
    oslo = timezone(timedelta(hours=1))

    assert utc_text(datetime(2026, 11, 23, 10, 0, tzinfo=oslo)) == "2026-11-23T09:00:00.000000Z"
    assert utc_text(datetime(2026, 11, 23, 9, 0, 0, 5, tzinfo=UTC)) == "2026-11-23T09:00:00.000005Z"
    with pytest.raises(ValueError, match="without a zone"):
        utc_text(datetime(2026, 11, 23))  # noqa: DTZ001 - the very thing that is refused
