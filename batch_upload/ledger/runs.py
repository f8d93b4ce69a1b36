"""The lanes that a ledger holds, and the runs that used them."""

import os
import pwd
import socket
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import (
    Integer,
    Text,
    and_,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from batch_upload.errors import BatchUploadError, ExitCode, LedgerOfAnotherLane, LedgerUnusable
from batch_upload.ledger.driver import Database, Statement, Upsert
from batch_upload.ledger.tables import lane, run, target
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


@cache
def user_of_process() -> str:
    """Return the name of the user that this process runs as, or the number where the system has no name for it."""
    user_id = os.geteuid()
    try:
        return pwd.getpwuid(user_id).pw_name
    except (KeyError, OSError):
        return str(user_id)


WHO = (run.c.principal, run.c.os_user, run.c.host)
"""The columns that say who a run was, in the order of `UploadedBy`."""


def lanes(db: Database) -> dict[Lane, int]:
    """Return every lane with its number."""
    return {Lane(account=account, region=region): lane_id for lane_id, account, region in db.rows(_LANES)}


def chosen_lane(db: Database, wanted: Lane | None, *, shown: str) -> tuple[int, Lane] | None:
    """Return this lane with its number, or the only lane if None is wanted; None if the ledger does not have it.

    Raises LedgerUnusable if None is wanted and the ledger has several.
    """
    if wanted is not None:
        lane_id = _lane_id_of(db, wanted)
        return None if lane_id is None else (lane_id, wanted)
    found = lanes(db)
    if len(found) > 1:
        names = ", ".join(map(str, sorted(found)))
        raise LedgerUnusable(
            f"`{shown}` holds several lanes: {names}",
            hint="name one of them by `account` and `region` of the manifest's `target`",
        )
    return next(((lane_id, each) for each, lane_id in found.items()), None)


def labelled_lanes(db: Database) -> list[tuple[str | None, Lane]]:
    """Return every lane with the label of each target that was pinned to it, the latest last; None for one without."""
    return [(label, Lane(account=account, region=region)) for label, account, region in db.rows(_LABELLED)]


def targets(db: Database) -> dict[str, int]:
    """Return the number of the lane of every target that was pinned, by its label."""
    return dict(db.rows(_TARGETS))


def lane_of_target(db: Database, label: str) -> tuple[int, Lane] | None:
    """Return the lane that a target was pinned to, with its number; None if it was not pinned yet."""
    row = db.one(_PINNED, {"of_target": label})
    return None if row is None else (row[0], Lane(account=row[1], region=row[2]))


def pin(db: Database, wanted: Lane, *, label: str | None, shown: str, endpoint: str, at: datetime) -> int:
    """Return the number of a lane. It is made if a target names it, or if it is the first of the ledger.

    Raises LedgerOfAnotherLane if the target was pinned to another lane, or if there is no target, and the ledger has
    other lanes only.
    """
    is_pinned = label is not None and _is_pinned_to(db, label, wanted, shown=shown)
    lane_id = _lane_id_of(db, wanted)
    if lane_id is not None:
        db.run(_MOVE_LANE, {"of_lane": lane_id, "new_endpoint": endpoint, "pinned_at": at})
    elif label is None and (held := lanes(db)):
        raise LedgerOfAnotherLane(
            f"`{shown}` belongs to {', '.join(map(str, sorted(held)))}, and not to {wanted}",
            hint="use the credentials and Region it was made with, or another ledger with `--ledger`",
        )
    else:
        values = {"account": wanted.account, "region": wanted.region, "endpoint": endpoint, "pinned_at": at}
        db.run(_ADD_LANE, values)  # another process may add it at the same moment
        lane_id = _lane_id_of(db, wanted)
        if lane_id is None:
            raise BatchUploadError("the ledger gave a lane no number")
    if label is not None and not is_pinned:
        db.run(_PIN, {"label": label, "lane_id": lane_id, "pinned_at": at})
        _is_pinned_to(db, label, wanted, shown=shown)
    return lane_id


def _is_pinned_to(db: Database, label: str, wanted: Lane, *, shown: str) -> bool:
    """Return whether a target was pinned to this lane before. Raises LedgerOfAnotherLane if it was to another."""
    pinned = lane_of_target(db, label)
    if pinned is not None and pinned[1] != wanted:
        raise LedgerOfAnotherLane(
            f"target `{label}` is {pinned[1]} in `{shown}`, but {wanted} now",
            hint="correct its credentials, or give the target another name if it is meant to be another account",
        )
    return pinned is not None


def endpoint_of(db: Database, lane_id: int) -> str | None:
    """Return where the lane was last spoken to."""
    row = db.one(_LANE, {"of_lane": lane_id})
    return None if row is None else row[0]


def listed_at(db: Database, lane_id: int) -> datetime | None:
    row = db.one(_LANE, {"of_lane": lane_id})
    return None if row is None else row[1]


def listed(db: Database, lane_id: int, *, at: datetime) -> None:
    db.run(_LISTED, {"of_lane": lane_id, "listed_at": at})


def doubt(db: Database, lane_id: int, *, before: datetime) -> None:
    """Note that the ledger does not know what fields hold of attachments that were created before this time."""
    db.run(_DOUBT, {"of_lane": lane_id, "doubted_before": before})


def doubted_before(db: Database, lane_id: int) -> datetime | None:
    """Return what `doubt` has noted last; None if nothing."""
    row = db.one(_DOUBTED, {"of_lane": lane_id})
    return None if row is None else row[0]


def last_run_id(db: Database, lane_id: int) -> str | None:
    """Return the id of the last run that began on the lane."""
    row = db.one(_LAST_RUN, {"of_lane": lane_id})
    return None if row is None else row[0]


def begin_run(
    db: Database,
    lane_id: int | None,
    run_id: str,
    *,
    label: str | None,
    verb: str,
    batch: str,
    at: datetime,
    principal: str | None,
) -> None:
    """Record the start of a run by this user on this machine; without a lane, of one that has not reached any."""
    values = {"run_id": run_id, "verb": verb, "batch": batch, "program": program_version(), "began_at": at}
    who = {"principal": principal, "os_user": user_of_process(), "host": socket.gethostname()}
    if db.one(_BEGIN, {**values, **who, "lane_id": lane_id, "target": label}) is None:
        raise BatchUploadError("the ledger gave a run no number")


def end_run(
    db: Database,
    lane_id: int | None,
    *,
    run_id: str,
    label: str | None,
    exit_code: int,
    summary: Mapping[str, Any],
    at: datetime,
) -> None:
    """Raises KeyError for a run that never began."""
    ended = {"exit_code": exit_code, "summary": dict(summary), "ended_at": at}
    if db.one(_END, {**ended, "of_lane": lane_id, "of_run": run_id, "of_target": label}) is None:
        raise KeyError(run_id)


def runs_of(db: Database, lane_id: int | None, label: str | None, batch: str, limit: int) -> list[RunRecord]:
    """Return the last runs of a batch on the lane, and those that reached no lane, latest first.

    Of those without a lane, the ones of another lane's target are left out.
    """
    asked = {"of_lane": lane_id, "of_target": label, "of_batch": batch, "most": limit}
    return [RunRecord(*row) for row in db.rows(_RUNS, asked)]


def batches_of(db: Database, lane_id: int | None, label: str | None) -> list[str]:
    """Return the batches of the runs that `runs_of` returns."""
    return [batch for (batch,) in db.rows(_RUN_BATCHES, {"of_lane": lane_id, "of_target": label})]


def failing_since(db: Database, lane_id: int | None, *, label: str | None) -> datetime | None:
    """Return when the service was last known to answer, if a run has ended with `transient` since; None otherwise.

    A run has reached the service if it ended with a code that only an answer can give, or uploaded, found or bound
    something.
    Where no run ever has, this is the start of the first. For a target, runs without target count if they reached its
    lane: one that reached none may be older than the target.
    """
    statement = _ENDED if label is None else _ENDED_OF_TARGET
    failing_from: datetime | None = None
    has_failed = False
    for began_at, ended_at, exit_code, summary in db.rows(statement, {"of_lane": lane_id, "of_target": label}):
        if exit_code in ANSWERED or any((summary or {}).get(name) for name in ("uploaded", "adopted", "bound")):
            failing_from = ended_at
            break
        failing_from = began_at
        has_failed = has_failed or exit_code == ExitCode.TRANSIENT
    return failing_from if has_failed else None


def _lane_id_of(db: Database, wanted: Lane) -> int | None:
    row = db.one(_LANE_ID, {"account": wanted.account, "region": wanted.region})
    return None if row is None else row[0]


_OF_LANE = lane.c.lane_id == bindparam("of_lane")
_LANE_ID = Statement(
    select(lane.c.lane_id).where(lane.c.account == bindparam("account"), lane.c.region == bindparam("region"))
)
_is_pinned = target.c.lane_id == lane.c.lane_id
_LABELLED = Statement(
    select(target.c.label, lane.c.account, lane.c.region)
    .select_from(lane.outerjoin(target, _is_pinned))
    .order_by(lane.c.lane_id, target.c.pinned_at, target.c.label)
)
_TARGETS = Statement(select(target.c.label, target.c.lane_id))
_PINNED = Statement(
    select(lane.c.lane_id, lane.c.account, lane.c.region)
    .select_from(target.join(lane, _is_pinned))
    .where(target.c.label == bindparam("of_target"))
)
_PIN = Upsert(target, key=["label"], columns=["label", "lane_id", "pinned_at"])
_LANES = Statement(select(lane.c.lane_id, lane.c.account, lane.c.region).order_by(lane.c.lane_id))
_LANE = Statement(select(lane.c.endpoint, lane.c.listed_at).where(_OF_LANE))
_ADD_LANE = Upsert(lane, key=["account", "region"], columns=["account", "region", "endpoint", "pinned_at"])
_MOVE_LANE = Statement(
    update(lane)
    .where(_OF_LANE, lane.c.endpoint != bindparam("new_endpoint"))
    .values(endpoint=bindparam("new_endpoint")),
    columns=["pinned_at"],
)
_LISTED = Statement(update(lane).where(_OF_LANE), columns=["listed_at"])
_DOUBT = Statement(update(lane).where(_OF_LANE), columns=["doubted_before"])
# by itself: a ledger of an earlier program, which is read as it is, has no such column
_DOUBTED = Statement(select(lane.c.doubted_before).where(_OF_LANE))

_NO_LANE = literal_column("0", type_=Integer)
_lane_or_0 = func.coalesce(run.c.lane_id, _NO_LANE)
"""A run's lane, not by an index: runs are read from the latest on."""
_of_this_lane = _lane_or_0 == bindparam("of_lane", type_=Integer)
_of_target_without_lane = and_(
    _lane_or_0 == _NO_LANE,
    or_(
        run.c.target == bindparam("of_target", type_=Text),
        run.c.target.in_(select(target.c.label).where(target.c.lane_id == bindparam("of_lane", type_=Integer))),
    ),
)
_of_none = and_(_lane_or_0 == _NO_LANE, run.c.target.is_(None))
"""A run that reached no lane, of a manifest without targets: it counts for each lane."""
_OF_LANE_OR_NONE = or_(_of_this_lane, _of_target_without_lane, _of_none)
_LAST_RUN = Statement(
    select(run.c.run_id).where(run.c.lane_id == bindparam("of_lane")).order_by(run.c.run_no.desc()).limit(1)
)
_BEGIN = Statement(
    insert(run).returning(run.c.run_no),
    columns=["lane_id", "target", "run_id", "verb", "batch", "program", "began_at", "principal", "os_user", "host"],
)
_END = Statement(
    update(run)
    .where(
        run.c.run_id == bindparam("of_run"),
        run.c.lane_id.is_not_distinct_from(bindparam("of_lane")),
        run.c.target.is_not_distinct_from(bindparam("of_target")),
    )
    .returning(run.c.run_no),
    columns=["exit_code", "summary", "ended_at"],
)
_RUNS = Statement(
    select(
        *(run.c.run_id, run.c.verb, run.c.batch, run.c.began_at, run.c.ended_at, run.c.exit_code, run.c.summary),
        *(*WHO, run.c.program),
    )
    .where(run.c.batch == bindparam("of_batch"), _OF_LANE_OR_NONE)
    .order_by(run.c.run_no.desc())
    .limit(bindparam("most"))
)
_RUN_BATCHES = Statement(select(run.c.batch).where(_OF_LANE_OR_NONE).distinct())
_ended = (
    select(run.c.began_at, run.c.ended_at, run.c.exit_code, run.c.summary)
    .where(run.c.ended_at.is_not(None))
    .order_by(run.c.run_no.desc())
)
_ENDED = Statement(_ended.where(_OF_LANE_OR_NONE), is_large=True)
_ENDED_OF_TARGET = Statement(_ended.where(or_(_of_this_lane, _of_target_without_lane)), is_large=True)
