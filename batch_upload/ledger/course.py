"""What happened over time, counted where it is kept, and what has changed since somebody last looked."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, Text, case, cast, func, or_, select, type_coerce

from batch_upload.ledger.rows import chunks, is_of_token, known_all
from batch_upload.ledger.tables import attempt, item, lane, outcome, run
from batch_upload.model import Known, OutcomeKind

_DAY_S = 86_400.0
_ROUNDED_S = 0.0005
"""A Julian day as a double is exact to some 0.04 ms: what ends on a step's edge belongs behind it."""


@dataclass(frozen=True, slots=True)
class RunTally:
    """The attempts of one run that ended in one way. `kind` is None for those without an end.

    `last_at` is when the last of them ended, or began where none has ended.
    """

    run_id: str
    kind: OutcomeKind | None
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """The attempts of one run that ended in one way, within the step `number` (from 0) since the run began."""

    run_id: str
    number: int
    kind: OutcomeKind
    count: int


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt. Without an end (`ended_at`, `kind`) its process died, or it is under way."""

    number: int
    run_id: str
    started_at: datetime
    ended_at: datetime | None
    kind: OutcomeKind | None
    code: str | None
    reason: str | None
    message: str | None
    request_id: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class NumberedAttempt(AttemptRecord):
    """One attempt with its place in the ledger: later ones have higher `attempt_id`s."""

    attempt_id: int
    client_token: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells whether a token was changed since it was last looked at: compare for equality."""

    client_token: str
    changed_at: str
    state: str
    current: bool


def endpoint_of(connection: Connection) -> str | None:
    """Where the lane was last spoken to, or None before that."""
    return connection.execute(select(lane.c.endpoint)).scalar_one_or_none()


def tallies(connection: Connection, batch: str) -> list[RunTally]:
    """Each run of a batch by the ends of its attempts; runs without an attempt are not there."""
    found = (
        select(run.c.run_id, outcome.c.kind, func.count(), _latest())
        .select_from(_ATTEMPTS_OF_RUNS)
        .where(run.c.batch == batch)
        .group_by(run.c.run_no, outcome.c.kind)
        .order_by(run.c.run_no, outcome.c.kind)
    )
    return [
        RunTally(run_id, kind, count, datetime.fromisoformat(last))
        for run_id, kind, count, last in connection.execute(found)
    ]


def buckets(connection: Connection, widths_s: Mapping[str, float]) -> list[Bucket]:
    """The course of these runs: run id → how many seconds a step is long. What a stepped clock puts before the
    beginning counts as the first step; what was withdrawn was never sent, and is not there."""
    if not widths_s:
        return []
    since_s = (func.julianday(outcome.c.ended_at) - func.julianday(run.c.began_at)) * _DAY_S + _ROUNDED_S
    width_s = case({run_id: width for run_id, width in widths_s.items()}, value=run.c.run_id)
    number = func.max(0, cast(since_s / width_s, Integer)).label("number")
    found = (
        select(run.c.run_id, number, outcome.c.kind, func.count())
        .select_from(_ENDED_OF_RUNS)
        .where(run.c.run_id.in_(list(widths_s)), outcome.c.kind != OutcomeKind.WITHDRAWN)
        .group_by(run.c.run_no, number, outcome.c.kind)
        .order_by(run.c.run_no, number, outcome.c.kind)
    )
    return [Bucket(*row) for row in connection.execute(found)]


def attempts_after(
    connection: Connection, attempt_id: int, *, again: Collection[int] = ()
) -> Iterator[NumberedAttempt]:
    """Every attempt of the ledger behind this one, and those of `again`, oldest first; all of them behind 0."""
    wanted = or_(attempt.c.attempt_id > attempt_id, attempt.c.attempt_id.in_(sorted(again)))
    for row in connection.execute(_NUMBERED.where(wanted).order_by(attempt.c.attempt_id)):
        yield NumberedAttempt(*row)


def attempts_of(connection: Connection, client_token: str) -> list[AttemptRecord]:
    """What was tried for a token, oldest first; empty for one that is not there."""
    of_token = _RECORDED.where(is_of_token(client_token)).order_by(attempt.c.number)
    return [AttemptRecord(*row) for row in connection.execute(of_token)]


def marks(connection: Connection, batch: str) -> list[Mark]:
    """A mark for each token of a batch, oldest first."""
    changed_at = type_coerce(item.c.changed_at, Text)  # compared, never read: parsing a million times would cost
    state = type_coerce(item.c.state, Text)
    found = select(item.c.client_token, changed_at, state, item.c.current).where(item.c.batch == batch)
    return [Mark(*row) for row in connection.execute(found.order_by(item.c.item_no))]


def known_of(connection: Connection, batch: str, client_tokens: Sequence[str]) -> list[Known]:
    """What is known of these tokens of a batch."""
    return [
        row
        for chunk in chunks(client_tokens)
        for row in known_all(connection, item.c.batch == batch, item.c.client_token.in_(chunk))
    ]


_ENDED_OF_RUNS = attempt.join(run, run.c.run_no == attempt.c.run_no).join(
    outcome, outcome.c.attempt_id == attempt.c.attempt_id
)
_ATTEMPTS_OF_RUNS = attempt.join(run, run.c.run_no == attempt.c.run_no).outerjoin(
    outcome, outcome.c.attempt_id == attempt.c.attempt_id
)
_ATTEMPT = (
    attempt.c.number,
    run.c.run_id,
    attempt.c.started_at,
    outcome.c.ended_at,
    outcome.c.kind,
    outcome.c.code,
    outcome.c.reason,
    outcome.c.message,
    outcome.c.request_id,
    outcome.c.status,
)


def _of_attempts(*more: ColumnElement[Any]) -> Select[Any]:
    """The columns of an AttemptRecord, and these, of every attempt with its end or without one."""
    return select(*_ATTEMPT, *more).select_from(_ATTEMPTS_OF_RUNS.join(item, item.c.item_no == attempt.c.item_no))


_RECORDED = _of_attempts()
_NUMBERED = _of_attempts(attempt.c.attempt_id, item.c.client_token)


def _latest() -> ColumnElement[str]:
    return type_coerce(func.max(func.coalesce(outcome.c.ended_at, attempt.c.started_at)), Text)
