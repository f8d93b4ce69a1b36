"""Many items at once: enlisted, parked, resolved, counted and compared by the database, however many there are.

What is asked for goes into the temporary table `wanted`; a join with the items does the rest.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from batch_upload.ledger import bindings
from batch_upload.ledger.driver import Database, Statement, Upsert, Values
from batch_upload.ledger.items import (
    IS_CURRENT,
    IS_LIVE,
    IS_REFUSED_BIND,
    IS_REPLACED,
    IS_WANTED_ID,
    IS_WANTED_TOKEN,
    KNOWN,
    OF_BATCH,
    OF_LANE,
    fault_values,
    in_states,
    known_of,
)
from batch_upload.ledger.tables import item, wanted
from batch_upload.model import LIVE, OPEN, Fault, Item, State
from batch_upload.ports.ledger import NO_BINDS
from batch_upload.records import Comparison, Stock, Twin
from batch_upload.registration import Bind, BindState

_PARKABLE = (State.PENDING, State.FAILED, State.PARKED)


def enlist(db: Database, lane_id: int, items: Sequence[Item], *, follows_binds: bool, at: datetime) -> None:
    """Make the tokens of these items current. Of several items with one id the last is the current one.

    Only what is new or different is written. The identity tag of a token that was sent once stays as it was sent.
    `follows_binds`: whether any item of the lane has a `bind`, or is to have one now.
    """
    batches: dict[str, list[Item]] = {}
    for each in items:
        batches.setdefault(each.batch, []).append(each)
    for batch, of_batch in batches.items():
        current = {each.item_id: each.client_token for each in of_batch}
        db.want(current)
        asked = {"of_lane": lane_id, "of_batch": batch}
        db.run(_RETIRE, asked)  # first: an id has one current token at most
        db.run_many(_ENLIST, (_row(each, lane_id, current, at) for each in of_batch))
        db.run(_RETURN, asked)
    if follows_binds:
        bindings.follow(db, lane_id, {each.client_token: each.bind for each in items}, at=at)


def park(
    db: Database,
    lane_id: int,
    client_tokens: Sequence[str],
    fault: Fault,
    *,
    resume_after: datetime | None,
    at: datetime,
) -> None:
    values = {**fault_values(fault), "resume_after": resume_after, "at": at}
    _change(db, _PARK, lane_id, client_tokens, values)


def absent(db: Database, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> None:
    """An item that is not open has nothing to prove, and stays as it is."""
    _change(db, _ABSENT, lane_id, client_tokens, {**fault_values(None), "at": at})


def undecided(db: Database, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> None:
    """An item that is not `sending` stays as it is."""
    _change(db, _UNDECIDED, lane_id, client_tokens, {"at": at})


def rebind(db: Database, lane_id: int, client_tokens: Sequence[str], *, at: datetime) -> None:
    """An item that is not `complete` and bound stays as it is."""
    _change(db, _REBIND, lane_id, client_tokens, {"at": at})


def stock(db: Database, lane_id: int, batch: str, ids: Iterable[str], states: Sequence[State]) -> Stock:
    """Count the items of these ids by state; one that was never enlisted is pending. Return those in `states`, too."""
    db.want(dict.fromkeys(ids))
    asked = {"of_lane": lane_id, "of_batch": batch}
    counts: Counter[State] = Counter()
    for state, count in db.rows(_COUNTS, asked):
        counts[State.PENDING if state is None else state] += count
    rows = [row for state in states for row in db.rows(_WANTED_IN_STATE, {**asked, "wanted_state": state})]
    return Stock(counts, tuple(known_of(row) for row in sorted(rows, key=lambda row: row[-1])))


def unfinished(
    db: Database, lane_id: int, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS
) -> dict[str, bool]:
    """Return the ids, of these with their tokens, that are not complete under their token alone, or not bound to what
    `binds` has of them alone, and whether the ledger has any token of them."""
    has_binds = bool(binds) or bindings.has_binds(db, lane_id)
    if has_binds:
        db.want({item_id: f"{token} {binds.get(item_id, '')}" for item_id, token in tokens.items()})
    else:
        db.want(tokens)
    statement = _UNFINISHED_OR_UNBOUND if has_binds else _UNFINISHED
    found = db.raw_rows(statement, {"of_lane": lane_id, "of_batch": batch})
    return {item_id: bool(is_known) for item_id, is_known in found}


def compare(
    db: Database, lane_id: int, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS
) -> Comparison:
    asked = {"of_lane": lane_id, "of_batch": batch}
    open_ids = unfinished(db, lane_id, batch, tokens, binds)
    unlisted: Counter[str] = Counter()
    for item_id, count in db.raw_rows(_UNLISTED, asked):
        unlisted[item_id] += count
    return Comparison(open_ids, unlisted, tuple(item_id for (item_id,) in db.raw_rows(_UNLISTED_PARKED, asked)))


def twins(db: Database, lane_id: int, contents: Collection[str]) -> list[Twin]:
    """Return what of the lane is at the service with one of these contents, of every batch, oldest first."""
    db.want(dict.fromkeys(contents))
    return [Twin(*row) for row in db.rows(_TWINS, {"of_lane": lane_id})]


def _change(db: Database, statement: Statement, lane_id: int, client_tokens: Sequence[str], values: Values) -> None:
    """Change the items of these tokens. Raises KeyError for a token that is not in the lane."""
    db.want(dict.fromkeys(client_tokens))
    missing = db.one(_MISSING, {"of_lane": lane_id})
    if missing is not None:
        raise KeyError(missing[0])
    db.run(statement, {"of_lane": lane_id, **values})


def _row(one: Item, lane_id: int, current: dict[str, str], at: datetime) -> dict[str, Any]:
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
        "current": current[one.item_id] == one.client_token,
        "state": State.PENDING,
        "enlisted_at": at,
        "changed_at": at,
    }


# IN lets SQLite begin with what is wanted; EXISTS, and not a comparison with a subquery, lets PostgreSQL join
_of_wanted_ids = update(item).where(OF_BATCH, IS_WANTED_ID)
_is_wanted = exists().where(wanted.c.key == item.c.item_id, wanted.c.value == item.c.client_token)
_is_other = exists().where(wanted.c.key == item.c.item_id, wanted.c.value != item.c.client_token)
_RETIRE = Statement(_of_wanted_ids.where(IS_CURRENT, _is_other).values(current=False))
_RETURN = Statement(_of_wanted_ids.where(IS_REPLACED, _is_wanted).values(current=True))
_ENLIST = Upsert(
    item,
    key=["lane_id", "client_token"],
    columns=[
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
    ],
    replaced=["identity_tag"],
    when=lambda new: and_(item.c.attempts == 0, item.c.identity_tag != new.identity_tag),
)


_of_wanted = update(item).where(OF_LANE, IS_WANTED_TOKEN)
_is_not_refused = item.c.bind_state.is_distinct_from(literal_column(f"'{BindState.REFUSED}'"))
_PARK = Statement(
    # whose binding was refused has its attachment: there is nothing to wait for
    _of_wanted.where(in_states(_PARKABLE), _is_not_refused).values(state=State.PARKED, changed_at=bindparam("at")),
    columns=[*fault_values(None), "resume_after"],
)
_ABSENT = Statement(
    _of_wanted.where(in_states(OPEN)).values(
        state=State.PENDING, unknown_since=None, last_open_at=None, changed_at=bindparam("at")
    ),
    columns=[*fault_values(None)],
)
_UNDECIDED = Statement(
    _of_wanted.where(in_states([State.SENDING])).values(state=State.UNKNOWN, changed_at=bindparam("at"))
)
_REBIND = Statement(
    _of_wanted.where(in_states([State.COMPLETE]), item.c.bind_state == BindState.BOUND).values(
        state=State.BINDING, bind_state=BindState.WANTED, changed_at=bindparam("at")
    )
)
_MISSING = Statement(select(wanted.c.key).where(~exists().where(OF_LANE, item.c.client_token == wanted.c.key)).limit(1))
_wanted_current = wanted.outerjoin(item, and_(OF_BATCH, IS_CURRENT, item.c.item_id == wanted.c.key))
_COUNTS = Statement(select(item.c.state, func.count()).select_from(_wanted_current).group_by(item.c.state))
_WANTED_IN_STATE = Statement(
    # by the state, of which there are few, and not by the ids, of which there are many: hence EXISTS and no IN
    KNOWN.add_columns(item.c.item_no).where(
        OF_BATCH,
        IS_CURRENT,
        item.c.state == bindparam("wanted_state"),
        exists().where(wanted.c.key == item.c.item_id),
    ),
    is_large=True,
)


_TWINS = Statement(
    select(item.c.content, item.c.item_id, item.c.batch, item.c.first_sent_at)
    .where(
        OF_LANE,
        # written as in the index `item_content`: with parameters it would not be used
        literal_column("substr(item.content, 8, 16)").in_(select(func.substr(wanted.c.key, 8, 16))),
        item.c.content.in_(select(wanted.c.key)),
        item.c.attachment_id.is_not(None),
        IS_LIVE,
    )
    .order_by(item.c.item_no)
)
_replaced = item.alias("replaced")
_has_replaced = exists().where(
    _replaced.c.lane_id == bindparam("of_lane"),
    _replaced.c.batch == bindparam("of_batch"),
    _replaced.c.item_id == wanted.c.key,
    _replaced.c.current == false(),
)


def _unfinished(is_another: ColumnElement[bool]) -> Statement:
    """Select the wanted ids that are not complete, that have other tokens too, or of which the current one is another.

    By the id, in the order of both: by its token SQLite would look for each item in another page.
    """
    return Statement(
        select(wanted.c.key, or_(item.c.item_no.is_not(None), _has_replaced))
        .select_from(_wanted_current)
        .where(or_(item.c.item_no.is_(None), is_another, ~in_states([State.COMPLETE]), _has_replaced)),
        is_large=True,
    )


_UNFINISHED = _unfinished(item.c.client_token != wanted.c.value)
_bind_text = func.coalesce(item.c.bind_registration + "/" + item.c.bind_field, "")
_UNFINISHED_OR_UNBOUND = _unfinished(
    or_(
        item.c.client_token + " " + _bind_text != wanted.c.value,
        item.c.bind_state == literal_column(f"'{BindState.REPLACED}'"),
    )
)
_is_unlisted = ~exists().where(wanted.c.key == item.c.item_id)
_may_exist = select(item.c.item_id, func.count()).where(OF_BATCH, in_states(LIVE | OPEN), _is_unlisted)
_is_refused = and_(in_states([State.FAILED]), item.c.bind_registration.is_not(None), IS_REFUSED_BIND)
_refused = select(item.c.item_id, func.count()).where(OF_BATCH, _is_refused, _is_unlisted)
_UNLISTED = Statement(
    union_all(
        _may_exist.where(IS_CURRENT).group_by(item.c.item_id),
        _may_exist.where(IS_REPLACED).group_by(item.c.item_id),
        _refused.group_by(item.c.item_id),
    ),
    is_large=True,
)
_UNLISTED_PARKED = Statement(
    select(item.c.item_id).where(OF_BATCH, IS_CURRENT, in_states([State.PARKED]), _is_unlisted), is_large=True
)
