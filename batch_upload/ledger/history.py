"""What happened over time, counted by the database, and what has changed since a reader last looked."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Integer,
    Select,
    Text,
    bindparam,
    cast,
    func,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from batch_upload.ledger.driver import Database, Statement
from batch_upload.ledger.items import IS_CURRENT, IS_REPLACED, IS_WANTED_ID, OF_BATCH, OF_TOKEN
from batch_upload.ledger.runs import WHO, lanes
from batch_upload.ledger.tables import attempt, item, outcome, run, wanted
from batch_upload.model import OutcomeKind
from batch_upload.records import AttemptRecord, Bucket, Mark, NumberedAttempt, RunTally, UploadedBy


class step_number(FunctionElement[int]):  # noqa: N801 - named as SQL functions are
    """Into which step of so many seconds, from 0, a time falls: `step_number(beginning, time, seconds)`.

    A time before the beginning falls into the first. Every database has its own words for it; here are PostgreSQL's.
    """

    type = Integer()
    inherit_cache = True


@compiles(step_number)
def _step_number(element: FunctionElement[int], compiler: SQLCompiler, **options: object) -> str:
    began, at, seconds = (compiler.process(each, **options) for each in element.clauses)
    passed = f"extract(epoch FROM CAST({at} AS timestamptz) - CAST({began} AS timestamptz))"
    return f"CAST(greatest(0, floor({passed} / {seconds})) AS INTEGER)"


def tallies(db: Database, lane_id: int, batch: str) -> list[RunTally]:
    """Return each run of a batch by the ends of its attempts; runs without an attempt are left out."""
    return [RunTally(*row) for row in db.rows(_TALLIES, {"of_lane": lane_id, "of_batch": batch})]


def buckets(db: Database, lane_id: int, widths_s: Mapping[str, float]) -> list[Bucket]:
    """Return the course of these runs: run id → how many seconds a step is long.

    What a stepped clock puts before the beginning counts as the first step. What was withdrawn was never sent, and is
    left out.
    """
    db.want({run_id: str(width_s) for run_id, width_s in widths_s.items()})
    return [Bucket(*row) for row in db.rows(_BUCKETS, {"of_lane": lane_id})]


def attempts_after(
    db: Database, lane_id: int, attempt_id: int, *, again: Collection[int] = ()
) -> Iterator[NumberedAttempt]:
    """Yield every attempt of the lane behind this one, and those of `again`, oldest first; all of them behind 0."""
    if attempt_id == 0 and len(lanes(db)) > 1:
        # what one lane of many did is found and sorted in less time than all attempts are read
        found = db.rows(_ATTEMPTS_OF_LANE, {"of_lane": lane_id})
    else:
        db.want(dict.fromkeys(map(str, again)))
        found = db.rows(_ATTEMPTS_AFTER, {"of_lane": lane_id, "after": attempt_id})
    for row in found:
        yield NumberedAttempt(*row)


def attempts_of(db: Database, lane_id: int, client_token: str) -> list[AttemptRecord]:
    """Return what was tried for a token, oldest first; nothing for one that is not there."""
    return [AttemptRecord(*row) for row in db.rows(_ATTEMPTS_OF, {"of_lane": lane_id, "token": client_token})]


def uploaders_of(db: Database, lane_id: int, batch: str, item_ids: Sequence[str]) -> dict[str, UploadedBy]:
    """Return who made the attachments of these items, by attachment id."""
    db.want(dict.fromkeys(item_ids))
    made: dict[str, int] = {}
    for _, attachment_id, run_no in db.rows(_ACCEPTED, {"of_lane": lane_id, "of_batch": batch}):
        made.setdefault(attachment_id, run_no)  # the first request made it: a repeated one gets the same answer
    db.want(dict.fromkeys(map(str, set(made.values()))))
    by_number = {run_no: UploadedBy(*who) for run_no, *who in db.rows(_RUNS_BY_NUMBER)}
    return {attachment_id: by_number[run_no] for attachment_id, run_no in made.items()}


def marks(db: Database, lane_id: int, batch: str) -> list[Mark]:
    """Return a mark for each token of a batch, oldest first."""
    return [Mark(*row) for row in db.rows(_MARKS, {"of_lane": lane_id, "of_batch": batch})]


_of_run = attempt.c.run_no == run.c.run_no
_of_attempt = outcome.c.attempt_id == attempt.c.attempt_id
_in_lane = run.c.lane_id == bindparam("of_lane")
_TALLIES = Statement(
    select(
        run.c.run_id,
        outcome.c.kind,
        func.count(),
        func.max(func.coalesce(outcome.c.ended_at, attempt.c.started_at)),
    )
    .select_from(attempt.join(run, _of_run).outerjoin(outcome, _of_attempt))
    .where(run.c.batch == bindparam("of_batch"), _in_lane)
    .group_by(run.c.run_no, outcome.c.kind)
    .order_by(run.c.run_no, outcome.c.kind.nulls_first())
)
_number = step_number(run.c.began_at, outcome.c.ended_at, cast(wanted.c.value, Float)).label("number")
_BUCKETS = Statement(
    select(run.c.run_id, _number, outcome.c.kind, func.count())
    .select_from(attempt.join(run, _of_run).join(outcome, _of_attempt).join(wanted, wanted.c.key == run.c.run_id))
    .where(_in_lane, outcome.c.kind != OutcomeKind.WITHDRAWN)
    .group_by(run.c.run_no, _number, outcome.c.kind)
    .order_by(run.c.run_no, _number, outcome.c.kind)
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


def _attempts(*more: ColumnElement[Any], of_run: ColumnElement[bool] = _of_run) -> Select[Any]:
    """The columns of an AttemptRecord, and these, of every attempt of the lane with its end or without one."""
    of_item = item.c.item_no == attempt.c.item_no
    joined = attempt.join(run, of_run).join(item, of_item).outerjoin(outcome, _of_attempt)
    return select(*_ATTEMPT, *more).select_from(joined)


_ATTEMPTS_OF = Statement(_attempts().where(OF_TOKEN).order_by(attempt.c.number))
_accepted = (
    select(attempt.c.attempt_id.label("place"), outcome.c.attachment_id, attempt.c.run_no)
    .select_from(attempt.join(item, item.c.item_no == attempt.c.item_no).join(outcome, _of_attempt))
    .where(OF_BATCH, IS_WANTED_ID, outcome.c.kind == OutcomeKind.ACCEPTED)
)
_ACCEPTED = Statement(union_all(_accepted.where(IS_CURRENT), _accepted.where(IS_REPLACED)).order_by("place"))
_RUNS_BY_NUMBER = Statement(
    select(run.c.run_no, run.c.run_id, *WHO)
    .select_from(run)
    .where(run.c.run_no.in_(select(cast(wanted.c.key, BigInteger))))
)
_PLACED = (attempt.c.attempt_id.label("place"), item.c.client_token)
_ATTEMPTS_OF_LANE = Statement(_attempts(*_PLACED).where(_in_lane).order_by("place"), is_large=True)
_in_order = attempt.c.run_no + 0 == run.c.run_no
"""Not by the index of a run's attempts: they are read from one end on, and would have to be sorted."""
_numbered = _attempts(*_PLACED, of_run=_in_order).where(
    _in_lane  # of the run: by the item's lane SQLite would begin with every item of it
)
_is_after = attempt.c.attempt_id > bindparam("after")
_is_again = attempt.c.attempt_id.in_(select(cast(wanted.c.key, BigInteger)))
_ATTEMPTS_AFTER = Statement(
    union_all(_numbered.where(_is_after), _numbered.where(_is_again, ~_is_after)).order_by("place"),
    is_large=True,
)
_MARKS = Statement(
    select(
        item.c.client_token,
        type_coerce(item.c.changed_at, Text),  # compared, never read: parsing a million times would cost
        type_coerce(item.c.state, Text),
        item.c.current,
    )
    .where(OF_BATCH)
    .order_by(item.c.item_no),
    is_large=True,
)
