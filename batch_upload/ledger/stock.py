"""How far the items of a manifest are, counted where they are kept: of what is complete no row is looked at."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from batch_upload.ledger.prepared import Prepared, driver_of
from batch_upload.ledger.rows import IS_CURRENT, KNOWN, OF_BATCH, any_of, chunks, known_of
from batch_upload.ledger.tables import item
from batch_upload.model import Known, State

IDS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Stock:
    """The items of a manifest by state, and those in the states that were asked for, oldest first."""

    states: Counter[State]
    found: tuple[Known, ...]


def stock(connection: Connection, lane_id: int, batch: str, ids: Iterable[str], wanted: Sequence[State]) -> Stock:
    """Count the items of these ids. One that was never enlisted is pending."""
    listed = sorted(ids)
    of_batch = {"of_lane": lane_id, "of_batch": batch}
    missing, unlisted = differences(listed, _current_ids(connection, of_batch))
    is_part = len(listed) < len(unlisted)  # of the manifest whose ledger this is: then what is listed is looked up
    fewer = listed if is_part else unlisted
    states = _states_of(connection, of_batch, fewer)
    if not is_part:
        others, states = states, Counter(dict(_STATES.rows(connection, of_batch)))
        states.subtract(others)
    states[State.PENDING] += missing
    ids = frozenset(fewer)
    found = (row for row in _in_states(connection, of_batch, wanted) if (row.item_id in ids) is is_part)
    return Stock(+states, tuple(found))


def differences(listed: Sequence[str], chunks_of_current: Iterable[list[str]]) -> tuple[int, list[str]]:
    """How many listed ids are not current, and which current ones are not listed. Both are sorted.

    Where both are the same, thousands are compared at once.
    """
    at, missing = 0, 0
    unlisted: list[str] = []
    for chunk in chunks_of_current:
        if listed[at : at + len(chunk)] == chunk:
            at += len(chunk)
            continue
        for each in chunk:
            while at < len(listed) and listed[at] < each:
                at += 1
                missing += 1
            if at < len(listed) and listed[at] == each:
                at += 1
            else:
                unlisted.append(each)
    return missing + len(listed) - at, unlisted


def _current_ids(connection: Connection, of_batch: dict[str, Any]) -> Iterator[list[str]]:
    """From an index alone: sorted, and without a look at a row."""
    ids = driver_of(connection).execute(_IDS.sql, _IDS.parameters(of_batch))
    while some := ids.fetchmany(IDS_AT_ONCE):
        yield [item_id for (item_id,) in some]


def _states_of(connection: Connection, of_batch: dict[str, Any], ids: Sequence[str]) -> Counter[State]:
    counts: Counter[State] = Counter()
    for chunk in chunks(ids):
        counts.update(state for (state,) in _STATES_OF_IDS.rows(connection, {**of_batch, "wanted_ids": chunk}))
    return counts


def _in_states(connection: Connection, of_batch: dict[str, Any], wanted: Sequence[State]) -> Iterator[Known]:
    if not wanted:
        return
    for row in connection.execute(_IN_STATES, {**of_batch, "wanted_states": list(wanted)}):
        yield known_of(row)


def _current(statement: Select[Any]) -> Select[Any]:
    return statement.where(OF_BATCH, IS_CURRENT)


_IDS = Prepared(_current(select(item.c.item_id)).order_by(item.c.item_id))
_STATES = Prepared(_current(select(item.c.state, func.count())).group_by(item.c.state))
_STATES_OF_IDS = Prepared(_current(select(item.c.state)).where(item.c.item_id.in_(any_of("wanted_ids"))))
_numbers = _current(select(item.c.item_no)).where(item.c.state.in_(bindparam("wanted_states", expanding=True)))
_IN_STATES = KNOWN.where(item.c.item_no.in_(_numbers)).order_by(item.c.item_no)
