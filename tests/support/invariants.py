"""What must be true after a crash, and after the quiet run that follows it."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.batches import Batch, assert_adds_up, assert_each_once
from tests.support.bound_fields import (
    FieldPlace,
    Fields,
    all_fields,
    assert_bound,
    assert_no_wrong_put,
    puts_by_lane,
)
from tests.support.command import Event, Result
from tests.support.emulator_process import lane_of
from tests.support.endpoint import Endpoint
from tests.support.fleets import Fleet, assert_each_once_in_each_lane

_HELD = """
    SELECT account || '/' || region, client_token, attachment_id FROM item JOIN lane USING (lane_id)
    WHERE state = 'complete'
"""
_ATTEMPTS = """
    SELECT account || '/' || region, client_token, count(*)
    FROM attempt JOIN item USING (item_no) JOIN lane USING (lane_id) GROUP BY lane_id, client_token
"""
_BIND_ATTEMPTS = """
    SELECT account || '/' || region, count(*) FROM bind_attempt JOIN item USING (item_no) JOIN lane USING (lane_id)
    GROUP BY lane_id
"""
_IN_FIELDS = """
    SELECT account || '/' || region, bind_registration, bind_field, attachment_id FROM item JOIN lane USING (lane_id)
    WHERE bind_state = 'bound'
"""
NO_FIELDS: Fields = MappingProxyType({})

_HALF_MADE = ("no such table", "no such column", "cannot join using column item_no")
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


def assert_nothing_is_wrong_yet(endpoint: Endpoint, ledger: Path, fields: Fields = NO_FIELDS) -> None:
    """Right after a crash, in each lane: every request has its intent, and nothing is there twice.

    Nothing is called done that is not, and nothing was put into a field that is for something else.
    """
    intents = {(lane, token): count for lane, token, count in read_copy(ledger, _ATTEMPTS)}
    held = endpoint.attachments()
    tokens = Counter((lane_of(each), each["client_token"]) for each in held)
    assert [token for token, count in tokens.items() if count > 1] == []
    assert set(tokens) <= set(intents)
    intents_by_lane = Counter[str]()
    for (lane, _), count in intents.items():
        intents_by_lane[lane] += count
    assert Counter(endpoint.creates_by_lane()) <= intents_by_lane
    complete = {(lane_of(each), each["id"]) for each in held if each["status"] == "UPLOAD_COMPLETE"}
    assert {(lane, attachment_id) for lane, _, attachment_id in read_copy(ledger, _HELD)} <= complete
    assert_no_wrong_put(endpoint, fields)
    assert puts_by_lane(endpoint) <= Counter(dict(read_copy(ledger, _BIND_ATTEMPTS)))
    _assert_in_fields(endpoint, ledger)


def assert_settled(endpoint: Endpoint, batch: Batch | Fleet, ended: Result, fields: Fields = NO_FIELDS) -> Event:
    """After a quiet run: each item exactly once in its lane, the ledger's ids are the service's, the counts add up.

    Each field holds its document, and the ledger says so.
    """
    assert ended.code == 0, f"{ended.code}: {ended.stderr}"
    assert "Traceback" not in ended.stderr
    summary, held = assert_adds_up(ended), endpoint.attachments()
    if isinstance(batch, Fleet):
        assert_each_once_in_each_lane(held, batch, batch.labels)
        states = {lane["target"]: lane["states"] for lane in summary["lanes"]}
        assert states == {label: {"complete": count} for label, count in batch.items.items()}
        assert endpoint.stats().token_mismatches == 0
    else:
        assert summary["states"] == {"complete": len(batch.ids)}
        assert_each_once(endpoint, batch)
    at_service = sorted((lane_of(each), each["client_token"], each["id"]) for each in held)
    assert sorted(read_copy(batch.ledger, _HELD)) == at_service
    assert_no_wrong_put(endpoint, fields)
    assert_bound(endpoint, fields)
    assert len(_assert_in_fields(endpoint, batch.ledger)) == len(fields)
    return summary


def _assert_in_fields(endpoint: Endpoint, ledger: Path) -> dict[FieldPlace, str]:
    """Assert that the fields hold what the ledger calls bound, and return that. A new version begins empty."""
    bound = {FieldPlace(*place): attachment_id for *place, attachment_id in read_copy(ledger, _IN_FIELDS)}
    assert bound.items() <= all_fields(endpoint)
    return bound
