"""The contract of a control law, what it remembers between runs, and the simplest law: a fixed rate.

A law is a state machine without I/O, clock or randomness. Times are seconds of a monotonic clock, handed in, and never
go back. Rates are calls a second.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from batch_upload.pacing.schedule import SlotSchedule, pause_s

HOUR_S = 3_600.0
DAY_S = 86_400.0
FORGOTTEN_DAYS = 30
"""Days after which nothing that was learned is believed (docs/decisions/pacing.md, "The law")."""
BELIEVED_AFTER_A_DAY = 0.9
"""Part of a remembered rate that is believed after a day (the same)."""


class RateLaw(Protocol):
    """Decides when calls leave, from the results of earlier calls. Every ticket is reported exactly once."""

    @property
    def rate(self) -> float:
        """Calls a second that the law allows now."""
        ...

    def expect(self, calls: int) -> None:
        """Tell the law how many more calls are to be accepted. Without it, it plans for a long run."""
        ...

    def ready_at(self, now: float) -> float:
        """Return the earliest time for the next slot. It may have passed, and every report may change it."""
        ...

    def take(self, now: float) -> int:
        """Take a slot for a call that leaves now. Return its ticket; tickets count up."""
        ...

    def accepted(self, ticket: int, now: float) -> None:
        """Report that the rate limiter admitted the call, whatever the service answered."""
        ...

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        """Report that the call came too early. No call leaves within `retry_after_s`, if the service gave one."""
        ...

    def unanswered(self, ticket: int, now: float) -> None:
        """Report that the call says nothing about the rate: a time-out, a 5xx, a lost connection, or never sent."""
        ...


@dataclass(frozen=True, slots=True)
class RateMemory:
    """What a run learned, for the next run to start with. Plain numbers, because it is stored as JSON.

    `stage`: how far the rate had settled, 0 to 6. `evidence`: accepted calls since the last throttle.
    `backoff`: how many times the usual evidence the next test for a higher rate needs. `burst`: calls that the limiter
    admits at once. `bounded`: the limiter refused anything faster; if False, it allows at least `rate`. `single`: it
    was seen to admit one call at a time, so that a short run may keep less margin. `refused`: the slowest pace that
    such a limiter refused in a search, 0 if not known.
    """

    rate: float
    stage: int = 6
    evidence: float = 0.0
    backoff: float = 1.0
    burst: float = 1.0
    bounded: bool = True
    single: bool = False
    refused: float = 0.0

    def aged(self, age_s: float, default: float) -> "RateMemory | None":
        """Return what is still believed at this age: all within an hour, 90 % after a day, None after a month.

        Between a day and a month the rate moves linearly to `default`. An aged rate is tested again soon.
        """
        days = age_s / DAY_S
        if days >= FORGOTTEN_DAYS:
            return None
        if age_s <= HOUR_S:
            return self
        kept = BELIEVED_AFTER_A_DAY * self.rate
        faded = kept + (default - kept) * (days - 1) / (FORGOTTEN_DAYS - 1)
        rate = self.rate * BELIEVED_AFTER_A_DAY**days if days <= 1 else faded
        return self._doubted(rate)

    def at_least(self, rate: float) -> "RateMemory":
        """Return it with this rate where it is slower. A rate that was raised is tested again soon."""
        return self if self.rate >= rate else self._doubted(rate)

    def _doubted(self, rate: float) -> "RateMemory":
        return replace(self, rate=rate, stage=min(self.stage, 3), evidence=0.0, backoff=1.0)


class FixedRate:
    """Keep to one rate: no two calls within 1/rate, except for the lateness of timers. Learns nothing.

    Waits as long as the service asks for, and a little longer after each throttle in a row.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._schedule = SlotSchedule()
        self._throttles_in_a_row = 0

    @property
    def rate(self) -> float:
        return self._rate

    def expect(self, calls: int) -> None:
        """Nothing to plan."""

    def ready_at(self, now: float) -> float:
        return self._schedule.next_at

    def take(self, now: float) -> int:
        self._schedule.take(now, self._rate)
        return self._schedule.taken

    def accepted(self, ticket: int, now: float) -> None:
        self._throttles_in_a_row = 0

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        self._throttles_in_a_row += 1
        self._schedule.wait_until(now + max(pause_s(self._throttles_in_a_row, self._rate), retry_after_s or 0.0))

    def unanswered(self, ticket: int, now: float) -> None:
        """Nothing to learn."""
