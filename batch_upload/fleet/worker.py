"""A worker: takes lanes out of the queue and runs them, sweeps up after dead workers, and starts scheduled runs."""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from croniter import croniter
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker

from batch_upload.app.interruption import Interruption
from batch_upload.engine.groups import task_group
from batch_upload.errors import BatchUploadError, ExitCode, LedgerUnusable, UsageError
from batch_upload.events import Notice
from batch_upload.fleet.jobs import QUEUE, TASK_NAME, LaneQueue, Schedule, Timing, lane_queue, queue_of
from batch_upload.fleet.lane import TASK_VERSION, LaneTask, WorkerHost, options_of_json, run_lane, worker_host
from batch_upload.ledger_address import LedgerAddress
from batch_upload.ports import Observer
from batch_upload.settings import RunOptions

FAULTS_MAX = 3
"""Attempts of a lane that end by a fault of our own."""
FAULT_AGAIN_S = 30.0
ABORT_AFTER_S = 30.0
"""Seconds after which lanes are cancelled that have not ended when the worker stops. They drain within 10 s."""
RECONNECT_MAX_S = 30.0
"""The longest pause before a worker that lost its queue tries again."""
REGISTERED_S = 0.1
"""Between two looks whether the queue has given this worker a number."""
CRON_COLUMNS = 5
"""Of a crontab: croniter takes a sixth for seconds, so that one star too many would start a run every few seconds."""
LEDGER_RETRY_S = 10.0
"""Seconds until another worker may try the lane of one whose ledger has failed."""

Start = Callable[[Schedule], Awaitable[str]]
"""Starts the run of a schedule, and returns how that ended."""


class LaneAgain(Exception):
    """The lane has not ended: its job is to be given out again after so many seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"again in {after_s:g} s")
        self.after_s = after_s


class OtherVersion(Exception):
    """The task is of a version that this program does not know: its job is for a worker of that version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"a task of version {version}")
        self.version = version


class LaneRetries(BaseRetryStrategy):
    """Gives a job out again if its lane has not ended, and three times after a fault of our own."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to run it again; None if it has failed for good."""
        match exception:
            case OtherVersion():
                return RetryDecision(retry_in={"seconds": 0}, queue=queue_of(exception.version))
            case LaneAgain():
                after_s = exception.after_s
            case asyncio.CancelledError():  # the worker stops
                after_s = 0.0
            case LedgerUnusable():
                after_s = LEDGER_RETRY_S
            case _ if job.attempts + 1 < FAULTS_MAX:
                after_s = FAULT_AGAIN_S
            case _:
                return None
        return RetryDecision(retry_at=datetime.now(UTC) + timedelta(seconds=after_s))


@dataclass(slots=True)
class WorkerCounts:
    """What a worker has done. `again`: lanes that it handed back, or that another attempt goes on with."""

    ended: int = 0
    again: int = 0


class LaneWorker:
    """One worker process. `run` is called once."""

    def __init__(
        self,
        host: WorkerHost,
        queue: LaneQueue,
        observer: Observer,
        *,
        lanes: int,
        listens: bool,
        start: Start | None,
    ) -> None:
        self.counts = WorkerCounts()
        self._host = host
        self._queue = queue
        self._observer = observer
        self._lanes = lanes
        self._listens = listens
        self._start = start
        self._worker: Worker | None = None
        self._fault: BatchUploadError | None = None
        self._strange: set[int] = set()
        self._bad_schedules: dict[str, str] = {}
        """What is wrong with the schedule of a manifest, as it was said."""
        queue.app.task(name=TASK_NAME, queue=QUEUE, retry=LaneRetries(), pass_context=True)(self._lane)

    async def run(self, interruption: Interruption) -> None:
        """Work until interrupted. A lost queue is waited for. Raises LedgerUnusable if the ledger is lost for good."""
        pause_s = 1.0
        interruption.drain_with(lambda name: self._stop(interruption.code or ExitCode.OUR_FAULT, name))
        async with task_group() as group:
            group.start_soon(self._look_after_the_fleet)
            while interruption.code is None and self._fault is None:
                began = anyio.current_time()
                timing = self._queue.timing
                self._worker = Worker(
                    self._queue.app,
                    queues=[QUEUE],
                    name=self._host.name,
                    concurrency=self._lanes,
                    fetch_job_polling_interval=timing.poll_s,
                    shutdown_graceful_timeout=ABORT_AFTER_S,
                    listen_notify=self._listens,
                    install_signal_handlers=False,
                    update_heartbeat_interval=timing.heartbeat_s,
                    stalled_worker_timeout=max(timing.dead_after_s, 2 * timing.heartbeat_s),
                )
                reason = "the queue was lost"
                try:
                    await self._worker.run()  # type: ignore[no-untyped-call]
                except ConnectorException as error:
                    reason = " ".join(str(error.__cause__ or error).split())
                self._worker = None
                if interruption.code is None and self._fault is None:
                    if anyio.current_time() - began > RECONNECT_MAX_S:
                        pause_s = 1.0
                    self._say(f"{reason}; looking for it again in {pause_s:.0f} s")
                    await anyio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                    pause_s = min(2 * pause_s, RECONNECT_MAX_S)
            group.cancel_scope.cancel()
        if self._fault is not None:
            raise self._fault

    def _stop(self, code: ExitCode, name: str) -> None:
        self._queue.end_soon()
        if self._worker is not None:
            self._worker.stop()  # type: ignore[no-untyped-call]
        self._host.interrupt(code, name)

    async def _lane(self, context: JobContext, task: Mapping[str, Any]) -> None:
        """Run the job of a lane. Raises LaneAgain if it has not ended."""
        job, version = context.job, task.get("version")
        if isinstance(version, int) and version != TASK_VERSION:
            self._say(
                f"the job {job.id} is of another version of this program: it is left to workers that know version"
                f" {version} of tasks, and this one knows {TASK_VERSION}"
            )
            raise OtherVersion(version)
        try:
            report = await run_lane(self._host, LaneTask.from_json(task), attempt=job.attempts + 1)
        except LedgerUnusable as error:
            self._fault = self._fault or error
            self._stop(error.exit_code, "an unusable ledger")
            raise
        with suppress(LedgerUnusable):  # a hint for the coordinator; the ledger has what counts
            await self._queue.report(job, report)
        if report.again_in_s is not None:
            self.counts.again += 1
            raise LaneAgain(report.again_in_s)
        self.counts.ended += 1

    async def _look_after_the_fleet(self) -> None:
        """Tell the queue who this is, give out the jobs of dead workers, and start what is due; until cancelled."""
        known, host, pid, pause_s = None, socket.gethostname(), os.getpid(), REGISTERED_S
        quiet_until = 0.0
        while True:
            await anyio.sleep(pause_s)
            worker_id = self._worker.worker_id if self._worker is not None else None
            if worker_id is None:
                continue
            pause_s = self._queue.timing.sweep_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
            try:
                if worker_id != known:
                    await self._queue.register(worker_id, host=host, pid=pid, lanes=self._lanes)
                    known = worker_id
                if anyio.current_time() >= quiet_until and (swept := await self._sweep(worker_id)):
                    self._say(f"{len(swept)} lanes of a worker that is gone are given out again")
                await self._start_what_is_due()
            except LedgerUnusable as error:
                # all heartbeats are old when the database is back: only then do they tell anything again
                quiet_until = anyio.current_time() + self._queue.timing.dead_after_s
                logging.getLogger(__name__).warning("%s", error.message)

    async def _sweep(self, worker_id: int) -> list[int]:
        """Give out the jobs of dead workers, and those that this one has for two sweeps without knowing them."""
        strange = await self._queue.doing(worker_id) - self._queue.running
        lost, self._strange = strange & self._strange, strange
        return await self._queue.sweep(worker_id, lost)

    async def _start_what_is_due(self) -> None:
        """Start what is due. A row that cannot be read is passed over, and said once."""
        now = datetime.now(UTC)
        for each in await self._queue.schedules() if self._start is not None else ():
            problem = problem_of(each)
            if problem is not None:
                if self._bad_schedules.get(each.manifest) != problem:
                    self._bad_schedules[each.manifest] = problem
                    self._say(f"the schedule of `{each.manifest}` is passed over: {problem}")
                continue
            self._bad_schedules.pop(each.manifest, None)
            if each.next_at <= now and self._start and await self._queue.claim(each, next_time(each.cron, now)):
                try:
                    words = await self._start(each)
                except LedgerUnusable:
                    raise
                except Exception as error:  # a fault in one schedule must not end the worker
                    logging.getLogger(__name__).exception("the schedule of `%s` failed", each.manifest)
                    words = f"failed: {type(error).__name__}: {error}"
                await self._queue.said(each.manifest, words)

    def _say(self, message: str) -> None:
        self._observer.notify(Notice(message, datetime.now(UTC)))


def next_time(cron: str, after: datetime) -> datetime:
    """Return when a cron expression is due next, in UTC. Raises UsageError for one that is none."""
    hint = "five columns, such as `0 3 * * *`, or `@daily`"
    if len(cron.split()) not in (1, CRON_COLUMNS):
        raise UsageError(f"`{cron}` is no time of a crontab: it has not five columns", hint=hint)
    try:
        found: datetime = croniter(cron, after).get_next(datetime)
    except ValueError as error:
        raise UsageError(f"`{cron}` is no time of a crontab: {error}", hint=hint) from error
    return found


def problem_of(schedule: Schedule) -> str | None:
    """Return why a schedule of the database cannot be carried out; None if it can."""
    try:
        next_time(schedule.cron, datetime.now(UTC))
        targets = schedule.options.get("targets", ())
        if not isinstance(targets, list | tuple) or not all(isinstance(each, str) for each in targets):
            return "its targets are no list of names"
        options_of_json(schedule.options, RunOptions())
    except UsageError as error:
        return error.message
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return f"its options cannot be read ({type(error).__name__}: {error})"
    return None


async def work(
    ledger: LedgerAddress,
    options: RunOptions,
    observer: Observer,
    interruption: Interruption,
    *,
    lanes: int,
    timing: Timing | None = None,
    listens: bool = True,
    start: Start | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> WorkerCounts:
    """Run lanes of the queue in a ledger's database until interrupted. `listens`: wait for LISTEN, not only by polls.

    `on_ready` is called when queue and ledger are open. `start` starts scheduled runs. Raises UsageError and
    LedgerUnusable as `lane_queue` and `open_ledger`.
    """
    async with (
        lane_queue(ledger, timing or Timing()) as queue,
        worker_host(ledger, options, observer, lanes=lanes) as host,
    ):
        on_ready()
        worker = LaneWorker(host, queue, observer, lanes=lanes, listens=listens, start=start)
        await worker.run(interruption)
        return worker.counts
