"""Attempts: the intent before a request leaves, and its outcome."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import bindparam, func, insert, select

from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.ledger.attachments import keep_stranger, record_made
from batch_upload.ledger.driver import Database, Statement
from batch_upload.ledger.items import KNOWN, OF_TOKEN, Stored, known_of, stored, write
from batch_upload.ledger.tables import UtcText, attempt, item, outcome, run
from batch_upload.ledger.transitions import sent, unanswered, withdrawn, without_attachment
from batch_upload.model import Attachment, Fault, Known, Outcome, OutcomeKind, State
from batch_upload.ports import Attempt

DISAGREEMENT = "Disagreement"
"""Code of the fault of an answer that could not be true."""


def intend(db: Database, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> Attempt:
    """Raises BatchUploadError for an item whose attachment exists at the service: sending it again is our fault."""
    before = stored(db, lane_id, client_token)
    item_before = before.known
    if item_before.is_live:
        raise BatchUploadError(f"`{client_token}` has its attachment: `{item_before.attachment_id}`")
    if item_before.attachment_id is not None:
        keep_stranger(db, lane_id, item_before, at=at)
        item_before = without_attachment(item_before)
    row = {
        "of_lane": lane_id,
        "of_run": run_id,
        "number": before.number,
        "at": at,
        "unknown_before": item_before.unknown_since,
        "last_open_before": item_before.last_open_at,
    }
    intended = db.one(_INTEND, row)
    if intended is None:
        raise BatchUploadError("the ledger gave an attempt no id")
    write(db, before, sent(item_before, at=at), at=at)
    attempt_id, number = intended
    return Attempt(attempt_id, client_token, number, at.astimezone(UTC))


def conclude(db: Database, lane_id: int, started: Attempt, ended: Outcome) -> Known | Disagreement:
    """Raises KeyError for an attempt that is not in the lane.

    A Disagreement is returned and not raised, so that the answer stays written: as an unknown outcome, since what this
    very token made is not known.
    """
    row = db.one(_OF_ATTEMPT, {"of_lane": lane_id, "token": started.client_token, "wanted_id": started.attempt_id})
    if row is None:
        raise KeyError(f"{started.client_token} #{started.number}")
    before = Stored(row[-1], known_of(row))
    unknown_before, last_open_before = row[-3:-1]
    receipt = ended.receipt
    if ended.request_id is None and receipt is not None and receipt.request_id is not None:
        ended = replace(ended, request_id=receipt.request_id)
    disagreement: Disagreement | None = None
    if ended.kind is OutcomeKind.ACCEPTED:
        if receipt is None:
            raise BatchUploadError(f"an accepted attempt without a receipt: `{started.client_token}`")
        created = Attachment(receipt.attachment_id, receipt.attachment_arn, receipt.status, receipt.created_at)
        try:
            known = record_made(db, lane_id, before, created, request_id=ended.request_id, at=ended.at)
        except Disagreement as error:
            fault = Fault(DISAGREEMENT, error.message, resource_id=receipt.attachment_id)
            ended = replace(ended, kind=OutcomeKind.UNKNOWN, receipt=None, fault=fault)
            disagreement = error
        else:
            _record(db, started.attempt_id, ended)
            return known
    _record(db, started.attempt_id, ended)
    after = withdrawn(before.known) if ended.kind is OutcomeKind.WITHDRAWN else before.known
    after = unanswered(after, ended, unknown_before=unknown_before, last_open_before=last_open_before)
    known = write(db, before, after, at=ended.at if before.known.state is State.SENDING else None)
    return disagreement or known


def last_sent_at(db: Database, lane_id: int) -> datetime | None:
    """Return when the lane's last attempt was begun, or None before the first."""
    row = db.one(_LAST_SENT, {"of_lane": lane_id})
    return None if row is None else row[0]


def _record(db: Database, attempt_id: int, ended: Outcome) -> None:
    fault, receipt = ended.fault, ended.receipt
    row = {
        "attempt_id": attempt_id,
        "kind": ended.kind,
        "ended_at": ended.at,
        "request_id": ended.request_id,
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
    db.run(_RECORD, row)


RUN_NO = (
    select(run.c.run_no)
    .where(run.c.lane_id == bindparam("of_lane"), run.c.run_id == bindparam("of_run"))
    .scalar_subquery()
)
_INTEND = Statement(
    insert(attempt)
    .from_select(
        ["item_no", "number", "run_no", "started_at", "unknown_before", "last_open_before"],
        # an attempt that was withdrawn keeps its number: the next one is counted from the rows, not from the item
        select(
            bindparam("number", type_=item.c.item_no.type),
            func.coalesce(func.max(attempt.c.number), 0) + 1,
            RUN_NO,
            bindparam("at", type_=UtcText),
            bindparam("unknown_before", type_=UtcText),
            bindparam("last_open_before", type_=UtcText),
        ).where(attempt.c.item_no == bindparam("number")),
    )
    .returning(attempt.c.attempt_id, attempt.c.number)
)
_OF_ATTEMPT = Statement(
    KNOWN.add_columns(attempt.c.unknown_before, attempt.c.last_open_before, item.c.item_no)
    .join_from(attempt, item, attempt.c.item_no == item.c.item_no)
    .where(attempt.c.attempt_id == bindparam("wanted_id"), OF_TOKEN)
)
_LAST_SENT = Statement(
    # by the lane's runs, latest first: by its items, or by all attempts, it would read what grows with the ledger
    select(attempt.c.started_at)
    .select_from(run.join(attempt, attempt.c.run_no == run.c.run_no))
    .where(run.c.lane_id == bindparam("of_lane"))
    .order_by(run.c.run_no.desc(), attempt.c.attempt_id.desc())
    .limit(1)
)
_RECORD = Statement(insert(outcome), columns=[column.name for column in outcome.c])
