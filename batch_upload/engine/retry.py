"""The one owner of retries, and the one way to the wire: slot, request, count, and only then again.

Positive list (CONTRIBUTING, "Retries"): only what passes by itself is tried again. Full jitter as in AWS's
"Exponential backoff and jitter": a delay drawn from 0 to min(cap, base × 2^n).
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from batch_upload.engine.lane import LaneControl, Withheld
from batch_upload.engine.outcome import fault_of, kind_of
from batch_upload.errors import NoAnswer, OutOfResources, ServiceError, Throttled, Transient
from batch_upload.events import Notice, Requested, Retrying
from batch_upload.model import OutcomeKind
from batch_upload.operations import CREATE
from batch_upload.pacing import Pacer, Slot
from batch_upload.ports import Clock, Observer

T = TypeVar("T")

CUT_OFF = "the run ended before an answer came"


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
    unanswered_cap_s: float = 20.0
    shortage_max_s: float = 60.0
    """How long requests of one kind wait, all together, for descriptors, memory or threads: after that what is left is
    for the next run."""
    shortage_pause_s: float = 1.0
    """Between two tries meanwhile, on average."""

    def ceiling_s(self, error: Transient, tries: int) -> float:
        """The upper end of the jittered delay after the `tries`-th failure of this kind, counted from 1."""
        cap_s = self.throttled_cap_s if isinstance(error, Throttled) else self.unanswered_cap_s
        return min(cap_s, self.base_s * 2.0 ** min(tries, 20))


CONVENIENCE = RetryPolicy(unanswered_max=3, throttled_max=5)
"""For what is good to know and not needed: nobody should wait long for it."""
NOT_ALLOWED = frozenset({"AccessDeniedException", "401", "403"})
"""Codes of a missing permission, and of a refusal by somebody who is not AWS: no reason to do without the rest."""


@dataclass(slots=True)
class Tries:
    """How often one request has failed in passing, by kind."""

    throttled: int = 0
    unanswered: int = 0

    def count(self, error: Transient) -> int:
        """Count one more; how many of its kind there are now."""
        if isinstance(error, Throttled):
            self.throttled += 1
            return self.throttled
        self.unanswered += 1
        return self.unanswered

    def used_up(self, policy: RetryPolicy) -> bool:
        return self.unanswered >= policy.unanswered_max or self.throttled >= policy.throttled_max


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
        self._shortages: dict[bool, tuple[float, OutOfResources]] = {}
        """Of creates and of the rest: since when, and of what, there has not been enough."""
        self._told_of_shortage = False

    def rate(self, operation: str) -> float:
        """The pace of an operation now, in calls a second."""
        return self._pacers[operation].rate

    async def slot(self, operation: str) -> Slot:
        """Wait for a slot. Raises Withheld if the run stops meanwhile."""
        pacer, to_create = self._pacers[operation], operation == CREATE
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
    ) -> T:
        """Send one request in a slot, and tell the pacer and the observer what became of it."""
        started, to_create = self._clock.monotonic(), operation == CREATE
        try:
            answer = await request()
            slot.accepted()
            self._shortages.pop(to_create, None)
        except ServiceError as error:
            self._report(slot, error)
            if isinstance(error, OutOfResources):
                self.report_shortage(error, to_create=to_create)
            else:
                self._shortages.pop(to_create, None)
            if kind_of(error) is not OutcomeKind.WITHDRAWN:
                self._tell(operation, error, started, item_id)
            raise
        except anyio.get_cancelled_exc_class():
            self._tell(operation, NoAnswer(CUT_OFF, code="Cancelled"), started, item_id)
            raise
        finally:
            slot.unanswered()  # only where nothing was reported: cancelled, or a fault of ours
        self._tell(operation, None, started, item_id)
        return answer

    async def call(
        self, operation: str, request: Callable[[], Awaitable[T]], *, policy: RetryPolicy | None = None
    ) -> T:
        """A read: sent, and sent again while it fails in passing. Raises the last error when the tries are used up.

        `policy` is the run's own unless it is given. A shortage is waited for, `shortage_max_s` at most for all reads
        that find one in turn: then each raises OutOfResources at once, until one has found what it needs.
        """

        async def once() -> T:
            return await self.send(operation, await self.slot(operation), request)

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
        """Run `once`, again and again while it raises Throttled or NoAnswer and the policy allows it."""
        rules = policy or self._policy

        def delay(state: RetryCallState) -> float:
            error = _transient(state)
            delay_s = self._chance.uniform(0, rules.ceiling_s(error, tries.count(error)))
            if isinstance(error, Throttled) and error.retry_after_s is not None:
                delay_s += error.retry_after_s
            return delay_s

        def tell(state: RetryCallState) -> None:
            delay_s = state.next_action.sleep if state.next_action else 0.0
            fault = fault_of(_transient(state))
            self._observer.notify(Retrying(operation, item_id, fault, delay_s, self._clock.now()))

        async def sleep(seconds: float) -> None:
            with self._lane.waiting(to_create=operation == CREATE):
                await self._clock.sleep(seconds)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type((Throttled, NoAnswer)),
            wait=delay,
            sleep=sleep,
            before_sleep=tell,
            stop=lambda _: tries.used_up(rules),
            reraise=True,
        )
        return await retrying(once)

    @staticmethod
    def _report(slot: Slot, error: ServiceError) -> None:
        if isinstance(error, NoAnswer | OutOfResources):
            slot.unanswered()
        elif isinstance(error, Throttled):
            slot.throttled(error.retry_after_s)
        else:
            slot.accepted()  # the limiter let it through, whatever was refused then

    def _tell(self, operation: str, error: ServiceError | None, started: float, item_id: str | None) -> None:
        self._observer.notify(
            Requested(
                operation=operation,
                outcome=kind_of(error),
                latency_s=self._clock.monotonic() - started,
                item_id=item_id,
                request_id=error.request_id if error else None,
                fault=fault_of(error) if error else None,
                at=self._clock.now(),
                rate=self.rate(operation),
            )
        )


def _transient(state: RetryCallState) -> Transient:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, Transient):
        raise TypeError("only a Transient is retried")
    return error
