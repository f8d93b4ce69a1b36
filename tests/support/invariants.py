"""What must be true after a crash, and after the quiet run that follows it."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.batches import Batch, assert_adds_up, assert_each_once
from tests.support.command import Event, Result
from tests.support.endpoint import Endpoint

_HELD = "SELECT client_token, attachment_id FROM item WHERE state = 'complete'"
_ATTEMPTS = "SELECT client_token, count(*) FROM attempt JOIN item USING (item_no) GROUP BY client_token"

_HALF_MADE = ("no such table", "cannot join using column item_no")
"""What SQLite says of a new ledger that has not come to its last version: nothing was sent by then."""


def read_copy(ledger: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in a ledger as it lies on the disk, which is left as it is. Nothing where there is none."""
    if not ledger.exists():
        return []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ledger.name
        for suffix in ("", "-wal", "-journal"):
            part = ledger.with_name(ledger.name + suffix)
            if part.exists():
                shutil.copyfile(part, copy.with_name(copy.name + suffix))
        with closing(sqlite3.connect(copy)) as connection:
            return _asked(connection, query)


def _asked(connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError as error:
        if any(part in str(error) for part in _HALF_MADE):
            return []
        raise


def assert_nothing_is_wrong_yet(endpoint: Endpoint, batch: Batch) -> None:
    """Right after a crash: every request has its intent, nothing is there twice, nothing is called done that is not."""
    intents = dict(read_copy(batch.ledger, _ATTEMPTS))
    held = endpoint.attachments()
    tokens = Counter(each["client_token"] for each in held)
    assert [token for token, count in tokens.items() if count > 1] == []
    assert set(tokens) <= set(intents)
    assert endpoint.stats().creates <= sum(intents.values())
    complete = {each["id"] for each in held if each["status"] == "UPLOAD_COMPLETE"}
    assert {attachment_id for _, attachment_id in read_copy(batch.ledger, _HELD)} <= complete


def assert_settled(endpoint: Endpoint, batch: Batch, ended: Result) -> Event:
    """After a quiet run: each item exactly once, the ledger's ids are the service's, and the counts add up."""
    assert ended.code == 0, f"{ended.code}: {ended.stderr}"
    assert "Traceback" not in ended.stderr
    summary = assert_adds_up(ended)
    assert summary["states"] == {"complete": len(batch.ids)}
    assert_each_once(endpoint, batch)
    at_service = {each["client_token"]: each["id"] for each in endpoint.attachments()}
    assert dict(read_copy(batch.ledger, _HELD)) == at_service
    return summary
