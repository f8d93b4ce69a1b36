"""What a run has done so far and how long the rest will take. Fed by events; knows no clock, terminal or format."""

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batch_upload.events import ItemChanged, LaneStopped, Requested, RunStarted, Sending
from batch_upload.model import Action, ActionKind, Known, OutcomeKind, Plan, State
from batch_upload.operations import CREATE
from batch_upload.report.estimate import run_s, steady_rate

RATE_WINDOW_S = 10
SLOW_RATE_WINDOW_S = 60
"""Where fewer than `ENOUGH_CREATES` fall into the short window, its rate would jump about."""
ENOUGH_CREATES = 5
FAILURES_SHOWN = 3

_SENT_OR_ASKED = frozenset({ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE})


@dataclass(frozen=True, slots=True)
class Eta:
    """How long a run will still send, in seconds, and when that ends. `by_capacity`: it ends before all is sent."""

    left_s: float
    ends_at: datetime
    by_capacity: bool


def awaited_ids(plan: Plan) -> set[str]:
    """The items that a run of this plan will end: what it sends, resolves, or finds still processing."""
    return {action.item_id for action in plan.actions if _is_awaited(action)}


def is_left_processing(action: Action) -> bool:
    """Whether nothing is sent for the item, but an earlier run did, and the service is still at work."""
    known = action.known
    return action.kind is ActionKind.UNCHANGED and known is not None and known.state is State.PROCESSING


def eta(
    *,
    waiting: int,
    capacity_left: int | None,
    rate_per_s: float | None,
    at: datetime,
    created: int = 0,
    used: int = 0,
    settles: bool = True,
) -> Eta | None:
    """When the last of `waiting` items is complete, at this rate of creates and within this capacity.

    `created` attachments are watched besides; `used` of the capacity were there before. `settles`: the service is
    still at work on what it has taken.

    None where nothing waits, where the rate is 0 or not known, or where the end is further off than a calendar goes.
    """
    creates = waiting if capacity_left is None else min(waiting, capacity_left)
    if creates <= 0 or rate_per_s is None or rate_per_s <= 0:
        return None
    watched = creates + created
    left_s = run_s(creates, watched if settles else 0, rate_per_s, lane_size=used + watched)
    try:
        ends_at = at + timedelta(seconds=left_s)
    except OverflowError:
        return None
    return Eta(left_s=left_s, ends_at=ends_at, by_capacity=creates < waiting)


def rate_per_s(creates_by_second: Iterable[tuple[int, int]], *, started: float, now: float) -> float | None:
    """Creates a second over the last seconds, from counts of whole seconds; None before the first second is over.

    `started` and `now` are on the scale of the seconds. The window is short, and longer where little happens.
    """
    counts = tuple(creates_by_second)
    for window_s in (RATE_WINDOW_S, SLOW_RATE_WINDOW_S):
        begin = max(math.floor(now) - window_s, started)
        created = sum(count for second, count in counts if second >= math.floor(begin))
        if created >= ENOUGH_CREATES:
            break
    span_s = now - begin
    return created / span_s if span_s >= 1 else None


class Tally:
    """Counts of one run. Take every event in order; read whenever."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.stopped: LaneStopped | None = None
        self.total = 0
        self.created = 0
        self.throttled = 0
        self.learned_rate: float | None = None
        """The pace that the run holds now, in creates a second, or None before the first answer."""
        self.failures: deque[Known] = deque(maxlen=FAILURES_SHOWN)
        self._in_flight: dict[str, None] = {}
        self._ended: Counter[State] = Counter()
        self._awaited: set[str] = set()
        self._processing: set[str] = set()
        self._is_settling = False
        """Whether anything that was created was not complete at once."""
        self._creates_by_second: deque[tuple[int, int]] = deque()

    def take(self, event: object) -> None:
        """Count one event; those that change no count are passed over."""
        if isinstance(event, ItemChanged):
            self._take_change(event)
        elif isinstance(event, Sending):
            self._in_flight[event.item_id] = None
        elif isinstance(event, Requested):
            self._take_answer(event)
        elif isinstance(event, RunStarted):
            self.started = event
            self._awaited = awaited_ids(event.plan)
            self.total = len(self._awaited)
            self._processing = {action.item_id for action in event.plan.actions if is_left_processing(action)}
        elif isinstance(event, LaneStopped):
            self.stopped = event

    @property
    def in_flight(self) -> list[str]:
        """The items whose create was sent and not answered yet, the longest first."""
        return list(self._in_flight)

    @property
    def all_sent(self) -> bool:
        """Whether nothing is left to do but to wait for the service."""
        return self.total > 0 and self.ended + self.processing == self.total and self.processing > 0

    @property
    def ended(self) -> int:
        """Items for which nothing more will be done in this run."""
        return self._ended.total()

    @property
    def done(self) -> int:
        """Items that ended well: complete, or created where nobody waits for more."""
        return self._ended[State.COMPLETE] + self._ended[State.PROCESSING]

    @property
    def sent(self) -> int:
        """Items for which nothing is left to be sent in this run. The service may still be at work on them."""
        return self.done + self.failed + self.processing

    @property
    def failed(self) -> int:
        """Items that ended as `failed`."""
        return self._ended[State.FAILED]

    @property
    def parked(self) -> int:
        """Items that ended as `parked`."""
        return self._ended[State.PARKED]

    @property
    def open(self) -> int:
        """Items that ended for this run without an end of their own: the next run goes on with them."""
        return self.ended - self.done - self.failed - self.parked

    @property
    def processing(self) -> int:
        """Attachments that were created and that the service still works at."""
        return len(self._processing)

    def rate_per_s(self, at: datetime) -> float | None:
        """Creates a second over the last seconds; None where too little is known."""
        if self.started is None:
            return None
        return rate_per_s(self._creates_by_second, started=self.started.at.timestamp(), now=at.timestamp())

    def eta(self, at: datetime) -> Eta | None:
        """When all is done: at the rate learned, or at the run's first rate as long as nothing was created."""
        if self.started is None or self.stopped is not None:
            return None
        capacity = self.started.capacity
        return eta(
            waiting=self.total - self.ended - self.processing,
            capacity_left=None if capacity is None else max(0, capacity.left - self.created),
            rate_per_s=steady_rate(self.learned_rate, self._seen_rate(at)) if self.created else self.started.rate,
            at=at,
            created=self.created,
            used=0 if capacity is None else capacity.used,
            settles=self._is_settling or not self.created,
        )

    def _seen_rate(self, at: datetime) -> float | None:
        """Creates a second over the last seconds, once there were enough of them to tell."""
        if self.started is None:
            return None
        old_enough = self.learned_rate is None or (at - self.started.at).total_seconds() >= SLOW_RATE_WINDOW_S
        return self.rate_per_s(at) if old_enough else None

    def _take_answer(self, event: Requested) -> None:
        self.throttled += event.outcome is OutcomeKind.THROTTLED
        if event.operation != CREATE:
            return
        if event.rate is not None:
            self.learned_rate = event.rate
        if event.item_id is not None:
            self._in_flight.pop(event.item_id, None)

    def _take_change(self, event: ItemChanged) -> None:
        known = event.known
        if event.created:
            self._count_create(event.at)
            self._is_settling = self._is_settling or known.state is State.PROCESSING
        if not event.ended:
            (self._processing.add if known.state is State.PROCESSING else self._processing.discard)(known.item_id)
            return
        self._processing.discard(known.item_id)
        if known.item_id not in self._awaited:
            return
        self._awaited.discard(known.item_id)
        self._ended[known.state] += 1
        if known.state is State.FAILED:
            self.failures.append(known)

    def _count_create(self, at: datetime) -> None:
        self.created += 1
        second = math.floor(at.timestamp())
        buckets = self._creates_by_second
        if buckets and buckets[-1][0] >= second:
            buckets[-1] = (buckets[-1][0], buckets[-1][1] + 1)
        else:
            buckets.append((second, 1))
        while buckets[0][0] < second - SLOW_RATE_WINDOW_S:
            buckets.popleft()


def _is_awaited(action: Action) -> bool:
    return action.kind in _SENT_OR_ASKED or is_left_processing(action)
