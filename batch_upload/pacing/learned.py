"""The law that learns: find the account's rate in seconds, then keep so near it that one call in 180 is throttled.

It hands each answer to the mode that decides at the time: slow_start.py and follow.py have one class for each mode.
Why it is as it is, what was tried, and how every constant was chosen: docs/decisions/pacing.md.
"""

from math import inf

from batch_upload.pacing.follow import OVERSHOOTS_OF_A_CROWD, SPARE_SHARE, Follow
from batch_upload.pacing.law import RateMemory
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall, pause_s
from batch_upload.pacing.slow_start import SlowStart

CEILING_PROOF = 20
"""Accepted calls in a row at the ceiling that show that the ceiling is allowed: fewer may come out of a burst."""
OUTAGE_THROTTLES = 3
"""Throttles in a row whose pauses let a small bucket fill, or that come of an outage: then the calls accepted until the
next throttle give no upper bound of the rate."""
STRICT_RATE = 10.0
"""Calls a second up to which it costs less to lose what a timer is late than to keep a margin for it with burst 1."""


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
        self._follow = Follow(self._state, stage=initial.stage, backoff=initial.backoff)
        self._remembered_rate = initial.rate
        self._accepted_at_ceiling = 0
        self._mode: Mode = self._follow
        if not initial.bounded:
            self._mode = SlowStart(self._state, self._follow, max(start, rate))

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
            rate, self._follow.stage, state.evidence, self._follow.backoff, state.burst, single=state.is_single
        )

    def expect(self, calls: int) -> None:
        state = self._state
        state.expected = state.bracket.accepted + calls
        if not state.schedule.taken:  # before the first call a remembered burst is likely to be there in full
            state.schedule.spare_calls = SPARE_SHARE * (state.burst - 1)

    def ready_at(self, now: float) -> float:
        return self._state.schedule.next_at

    def take(self, now: float) -> int:
        state = self._state
        state.schedule.is_strict = self._mode.is_single and state.rate <= STRICT_RATE
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
            state.bracket.mark(now)
        elif episode.throttles_in_a_row >= OUTAGE_THROTTLES:
            state.bracket.clear()
        schedule.spare_calls = 0.0
        self._mode = self._mode.throttled(call, now)
        state.evidence = 0.0
        slot_s, in_a_row = 1 / state.rate, episode.throttles_in_a_row
        if self._mode.is_single and not state.in_flight:
            # The token for which this call came too early is there a slot after the last one was taken.
            schedule.next_at = max(now, state.last_accepted_at + slot_s) + pause_s(in_a_row - 1, state.rate)
            return
        schedule.wait_until(max(schedule.taken_at + slot_s, now + pause_s(in_a_row, state.rate)))

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
