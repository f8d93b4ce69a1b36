"""The modes that find a rate from nothing: slow start, climb, creep. Each ends in `Follow`.

Where every number comes from: docs/decisions/pacing.md, "The law", 1 and 2.
"""

from math import exp, sqrt

from batch_upload.pacing.follow import Follow
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall

DOUBLING_S = 0.2
"""Seconds that a doubling of the rate takes at least, however short the round trip."""
GROWTH, MANY_IN_FLIGHT = 1.5, 7.0
"""The slow start grows by 1 + GROWTH a round trip, by half of GROWTH with so many calls in flight.

A round trip in which it grows by g has about g − 1 of all that was accepted refused when a burst is used up.
"""
NEAR_START = 1.5
"""Calls beyond what the start rate allows at the first throttle, up to which the rate is close to the start rate."""
BURST_OF_DEFAULT = 8.0
"""The same, up to which the rate is likely to be near the start rate and the rest a burst."""
BURST_1_MARGIN = 0.95
"""Part of a rate that burst 1 and the jitter of a network leave."""

CREEP_STEP = 0.04
"""What the logarithm of the rate grows by a round trip, or a call if that is longer, while it creeps up."""
CREEP_BACK = 1.5
"""Steps below the pace that was throttled at which the rate then is."""
CREEP_PROOF = 3
"""Accepted calls without which a throttle does not show that the creep has reached the rate."""
CREEP_STAGE, CREPT_STAGE = 2, 3
"""Stages of `Follow` that a creep begins and ends with."""

CLIMB_FIRST, CLIMB_MOST, CLIMB_DOUBLING = 0.05, 0.2, 8
"""What the logarithm of the rate grows by in a climb: at first, at most, and accepted calls until that doubles."""
CLIMB_REFUSALS = 6
"""Calls that a climb may have refused when it empties the burst again: its step is at most this part of the burst."""
CLIMB_NEAR, CLIMB_NEAR_STEP = 1 / 4, 0.04
"""From this part of the pace that was throttled, a climb grows by the second number."""


class SlowStart:
    """Grow fast until the first throttle, as TCP does. `start`: calls a second that are likely to be allowed."""

    __slots__ = ("_follow", "_growth", "_start", "_state")

    def __init__(self, state: RateState, follow: Follow, start: float) -> None:
        self._state = state
        self._follow = follow
        self._start = start
        self._growth = 1.0
        state.burst_log.open()

    @property
    def settled_rate(self) -> None:
        return None

    def accepted(self, call: SentCall, now: float) -> Mode:
        in_flight = self._state.in_flight.expected(call.rate)
        doubling = max(1.0, in_flight, call.rate * DOUBLING_S)
        self._growth = (1 + GROWTH / (1 + in_flight / MANY_IN_FLIGHT)) ** (1 / doubling)
        self._state.speed_up(self._state.rate * self._growth)
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """Go back to where burst and rate are both likely: this throttle bounds only the two together."""
        state, start = self._state, self._start
        state.burst_log.close(call.at)
        state.episode.count(least=0.0)
        used_up = state.burst_log.used_up(start)
        if used_up <= NEAR_START:
            state.rate = min(BURST_1_MARGIN * max(start, call.rate / self._growth), state.ceiling)
            return Creep(state, self._follow)
        if used_up <= BURST_OF_DEFAULT:
            rate = max(BURST_1_MARGIN * start, sqrt(call.rate * start) / 4)
        else:
            rate = sqrt(call.rate * start) / 2
        state.rate = min(rate, state.ceiling)
        return Climb(state, self._follow, failed_rate=call.rate, used_up=used_up)


class Climb:
    """Grow steadily to `failed_rate`, where the slow start was throttled after it `used_up` that many tokens."""

    __slots__ = ("_failed_rate", "_follow", "_state", "_used_up")

    def __init__(self, state: RateState, follow: Follow, *, failed_rate: float, used_up: float) -> None:
        self._state = state
        self._follow = follow
        self._failed_rate = failed_rate
        self._used_up = used_up

    @property
    def settled_rate(self) -> float:
        return self._state.rate

    def accepted(self, call: SentCall, now: float) -> Mode:
        state, step = self._state, CLIMB_NEAR_STEP
        if state.rate <= self._failed_rate * CLIMB_NEAR:
            doubled = CLIMB_FIRST * 2 ** (state.evidence // CLIMB_DOUBLING)
            step = min(CLIMB_MOST, CLIMB_REFUSALS / self._used_up, doubled)
        state.speed_up(state.rate * exp(step / max(1.0, state.in_flight.expected(call.rate))))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        return self._follow.below_overshoot(call, now, least=0.0)


class Creep:
    """Creep up from the start rate, which was nearly right, until the next throttle."""

    __slots__ = ("_follow", "_state")

    def __init__(self, state: RateState, follow: Follow) -> None:
        self._state = state
        self._follow = follow
        follow.stage = CREEP_STAGE

    @property
    def settled_rate(self) -> float:
        return self._state.rate

    def accepted(self, call: SentCall, now: float) -> Mode:
        state = self._state
        state.speed_up(state.rate * exp(CREEP_STEP / max(1.0, state.in_flight.expected(call.rate))))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """Go back by a step or two, where the rate is."""
        state = self._state
        if state.evidence <= CREEP_PROOF:
            return self._follow.throttled(call, now)
        state.rate = call.rate * exp(-CREEP_BACK * CREEP_STEP)
        self._follow.stage = CREPT_STAGE
        state.bracket.clear()  # the bucket may have been full while the pace was below the rate
        state.bracket.mark(now)
        return self._follow
