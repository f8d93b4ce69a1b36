"""Lanes as jobs of Procrastinate, in the database of the ledger, and three small tables of our own beside its tables.

What the queue says of a job is a hint: a worker that slept may give a wrong status to a job that another one runs.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from anyio import to_thread
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.schema import SchemaManager
from procrastinate.sync_psycopg_connector import wrap_exceptions

from batch_upload.errors import LedgerUnusable, UsageError
from batch_upload.fleet.lane import TASK_VERSION, LaneReport, LaneTask
from batch_upload.fleet.own_jobs import OwnJobs
from batch_upload.ledger import connection_pool, fault_of_database
from batch_upload.ledger_address import LedgerAddress, PostgresUrl

FIRST_QUEUE = "batch-upload"
TASK_NAME = "batch-upload:lane"
CONNECTIONS = 4
"""Of a process to its queue, at most."""
KEPT_HOURS = 24 * 7
"""Hours after which jobs that have ended are deleted."""
_LOCK = 7_223_372_036_854_775
"""Of `pg_advisory_xact_lock`: held while the tables are made. A number of our own."""

_TABLES = """
CREATE TABLE fleet_worker (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers (id) ON DELETE CASCADE,
    host text NOT NULL, pid integer NOT NULL, lanes integer NOT NULL, since timestamptz NOT NULL DEFAULT now());
CREATE TABLE fleet_report (
    job_id bigint PRIMARY KEY REFERENCES procrastinate_jobs (id) ON DELETE CASCADE,
    report jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE fleet_schedule (
    manifest text PRIMARY KEY, cron text NOT NULL, options jsonb NOT NULL, next_at timestamptz NOT NULL,
    last_at timestamptz, last_words text);
"""
_EXISTS = (
    "SELECT to_regclass('fleet_schedule') IS NOT NULL AS found, to_regclass('procrastinate_jobs') IS NOT NULL AS old"
)
_SWEEP = """
SELECT procrastinate_retry_job_v2(stalled.id, now(), NULL, NULL, NULL), stalled.id FROM (
    SELECT job.id FROM procrastinate_jobs AS job
    LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
    WHERE job.status = 'doing' AND job.queue_name = %(queue)s
      AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(dead_after_s)s)
           OR (worker.id = %(worker_id)s AND job.id = ANY(%(lost)s::bigint[])))
    FOR UPDATE OF job SKIP LOCKED) AS stalled
"""
_REPORT = """
INSERT INTO fleet_report (job_id, report)
SELECT id, %(report)s FROM procrastinate_jobs WHERE id = %(job_id)s AND status = 'doing' AND worker_id = %(worker_id)s
ON CONFLICT (job_id) DO UPDATE SET report = excluded.report, at = now()
"""
_JOBS = """
SELECT job.id, job.status::text AS status, job.attempts, job.args, fleet_report.report, fleet_worker.host,
       fleet_worker.pid, worker.last_heartbeat > now() - make_interval(secs => %(dead_after_s)s) AS is_alive
FROM procrastinate_jobs AS job
LEFT JOIN fleet_report ON fleet_report.job_id = job.id
LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id AND job.status = 'doing'
LEFT JOIN fleet_worker ON fleet_worker.worker_id = worker.id
"""
_JOBS_OF_IDS = _JOBS + "WHERE job.id = ANY(%(ids)s) ORDER BY job.id"
_JOBS_OF_MANIFEST = (
    _JOBS + "WHERE job.task_name = %(task)s AND job.args -> 'task' ->> 'manifest' = %(manifest)s ORDER BY job.id"
)
_EARLIER = """
SELECT job.id FROM procrastinate_jobs AS job WHERE job.id = ANY(%(ids)s) AND job.status = 'todo' AND EXISTS (
    SELECT 1 FROM procrastinate_jobs AS other
    WHERE other.lock = job.lock AND other.id < job.id AND other.status IN ('todo', 'doing'))
"""
_WORKERS = """
SELECT worker.id, host, pid, lanes, since, extract(epoch FROM now() - last_heartbeat)::float AS heartbeat_s,
       (SELECT count(*) FROM procrastinate_jobs AS job WHERE job.worker_id = worker.id AND job.status = 'doing') AS busy
FROM procrastinate_workers AS worker LEFT JOIN fleet_worker ON fleet_worker.worker_id = worker.id ORDER BY worker.id
"""
_REGISTER = """
INSERT INTO fleet_worker (worker_id, host, pid, lanes)
SELECT id, %(host)s, %(pid)s, %(lanes)s FROM procrastinate_workers WHERE id = %(worker_id)s
ON CONFLICT DO NOTHING
"""
_DOING = "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker_id)s"
_SCHEDULE = """
INSERT INTO fleet_schedule (manifest, cron, options, next_at) VALUES (%(manifest)s, %(cron)s, %(options)s, %(next_at)s)
ON CONFLICT (manifest) DO UPDATE SET cron = excluded.cron, options = excluded.options, next_at = excluded.next_at
"""
_SCHEDULES = """
SELECT manifest, cron, options, least(greatest(next_at, '0001-01-02Z'), '9999-12-30Z') AS next_at,
       CASE WHEN isfinite(last_at) THEN last_at END AS last_at, last_words
FROM fleet_schedule ORDER BY manifest
"""
"""A time that Python cannot hold, such as `infinity`, would be an error of all rows."""
_REMOVE = "DELETE FROM fleet_schedule WHERE manifest = %(manifest)s RETURNING manifest"
_CLAIM = """
UPDATE fleet_schedule SET next_at = %(next_at)s, last_at = now(), last_words = NULL
WHERE manifest = %(manifest)s AND next_at = %(was)s AND next_at <= now() RETURNING manifest
"""
_SAID = "UPDATE fleet_schedule SET last_words = %(words)s WHERE manifest = %(manifest)s"


def queue_of(version: int) -> str:
    """Return the queue for tasks of a version: workers take those of their own version only."""
    return FIRST_QUEUE if version == 1 else f"{FIRST_QUEUE}/{version}"


QUEUE = queue_of(TASK_VERSION)


@dataclass(frozen=True, slots=True)
class Timing:
    """How soon a dead worker is noticed, in seconds: after `dead_after_s` without a heartbeat, at the next sweep."""

    heartbeat_s: float = 5.0
    dead_after_s: float = 30.0
    """As long as the lease of a lane: no other worker could take it over sooner."""
    sweep_s: float = 5.0
    poll_s: float = 2.0
    """Between two looks for jobs: a job that is given out again is not announced, unlike a new one."""


@dataclass(frozen=True, slots=True)
class LaneJob:
    """A lane's job as the queue has it. `worker` and `is_alive` are None while no worker runs it.

    `task` may be of another version, with what this program can read of it.
    """

    job_id: int
    status: str
    attempts: int
    task: LaneTask
    report: LaneReport | None
    worker: str | None
    is_alive: bool | None

    @property
    def is_open(self) -> bool:
        """Whether it waits for a worker, or runs."""
        return self.status in ("todo", "doing")


@dataclass(frozen=True, slots=True)
class FleetWorker:
    """A worker as the queue has it. `heartbeat_s`: seconds since its last heartbeat. `busy`: lanes that it runs."""

    worker_id: int
    name: str
    lanes: int | None
    since: datetime | None
    heartbeat_s: float
    busy: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A manifest that workers upload again and again. `options` are those of `lane.options_json`."""

    manifest: str
    cron: str
    options: Mapping[str, Any]
    next_at: datetime
    last_at: datetime | None = None
    last_words: str | None = None
    """How the last start of a run ended; None if it is under way, or there was none."""


class LaneQueue:
    """The jobs of lanes, workers and schedules. Made by `lane_queue`.

    Every method raises LedgerUnusable if the database cannot be used.
    """

    def __init__(self, app: App, jobs: OwnJobs, timing: Timing, address: PostgresUrl) -> None:
        self.app = app
        self._jobs = jobs
        self.running = jobs.running
        self.timing = timing
        self._address = address

    async def defer(self, task: LaneTask, lane: str) -> int:
        """Queue a task, and return the id of its job. Jobs of the same `lane` (account/Region) never run at once."""
        lock = f"lane/{lane}"
        with translated(self._address):
            queueing_lock = f"{lock}/{task.run_id}/{task.attempts}"
            deferrer = self.app.configure_task(TASK_NAME, queue=QUEUE, lock=lock, queueing_lock=queueing_lock)
            return await deferrer.defer_async(task=task.as_json())

    async def blocked(self, job_ids: Sequence[int]) -> set[int]:
        """Return those of these jobs that wait behind an earlier one of the same lane."""
        return {row["id"] for row in await self._rows(_EARLIER, ids=list(job_ids))}

    async def cancel(self, job_ids: Sequence[int]) -> set[int]:
        """Take these jobs out of the queue, and return those that no worker had begun."""
        with translated(self._address):
            # deleted at once: a crontab that starts a run each minute would leave a row a lane and minute for a week
            cancel = partial(self.app.job_manager.cancel_job_by_id_async, delete_job=True)
            return {each for each in job_ids if await cancel(each)}

    async def jobs(self, job_ids: Sequence[int]) -> list[LaneJob]:
        """Return these jobs, oldest first. One that was deleted is left out."""
        rows = await self._rows(_JOBS_OF_IDS, ids=list(job_ids), dead_after_s=self.timing.dead_after_s)
        return [_job_of(row) for row in rows]

    async def jobs_of_manifest(self, manifest: str) -> list[LaneJob]:
        """Return the jobs of all runs of a manifest that are still kept, oldest first."""
        dead_after_s = self.timing.dead_after_s
        rows = await self._rows(_JOBS_OF_MANIFEST, task=TASK_NAME, manifest=manifest, dead_after_s=dead_after_s)
        return [_job_of(row) for row in rows]

    async def report(self, job: Job, report: LaneReport) -> None:
        """Keep how an attempt of a job ended, if the job is still its worker's."""
        await self._run(_REPORT, job_id=job.id, worker_id=job.worker_id, report=report.as_json())

    async def doing(self, worker_id: int) -> set[int]:
        """Return the jobs that the queue says a worker runs."""
        return {row["id"] for row in await self._rows(_DOING, worker_id=worker_id)}

    async def sweep(self, worker_id: int, lost: Collection[int]) -> list[int]:
        """Give the jobs of dead workers out again, and return their ids. Any number of workers may do so at once.

        `lost`: jobs that this worker has taken without knowing it, since the answer was lost.
        """
        values = {"queue": QUEUE, "dead_after_s": self.timing.dead_after_s, "worker_id": worker_id, "lost": list(lost)}
        rows = await self._rows(_SWEEP, **values)
        return [row["id"] for row in rows]

    def end_soon(self) -> None:
        """Wait for a database that is away for 10 s only from now on: this process is being ended."""
        self._jobs.end_soon()

    async def delete_old(self) -> None:
        """Delete the jobs that ended KEPT_HOURS ago."""
        with translated(self._address):
            await self.app.job_manager.delete_old_jobs(
                KEPT_HOURS, QUEUE, include_failed=True, include_cancelled=True, include_aborted=True
            )

    async def register(self, worker_id: int, *, host: str, pid: int, lanes: int) -> None:
        """Keep who a worker is."""
        await self._run(_REGISTER, worker_id=worker_id, host=host, pid=pid, lanes=lanes)

    async def workers(self) -> list[FleetWorker]:
        """Return the workers that are registered. A dead one stays until the next worker starts."""
        return [
            FleetWorker(
                row["id"],
                f"{row['host'] or '?'}:{row['pid'] or '?'}",
                row["lanes"],
                row["since"],
                row["heartbeat_s"],
                row["busy"],
            )
            for row in await self._rows(_WORKERS)
        ]

    async def schedule(self, wanted: Schedule) -> None:
        """Keep a schedule in place of the manifest's last one."""
        values = {"manifest": wanted.manifest, "cron": wanted.cron, "next_at": wanted.next_at}
        await self._run(_SCHEDULE, **values, options=dict(wanted.options))

    async def schedules(self) -> list[Schedule]:
        """Return all schedules."""
        return [Schedule(**row) for row in await self._rows(_SCHEDULES)]

    async def unschedule(self, manifest: str) -> bool:
        """Remove a schedule. Return whether there was one."""
        return bool(await self._rows(_REMOVE, manifest=manifest))

    async def claim(self, due: Schedule, next_at: datetime) -> bool:
        """Take on a run that is due. Return False if another worker has taken it on, or it is not due by the server."""
        return bool(await self._rows(_CLAIM, manifest=due.manifest, was=due.next_at, next_at=next_at))

    async def said(self, manifest: str, words: str) -> None:
        """Keep how the start of a scheduled run ended."""
        await self._run(_SAID, manifest=manifest, words=words)

    async def make_tables(self) -> None:
        """Make the tables if they are missing. Raises LedgerUnusable if they are, and may not be made."""
        if await self._has_tables():
            return
        [found] = await self._rows(_EXISTS)
        schema = "" if found["old"] else SchemaManager.get_schema().replace("%", "%%")
        try:
            await self._run(f"SELECT pg_advisory_xact_lock({_LOCK});\n{schema}\n{_TABLES}")
        except LedgerUnusable as error:
            if not await self._has_tables():  # otherwise another process has made them just now
                raise LedgerUnusable(
                    f"the tables of the queue are not in `{self._address}`, and cannot be made: {error.message}",
                    hint="`batch-upload ledger migrate URL` makes them, with the URL of the owner of the database",
                ) from error

    async def _has_tables(self) -> bool:
        [row] = await self._rows(_EXISTS)
        return bool(row["found"])

    async def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - values of any column
        with translated(self._address):
            return await self.app.connector.execute_query_all_async(query, **values)

    async def _run(self, query: str, **values: Any) -> None:  # noqa: ANN401 - values of any column
        with translated(self._address):
            await self.app.connector.execute_query_async(query, **values)


def _job_of(row: Mapping[str, Any]) -> LaneJob:
    report = None if row["report"] is None else LaneReport.from_json(row["report"])
    worker = None if row["pid"] is None else f"{row['host']}:{row['pid']}"
    task = LaneTask.readable(row["args"]["task"])
    return LaneJob(row["id"], row["status"], row["attempts"], task, report, worker, row["is_alive"])


@contextmanager
def translated(address: PostgresUrl) -> Iterator[None]:
    """Raise LedgerUnusable for an error of the database in the block, LedgerAway if it may pass by itself."""
    try:
        yield
    except ConnectorException as error:
        cause = error.__cause__
        raise fault_of_database(cause if isinstance(cause, Exception) else error, address) from error


@asynccontextmanager
async def lane_queue(address: LedgerAddress, timing: Timing, *, writes: bool = True) -> AsyncIterator[LaneQueue]:
    """Open the queue in the database of a ledger; its tables are made if they are missing.

    Without `writes` the role may be one that only reads. Raises UsageError for a ledger that is a file, LedgerUnusable
    if the database cannot be used, and LedgerAway if it does not answer now.
    """
    if not isinstance(address, PostgresUrl):
        raise UsageError(
            f"a fleet needs a ledger that all machines reach, and `{address}` is a file",
            hint="`--ledger postgresql://HOST/DATABASE`, or `ledger:` in the manifest",
        )
    pool = await to_thread.run_sync(partial(connection_pool, address, writes=writes))
    connector = PsycopgConnector(pool_factory=pool, min_size=1, max_size=CONNECTIONS, timeout=10.0)
    app = App(connector=connector)
    jobs = OwnJobs(connector)
    app.job_manager = jobs
    with translated(address), wrap_exceptions():
        await app.open_async()
    try:
        queue = LaneQueue(app, jobs, timing, address)
        await queue.make_tables()
        yield queue
    finally:
        await app.close_async()
