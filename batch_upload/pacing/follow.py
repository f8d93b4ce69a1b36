"""The modes of a rate that is nearly known: follow it, and test whether it has risen.

Where every number comes from: docs/decisions/pacing.md, "The law", 2 to 8.
"""

from math import exp, inf

from batch_upload.pacing.evidence import Bracket
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall

LAST_STAGE = 6
CAREFUL_STAGE = 5
"""From this stage on the rate counts as known, and tests are kept short."""
SINGLE_STAGE, SINGLE_GAP_STAGE = 3, 4
"""Stages from which a burst is known well enough to be called 1, and then to bound the rate by one gap alone."""
STAGE_FACTOR = 0.55
"""Each throttle makes cuts and throttles rarer by this factor, down to what is wanted at rest."""
CUT_FIRST, CUT_LAST = 0.35, 0.01
"""What a throttle takes off the logarithm of the rate, at the first stage and at rest."""
THROTTLED_FIRST, THROTTLED_LAST = 0.20, 0.0055
"""The share of throttled calls at which the rate stays as it is, at the first stage and at rest."""
GROWTH_MOST = 0.01
"""What the logarithm of the rate grows by at most in a round trip."""
PRECISION = (5, 10, 20, 40, 80)
"""Accepted calls between two throttles that allow the stages from 2 on: N calls give the rate within 1/N."""
ONE_GAP = 100
"""Accepted calls in a gap that give the rate within 1 %, so that at rest older gaps add nothing."""
SURPRISE = 0.97
"""A bound below this part of the rate shows that the rate was not known; above, that a few refusals came together."""
BLURRED_IN_FLIGHT = 10.0
"""With more calls in flight only a surprise cuts at rest: calls are refused before the last cut is felt."""
SLOWEST = 1e-3
"""Calls a second below which no throttle cuts the rate."""
BALANCED_MOST = 2.0
"""Throttled calls of those in flight at cuts that hold up growth at rest: more come of the end of a search."""
HOLD_MOST = 3.0
"""Refusals at most that hold up growth, each for as long as one throttle is worth."""

SINGLE = 1.3
"""A burst below this was learned of a bucket that admits one call at a time."""
SINGLE_CUT, SINGLE_JITTERS = 0.02, 2.0
"""What a throttle takes off at most with such a bucket: the first, or so many slots of jitter if that is more.

There each call that was accepted proves its pace, as exactly as the jitter lets it.
"""
SINGLE_SHARE_MOST = 0.05
"""The largest share of throttled calls with such a bucket. Below it the share is the jitter in slots: with more margin
a run takes longer than with more throttles, each of which costs a slot."""

OVERSHOOT = 1.3
"""How far above the rate a growing pace is when its throttle is heard."""
OVERSHOOT_LEAST = 1 / 2
"""Part of such a pace that is a lower bound of the rate."""
OVERSHOOT_ALIKE = 1.5
"""Two overshoots within this factor are of the same rate, so the second begins a stage further on."""
OVERSHOOT_STAGES = 4
"""The last stage that repeated overshoots lead to."""
OVERSHOOTS_OF_A_CROWD = 2
"""Overshoots in a row that show that refusals come in crowds."""

ESTIMATE_STAGES = ((30, 4), (12, 3), (0, 2))
"""Accepted calls behind an estimate of the rate, and the stage that it allows."""
ESTIMATE_MARKS, ESTIMATE_MARKS_BURST = 20, 15
"""Accepted calls behind an estimate, and burst, from which it can be told whether the bucket was full since the
throttle. With fewer calls the burst is not known, and a smaller bucket fills while the pace is a little low."""
SPARE_SHARE = 0.75
"""Part of what a bucket gained while nothing was sent that is used up afterwards; no more, because it is a guess. A
gain of less than this part of the burst did not fill the bucket."""

TEST_AFTER = 1.5
"""A test for a higher rate comes after so many times the accepted calls that one throttle is expected in."""
TEST_PRICE, TEST_PRICE_FROM = 0.1, 4
"""What each call in flight beyond the second number adds to these times, because a test then costs more."""
TEST_STEP, TEST_STEP_MOST, TEST_DOUBLING = 0.02, 0.12, 16
"""What the logarithm of the rate grows by in a test: at first, at most, and accepted calls until that doubles."""
TEST_REFUSALS = 3.0
"""A test within the known burst grows no further than its end costs about so many refusals."""
TEST_LEAST, TEST_MOST = 0.1, 0.5
"""But at least and at most by these parts of the rate."""
TEST_WORTH = 600
"""Calls that must be left for each call that a test may have refused: fewer do not pay for it, because rises are rare,
and the next run tests what is remembered. In a run of so few calls a slot weighs more than a throttle."""
UNPROVED_STAGE = 5
"""The last stage of an estimate that nothing has proved yet."""
PROOF, PROOF_LEAST = 20.0, 300
"""Accepted calls since the throttle before an estimate that prove the rate: so many for each call that jitter may
miscount, and at least the second number, from which their rate is within 1 % (docs/decisions/pacing.md)."""
MIDDLE_FROM = 30
"""Accepted calls from which a throttle sets a rate that is not proved yet to the middle of its bounds."""
AFTER_CUT = 1.003
"""Where a throttle leaves the pace at rest, as a part of the rate. With less, growth takes longest to come back."""
TEST_GAIN = 2
"""Calls accepted beyond the old rate and the known burst that prove that the rate has risen."""
TEST_IN_VAIN_STAGE = 3
"""The first stage that a test in vain goes back to."""
FALSE_ALARM, BACKOFF_MAX, BACKOFF_DECAY = 1.5, 4.0, 1.03
"""After a test in vain the next needs so many times the evidence, up to the second number; a throttle divides it."""


class Follow:
    """Follow the quantile: keep the rate at which a small share of all calls is throttled. Every mode ends here.

    `stage`: how far the rate has settled, 0 to LAST_STAGE. `backoff`: how many times the usual evidence the next test
    needs. `is_proved`: no estimate waits for a throttle that confirms it. `overshoots`: how many times in a row a
    growing pace was throttled near the same rate.
    """

    __slots__ = ("_held", "_overshot_rate", "_state", "backoff", "is_proved", "overshoots", "stage")

    def __init__(self, state: RateState, *, stage: int, backoff: float) -> None:
        self._state = state
        self.stage = stage
        self.backoff = backoff
        self.overshoots = 0
        self.is_proved = True
        self._overshot_rate = 0.0
        self._held = 0.0

    @property
    def settled_rate(self) -> float:
        return self._state.rate

    @property
    def share(self) -> float:
        """The share of throttled calls at which the rate stays as it is."""
        share = max(THROTTLED_LAST, THROTTLED_FIRST * STAGE_FACTOR**self.stage)
        if self._state.is_single:
            return max(share, min(SINGLE_SHARE_MOST, self._state.jitter_slots))
        return share

    @property
    def is_single(self) -> bool:
        """Whether the limiter is known to admit one call at a time."""
        return self._state.burst < SINGLE and self.stage >= SINGLE_STAGE

    @property
    def _proof(self) -> float:
        """Accepted calls without a throttle after which an estimate is tested: its bounds are then 5 % apart."""
        return PROOF * self._state.slack

    def _prove(self) -> None:
        """Take the rate as proved if enough calls were accepted between the throttles that bound it."""
        bracket = self._state.bracket
        accepted = max(bracket.last_accepted(), bracket.accepted_between())
        self.is_proved = self.is_proved or accepted >= max(PROOF_LEAST, self._proof)

    def to_middle(self, highest: float) -> bool:
        """Set a rate that is not proved yet to where the throttles since its estimate leave it, at most to `highest`.

        Return False, and do nothing, if the rate is proved, or too few calls were accepted since, or the bucket is so
        small that it may have been full meanwhile.
        """
        state, bracket = self._state, self._state.bracket
        is_known = state.burst >= ESTIMATE_MARKS_BURST and bracket.accepted_between() >= MIDDLE_FROM
        if self.is_proved or not is_known:
            return False
        wanted = max(bracket.lowest_rate(state.slack), AFTER_CUT * bracket.middle_rate())
        state.rate = min(wanted, highest, state.ceiling)
        self.stage = UNPROVED_STAGE
        self._prove()
        return True

    @property
    def step(self) -> float:
        """What a throttle takes off the logarithm of the rate."""
        step = max(CUT_LAST, CUT_FIRST * STAGE_FACTOR**self.stage)
        if not self.is_single:
            return step
        return min(step, max(SINGLE_CUT, SINGLE_JITTERS * self._state.jitter_slots))

    def accepted(self, call: SentCall, now: float) -> Mode:
        """Grow so slowly that the wanted share of throttled calls pays for it. Test when there were none for long."""
        state, share = self._state, self.share
        if self._held > 0:
            self._held -= share
            return self
        in_flight = state.in_flight.expected(state.rate)
        growth = min(self.step * share, GROWTH_MOST / max(1.0, in_flight))
        state.rate = min(state.rate * exp(growth), state.ceiling)
        price = 1 + max(0.0, TEST_PRICE * (in_flight - TEST_PRICE_FROM))
        wanted = TEST_AFTER * price * self.backoff / share
        if not self.is_proved and state.bracket.accepted_between() < self._proof:
            wanted = min(wanted, max(in_flight, self._proof))
        if state.evidence > wanted and state.left > TEST_WORTH * (1 + min(TEST_REFUSALS, in_flight)):
            state.evidence = 0.0
            return UpTest(state, self, now)
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """Cut the rate by a step, but no further than the last throttles prove, and as far as they demand."""
        state = self._state
        if call.is_spare and not state.in_flight:
            return self  # the pace was above the rate: that the bucket is empty is all that it shows
        cut = state.rate * exp(-self.step * (1 - self.share))
        self.backoff = max(1.0, self.backoff / BACKOFF_DECAY)
        if state.episode.throttles_in_a_row == 1:
            if self.to_middle(highest=state.rate):
                cut = state.rate
            else:
                self._prove()
                lowest = state.bracket.lowest_rate(state.slack) if self.stage < LAST_STAGE else 0.0
                self.stage = min(self.stage + 1, LAST_STAGE if self.is_proved else UNPROVED_STAGE)
                cut = max(self._bracketed(cut), min(lowest, state.rate))
        state.rate = min(max(SLOWEST, cut), state.ceiling)
        if self.stage >= SINGLE_STAGE:
            state.learn_burst()
            if self.stage == LAST_STAGE and state.bracket.last_gap()[0] >= PRECISION[-1]:
                state.burst_log.clear()
        return self

    def _bracketed(self, cut: float) -> float:
        """Return `cut` within the bounds of the bracket. Go back to an earlier stage if they are a surprise."""
        state, bracket = self._state, self._state.bracket
        accepted, seconds = bracket.last_gap()
        if not seconds:
            return cut
        slack = 1 + 2 * cut * state.in_flight.jitter_s
        if accepted >= PRECISION[1] and self.stage < CAREFUL_STAGE:
            cut = max(cut, min(state.rate, (accepted - slack) / seconds))
        # a bucket of one is full again after every call, so older gaps say nothing
        is_lone = state.burst < SINGLE and self.stage >= SINGLE_GAP_STAGE and accepted >= PRECISION[0]
        is_precise = self.stage == LAST_STAGE and accepted >= ONE_GAP
        highest = bracket.highest_rate(slack, gaps=1 if is_lone or is_precise else Bracket.GAPS)
        is_surprise = highest < SURPRISE * state.rate
        is_blurred = self.stage == LAST_STAGE and state.in_flight.expected(cut) > BLURRED_IN_FLIGHT
        if cut <= highest or (is_blurred and not is_surprise):
            return cut  # a bound just below the rate would make throttles rarer than the wanted share
        if is_surprise:
            self.stage = min(self.stage, 1 + sum(accepted >= calls for calls in PRECISION))
        return highest

    def balance(self, accepted: int, refused: int) -> None:
        """Count the calls that were in flight at the last cut, too: at rest the wanted share is one of all calls.

        Those that were accepted raise the rate, and those that were throttled hold up growth.
        """
        if self.stage < LAST_STAGE:
            return
        self._held = min(self._held + refused, max(self._held, BALANCED_MOST)) - self.share * accepted
        if self._held < 0:
            self._state.rate = min(self._state.rate * exp(-self._held * self.step), self._state.ceiling)
            self._held = 0.0

    def hold_growth(self, refused: int) -> None:
        """Hold up growth after calls were refused in a crowd, so that a throttle does not come in company."""
        if self.stage >= CAREFUL_STAGE:
            self._held = min(self._held + refused, HOLD_MOST)

    def below_overshoot(self, call: SentCall, now: float, *, least: float) -> Mode:
        """Begin to follow below the pace of `call`, which outgrew the rate. `least`: a rate known to be safe."""
        state, rate = self._state, max(least, call.rate / OVERSHOOT)
        is_alike = rate / OVERSHOOT_ALIKE < self._overshot_rate < rate * OVERSHOOT_ALIKE
        self.overshoots = self.overshoots + 1 if is_alike else 1
        self.stage = min(self.overshoots, OVERSHOOT_STAGES)
        self._overshot_rate = state.rate = rate
        state.bracket.clear()
        state.bracket.mark(now)
        state.episode.count(least=call.rate * OVERSHOOT_LEAST)
        return self

    def at_estimate(self, rate: float, accepted: int, now: float) -> Mode:
        """Begin to follow an estimate of the rate from `accepted` calls that were in flight at the last cut."""
        state = self._state
        state.rate = min(max(state.episode.least, rate), state.ceiling)
        self.is_proved = False
        self.stage = next(stage for calls, stage in ESTIMATE_STAGES if accepted >= calls)
        state.bracket.clear()
        state.learn_burst()
        next_ticket = state.schedule.taken + 1
        state.episode.resume(now, next_ticket)
        is_known = accepted >= ESTIMATE_MARKS and state.burst >= ESTIMATE_MARKS_BURST
        if is_known and state.episode.most_unsent(state.rate) < SPARE_SHARE * (state.burst - 1):
            state.bracket.reopen()
        unsent = state.episode.unsent(now, state.rate, next_ticket)
        state.schedule.spare_calls = SPARE_SHARE * min(state.burst - 1, unsent)
        return self


class UpTest:
    """Test whether the rate has risen: grow until a throttle, then see whether more was accepted than a burst."""

    __slots__ = ("_accepted_before", "_began_at", "_follow", "_state", "settled_rate")

    def __init__(self, state: RateState, follow: Follow, now: float) -> None:
        self._state = state
        self._follow = follow
        self._began_at = now
        self._accepted_before = state.bracket.accepted
        self.settled_rate = state.rate

    is_single = False

    def gained(self, now: float) -> float:
        """Return how many calls were accepted in this test beyond what the old rate allows."""
        return self._state.bracket.accepted - self._accepted_before - self.settled_rate * (now - self._began_at)

    def accepted(self, call: SentCall, now: float) -> Mode:
        """Grow. While the known burst can pay for the test, grow only so far that its end costs little."""
        state, highest = self._state, inf
        if self.gained(now) <= state.burst + TEST_GAIN:
            in_flight = max(1e-9, state.in_flight.expected(self.settled_rate))
            highest = self.settled_rate * (1 + max(TEST_LEAST, min(TEST_MOST, TEST_REFUSALS / in_flight)))
        step = min(TEST_STEP_MOST, TEST_STEP * 2 ** (state.evidence // TEST_DOUBLING))
        wanted = state.rate * exp(step / max(1.0, state.in_flight.expected(call.rate)))
        state.speed_up(max(state.rate, min(wanted, highest)))
        return self

    def throttled(self, call: SentCall, now: float) -> Mode:
        """If more was accepted than the burst explains, the rate has risen; if not, go back to the old rate."""
        state, follow = self._state, self._follow
        if self.gained(now) >= state.burst + TEST_GAIN:
            follow.backoff = 1.0
            return follow.below_overshoot(call, now, least=self.settled_rate)
        if follow.to_middle(highest=call.rate):
            return follow
        accepted = state.bracket.accepted - self._accepted_before - state.burst - 1
        proven = accepted / max(now - self._began_at, 1 / self.settled_rate)
        lowest = min(state.bracket.lowest_rate(state.slack), call.rate)
        state.rate = min(max(self.settled_rate, proven, lowest), state.ceiling)
        follow.is_proved = True
        follow.backoff = min(BACKOFF_MAX, follow.backoff * FALSE_ALARM)
        follow.stage = max(TEST_IN_VAIN_STAGE, follow.stage - 1)
        return follow
