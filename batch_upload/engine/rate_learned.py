"""The law that learns: find the account's rate in seconds, then stay so near that one call in 170 is throttled.

Why it is as it is, what was tried, and how every constant here was chosen: docs/decisions/pacing.md.
"""

from enum import Enum, auto
from math import exp, inf, sqrt

from batch_upload.engine.rate_evidence import Aftermath, Bracket, Flight, Opening, Sent
from batch_upload.engine.rate_law import Pace, RateMemory, pause_s

LAST_STAGE = 6
CAREFUL_STAGE = 5
"""From here on the rate counts as known, and tests are kept short."""
STEP = 0.55
"""Each throttle makes steps and throttles rarer by this factor, down to what is wanted at rest."""
CUT_FIRST, CUT_LAST = 0.35, 0.01
THROTTLED_FIRST, THROTTLED_LAST = 0.20, 0.006
"""The share of throttled calls at which the pace stays as it is: at the first stage, and at rest."""
PRECISION = (5, 10, 20, 40, 80)
"""Accepted calls between two throttles that allow the stages from 2 on: N calls know the rate within 1/N."""
SURPRISE = 0.97
"""A bound below this part of the pace shows that it was not known; above, that a few refusals came together."""
SLOWEST = 1e-3
"""Calls a second below which no throttle pushes the pace."""

DOUBLE_WITHIN_S = 0.2
"""The search grows at most as fast as this many seconds allow a doubling, however short the round trip."""
GROWTH, MANY_AT_ONCE = 1.5, 7.0
"""The search grows by 1 + GROWTH a round trip, by half of GROWTH with so many calls under way.

A round trip in which it grows by g has about g - 1 of all that was accepted refused when a burst is used up.
"""
MARGIN = 0.95
"""Burst 1 and the jitter of a network leave about this much of a rate (docs/decisions/pacing.md)."""
BURST_OF_DEFAULT = 8.0
"""A first throttle after so few calls more than the start rate allows speaks for the start rate."""

PROBE_STEP = 0.04
"""Where the first throttle came close to the start rate, the pace creeps up by this much a call until the next one."""

SINGLE = 1.3
"""A burst below this was learned of a bucket that lets one call through at a time."""
SINGLE_CUT, SINGLE_JITTERS = 0.02, 2.0
"""A cut at most where one call is let through at a time, and in slots of jitter if that is more.

There each call that was accepted proves its pace, as exactly as the jitter lets it.
"""
CEILING_PROOF = 20
"""Accepted calls in a row at the ceiling that show that the ceiling is allowed: fewer may come out of a burst."""
PUNCTUAL_RATE = 10.0
"""Calls a second up to which it costs less to lose what a timer is late than to keep a margin for it with burst 1."""

SPENDING, SPENT_SHARE = 1.25, 0.75
"""What a bucket gained while nobody called is used up at so many times the pace; only so much, for it is a guess."""

TEST_AFTER = 1.5
"""A test for a higher rate comes after so many times the accepted calls that one throttle is expected in."""
TEST_REFUSALS = 3.0
"""A test within the known burst grows no further than its end costs about so many refusals."""
FALSE_ALARM, BACKOFF_MAX, BACKOFF_DECAY = 1.5, 4.0, 1.03
PATIENCE = 10.0
"""Refusals at most that hold up growth, each for as long as one throttle is worth."""


class Mode(Enum):
    """What the pace does while calls are accepted: grow fast, grow to an old bound, creep up, follow, test for more."""

    SEARCH = auto()
    CLIMB = auto()
    PROBE = auto()
    FOLLOW = auto()
    TEST = auto()


class LearnedRate:
    """Learns the rate of a limiter from its answers. A `RateLaw`.

    `start` is the first rate, unless there is a `memory`; `ceiling` is never passed. Calls that leave slower than they
    may, because there is no work or every worker is busy, teach it nothing.
    """

    def __init__(self, start: float, *, ceiling: float | None = None, memory: RateMemory | None = None) -> None:
        self._start = start
        self._ceiling = inf if ceiling is None else ceiling
        self._remembered = start if memory is None else memory.rate
        self._rate = min(self._remembered, self._ceiling)
        if memory is not None and not memory.bounded:
            self._start = max(start, self._rate)
        self._mode = Mode.FOLLOW if memory is not None and memory.bounded else Mode.SEARCH
        self._at_ceiling = 0
        self._stage = 0 if memory is None else memory.stage
        self._evidence = 0.0 if memory is None else memory.evidence
        self._backoff = 1.0 if memory is None else memory.backoff
        self._burst = 1.0 if memory is None else memory.burst
        self._pace = Pace()
        self._flight = Flight()
        self._bracket = Bracket()
        self._aftermath = Aftermath()
        self._opening = Opening()
        self._cut_ticket = 0
        self._row = 0
        self._crowd_accepted = 0
        self._crowd_refused = 0
        self._held = 0.0
        self._grown = 1.0
        self._search_rate = inf
        self._used_up = 1.0
        self._test_from = (0.0, 0, 0.0)
        self._climbs = 0
        self._climbed_to = 0.0
        self._least = 0.0
        self._cut_at = 0.0
        self._surplus = 0.0

    @property
    def rate(self) -> float:
        return self._rate

    def memory(self) -> RateMemory | None:
        """What the next run may start with; None as long as nothing bounds the rate, for a burst looks like one.

        A pace that ends at the ceiling shows only that the ceiling is allowed: what was known of more stays as it is.
        """
        if self._rate >= self._ceiling:
            if self._at_ceiling < CEILING_PROOF or self._remembered > self._ceiling:
                return None
            return RateMemory(self._ceiling, stage=0, bounded=False)
        if self._mode is Mode.SEARCH:
            return None
        rate = self._test_from[2] if self._mode is Mode.TEST else self._rate
        return RateMemory(rate, self._stage, self._evidence, self._backoff, self._burst)

    def ready_at(self, now: float) -> float:
        return self._pace.at

    def take(self, now: float) -> int:
        spends = self._surplus > 0
        self._pace.punctual = self._is_single and self._rate <= PUNCTUAL_RATE
        if self._pace.take(now, 1 / (self._rate * SPENDING if spends else self._rate)):
            self._bracket.clear()
            self._aftermath.open = False
            self._surplus = 0.0
        ticket = self._pace.tickets
        if spends:
            self._surplus -= 1 - 1 / SPENDING
        self._flight.leave(ticket, Sent(now, self._rate, self._pace.pressed and not spends))
        return ticket

    def unanswered(self, ticket: int, now: float) -> None:
        self._flight.lose(ticket)

    def accepted(self, ticket: int, now: float) -> None:
        call = self._flight.land(ticket, now)
        self._row = 0
        self._bracket.accepted += 1
        if self._mode is Mode.SEARCH:
            self._opening.add(call.at)
        if ticket < self._cut_ticket:
            self._crowd_accepted += 1
            return
        self._close_crowd()
        self._aftermath.open = False
        if call.pressed and self._rate < self._ceiling:
            self._evidence += 1
            self._grow(call, now)
        elif call.pressed:
            self._at_ceiling += 1

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        call = self._flight.land(ticket, now)
        if self._aftermath.open:
            self._estimate(now)
        if ticket < self._cut_ticket:
            self._crowd_refused += 1
        else:
            self._throttled_first(call, now)
        if retry_after_s is not None:
            self._pace.wait_until(now + retry_after_s)

    def _throttled_first(self, call: Sent, now: float) -> None:
        """A throttle of a call that left at the present pace. Those already under way say nothing new about it."""
        self._close_crowd()
        self._aftermath.open = False
        self._at_ceiling = 0
        self._cut_ticket = self._pace.tickets + 1
        self._row += 1
        if self._row == 1:
            self._bracket.mark(now)
        self._cut_at, self._surplus = now, 0.0
        self._cut(call, now)
        self._evidence = 0.0
        self._pace.wait_until(max(self._pace.taken_at + 1 / self._rate, now + pause_s(self._row, self._rate)))

    # Growing

    def _grow(self, call: Sent, now: float) -> None:
        at_once = self._flight.at_once(call.rate)
        if self._mode is Mode.SEARCH:
            doubling = max(1.0, at_once, call.rate * DOUBLE_WITHIN_S)
            self._grown = (1 + GROWTH / (1 + at_once / MANY_AT_ONCE)) ** (1 / doubling)
            self._speed_up(self._rate * self._grown)
        elif self._mode is Mode.CLIMB:
            self._speed_up(self._rate * exp(self._climb_step() / max(1.0, at_once)))
        elif self._mode is Mode.PROBE:
            self._speed_up(self._rate * exp(PROBE_STEP / max(1.0, at_once)))
        elif self._mode is Mode.TEST:
            wanted = self._rate * exp(min(0.12, 0.02 * 2 ** (self._evidence // 16)) / max(1.0, at_once))
            self._speed_up(max(self._rate, min(wanted, self._test_limit(now))))
        else:
            self._follow(now)

    def _speed_up(self, rate: float) -> None:
        """Take a higher rate, and let the slot that is waited for come as much earlier."""
        slot_s = 1 / self._rate
        self._rate = min(rate, self._ceiling)
        self._pace.at -= slot_s - 1 / self._rate

    def _climb_step(self) -> float:
        if self._rate > self._search_rate / 4:
            return 0.04
        return min(0.2, 6 / self._used_up, 0.05 * 2 ** (self._evidence // 8))

    def _follow(self, now: float) -> None:
        """Grow so slowly that the wanted share of throttled calls pays for it; test, when there were none for long."""
        share = self._share()
        if self._held > 0:
            self._held -= share
            return
        at_once = self._flight.at_once(self._rate)
        step = min(self._step() * share, 0.01 / max(1.0, at_once))
        self._rate = min(self._rate * exp(step), self._ceiling)
        price = 1 + max(0.0, 0.1 * (at_once - 4))
        if self._evidence > TEST_AFTER * price * self._backoff / share:
            self._mode, self._evidence = Mode.TEST, 0.0
            self._test_from = (now, self._bracket.accepted, self._rate)

    def _share(self) -> float:
        return max(THROTTLED_LAST, THROTTLED_FIRST * STEP**self._stage)

    def _step(self) -> float:
        step = max(CUT_LAST, CUT_FIRST * STEP**self._stage)
        if not self._is_single:
            return step
        return min(step, max(SINGLE_CUT, SINGLE_JITTERS * self._rate * self._flight.jitter_s))

    def _test_limit(self, now: float) -> float:
        """As long as the burst that is known can pay for the test, it goes so fast only that its end costs little."""
        base = self._test_from[2]
        if self._gained(now) > self._burst + 2:
            return inf
        at_once = max(1e-9, self._flight.at_once(base))
        return base * (1 + max(0.1, min(0.5, TEST_REFUSALS / at_once)))

    def _gained(self, now: float) -> float:
        """Calls accepted in a test beyond what its old rate allows."""
        since, accepted_before, base = self._test_from
        return self._bracket.accepted - accepted_before - base * (now - since)

    # Cutting

    def _cut(self, call: Sent, now: float) -> None:
        if self._mode is Mode.SEARCH:
            self._end_search(call, now)
        elif self._mode is Mode.CLIMB:
            self._end_growth(call, now, least=0.0)
        elif self._mode is Mode.PROBE:
            self._end_probe(call, now)
        elif self._mode is Mode.TEST and self._gained(now) < self._burst + 2:
            self._end_test_in_vain(now)
        elif self._mode is Mode.TEST:
            self._backoff = 1.0
            self._end_growth(call, now, least=self._test_from[2])
        else:
            self._cut_to_follow()

    def _end_search(self, call: Sent, now: float) -> None:
        """The first throttle. It bounds nothing but burst and rate together, so go back to where either is likely."""
        self._opening.end(call.at)
        self._aftermath.begin(now, self._bracket.accepted)
        self._search_rate = call.rate
        used_up = self._opening.used_up(self._start)
        self._used_up = max(1.0, used_up)
        self._mode = Mode.CLIMB
        if used_up <= 1.5:
            self._rate = MARGIN * max(self._start, call.rate / self._grown)
            self._mode, self._stage = Mode.PROBE, 2
        elif used_up <= BURST_OF_DEFAULT:
            self._rate = max(MARGIN * self._start, sqrt(call.rate * self._start) / 4)
        else:
            self._rate = sqrt(call.rate * self._start) / 2
        self._rate = min(self._rate, self._ceiling)

    def _end_growth(self, call: Sent, now: float, *, least: float) -> None:
        """The pace has outgrown the rate. `least` is known to be below it."""
        rate = max(least, call.rate / 1.3)
        again = rate / 1.5 < self._climbed_to < rate * 1.5
        self._climbs = self._climbs + 1 if again else 1
        self._climbed_to = self._rate = rate
        self._least = call.rate / 2
        self._mode, self._stage = Mode.FOLLOW, min(self._climbs, 4)
        self._bracket.clear()
        self._bracket.mark(now)
        self._aftermath.begin(now, self._bracket.accepted)

    def _end_probe(self, call: Sent, now: float) -> None:
        """The pace crept up from the start rate until it was refused: the rate is a step or two below."""
        self._mode = Mode.FOLLOW
        if self._row > 1 or self._evidence <= 3:
            self._cut_to_follow()
            return
        self._rate, self._stage = call.rate * exp(-1.5 * PROBE_STEP), 3
        self._bracket.clear()  # the bucket may have been full while the pace was below the rate
        self._bracket.mark(now)

    def _end_test_in_vain(self, now: float) -> None:
        """The rate has not risen: all that was accepted came out of the burst."""
        since, accepted_before, base = self._test_from
        proven = (self._bracket.accepted - accepted_before - self._burst - 1) / max(now - since, 1 / base)
        self._rate, self._mode = max(base, proven), Mode.FOLLOW
        self._backoff = min(BACKOFF_MAX, self._backoff * FALSE_ALARM)
        self._stage = max(3, self._stage - 1)

    def _cut_to_follow(self) -> None:
        cut = self._rate * exp(-self._step() * (1 - self._share()))
        self._backoff = max(1.0, self._backoff / BACKOFF_DECAY)
        if self._row == 1:
            self._stage = min(self._stage + 1, LAST_STAGE)
            cut = self._bracketed(cut)
        self._rate = max(SLOWEST, cut)
        if len(self._opening) and self._stage >= 3:
            self._learn_burst()

    def _bracketed(self, cut: float) -> float:
        """A cut that goes no further than the last throttles prove, and as far as they demand."""
        accepted, seconds = self._bracket.last()
        if not seconds:
            return cut
        slack = 1 + 2 * cut * self._flight.jitter_s
        if accepted >= PRECISION[1] and self._stage < CAREFUL_STAGE:
            cut = max(cut, min(self._rate, (accepted - slack) / seconds))
        most = self._bracket.most(slack, gaps=self._gaps(accepted))
        if cut <= most:
            return cut
        if most < SURPRISE * self._rate:
            self._stage = min(self._stage, 1 + sum(accepted >= calls for calls in PRECISION))
        return most

    @property
    def _is_single(self) -> bool:
        return self._burst < SINGLE and self._mode is Mode.FOLLOW and self._stage >= 3

    def _gaps(self, accepted: int) -> int:
        """How many gaps between throttles to look back on.

        One, if it is long enough to know the rate within 1 %, or if a burst of one is full again after every call.
        """
        at_rest = self._stage == LAST_STAGE and accepted >= 100
        alone = self._burst < SINGLE and self._stage >= 4 and accepted >= PRECISION[0]
        return 1 if at_rest or alone else Bracket.GAPS

    # What the calls under way say

    def _estimate(self, now: float) -> None:
        """Take the rate from the calls that were under way when the pace had outgrown it."""
        accepted, rate = self._aftermath.estimate(now, self._bracket.accepted, self._flight)
        if not accepted:
            return
        self._mode = Mode.FOLLOW
        self._rate = min(max(self._least, rate), self._ceiling)
        self._stage = 2 if accepted < 12 else 3 if accepted < 30 else 4
        self._bracket.clear()
        if len(self._opening):
            self._learn_burst()
        if self._burst >= 15 and accepted >= 20:
            self._bracket.mark(now)
        self._surplus = SPENT_SHARE * min(self._burst - 1, self._unsent(now))

    def _unsent(self, now: float) -> float:
        """The calls that the rate would have allowed since the last cut, and that were not sent: a bucket kept them."""
        return max(0.0, self._rate * (now - self._cut_at) - (self._pace.tickets + 1 - self._cut_ticket))

    def _learn_burst(self) -> None:
        self._burst = max(1.0, self._opening.burst(self._rate))
        if self._stage == LAST_STAGE and self._bracket.last()[0] >= PRECISION[-1]:
            self._opening = Opening()

    def _close_crowd(self) -> None:
        """The last of the calls that were under way at a cut is answered.

        Where most of them were refused, refusals cost tokens or come by windows: then they count as if they had been
        accepted, lest the rate be thought lower than it is, and hold up growth, lest a throttle come in company.
        """
        refused, accepted = self._crowd_refused, self._crowd_accepted
        self._crowd_refused = self._crowd_accepted = 0
        if refused <= accepted and self._climbs < 2:
            return
        self._bracket.refused += refused
        if self._stage >= CAREFUL_STAGE and self._mode is Mode.FOLLOW:
            self._held = min(self._held + refused, PATIENCE)
