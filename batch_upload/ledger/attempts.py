"""Attempts: the intent before a request leaves, and what became of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, insert, literal_column, null, select, update

from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.ledger.attachments import before_binding, bind, give_up
from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import (
    ITEM_COLUMNS,
    LIVE,
    OF_TOKEN,
    ItemRow,
    change,
    fault_values,
    known_one,
    token_of,
)
from batch_upload.ledger.tables import UtcText, attempt, item, outcome
from batch_upload.ledger.usual import ITEM_OF_ATTEMPT, RUN_NO, bind_first, intend_first
from batch_upload.model import Attachment, Fault, Known, Outcome, OutcomeKind, Receipt, State
from batch_upload.ports import Attempt

DISAGREEMENT = "Disagreement"
"""Code of the fault that stands where an answer could not be true."""

_AFTER = {OutcomeKind.REFUSED: State.FAILED, OutcomeKind.NO_CAPACITY: State.PARKED}
"""Where a refusal leaves an item that nothing is unknown of; `pending` otherwise."""

_of_item = attempt.c.item_no == item.c.item_no
_counted = select(func.count()).select_from(attempt).where(_of_item).scalar_subquery()
_BEFORE_INTENT = Prepared(select(*ITEM_COLUMNS, _counted).where(OF_TOKEN))
_BEFORE = Prepared(
    select(item.c.state, attempt.c.unknown_before, attempt.c.last_open_before)
    .join_from(attempt, item, _of_item)
    .where(attempt.c.attempt_id == bindparam("wanted_id"), OF_TOKEN)
)
_INTEND = Prepared(
    insert(attempt).values(run_no=RUN_NO),
    columns=[column.name for column in attempt.c if column.name not in ("attempt_id", "run_no")],
)
_SENDING = Prepared(
    update(item)
    .where(item.c.item_no == ITEM_OF_ATTEMPT)
    .values(
        state=literal_column(f"'{State.SENDING}'"),
        attempts=item.c.attempts + literal_column("1"),
        first_sent_at=func.coalesce(item.c.first_sent_at, bindparam("at", type_=UtcText)),
        last_open_at=bindparam("at", type_=UtcText),
        changed_at=bindparam("at", type_=UtcText),
        resume_after=null(),
    ),
    columns=("unknown_since",),
)
_TAKE_BACK = Prepared(
    update(item)
    .where(OF_TOKEN)
    .values(
        attempts=item.c.attempts - 1,
        first_sent_at=case((item.c.attempts > 1, item.c.first_sent_at), else_=None),
    )
)
"""An attempt that was not sent after all does not count. It was the first only if there is no other."""
_ACCEPTED = ("attempt_id", "kind", "ended_at", "request_id", "attachment_id", "attachment_arn", "attachment_status")
_RECORD_ACCEPTED = Prepared(insert(outcome), columns=_ACCEPTED)
_RECORD = Prepared(insert(outcome), columns=[column.name for column in outcome.c if column.name not in _ACCEPTED[4:]])


@dataclass(frozen=True, slots=True)
class _Before:
    """The state of an attempt's item now, and its two times as they were before the attempt."""

    state: State
    unknown_since: datetime | None
    last_open_at: datetime | None


def intend(connection: Connection, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> Attempt:
    """Raises BatchUploadError for an item whose attachment stands at the service: sending it again is our fault."""
    attempt_id = intend_first(connection, lane_id, client_token, run_id=run_id, at=at)
    if attempt_id is not None:
        return _sending(connection, Attempt(attempt_id, client_token, 1, at.astimezone(UTC)), unknown_since=at)
    before, number = _before_intent(connection, lane_id, client_token)
    if before.state in LIVE:
        raise BatchUploadError(f"`{client_token}` has its attachment: `{before.attachment_id}`")
    if before.attachment_id is not None:
        give_up(connection, lane_id, client_token, seen_at=at)
    row = {
        "wanted_run": run_id,
        "item_no": before.item_no,
        "number": number,
        "started_at": at,
        "unknown_before": before.unknown_since,
        "last_open_before": before.last_open_at,
    }
    attempt_id = _INTEND.add(connection, row)
    if attempt_id is None:
        raise BatchUploadError("the ledger gave an attempt no id")
    intended = Attempt(attempt_id, client_token, number, at.astimezone(UTC))
    return _sending(connection, intended, unknown_since=before.unknown_since or at)


def last_sent_at(connection: Connection) -> datetime | None:
    """When the last attempt of all was begun, or None before the first."""
    newest = select(attempt.c.started_at).order_by(attempt.c.attempt_id.desc()).limit(1)
    found: datetime | None = connection.execute(newest).scalar_one_or_none()
    return found


def _sending(connection: Connection, intended: Attempt, *, unknown_since: datetime) -> Attempt:
    values = {"wanted_attempt": intended.attempt_id, "unknown_since": unknown_since, "at": intended.started_at}
    _SENDING.run(connection, values)
    return intended


def conclude(
    connection: Connection, lane_id: int, started: Attempt, ended: Outcome, *, known: Known | None
) -> Known | Disagreement:
    """A Disagreement is given and not raised, so that what the answer was stays written: as an unknown outcome, since
    what this very token made is not known. What became of an item that is no longer `sending` is not undone."""
    if ended.kind is OutcomeKind.ACCEPTED:
        return _accept(connection, lane_id, started, ended, known)
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


def _before(connection: Connection, lane_id: int, started: Attempt) -> _Before:
    """Raises KeyError."""
    wanted = {**token_of(lane_id, started.client_token), "wanted_id": started.attempt_id}
    row = _BEFORE.one(connection, wanted)
    if row is None:
        raise KeyError(f"{started.client_token} #{started.number}")
    return _Before(*row)


def _accept(
    connection: Connection, lane_id: int, started: Attempt, ended: Outcome, known: Known | None
) -> Known | Disagreement:
    if ended.receipt is None:
        raise BatchUploadError(f"an accepted attempt without a receipt: `{started.client_token}`")
    bound = bind_first(connection, lane_id, started, ended.receipt, known, request_id=_request_id(ended), at=ended.at)
    if bound is not None:
        _record_accepted(connection, started.attempt_id, ended, ended.receipt)
        return bound
    attachment = _made(ended.receipt)
    try:
        binding = before_binding(connection, lane_id, started.client_token, attachment)
    except Disagreement as error:
        unbelieved, before = _unbelieved(ended, error), _before(connection, lane_id, started)
        _record(connection, started.attempt_id, unbelieved)
        _apply(connection, lane_id, started, unbelieved, before)
        return error
    _record_accepted(connection, started.attempt_id, ended, ended.receipt)
    return bind(connection, lane_id, binding, _told(ended), at=ended.at)


def _made(receipt: Receipt) -> Attachment:
    return Attachment(receipt.attachment_id, receipt.attachment_arn, receipt.status, receipt.created_at)


def _unbelieved(ended: Outcome, error: Disagreement) -> Outcome:
    receipt = ended.receipt
    fault = Fault(DISAGREEMENT, error.message, resource_id=receipt.attachment_id if receipt else None)
    return replace(ended, kind=OutcomeKind.UNKNOWN, receipt=None, fault=fault, request_id=_request_id(ended))


def _request_id(ended: Outcome) -> str | None:
    return ended.request_id or (ended.receipt.request_id if ended.receipt else None)


def _told(ended: Outcome) -> dict[str, Any]:
    """What an outcome tells of its item, whatever the item has become."""
    request_id = _request_id(ended)
    return {} if request_id is None else {"request_id": request_id}


def _record_accepted(connection: Connection, attempt_id: int, ended: Outcome, receipt: Receipt) -> None:
    row = {
        "attempt_id": attempt_id,
        "kind": ended.kind,
        "ended_at": ended.at,
        "request_id": _request_id(ended),
        "attachment_id": receipt.attachment_id,
        "attachment_arn": receipt.attachment_arn,
        "attachment_status": receipt.status,
    }
    _RECORD_ACCEPTED.run(connection, row)


def _record(connection: Connection, attempt_id: int, ended: Outcome) -> None:
    fault = ended.fault
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
    }
    _RECORD.run(connection, row)


def _apply(connection: Connection, lane_id: int, started: Attempt, ended: Outcome, before: _Before) -> Known:
    """Change the item as an outcome says that made nothing, or of which nothing is known."""
    if ended.kind is OutcomeKind.WITHDRAWN:
        _TAKE_BACK.run(connection, token_of(lane_id, started.client_token))
    values = _told(ended)
    if before.state is State.SENDING:
        values |= {**fault_values(ended.fault), **_after(ended, before), "changed_at": ended.at}
    if values:
        change(connection, lane_id, started.client_token, values)
    return known_one(connection, lane_id, started.client_token)


def _after(ended: Outcome, before: _Before) -> dict[str, Any]:
    """Where such an outcome leaves an item that is `sending`."""
    if ended.kind is OutcomeKind.UNKNOWN:
        return {}
    values: dict[str, Any] = {"unknown_since": before.unknown_since, "last_open_at": before.last_open_at}
    if before.unknown_since is None:
        values["state"] = _AFTER.get(ended.kind, State.PENDING)
    if values.get("state") is State.PARKED:
        values["resume_after"] = ended.resume_after
    return values
