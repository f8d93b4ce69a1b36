"""The lanes that a ledger holds, and the runs that used them."""

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import Integer, bindparam, func, insert, literal_column, select, update

from batch_upload.errors import BatchUploadError, ExitCode, LedgerOfAnotherLane, LedgerUnusable
from batch_upload.ledger.driver import Database, Statement
from batch_upload.ledger.tables import lane, run
from batch_upload.model import Lane
from batch_upload.records import RunRecord

ANSWERED = frozenset(
    {
        ExitCode.DONE,
        ExitCode.NO_CAPACITY,
        ExitCode.STILL_PROCESSING,
        ExitCode.ITEMS_FAILED,
        ExitCode.TOO_MANY_FAILURES,
        ExitCode.DISAGREEMENT,
        ExitCode.OUTCOMES_UNKNOWN,
        ExitCode.ACCOUNT_FULL,
    }
)
"""Exit codes of a run that cannot come about unless the service answers."""


def program_version() -> str:
    """Return the version of this program, or `0` where it runs without being installed."""
    try:
        return version("batch-upload")
    except PackageNotFoundError:
        return "0"


def lanes(db: Database) -> dict[Lane, int]:
    """Return every lane with its number."""
    return {Lane(account=account, region=region): lane_id for lane_id, account, region in db.rows(_LANES)}


def chosen_lane(db: Database, wanted: Lane | None, *, shown: str) -> tuple[int, Lane] | None:
    """Return this lane with its number, or the only lane if None is wanted; None if the ledger does not have it.

    Raises LedgerUnusable if None is wanted and the ledger has several.
    """
    found = {each: lane_id for each, lane_id in lanes(db).items() if wanted in (None, each)}
    if len(found) > 1:
        names = ", ".join(map(str, sorted(found)))
        raise LedgerUnusable(f"`{shown}` holds several lanes: {names}", hint="name one of them")
    return next(((lane_id, each) for each, lane_id in found.items()), None)


def pin(db: Database, wanted: Lane, *, target: str | None, shown: str, endpoint: str, at: datetime) -> int:
    """Return the number of a lane. It is made if a target names it, or if it is the first of the ledger.

    Raises LedgerOfAnotherLane if there is no target, and the ledger has other lanes only.
    """
    held = lanes(db)
    lane_id = held.get(wanted)
    if lane_id is None:
        if held and target is None:
            raise LedgerOfAnotherLane(
                f"`{shown}` belongs to {', '.join(map(str, sorted(held)))}, and not to {wanted}",
                hint="use the credentials and Region it was made with, or another ledger with `--ledger`",
            )
        values = {"account": wanted.account, "region": wanted.region, "endpoint": endpoint, "pinned_at": at}
        added = db.one(_ADD_LANE, values)
        if added is None:
            raise BatchUploadError("the ledger gave a lane no number")
        return int(added[0])
    db.run(_MOVE_LANE, {"of_lane": lane_id, "new_endpoint": endpoint, "pinned_at": at})
    return lane_id


def endpoint_of(db: Database, lane_id: int) -> str | None:
    """Return where the lane was last spoken to."""
    row = db.one(_LANE, {"of_lane": lane_id})
    return None if row is None else row[0]


def listed_at(db: Database, lane_id: int) -> datetime | None:
    row = db.one(_LANE, {"of_lane": lane_id})
    return None if row is None else row[1]


def listed(db: Database, lane_id: int, *, at: datetime) -> None:
    db.run(_LISTED, {"of_lane": lane_id, "listed_at": at})


def last_run_id(db: Database, lane_id: int) -> str | None:
    """Return the id of the last run that began on the lane."""
    row = db.one(_LAST_RUN, {"of_lane": lane_id})
    return None if row is None else row[0]


def begin_run(db: Database, lane_id: int | None, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
    """Record the start of a run; without a lane, of one that has not reached any."""
    values = {"run_id": run_id, "verb": verb, "batch": batch, "program": program_version(), "began_at": at}
    if db.one(_BEGIN, {**values, "lane_id": lane_id}) is None:
        raise BatchUploadError("the ledger gave a run no number")


def end_run(
    db: Database, lane_id: int | None, *, run_id: str, exit_code: int, summary: Mapping[str, Any], at: datetime
) -> None:
    """Raises KeyError for a run that never began."""
    ended = {"exit_code": exit_code, "summary": dict(summary), "ended_at": at}
    if db.run(_END, {**ended, "of_lane": lane_id, "of_run": run_id}) == 0:
        raise KeyError(run_id)


def runs_of(db: Database, lane_id: int | None, batch: str, limit: int) -> list[RunRecord]:
    """Return the last runs of a batch on the lane, and those that reached no lane, latest first."""
    asked = {"of_lane": lane_id, "of_batch": batch, "most": limit}
    return [RunRecord(*row) for row in db.rows(_RUNS, asked)]


def failing_since(db: Database, lane_id: int | None) -> datetime | None:
    """Return when the service was last known to answer, if a run has ended with `transient` since; None otherwise.

    A run has reached the service if it ended with a code that only an answer can give, or uploaded or found something.
    Where no run ever has, this is the start of the first.
    """
    failing_from: datetime | None = None
    has_failed = False
    for began_at, ended_at, exit_code, summary in db.rows(_ENDED, {"of_lane": lane_id}):
        if exit_code in ANSWERED or (summary or {}).get("uploaded") or (summary or {}).get("adopted"):
            failing_from = ended_at
            break
        failing_from = began_at
        has_failed = has_failed or exit_code == ExitCode.TRANSIENT
    return failing_from if has_failed else None


_OF_LANE = lane.c.lane_id == bindparam("of_lane")
_LANES = Statement(select(lane.c.lane_id, lane.c.account, lane.c.region).order_by(lane.c.lane_id))
_LANE = Statement(select(lane.c.endpoint, lane.c.listed_at).where(_OF_LANE))
_ADD_LANE = Statement(insert(lane).returning(lane.c.lane_id), columns=["account", "region", "endpoint", "pinned_at"])
_MOVE_LANE = Statement(
    update(lane)
    .where(_OF_LANE, lane.c.endpoint != bindparam("new_endpoint"))
    .values(endpoint=bindparam("new_endpoint")),
    columns=["pinned_at"],
)
_LISTED = Statement(update(lane).where(_OF_LANE), columns=["listed_at"])

_NO_LANE = literal_column("0", type_=Integer)
_of_lane_or_none = func.coalesce(run.c.lane_id, _NO_LANE).in_([_NO_LANE, bindparam("of_lane", type_=Integer)])
"""A run that reached no lane counts for each of them. Not by an index: runs are read from the latest on."""
_LAST_RUN = Statement(
    select(run.c.run_id).where(run.c.lane_id == bindparam("of_lane")).order_by(run.c.run_no.desc()).limit(1)
)
_BEGIN = Statement(
    insert(run).returning(run.c.run_no), columns=["lane_id", "run_id", "verb", "batch", "program", "began_at"]
)
_END = Statement(
    update(run).where(run.c.run_id == bindparam("of_run"), run.c.lane_id.is_not_distinct_from(bindparam("of_lane"))),
    columns=["exit_code", "summary", "ended_at"],
)
_RUNS = Statement(
    select(run.c.run_id, run.c.verb, run.c.batch, run.c.began_at, run.c.ended_at, run.c.exit_code, run.c.summary)
    .where(run.c.batch == bindparam("of_batch"), _of_lane_or_none)
    .order_by(run.c.run_no.desc())
    .limit(bindparam("most"))
)
_ENDED = Statement(
    select(run.c.began_at, run.c.ended_at, run.c.exit_code, run.c.summary)
    .where(run.c.ended_at.is_not(None), _of_lane_or_none)
    .order_by(run.c.run_no.desc())
)
