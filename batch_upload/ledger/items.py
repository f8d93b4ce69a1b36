"""Items: what is known of them, and how they change without a request or an attachment."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, update

from batch_upload.ledger.rows import change_to_known, fault_values, item_row, known_all, require
from batch_upload.ledger.tables import item, known
from batch_upload.model import Fault, Known, State

_OPEN = (State.SENDING, State.UNKNOWN)
"""States in which something may have been made that nobody knows of."""
_PARKABLE = (State.PENDING, State.FAILED, State.PARKED)
_NOT_OPEN = {"unknown_since": None, "last_open_at": None}


def known_of_batch(connection: Connection, lane_id: int, batch: str) -> list[Known]:
    return known_all(connection, known.c.lane_id == lane_id, known.c.batch == batch)


def open_intents(connection: Connection, lane_id: int) -> list[Known]:
    return known_all(connection, known.c.lane_id == lane_id, known.c.state == State.SENDING)


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
