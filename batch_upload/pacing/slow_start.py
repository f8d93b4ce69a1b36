"""The modes that find a rate from nothing: slow start, then a binary search (burst 1) or a climb, then `Follow`.

Where every number comes from: docs/decisions/pacing.md, "The law", 1 and 2.
"""

from math import exp, inf, log, sqrt

from batch_upload.pacing.follow import PRECISION, SINGLE, TEST_WORTH, Follow
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall

DOUBLING_S = 0.2
"""Seconds that a doubling of the rate takes at least, however short the round trip."""
GROWTH, MANY_IN_FLIGHT = 1.5, 7.0
"""The slow start grows by 1 + GROWTH a round trip, by half of GROWTH with so many calls in flight.

A round trip in which it grows by g has about g − 1 of all that was accepted refused when a burst is used up.
"""
LONG_S, SHORT_S = 120.0, 4.0
"""If it is known how many calls are expected: seconds that all of them take at the pace to which the first answer
raises a slow start at least, and at the pace beyond which it does not grow."""
BURST_OF_DEFAULT = 8.0
"""Calls beyond what the start rate allows at the first throttle, up to which the rate is likely to be near the start
rate and the rest a burst."""
BURST_1_MARGIN = 0.95
"""Part of a rate that burst 1 and the jitter of a network leave."""
AT_START = 1 / 2
"""How likely the rate is just the start rate, which is documented, before anything is known."""
FEW = 100
"""Calls in all below which the few throttles of a fast climb would be more than one in thirty."""
COMMON_BATCH = 20
"""Calls that a binary search plans for if it is not known how many are left."""
LEAST_WIDTH, LEAST_JITTERS = 0.04, 3.0
"""A binary search ends at this width of the logarithm, or at so many slots of jitter, which blur its answers."""

SEARCHED_STAGE, CLIMBED_STAGE = 3, 4
"""Stage of `Follow` that a binary search ends with, and the last that a climb ends with."""
SEARCH_DOWN = 0.8
"""Part of a lower bound that was refused, which is tried next."""

CLIMB_STEP = 0.04
"""What the logarithm of the rate grows by a round trip, or a call if that is longer, in a fast climb, at least."""
GENTLE_FIRST, GENTLE_MOST, GENTLE_DOUBLING = 0.1, 0.4, 4
"""What it grows by in a gentle climb: at first, at most, and accepted calls until that doubles."""
GENTLE_REACH = 1.5
"""How far a gentle climb goes beyond the middle of what is proved and what failed."""
ALIKE = 1.2
"""A pace this near to the start rate that is refused shows that the start rate is too high."""
EXPLAIN_STEP = 1.01
"""Steps in which a climb looks for the rates that explain its answers."""
EXPLAIN_CALLS = 2.5
"""If the logarithms of these rates are w apart, their middle is as exact as so many calls divided by w make it: 2 would
be certain, 3.5 a standard deviation."""
FITS = 0.9
"""Where the start rate is at least this part of that middle, the rate is likely to be the start rate: with bursts of 2
to 5 it was 0.92 and more where it is, and 0.84 and less where the rate is a quarter higher."""


class SlowStart:
    """Grow fast until the first throttle, as TCP does. `start`: calls a second that are likely to be allowed."""

    __slots__ = ("_follow", "_start", "_state")

    is_single = False

    def __init__(self, state: RateState, follow: Follow, start: float) -> None:
        self._state = state
        self._follow = follow
        self._start = start
        state.burst_log.open()

    @property
    def settled_rate(self) -> None:
        return None

    def accepted(self, call: SentCall, now: float) -> Mode:
        """Grow. How many calls are expected says how fast a pace is worth finding."""
        state = self._state
        in_flight = state.in_flight.expected(call.rate)
        doubling = max(1.0, in_flight, call.rate * DOUBLING_S)
        wanted = state.rate * (1 + GROWTH / (1 + in_flight / MANY_IN_FLIGHT)) ** (1 / doubling)
        if state.expected < inf:
            # without more calls in the first round trip than growing sends
            least = min(state.expected / LONG_S, (1 + GROWTH) / max(state.in_flight.round_trip_s, 1e-9))
            wanted = min(max(wanted, least), max(self._start, state.expected / SHORT_S))
        state.speed_up(max(state.rate, wanted))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """Search below: this throttle bounds only burst and rate together."""
        state, start = self._state, self._start
        state.burst_log.close(call.at)
        if len(state.burst_log) == 1 and state.in_flight.is_earliest(call):
            state.is_single = True  # it took one call, and refused the next
            return BinarySearch(state, self._follow, low=start, high=call.rate, at_start=AT_START)
        state.episode.count(least=0.0)
        is_gentle = state.burst_log.used_up(start) <= BURST_OF_DEFAULT and state.expected < FEW
        return Climb(state, self._follow, now, start=start, failed_rate=call.rate, is_gentle=is_gentle)


class BinarySearch:
    """Find the rate of a limiter that admits one call at a time: there each answer tells whether its pace is allowed.

    `low`: a pace that is likely to be allowed. `high`: a pace that was refused. `at_start`: the probability that the
    rate is just `low`. The interval is halved for as long as that is likely to save more time than it costs.
    """

    __slots__ = ("_at_start", "_follow", "_high", "_low", "_state")

    is_single = True

    def __init__(self, state: RateState, follow: Follow, *, low: float, high: float, at_start: float) -> None:
        self._state = state
        self._follow = follow
        self._low, self._high = min(low, state.ceiling), high
        self._at_start = at_start
        state.burst = 1.0
        state.refused = high
        follow.stage = SEARCHED_STAGE
        state.rate = self.settled_rate

    @property
    def settled_rate(self) -> float:
        state = self._state
        if self._at_start:
            return min(state.ceiling, BURST_1_MARGIN * self._low)
        return min(state.ceiling, self._low, state.with_margin(sqrt(self._low * self._high)))

    @property
    def is_worth_it(self) -> bool:
        """Whether a call at the middle pace is likely to save more than it costs, in slots.

        Unless the rate is the start rate, the call is accepted in one of two cases. Then the rate gains half of the
        interval for each call that is left, where without it a quarter is lost on average. Refused, it costs a slot
        and those of the calls in flight.
        """
        width = log(self._high / self._low)
        if width <= max(LEAST_WIDTH, LEAST_JITTERS * self._state.jitter_slots):
            return False
        left = self._state.left if self._state.left < inf else COMMON_BATCH
        cost = 1 + self._state.in_flight.expected(self._low)
        return (1 - self._at_start) * left * width / 4 > cost * (1 + self._at_start) / 2

    def accepted(self, call: SentCall, now: float) -> Mode:
        """Try the middle pace, or end at what is proved. A call at an earlier pace proves nothing new."""
        state = self._state
        if call.rate < state.rate:
            return self
        if call.rate > self._low:
            self._low, self._at_start = call.rate, 0.0
        if not self.is_worth_it:
            state.rate = self.settled_rate
            return self._follow
        state.speed_up(max(state.rate, sqrt(self._low * self._high)))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """Go back to what is proved. A refusal of that shows that it was not."""
        state = self._state
        if call.rate <= self._low:
            self._high, self._low, self._at_start = call.rate, SEARCH_DOWN * call.rate, 0.0
        elif call.rate < self._high:
            kept = (1 - self._at_start) * log(call.rate / self._low) / log(self._high / self._low)
            self._high, self._at_start = call.rate, self._at_start / (self._at_start + kept)
        state.rate = self.settled_rate
        state.refused = self._high
        state.bracket.clear()  # a bucket of one was full while the pace was below the rate
        state.bracket.mark(now)
        return self if self.is_worth_it else self._follow


class Climb:
    """Climb from an empty bucket until a throttle, then take the middle of the rates that explain all answers.

    `start`: calls a second that are likely to be allowed. `failed_rate`: the pace of the call that was throttled.
    `is_gentle`: the rate is likely to be near the start rate, and the calls are so few that throttles are spared. A
    pace that lags behind the rate costs nothing for as long as the bucket can hold what was not sent.
    """

    __slots__ = (
        "_accepted_at",
        "_accepted_before",
        "_began_at",
        "_failed_rate",
        "_follow",
        "_is_gentle",
        "_proved",
        "_start",
        "_state",
    )

    is_single = False

    def __init__(
        self, state: RateState, follow: Follow, now: float, *, start: float, failed_rate: float, is_gentle: bool
    ) -> None:
        self._state = state
        self._follow = follow
        self._start = min(start, state.ceiling)
        self._is_gentle = is_gentle
        self._begin(now, failed_rate)

    def _begin(self, now: float, failed_rate: float) -> None:
        """Begin at the start rate, or in the middle between it and the pace that failed."""
        state = self._state
        self._began_at, self._accepted_before, self._failed_rate = now, state.bracket.accepted, failed_rate
        self._accepted_at: list[float] = []  # seconds since the beginning
        self._proved = 0.0
        first = BURST_1_MARGIN * self._start if self._is_gentle else sqrt(self._start * failed_rate)
        state.rate = min(first, state.ceiling)

    @property
    def settled_rate(self) -> float:
        return self._state.rate

    def accepted(self, call: SentCall, now: float) -> Mode:
        """Grow towards the middle of what is proved since the bucket was empty and what failed."""
        state, count = self._state, len(self._accepted_at)
        seconds, in_flight = max(now - self._began_at, 1e-9), max(1.0, state.in_flight.expected(call.rate))
        self._accepted_at.append(seconds)
        self._proved = max(self._proved, call.rate)
        middle = sqrt(max(self._start, count / seconds) * self._failed_rate)
        wanted = max(middle, state.rate * exp(CLIMB_STEP / in_flight))
        if self._is_gentle:
            step = min(GENTLE_MOST, GENTLE_FIRST * 2 ** (count // GENTLE_DOUBLING))
            wanted = min(state.rate * exp(step / in_flight), GENTLE_REACH * middle)
        state.speed_up(max(state.rate, wanted))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        state, follow = self._state, self._follow
        if len(self._accepted_at) < 2:  # too few to tell the rate: begin lower
            if call.rate < ALIKE * self._start:
                self._start = call.rate / 2
            self._begin(now, call.rate)
            return self
        seconds = now - self._began_at
        if state.left < TEST_WORTH:
            low, high = self._explained(seconds, call.rate)
            rate, exact = sqrt(low * high), EXPLAIN_CALLS / log(high / low)
            burst = state.burst_log.least_burst(rate)
        else:  # throttles correct it soon, and a pace that begins too low costs fewer of them
            low = high = rate = self._lowest(seconds, call.rate)
            exact, burst = self._since_full(rate, seconds)[1], state.burst_log.burst(rate)
        if burst < SINGLE and self._proved < call.rate:
            state.burst_log.clear()
            return BinarySearch(state, follow, low=self._proved, high=call.rate, at_start=0.0)
        if self._is_gentle and FITS * rate <= self._start <= high:
            rate, exact = self._start, max(exact, PRECISION[1])  # what is documented fits
        state.rate = min(state.ceiling, rate)
        state.learn_burst()
        follow.stage = min(CLIMBED_STAGE, 1 + sum(exact >= calls for calls in PRECISION))
        return follow

    def _explained(self, seconds: float, highest: float) -> tuple[float, float]:
        """Return the lowest and the highest rate, up to a step beyond `highest`, that explain all answers.

        The answers: the bucket held less than one token at the beginning, it had one for each accepted call, and holds
        less than one again after `seconds`. Its burst is what the slow start used up on top of that rate, or up to one
        more.
        """
        low = max(1e-3, 0.9 * (len(self._accepted_at) - 1) / seconds)
        while low < highest and self._tokens(low, 1.0)[0] < 0:
            low *= EXPLAIN_STEP
        high = low * EXPLAIN_STEP
        while high < highest and self._tokens(high, 0.0, seconds)[1] < 1:
            high *= EXPLAIN_STEP
        return low, high

    def _lowest(self, seconds: float, highest: float) -> float:
        """Return the lowest rate, up to `highest`, that explains all answers with half a token at both ends."""
        rate = max(1e-3, 0.9 * (len(self._accepted_at) - 1) / seconds)
        while rate < highest and not self._since_full(rate, seconds)[0]:
            rate *= EXPLAIN_STEP
        return min(rate, highest)

    def _since_full(self, rate: float, seconds: float) -> tuple[bool, int]:
        """Return whether this rate is enough for all answers, and the calls accepted since the bucket was last full."""
        state = self._state
        burst = max(1.0, state.burst_log.burst(rate))
        others = state.bracket.accepted - self._accepted_before - len(self._accepted_at)  # were in flight
        tokens, before, full_at, is_enough = 0.5 - others, 0.0, 0, True
        for number, at in enumerate(self._accepted_at):
            tokens += rate * (at - before)
            if tokens >= burst:
                tokens, full_at = burst, number
            tokens, before = tokens - 1, at
            is_enough = is_enough and tokens >= -0.5
        is_enough = is_enough and tokens + rate * (seconds - before) >= 0.5
        return is_enough, max(1, len(self._accepted_at) - full_at)

    def _tokens(self, rate: float, more: float, seconds: float = 0.0) -> tuple[float, float]:
        """Return the fewest tokens that this rate leaves after an accepted call, and those after `seconds`.

        `more`: tokens at the beginning, and of the burst beyond what the slow start used up, from 0 to 1.
        """
        state = self._state
        burst = max(1.0, state.burst_log.least_burst(rate)) + more
        others = state.bracket.accepted - self._accepted_before - len(self._accepted_at)  # were in flight
        tokens, before, fewest = more - others, 0.0, inf
        for at in self._accepted_at:
            tokens = min(burst, tokens + rate * (at - before)) - 1
            fewest, before = min(fewest, tokens), at
        return fewest, tokens + rate * (seconds - before)
