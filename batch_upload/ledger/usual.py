"""What nearly always happens to an item, in one statement each: it is sent for the first time, the attempt made an
attachment, and that is complete.

All that would make it another case is asked for in the statement, which then changes nothing. What an item is like
afterwards follows from what it was like before, if the caller knows that and it is so still; otherwise it is read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, func, literal_column, null, select, update
from sqlalchemy.dialects.sqlite import insert

from batch_upload.errors import BatchUploadError
from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import (
    ATTACHMENT_COLUMNS,
    IS_CURRENT,
    IS_PENDING,
    IS_PROCESSING,
    IS_SENDING,
    KNOWN,
    OF_ATTACHMENT,
    OF_TOKEN,
    STANDS,
    fault_values,
    known_after,
    known_of,
    known_one,
    token_of,
)
from batch_upload.ledger.strangers import OF_STRANGER
from batch_upload.ledger.tables import AnyText, UtcText, attempt, encodable, item, run
from batch_upload.model import Attachment, AttachmentStatus, Known, Receipt, State
from batch_upload.ports import Attempt


def intend_first(connection: Connection, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> int | None:
    """Record the first attempt of an item in the usual case, and give its id: nothing is known of the item but that it
    is wanted. Otherwise nothing is changed."""
    return _INTEND_FIRST.add(connection, {**token_of(lane_id, client_token), "wanted_run": run_id, "at": at})


def bind_first(
    connection: Connection,
    lane_id: int,
    started: Attempt,
    receipt: Receipt,
    before: Known | None,
    *,
    request_id: str | None,
    at: datetime,
) -> Known | None:
    """Record what an attempt made in the usual case, and give the item as it is then: the item waits for the answer and
    has no attachment, nobody else is known to have this one, and it did not fail. Otherwise nothing is changed.

    The same as `before_binding` and `bind`, in one statement, and without a look at the item afterwards where it was
    `before` as the caller has it.
    """
    if receipt.status not in STANDS:
        return None
    is_complete = receipt.status is AttachmentStatus.COMPLETE
    values = {
        "attachment_id": receipt.attachment_id,
        "attachment_arn": receipt.attachment_arn,
        "attachment_status": receipt.status,
        "state": State.COMPLETE if is_complete else State.PROCESSING,
        "completed_at": at if is_complete else None,
    }
    wanted = {
        **token_of(lane_id, started.client_token),
        "wanted_attempt": started.attempt_id,
        "wanted_id": receipt.attachment_id,
        "attachment_created_at": receipt.created_at,
        "told_id": request_id,
        "changed_at": at,
    }
    if before is not None and before.current:
        sent = {"attempts": before.attempts + 1, "first_sent_at": before.first_sent_at or started.started_at}
        if _BIND_KNOWN.run(connection, {**wanted, **values, **_same(before), **sent}) == 1:
            told = {} if request_id is None else {"request_id": encodable(request_id)}
            return known_after(before, values, sent, _SETTLED, told)
    if _BIND_FIRST.run(connection, {**wanted, **values}) == 1:
        return known_one(connection, lane_id, started.client_token)
    return None


def complete_first(
    connection: Connection, lane_id: int, attachment: Attachment, before: Known | None, *, at: datetime
) -> Known | None:
    """Record that an attachment is complete in the usual case, and give its item as it is then: the service was at work
    on it. Otherwise nothing is changed. `before` is the item as the caller knows it."""
    if attachment.status is not AttachmentStatus.COMPLETE:
        return None
    wanted = {"of_lane": lane_id, "wanted_id": attachment.attachment_id}
    if before is not None and before.current and before.attachment_id == attachment.attachment_id:
        same = {**_same(before), "token": before.client_token}
        if _COMPLETE_KNOWN.run(connection, {**wanted, **same, "at": at}) == 1:
            return known_after(before, _COMPLETED, {"completed_at": at})
    if _COMPLETE.run(connection, {**wanted, "at": at}) == 1:
        return _known_owner(connection, wanted)
    return None


def _known_owner(connection: Connection, wanted: Mapping[str, Any]) -> Known:
    row = _KNOWN_OWNER.one(connection, wanted)
    if row is None:
        raise BatchUploadError(f"an attachment lost its item: `{wanted['wanted_id']}`")
    return known_of(row)


def _same(known: Known) -> dict[str, Any]:
    """What must be so still where an item is as it is known, but for what a statement changes or its place tells."""
    return {
        "same_tag": known.identity_tag,
        "attempts": known.attempts,
        "first_sent_at": known.first_sent_at,
        "same_request": known.request_id,
    }


_owner = item.alias("owner")
_KNOWN_OWNER = Prepared(KNOWN.where(OF_ATTACHMENT))
RUN_NO = select(run.c.run_no).where(run.c.run_id == bindparam("wanted_run")).scalar_subquery()
ITEM_OF_ATTEMPT = select(attempt.c.item_no).where(attempt.c.attempt_id == bindparam("wanted_attempt")).scalar_subquery()
_first = select(item.c.item_no, literal_column("1"), RUN_NO, bindparam("at", type_=UtcText)).where(
    OF_TOKEN, IS_PENDING, item.c.attempts == literal_column("0")
)
_INTEND_FIRST = Prepared(
    insert(attempt)
    .from_select(["item_no", "number", "run_no", "started_at"], _first, include_defaults=False)
    .on_conflict_do_nothing(index_elements=[attempt.c.item_no, attempt.c.number])
)
"""An attempt that was not sent after all has its number, and does not count: then this is not the first."""
_is_free = ~exists().where(_owner.c.lane_id == bindparam("of_lane"), _owner.c.attachment_id == bindparam("wanted_id"))
_without_fault = dict.fromkeys(fault_values(None), null())
_bind_first = (
    update(item)
    .where(item.c.item_no == ITEM_OF_ATTEMPT, OF_TOKEN, IS_SENDING, item.c.attachment_id.is_(None))
    .where(_is_free, ~exists().where(OF_STRANGER))
    .values(
        request_id=func.coalesce(bindparam("told_id", type_=AnyText), item.c.request_id),
        unknown_since=null(),
        last_open_at=null(),
        resume_after=null(),
        **_without_fault,
    )
)
_complete = (
    update(item)
    .where(OF_ATTACHMENT, IS_PROCESSING)
    .values(
        state=literal_column(f"'{State.COMPLETE}'"),
        attachment_status=literal_column(f"'{AttachmentStatus.COMPLETE}'"),
        completed_at=bindparam("at", type_=UtcText),
        changed_at=bindparam("at", type_=UtcText),
        **_without_fault,
    )
)
_is_same = and_(
    IS_CURRENT,
    item.c.identity_tag == bindparam("same_tag"),
    item.c.attempts == bindparam("attempts"),
    item.c.first_sent_at == bindparam("first_sent_at"),
    item.c.request_id.is_not_distinct_from(bindparam("same_request")),
)
_BOUND_COLUMNS = [*ATTACHMENT_COLUMNS, "state", "completed_at", "changed_at"]
_BIND_FIRST = Prepared(_bind_first, columns=_BOUND_COLUMNS)
_BIND_KNOWN = Prepared(_bind_first.where(_is_same), columns=_BOUND_COLUMNS)
_SETTLED = {"fault": None, "unknown_since": None, "last_open_at": None, "resume_after": None}
_COMPLETED = {"state": State.COMPLETE, "attachment_status": AttachmentStatus.COMPLETE, "fault": None}
_COMPLETE = Prepared(_complete)
_COMPLETE_KNOWN = Prepared(_complete.where(OF_TOKEN, _is_same))
"""An item that the service is at work on has nothing open and does not wait: the rest of it is as it is to be."""
