"""Each mode by itself: how it grows, how it cuts, and which mode follows."""

from math import exp, inf, sqrt

import pytest

from batch_upload.pacing.follow import Follow, UpTest
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.schedule import SentCall
from batch_upload.pacing.slow_start import Climb, Creep, SlowStart


def state_at(rate: float, *, burst: float = 1.0, ceiling: float = inf) -> RateState:
    """A state whose calls come back at once, so that one is in flight at most."""
    return RateState(rate, ceiling, burst, evidence=0.0)


def following(state: RateState, *, stage: int = 6) -> Follow:
    return Follow(state, stage=stage, backoff=1.0)


def call_at(at: float, rate: float) -> SentCall:
    return SentCall(at, rate, is_full_pace=True, is_after_pause=False)


def cut(mode: Mode, state: RateState, call: SentCall) -> Mode:
    """Throttle a call that left after the last cut."""
    state.episode.begin(call.at, 1)
    return mode.throttled(call, call.at)


def slow_start_until(throttled_at: float, *sent_at: float, rate: float = 40.0) -> tuple[Mode, RateState]:
    """A slow start from 1/s whose accepted calls left at these times, and what follows its first throttle."""
    state = state_at(1.0)
    mode = SlowStart(state, following(state, stage=0), 1.0)
    for at in sent_at:
        state.burst_log.add(at)
        mode.accepted(call_at(at, state.rate), at)
    return cut(mode, state, call_at(throttled_at, rate)), state


def test_a_slow_start_grows_by_half_as_much_again_and_has_nothing_to_remember() -> None:
    state = state_at(1.0)
    mode = SlowStart(state, following(state), 1.0)

    assert mode.accepted(call_at(0.0, 1.0), 0.1) is mode
    assert state.rate == pytest.approx(2.5)
    assert mode.settled_rate is None


def test_however_short_the_round_trip_a_slow_start_grows_no_faster_than_that_in_a_fifth_of_a_second() -> None:
    state = state_at(100.0)

    SlowStart(state, following(state), 1.0).accepted(call_at(0.0, 100.0), 0.001)

    assert state.rate == pytest.approx(100 * 2.5 ** (1 / 20))


def test_a_first_throttle_close_to_the_start_rate_is_followed_by_creeping_up_from_there() -> None:
    mode, state = slow_start_until(1.9, 0.0, 1.0, rate=1.0)

    assert isinstance(mode, Creep)
    assert state.rate == pytest.approx(0.95)


def test_a_first_throttle_after_a_burst_of_a_few_calls_is_followed_by_a_climb_from_near_the_start_rate() -> None:
    mode, state = slow_start_until(0.5, *(n / 10 for n in range(5)))

    assert isinstance(mode, Climb)
    assert state.rate == pytest.approx(sqrt(40) / 4)


def test_a_first_throttle_after_many_calls_is_followed_by_a_climb_from_half_of_the_middle() -> None:
    mode, state = slow_start_until(0.5, *(n / 100 for n in range(40)))

    assert isinstance(mode, Climb)
    assert state.rate == pytest.approx(sqrt(40) / 2)


def test_a_creep_goes_up_four_percent_a_call_and_back_by_a_step_and_a_half() -> None:
    state = state_at(1.0)
    follow = following(state)
    mode = Creep(state, follow)

    mode.accepted(call_at(0.0, 1.0), 0.1)
    assert state.rate == pytest.approx(exp(0.04))
    state.evidence = 9.0

    assert cut(mode, state, call_at(9.0, 1.2)) is follow
    assert state.rate == pytest.approx(1.2 * exp(-0.06))
    assert follow.stage == 3


def test_a_creep_that_is_throttled_at_once_has_not_reached_the_rate() -> None:
    state = state_at(1.0)
    follow = following(state)

    assert cut(Creep(state, follow), state, call_at(0.0, 1.0)) is follow
    assert state.rate < exp(-0.06)


def test_a_climb_grows_faster_and_faster_and_slowly_near_the_pace_that_failed() -> None:
    state = state_at(1.0)
    mode = Climb(state, following(state), failed_rate=100.0, used_up=10.0)
    grown = []
    for evidence, rate in ((0.0, 1.0), (8.0, 1.0), (80.0, 1.0), (80.0, 26.0)):
        state.evidence, state.rate = evidence, rate
        mode.accepted(call_at(0.0, rate), 0.1)
        grown.append(state.rate / rate)

    assert grown == pytest.approx([exp(0.05), exp(0.1), exp(0.2), exp(0.04)])


def test_a_climb_into_a_large_burst_takes_smaller_steps() -> None:
    state = state_at(1.0)
    state.evidence = 80.0

    Climb(state, following(state), failed_rate=100.0, used_up=60.0).accepted(call_at(0.0, 1.0), 0.1)

    assert state.rate == pytest.approx(exp(0.1))


def test_a_second_overshoot_near_the_first_begins_a_stage_further_on() -> None:
    state = state_at(13.0)
    follow = following(state)

    for stage, rate in ((1, 13.0), (2, 14.0), (1, 40.0)):
        assert cut(Climb(state, follow, failed_rate=50.0, used_up=2.0), state, call_at(0.0, rate)) is follow
        assert state.rate == pytest.approx(rate / 1.3)
        assert follow.stage == stage
        assert state.episode.is_counting
        assert state.episode.least == rate / 2


def test_at_rest_an_accepted_call_pays_for_six_throttles_in_a_thousand() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)

    follow.accepted(call_at(0.0, 10.0), 0.1)
    assert state.rate == pytest.approx(10 * exp(0.01 * 0.006))
    state.rate = 10.0
    cut(follow, state, call_at(1.0, 10.0))

    assert state.rate == pytest.approx(10 * exp(-0.01 * 0.994))


def test_growth_is_held_up_for_each_refusal_of_a_crowd_and_ten_at_most() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)
    follow.hold_growth(1_000)

    calls = 0
    while state.rate == 10.0:
        follow.accepted(call_at(0.0, 10.0), 0.1)
        calls += 1

    assert calls == pytest.approx(10 / 0.006, abs=2)


def test_an_estimate_of_more_calls_allows_a_later_stage_and_is_never_below_what_is_safe() -> None:
    for accepted, stage in ((5, 2), (11, 2), (12, 3), (29, 3), (30, 4)):
        state = state_at(50.0)
        follow = following(state)
        state.episode.begin(0.0, 1)
        state.episode.count(least=9.0)

        assert follow.at_estimate(8.0, accepted, 0.2) is follow
        assert (state.rate, follow.stage) == (9.0, stage)


@pytest.mark.parametrize(("burst", "accepted", "gap"), [(15.0, 20, 7), (14.0, 20, 0), (15.0, 19, 0)])
def test_an_estimate_of_many_calls_from_a_large_burst_shows_that_the_bucket_was_empty(
    burst: float, accepted: int, gap: int
) -> None:
    state = state_at(50.0, burst=burst)
    following(state).at_estimate(20.0, accepted, 1.0)
    state.bracket.accepted += 7

    state.bracket.mark(2.0)

    assert state.bracket.last_gap() == ((gap, 1.0) if gap else (0, 0.0))


def test_after_an_estimate_three_quarters_of_what_was_not_sent_are_spare_up_to_the_burst() -> None:
    for burst, spare in ((41.0, 15.0), (11.0, 7.5)):
        state = state_at(50.0, burst=burst)
        state.episode.begin(0.0, 1)

        following(state).at_estimate(20.0, 30, 1.0)

        assert state.schedule.spare_calls == pytest.approx(spare)


def test_a_test_for_a_higher_rate_begins_after_enough_accepted_calls_and_remembers_the_old_rate() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)
    state.evidence = 1.5 / 0.006
    assert follow.accepted(call_at(0.0, 10.0), 0.1) is follow
    state.evidence += 1

    mode = follow.accepted(call_at(0.1, 10.0), 0.2)

    assert isinstance(mode, UpTest)
    assert state.evidence == 0
    assert mode.settled_rate == state.rate
    mode.accepted(call_at(0.2, 10.0), 0.3)
    assert state.rate == pytest.approx(mode.settled_rate * exp(0.02))


def test_a_test_within_the_burst_goes_half_beyond_the_old_rate_at_most() -> None:
    state = state_at(10.0, burst=50.0)
    mode = UpTest(state, following(state), 0.0)

    for _ in range(100):
        mode.accepted(call_at(0.0, state.rate), 0.1)

    assert state.rate == pytest.approx(15.0)


def test_a_test_in_vain_goes_back_and_the_next_needs_half_as_much_evidence_again_up_to_four_times() -> None:
    state, backoffs = state_at(10.0, burst=5.0), []
    follow = following(state)
    for _ in range(5):
        mode = UpTest(state, follow, 0.0)
        state.rate = 13.0
        state.bracket.accepted += 12

        assert cut(mode, state, call_at(1.0, 13.0)) is follow
        assert state.rate == 10.0
        backoffs.append(follow.backoff)

    assert backoffs == [1.5, 2.25, 3.375, 4.0, 4.0]
    assert follow.stage == 3


def test_a_test_that_gained_more_than_the_burst_has_found_a_higher_rate() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)
    follow.backoff = 4.0
    mode = UpTest(state, follow, 0.0)
    state.bracket.accepted += 17

    assert cut(mode, state, call_at(1.0, 20.8)) is follow
    assert state.rate == pytest.approx(16.0)
    assert follow.backoff == 1.0
