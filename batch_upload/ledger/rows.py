"""Rows and values: how an item is found, read and changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select, update

from batch_upload.ledger.tables import item, known
from batch_upload.model import AttachmentStatus, Fault, Known, State

T = TypeVar("T")

LIVE = frozenset({State.PROCESSING, State.COMPLETE})
"""States in which an attachment stands at the service."""
CHUNK = 500
"""Values in one statement; every SQLite takes 999."""

_FAULT_COLUMNS = ("fault_code", "fault_message", "fault_reason", "fault_fields", "fault_resource_id")
_PLAIN_COLUMNS = tuple(field.name for field in fields(Known) if field.name != "fault")
_KNOWN = select(*(known.c[name] for name in (*_PLAIN_COLUMNS, *_FAULT_COLUMNS)))


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What decides how an item may change."""

    state: State
    attachment_id: str | None
    attachment_status: AttachmentStatus | None
    unknown_since: datetime | None
    last_open_at: datetime | None


# Built once: building a statement takes longer than SQLite takes to carry it out.
_ITEM = select(
    item.c.state, item.c.attachment_id, item.c.attachment_status, item.c.unknown_since, item.c.last_open_at
).where(item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token"))
_KNOWN_ONE = _KNOWN.where(known.c.lane_id == bindparam("of_lane"), known.c.client_token == bindparam("token"))
_CHANGE = update(item).where(item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token"))


def item_row(connection: Connection, lane_id: int, client_token: str) -> ItemRow:
    """An item as it is. Raises KeyError."""
    row = connection.execute(_ITEM, _token(lane_id, client_token)).one_or_none()
    if row is None:
        raise KeyError(client_token)
    return ItemRow(*row)


def require(connection: Connection, lane_id: int, client_tokens: Sequence[str]) -> None:
    """Raise KeyError for the first token that is not in the ledger."""
    found: set[str] = set()
    for chunk in chunks(client_tokens):
        matching = select(item.c.client_token).where(item.c.lane_id == lane_id, item.c.client_token.in_(chunk))
        found.update(connection.scalars(matching))
    for client_token in client_tokens:
        if client_token not in found:
            raise KeyError(client_token)


def change(connection: Connection, lane_id: int, client_token: str, values: Mapping[str, Any]) -> None:
    """Set columns of one item."""
    connection.execute(_CHANGE, {**_token(lane_id, client_token), **values})


def fault_values(fault: Fault | None) -> dict[str, Any]:
    """The columns of a fault; None clears them."""
    if fault is None:
        return dict.fromkeys(_FAULT_COLUMNS)
    return {
        "fault_code": fault.code,
        "fault_message": fault.message,
        "fault_reason": fault.reason,
        "fault_fields": [list(pair) for pair in fault.fields],
        "fault_resource_id": fault.resource_id,
    }


def known_one(connection: Connection, lane_id: int, client_token: str) -> Known:
    """What is known of one token. Raises KeyError."""
    row = connection.execute(_KNOWN_ONE, _token(lane_id, client_token)).one_or_none()
    if row is None:
        raise KeyError(client_token)
    return _known(row)


def known_all(connection: Connection, *where: ColumnElement[bool]) -> list[Known]:
    """What is known of all items that fulfil every condition on the view `known`, oldest first."""
    return [_known(row) for row in connection.execute(_KNOWN.where(*where).order_by(known.c.item_no))]


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, so many at a time as a statement takes."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _known(row: Row[*tuple[Any, ...]]) -> Known:
    values = dict(zip(_PLAIN_COLUMNS, row, strict=False))
    return Known(**values, fault=_fault(*row[len(_PLAIN_COLUMNS) :]))


def _fault(
    code: str | None,
    message: str,
    reason: str | None,
    fields: Sequence[tuple[str, str]],
    resource_id: str | None,
) -> Fault | None:
    if code is None:
        return None
    return Fault(code, message, reason, tuple((name, text) for name, text in fields), resource_id)


def _token(lane_id: int, client_token: str) -> dict[str, Any]:
    return {"of_lane": lane_id, "token": client_token}
