"""The one owner of retries, and the one way to the wire: slot, request, count, and only then again.

Positive list (CONTRIBUTING, "Retries"): only what passes by itself is tried again. Full jitter as in AWS's
"Exponential backoff and jitter": a delay drawn from 0 to min(cap, base × 2^n).
"""

import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Generic, TypeVar, cast

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from batch_upload.engine.lane import LaneControl, Withheld
from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    NoAnswer,
    NotSent,
    OutOfResources,
    Refused,
    ServiceError,
    Throttled,
    Transient,
    with_causes,
)
from batch_upload.events import Notice, Requested, Retrying
from batch_upload.model import Fault, Outcome, OutcomeKind
from batch_upload.operations import CREATE
from batch_upload.pacing import Pacer, Slot
from batch_upload.ports import Clock, Observer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on. Delays in seconds.

    Unanswered attempts are few: each may have cost the service its work. Throttled ones are many: they cost nothing
    but their slot, and the pacer has slowed down already.
    """

    unanswered_max: int = 10
    throttled_max: int = 100
    base_s: float = 0.25
    throttled_cap_s: float = 5.0
    """After the second throttle in turn: after the first, the pacer has slowed down, and the next slot is soon enough.
    With one worker at work no other would use that slot."""
    unanswered_cap_s: float = 20.0
    shortage_max_s: float = 60.0
    """How long requests of one kind wait, all together, for descriptors, memory or threads: after that what is left is
    for the next run."""
    shortage_pause_s: float = 1.0
    """Between two tries meanwhile, on average."""

    def ceiling_s(self, error: Transient, tries: int) -> float:
        """Return the upper end of the jittered delay after the `tries`-th failure of this kind, counted from 1."""
        if isinstance(error, Throttled):
            return 0.0 if tries == 1 else min(self.throttled_cap_s, self.base_s * 2.0 ** min(tries - 1, 20))
        return min(self.unanswered_cap_s, self.base_s * 2.0 ** min(tries, 20))


CONVENIENCE = RetryPolicy(unanswered_max=3, throttled_max=5)
"""For answers that a run can do without: it does not wait long for them."""
NOT_ALLOWED = frozenset({"AccessDeniedException", "401", "403"})
"""Codes of a missing permission, and of a refusal by somebody who is not AWS: no reason to do without the rest."""

RIGHT_POLL_S = 0.25
"""Seconds between two looks whether requests may leave to the lane again."""


@dataclass(slots=True)
class Tries:
    """How often one request has failed in passing, by kind."""

    throttled: int = 0
    unanswered: int = 0

    def count(self, error: Transient) -> None:
        """Count one more of its kind."""
        if isinstance(error, Throttled):
            self.throttled += 1
        else:
            self.unanswered += 1

    def of_kind(self, error: Transient) -> int:
        """Return how many errors of this kind were counted."""
        return self.throttled if isinstance(error, Throttled) else self.unanswered

    def used_up(self, policy: RetryPolicy) -> bool:
        return self.unanswered >= policy.unanswered_max or self.throttled >= policy.throttled_max


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """How one request ended: with a value or an error, and what that means for the ledger."""

    outcome: Outcome
    value: T | None = None
    error: ServiceError | None = None

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast(T, self.value)


def outcome_of(error: ServiceError | None, at: datetime) -> Outcome:
    """Classify how a request ended; None is a success. The outcome of a create lacks only its receipt."""
    if error is None:
        return Outcome(OutcomeKind.ACCEPTED, at)
    match error:
        case Throttled():
            kind = OutcomeKind.THROTTLED
        case OutOfResources(may_have_left=False) | NotSent():
            kind = OutcomeKind.WITHDRAWN
        case Transient():
            kind = OutcomeKind.UNKNOWN
        case CapacityExhausted():
            kind = OutcomeKind.NO_CAPACITY
        case AccessFault():
            kind = OutcomeKind.DENIED
        case _:
            kind = OutcomeKind.REFUSED
    until = resume_after(error, at) if isinstance(error, CapacityExhausted) else None
    return Outcome(kind, at, None, fault_of(error), error.request_id, error.status, until)


def cut_off(at: datetime) -> Outcome:
    """Return the outcome of a request that was cancelled before its answer came."""
    return outcome_of(NoAnswer("the run ended before an answer came", code="Cancelled"), at)


def fault_of(error: ServiceError) -> Fault:
    """Return an error as it is kept and shown."""
    refused = error if isinstance(error, Refused) else None
    return Fault(
        code=error.code or type(error).__name__,
        message=error.message,
        reason=error.reason,
        fields=refused.fields if refused else (),
        resource_id=refused.resource_id if refused else None,
    )


def resume_after(error: CapacityExhausted, now: datetime) -> datetime | None:
    """Return when a full lane may be tried again: the next UTC midnight for the day's quota, None for the account's."""
    if isinstance(error, AccountFull):
        return None
    tomorrow = now.astimezone(UTC).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=UTC)


def _forget_frames(error: BaseException) -> None:
    """Take from an error, and from those that led to it, the frames that they went through."""
    for each in with_causes(error):
        each.__traceback__ = None


class Wire:
    """Every request of a run goes through here: paced by its operation, counted, reported, retried."""

    def __init__(
        self,
        pacers: Mapping[str, Pacer],
        *,
        lane: LaneControl,
        clock: Clock,
        observer: Observer,
        policy: RetryPolicy,
        chance: random.Random,
    ) -> None:
        self._pacers = pacers
        self._lane = lane
        self._clock = clock
        self._observer = observer
        self._policy = policy
        self._chance = chance
        self._least_s: dict[str, float] = {}
        self._shortages: dict[bool, tuple[float, OutOfResources]] = {}
        """Of creates and of the rest: since when, and of what, there has not been enough."""
        self._told_of_shortage = False
        self._may_send_until: Callable[[], float] = lambda: math.inf

    def send_while(self, may_send_until: Callable[[], float]) -> None:
        """From now on give no slot beyond this moment of the clock (`LedgerWriter.may_send_until`)."""
        self._may_send_until = may_send_until

    def rate(self, operation: str) -> float:
        """Return the pace of an operation now, in calls a second."""
        return self._pacers[operation].rate

    def least_latency_s(self, operation: str) -> float:
        """Return the least time that a successful request of an operation has taken, in seconds; 0 before the first."""
        return self._least_s.get(operation, 0.0)

    def expect(self, operation: str, calls: int) -> None:
        """Tell the pacer of an operation how many calls are left, so that it plans for the whole run."""
        self._pacers[operation].expect(calls)

    async def slot(self, operation: str) -> Slot:
        """Wait for a slot, and before it until requests may leave to the lane.

        Raises Withheld if the run stops meanwhile, and LedgerFault if the lane cannot be written any more.
        """
        pacer, to_create = self._pacers[operation], operation == CREATE
        while self._clock.monotonic() >= self._may_send_until():
            with self._lane.waiting(to_create=to_create):
                await self._clock.sleep(RIGHT_POLL_S)
        slot = None if self._lane.is_stopped(to_create=to_create) else pacer.slot_at_once()
        if slot is not None:
            return slot
        try:
            with self._lane.waiting(to_create=to_create):
                slot = await pacer.slot()
        except Withheld:
            if slot is not None:
                slot.unanswered()
            raise
        return slot

    async def send(
        self, operation: str, slot: Slot, request: Callable[[], Awaitable[T]], *, item_id: str | None = None
    ) -> Answer[T]:
        """Send one request in a slot, and tell the pacer and the observer what became of it.

        Faults of the service are returned; what else is raised is a cancellation, or a fault of ours.
        """
        started = self._clock.monotonic()
        try:
            value = await request()
            answer = Answer(outcome_of(None, self._clock.now()), value)
            took_s = self._clock.monotonic() - started
            self._least_s[operation] = min(took_s, self._least_s.get(operation, took_s))
        except ServiceError as error:
            _forget_frames(error)  # they hold the document, and a retry may be a minute away
            answer = Answer(outcome_of(error, self._clock.now()), error=error)
        except anyio.get_cancelled_exc_class():
            slot.unanswered()
            self._tell(operation, cut_off(self._clock.now()), started, item_id)
            raise
        except BaseException:
            slot.unanswered()
            raise
        match answer.error:
            case Throttled(retry_after_s=retry_after_s):
                slot.throttled(retry_after_s)
            case NoAnswer() | NotSent() | OutOfResources():
                slot.unanswered()
            case _:
                slot.accepted()  # the limiter let it through, whatever was refused then
        if isinstance(answer.error, OutOfResources):
            self.report_shortage(answer.error, to_create=operation == CREATE)
        else:
            self._shortages.pop(operation == CREATE, None)
        if answer.outcome.kind is not OutcomeKind.WITHDRAWN:
            self._tell(operation, answer.outcome, started, item_id)
        return answer

    async def call(
        self, operation: str, request: Callable[[], Awaitable[T]], *, policy: RetryPolicy | None = None
    ) -> T:
        """A read: sent, and sent again while it fails in passing. Raises the last error when the tries are used up.

        `policy` is the run's own unless it is given. A shortage is waited for, `shortage_max_s` at most for all reads
        that find one in turn: then each raises OutOfResources at once, until one has found what it needs.
        """

        async def once() -> T:
            return (await self.send(operation, await self.slot(operation), request)).result()

        while True:
            try:
                return await self.retried(operation, once, Tries(), policy=policy)
            except OutOfResources:
                await self.wait_for_resources(to_create=False)

    async def wait_for_resources(self, *, to_create: bool) -> None:
        """Give others time to free what is short.

        Raises OutOfResources once that has gone on for `shortage_max_s`, and Withheld if the run stops meanwhile.
        """
        shortage = self._shortages.get(to_create)  # none where another request has found what it needs meanwhile
        if shortage is not None and self._clock.monotonic() - shortage[0] >= self._policy.shortage_max_s:
            raise shortage[1]
        pause_s = self._policy.shortage_pause_s
        with self._lane.waiting(to_create=to_create):
            await self._clock.sleep(self._chance.uniform(pause_s / 2, pause_s * 3 / 2))

    def report_shortage(self, error: OutOfResources, *, to_create: bool) -> None:
        """Remember since when something is short, and say so once a run, with what to do about it."""
        since, _ = self._shortages.get(to_create, (self._clock.monotonic(), error))
        self._shortages[to_create] = since, error
        if not self._told_of_shortage:
            self._told_of_shortage = True
            message = f"{error.message}: the run goes on with fewer calls at once; {error.hint}"
            self._observer.notify(Notice(message, self._clock.now()))

    async def retried(
        self,
        operation: str,
        once: Callable[[], Awaitable[T]],
        tries: Tries,
        *,
        item_id: str | None = None,
        policy: RetryPolicy | None = None,
    ) -> T:
        """Run `once`, again and again while it raises Throttled, NoAnswer or NotSent and the policy allows it."""
        rules = policy or self._policy
        states: set[RetryCallState] = set()

        def error_of(state: RetryCallState) -> Transient:
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, Transient):
                raise TypeError("only a Transient is retried")
            return error

        def delay(state: RetryCallState) -> float:
            error = error_of(state)
            delay_s = self._chance.uniform(0, rules.ceiling_s(error, tries.of_kind(error)))
            if isinstance(error, Throttled) and error.retry_after_s is not None:
                delay_s += error.retry_after_s
            return delay_s

        def tell(state: RetryCallState) -> None:
            delay_s = state.next_action.sleep if state.next_action else 0.0
            retrying = Retrying(operation, item_id, fault_of(error_of(state)), delay_s, self._clock.now())
            self._observer.notify(retrying)

        async def sleep(seconds: float) -> None:
            with self._lane.waiting(to_create=operation == CREATE):
                await self._clock.sleep(seconds)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Throttled, NoAnswer, NotSent)),
            before=states.add,
            after=lambda state: tries.count(error_of(state)),
            wait=delay,
            sleep=sleep,
            before_sleep=tell,
            stop=lambda _: tries.used_up(rules),
            reraise=True,
        )
        try:
            return await retrying(once)
        except anyio.get_cancelled_exc_class() as cancelled:
            _forget_frames(cancelled)  # the task group keeps the error, and the error the frame that has the document
            raise
        finally:
            for state in states:  # one: its outcome holds the error, whose frames hold the state
                state.outcome = None

    def _tell(self, operation: str, outcome: Outcome, started: float, item_id: str | None) -> None:
        self._observer.notify(
            Requested(
                operation=operation,
                outcome=outcome.kind,
                latency_s=self._clock.monotonic() - started,
                item_id=item_id,
                request_id=outcome.request_id,
                fault=outcome.fault,
                at=outcome.at,
                rate=self.rate(operation),
            )
        )
