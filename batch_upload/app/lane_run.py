"""One lane's part of a run: reach the lane, do the work, and record how it ended."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar, Generic, Protocol, TypeVar

import anyio

from batch_upload.app.exits import made_visible
from batch_upload.app.interruption import Interruption
from batch_upload.app.items import LanePart
from batch_upload.app.lane import Reached, reach
from batch_upload.app.lanes import SharedAccess
from batch_upload.app.observers import Both, observer_of_lane
from batch_upload.app.rates import learned
from batch_upload.clock import SystemClock, counting_s
from batch_upload.documents.bodies import DocumentReader
from batch_upload.engine.groups import time_limit
from batch_upload.engine.lane import Stop, StopKind, Withheld
from batch_upload.engine.rows import BatchRows, shown_row, state_of_row
from batch_upload.engine.run import DRAIN_S
from batch_upload.engine.tally import Tally
from batch_upload.errors import (
    AccessFault,
    BatchUploadError,
    ExitCode,
    LedgerFault,
    LedgerLocked,
    LedgerUnusable,
    NotSent,
    UsageError,
)
from batch_upload.events import LaneStopped, LeaseChanged, Notice
from batch_upload.model import Fault, Known, Lane
from batch_upload.ports import LaneMemory, LedgerWriter, Observer
from batch_upload.service.access import Ask
from batch_upload.summary import Exit, Summary, exit_of


class HasSummary(Protocol):
    """A result of a use case."""

    @property
    def summary(self) -> Summary:
        """How it ended."""
        ...


RunEnd = TypeVar("RunEnd", bound=HasSummary)

LANES_STARTING = 50
"""Lanes that are reached at the same time at most. Twice what STS is asked in a second: no more would be faster."""
UNREACHED_HINT = "look at the network, a proxy and AWS's health page; `batch-upload doctor` checks each step of the way"


async def as_planned(part: LanePart) -> LanePart:
    """Return the part as it is."""
    return part


@dataclass(frozen=True, slots=True)
class RunScope:
    """What the lanes of one run share. `started` is the moment of `counting_s()` from which all times count."""

    run_id: str
    observer: Observer
    started: float
    deadline_s: float | None
    """Seconds from `started`; None without a deadline."""
    ask: Ask | None = None
    shared: SharedAccess = field(default_factory=SharedAccess)
    reader: DocumentReader = field(default_factory=DocumentReader)
    starting: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(LANES_STARTING))
    """How many lanes may be reached at the same time."""
    read_again: Callable[[LanePart], Awaitable[LanePart]] = as_planned
    """Reads a lane's part of the manifest and its files again, after a wait for the lane (`LaneHost.read_again`)."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, time asleep included."""
        return counting_s() - self.started

    @property
    def left_s(self) -> float | None:
        """Seconds that are left of the deadline; None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - self.elapsed_s)


class LaneRun(ABC, Generic[RunEnd]):
    """One lane's part of a run of a use case. To be made on the event loop and used once."""

    verb: ClassVar[str]

    def __init__(self, scope: RunScope, part: LanePart) -> None:
        self.scope = scope
        self.part = part
        self.prepared = part.prepared
        self.settings = part.settings
        self.clock = SystemClock()
        self.tally = Tally()
        self.listener = observer_of_lane(part.target, scope.observer, lambda: self._lane)
        self.observer = Both(self.tally, self.listener)
        self.interruption = Interruption()
        self._unreached_for_s: float | None = None
        self._lane: Lane | None = None
        self._fence: int | None = None

    @abstractmethod
    async def work(self, ledger: LedgerWriter, reached: Reached) -> RunEnd:
        """Take the lane (`take_lane`), whose account is known, and do the work. May raise BatchUploadError."""

    @abstractmethod
    def ended_early(self, summary: Summary) -> RunEnd:
        """Return the result of a lane that an error, the deadline or an interruption ended before its work was done."""

    async def run(self, ledger: LedgerWriter) -> RunEnd:
        """Reach the lane and do the work. Raises BatchUploadError, whose `summary` counts what was done until then.

        The lane is given back at the end.
        """
        with self.interruption.scope:
            try:
                return await self._reach_and_work(ledger)
            except BatchUploadError as error:
                error.summary = self.counted(exit_of(error.exit_code))
                raise
            finally:
                with anyio.move_on_after(DRAIN_S, shield=True), suppress(LedgerFault):
                    await ledger.release()
                if self._fence is not None:
                    self.listener.notify(LeaseChanged(self._fence, is_held=False, at=self.clock.now()))
        return self.ended_early(self.counted(exit_of(self.interruption.code or ExitCode.OUR_FAULT)))

    @property
    def batch(self) -> str:
        """The manifest's batch."""
        return self.prepared.manifest.batch

    @property
    def lane(self) -> Lane | None:
        """The lane; None until its account is known."""
        return self._lane

    async def take_lane(self, ledger: LedgerWriter, reached: Reached) -> LaneMemory:
        """Pin the ledger to the lane. After a wait for another run, read the lane's part of the manifest again.

        The other run may have worked from a newer manifest. Raises as `LedgerWriter.pin` and `LaneHost.read_again`;
        then nothing was sent.
        """
        memory = await ledger.pin(reached.lane, endpoint=reached.service.endpoint, at=self.clock.now())
        if memory.fence is not None:
            self._fence = memory.fence
            self.listener.notify(LeaseChanged(memory.fence, is_held=True, at=self.clock.now()))
        if memory.has_waited:
            self.part = await self.scope.read_again(self.part)
            self.prepared = self.part.prepared
        return memory

    def time_limit_s(self) -> float | None:
        """Return after how many seconds the work is cancelled: what is in flight at the deadline has DRAIN_S to end."""
        left_s = self.scope.left_s
        return None if left_s is None else left_s + DRAIN_S

    @contextmanager
    def draining(self, reached: Reached) -> Iterator[None]:
        """At an interruption in the block, send nothing new, let what is in flight end (DRAIN_S), and leave the block.

        The code after the block records and sums up what was done.
        """
        with anyio.CancelScope() as scope, suppress(Withheld):

            def drain(name: str) -> None:
                fault = Fault("Interrupted", f"stopped by {name}")
                if reached.control.stop_with(Stop(StopKind.SIGNAL, fault)):
                    event = LaneStopped(fault, draining=False, resume_after=None, at=self.clock.now())
                    self.listener.notify(event)
                scope.deadline = anyio.current_time() + DRAIN_S

            self.interruption.drain_with(drain)
            yield

    def counted(self, ending: Exit) -> Summary:
        """Return a summary of the requests so far, without counts of items."""
        return Summary(
            verb=self.verb,
            exit=ending,
            run_id=self.scope.run_id,
            batch=self.batch,
            account=self._lane.account if self._lane else None,
            region=self._lane.region if self._lane else None,
            adopted=self.tally.adopted,
            bound=self.tally.bound,
            requests=dict(self.tally.requests),
            throttled=self.tally.throttled,
            elapsed_s=self.scope.elapsed_s,
            unreached_for_s=self._unreached_for_s,
        )

    def summed_up(self, rows: Mapping[str, Known], ending: Exit) -> Summary:
        """Return a summary that counts every item of the manifest by its row in the ledger, by item id."""
        states = Counter(state_of_row(rows.get(item.item_id)).value for item in self.prepared.items)
        return replace(self.counted(ending), states=states, items=len(self.prepared.items))

    async def counted_by_ledger(self, ledger: LedgerWriter, summary: Summary) -> Summary:
        """Return a summary that counts every item as the ledger has it."""
        known: Sequence[Known] = ()
        with suppress(LedgerUnusable):
            known = await ledger.known(self.batch)
        counted = self.summed_up(self.rows_by_id(known), summary.exit)
        return replace(summary, states=counted.states, items=counted.items)

    def rows_by_id(self, known: Sequence[Known]) -> Mapping[str, Known]:
        """Return the row of each item that is shown of it, by item id. `known` are all rows of the batch."""
        rows = BatchRows.of(known)
        found = {item.item_id: shown_row(item, rows) for item in self.prepared.items}
        return {item_id: row for item_id, row in found.items() if row is not None}

    async def record_result(self, ledger: LedgerWriter, reached: Reached, summary: Summary) -> None:
        """Record the end of a run that `begin_run` began, and the rates that it learned. Raises LedgerUnusable."""
        now = self.clock.now()
        await ledger.learn(learned(reached.laws, self.tally, now=now))
        await ledger.end_run(self.scope.run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=now)

    async def visible(self, ledger: LedgerWriter, ending: Exit) -> Exit:
        """Return the exit as it is reported (`made_visible`), and note for how long no run has got an answer."""
        if ending.code is not ExitCode.TRANSIENT:
            return ending
        since = await ledger.failing_since()
        seen, self._unreached_for_s = made_visible(ending, failing_since=since, now=self.clock.now())
        return seen

    async def ended_by_deadline(self, ledger: LedgerWriter) -> RunEnd:
        """Record that the deadline came before the work could begin, and return that as the result."""
        deadline = self.counted(exit_of(ExitCode.DEADLINE))
        await record_end(ledger, deadline, elapsed_s=self.scope.elapsed_s)
        return self.ended_early(deadline)

    async def _reach_and_work(self, ledger: LedgerWriter) -> RunEnd:
        """Reach the lane and do the work. An end without a result is recorded as a run."""
        async with AsyncExitStack() as stack:
            try:
                remembered = await ledger.rates()
                reached: Reached | None = None
                async with time_limit(self.scope.left_s, self.clock), self.scope.starting:
                    reaching = reach(
                        self.settings,
                        self.observer,
                        remembered=remembered,
                        ask=self.scope.ask,
                        accounts=self.scope.shared.accounts,
                        local_url=self.scope.shared.local_url,
                    )
                    reached = await stack.enter_async_context(reaching)
                if reached is not None:
                    self._lane = reached.lane
                    ledger.act_as(reached.principal)
                    self._share_lane(ledger, reached)
                    async with time_limit(self.time_limit_s(), self.clock):
                        return await self.work(ledger, reached)
            except BatchUploadError as error:
                if isinstance(error, LedgerFault):
                    await self._record_error(ledger, error)
                    raise
                reported, seen = error, await self.visible(ledger, Exit(error.exit_code, error.message))
                if seen.code is not error.exit_code:  # transient for a day
                    reported = AccessFault(seen.reason, code="Unreached", hint=error.hint or UNREACHED_HINT)
                await self._record_error(ledger, reported)
                if reported is error:
                    raise
                raise reported from error
            except BaseException as error:
                await self._record_error(ledger, error)
                raise
            return await self.ended_by_deadline(ledger)

    def _share_lane(self, ledger: LedgerWriter, reached: Reached) -> None:
        """Let requests leave to the lane only as long as no other run can have taken it over, and notify the listener
        of a wait for one that holds it."""

        def check() -> None:
            if self.clock.monotonic() >= ledger.may_send_until():
                message = "the lane's lease was not renewed in time: the request was not sent"
                raise NotSent(message, code="RightLapsed")

        def tell_waiting(error: LedgerLocked) -> None:
            self.listener.notify(Notice(f"{error.message}; waiting for it to end", self.clock.now()))

        ledger.on_wait(tell_waiting)
        reached.service.before_send(check)
        reached.wire.send_while(ledger.may_send_until)

    async def _record_error(self, ledger: LedgerWriter, error: BaseException) -> None:
        code = self.interruption.code or ExitCode.OUR_FAULT
        await record_error(ledger, error, self.counted, interrupted=code, elapsed_s=self.scope.elapsed_s)


async def record_error(
    ledger: LedgerWriter,
    error: BaseException,
    counted: Callable[[Exit], Summary],
    *,
    interrupted: ExitCode,
    elapsed_s: float,
) -> None:
    """Record that an error ended a run, or with `interrupted` that its task was cancelled. A usage error is no run, and
    a lane that another run holds is that run's.

    `counted` makes the summary. Takes DRAIN_S at most.
    """
    match error:
        case UsageError() | LedgerLocked():
            return
        case BatchUploadError():
            ending = Exit(error.exit_code, error.message)
        case _:
            ending = exit_of(interrupted)
    with anyio.move_on_after(DRAIN_S, shield=True):
        await record_end(ledger, counted(ending), elapsed_s=elapsed_s)


async def record_end(ledger: LedgerWriter, summary: Summary, *, elapsed_s: float = 0.0) -> None:
    """Record the end of a run. A ledger that cannot be written changes nothing of the run."""
    now = SystemClock().now()
    with suppress(LedgerFault):
        await ledger.record_end(
            summary.run_id or "",
            verb=summary.verb,
            batch=summary.batch or "",
            began_at=now - timedelta(seconds=elapsed_s),
            exit_code=summary.exit.code,
            summary=summary.as_json(),
            at=now,
        )
