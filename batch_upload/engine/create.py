"""One create: slot ► document ► intent ► request ► outcome, and again with the same token while that is safe."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import MAXYEAR, timedelta
from enum import Enum

import anyio

from batch_upload.engine.context import LaneContext
from batch_upload.engine.groups import task_group
from batch_upload.engine.lane import LaneControl, Withheld
from batch_upload.engine.replay import Job, may_replay, time_left_s
from batch_upload.engine.retry import cut_off, fault_of
from batch_upload.engine.rows import tags_at_service
from batch_upload.errors import (
    AccessFault,
    ChangedSincePlan,
    ItemFault,
    LaneFault,
    NoAnswer,
    OutOfResources,
    Refused,
    ServiceError,
    Transient,
    UnknownRefusal,
)
from batch_upload.events import Sending
from batch_upload.model import Item, Outcome, OutcomeKind, Receipt, State
from batch_upload.moments import Moment
from batch_upload.operations import CREATE
from batch_upload.ports import Attempt, Bodies, CreateRequest, moment

LOOK_S = 1.0
"""Seconds between two readings of the clocks while a replay is on its way: so late it notices that one was set."""
INTENT_S = 1.0
"""If the write of an intent takes longer, its request waits for another slot: after a stall of the ledger all that were
held up would leave at once."""
SAME_REFUSALS = 3
"""So many creates are spent to find out that an unknown code is the lane's fault, not that of its items."""


class MustResolve(Exception):
    """Nothing more may be sent for this item before its outcome is known. Control flow; never leaves this module."""


class Ending(Enum):
    """What is left to do for an item after `Uploader.upload`."""

    CREATED = "created"
    FAILED = "failed"
    OUT_OF_RESOURCES = "out of resources"
    """No file descriptor, memory or thread: try again when something was freed."""
    LEFT = "left"
    """Retries used up or run stopping: the next run goes on with it."""
    TO_RESOLVE = "to resolve"
    """Its outcome is unknown and may not be replayed."""


class FirstAlone:
    """Until one create has succeeded, creates go one at a time: a fault of the lane costs one call."""

    def __init__(self) -> None:
        self._proven = False
        self._refused_with: list[str | None] = []
        self._turn = anyio.Lock()

    def prove(self) -> None:
        """Let all creates go: the lane takes them."""
        self._proven = True

    def refuse(self, code: str | None) -> bool:
        """Note that a create was refused with a code that says nothing about its item.

        Return whether the lane is to blame: the first `SAME_REFUSALS` creates were all refused with this code.
        """
        self._refused_with.append(code)
        return not self._proven and self._refused_with[-SAME_REFUSALS:] == [code] * SAME_REFUSALS

    def turn(self, lane: LaneControl) -> AbstractAsyncContextManager[None]:
        """Wait for the turn to send a create. Raises Withheld if the run stops meanwhile."""
        return nullcontext() if self._proven else self._one_by_one(lane)

    @asynccontextmanager
    async def _one_by_one(self, lane: LaneControl) -> AsyncIterator[None]:
        with lane.waiting(to_create=True):
            await self._turn.acquire()
        if not self._proven:
            try:
                yield
            finally:
                self._turn.release()
            return
        self._turn.release()
        yield


class Uploader:
    """Creates one item after another. `after_slot` is called whenever a create has got its slot."""

    def __init__(
        self, context: LaneContext, bodies: Bodies, *, after_slot: Callable[[Job], None] = lambda _: None
    ) -> None:
        self._context = context
        self._bodies = bodies
        self._after_slot = after_slot
        self._first = FirstAlone()

    async def upload(self, job: Job, item: Item) -> Ending:
        """Try until there is an answer to believe, retries are used up, or replaying is no longer safe.

        Whatever happens is in the ledger when this returns; a fault of the lane has stopped the lane. Raises
        LedgerUnusable.
        """
        context = self._context

        async def once() -> None:
            error = await self._attempt(job, item)
            if error is not None:
                raise error

        try:
            await context.wire.retried(CREATE, once, job.tries, item_id=item.item_id)
        except MustResolve:
            return Ending.TO_RESOLVE
        except OutOfResources as error:
            context.wire.report_shortage(error, to_create=True)
            return Ending.OUT_OF_RESOURCES
        except (Withheld, Transient):
            return Ending.LEFT
        except LaneFault as error:
            context.stop_for(error)
            return Ending.LEFT
        except ItemFault:
            context.tell(job.known)
            return Ending.FAILED
        context.tell(job.known, created=True)
        return Ending.FAILED if job.known.state is State.FAILED else Ending.CREATED

    async def _attempt(self, job: Job, item: Item) -> ServiceError | None:
        """Make one attempt, from its slot to its recorded outcome. Return the error that it ended with, if any.

        The error is returned because a raised one would keep this frame, and with it the document, in memory while
        the retry waits.
        """
        context, item_id = self._context, item.item_id
        async with self._first.turn(context.lane):
            slot = await context.wire.slot(CREATE)
            try:
                self._after_slot(job)
                started = moment(context.clock)
                self._check_still_safe(job)
                request = await self._request(job, item)
                asked_s = context.clock.monotonic()
                attempt = await context.ledger.intend(job.token, run_id=context.run_id, at=context.now())
            except BaseException:
                slot.unanswered()
                raise
            try:
                if context.clock.monotonic() - asked_s > INTENT_S:
                    slot.unanswered()
                    slot = await context.wire.slot(CREATE)
                self._check_still_safe(job)  # a stop may have come while the document was read
            except (Withheld, MustResolve, anyio.get_cancelled_exc_class()):
                slot.unanswered()
                await self._record(job, attempt, Outcome(OutcomeKind.WITHDRAWN, context.now()), started)
                raise
            size_bytes = None if request.body is None else request.body.size_bytes
            sending = Sending(item_id, job.token, attempt.number, size_bytes, attempt.started_at)
            context.observer.notify(sending)
            try:
                answer = await context.wire.send(CREATE, slot, lambda: self._create(job, request), item_id=item_id)
            except anyio.get_cancelled_exc_class():
                await self._record(job, attempt, cut_off(context.now()), started)
                raise
            outcome = answer.outcome
            if answer.value is not None:
                self._first.prove()
                if self._is_late(job, answer.value):
                    context.doubtful.add(job.token)
                outcome = replace(outcome, receipt=answer.value, request_id=answer.value.request_id)
            await self._record(job, attempt, outcome, started)
            if answer.error is not None:
                self._check_belief(job, answer.error)
            return answer.error

    def _check_still_safe(self, job: Job) -> None:
        if self._context.lane.creating is not None:
            raise Withheld
        if not may_replay(job, now=moment(self._context.clock), horizon_s=self._context.horizon_s):
            raise MustResolve

    def _time_left_s(self, job: Job) -> float:
        return time_left_s(job, now=moment(self._context.clock), horizon_s=self._context.horizon_s)

    async def _request(self, job: Job, item: Item) -> CreateRequest:
        """Return what is sent: the tags as they were sent first, the bytes as they were hashed."""
        tags = tags_at_service(job.known.tags, job.token, identity_tag=job.known.identity_tag)
        if item.folder is None:
            return CreateRequest(job.token, tags, url=item.content.removeprefix("url:"))
        try:
            body = await self._bodies.read(item)
        except ChangedSincePlan as error:
            if job.known.unknown_since is not None:
                raise MustResolve from error
            job.known = await self._context.ledger.fail(job.token, fault_of(error), at=self._context.now())
            raise
        return CreateRequest(job.token, tags, body=body)

    async def _create(self, job: Job, request: CreateRequest) -> Receipt:
        """Send the request. A replay that is still on its way when its horizon ends is cut off: raises NoAnswer."""
        context = self._context
        if job.open_since is None:
            return await context.service.create(request)
        receipt: Receipt | None = None
        async with task_group() as group:
            watch = anyio.CancelScope()

            async def end_at_horizon() -> None:
                with watch:
                    while (left_s := self._time_left_s(job)) > 0:
                        await context.clock.sleep(min(left_s, LOOK_S))
                    group.cancel_scope.cancel()

            group.start_soon(end_at_horizon)
            receipt = await context.service.create(request)
            watch.cancel()
        if receipt is None:
            context.doubtful.add(job.token)
            raise NoAnswer("no answer within the time that the token is trusted", code="HorizonPassed")
        return receipt

    def _is_late(self, job: Job, receipt: Receipt) -> bool:
        """Return whether the token may have been forgotten before a replay arrived: by our clocks or the service's."""
        if job.open_since is None:
            return False
        is_dated = receipt.created_at.year < MAXYEAR  # an answer without a time is given the latest one
        age = receipt.created_at - job.open_since.wall
        return self._time_left_s(job) <= 0 or (is_dated and age >= timedelta(seconds=self._context.horizon_s))

    async def _record(self, job: Job, attempt: Attempt, outcome: Outcome, started: Moment) -> None:
        job.follow(
            await self._context.recorded(self._context.ledger.conclude(attempt, outcome)), attempt_started=started
        )

    def _check_belief(self, job: Job, error: ServiceError) -> None:
        """Raise MustResolve for a refusal after an attempt of unknown outcome, and for an answer that did not come
        within the horizon. Stop the lane if an unknown code refuses the first creates."""
        if isinstance(error, NoAnswer) and self._time_left_s(job) <= 0:
            raise MustResolve from error
        if isinstance(error, UnknownRefusal) and self._first.refuse(error.code):
            fault = AccessFault(
                f"each of the first {SAME_REFUSALS} creates was refused in the same way: {error.message}",
                code=error.code,
                request_id=error.request_id,
                status=error.status,
                hint=error.hint or "ask AWS Support what the code means for this account and Region",
            )
            self._context.stop_for(fault)
        if isinstance(error, Refused):
            if not isinstance(error, UnknownRefusal):
                self._first.prove()
            if job.known.state is State.SENDING:
                raise MustResolve from error
