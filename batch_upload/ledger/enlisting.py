"""Enlisting: which token stands for which id. Only what is new or different is written, so a rerun writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, union_all, update
from sqlalchemy.dialects.sqlite import insert

from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import IS_CURRENT, IS_REPLACED, OF_IDS, OF_TOKEN, chunks
from batch_upload.ledger.tables import item
from batch_upload.model import Item, State


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a token stands in the ledger."""

    key: tuple[str, str]
    current: bool
    identity_tag: bool


def enlist(connection: Connection, lane_id: int, items: Sequence[Item], *, at: datetime) -> None:
    """Of several items with one id the last is the current one."""
    wanted = {(one.batch, one.item_id): one.client_token for one in items}
    standing = _standing(connection, lane_id, wanted)
    retired = [token for token, was in standing.items() if was.current and wanted.get(was.key, token) != token]
    returned = [token for token in wanted.values() if token in standing and not standing[token].current]
    new = (one for one in items if one.client_token not in standing)
    known = (one for one in items if one.client_token in standing)
    retagged = [one for one in known if one.identity_tag != standing[one.client_token].identity_tag]
    _MOVE.run_all(connection, (_moved(lane_id, token, current=False) for token in retired))
    _MOVE.run_all(connection, (_moved(lane_id, token, current=True) for token in returned))
    _ADD.run_all(connection, (_new_row(one, lane_id, at, wanted) for one in new))
    _RETAG.run_all(connection, (_retagged(lane_id, one) for one in retagged))


def _standing(connection: Connection, lane_id: int, wanted: Iterable[tuple[str, str]]) -> dict[str, _Standing]:
    """Every token of these batches and ids."""
    ids: dict[str, list[str]] = {}
    for batch, item_id in wanted:
        ids.setdefault(batch, []).append(item_id)
    found: dict[str, _Standing] = {}
    for batch, of_batch in ids.items():
        for chunk in chunks(of_batch):
            asked = {"of_lane": lane_id, "of_batch": batch, "wanted_ids": chunk}
            for client_token, item_id, current, identity_tag in _STANDING.rows(connection, asked):
                found[client_token] = _Standing((batch, item_id), current, identity_tag)
    return found


def _moved(lane_id: int, client_token: str, *, current: bool) -> dict[str, Any]:
    return {"of_lane": lane_id, "token": client_token, "is_current": current}


def _retagged(lane_id: int, one: Item) -> dict[str, Any]:
    return {"of_lane": lane_id, "token": one.client_token, "has_tag": one.identity_tag}


def _new_row(one: Item, lane_id: int, at: datetime, wanted: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    return {
        "lane_id": lane_id,
        "client_token": one.client_token,
        "batch": one.batch,
        "item_id": one.item_id,
        "source": one.source,
        "content": one.content,
        "tags": dict(one.tags),
        "generation": one.generation,
        "identity_tag": one.identity_tag,
        "size_bytes": one.size_bytes,
        "content_type": one.content_type,
        "current": wanted[one.batch, one.item_id] == one.client_token,
        "state": State.PENDING,
        "enlisted_at": at,
        "changed_at": at,
    }


_COLUMNS = (
    "lane_id",
    "client_token",
    "batch",
    "item_id",
    "source",
    "content",
    "tags",
    "generation",
    "identity_tag",
    "size_bytes",
    "content_type",
    "current",
    "state",
    "enlisted_at",
    "changed_at",
)
_standing_columns = select(item.c.client_token, item.c.item_id, item.c.current, item.c.identity_tag).where(OF_IDS)
_STANDING = Prepared(union_all(_standing_columns.where(IS_CURRENT), _standing_columns.where(IS_REPLACED)))
_ADD = Prepared(
    insert(item).on_conflict_do_nothing(index_elements=[item.c.lane_id, item.c.client_token]), columns=_COLUMNS
)
"""The same item twice is one item."""
_BY_TOKEN = update(item).where(OF_TOKEN)
_MOVE = Prepared(_BY_TOKEN.values(current=bindparam("is_current")))
_RETAG = Prepared(_BY_TOKEN.where(item.c.attempts == 0).values(identity_tag=bindparam("has_tag")))
"""What is sent again is what was sent: the tag of a token that left stays as it left."""
