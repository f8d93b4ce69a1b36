"""Items: how one is found, read and written."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
    union_all,
    update,
)

from batch_upload.ledger.driver import Database, ResultRow, Statement
from batch_upload.ledger.tables import UtcText, encodable, item, wanted
from batch_upload.model import LIVE, OPEN, Fault, Known, State
from batch_upload.registration import Bind, BindState, Denial

_FAULT_COLUMNS = ("fault_code", "fault_message", "fault_reason", "fault_fields", "fault_resource_id")
_FIELDS = Known._fields
_FAULT_AT = _FIELDS.index("fault")
_FAULT_ENDS_AT = _FAULT_AT + len(_FAULT_COLUMNS)
_BIND_FIELD_AT = _FIELDS.index("bind")
_BIND_AT = _BIND_FIELD_AT - 1 + len(_FAULT_COLUMNS)
_BIND_ENDS_AT = _BIND_AT + 5
KNOWN = select(
    *(item.c[name] for name in (*_FIELDS[:_FAULT_AT], *_FAULT_COLUMNS, *_FIELDS[_FAULT_AT + 1 : _BIND_FIELD_AT])),
    *(item.c.bind_registration, item.c.bind_field),
    # converted by `known_of`, so that items without `bind` cost no conversion
    *(type_coerce(item.c.bind_state, Text), item.c.bound_version, type_coerce(item.c.denial, Text)),
)
"""The columns of an item as `known_of` takes them: in the order of the fields of `Known`."""
STORED = KNOWN.add_columns(item.c.item_no)
"""The same, and behind them its number."""

OF_LANE = item.c.lane_id == bindparam("of_lane")
OF_TOKEN = and_(OF_LANE, item.c.client_token == bindparam("token"))
OF_ATTACHMENT = and_(OF_LANE, item.c.attachment_id == bindparam("wanted_id"))
OF_BATCH = and_(OF_LANE, item.c.batch == bindparam("of_batch"))
IS_WANTED_ID = item.c.item_id.in_(select(wanted.c.key))
IS_WANTED_TOKEN = item.c.client_token.in_(select(wanted.c.key))
IS_CURRENT = item.c.current == true()
IS_REPLACED = item.c.current == false()
"""One index holds only what is current, another only what is not: a query of both is a UNION, so that it uses both."""
IS_SENDING = item.c.state == literal_column(f"'{State.SENDING}'")
"""With a parameter in place of the word, SQLite would plan the statement anew each time for its partial index."""


def in_states(states: Iterable[State]) -> ColumnElement[bool]:
    """Whether an item is in one of these states."""
    return item.c.state.in_([literal_column(f"'{state}'") for state in sorted(states)])


IS_REFUSED_BIND = item.c.bind_state == literal_column(f"'{BindState.REFUSED}'")
IS_LIVE = or_(in_states(LIVE), IS_REFUSED_BIND)
"""`Known.is_live`: the tables have a refused binding only with `failed`. Written as in an index of PostgreSQL."""


class Stored(NamedTuple):
    """An item with its number in the ledger."""

    number: int
    known: Known


def stored(db: Database, lane_id: int, client_token: str) -> Stored:
    """Return an item as it is. Raises KeyError for a token that is not in the lane."""
    row = db.one(_BY_TOKEN, {"of_lane": lane_id, "token": client_token})
    if row is None:
        raise KeyError(client_token)
    return Stored(row[-1], known_of(row))


def stored_of_attachments(db: Database, lane_id: int, attachment_ids: Sequence[str]) -> dict[str, Stored]:
    """Return the items that have these attachments, by the attachment's id."""
    db.want(dict.fromkeys(attachment_ids))
    items = (Stored(row[-1], known_of(row)) for row in db.rows(_BY_ATTACHMENTS, {"of_lane": lane_id}))
    return {each.known.attachment_id: each for each in items if each.known.attachment_id is not None}


def stored_of_tokens(db: Database, lane_id: int, client_tokens: Sequence[str]) -> list[Stored]:
    """Return the items of these tokens, oldest first; tokens that are not in the lane are left out."""
    db.want(dict.fromkeys(client_tokens))
    rows = db.rows(_BY_TOKENS, {"of_lane": lane_id})
    return [Stored(row[-1], known_of(row)) for row in rows]


def write(db: Database, before: Stored, after: Known, *, at: datetime | None) -> Known:
    """Write an item as a transition left it, and return it. `at` is None where that is no change of its state."""
    after = _storable(after)
    changes: dict[str, Any] = {
        name: new for name, old, new in zip(_FIELDS, before.known, after, strict=True) if new != old
    }
    if not changes:
        return after
    if "fault" in changes:
        changes |= fault_values(changes.pop("fault"))
    if "bind" in changes:
        changes["bind_registration"], changes["bind_field"] = changes.pop("bind") or (None, None)
    if "denial" in changes and after.denial is not None:
        changes["denial"] = after.denial._asdict()
    db.run(_update_of(tuple(changes)), {"number": before.number, "at": at, **changes})
    return after


@cache
def _update_of(columns: tuple[str, ...]) -> Statement:
    """Return the UPDATE of these columns of an item.

    An upload changes an item in two ways. To write those columns alone takes SQLite half as long as to write all that
    can change: it checks the rules and the indexes of what is written.
    """
    changed_at = func.coalesce(bindparam("at", type_=UtcText), item.c.changed_at)
    by_number = update(item).where(item.c.item_no == bindparam("number")).values(changed_at=changed_at)
    return Statement(by_number, columns=columns)


def fault_values(fault: Fault | None) -> dict[str, Any]:
    """Return the columns of a fault; None clears them."""
    if fault is None:
        return dict.fromkeys(_FAULT_COLUMNS)
    return {
        "fault_code": fault.code,
        "fault_message": fault.message,
        "fault_reason": fault.reason,
        "fault_fields": [list(pair) for pair in fault.fields],
        "fault_resource_id": fault.resource_id,
    }


def known_of(row: ResultRow) -> Known:
    """Return what a row of `KNOWN` says, whatever columns follow those."""
    code, message, reason, field_pairs, resource_id = row[_FAULT_AT:_FAULT_ENDS_AT]
    fault = None
    if code is not None:
        fault = Fault(code, message, reason, tuple((name, text) for name, text in field_pairs), resource_id)
    values: ResultRow = (*row[:_FAULT_AT], fault, *row[_FAULT_ENDS_AT:_BIND_AT])
    if row[_BIND_AT] is None:
        return Known(*values)
    registration, field, bind_state, version, denial = row[_BIND_AT:_BIND_ENDS_AT]
    review = None if denial is None else Denial(**json.loads(denial))
    return Known(*(*values, Bind(registration, field), BindState(bind_state), version, review))


def known_of_batch(db: Database, lane_id: int, batch: str) -> list[Known]:
    return [known_of(row) for row in db.rows(_OF_BATCH, {"of_lane": lane_id, "of_batch": batch})]


def batches_of(db: Database, lane_id: int) -> list[str]:
    return [batch for (batch,) in db.rows(_BATCHES, {"of_lane": lane_id})]


def known_of_ids(db: Database, lane_id: int, batch: str, item_ids: Sequence[str]) -> list[Known]:
    db.want(dict.fromkeys(item_ids))
    return [known_of(row) for row in db.rows(_OF_IDS, {"of_lane": lane_id, "of_batch": batch})]


def known_of_tokens(db: Database, lane_id: int, batch: str, client_tokens: Sequence[str]) -> list[Known]:
    db.want(dict.fromkeys(client_tokens))
    return [known_of(row) for row in db.rows(_OF_TOKENS, {"of_lane": lane_id, "of_batch": batch})]


def open_intents(db: Database, lane_id: int) -> list[Known]:
    return [known_of(row) for row in db.rows(_SENDING, {"of_lane": lane_id})]


def latest_open(db: Database, lane_id: int | None) -> datetime | None:
    """Return the latest wall time of an attempt whose outcome is not known; None without one. In any lane if None."""
    row = db.one(_LATEST_OPEN) if lane_id is None else db.one(_LATEST_OPEN_OF_LANE, {"of_lane": lane_id})
    times = row or ()
    return max((at for at in times if at is not None), default=None)


def changed_at(db: Database, lane_id: int, client_token: str) -> datetime | None:
    row = db.one(_CHANGED_AT, {"of_lane": lane_id, "token": client_token})
    return None if row is None else row[0]


def _storable(known: Known) -> Known:
    """Return what is read back: texts that UTF-8 cannot hold are stored as escapes."""
    fault, request_id = known.fault, known.request_id
    if fault is not None:
        reason, resource_id = fault.reason, fault.resource_id
        fault = Fault(
            encodable(fault.code),
            encodable(fault.message),
            reason if reason is None else encodable(reason),
            fault.fields,
            resource_id if resource_id is None else encodable(resource_id),
        )
    request_id = request_id if request_id is None else encodable(request_id)
    if (fault, request_id) == (known.fault, known.request_id):
        return known
    return known._replace(fault=fault, request_id=request_id)


_BY_TOKEN = Statement(STORED.where(OF_TOKEN))
_BY_TOKENS = Statement(STORED.where(OF_LANE, IS_WANTED_TOKEN).order_by(item.c.item_no))
_BY_ATTACHMENTS = Statement(STORED.where(OF_LANE, item.c.attachment_id.in_(select(wanted.c.key))))
# every id has a current token, so the index of those is enough
_BATCHES = Statement(select(item.c.batch).where(OF_LANE, IS_CURRENT).distinct())
_OF_BATCH = Statement(KNOWN.where(OF_BATCH).order_by(item.c.item_no), is_large=True)
_wanted_ids = STORED.where(OF_BATCH, IS_WANTED_ID)
_OF_IDS = Statement(union_all(_wanted_ids.where(IS_CURRENT), _wanted_ids.where(IS_REPLACED)).order_by("item_no"))
_OF_TOKENS = Statement(KNOWN.where(OF_BATCH, IS_WANTED_TOKEN).order_by(item.c.item_no))
_SENDING = Statement(KNOWN.where(OF_LANE, IS_SENDING).order_by(item.c.item_no))
_latest_open = select(func.max(item.c.unknown_since), func.max(item.c.last_open_at)).where(in_states(OPEN))
_LATEST_OPEN = Statement(_latest_open)
_LATEST_OPEN_OF_LANE = Statement(_latest_open.where(item.c.lane_id == bindparam("of_lane")))
_CHANGED_AT = Statement(select(item.c.changed_at).where(OF_TOKEN))
