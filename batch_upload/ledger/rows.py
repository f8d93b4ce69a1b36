"""Rows and values: how an item is found, read and changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, literal_column, select, update

from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.tables import JsonText, item, lane
from batch_upload.model import AttachmentStatus, Fault, Known, State

T = TypeVar("T")

LIVE = frozenset({State.PROCESSING, State.COMPLETE})
"""States in which an attachment stands at the service."""
CHUNK = 500
"""Values in one statement; every SQLite takes 999."""
STANDS = (AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE)
"""Statuses of an attachment that came to something, or may yet."""
ATTACHMENT_COLUMNS = ("attachment_id", "attachment_arn", "attachment_status", "attachment_created_at")

_FAULT_COLUMNS = ("fault_code", "fault_message", "fault_reason", "fault_fields", "fault_resource_id")
_FIELDS = [field.name for field in fields(Known)]
_VALUES = attrgetter(*_FIELDS)
_PLACES = {name: place for place, name in enumerate(_FIELDS)}
_FAULT_AT = _FIELDS.index("fault")
_FAULT_ENDS_AT = _FAULT_AT + len(_FAULT_COLUMNS)
_ENDS_AT = len(_FIELDS) - 1 + len(_FAULT_COLUMNS)
KNOWN = select(*(item.c[name] for name in (*_FIELDS[:_FAULT_AT], *_FAULT_COLUMNS, *_FIELDS[_FAULT_AT + 1 :])))
"""The columns of an item as `known_of` takes them: in the order of the fields of `Known`."""


class ItemRow(NamedTuple):
    """What decides how an item may change."""

    item_no: int
    state: State
    attachment_id: str | None
    attachment_status: AttachmentStatus | None
    unknown_since: datetime | None
    last_open_at: datetime | None


ITEM_COLUMNS = (
    item.c.item_no,
    item.c.state,
    item.c.attachment_id,
    item.c.attachment_status,
    item.c.unknown_since,
    item.c.last_open_at,
)
"""The columns of an `ItemRow`."""


def any_of(name: str) -> Select[Any]:
    """The texts that a parameter brings as a JSON list, to be looked for with `IN`: one statement, however many."""
    return select(func.json_each(bindparam(name, type_=JsonText)).table_valued("value").c.value)


OF_TOKEN = and_(item.c.lane_id == bindparam("of_lane"), item.c.client_token == bindparam("token"))
OF_BATCH = and_(item.c.lane_id == bindparam("of_lane"), item.c.batch == bindparam("of_batch"))
OF_IDS = and_(OF_BATCH, item.c.item_id.in_(any_of("wanted_ids")))
OF_ATTACHMENT = and_(item.c.lane_id == bindparam("of_lane"), item.c.attachment_id == bindparam("wanted_id"))

# An index holds only what is current, another only what is not: SQLite takes them where the text says so. A parameter
# that is compared with what an index is limited to has SQLite make its plan anew each time: so no state is one, either.
IS_PENDING = item.c.state == literal_column(f"'{State.PENDING}'")
IS_SENDING = item.c.state == literal_column(f"'{State.SENDING}'")
IS_PROCESSING = item.c.state == literal_column(f"'{State.PROCESSING}'")
IS_CURRENT = item.c.current == literal_column("1")
IS_REPLACED = item.c.current == literal_column("0")

_ITEM = Prepared(select(*ITEM_COLUMNS).where(OF_TOKEN))
_KNOWN_ONE = Prepared(KNOWN.where(OF_TOKEN))


@lru_cache(maxsize=64)
def _change_of(columns: tuple[str, ...]) -> Prepared:
    """The change of these columns of one item. There are about ten sets of columns that change together."""
    return Prepared(update(item).where(OF_TOKEN), columns=columns)


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
    """Set columns of one item, and give what is known of it then. Raises KeyError.

    Two statements: what an UPDATE returns SQLite keeps aside first, which costs more than to look once more.
    """
    change(connection, lane_id, client_token, values)
    return known_one(connection, lane_id, client_token)


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
    """What is known of all items that fulfil every condition on the table `item`, oldest first."""
    return [known_of(row) for row in connection.execute(KNOWN.where(*where).order_by(item.c.item_no))]


def known_of(row: Sequence[Any]) -> Known:
    """What a row of `KNOWN` tells, whatever columns come behind those."""
    fault = None if row[_FAULT_AT] is None else _fault(*row[_FAULT_AT:_FAULT_ENDS_AT])
    columns: tuple[Any, ...] = (*row[:_FAULT_AT], fault, *row[_FAULT_ENDS_AT:_ENDS_AT])
    return Known(*columns)


def known_after(before: Known, *changes: Mapping[str, Any]) -> Known:
    """An item that is known, after changes of its fields by name. `dataclasses.replace` takes twice as long."""
    values = list(_VALUES(before))
    for changed in changes:
        for name, value in changed.items():
            values[_PLACES[name]] = value
    return Known(*values)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values, so many at a time as a statement takes."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def is_of_token(client_token: str) -> ColumnElement[bool]:
    """The one item with a token, for who does not know the number of the lane."""
    the_lane = select(lane.c.lane_id).scalar_subquery()
    return and_(item.c.lane_id == the_lane, item.c.client_token == client_token)


def token_of(lane_id: int, client_token: str) -> dict[str, Any]:
    """The parameters of `OF_TOKEN`."""
    return {"of_lane": lane_id, "token": client_token}


def _fault(
    code: str, message: str, reason: str | None, fields: Sequence[tuple[str, str]], resource_id: str | None
) -> Fault:
    return Fault(code, message, reason, tuple((name, text) for name, text in fields), resource_id)
