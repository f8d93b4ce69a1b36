"""`fleet upload`: queue the lanes of a manifest, and follow them through the ledger until all have ended."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import anyio
from anyio import to_thread

from batch_upload.app.choice import ready_to_send
from batch_upload.app.exits import summary_of_lanes
from batch_upload.app.interruption import Interruption
from batch_upload.app.items import LanePart
from batch_upload.app.lane_follow import FollowedEnd, LaneFollower, exit_in_ledger
from batch_upload.app.lane_host import HINT
from batch_upload.app.lanes import of_target
from batch_upload.app.listing import manifest_digests
from batch_upload.app.plan_input import read_plan_inputs
from batch_upload.app.sendable import Prepared
from batch_upload.clock import SystemClock, counting_s
from batch_upload.errors import BatchUploadError, ExitCode, LedgerUnusable, SchedulerLost, UsageError
from batch_upload.events import LaneEnded, LanesChosen, Notice, OfLane
from batch_upload.fleet.jobs import FleetWorker, LaneJob, Schedule, Timing, lane_queue
from batch_upload.fleet.lane import WAIT_LOCK_UNTIL, LaneTask, options_json, options_of_json
from batch_upload.ledger import find_reader, newest_schema, open_ledger
from batch_upload.model import Known
from batch_upload.ports import LedgerReader, Observer
from batch_upload.records import RunRecord
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, exit_of, new_run_id, run_ended
from batch_upload.words import count_words

FOLLOW_S = 1.0
"""Between two looks at ledger and queue."""
FOLLOW_FACTOR = 4
"""A pause lasts at least so many times as long as the look before it: a large ledger is not read all the time."""
LOST_FACTOR = 2
"""A job that the queue has ended, and whose lane the ledger has not, is given out anew if for so many times as long as
a worker may be without heartbeat there is no news of it. The lease of its last holder has lapsed then."""
REQUEUED_MAX = 3
"""How often that is done for a lane."""
UNUSABLE_S = 300.0
"""How long ledger and queue may be away before a coordinator gives up. Workers do not need it."""
ALONE_S = 10.0
"""Seconds without any worker until the coordinator says so."""
LANES_END_S = 75.0
"""Seconds after the deadline in which lanes may end: a run ends within a minute (`engine/run.py`), and a margin."""
QUEUED = "the lanes are queued"

ReadResult = TypeVar("ReadResult")


class JobQueue(Protocol):
    """What hands lanes out to workers: `LaneQueue`, or that of another engine, with the same contract."""

    async def defer(self, task: LaneTask, lane: str) -> int: ...
    async def jobs(self, job_ids: Sequence[int]) -> list[LaneJob]: ...
    async def blocked(self, job_ids: Sequence[int]) -> set[int]: ...
    async def cancel(self, job_ids: Sequence[int]) -> set[int]: ...
    async def workers(self) -> list[FleetWorker]: ...
    async def delete_old(self) -> None: ...


OpenQueue = Callable[[], AbstractAsyncContextManager[JobQueue]]


@dataclass(frozen=True, slots=True)
class FleetResult:
    """How a run over the lanes of a fleet ended, as far as its coordinator has followed it.

    `known`: of each lane by its label, the rows of items that are not simply complete.
    """

    summary: Summary
    known: Mapping[str, Sequence[Known]] = field(default_factory=dict)


class _Lane:
    """One lane of the run: its job, what was seen of it last, and its end."""

    def __init__(self, part: LanePart, follower: LaneFollower, task: LaneTask) -> None:
        self.part = part
        self.follower = follower
        self.task = task
        self.job_id: int | None = None
        self.requeued = 0
        self.quiet_since = anyio.current_time()
        self.seen: object = None
        self.end: FollowedEnd | None = None

    @property
    def label(self) -> str:
        return self.part.target.label or ""

    @property
    def name(self) -> str:
        """Return `ACCOUNT/REGION`, by which the service, and so the queue, distinguishes lanes."""
        return f"{self.part.target.account}/{self.part.target.region}"

    def ending(self, runs: Sequence[RunRecord], job: LaneJob | None) -> tuple[Exit, str] | None:
        """Return how the lane has ended, with a hint; None while it has not.

        The ledger decides. Where it has no end, only what a worker reported as final counts, such as a refusal.
        """
        report = None if job is None else job.report
        is_final = report is not None and report.again_in_s is None
        last = runs[0] if runs else None
        if last is not None and last.ended_at is not None:
            found = exit_in_ledger(last)
            is_again = found.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.TRANSIENT, ExitCode.LOCKED)
            if not is_again or (is_final and report is not None and report.run_id == last.run_id):
                return found, "" if report is None or report.run_id != last.run_id else report.hint
        if report is not None and is_final and (last is None or last.run_id == report.run_id or last.ended_at):
            return Exit(ExitCode(report.code), report.reason), report.hint
        return None


class FleetUpload:
    """One run of `fleet upload`. To be made on the event loop and used once."""

    verb: ClassVar[str] = "fleet upload"

    def __init__(
        self,
        prepared: Prepared,
        settings: Settings,
        observer: Observer,
        *,
        run_id: str,
        started: float,
        interruption: Interruption | None = None,
        waits: bool = True,
        timing: Timing | None = None,
        open_queue: OpenQueue | None = None,
    ) -> None:
        self.prepared = prepared
        self.settings = settings
        self.observer = observer
        self.run_id = run_id
        self.interruption = interruption or Interruption()
        self._started = started
        self._waits = waits
        self._timing = timing or Timing()
        self._open_queue = open_queue or partial(lane_queue, settings.ledger, self._timing)
        self._lanes: list[_Lane] = []
        self._thread = ThreadPoolExecutor(1, "follow")
        self._reader: LedgerReader | None = None
        self._has_told_of_no_worker = False

    async def run(self) -> FleetResult:
        """Queue the lanes, and follow them to their ends.

        An interruption ends the following alone: the jobs go on. Raises UsageError and LedgerUnusable.
        """
        if not self.prepared.manifest.targets:
            raise UsageError(
                "a fleet needs a manifest with `targets`", hint="a manifest with one lane is for `batch-upload upload`"
            )
        try:
            with self.interruption.scope:
                await self._remember()
                await self._plan()
                async with self._open_queue() as queue:
                    await queue.delete_old()
                    for lane in self._lanes:
                        lane.job_id = await queue.defer(lane.task, lane.name)
                    if self.settings.wait_lock_s <= 0:
                        await self._leave_locked(queue)
                    if self._waits:
                        await self._follow(queue)
            return await self._result()
        finally:
            self._thread.submit(self._close_reader)
            self._thread.shutdown(wait=True)

    async def _remember(self) -> None:
        """Open the ledger as a writer does, which makes it, and remember the digests that were read."""
        ledger = await open_ledger(self.settings.ledger, run_id=self.run_id, clock=SystemClock())
        try:
            await ledger.remember_digests(self.prepared.fresh)
        finally:
            await ledger.close()
        self.prepared.fresh.clear()

    async def _plan(self) -> None:
        """Read what the ledger holds of each lane that has items, and make its task."""

        def read() -> list[tuple[LanePart, LaneFollower]]:
            found = []
            for given in read_plan_inputs(self.prepared, self.settings, whole=False):
                if given.prepared.items or given.prepared.unread:
                    follower = LaneFollower(given, self.run_id)
                    follower.begin(self._reader_of(given.part))
                    found.append((given.part, follower))
            return found

        parts = await self._in_thread(read)
        digests = await self._in_thread(lambda: manifest_digests(self.prepared.manifest))
        left_s = self.settings.deadline_s
        if left_s is not None:
            left_s -= counting_s() - self._started
        deadline = None if left_s is None else (datetime.now(UTC) + timedelta(seconds=left_s)).isoformat()
        waits_s, waiting = self.settings.wait_lock_s, {}
        if waits_s > 0:
            waiting[WAIT_LOCK_UNTIL] = (datetime.now(UTC) + timedelta(seconds=waits_s)).isoformat()
        path = str(self.prepared.manifest.folder / self.prepared.manifest.path.name)
        for part, follower in parts:
            task = LaneTask(
                manifest=path,
                digests=digests,
                target=part.target.label or "",
                ledger=str(self.settings.ledger),
                schema=newest_schema(self.settings.ledger),
                run_id=self.run_id,
                deadline=deadline,
                options={**options_json(part.settings), **waiting},
            )
            self._lanes.append(_Lane(part, follower, task))
        labels = tuple(lane.label for lane in self._lanes)
        total = len(labels if self.settings.lanes.is_all else self.prepared.manifest.targets)
        items = tuple(lane.part.prepared.total for lane in self._lanes)
        batch = self.prepared.manifest.batch
        self.observer.notify(LanesChosen(batch, labels, total, datetime.now(UTC), items))

    async def _follow(self, queue: JobQueue) -> None:
        """Look at ledger and queue again and again, until all lanes have ended."""
        began, reached = anyio.current_time(), anyio.current_time()
        may_wait_s = self.settings.wait_lock_s
        while any(lane.end is None for lane in self._lanes):
            looked = anyio.current_time()
            try:
                await self._look(queue)
                if 0 < may_wait_s <= looked - began:
                    await self._leave_locked(queue)
                await self._look_for_workers(queue, looked - began)
                await self._keep_deadline(queue)
                reached = anyio.current_time()
            except LedgerUnusable as error:
                self._thread.submit(self._close_reader)
                if anyio.current_time() - reached > UNUSABLE_S:
                    raise
                self._say(f"{error.message}; the workers go on by themselves, looking again")
            except SchedulerLost as error:
                for lane in (each for each in self._lanes if each.end is None):
                    await self._end(lane, Exit(error.exit_code, error.message), error.hint)
                return
            await anyio.sleep(max(FOLLOW_S, FOLLOW_FACTOR * (anyio.current_time() - looked)))

    async def _look(self, queue: JobQueue) -> None:
        jobs = {job.job_id: job for job in await queue.jobs([lane.job_id or 0 for lane in self._lanes])}
        for lane in self._lanes:
            if lane.end is None:
                await self._look_at(queue, lane, jobs.get(lane.job_id or 0))

    async def _look_at(self, queue: JobQueue, lane: _Lane, job: LaneJob | None) -> None:
        """Tell the observer what a lane has done, and whether it has ended."""

        def read() -> tuple[list[object], list[RunRecord]]:
            reader = self._reader_of(lane.part)
            events = list(lane.follower.look(reader))
            return events, lane.follower.runs(reader)

        events, runs = await self._in_thread(read)
        self._tell(lane, events)
        ended = lane.ending(runs, job)
        if ended is not None:
            await self._end(lane, *ended)
            return
        is_lost = job is None or not job.is_open
        news = (len(runs), None if job is None else (job.status, job.attempts), is_lost)
        if events or news != lane.seen:
            lane.seen, lane.quiet_since = news, anyio.current_time()
        if not is_lost or anyio.current_time() - lane.quiet_since < LOST_FACTOR * self._timing.dead_after_s:
            return
        if lane.requeued >= REQUEUED_MAX:
            reason = f"its job ended {lane.requeued + 1} times without an end in the ledger: the workers' logs say why"
            await self._end(lane, Exit(ExitCode.OUR_FAULT, reason), "")
            return
        lane.requeued += 1
        lane.task = replace(lane.task, attempts=lane.task.attempts + (job.attempts if job is not None else 1))
        lane.job_id = await queue.defer(lane.task, lane.name)
        self._say(f"the queue has ended the job of `{lane.label}`, and the ledger has not: it is queued again")

    async def _leave_locked(self, queue: JobQueue) -> None:
        """End the lanes that another run has in the queue: it does what there is to do."""
        waiting = {lane.job_id or 0: lane for lane in self._lanes if lane.end is None}
        for job_id in await queue.cancel(sorted(await queue.blocked(list(waiting)))):
            reason = "another run has the lane in the queue"
            await self._end(
                waiting[job_id], Exit(ExitCode.LOCKED, reason), "`batch-upload fleet status` shows its jobs"
            )

    async def _look_for_workers(self, queue: JobQueue, waited_s: float) -> None:
        if self._has_told_of_no_worker or waited_s < ALONE_S:
            return
        dead_after_s = self._timing.dead_after_s
        if not any(each.heartbeat_s < dead_after_s for each in await queue.workers()):
            self._has_told_of_no_worker = True
            self._say("no worker is running: start some with `batch-upload fleet worker`")

    async def _keep_deadline(self, queue: JobQueue) -> None:
        """After the deadline, end the lanes that no worker has begun; and all, once their workers had time to end."""
        deadline_s, elapsed_s = self.settings.deadline_s, counting_s() - self._started
        if deadline_s is None or elapsed_s < deadline_s:
            return
        left = {lane.job_id or 0: lane for lane in self._lanes if lane.end is None}
        ended = await queue.cancel(list(left))
        for job_id in left if elapsed_s > deadline_s + LANES_END_S else ended:
            await self._end(left[job_id], exit_of(ExitCode.DEADLINE), "")

    async def _end(self, lane: _Lane, ending: Exit, hint: str) -> None:
        notes = (f"{HINT}{hint}",) if hint else ()
        events, end = await self._in_thread(lambda: lane.follower.end(self._reader_of(lane.part), ending, notes))
        lane.end, found = end, end.summary.exit  # 20 for what is invalid
        self._tell(lane, [*events, LaneEnded(int(found.code), found.reason, hint, datetime.now(UTC))])

    async def _result(self) -> FleetResult:
        """Return the sums of all lanes. Those that have not ended are counted as the ledger has them now."""
        code, left = self.interruption.code, [lane for lane in self._lanes if lane.end is None]
        ending = Exit(ExitCode.DONE, QUEUED)
        if code is not None:
            queued = sum(lane.job_id is not None for lane in left)
            ending = Exit(code, f"stopped to follow; {count_words(queued, 'lane')} of the run go on in the queue")

        def ends() -> list[FollowedEnd]:
            return [lane.follower.end(self._reader_of(lane.part), ending, ())[1] for lane in left]

        for lane, end in zip(left, await self._in_thread(ends), strict=True):
            lane.end = end
        lanes = [(lane.part.target, lane.end.summary) for lane in self._lanes if lane.end is not None]
        batch, elapsed_s = self.prepared.manifest.batch, counting_s() - self._started
        summary = summary_of_lanes(self.verb, lanes, batch=batch, elapsed_s=elapsed_s, run_id=self.run_id)
        summary = replace(summary, warnings=len(self.prepared.warnings))
        if code is not None:
            summary = replace(summary, exit=ending)
        self.observer.notify(run_ended(summary, datetime.now(UTC)))
        return FleetResult(summary, {lane.label: lane.end.rows for lane in self._lanes if lane.end is not None})

    def _tell(self, lane: _Lane, events: Sequence[object]) -> None:
        target = lane.part.target
        for event in events:
            self.observer.notify(OfLane(lane.label, target.account, target.region or "", event))

    def _say(self, message: str) -> None:
        self.observer.notify(Notice(message, datetime.now(UTC)))

    def _reader_of(self, part: LanePart) -> LedgerReader:
        if self._reader is None:
            self._reader = find_reader(self.settings.ledger)
        if self._reader is None:
            raise LedgerUnusable(f"`{self.settings.ledger}` is gone")
        return of_target(self._reader, part.target)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    async def _in_thread(self, work: Callable[[], ReadResult]) -> ReadResult:
        """Read the ledger in the thread that its reader belongs to: a connection is not for two threads."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


async def start_scheduled(due: Schedule, own: RunOptions, observer: Observer, timing: Timing) -> str:
    """Queue the lanes of a scheduled manifest, as `fleet upload --no-wait` does. Return how that ended, in words.

    `own` are the options of the worker that does it.
    """
    options = replace(options_of_json(due.options, own), targets=tuple(due.options.get("targets", ())))
    run_id, started = new_run_id(datetime.now(UTC)), counting_s()
    try:
        prepared, settings = await to_thread.run_sync(lambda: ready_to_send(Path(due.manifest), options))
        session = FleetUpload(prepared, settings, observer, run_id=run_id, started=started, waits=False, timing=timing)
        summary = (await session.run()).summary
    except BatchUploadError as error:
        return f"{run_id}: {error.message}"
    return f"{run_id}: {summary.exit.reason}"
