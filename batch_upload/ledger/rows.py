"""Rows and values: how an item is found, read and changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, bindparam, literal_column, select, update

from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.tables import item, known
from batch_upload.model import AttachmentStatus, Fault, Known, State

T = TypeVar("T")

LIVE = frozenset({State.PROCESSING, State.COMPLETE})
"""States in which an attachment stands at the service."""
CHUNK = 500
"""Values in one statement; every SQLite takes 999."""

_FAULT_COLUMNS = ("fault_code", "fault_message", "fault_reason", "fault_fields", "fault_resource_id")
_FIELDS = [field.name for field in fields(Known)]
_FAULT_AT = _FIELDS.index("fault")
_FAULT_ENDS_AT = _FAULT_AT + len(_FAULT_COLUMNS)
_ENDS_AT = len(_FIELDS) - 1 + len(_FAULT_COLUMNS)
KNOWN = select(*(known.c[name] for name in (*_FIELDS[:_FAULT_AT], *_FAULT_COLUMNS, *_FIELDS[_FAULT_AT + 1 :])))
"""The columns of the view `known` as `known_of` takes them: in the order of the fields of `Known`."""


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What decides how an item may change."""

    state: State
    attachment_id: str | None
    attachment_status: AttachmentStatus | None
    unknown_since: datetime | None
    last_open_at: datetime | None


ITEM_COLUMNS = (
    item.c.state,
    item.c.attachment_id,
    item.c.attachment_status,
    item.c.unknown_since,
    item.c.last_open_at,
)
"""The columns of an `ItemRow`."""
OF_TOKEN = and_(item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token"))

# An index holds only what is current, another only what is not: SQLite takes them where the text says so.
IS_CURRENT = item.c.current == literal_column("1")
IS_REPLACED = item.c.current == literal_column("0")

_ITEM = Prepared(select(*ITEM_COLUMNS).where(OF_TOKEN))
_KNOWN_ONE = Prepared(KNOWN.where(known.c.lane_id == bindparam("of_lane"), known.c.client_token == bindparam("token")))


_OF_ATTEMPTS = {
    "attempts": """
      (SELECT count(*) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = CAST(item.client_token AS TEXT)
          AND outcome.kind IS NOT 'withdrawn')""",
    "request_id": """
      (SELECT outcome.request_id FROM attempt JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = CAST(item.client_token AS TEXT)
          AND outcome.request_id IS NOT NULL
        ORDER BY attempt.number DESC LIMIT 1)""",
    "first_sent_at": """
      (SELECT min(attempt.started_at) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = CAST(item.client_token AS TEXT)
          AND outcome.kind IS NOT 'withdrawn')""",
}
"""What the view `known` tells of an item's attempts, so that a change can give it without finding the row once more.

As text: SQLAlchemy leaves the tables' names out of what an UPDATE returns. With a CAST: of what is returned SQLite has
forgotten that it is text, and looks at every attempt otherwise.
"""


@lru_cache(maxsize=64)
def _change_of(columns: tuple[str, ...]) -> Prepared:
    """The change of these columns of one item. There are about ten sets of columns that change together."""
    return Prepared(update(item).where(OF_TOKEN), columns=columns)


@lru_cache(maxsize=64)
def _change_to_known(columns: tuple[str, ...]) -> Prepared:
    """The same, and what is known of the item then."""
    return Prepared(update(item).where(OF_TOKEN).returning(*_RETURNED), columns=columns)


def _returned(name: str) -> ColumnElement[Any]:
    text = _OF_ATTEMPTS.get(name)
    return item.c[name] if text is None else literal_column(text, known.c[name].type)


_RETURNED = [_returned(column.name) for column in KNOWN.selected_columns]


def item_row(connection: Connection, lane_id: int, client_token: str) -> ItemRow:
    """An item as it is. Raises KeyError."""
    row = _ITEM.one(connection, token_of(lane_id, client_token))
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
    _change_of(tuple(values)).run(connection, {**token_of(lane_id, client_token), **values})


def change_to_known(connection: Connection, lane_id: int, client_token: str, values: Mapping[str, Any]) -> Known:
    """Set columns of one item, and give what is known of it then. Raises KeyError."""
    row = _change_to_known(tuple(values)).one(connection, {**token_of(lane_id, client_token), **values})
    if row is None:
        raise KeyError(client_token)
    return known_of(row)


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
    row = _KNOWN_ONE.one(connection, token_of(lane_id, client_token))
    if row is None:
        raise KeyError(client_token)
    return known_of(row)


def known_all(connection: Connection, *where: ColumnElement[bool]) -> list[Known]:
    """What is known of all items that fulfil every condition on the view `known`, oldest first."""
    return [known_of(row) for row in connection.execute(KNOWN.where(*where).order_by(known.c.item_no))]


def known_of(row: Sequence[Any]) -> Known:
    """What a row of `KNOWN` tells, whatever columns come behind those."""
    fault = None if row[_FAULT_AT] is None else _fault(*row[_FAULT_AT:_FAULT_ENDS_AT])
    columns: tuple[Any, ...] = (*row[:_FAULT_AT], fault, *row[_FAULT_ENDS_AT:_ENDS_AT])
    return Known(*columns)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, so many at a time as a statement takes."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def token_of(lane_id: int, client_token: str) -> dict[str, Any]:
    """The parameters of `OF_TOKEN`."""
    return {"of_lane": lane_id, "token": client_token}


def _fault(
    code: str, message: str, reason: str | None, fields: Sequence[tuple[str, str]], resource_id: str | None
) -> Fault:
    return Fault(code, message, reason, tuple((name, text) for name, text in fields), resource_id)
