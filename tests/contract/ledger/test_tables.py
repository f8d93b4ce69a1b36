"""The tables: what they refuse from anybody."""

import sqlite3

import psycopg
import pytest

from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import OutcomeKind
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import RUN, T0, accepted, began, ended, item, rows

REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError)
"""Of either database; a value of another type is a ProgrammingError of PostgreSQL."""


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
async def test_what_happened_is_never_changed(ledger: OneLane, address: LedgerAddress, statement: str) -> None:
    await _filled(ledger)

    with pytest.raises(REFUSED, match="never changed"):
        rows(address, statement)


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
        "identity_tag = 'maybe'",
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
async def test_an_item_that_cannot_be_is_refused(ledger: OneLane, address: LedgerAddress, values: str) -> None:
    await _filled(ledger)

    with pytest.raises(REFUSED):
        rows(address, f"UPDATE item SET {values}")  # noqa: S608 - our own text
