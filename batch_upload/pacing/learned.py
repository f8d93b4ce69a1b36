"""The law that learns: find the account's rate in seconds, then keep so near it that one call in 180 is throttled.

It hands each answer to the mode that decides at the time: slow_start.py and follow.py have one class for each mode.
Why it is as it is, what was tried, and how every constant was chosen: docs/decisions/pacing.md.
"""

from math import inf

from batch_upload.pacing.follow import OVERSHOOTS_OF_A_CROWD, SPARE_SHARE, TEST_WORTH, Follow
from batch_upload.pacing.law import RateMemory
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import CATCH_UP, SentCall, pause_s
from batch_upload.pacing.slow_start import AT_START, BURST_1_MARGIN, BinarySearch, SlowStart

CEILING_PROOF = 20
"""Accepted calls in a row at the ceiling that show that the ceiling is allowed: fewer may come out of a burst."""
OUTAGE_THROTTLES = 3
"""Throttles in a row whose pauses let a small bucket fill, or that come of an outage: then the calls accepted until the
next throttle give no upper bound of the rate."""
STRICT_RATE = 10.0
"""Calls a second up to which it costs less to lose what a timer is late than to keep a margin for it with burst 1."""
SPARE_MORE = 1.0
"""Calls beyond a remembered burst that a short batch uses up: the burst is known within one call. The throttle that
ends it costs a round trip, a token that is left in the bucket costs a slot."""
CATCH_UP_MOST = 4.0
"""The fastest use of a remembered burst, as a multiple of the rate."""
RETRY_MARGIN = 0.2
"""Slots that a retry keeps from an empty bucket of more than one token: without it the next throttles come so soon
that they cost more (docs/decisions/pacing.md, "The law", 9)."""


class LearnedRate:
    """Learns the rate of a limiter from its answers. A `RateLaw`.

    `start`: the first rate, unless there is a `memory`. `ceiling`: never passed. Both are calls a second. Calls that
    leave later than they may, because there is no work or every worker is busy, teach it nothing.
    """

    def __init__(self, start: float, *, ceiling: float | None = None, memory: RateMemory | None = None) -> None:
        initial = RateMemory(start, stage=0, bounded=False) if memory is None else memory
        highest = inf if ceiling is None else ceiling
        rate = min(initial.rate, highest)
        self._state = RateState(rate, highest, initial.burst, initial.evidence)
        self._state.is_single = initial.single
        self._state.refused = initial.refused
        self._follow = Follow(self._state, stage=initial.stage, backoff=initial.backoff)
        self._remembered_rate = initial.rate
        self._accepted_at_ceiling = 0
        self._mode: Mode = self._follow
        if not initial.bounded:
            self._mode = SlowStart(self._state, self._follow, max(start, rate))
        elif initial.single and rate <= start and initial.refused > start:
            # it ended at the start rate, perhaps because too few calls were left: go on where this batch is worth it
            low, high = rate / BURST_1_MARGIN, initial.refused
            self._mode = BinarySearch(self._state, self._follow, low=low, high=high, at_start=AT_START)

    @property
    def rate(self) -> float:
        return self._state.rate

    def memory(self) -> RateMemory | None:
        """Return what the next run may start with, or None while nothing bounds the rate.

        A pace that ends at the ceiling shows only that the ceiling is allowed, so it replaces no higher rate.
        """
        state = self._state
        if state.rate >= state.ceiling:
            if self._accepted_at_ceiling < CEILING_PROOF or self._remembered_rate > state.ceiling:
                return None
            return RateMemory(state.ceiling, stage=0, bounded=False)
        rate = self._mode.settled_rate
        if rate is None:
            return None
        return RateMemory(
            rate,
            self._follow.stage,
            state.evidence,
            self._follow.backoff,
            # the run may end before a burst is learned
            burst=state.burst if state.burst > 1.0 else max(1.0, state.burst_log.burst(rate)),
            single=state.is_single,
            refused=state.refused,
        )

    def expect(self, calls: int) -> None:
        state = self._state
        state.expected = state.bracket.accepted + calls
        if not state.schedule.taken:  # before the first call a remembered burst is likely to be there in full
            spare = SPARE_SHARE * (state.burst - 1)
            if spare and self._is_short:
                spare = state.burst + SPARE_MORE
                fastest = calls / max(1.0, calls - spare)  # is empty with the last call
                state.schedule.catch_up = max(CATCH_UP, min(CATCH_UP_MOST, fastest))
            state.schedule.spare_calls = spare

    def ready_at(self, now: float) -> float:
        return self._state.schedule.next_at

    def take(self, now: float) -> int:
        state = self._state
        state.schedule.is_strict = self._mode.is_single and state.rate <= STRICT_RATE
        state.schedule.has_burst = state.burst >= 2.0
        call = state.schedule.take(now, state.rate, ceiling=state.ceiling)
        if call.is_after_pause:
            state.bracket.clear()
            state.episode.is_counting = False
        ticket = state.schedule.taken
        state.in_flight.add(ticket, call)
        return ticket

    def unanswered(self, ticket: int, now: float) -> None:
        self._state.in_flight.lost(ticket)

    def accepted(self, ticket: int, now: float) -> None:
        state, episode = self._state, self._state.episode
        call = state.in_flight.answered(ticket, now)
        episode.throttles_in_a_row = 0
        state.bracket.accepted += 1
        state.last_accepted_at = max(state.last_accepted_at, call.at)
        state.burst_log.add(call.at)
        if ticket < episode.first_ticket:
            episode.add(ticket, call.at, accepted=True)
            return
        self._end_episode()
        if call.is_full_pace and state.rate < state.ceiling:
            state.evidence += 1
            self._mode = self._mode.accepted(call, now)
        elif call.is_full_pace:
            self._accepted_at_ceiling += 1

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        state, episode = self._state, self._state.episode
        call = state.in_flight.answered(ticket, now)
        is_new = ticket >= episode.first_ticket
        if not is_new:
            episode.add(ticket, call.at, accepted=False)
        accepted, rate = episode.estimate(state.in_flight)
        if accepted:
            self._mode = self._follow.at_estimate(rate, accepted, now)
        if is_new:
            self._begin_episode(ticket, call, now)
        if retry_after_s is not None:
            state.schedule.wait_until(now + retry_after_s)

    def _begin_episode(self, ticket: int, call: SentCall, now: float) -> None:
        """Cut the rate, because a call that left after the last cut was throttled. Older calls say nothing new."""
        state, episode, schedule = self._state, self._state.episode, self._state.schedule
        self._end_episode()
        self._accepted_at_ceiling = 0
        episode.begin(now, ticket, call.at, schedule.taken + 1)
        if episode.throttles_in_a_row == 1:
            state.bracket.mark(now, self._gap_s(call))
        elif episode.throttles_in_a_row >= OUTAGE_THROTTLES:
            state.bracket.clear()
        schedule.spare_calls, schedule.catch_up = 0.0, CATCH_UP
        self._mode = self._mode.throttled(call, now)
        state.evidence = 0.0
        slot_s, in_a_row = 1 / state.rate, episode.throttles_in_a_row
        if not state.in_flight and (self._mode.is_single or self._is_short):
            # The token for which this call came too early is there a slot after the last one was taken.
            margin_s = 0.0 if self._mode.is_single else RETRY_MARGIN * slot_s
            due_at = max(now, state.last_accepted_at + slot_s) + margin_s
            schedule.next_at = due_at + pause_s(in_a_row - 1, state.rate)
            return
        schedule.wait_until(max(schedule.taken_at + slot_s, now + pause_s(in_a_row, state.rate)))

    @property
    def _is_short(self) -> bool:
        """Whether so few calls are left that a slot weighs more than a throttle."""
        return self._state.left < TEST_WORTH

    def _gap_s(self, call: SentCall) -> float:
        """Return the seconds from the last accepted call to this one, which was throttled; 0 where they do not help.

        They tell how many tokens the bucket holds at the throttle. With burst 1, jitter says the same more exactly; in
        a long run throttles are so far apart that it adds nothing.
        """
        state = self._state
        is_known = self._is_short and not state.in_flight and state.bracket.accepted > 0
        return call.at - state.last_accepted_at if is_known and not self._mode.is_single else 0.0

    def _end_episode(self) -> None:
        """Judge the calls that were in flight at the last cut by the answers so far.

        If most of them were refused, refusals cost tokens or come by windows. Then they count as if they had been
        accepted, or the rate would seem lower than it is, and they hold up growth.
        """
        accepted, refused = self._state.episode.end()
        if refused > accepted or self._follow.overshoots >= OVERSHOOTS_OF_A_CROWD:
            self._state.bracket.refused += refused
            if self._mode is self._follow:
                self._follow.hold_growth(refused)
        elif self._mode is self._follow:
            self._follow.balance(accepted, refused)
