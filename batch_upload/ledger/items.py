"""Items: what is known of them, and how they change without a request or an attachment."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from batch_upload.ledger.prepared import Prepared
from batch_upload.ledger.rows import (
    IS_CURRENT,
    IS_REPLACED,
    IS_SENDING,
    KNOWN,
    OF_BATCH,
    OF_IDS,
    change_to_known,
    chunks,
    fault_values,
    item_row,
    known_all,
    known_of,
    require,
)
from batch_upload.ledger.tables import item
from batch_upload.model import Fault, Known, Standing, State

T = TypeVar("T")

_OPEN = (State.SENDING, State.UNKNOWN)
"""States in which something may have been made that nobody knows of."""
_PARKABLE = (State.PENDING, State.FAILED, State.PARKED)
_NOT_OPEN = {"unknown_since": None, "last_open_at": None}


def known_of_batch(connection: Connection, lane_id: int, batch: str) -> list[Known]:
    return known_all(connection, item.c.lane_id == lane_id, item.c.batch == batch)


def sift(
    connection: Connection,
    lane_id: int,
    batch: str,
    take: Callable[[Iterable[Standing]], T],
    item_ids: Sequence[str] | None = None,
) -> T:
    asked = {"of_lane": lane_id, "of_batch": batch}
    if item_ids is None:
        return take(_STANDINGS.as_they_are(connection, asked))
    of_ids = (
        _STANDINGS_OF_IDS.as_they_are(connection, {**asked, "wanted_ids": some}) for some in chunks(sorted(item_ids))
    )
    return take(chain.from_iterable(of_ids))


def known_of_ids(connection: Connection, lane_id: int, batch: str, item_ids: Sequence[str]) -> list[Known]:
    found: list[Known] = []
    for chunk in chunks(item_ids):
        asked = {"of_lane": lane_id, "of_batch": batch, "wanted_ids": chunk}
        found.extend(map(known_of, _KNOWN_OF_IDS.rows(connection, asked)))
    return found


def _standings(where: ColumnElement[bool], *, current: int) -> Select[Any]:
    """Tokens that are current, or that are not; sorted by an index that holds no others."""
    state = type_coerce(item.c.state, Text)
    of_kind = item.c.current == literal_column(str(current))
    return select(item.c.item_id, item.c.client_token, state, literal_column(str(current))).where(where, of_kind)


def _all_standings(where: ColumnElement[bool]) -> Prepared:
    return Prepared(union_all(_standings(where, current=1), _standings(where, current=0)).order_by("item_id"))


_STANDINGS = _all_standings(OF_BATCH)
_STANDINGS_OF_IDS = _all_standings(OF_IDS)
_of_ids = KNOWN.where(OF_IDS)
_KNOWN_OF_IDS = Prepared(
    union_all(
        _of_ids.where(IS_CURRENT).add_columns(item.c.item_no),
        _of_ids.where(IS_REPLACED).add_columns(item.c.item_no),
    ).order_by("item_no")
)


def open_intents(connection: Connection, lane_id: int) -> list[Known]:
    return known_all(connection, item.c.lane_id == lane_id, IS_SENDING)


def latest_open(connection: Connection, lane_id: int) -> datetime | None:
    """The latest wall time of an attempt whose outcome is not known, or None without one."""
    times = select(item.c.unknown_since, item.c.last_open_at).where(
        item.c.lane_id == lane_id, or_(*(item.c.state == state for state in _OPEN))
    )
    return max((at for row in connection.execute(times) for at in row if at is not None), default=None)


def fail(connection: Connection, lane_id: int, client_token: str, fault: Fault, *, at: datetime) -> Known:
    """What is open stays open, with the fault: that it failed here does not prove that nothing was made there."""
    values: dict[str, Any] = {**fault_values(fault), "changed_at": at}
    if item_row(connection, lane_id, client_token).state not in _OPEN:
        values |= {"state": State.FAILED, "resume_after": None}
    return change_to_known(connection, lane_id, client_token, values)


def park(
    connection: Connection,
    lane_id: int,
    client_tokens: Sequence[str],
    fault: Fault,
    *,
    resume_after: datetime | None,
    at: datetime,
) -> None:
    values = {**fault_values(fault), "state": State.PARKED, "resume_after": resume_after, "changed_at": at}
    _change_all(connection, lane_id, client_tokens, states=_PARKABLE, values=values)


def absent(connection: Connection, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> None:
    """An item that is not open has nothing to prove, and stays as it is."""
    values = {**fault_values(None), **_NOT_OPEN, "state": State.PENDING, "changed_at": at}
    _change_all(connection, lane_id, client_tokens, states=_OPEN, values=values)


def undecided(connection: Connection, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> None:
    """An item that is not `sending` stays as it is."""
    values = {"state": State.UNKNOWN, "changed_at": at}
    _change_all(connection, lane_id, client_tokens, states=(State.SENDING,), values=values)


def _change_all(
    connection: Connection,
    lane_id: int,
    client_tokens: Sequence[str],
    *,
    states: Sequence[State],
    values: dict[str, Any],
) -> None:
    if not client_tokens:
        return
    require(connection, lane_id, client_tokens)
    statement = (
        update(item)
        .where(
            item.c.lane_id == lane_id,
            item.c.client_token == bindparam("token"),
            or_(*(item.c.state == state for state in states)),  # IN cannot be carried out for many at once
        )
        .values(values)
    )
    connection.execute(statement, [{"token": client_token} for client_token in client_tokens])
