"""The lane a ledger belongs to, and the runs that used it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from batch_upload.errors import ExitCode, LedgerOfAnotherLane
from batch_upload.ledger.migrations import program_version
from batch_upload.ledger.tables import lane, run
from batch_upload.model import Lane

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


def lane_id_of(connection: Connection) -> int | None:
    """The lane that the ledger is bound to, or None before it is."""
    return connection.execute(select(lane.c.lane_id)).scalar_one_or_none()


def lane_of(connection: Connection) -> Lane | None:
    row = connection.execute(select(lane.c.account, lane.c.region)).one_or_none()
    return None if row is None else Lane(account=row.account, region=row.region)


def pin(connection: Connection, wanted: Lane, *, shown: str, endpoint: str, at: datetime) -> int:
    """Bind the ledger to a lane, or check that it is. Gives the lane's number here."""
    bound = lane_of(connection)
    if bound is None:
        values = {"account": wanted.account, "region": wanted.region, "endpoint": endpoint, "pinned_at": at}
        made: int = connection.execute(insert(lane).values(values).returning(lane.c.lane_id)).scalar_one()
        return made
    if bound != wanted:
        raise LedgerOfAnotherLane(
            f"`{shown}` belongs to {bound}, and not to {wanted}",
            hint="use the credentials and Region it was made with, or another ledger with `--ledger`",
        )
    changed = update(lane).where(lane.c.endpoint != endpoint).values(endpoint=endpoint, pinned_at=at)
    connection.execute(changed)
    lane_id: int = connection.execute(select(lane.c.lane_id)).scalar_one()
    return lane_id


def listed_at(connection: Connection, lane_id: int) -> datetime | None:
    found: datetime | None = connection.execute(select(lane.c.listed_at).where(lane.c.lane_id == lane_id)).scalar_one()
    return found


def listed(connection: Connection, lane_id: int, *, at: datetime) -> None:
    connection.execute(update(lane).where(lane.c.lane_id == lane_id).values(listed_at=at))


def last_run_id(connection: Connection) -> str | None:
    return connection.execute(select(run.c.run_id).order_by(run.c.run_no.desc()).limit(1)).scalar_one_or_none()


def begin_run(connection: Connection, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
    values = {"run_id": run_id, "verb": verb, "batch": batch, "program": program_version(), "began_at": at}
    connection.execute(insert(run).values(values))


def failing_since(connection: Connection) -> datetime | None:
    """When the service was last known to answer, if a run has ended with `transient` since; None otherwise.

    A run has reached the service if it ended with a code that only an answer can give, or uploaded or found something.
    Where none ever has, this is the start of the first run.
    """
    columns = (run.c.began_at, run.c.ended_at, run.c.exit_code, run.c.summary)
    ended = select(*columns).where(run.c.ended_at.is_not(None)).order_by(run.c.run_no.desc())
    failing_from: datetime | None = None
    has_failed = False
    for began_at, ended_at, exit_code, summary in connection.execute(ended):
        if exit_code in ANSWERED or (summary or {}).get("uploaded") or (summary or {}).get("adopted"):
            failing_from = ended_at
            break
        failing_from = began_at
        has_failed = has_failed or exit_code == ExitCode.TRANSIENT
    return failing_from if has_failed else None


def end_run(connection: Connection, *, run_id: str, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
    """Raises KeyError for a run that never began."""
    ended = {"exit_code": exit_code, "summary": dict(summary), "ended_at": at}
    if connection.execute(update(run).where(run.c.run_id == run_id).values(ended)).rowcount == 0:
        raise KeyError(run_id)
