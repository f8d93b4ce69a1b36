"""Rate limiters and a network in virtual time, to try a control law on thousands of calls in milliseconds.

Everything random comes from a seed. A simulated call leaves when the law has a slot and a worker is free, arrives after
half of the latency and its jitter, is decided by the limiter at that moment, and its answer takes as long again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import exp, inf, log
from random import Random
from typing import Protocol

from batch_upload.pacing import RateLaw


class Limiter(Protocol):
    """A server's side of a rate limit."""

    def admits(self, now: float) -> bool:
        """Decide on one call that arrives at `now`; calls arrive in the order of time."""
        ...


class TokenBucket:
    """Holds `burst` tokens, gains `rate` a second; a call takes one. `refusal_cost`: what a refused call takes."""

    def __init__(self, rate: float, burst: float, *, refusal_cost: float = 0.0) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = float(burst)
        self.refusal_cost = refusal_cost
        self.admitted_at: list[float] = []
        self._at = 0.0

    def admits(self, now: float) -> bool:
        self.refill(now)
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            self.admitted_at.append(now)
            return True
        self.tokens = max(0.0, self.tokens - self.refusal_cost)
        return False

    def refill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self._at) * self.rate)
        self._at = now


class SteppedBucket(TokenBucket):
    """A token bucket whose rate changes: `steps` are (from when, rate), in order of time."""

    def __init__(self, steps: Sequence[tuple[float, float]], burst: float) -> None:
        super().__init__(steps[0][1], burst)
        self._steps = list(steps)

    def refill(self, now: float) -> None:
        while self._steps and self._steps[0][0] <= now:
            at, rate = self._steps.pop(0)
            super().refill(max(at, self._at))
            self.rate = rate
        super().refill(now)


class SharedBucket(TokenBucket):
    """A token bucket from which another client also takes, from `since` on: calls at `other_rate`, Poisson."""

    def __init__(self, rate: float, burst: float, *, other_rate: float, since: float, seed: int) -> None:
        super().__init__(rate, burst)
        self._other_rate = other_rate
        self._random = Random(seed)
        self._other_at = since + self._random.expovariate(other_rate)

    def admits(self, now: float) -> bool:
        while self._other_at <= now:
            super().admits(self._other_at)
            self._other_at += self._random.expovariate(self._other_rate)
        return super().admits(now)


class FixedWindows:
    """At most `per_window` calls in each window of `window_s` seconds."""

    def __init__(self, per_window: float, *, window_s: float = 1.0) -> None:
        self._per_window = per_window
        self._window_s = window_s
        self._window = -1
        self._used = 0

    def admits(self, now: float) -> bool:
        window = int(now / self._window_s)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used >= self._per_window:
            return False
        self._used += 1
        return True


@dataclass(frozen=True, slots=True)
class Network:
    """`latency_s` there and back together; each way has exponential jitter of scale `jitter_s` on top.

    `wake_s` is the scale of how late a sleeping client wakes up.
    """

    latency_s: float = 0.01
    jitter_s: float = 0.0
    wake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One simulated call. `rate` is what the law would have handed out when it heard the answer."""

    sent_at: float
    answered_at: float
    accepted: bool
    rate: float


@dataclass(slots=True)
class Run:
    """What came of a simulation: the calls in the order of their answers."""

    calls: list[Call] = field(default_factory=list)
    busy_until: float = inf
    """When the last item left for the first time."""

    @property
    def accepted(self) -> int:
        return sum(call.accepted for call in self.calls)

    @property
    def throttled(self) -> int:
        return len(self.calls) - self.accepted

    @property
    def throttled_share(self) -> float:
        return self.throttled / len(self.calls)

    @property
    def makespan_s(self) -> float:
        return self.calls[-1].answered_at - self.calls[0].sent_at

    @property
    def goodput(self) -> float:
        """Accepted calls a second between the first and the last answer."""
        return (self.accepted - 1) / (self.calls[-1].answered_at - self.calls[0].answered_at)

    @property
    def mean_rate(self) -> float:
        """The geometric mean of the law's rate over the calls."""
        return exp(sum(log(call.rate) for call in self.calls) / len(self.calls))

    def at_rest(self) -> "Run":
        """The last two thirds, as long as there was work: at the end refused calls are left, a round trip apart."""
        return Run([call for call in self.calls[len(self.calls) // 3 :] if call.sent_at <= self.busy_until])

    def between(self, since: float, until: float = inf) -> "Run":
        """The calls that were answered in a stretch of time."""
        return Run([call for call in self.calls if since <= call.answered_at < until])


_ARRIVES, _ANSWERED = 0, 1


def simulate(
    law: RateLaw,
    limiter: Limiter,
    *,
    items: int,
    network: Network = Network(),
    workers: int = 256,
    seed: int = 0,
    since: float = 0.0,
    until: float = inf,
    work_from: Callable[[float], float] = lambda now: now,
) -> Run:
    """Send `items` calls from `since` on, each again until it is accepted, or stop when `until` has come.

    `work_from` gives the moment at or after `now` at which there is work again: for pauses in the work.
    """
    random = Random(seed)
    half_s, jitter_s = network.latency_s / 2, network.jitter_s
    events: list[tuple[float, int, int, float, bool]] = []
    run = Run()
    now, waiting, free, woken_s = since, items, workers, 0.0

    def way_s() -> float:
        return half_s + random.expovariate(1 / jitter_s) if jitter_s else half_s

    while waiting or events:
        take_at = inf
        if waiting and free:
            take_at = max(now, work_from(max(now, law.ready_at(now) + woken_s)))
        if min(take_at, events[0][0] if events else inf) >= until:
            return run
        if not events or take_at <= events[0][0]:
            now = take_at
            ticket = law.take(now)
            waiting, free = waiting - 1, free - 1
            if not waiting:
                run.busy_until = min(run.busy_until, now)
            woken_s = random.expovariate(1 / network.wake_s) if network.wake_s else 0.0
            heappush(events, (now + way_s(), _ARRIVES, ticket, now, False))
            continue
        now, kind, ticket, sent_at, accepted = heappop(events)
        if kind == _ARRIVES:
            heappush(events, (now + way_s(), _ANSWERED, ticket, sent_at, limiter.admits(now)))
            continue
        free += 1
        if accepted:
            law.accepted(ticket, now)
        else:
            waiting += 1
            law.throttled(ticket, now, None)
        run.calls.append(Call(sent_at, now, accepted, law.rate))
    return run
