"""Attachments: whose they are, and what the service says of them. Those that no item has are called strangers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, and_, bindparam, delete, exists, func, select, union_all, update

from batch_upload.errors import Disagreement
from batch_upload.ledger import transitions
from batch_upload.ledger.driver import Database, Statement, Upsert
from batch_upload.ledger.items import (
    IS_CURRENT,
    IS_LIVE,
    OF_ATTACHMENT,
    OF_LANE,
    Stored,
    stored,
    stored_of_attachments,
    write,
)
from batch_upload.ledger.tables import item, stranger, wanted
from batch_upload.model import Attachment, AttachmentStatus, Fault, Known
from batch_upload.records import Duplicate, StrangerRecord


def record_made(
    db: Database, lane_id: int, before: Stored, attachment: Attachment, *, request_id: str | None = None, at: datetime
) -> Known:
    """Record that the item's token made this attachment.

    Raises Disagreement, and changes nothing, where another token has it, or where the item has another that exists.
    """
    known = before.known
    row = db.one(_OWNERS, {"of_lane": lane_id, "wanted_id": attachment.attachment_id})
    owner, identity_tag, is_stranger = row or (None, None, False)
    other = identity_tag if owner is None else owner
    if other is not None and other != known.client_token:
        raise Disagreement(
            f"the service gave attachment `{attachment.attachment_id}` to token `{known.client_token}`, "
            f"the ledger knows it as that of `{other}`",
            hint="is this ledger an old copy, or was another one used? `batch-upload verify` compares",
        )
    has_another = known.attachment_id not in (None, attachment.attachment_id)
    if has_another and known.is_live:
        raise Disagreement(
            f"token `{known.client_token}` made attachment `{known.attachment_id}`, "
            f"and now `{attachment.attachment_id}` as well",
            hint="`batch-upload verify` compares the ledger with the service",
        )
    if has_another:
        keep_stranger(db, lane_id, known, at=at)
    if is_stranger:
        db.run(_FORGET, {"of_lane": lane_id, "wanted_id": attachment.attachment_id})
    after = transitions.made(known, attachment, request_id=request_id, at=at)
    is_as_before = transitions.is_ready(known) and after.state is known.state
    return write(db, before, after, at=None if is_as_before else at)


def record_adopted(db: Database, lane_id: int, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
    return record_made(db, lane_id, stored(db, lane_id, client_token), attachment, at=at)


def observe(db: Database, lane_id: int, seen: Sequence[Attachment], *, at: datetime) -> list[Known]:
    stored_items = stored_of_attachments(db, lane_id, [each.attachment_id for each in seen])
    found = []
    for each in seen:
        before = stored_items.get(each.attachment_id)
        if before is None:
            continue
        known = before.known
        after = transitions.seen(known, each.status, at=at)
        if (after.state, after.attachment_status) != (known.state, known.attachment_status):
            known = write(db, before, after, at=at)
            stored_items[each.attachment_id] = before._replace(known=known)
        found.append(known)
    return found


def mark_failed(db: Database, lane_id: int, client_token: str, fault: Fault, *, at: datetime) -> Known:
    before = stored(db, lane_id, client_token)
    return write(db, before, transitions.failed(before.known, fault), at=at)


def mark_not_found(db: Database, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> list[Known]:
    items = [stored(db, lane_id, client_token) for client_token in client_tokens]
    return [write(db, before, transitions.not_found(before.known), at=at) for before in items]


def retag(db: Database, lane_id: int, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
    if to_token != from_token:
        owner, heir = stored(db, lane_id, from_token), stored(db, lane_id, to_token)
        if heir.known.attachment_id is not None:
            raise Disagreement(f"token `{to_token}` has its own attachment: `{heir.known.attachment_id}`")
        write(db, owner, transitions.given_away(owner.known), at=at)  # first: an attachment has one item at most
        write(db, heir, transitions.retagged(heir.known, owner.known), at=at)
    number = stored(db, lane_id, to_token).number
    db.run(_RETIRE_OTHERS, {"of_lane": lane_id, "number": number})
    db.run(_MAKE_CURRENT, {"number": number, "has_tag": identity_tag})
    return stored(db, lane_id, to_token).known


def begin_deletion(db: Database, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> Known:
    before = stored(db, lane_id, client_token)
    return write(db, before, transitions.deletion_begun(before.known, run_id=run_id, at=at), at=at)


def end_deletion(db: Database, lane_id: int, client_token: str, *, is_gone: bool, at: datetime) -> Known:
    before = stored(db, lane_id, client_token)
    return write(db, before, transitions.deletion_ended(before.known, is_gone=is_gone), at=at)


def duplicates(db: Database, lane_id: int) -> list[Duplicate]:
    return [Duplicate(*row) for row in db.rows(_DUPLICATES, {"of_lane": lane_id})]


def attachment_tokens(db: Database, lane_id: int) -> dict[str, str | None]:
    return dict(db.rows(_TOKENS, {"of_lane": lane_id}))


def standing_count(db: Database, lane_id: int) -> int:
    return sum(count for (count,) in db.rows(_EXISTING_COUNTS, {"of_lane": lane_id}))


def strangers(db: Database, lane_id: int) -> list[StrangerRecord]:
    rows = db.rows(_STRANGERS, {"of_lane": lane_id})
    return [StrangerRecord(Attachment(*listed), identity_tag, seen_at) for *listed, identity_tag, seen_at in rows]


def remember(db: Database, lane_id: int, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
    """An attachment that an item has is no stranger, and is left out."""
    db.want(dict.fromkeys(attachment.attachment_id for attachment, _ in seen))
    of_items = {attachment_id for (attachment_id,) in db.rows(_WANTED_OF_ITEMS, {"of_lane": lane_id})}
    others = [pair for pair in seen if pair[0].attachment_id not in of_items]
    db.run_many(_KEEP_STRANGER, (_stranger_row(lane_id, *pair, at) for pair in others))


def keep_stranger(db: Database, lane_id: int, known: Known, *, at: datetime) -> None:
    """Keep the attachment of an item that is about to part from it: the ledger still knows whose it was."""
    lost = Attachment(
        known.attachment_id or "",
        known.attachment_arn or "",
        known.attachment_status or AttachmentStatus.DELETED,
        known.attachment_created_at or at,
    )
    db.run(_KEEP_STRANGER, _stranger_row(lane_id, lost, known.client_token, at))


def _stranger_row(lane_id: int, attachment: Attachment, identity_tag: str | None, at: datetime) -> dict[str, Any]:
    return {
        "lane_id": lane_id,
        "attachment_id": attachment.attachment_id,
        "attachment_arn": attachment.attachment_arn,
        "status": attachment.status,
        "identity_tag": identity_tag,
        "created_at": attachment.created_at,
        "seen_at": at,
    }


_OF_STRANGER = and_(stranger.c.lane_id == bindparam("of_lane"), stranger.c.attachment_id == bindparam("wanted_id"))
_OWNERS = Statement(
    select(
        select(item.c.client_token).where(OF_ATTACHMENT).scalar_subquery(),
        select(stranger.c.identity_tag).where(_OF_STRANGER).scalar_subquery(),
        exists().where(_OF_STRANGER),
    )
)
_FORGET = Statement(delete(stranger).where(_OF_STRANGER))
_STRANGER_COLUMNS = ("attachment_arn", "status", "identity_tag", "created_at", "seen_at")
_KEEP_STRANGER = Upsert(
    stranger,
    key=["lane_id", "attachment_id"],
    columns=["lane_id", "attachment_id", *_STRANGER_COLUMNS],
    replaced=_STRANGER_COLUMNS,
)
_STRANGERS = Statement(
    select(
        stranger.c.attachment_id,
        stranger.c.attachment_arn,
        stranger.c.status,
        stranger.c.created_at,
        stranger.c.identity_tag,
        stranger.c.seen_at,
    )
    .where(stranger.c.lane_id == bindparam("of_lane"))
    .order_by(stranger.c.created_at, stranger.c.attachment_id),
    is_large=True,
)
_WANTED_OF_ITEMS = Statement(
    select(item.c.attachment_id).where(OF_LANE, item.c.attachment_id.in_(select(wanted.c.key)))
)
_DUPLICATES = Statement(
    select(stranger.c.attachment_id, item.c.client_token, item.c.attachment_id, item.c.item_id)
    .join_from(
        stranger, item, and_(item.c.lane_id == stranger.c.lane_id, item.c.client_token == stranger.c.identity_tag)
    )
    .where(
        stranger.c.lane_id == bindparam("of_lane"),
        IS_LIVE,
        item.c.attachment_id != stranger.c.attachment_id,
    )
    .order_by(item.c.item_no, stranger.c.attachment_id)
)
_TOKENS = Statement(
    union_all(
        select(item.c.attachment_id, item.c.client_token).where(OF_LANE, item.c.attachment_id.is_not(None)),
        select(stranger.c.attachment_id, stranger.c.identity_tag).where(stranger.c.lane_id == bindparam("of_lane")),
    ),
    is_large=True,
)
_EXISTING_COUNTS = Statement(
    union_all(
        select(func.count()).where(
            OF_LANE, item.c.attachment_id.is_not(None), item.c.attachment_status != AttachmentStatus.DELETED
        ),
        select(func.count()).where(
            stranger.c.lane_id == bindparam("of_lane"), stranger.c.status != AttachmentStatus.DELETED
        ),
    )
)
_heir = item.alias("heir")


def _of_heir(name: str) -> ScalarSelect[Any]:
    return select(_heir.c[name]).where(_heir.c.item_no == bindparam("number")).scalar_subquery()


_RETIRE_OTHERS = Statement(
    update(item)
    .where(
        OF_LANE,
        item.c.batch == _of_heir("batch"),
        item.c.item_id == _of_heir("item_id"),
        IS_CURRENT,
        item.c.item_no != bindparam("number"),
    )
    .values(current=False)
)
_MAKE_CURRENT = Statement(
    update(item).where(item.c.item_no == bindparam("number")).values(current=True, identity_tag=bindparam("has_tag"))
)
