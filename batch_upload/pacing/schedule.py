"""When the next slot comes, given a rate: bookkeeping that every control law shares. Pure."""

from dataclasses import dataclass
from math import inf

CREDIT_S = 0.025
"""Seconds by which a slot may be taken late without shifting the next: a loaded event loop wakes some ms late."""
TIMER_S = 0.01
"""The same for slots that are shorter than a timer is exact. A few calls may then leave together."""
FULL_PACE_LOST = 0.1
"""Calls leave at full pace while we lose less than this part of the time between them (docs/decisions/pacing.md)."""
GAP_WEIGHT = 1 / 4
"""Weight of a new gap in that average, so it covers about the last 4 gaps."""
CATCH_UP = 1.25
"""Spare calls usually leave at this multiple of the rate (docs/decisions/pacing.md, "The law", 3)."""
IN_A_ROW_MAX = 6
"""Throttles in a row beyond this one do not lengthen the pause: (2⁶ − 1)/2 slots are enough for any burst."""


@dataclass(frozen=True, slots=True)
class SentCall:
    """A call that left `at` this time, when the law's rate was `rate`.

    `is_full_pace`: calls left as fast as the law allowed, so an accepted one may raise the rate.
    `is_after_pause`: nothing left for more than a slot, so the limiter may have filled up.
    `is_spare`: it left sooner than a slot after the one before, to use up what the limiter had saved.
    """

    at: float
    rate: float
    is_full_pace: bool
    is_after_pause: bool
    is_spare: bool = False


class SlotSchedule:
    """The next slot, one slot length (1/rate) after the last. Unused time is lost: no burst follows a pause.

    `is_strict`: a late call shifts all later slots, for a limiter that admits one call at a time.
    `has_burst`: the limiter keeps what a late call did not use, so half a slot of lateness shifts nothing.
    `spare_calls`: calls that the limiter owes us; while there are any, slots come `catch_up` times as fast.
    """

    __slots__ = (
        "_gap_s",
        "_lost_s",
        "catch_up",
        "has_burst",
        "is_strict",
        "next_at",
        "spare_calls",
        "taken",
        "taken_at",
    )

    def __init__(self) -> None:
        self.next_at = -inf
        self.taken_at = -inf
        self.taken = 0
        self.is_strict = False
        self.has_burst = False
        self.spare_calls = 0.0
        self.catch_up = CATCH_UP
        self._lost_s = 0.0
        self._gap_s = 0.0

    def take(self, now: float, rate: float, *, ceiling: float = inf) -> SentCall:
        """Take the next slot for a call that leaves now. `taken` becomes its number. Rates are calls a second.

        The next slot comes 1/`rate` later, or sooner while there are spare calls, but never faster than the ceiling.
        """
        is_catching_up = self.spare_calls > 0
        slot_s = 1 / (min(rate * self.catch_up, ceiling) if is_catching_up else rate)
        late_s, gap_s = (now - self.next_at, now - self.taken_at) if self.taken else (0.0, slot_s)
        credit_s = min(CREDIT_S, max(slot_s, TIMER_S))
        if self.has_burst:
            credit_s = max(credit_s, slot_s / 2)
        is_after_pause = late_s > slot_s + CREDIT_S
        if is_after_pause or self.is_strict or not self.taken:
            self.next_at = now + slot_s
        else:
            self.next_at = max(self.next_at, now - credit_s) + slot_s
        self._lost_s += GAP_WEIGHT * (max(0.0, late_s - credit_s) - self._lost_s)
        self._gap_s += GAP_WEIGHT * (gap_s - self._gap_s)
        self.taken_at = now
        self.taken += 1
        if is_after_pause:
            self.spare_calls = 0.0
        elif is_catching_up:
            self.spare_calls -= 1 - 1 / self.catch_up
        is_full_pace = self._lost_s < FULL_PACE_LOST * self._gap_s and not is_catching_up
        return SentCall(now, rate, is_full_pace, is_after_pause, is_spare=is_catching_up)

    def wait_until(self, moment: float) -> None:
        """Let no call leave before `moment`."""
        self.next_at = max(self.next_at, moment)


def pause_s(throttles_in_a_row: int, rate: float) -> float:
    """Return how many seconds to send nothing after so many throttles without an accepted call between them."""
    return float(2 ** min(throttles_in_a_row, IN_A_ROW_MAX) - 1) / (2 * rate)
