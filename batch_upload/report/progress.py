"""The progress of one run: what is done, how fast, and how long the rest takes. Fed by events alone."""

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batch_upload.actions import Action, ActionKind
from batch_upload.events import ItemChanged, LaneStopped, LeaseChanged, Requested, RunStarted, Sending
from batch_upload.model import Known, OutcomeKind, State
from batch_upload.operations import CREATE, PUT_FIELD
from batch_upload.report.estimate import BINDS_PER_S, run_s, steady_rate

RATE_WINDOW_S = 10
SLOW_RATE_WINDOW_S = 60
"""Used where fewer than `ENOUGH_CREATES` fall into the short window, whose rate would jump about."""
ENOUGH_CREATES = 5
FAILURES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Eta:
    """How long a run will still send, in seconds, and when that ends. `by_capacity`: it ends before all is sent."""

    left_s: float
    ends_at: datetime
    by_capacity: bool


def is_left_processing(action: Action) -> bool:
    """Return whether nothing is sent for the item because the service still processes what an earlier run sent."""
    known = action.known
    return action.kind is ActionKind.UNCHANGED and known is not None and known.state is State.PROCESSING


def is_awaited(action: Action) -> bool:
    """Return whether a run brings the item to an end: sends, resolves or binds it, or finds it still processing."""
    kinds = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.BIND)
    return action.kind in kinds or is_left_processing(action)


def recent_rate(creates_by_second: Iterable[tuple[int, int]], *, started: float, now: float) -> float | None:
    """Return creates a second over the last seconds, from counts of whole seconds; None in the first second.

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


class RunProgress:
    """Counts of one run. Pass every event to `notify` in order; read at any time."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.stopped: LaneStopped | None = None
        self.taken: LeaseChanged | None = None
        """When the lane's lease in PostgreSQL was taken; `given_back`: when the run gave it back or lost it."""
        self.given_back: LeaseChanged | None = None
        self.states: Counter[str] = Counter()
        """Every item of the manifest by state, once the run has started."""
        self.total = 0
        """Items that the run brings to an end."""
        self.created = 0
        self.created_bytes = 0
        self.requests: Counter[str] = Counter()
        """Requests by operation."""
        self.throttled_requests: Counter[str] = Counter()
        self.rates: dict[str, float] = {}
        """The pace that the run keeps now by operation, in requests a second; absent before a first answer."""
        self.failures: deque[Known] = deque(maxlen=FAILURES_SHOWN)
        self._in_flight: dict[str, None] = {}
        self._awaited: dict[str, State] = {}
        """The items of `total` that have not ended, with their states."""
        self._counts: Counter[tuple[State, bool]] = Counter()
        """Their number by state, and by whether they are still to be put into a field."""
        self._to_bind: set[str] = set()
        """Those that are still to be put into a field."""
        self._others: dict[str, State] = {}
        """Items outside `total` that may change nevertheless: their tags do, or they are parked or failed."""
        self._ended: Counter[State] = Counter()
        self._is_settling = False
        """Whether anything that was created was not complete at once."""
        self._creates_by_second: deque[tuple[int, int]] = deque()

    def notify(self, event: object) -> None:
        """Count one event; ignore those that change no count."""
        match event:
            case ItemChanged():
                self._count_change(event)
            case Sending():
                self._in_flight[event.item_id] = None
            case Requested():
                self.requests[event.operation] += 1
                self.throttled_requests[event.operation] += event.outcome is OutcomeKind.THROTTLED
                if event.rate is not None:
                    self.rates[event.operation] = event.rate
                if event.operation == CREATE and event.item_id is not None:
                    self._in_flight.pop(event.item_id, None)
            case RunStarted():
                self._begin(event)
            case LaneStopped():
                self.stopped = event
            case LeaseChanged(is_held=True):
                self.taken, self.given_back = event, None
            case LeaseChanged():
                self.given_back = event

    @property
    def throttled(self) -> int:
        """Requests that the service throttled, of all operations."""
        return self.throttled_requests.total()

    @property
    def learned_rate(self) -> float | None:
        """The pace that the run keeps now, in creates a second; None before the first answer."""
        return self.rates.get(CREATE)

    @property
    def in_flight(self) -> list[str]:
        """Ids of the items whose create was sent and not answered yet, the longest first."""
        return list(self._in_flight)

    @property
    def is_all_sent(self) -> bool:
        """Whether no create is left, and the run waits for the service or puts attachments into fields."""
        return self.total > 0 and self.to_create == 0 and self.ended < self.total

    @property
    def to_create(self) -> int:
        """Items of the run whose attachment is not known to exist yet."""
        return self.total - self.ended - self.processing - self.binding

    @property
    def processing(self) -> int:
        """Items of the run that were created and that the service still processes."""
        return self._counts[State.PROCESSING, True] + self._counts[State.PROCESSING, False]

    @property
    def binding(self) -> int:
        """Items of the run with which the service has finished, and that are not in their field yet."""
        return self._counts[State.BINDING, True] + self._counts[State.BINDING, False]

    @property
    def binds_left(self) -> int:
        """Items of the run that are still to be put into a field, those that are not created yet included."""
        return len(self._to_bind)

    @property
    def ended(self) -> int:
        """Items for which nothing more will be done in this run."""
        return self._ended.total()

    @property
    def done(self) -> int:
        """Items that ended well: complete, or created in a run that does not wait for more."""
        return self._ended[State.COMPLETE] + self._ended[State.PROCESSING]

    @property
    def sent(self) -> int:
        """Items for which nothing is left to be sent in this run: neither a document nor its bind.

        The service may still process them.
        """
        return self.done + self.failed + self._counts[State.PROCESSING, False]

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
        """Items that ended in a state from which the next run goes on."""
        return self.ended - self.done - self.failed - self.parked

    def rate_per_s(self, at: datetime) -> float | None:
        """Return creates a second over the last seconds; None where too little is known."""
        if self.started is None:
            return None
        return recent_rate(self._creates_by_second, started=self.started.at.timestamp(), now=at.timestamp())

    @property
    def bind_rate(self) -> float:
        """The pace of binds in requests a second: as the run has learned it, else the documented rate."""
        return self.rates.get(PUT_FIELD) or BINDS_PER_S

    def eta(self, at: datetime) -> Eta | None:
        """Return when all is done: at the rate learned, or at the run's first rate as long as nothing was created.

        None where nothing waits, where the rate is 0 or not known, and where the end is beyond the calendar. Once all
        is created, it is told only as long as attachments are put into fields.
        """
        if self.started is None or self.stopped is not None:
            return None
        rate: float | None = self.started.rate
        if self.created:
            # a young run has seen too few creates to say that it is slower than the rate it has learned
            is_old_enough = (at - self.started.at).total_seconds() >= SLOW_RATE_WINDOW_S
            seen = self.rate_per_s(at) if is_old_enough or self.learned_rate is None else None
            rate = steady_rate(self.learned_rate, seen)
        creates = waiting = self.to_create
        capacity, used = self.started.capacity, 0
        if capacity is not None:
            creates, used = min(waiting, max(0, capacity.left - self.created)), capacity.used
        binds = max(0, self.binds_left - (waiting - creates))  # what finds no room is not bound either
        if not creates:
            rate = self.bind_rate if binds else None
        if rate is None or rate <= 0:
            return None
        watched = creates + self.created if creates else self.processing
        settles = self._is_settling or not self.created  # a service that completes at once needs no looks
        left_s = run_s(
            creates,
            watched if settles else 0,
            rate,
            lane_size=used + watched,
            binds=binds,
            binds_per_s=self.bind_rate,
        )
        try:
            return Eta(left_s, at + timedelta(seconds=left_s), by_capacity=creates < waiting)
        except OverflowError:
            return None

    def _begin(self, event: RunStarted) -> None:
        """Start to count items. A second run, of a lane that a worker runs again, starts at 0, except for requests."""
        if self.started is not None and event.run_id != self.started.run_id:
            for counts in (self._awaited, self._others, self._ended, self._in_flight, self._creates_by_second):
                counts.clear()
            self._to_bind.clear()
            self.created = self.created_bytes = 0
            self._is_settling, self.stopped = False, None
        self.started = event
        self.states = Counter(event.states)
        for action in event.plan.actions:
            if is_awaited(action):
                self._awaited[action.item_id] = action.state
                if action.item is not None and action.item.bind is not None:
                    self._to_bind.add(action.item_id)
            elif action.item is not None and action.kind is not ActionKind.UNCHANGED:
                self._others[action.item_id] = action.state
        self.total = len(self._awaited)
        self._counts = Counter((state, item_id in self._to_bind) for item_id, state in self._awaited.items())

    def _count_change(self, event: ItemChanged) -> None:
        known = event.known
        if event.created:
            self.created += 1
            self.created_bytes += known.size_bytes or 0
            self._is_settling = self._is_settling or known.state is State.PROCESSING
            self._count_create(event.at)
        items = self._awaited if known.item_id in self._awaited else self._others
        before = items.get(known.item_id)
        if before is None:
            return
        items[known.item_id] = known.state
        self.states[before.value] -= 1
        self.states[known.state.value] += 1
        if items is self._others:
            return
        is_to_bind = known.item_id in self._to_bind
        self._counts[before, is_to_bind] -= 1
        if not event.ended:
            self._counts[known.state, is_to_bind] += 1
        else:
            del self._awaited[known.item_id]
            self._to_bind.discard(known.item_id)
            self._ended[known.state] += 1
            if known.state is State.FAILED:
                self.failures.append(known)

    def _count_create(self, at: datetime) -> None:
        second = math.floor(at.timestamp())
        buckets = self._creates_by_second
        if buckets and buckets[-1][0] >= second:  # also where the wall clock was set back
            buckets[-1] = (buckets[-1][0], buckets[-1][1] + 1)
        else:
            buckets.append((second, 1))
        while buckets[0][0] < second - SLOW_RATE_WINDOW_S:
            buckets.popleft()
