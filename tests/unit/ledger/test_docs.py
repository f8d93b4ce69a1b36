"""What the page about the ledger says is so."""

import re
from pathlib import Path

from batch_upload.ledger.tables import METADATA
from batch_upload.ports import LedgerWriter
from tests.support.one_lane import OneLane

PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text(encoding="utf-8")


def test_every_table_and_column_is_explained() -> None:
    named = {word for quoted in re.findall(r"`([a-z0-9_]+)`", PAGE) for word in quoted.split()}

    missing = {
        f"{table.name}.{column.name}"
        for table in METADATA.tables.values()
        for column in table.columns
        if column.name not in named or table.name not in named
    }
    assert missing == set()


def test_it_is_the_ledger_that_the_engine_asks_for(ledger: OneLane) -> None:
    asked: LedgerWriter = ledger

    assert asked is ledger
