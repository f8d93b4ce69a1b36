"""The jobs of a run: a queue, workers that upload, and one resolver that sends back what made nothing."""

import math
from collections.abc import Sequence

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batch_upload.clock import sleep_or
from batch_upload.engine.crew import Crew
from batch_upload.engine.groups import task_group
from batch_upload.engine.identity import tags_of
from batch_upload.engine.job import Ending, Job, job_of, may_replay
from batch_upload.engine.lane import Withheld
from batch_upload.engine.listing import describe_found
from batch_upload.engine.plan import decide
from batch_upload.engine.resolve import Findings, Resolver
from batch_upload.engine.rows import BatchRows, new_row
from batch_upload.engine.settle import Settler
from batch_upload.engine.upload import Surroundings, Uploader, stop_lane
from batch_upload.errors import Disagreement, LaneFault, OutOfResources, Refused, Transient
from batch_upload.events import ItemChanged, Notice
from batch_upload.model import ActionKind, AttachmentStatus, Item, Known, State
from batch_upload.ports import moment
from batch_upload.token import IDENTITY_TAG

CONFLICT = "ConflictException"
"""What a create is refused with whose token was used before (RESOURCE_ALREADY_EXISTS)."""
GATHER_SHARE = 0.25
GATHER_MAX_S = 5.0
"""A listing waits so long for more open intents (a share of the horizon), since one listing serves them all."""


class Flow:
    """Brings every job to its end. Used once."""

    def __init__(self, around: Surroundings, settler: Settler) -> None:
        self._around = around
        self._settler = settler
        self._uploader = Uploader(around, after_slot=self._relieve)
        self._resolver = Resolver(around)
        self._left = 0
        self._finished = anyio.Event()
        self._open: dict[str, tuple[Job, float]] = {}  # token -> job to be resolved, and when to list for it
        self._arrived = anyio.Event()
        self._crew: Crew | None = None
        self._busy: set[str] = set()  # tokens that have had a slot
        self.adopted = 0
        """How many attachments were found at the service by their identity tag."""
        self.retags: list[tuple[Item, Known]] = []
        """Items of which it came out that only their tags changed, and what stands for them."""

    @property
    def workers(self) -> int:
        """How many workers were called up so far: those that help, and not all that may be."""
        return self._crew.called if self._crew else 0

    async def run(self, jobs: Sequence[Job], *, workers: int) -> None:
        """Return when every job has ended, or was left because the run is stopping. Raises LedgerUnusable.

        `workers` are called up at most, and only as many as the rate needs.
        """
        if not jobs:
            return
        self._left = len(jobs)
        sender, receiver = anyio.create_memory_object_stream[Job](math.inf)  # the jobs are there: nobody need wait
        for job in jobs:
            sender.send_nowait(job)
        to_read = (job.item for job in jobs if job.item is not None and job.open_since is None)
        self._around.bodies.expect(to_read, at_once=workers)
        async with receiver, task_group() as group:
            self._crew = Crew(
                group,
                lambda: self._work(receiver.clone(), sender),
                most=min(workers, len(jobs)),
            )
            group.start_soon(self._resolve, sender)
            self._crew.relieve(busy=0)

    async def _work(self, receiver: MemoryObjectReceiveStream[Job], sender: MemoryObjectSendStream[Job]) -> None:
        async with receiver:
            async for job in receiver:
                has_ended = await self._take(job)
                self._busy.discard(job.token)
                if not has_ended and await self._give_back(job, sender):
                    return

    async def _give_back(self, job: Job, sender: MemoryObjectSendStream[Job]) -> bool:
        """After a shortage: have the job taken again, or leave it once that has gone on for too long.

        Whether the worker is to end. All but the last do, so that fewer work at once; the last waits.
        """
        if self._crew is not None and self._crew.dismiss():
            sender.send_nowait(job)
            return True
        try:
            await self._around.wire.wait_for_resources(to_create=True)
        except (OutOfResources, Withheld):
            self._end()
        else:
            sender.send_nowait(job)
        return False

    async def _take(self, job: Job) -> bool:
        """Bring a job further. False where there were no resources for it, so that it is to be taken again."""
        now = moment(self._around.clock)
        if job.item is None or not may_replay(job, now=now, horizon_s=self._around.horizon_s):
            self._must_resolve(job)
            return True
        ending = await self._uploader.upload(job, job.item)
        if ending is Ending.OUT_OF_RESOURCES:
            return False
        match ending:
            case Ending.TO_RESOLVE:
                self._must_resolve(job)
            case Ending.CREATED:
                self._settler.add(job.known)
                self._end()
            case Ending.FAILED:
                await self._stop_if_made_elsewhere(job)
                self._end()
            case _:
                self._end()
        return True

    async def _stop_if_made_elsewhere(self, job: Job) -> None:
        """Stop the lane if a refused create names an attachment that carries the very token of the item.

        This ledger never sent the token, so a copy of it did: whatever else is sent may be a second upload.
        """
        around, fault = self._around, job.known.fault
        if fault is None or fault.code != CONFLICT or fault.resource_id is None:
            return
        try:
            found = await describe_found(around, [fault.resource_id])
            tags = [await tags_of(around, each) for each in found if each.status is not AttachmentStatus.DELETED]
        except LaneFault as error:
            stop_lane(around, error)
            return
        except (Withheld, Transient, Refused):
            return  # the item has failed, and the next run lists the lane before it sends anything
        if any(each is not None and each.get(IDENTITY_TAG) == job.token for each in tags):
            message = (
                f"AWS holds `{job.known.item_id}`, which this ledger did not send: another copy of the ledger is in use"
            )
            hint = "run only one copy of the ledger; then `batch-upload reconcile` takes over what the others uploaded"
            stop_lane(around, Disagreement(message, code="LedgerBehindService", hint=hint))

    def _relieve(self, job: Job) -> None:
        self._busy.add(job.token)
        if self._crew is not None:
            self._crew.relieve(busy=len(self._busy))

    def _end(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._finished.set()
            self._arrived.set()

    # the resolver's side

    def _must_resolve(self, job: Job) -> None:
        now = self._around.clock.monotonic()
        gather_s = min(GATHER_MAX_S, self._around.horizon_s * GATHER_SHARE)
        self._open[job.token] = (job, now + gather_s)
        self._arrived.set()

    async def _resolve(self, sender: MemoryObjectSendStream[Job]) -> None:
        async with sender:
            while not self._finished.is_set():
                try:
                    await self._wait_for_listing()
                    if self._open:
                        await self._list(sender)
                except Withheld:
                    self._leave_open()
                    await self._arrived.wait()

    async def _wait_for_listing(self) -> None:
        """Return when a listing is due, or every job has ended. Raises Withheld if the run stops creating."""
        while not self._finished.is_set():
            self._arrived = anyio.Event()
            with self._around.lane.waiting(to_create=True):
                if not self._open:
                    await self._arrived.wait()
                    continue
                wait_s = min(at for _, at in self._open.values()) - self._around.clock.monotonic()
                if wait_s <= 0:
                    return
                await sleep_or(self._arrived, wait_s, self._around.clock)

    async def _list(self, sender: MemoryObjectSendStream[Job]) -> None:
        jobs = [job for job, _ in self._open.values()]
        try:
            findings = await self._resolver.settle(jobs)
        except (Transient, Refused) as error:
            self._notice(
                f"requests without an answer could not be looked up, the next run tries again: {error.message}"
            )
            self._leave_open()
            return
        except LaneFault as error:
            stop_lane(self._around, error)
            self._leave_open()
            return
        await self._follow(findings, sender)

    async def _follow(self, findings: Findings, sender: MemoryObjectSendStream[Job]) -> None:
        for job, look_again_at in findings.waiting:
            self._open[job.token] = (job, look_again_at)
        if findings.unproved:
            self._notice(
                "the account kept changing while its attachments were listed; the next run looks up what is open"
            )
        for job in findings.unproved:
            del self._open[job.token]
            self._end()
        for job in findings.undecided:
            del self._open[job.token]
            known = job.known._replace(state=State.UNKNOWN)
            self._around.observer.notify(ItemChanged(known, ended=True, created=False, at=self._around.clock.now()))
            self._end()
        for job in findings.adopted:
            del self._open[job.token]
            self._settler.watch(job.known)
            self.adopted += 1
            await self._go_on(job, sender)
        for job in findings.absent:
            del self._open[job.token]
            job.forget_attempts(job.known._replace(state=State.PENDING, unknown_since=None, last_open_at=None))
            await self._go_on(job, sender)

    async def _go_on(self, job: Job, sender: MemoryObjectSendStream[Job]) -> None:
        """After the outcome is known: send again what made nothing, or look at what took its place."""
        if job.successor is not None:
            await self._succeed(job, sender)
        elif job.item is not None and job.known.state is State.PENDING:
            await sender.send(job)
        else:
            self._end()

    async def _succeed(self, job: Job, sender: MemoryObjectSendStream[Job]) -> None:
        item = job.successor
        if item is None:
            raise TypeError("a job without successor has nothing to look at")
        rows = BatchRows.of(await self._around.ledger.known_of_ids(item.batch, [item.item_id]))
        action = decide(item, rows)
        if action.kind is ActionKind.RETAG and action.known is not None:
            self.retags.append((item, action.known))
            self._end()
            return
        await self._around.ledger.enlist([item], at=self._around.clock.now())
        if action.kind in (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE):
            await sender.send(self._successor(item, job.successor_known))
            return
        if action.known is not None:
            self._settler.watch(action.known)
        self._end()

    def _successor(self, item: Item, stands: Known | None) -> Job:
        """The job of what took an id over; what is open of its own token stays open."""
        around = self._around
        same = stands is not None and stands.client_token == item.client_token
        known = stands if same and stands is not None else new_row(item)
        return job_of(known, item, now=moment(around.clock), stretch=around.ledger.stretch)

    def _leave_open(self) -> None:
        for _ in range(len(self._open)):
            self._open.popitem()
            self._end()

    def _notice(self, message: str) -> None:
        self._around.observer.notify(Notice(message, self._around.clock.now()))
