"""When the next request may leave: the contract of a control law, and the simplest one that keeps it.

A law is a state machine without I/O, clock or randomness. Times are seconds of a monotonic clock, handed in, and never
go back; rates are calls a second. The law that learns is in `rate_learned.py`.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

CREDIT_S = 0.025
"""How late a slot may be taken without shifting the next: an event loop under load wakes some milliseconds late."""
TIMER_S = 0.01
"""The same for slots that are shorter than a timer is exact: then a few calls may leave together."""
ROW_MAX = 6
"""Throttles in a row beyond this one no longer lengthen the pause: (2⁶ − 1)/2 slots are enough for any burst."""
HOUR_S = 3_600.0
DAY_S = 86_400.0


class RateLaw(Protocol):
    """Decides when calls leave, from what came of those before. Every ticket is answered for exactly once."""

    @property
    def rate(self) -> float:
        """Calls a second that it would hand out now."""
        ...

    def ready_at(self, now: float) -> float:
        """The earliest moment at which the next slot may be taken; may have passed. May change with every answer."""
        ...

    def take(self, now: float) -> int:
        """Take a slot for a call that leaves now, and give its ticket. Tickets count up."""
        ...

    def accepted(self, ticket: int, now: float) -> None:
        """The service's limiter let the call through, whatever it answered then."""
        ...

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        """The call was too early. `retry_after_s` is what the service asked for, if it did: nothing leaves before."""
        ...

    def unanswered(self, ticket: int, now: float) -> None:
        """The call told nothing about the rate: a time-out, a 5xx, a lost connection, or it was never sent."""
        ...


@dataclass(frozen=True, slots=True)
class RateMemory:
    """What a run learned, for the next one to start with. Plain numbers: it is kept as JSON.

    `stage` counts how far the rate had settled, from 0 to 6. `evidence`: accepted calls since the last throttle.
    `backoff`: how much more of it the next test needs. `burst`: how many calls the limiter lets through at once.
    `bounded`: whether the limiter refused anything faster. Where it did not, it allows `rate` at least.
    """

    rate: float
    stage: int = 6
    evidence: float = 0.0
    backoff: float = 1.0
    burst: float = 1.0
    bounded: bool = True

    def aged(self, age_s: float, default: float) -> "RateMemory | None":
        """What is still believed of it: all within the hour, 90 % after a day, None (start anew) after a month.

        Between a day and a month the rate goes over to `default`. An aged rate is tested again soon.
        """
        days = age_s / DAY_S
        if days >= 30:
            return None
        if age_s <= HOUR_S:
            return self
        kept = 0.9 * self.rate
        rate = self.rate * 0.9**days if days <= 1 else kept + (default - kept) * (days - 1) / 29
        return replace(self, rate=rate, stage=min(self.stage, 3), evidence=0.0, backoff=1.0)


class Pace:
    """The next slot, one `slot_s` after the last. Time that was not used is lost: no burst after a pause."""

    __slots__ = ("_gap_s", "_lost_s", "at", "punctual", "taken_at", "tickets")

    def __init__(self) -> None:
        self.at = -inf
        self.taken_at = -inf
        self.tickets = 0
        self.punctual = False
        """Whether calls may never be nearer than a slot, for a limiter that lets one through at a time."""
        self._lost_s = 0.0
        self._gap_s = 0.0

    def take(self, now: float, slot_s: float) -> bool:
        """Use the slot up. Tells whether there was a pause before it that a limiter may have filled up in."""
        late_s = now - self.at if self.tickets else 0.0
        credit_s = min(CREDIT_S, max(slot_s, TIMER_S))
        paused = late_s > slot_s + CREDIT_S
        whole = paused or self.punctual or not self.tickets
        self.at = now + slot_s if whole else max(self.at, now - credit_s) + slot_s
        self._note_lost(max(0.0, late_s - credit_s), now - self.taken_at if self.tickets else slot_s)
        self.taken_at = now
        self.tickets += 1
        return paused

    @property
    def pressed(self) -> bool:
        """Whether calls leave as fast as they may: less than a tenth of the last 4 gaps or so was lost to ourselves."""
        return self._lost_s < 0.1 * self._gap_s

    def wait_until(self, moment: float) -> None:
        """Let no call leave before `moment`."""
        self.at = max(self.at, moment)

    def _note_lost(self, lost_s: float, gap_s: float) -> None:
        self._lost_s += (lost_s - self._lost_s) / 4
        self._gap_s += (gap_s - self._gap_s) / 4


def pause_s(throttles_in_a_row: int, rate: float) -> float:
    """How long to send nothing after so many throttles without an accepted call between them."""
    return float(2 ** min(throttles_in_a_row, ROW_MAX) - 1) / (2 * rate)


class FixedRate:
    """Keeps to one rate: never two calls within 1/rate, but for the lateness of timers. Learns nothing.

    Waits as long as the service asks for, and a little longer after each throttle in a row.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._pace = Pace()
        self._row = 0

    @property
    def rate(self) -> float:
        return self._rate

    def ready_at(self, now: float) -> float:
        return self._pace.at

    def take(self, now: float) -> int:
        self._pace.take(now, 1 / self._rate)
        return self._pace.tickets

    def accepted(self, ticket: int, now: float) -> None:
        self._row = 0

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        self._row += 1
        self._pace.wait_until(now + max(pause_s(self._row, self._rate), retry_after_s or 0.0))

    def unanswered(self, ticket: int, now: float) -> None:
        """Nothing was learned."""
