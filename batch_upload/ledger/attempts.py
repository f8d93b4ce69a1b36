"""Attempts: the intent before a request leaves, and what became of it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select

from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.ledger.attachments import before_binding, bind, give_up
from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import (
    ITEM_COLUMNS,
    LIVE,
    OF_TOKEN,
    ItemRow,
    change,
    change_to_known,
    fault_values,
    item_row,
    known_one,
    token_of,
)
from batch_upload.ledger.tables import attempt, outcome
from batch_upload.model import Attachment, Fault, Known, Outcome, OutcomeKind, Receipt, State
from batch_upload.ports import Attempt

DISAGREEMENT = "Disagreement"
"""Code of the fault that stands where an answer could not be true."""

_AFTER = {OutcomeKind.REFUSED: State.FAILED, OutcomeKind.NO_CAPACITY: State.PARKED}
"""Where a refusal leaves an item that nothing is unknown of; `pending` otherwise."""

_OF_TOKEN = and_(attempt.c.lane_id == bindparam("of_lane"), attempt.c.client_token == bindparam("token"))
_counted = select(func.count()).select_from(attempt).where(_OF_TOKEN).scalar_subquery()
_BEFORE_INTENT = Prepared(select(*ITEM_COLUMNS, _counted).where(OF_TOKEN))
_BEFORE = Prepared(
    select(attempt.c.unknown_before, attempt.c.last_open_before).where(
        _OF_TOKEN, attempt.c.attempt_id == bindparam("wanted_id")
    )
)
_INTEND = Prepared(
    insert(attempt).returning(attempt.c.attempt_id),
    columns=[column.name for column in attempt.c if not column.primary_key],
)
_CONCLUDE = Prepared(insert(outcome), columns=[column.name for column in outcome.c])


def intend(connection: Connection, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> Attempt:
    """Raises BatchUploadError for an item whose attachment stands at the service: sending it again is our fault."""
    before, number = _before_intent(connection, lane_id, client_token)
    if before.state in LIVE:
        raise BatchUploadError(f"`{client_token}` has its attachment: `{before.attachment_id}`")
    if before.attachment_id is not None:
        give_up(connection, lane_id, client_token, seen_at=at)
    row = {
        "lane_id": lane_id,
        "client_token": client_token,
        "number": number,
        "run_id": run_id,
        "started_at": at,
        "unknown_before": before.unknown_since,
        "last_open_before": before.last_open_at,
    }
    attempt_id = _added(connection, row)
    values = {
        "state": State.SENDING,
        "unknown_since": before.unknown_since or at,
        "last_open_at": at,
        "resume_after": None,
        "changed_at": at,
    }
    change(connection, lane_id, client_token, values)
    return Attempt(attempt_id, client_token, number, at.astimezone(UTC))


def conclude(connection: Connection, lane_id: int, started: Attempt, ended: Outcome) -> Known | Disagreement:
    """A Disagreement is given and not raised, so that what the answer was stays written: as an unknown outcome, since
    what this very token made is not known. What became of an item that is no longer `sending` is not undone."""
    if ended.kind is OutcomeKind.ACCEPTED:
        return _accept(connection, lane_id, started, ended)
    before = _before(connection, lane_id, started)
    _record(connection, started.attempt_id, ended)
    return _apply(connection, lane_id, started, ended, before)


def _before_intent(connection: Connection, lane_id: int, client_token: str) -> tuple[ItemRow, int]:
    """An item as it is, and the number of its next attempt. Raises KeyError."""
    row = _BEFORE_INTENT.one(connection, token_of(lane_id, client_token))
    if row is None:
        raise KeyError(client_token)
    *columns, attempts = row
    return ItemRow(*columns), attempts + 1


def _added(connection: Connection, row: dict[str, Any]) -> int:
    """Write an attempt, and give the id it was given."""
    made = _INTEND.one(connection, row)
    if made is None:
        raise BatchUploadError("the ledger gave an attempt no id")
    attempt_id: int = made[0]
    return attempt_id


def _before(connection: Connection, lane_id: int, started: Attempt) -> dict[str, Any]:
    """`unknown_since` and `last_open_at` as they were before an attempt. Raises KeyError."""
    wanted = {**token_of(lane_id, started.client_token), "wanted_id": started.attempt_id}
    row = _BEFORE.one(connection, wanted)
    if row is None:
        raise KeyError(f"{started.client_token} #{started.number}")
    return {"unknown_since": row[0], "last_open_at": row[1]}


def _accept(connection: Connection, lane_id: int, started: Attempt, ended: Outcome) -> Known | Disagreement:
    if ended.receipt is None:
        raise BatchUploadError(f"an accepted attempt without a receipt: `{started.client_token}`")
    attachment = _made(ended.receipt)
    try:
        binding = before_binding(connection, lane_id, started.client_token, attachment)
    except Disagreement as error:
        unbelieved, before = _unbelieved(ended, error), _before(connection, lane_id, started)
        _record(connection, started.attempt_id, unbelieved)
        _apply(connection, lane_id, started, unbelieved, before)
        return error
    _record(connection, started.attempt_id, ended)
    return bind(connection, lane_id, binding, at=ended.at)


def _made(receipt: Receipt) -> Attachment:
    return Attachment(receipt.attachment_id, receipt.attachment_arn, receipt.status, receipt.created_at)


def _unbelieved(ended: Outcome, error: Disagreement) -> Outcome:
    receipt = ended.receipt
    fault = Fault(DISAGREEMENT, error.message, resource_id=receipt.attachment_id if receipt else None)
    return replace(ended, kind=OutcomeKind.UNKNOWN, receipt=None, fault=fault, request_id=_request_id(ended))


def _request_id(ended: Outcome) -> str | None:
    return ended.request_id or (ended.receipt.request_id if ended.receipt else None)


def _record(connection: Connection, attempt_id: int, ended: Outcome) -> None:
    fault, receipt = ended.fault, ended.receipt
    row = {
        "attempt_id": attempt_id,
        "kind": ended.kind,
        "ended_at": ended.at,
        "request_id": _request_id(ended),
        "status": ended.status,
        "code": fault.code if fault else None,
        "message": fault.message if fault else None,
        "reason": fault.reason if fault else None,
        "fields": [list(pair) for pair in fault.fields] if fault else None,
        "resource_id": fault.resource_id if fault else None,
        "resume_after": ended.resume_after,
        "attachment_id": receipt.attachment_id if receipt else None,
        "attachment_arn": receipt.attachment_arn if receipt else None,
        "attachment_status": receipt.status if receipt else None,
    }
    _CONCLUDE.run(connection, row)


def _apply(connection: Connection, lane_id: int, started: Attempt, ended: Outcome, before: dict[str, Any]) -> Known:
    """Change the item as an outcome says that made nothing, or of which nothing is known."""
    if item_row(connection, lane_id, started.client_token).state is not State.SENDING:
        return known_one(connection, lane_id, started.client_token)
    values: dict[str, Any] = {**fault_values(ended.fault), "changed_at": ended.at}
    if ended.kind is not OutcomeKind.UNKNOWN:
        values |= before
        if before["unknown_since"] is None:
            values["state"] = _AFTER.get(ended.kind, State.PENDING)
        if values.get("state") is State.PARKED:
            values["resume_after"] = ended.resume_after
    return change_to_known(connection, lane_id, started.client_token, values)
