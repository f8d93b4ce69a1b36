"""The create step: a queue of jobs, workers that create, and one task that looks up what was sent and not answered.

There are as many workers as help: the rate times what a create takes (Little's law), and a few for the next slots.
"""

import math
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import anyio
from anyio.abc import TaskGroup

from batch_upload.actions import Action, ActionKind
from batch_upload.clock import sleep_or
from batch_upload.engine.context import LaneContext
from batch_upload.engine.create import Ending, Uploader
from batch_upload.engine.groups import task_group
from batch_upload.engine.identity import tags_of
from batch_upload.engine.lane import Withheld
from batch_upload.engine.listing import describe_found
from batch_upload.engine.plan import TO_SEND, decide
from batch_upload.engine.replay import Job, job_of, may_replay
from batch_upload.engine.resolve import Findings, look_up
from batch_upload.engine.rows import BatchRows, new_row
from batch_upload.engine.settle import Settler
from batch_upload.errors import Disagreement, LaneFault, OutOfResources, Refused, Transient
from batch_upload.model import AttachmentStatus, Item, State
from batch_upload.operations import CREATE
from batch_upload.ports import Bodies, moment
from batch_upload.token import IDENTITY_TAG

SPARE = 3
"""Workers that wait for the next slots: with one, a busy machine lost 10 % of the slots at 100/s."""
CONFLICT = "ConflictException"
"""The code that refuses a create whose token was used before (RESOURCE_ALREADY_EXISTS)."""
GATHER_SHARE = 0.25
GATHER_MAX_S = 5.0
"""A listing waits so long for more open intents (a share of the horizon), since one listing serves them all."""


class WorkerPool:
    """Starts workers whenever a slot is taken and too few are left for the next ones, up to `most`.

    So the latency of a create need not be known: where it is longer, more are under way when a slot comes. An idle
    worker costs a few kilobytes, so none is stopped unless descriptors, memory or threads run out.
    """

    def __init__(self, group: TaskGroup, work: Callable[[], Coroutine[Any, Any, None]], *, most: int) -> None:
        self._group = group
        self._work = work
        self._most = most
        self._busy: set[str] = set()  # tokens that have had a slot
        self._stopped = 0
        self.started = 0

    def relieve(self) -> None:
        """Start workers until SPARE are idle."""
        for _ in range(min(len(self._busy) + SPARE, self._most) - self.started):
            self.started += 1
            self._group.start_soon(self._work)

    def took_slot(self, job: Job) -> None:
        """Note that a worker has got a slot for a job."""
        self._busy.add(job.token)
        self.relieve()

    def ended(self, job: Job) -> None:
        """Note that a worker has done what it could for a job."""
        self._busy.discard(job.token)

    def may_stop(self) -> bool:
        """Return whether a worker that found no resources may stop: unless it is the last. It is not replaced."""
        if self.started - self._stopped <= 1:
            return False
        self._stopped += 1
        self._most = self.started
        return True


class CreateStep:
    """Creates what the plan says, and resolves what was sent and not answered. Used once."""

    def __init__(self, context: LaneContext, bodies: Bodies, settler: Settler) -> None:
        self._context = context
        self._bodies = bodies
        self._settler = settler
        self._queue, self._jobs = anyio.create_memory_object_stream[Job](math.inf)
        self._left = 0
        self._finished = anyio.Event()
        self._open: dict[str, tuple[Job, float]] = {}  # token -> job to be resolved, and when to list for it
        self._arrived = anyio.Event()
        self.adopted = 0
        """How many attachments were found at the service by their identity tag."""
        self.retags: list[Action] = []
        """Decisions on items of which it came out that only their tags changed."""

    def jobs_of(self, actions: Iterable[Action]) -> list[Job]:
        """Return the jobs of these decisions: open intents first, since their horizon is running."""
        now, stretch = moment(self._context.clock), self._context.ledger.stretch
        jobs: list[Job] = []
        for action in sorted(actions, key=lambda each: each.kind is not ActionKind.RESOLVE):
            known, item = action.known, action.item
            if item is None:
                raise TypeError("what is created or resolved has an item")
            if known is None or (action.kind in TO_SEND and known.client_token != item.client_token):
                known = new_row(item)
            jobs.append(job_of(known, item, now=now, stretch=stretch))
        return jobs

    async def run(self, jobs: Sequence[Job], *, workers: int) -> int:
        """Return when every job has ended, or was left because the run is stopping. Raises LedgerUnusable.

        At most `workers` are started, and only as many as the rate needs. Return how many were. A job that has ended is
        not kept: its row, as the ledger returned it, takes 1 KB.
        """
        context, self._left = self._context, len(jobs)
        if not jobs:
            self._queue.close()
            self._jobs.close()
            return 0
        for job in jobs:
            self._queue.send_nowait(job)
        to_read = [job.item for job in jobs if job.item is not None and job.open_since is None]
        self._bodies.expect(to_read, at_once=workers)
        context.wire.expect(CREATE, len(jobs))
        most = min(workers, len(jobs))
        del job, jobs, to_read  # from here on the queue alone holds the jobs
        async with self._jobs, task_group() as group:

            async def work() -> None:
                async with self._jobs.clone() as jobs:
                    async for job in jobs:
                        has_ended = await self._take(job, uploader)
                        pool.ended(job)
                        if has_ended:
                            continue
                        if pool.may_stop():
                            self._queue.send_nowait(job)
                            return
                        try:
                            await context.wire.wait_for_resources(to_create=True)
                        except (OutOfResources, Withheld):
                            self._end()
                        else:
                            self._queue.send_nowait(job)

            pool = WorkerPool(group, work, most=most)
            uploader = Uploader(context, self._bodies, after_slot=pool.took_slot)
            group.start_soon(self._look_up_open)
            pool.relieve()
        return pool.started

    async def _take(self, job: Job, uploader: Uploader) -> bool:
        """Bring a job further. Return False where there were no resources for it, so that it is to be taken again."""
        now, item = moment(self._context.clock), job.item
        if item is None or not may_replay(job, now=now, horizon_s=self._context.horizon_s):
            self._must_resolve(job)
            return True
        match await uploader.upload(job, item):
            case Ending.OUT_OF_RESOURCES:
                return False
            case Ending.TO_RESOLVE:
                self._must_resolve(job)
                return True
            case Ending.CREATED:
                self._settler.add(job.known, left=self._left - 1)
            case Ending.FAILED:
                await self._stop_if_made_elsewhere(job)
        self._end()
        return True

    async def _stop_if_made_elsewhere(self, job: Job) -> None:
        """Stop the lane if a refused create names an attachment that carries the very token of the item.

        This ledger never sent the token, so a copy of it did: whatever else is sent may be a second upload.
        """
        context, fault = self._context, job.known.fault
        if fault is None or fault.code != CONFLICT or fault.resource_id is None:
            return
        try:
            found = await describe_found(context, [fault.resource_id])
            tags = [
                await tags_of(context, each.attachment_arn)
                for each in found
                if each.status is not AttachmentStatus.DELETED
            ]
        except LaneFault as error:
            context.stop_for(error)
            return
        except (Withheld, Transient, Refused):
            return  # the item has failed, and the next run lists the lane before it sends anything
        if any(each is not None and each.get(IDENTITY_TAG) == job.token for each in tags):
            message = (
                f"AWS holds `{job.known.item_id}`, which this ledger did not send: another copy of the ledger is in use"
            )
            hint = "run only one copy of the ledger; then `batch-upload reconcile` takes over what the others uploaded"
            context.stop_for(Disagreement(message, code="LedgerBehindService", hint=hint))

    def _end(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._finished.set()
            self._arrived.set()

    # looking up what was sent and not answered

    def _must_resolve(self, job: Job) -> None:
        gather_s = min(GATHER_MAX_S, self._context.horizon_s * GATHER_SHARE)
        self._open[job.token] = (job, self._context.clock.monotonic() + gather_s)
        self._arrived.set()

    async def _look_up_open(self) -> None:
        async with self._queue:
            while not self._finished.is_set():
                try:
                    await self._wait_for_listing()
                    if self._open:
                        await self._list()
                except Withheld:
                    self._leave_open()
                    await self._arrived.wait()

    async def _wait_for_listing(self) -> None:
        """Return when a listing is due, or every job has ended. Raises Withheld if the run stops creating."""
        while not self._finished.is_set():
            self._arrived = anyio.Event()
            with self._context.lane.waiting(to_create=True):
                if not self._open:
                    await self._arrived.wait()
                    continue
                wait_s = min(at for _, at in self._open.values()) - self._context.clock.monotonic()
                if wait_s <= 0:
                    return
                await sleep_or(self._arrived, wait_s, self._context.clock)

    async def _list(self) -> None:
        """List the lane for all open intents, and go on with what that settles."""
        context = self._context
        try:
            findings = await look_up(context, [job for job, _ in self._open.values()])
        except (Transient, Refused) as error:
            reason = "requests without an answer could not be looked up, the next run tries again"
            context.notice(f"{reason}: {error.message}")
            self._leave_open()
        except LaneFault as error:
            context.stop_for(error)
            self._leave_open()
        else:
            await self._follow(findings)

    async def _follow(self, findings: Findings) -> None:
        context = self._context
        for job, look_again_at in findings.waiting:
            self._open[job.token] = (job, look_again_at)
        if findings.unproved:
            context.notice(
                "the account kept changing while its attachments were listed; the next run looks up what is open"
            )
        for job in (*findings.unproved, *findings.undecided, *findings.adopted, *findings.absent):
            del self._open[job.token]
        for job in findings.undecided:
            context.tell(job.known._replace(state=State.UNKNOWN))
        for _ in (*findings.unproved, *findings.undecided):
            self._end()
        for job in findings.adopted:
            self._settler.watch(job.known, is_bound=job.item is not None)
            self.adopted += 1
            await self._go_on(job)
        for job in findings.absent:
            job.forget_attempts(job.known._replace(state=State.PENDING, unknown_since=None, last_open_at=None))
            await self._go_on(job)

    async def _go_on(self, job: Job) -> None:
        """After the outcome is known: send again what made nothing, or do what the manifest wants instead of it."""
        if job.wanted is not None and job.item is None:
            await self._replace(job.wanted)
        elif job.item is not None and job.known.state is State.PENDING:
            self._queue.send_nowait(job)
        else:
            self._end()

    async def _replace(self, wanted: Item) -> None:
        """Decide anew for an item whose id had an open intent under another token, now that it is settled."""
        ledger = self._context.ledger
        action = decide(wanted, BatchRows.of(await ledger.known_of_ids(wanted.batch, [wanted.item_id])))
        if action.kind is ActionKind.RETAG:
            self.retags.append(action)
            self._end()
            return
        await ledger.enlist([action.item or wanted], at=self._context.now())
        if action.kind in (*TO_SEND, ActionKind.RESOLVE):
            self._queue.send_nowait(*self.jobs_of([action]))
            return
        for known in await ledger.known_of_ids(wanted.batch, [wanted.item_id]):
            if known.client_token == action.client_token:
                self._settler.watch(known)
        self._end()

    def _leave_open(self) -> None:
        for _ in range(len(self._open)):
            self._open.popitem()
            self._end()
