"""Attachments: whose they are, and what the service says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, func, select, union_all, update

from batch_upload.errors import Disagreement
from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import (
    ATTACHMENT_COLUMNS,
    ITEM_COLUMNS,
    LIVE,
    OF_ATTACHMENT,
    OF_TOKEN,
    STANDS,
    ItemRow,
    change,
    change_to_known,
    fault_values,
    item_row,
    known_one,
    token_of,
)
from batch_upload.ledger.strangers import OF_STRANGER, forget, keep
from batch_upload.ledger.tables import item, stranger
from batch_upload.ledger.usual import complete_first
from batch_upload.model import Attachment, AttachmentStatus, Duplicate, Fault, Known, State
from batch_upload.ports import ABSENT, DELETING

_FAULTS = {
    AttachmentStatus.FAILED: Fault("UPLOAD_FAILED", "the service could not process the attachment"),
    AttachmentStatus.DELETED: Fault("DELETED", "the attachment was deleted at the service"),
}
_ABSENT = Fault(ABSENT, "the service does not find the attachment, although it created it long ago")


@dataclass(frozen=True, slots=True)
class Binding:
    """An attachment that a token made, and what the ledger held of both before."""

    client_token: str
    attachment: Attachment
    before: ItemRow
    was_stranger: bool


def before_binding(connection: Connection, lane_id: int, client_token: str, attachment: Attachment) -> Binding:
    """See whether a token may have made this attachment. Changes nothing. Raises KeyError.

    Raises Disagreement where another token has it, or where this one has another that has not failed.
    """
    values = {**token_of(lane_id, client_token), "wanted_id": attachment.attachment_id}
    row = _BEFORE_BINDING.one(connection, values)
    if row is None:
        raise KeyError(client_token)
    *columns, owner, identity_tag, was_stranger = row
    before, of = ItemRow(*columns), identity_tag if owner is None else owner
    if of is not None and of != client_token:
        raise _anothers(attachment, client_token, of)
    if before.state in LIVE and before.attachment_id not in (None, attachment.attachment_id):
        raise _two_of_one(client_token, before.attachment_id, attachment)
    return Binding(client_token, attachment, before, bool(was_stranger))


def bind(connection: Connection, lane_id: int, binding: Binding, more: Mapping[str, Any], *, at: datetime) -> Known:
    """Record that a token made its attachment, and these values; nothing is unknown of it any more.

    Gives the item as it is then.
    """
    client_token, attachment, before = binding.client_token, binding.attachment, binding.before
    if before.attachment_id not in (None, attachment.attachment_id):
        give_up(connection, lane_id, client_token, seen_at=at)
        before = item_row(connection, lane_id, client_token)
    if binding.was_stranger:
        forget(connection, lane_id, attachment.attachment_id)
    anew = {} if before.attachment_id == attachment.attachment_id else {"completed_at": None}
    values = {**_bound(attachment), **anew, **_landed(before.state, attachment.status, at), **more}
    return change_to_known(connection, lane_id, client_token, values)


def adopt(connection: Connection, lane_id: int, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
    return bind(connection, lane_id, before_binding(connection, lane_id, client_token, attachment), {}, at=at)


def observe(
    connection: Connection, lane_id: int, seen: Sequence[Attachment], *, at: datetime, known: Mapping[str, Known]
) -> list[Known]:
    told = (_observe_one(connection, lane_id, each, known.get(each.attachment_id), at=at) for each in seen)
    return [each for each in told if each is not None]


def _observe_one(
    connection: Connection, lane_id: int, attachment: Attachment, before: Known | None, *, at: datetime
) -> Known | None:
    if (completed := complete_first(connection, lane_id, attachment, before, at=at)) is not None:
        return completed
    row = _OWNED.one(connection, {"of_lane": lane_id, "wanted_id": attachment.attachment_id})
    if row is None:
        return None
    owner, *columns = row
    standing = ItemRow(*columns)
    values = _landed(standing.state, attachment.status, at)
    if (values["state"], values["attachment_status"]) == (standing.state, standing.attachment_status):
        return known_one(connection, lane_id, owner)
    return change_to_known(connection, lane_id, owner, values)


def not_found(connection: Connection, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> list[Known]:
    for client_token in client_tokens:
        if item_row(connection, lane_id, client_token).state in LIVE:
            values = {**fault_values(_ABSENT), "state": State.FAILED, "changed_at": at}
            change(connection, lane_id, client_token, values)
    return [known_one(connection, lane_id, client_token) for client_token in client_tokens]


def duplicates(connection: Connection, lane_id: int) -> list[Duplicate]:
    rows = connection.execute(_DUPLICATES, {"of_lane": lane_id})
    return [Duplicate(*row) for row in rows]


def retagged(
    connection: Connection, lane_id: int, from_token: str, to_token: str, *, identity_tag: bool, at: datetime
) -> Known:
    of_lane = {"of_lane": lane_id}
    if to_token != from_token:
        other = item_row(connection, lane_id, to_token)
        if other.attachment_id is not None:
            raise Disagreement(f"token `{to_token}` has its own attachment: `{other.attachment_id}`")
        stood = connection.execute(_STOOD, {**of_lane, "token": from_token}).one()._asdict()
        parted = {**dict.fromkeys(_STOOD_COLUMNS), **fault_values(None), "state": State.PENDING, "changed_at": at}
        change(connection, lane_id, from_token, parted)
        taken = {**stood, **fault_values(None), "unknown_since": None, "last_open_at": None, "resume_after": None}
        change(connection, lane_id, to_token, {**taken, "changed_at": at})
    connection.execute(_RETIRE, {**of_lane, "token": to_token})
    change(connection, lane_id, to_token, {"current": True, "identity_tag": identity_tag})
    return known_one(connection, lane_id, to_token)


def begin_deletion(connection: Connection, lane_id: int, client_token: str, *, run_id: str, at: datetime) -> Known:
    before = item_row(connection, lane_id, client_token)
    if before.state in LIVE:
        fault = Fault(DELETING, f"run {run_id} asked the service to delete it, what came of that is not recorded")
        values = {**_landed(before.state, AttachmentStatus.DELETED, at), **fault_values(fault)}
        change(connection, lane_id, client_token, values)
    return known_one(connection, lane_id, client_token)


def end_deletion(connection: Connection, lane_id: int, client_token: str, *, is_gone: bool, at: datetime) -> Known:
    known = known_one(connection, lane_id, client_token)
    was_failed = known.attachment_status is AttachmentStatus.FAILED
    if not (was_failed and is_gone) and (known.fault is None or known.fault.code != DELETING):
        return known
    values: dict[str, Any] = {
        **fault_values(_FAULTS[AttachmentStatus.DELETED]),
        "attachment_status": AttachmentStatus.DELETED,
        "changed_at": at,
    }
    if not is_gone:
        was_complete = known.completed_at is not None
        values |= {
            **fault_values(None),
            "state": State.COMPLETE if was_complete else State.PROCESSING,
            "attachment_status": AttachmentStatus.COMPLETE if was_complete else AttachmentStatus.IN_PROGRESS,
        }
    change(connection, lane_id, client_token, values)
    return known_one(connection, lane_id, client_token)


def give_up(connection: Connection, lane_id: int, client_token: str, *, seen_at: datetime) -> None:
    """Part an item from its attachment, which came to nothing. The ledger still knows whose it was."""
    lost = Attachment(*connection.execute(_ATTACHMENT, {"of_lane": lane_id, "token": client_token}).one())
    parted = {**dict.fromkeys(ATTACHMENT_COLUMNS), **fault_values(None), "state": State.PENDING, "resume_after": None}
    change(connection, lane_id, client_token, parted)
    keep(connection, lane_id, [(lost, client_token)], at=seen_at)


def attachment_tokens(connection: Connection, lane_id: int) -> dict[str, str | None]:
    ours = select(item.c.attachment_id, item.c.client_token).where(
        item.c.lane_id == lane_id, item.c.attachment_id.is_not(None)
    )
    others = select(stranger.c.attachment_id, stranger.c.identity_tag).where(stranger.c.lane_id == lane_id)
    return {attachment_id: token for attachment_id, token in connection.execute(union_all(ours, others))}


def standing_count(connection: Connection, lane_id: int) -> int:
    counted = _STANDING_COUNT.one(connection, {"of_lane": lane_id}) or (0,)
    return int(counted[0])


_DUPLICATES = (
    select(stranger.c.attachment_id, item.c.client_token, item.c.attachment_id, item.c.item_id)
    .join_from(
        stranger, item, and_(item.c.lane_id == stranger.c.lane_id, item.c.client_token == stranger.c.identity_tag)
    )
    .where(
        stranger.c.lane_id == bindparam("of_lane"),
        item.c.state.in_(LIVE),
        item.c.attachment_id != stranger.c.attachment_id,
    )
    .order_by(item.c.item_no, stranger.c.attachment_id)
)
_ATTACHMENT = select(
    item.c.attachment_id, item.c.attachment_arn, item.c.attachment_status, item.c.attachment_created_at
).where(item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token"))
_STOOD_COLUMNS = (*ATTACHMENT_COLUMNS, "completed_at")
_STOOD = select(item.c.state, *(item.c[name] for name in _STOOD_COLUMNS)).where(
    item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token")
)
_namesake = item.alias()
_RETIRE = (
    update(item)
    .where(
        item.c.lane_id == bindparam("of_lane"),
        item.c.client_token != bindparam("token"),
        item.c.current,
        exists().where(
            _namesake.c.lane_id == item.c.lane_id,
            _namesake.c.client_token == bindparam("token"),
            _namesake.c.batch == item.c.batch,
            _namesake.c.item_id == item.c.item_id,
        ),
    )
    .values(current=False)
)
_OWNED = Prepared(select(item.c.client_token, *ITEM_COLUMNS).where(OF_ATTACHMENT))
_owner = item.alias("owner")
_BEFORE_BINDING = Prepared(
    select(
        *ITEM_COLUMNS,
        select(_owner.c.client_token)
        .where(_owner.c.lane_id == bindparam("of_lane"), _owner.c.attachment_id == bindparam("wanted_id"))
        .scalar_subquery(),
        select(stranger.c.identity_tag).where(OF_STRANGER).scalar_subquery(),
        exists().where(OF_STRANGER),
    ).where(OF_TOKEN)
)
_STANDING_COUNT = Prepared(
    select(
        select(func.count())
        .where(
            item.c.lane_id == bindparam("of_lane"),
            item.c.attachment_id.is_not(None),
            item.c.attachment_status != AttachmentStatus.DELETED,
        )
        .scalar_subquery()
        + select(func.count())
        .where(stranger.c.lane_id == bindparam("of_lane"), stranger.c.status != AttachmentStatus.DELETED)
        .scalar_subquery()
    )
)


def _anothers(attachment: Attachment, client_token: str, owner: str) -> Disagreement:
    return Disagreement(
        f"the service gave attachment `{attachment.attachment_id}` to token `{client_token}`, "
        f"the ledger knows it as that of `{owner}`",
        hint="is this ledger an old copy, or was another one used? `batch-upload verify` compares",
    )


def _two_of_one(client_token: str, first_id: str | None, second: Attachment) -> Disagreement:
    return Disagreement(
        f"token `{client_token}` made attachment `{first_id}`, and now `{second.attachment_id}` as well",
        hint="`batch-upload verify` compares the ledger with the service",
    )


def _bound(attachment: Attachment) -> dict[str, Any]:
    return {
        "attachment_id": attachment.attachment_id,
        "attachment_arn": attachment.attachment_arn,
        "attachment_created_at": attachment.created_at,
    }


def _landed(before: State, status: AttachmentStatus, at: datetime) -> dict[str, Any]:
    """An item's columns by its attachment's status. What was complete is not taken back by a late IN_PROGRESS."""
    if before is State.COMPLETE and status in STANDS:
        return {"state": State.COMPLETE, "attachment_status": AttachmentStatus.COMPLETE}
    fault = _FAULTS.get(status)
    values: dict[str, Any] = {
        **fault_values(fault),
        "state": State.FAILED if fault else State.PROCESSING,
        "attachment_status": status,
        "unknown_since": None,
        "last_open_at": None,
        "resume_after": None,
        "changed_at": at,
    }
    if status is AttachmentStatus.COMPLETE:
        values |= {"state": State.COMPLETE, "completed_at": at}
    return values
