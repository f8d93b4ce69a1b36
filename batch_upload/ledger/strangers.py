"""Strangers: attachments of the lane that no item has."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import chunks
from batch_upload.ledger.tables import item, stranger
from batch_upload.model import Attachment


def remember(
    connection: Connection, lane_id: int, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime
) -> None:
    """What an item has is no stranger, and is left out."""
    ours: set[str] = set()
    for chunk in chunks([attachment.attachment_id for attachment, _ in seen]):
        taken = select(item.c.attachment_id).where(item.c.lane_id == lane_id, item.c.attachment_id.in_(chunk))
        ours.update(connection.scalars(taken))
    keep(connection, lane_id, [pair for pair in seen if pair[0].attachment_id not in ours], at=at)


def forget(connection: Connection, lane_id: int, attachment_id: str) -> None:
    """An item has it now."""
    _FORGET.run(connection, {"of_lane": lane_id, "wanted_id": attachment_id})


def keep(connection: Connection, lane_id: int, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
    """Keep these, whether or not an item has one. Again for the same id: the later wins."""
    if seen:
        connection.execute(_REMEMBER, [_stranger_row(lane_id, attachment, tag, at) for attachment, tag in seen])


def _stranger_row(lane_id: int, attachment: Attachment, tag: str | None, at: datetime) -> dict[str, Any]:
    return {
        "lane_id": lane_id,
        "attachment_id": attachment.attachment_id,
        "attachment_arn": attachment.attachment_arn,
        "status": attachment.status,
        "identity_tag": tag,
        "created_at": attachment.created_at,
        "seen_at": at,
    }


OF_STRANGER = and_(stranger.c.lane_id == bindparam("of_lane"), stranger.c.attachment_id == bindparam("wanted_id"))
_FORGET = Prepared(delete(stranger).where(OF_STRANGER))
_fresh = insert(stranger)
_REMEMBER = _fresh.on_conflict_do_update(
    index_elements=[stranger.c.lane_id, stranger.c.attachment_id],
    set_={
        "attachment_arn": _fresh.excluded.attachment_arn,
        "status": _fresh.excluded.status,
        "identity_tag": _fresh.excluded.identity_tag,
        "created_at": _fresh.excluded.created_at,
        "seen_at": _fresh.excluded.seen_at,
    },
)
