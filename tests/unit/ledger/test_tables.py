"""The tables of a file as statements see them, and how times are written."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from batch_upload.ledger.tables import METADATA, utc_text
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import began, rows


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
