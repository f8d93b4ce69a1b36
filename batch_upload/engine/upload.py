"""One item: slot ► intent ► call ► outcome, and again with the same token while that is safe."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import MAXYEAR, datetime, timedelta

import anyio

from batch_upload.engine.groups import task_group
from batch_upload.engine.job import SAME_REFUSALS, Ending, FirstAlone, Job, may_replay, time_left_s
from batch_upload.engine.lane import LaneControl, Stop, StopKind, Withheld
from batch_upload.engine.outcome import failure, fault_of, resume_after, success
from batch_upload.engine.retry import CUT_OFF, Wire
from batch_upload.errors import (
    AccessFault,
    CapacityExhausted,
    ChangedSincePlan,
    Disagreement,
    ItemFault,
    LaneFault,
    LedgerUnusable,
    NoAnswer,
    OutOfResources,
    Refused,
    ServiceError,
    Transient,
    UnknownRefusal,
)
from batch_upload.events import ItemChanged, LaneStopped, Sending
from batch_upload.model import Item, Known, Outcome, OutcomeKind, Receipt, State
from batch_upload.moments import Moment
from batch_upload.operations import CREATE
from batch_upload.pacing import Slot
from batch_upload.ports import AttachmentService, Attempt, Bodies, Clock, CreateRequest, LedgerWriter, Observer, moment
from batch_upload.token import IDENTITY_TAG

RECORD_S = 30.0
"""How long the write of an outcome may take, cancelled or not: six times what SQLite waits for another program."""
LOOK_S = 1.0
"""How often the clocks are read while a replay is on its way: so late it notices that one of them was set."""


class MustResolve(Exception):
    """Nothing more may be sent for this item before its outcome is known. Control flow; never leaves the room."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every part of one run works with."""

    run_id: str
    service: AttachmentService
    ledger: LedgerWriter
    bodies: Bodies
    wire: Wire
    lane: LaneControl
    clock: Clock
    observer: Observer
    horizon_s: float
    doubtful: set[str] = field(default_factory=set)
    """Tokens that may have made a second attachment in this run, since an answer came after its horizon. The look at
    the end of the run is then certain for them: it waits for tags."""


class Uploader:
    """Brings one item after another to the service. `after_slot` is called whenever a create has got its slot."""

    def __init__(self, around: Surroundings, *, after_slot: Callable[[Job], None] = lambda _: None) -> None:
        self._around = around
        self._after_slot = after_slot
        self._first = FirstAlone()

    async def upload(self, job: Job, item: Item) -> Ending:
        """Try until there is an answer to believe, retries are used up, or replaying is no longer safe.

        Whatever happens is in the ledger when this returns; a fault of the lane has stopped the lane. Raises
        LedgerUnusable.
        """

        async def once() -> Known:
            try:
                return await self._attempt(job, item)
            except ServiceError as error:
                # The frames it went through hold the document, and the next try may be a minute away.
                # `traceback.clear_frames` will not do: it closes generators that wait in one of the frames.
                error.__traceback__ = None
                raise

        try:
            known = await self._around.wire.retried(CREATE, once, job.tries, item_id=item.item_id)
        except MustResolve:
            return Ending.TO_RESOLVE
        except OutOfResources as error:
            self._around.wire.report_shortage(error, to_create=True)
            return Ending.OUT_OF_RESOURCES
        except (Withheld, Transient):
            return Ending.LEFT
        except LaneFault as error:
            self._stop_lane(error)
            return Ending.LEFT
        except ItemFault:
            return self._fail(job)
        self._tell(known, created=True)
        return Ending.FAILED if known.state is State.FAILED else Ending.CREATED

    async def _attempt(self, job: Job, item: Item) -> Known:
        async with self._first.turn(self._around.lane):
            slot = await self._around.wire.slot(CREATE)
            try:
                self._after_slot(job)
                started = moment(self._around.clock)
                self._check_horizon(job, started)
                request = await self._request(job, item)
                attempt = await self._intend(job)
            except BaseException:
                slot.unanswered()
                raise
            return await self._send(job, request, attempt, slot, started)

    def _check_horizon(self, job: Job, now: Moment) -> None:
        if not may_replay(job, now=now, horizon_s=self._around.horizon_s):
            raise MustResolve

    def _check_open(self) -> None:
        """A stop may have come while the document was read."""
        if self._around.lane.creating is not None:
            raise Withheld

    async def _request(self, job: Job, item: Item) -> CreateRequest:
        """What is sent: the tags as they were sent first, the bytes as they were hashed."""
        tags = dict(job.known.tags)
        if job.known.identity_tag:
            tags[IDENTITY_TAG] = job.token
        if item.folder is None:
            return CreateRequest(job.token, tags, url=item.content.removeprefix("url:"))
        try:
            body = await self._around.bodies.read(item)
        except ChangedSincePlan as error:
            if job.known.unknown_since is not None:
                raise MustResolve from error
            job.known = await self._around.ledger.fail(job.token, fault_of(error), at=self._now())
            raise
        return CreateRequest(job.token, tags, body=body)

    async def _intend(self, job: Job) -> Attempt:
        ledger, run_id = self._around.ledger, self._around.run_id
        return await ledger.intend(job.token, run_id=run_id, at=self._now())

    async def _send(self, job: Job, request: CreateRequest, attempt: Attempt, slot: Slot, started: Moment) -> Known:
        try:
            self._check_open()
            self._check_horizon(job, moment(self._around.clock))
        except (Withheld, MustResolve):
            slot.unanswered()
            await self._conclude(job, attempt, Outcome(OutcomeKind.WITHDRAWN, self._now()), started)
            raise
        size_bytes = request.body.size_bytes if request.body is not None else None
        item_id = job.known.item_id
        self._around.observer.notify(Sending(item_id, job.token, attempt.number, size_bytes, attempt.started_at))
        try:
            receipt = await self._around.wire.send(CREATE, slot, lambda: self._create(job, request), item_id=item_id)
        except ServiceError as error:
            await self._conclude(job, attempt, failure(error, at=self._now()), started)
            self._believe(job, error)
            raise
        except anyio.get_cancelled_exc_class():
            cut = NoAnswer(CUT_OFF, code="Cancelled")
            await self._conclude(job, attempt, failure(cut, at=self._now()), started)
            raise
        self._first.prove()
        if self._is_late(job, receipt):
            self._around.doubtful.add(job.token)
        return await self._conclude(job, attempt, success(receipt, at=self._now()), started)

    async def _create(self, job: Job, request: CreateRequest) -> Receipt:
        """Ask for it once. A replay that is still on its way when its horizon ends is cut off: raises NoAnswer."""
        if job.open_since is None:
            return await self._around.service.create(request)
        receipt: Receipt | None = None
        async with task_group() as group:
            watch = anyio.CancelScope()

            async def cut_off() -> None:
                with watch:
                    while (left_s := self._time_left_s(job)) > 0:
                        await self._around.clock.sleep(min(left_s, LOOK_S))
                    group.cancel_scope.cancel()

            group.start_soon(cut_off)
            receipt = await self._around.service.create(request)
            watch.cancel()
        if receipt is None:
            self._around.doubtful.add(job.token)
            raise NoAnswer("no answer within the time that the token is trusted", code="HorizonPassed")
        return receipt

    def _is_late(self, job: Job, receipt: Receipt) -> bool:
        """Whether the token may have been forgotten before a replay arrived: by our clocks or by the service's."""
        if job.open_since is None:
            return False
        made = receipt.created_at
        is_dated = made.year < MAXYEAR  # an answer without a time is given the latest one
        horizon = timedelta(seconds=self._around.horizon_s)
        return self._time_left_s(job) <= 0 or (is_dated and made - job.open_since.wall >= horizon)

    def _time_left_s(self, job: Job) -> float:
        return time_left_s(job, now=moment(self._around.clock), horizon_s=self._around.horizon_s)

    async def _conclude(self, job: Job, attempt: Attempt, outcome: Outcome, started: Moment) -> Known:
        """Record the outcome of an attempt, even if we are cancelled: the next wait is where the task ends.

        Raises LedgerUnusable if the ledger cannot be written, or does not answer within RECORD_S.
        """
        with anyio.move_on_after(RECORD_S, shield=True):  # the answer is in our hands: to lose it could upload it twice
            known = await self._around.ledger.conclude(attempt, outcome)
            job.follow(known, attempt_started=started)
            return known
        raise LedgerUnusable(
            f"the ledger was not written within {RECORD_S:.0f} seconds",
            hint="check the disk, then run the same command again",
        )

    def _believe(self, job: Job, error: ServiceError) -> None:
        """A refusal after an attempt of unknown outcome is resolved before it is believed: raises MustResolve. So does
        an answer that did not come within the horizon: there is nothing to wait for before it is looked up."""
        if isinstance(error, NoAnswer) and self._time_left_s(job) <= 0:
            raise MustResolve from error
        if isinstance(error, UnknownRefusal) and self._first.refuse(error.code):
            self._stop_lane(_refusal_of_all(error))
        if isinstance(error, Refused):
            if not isinstance(error, UnknownRefusal):
                self._first.prove()
            if job.known.state is State.SENDING:
                raise MustResolve from error

    def _fail(self, job: Job) -> Ending:
        self._tell(job.known, created=False)
        return Ending.FAILED

    def _tell(self, known: Known, *, created: bool) -> None:
        ended = known.state in (State.COMPLETE, State.FAILED)
        self._around.observer.notify(ItemChanged(known, ended=ended, created=created, at=self._now()))

    def _stop_lane(self, error: LaneFault) -> None:
        stop_lane(self._around, error)

    def _now(self) -> datetime:
        return self._around.clock.now()


def _refusal_of_all(error: UnknownRefusal) -> AccessFault:
    return AccessFault(
        f"each of the first {SAME_REFUSALS} creates was refused in the same way: {error.message}",
        code=error.code,
        request_id=error.request_id,
        status=error.status,
        hint=error.hint or "ask AWS Support what the code means for this account and Region",
    )


def stop_lane(around: Surroundings, error: LaneFault) -> None:
    """Stop the lane for a fault of its own, and say so if it is news."""
    now = around.clock.now()
    match error:
        case CapacityExhausted():
            stop = Stop(StopKind.CAPACITY, fault_of(error), resume_after(error, now), error.hint)
        case Disagreement():
            stop = Stop(StopKind.DISAGREEMENT, fault_of(error), hint=error.hint)
        case _:
            stop = Stop(StopKind.ACCESS, fault_of(error), hint=error.hint)
    if around.lane.stop_with(stop):
        around.observer.notify(LaneStopped(stop.fault, stop.kind.drains, stop.resume_after, now))
