"""The modes that find a rate: how each grows, how it cuts, and which mode follows."""

from math import exp, sqrt

import pytest

from batch_upload.pacing.follow import Follow
from batch_upload.pacing.mode import Mode, RateState
from batch_upload.pacing.slow_start import BinarySearch, Climb, SlowStart
from tests.support.pacing_modes import call_at, cut, following, state_at


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


def test_a_slow_start_of_many_calls_goes_at_once_to_the_pace_at_which_they_take_two_minutes() -> None:
    state = state_at(1.0)
    state.expected = 1_200.0
    state.in_flight.round_trip_s = 0.1

    SlowStart(state, following(state), 1.0).accepted(call_at(0.0, 1.0), 0.1)

    assert state.rate == pytest.approx(10.0)


def test_a_slow_start_over_a_long_way_sends_no_more_blindly_than_growing_does() -> None:
    state = state_at(1.0)
    state.expected = 3_000.0
    state.in_flight.round_trip_s = 0.5

    SlowStart(state, following(state), 1.0).accepted(call_at(0.0, 1.0), 0.5)

    assert state.rate == pytest.approx(2.5 / 0.5)


def test_a_slow_start_of_few_calls_does_not_grow_beyond_the_pace_at_which_they_take_four_seconds() -> None:
    state = state_at(1.0)
    state.expected = 24.0
    mode = SlowStart(state, following(state), 1.0)

    for _ in range(9):
        mode.accepted(call_at(0.0, state.rate), 0.1)

    assert state.rate == pytest.approx(6.0)


def test_a_limiter_that_refuses_the_second_call_admits_one_at_a_time_and_its_rate_is_searched() -> None:
    mode, state = slow_start_until(0.4, 0.0, rate=2.5)

    assert isinstance(mode, BinarySearch)
    assert state.is_single
    assert state.rate == pytest.approx(0.95)


def test_a_second_call_that_is_refused_while_an_earlier_one_is_in_flight_proves_no_burst_of_one() -> None:
    state = state_at(1.0)
    mode = SlowStart(state, following(state, stage=0), 1.0)
    state.burst_log.add(0.0)
    state.in_flight.add(2, call_at(0.2, 5.0))

    assert isinstance(cut(mode, state, call_at(0.4, 5.0)), Climb)
    assert not state.is_single


def test_a_first_throttle_of_few_calls_after_a_small_burst_is_followed_by_a_gentle_climb_from_the_start_rate() -> None:
    for expected, rate in ((25.0, 0.95), (2_000.0, sqrt(40))):
        state = state_at(1.0)
        state.expected = expected
        mode = SlowStart(state, following(state, stage=0), 1.0)
        for at in (0.0, 0.1, 0.2, 0.3, 0.4):
            state.burst_log.add(at)

        assert isinstance(cut(mode, state, call_at(0.5, 40.0)), Climb)
        assert state.rate == pytest.approx(rate)


def test_a_first_throttle_after_many_calls_is_followed_by_a_climb_from_the_middle() -> None:
    mode, state = slow_start_until(0.5, *(n / 100 for n in range(40)))

    assert isinstance(mode, Climb)
    assert state.rate == pytest.approx(sqrt(40))


def searching(
    state: RateState, follow: Follow, *, low: float = 1.0, high: float = 2.5, at_start: float = 0.5
) -> BinarySearch:
    return BinarySearch(state, follow, low=low, high=high, at_start=at_start)


def test_a_binary_search_tries_the_middle_of_what_was_accepted_and_what_was_refused() -> None:
    state = state_at(1.0)
    state.expected = 40.0
    mode = searching(state, following(state))

    assert mode.accepted(call_at(0.0, state.rate), 0.1) is mode
    assert state.rate == pytest.approx(sqrt(2.5))
    assert mode.accepted(call_at(1.0, state.rate), 1.1) is mode
    assert state.rate == pytest.approx(sqrt(sqrt(2.5) * 2.5))


def test_a_binary_search_that_is_refused_goes_back_to_what_was_accepted() -> None:
    state = state_at(1.0)
    state.expected = 40.0
    follow = following(state)
    mode = searching(state, follow, low=1.5, high=2.5, at_start=0.0)

    assert cut(mode, state, call_at(1.0, 1.9)) is mode
    assert state.rate == pytest.approx(1.5)


def test_a_binary_search_ends_when_the_calls_that_are_left_do_not_pay_for_another_throttle() -> None:
    ended = {}
    for left in (4.0, 400.0):
        state = state_at(1.0)
        state.expected = left
        follow = following(state)
        mode = searching(state, follow, low=1.8, high=2.0, at_start=0.0)
        ended[left] = mode.accepted(call_at(0.0, 1.8), 0.1) is follow

    assert ended == {4.0: True, 400.0: False}


def test_that_the_start_rate_is_likely_to_be_the_rate_ends_a_binary_search_sooner() -> None:
    worth = {}
    for at_start in (0.0, 0.9):
        state = state_at(1.0)
        state.expected = 20.0
        worth[at_start] = searching(state, following(state), high=1.6, at_start=at_start).is_worth_it

    assert worth == {0.0: True, 0.9: False}


def test_a_binary_search_goes_below_a_pace_that_was_believed_and_is_refused() -> None:
    state = state_at(1.0)
    state.expected = 40.0
    mode = searching(state, following(state))

    cut(mode, state, call_at(1.0, 0.95))

    assert state.rate == pytest.approx(0.95 * 0.8)


def test_the_margin_of_a_limiter_that_admits_one_call_at_a_time_costs_the_least_time() -> None:
    state = state_at(1.0)
    state.in_flight.jitter_s = 0.03

    def cost(pace: float) -> float:
        margin = 1 / pace - 1
        return margin + exp(-margin / 0.03) / 2

    best = min((1 - n / 1_000 for n in range(300)), key=cost)
    assert state.with_margin(1.0) == pytest.approx(best, abs=0.002)
    state.in_flight.jitter_s = 0.0
    assert state.with_margin(1.0) == 1.0


def climbing(state: RateState, *, start: float = 1.0, failed_rate: float = 100.0, is_gentle: bool = False) -> Climb:
    """A climb that begins at 0 s, when the bucket is empty."""
    return Climb(state, following(state), 0.0, start=start, failed_rate=failed_rate, is_gentle=is_gentle)


def climb(mode: Climb, state: RateState, *answered_at: float) -> None:
    for at in answered_at:
        state.bracket.accepted += 1
        assert mode.accepted(call_at(at, state.rate), at) is mode


def test_a_climb_goes_to_the_middle_of_what_is_proved_and_what_failed_and_on_slowly() -> None:
    state = state_at(1.0)
    mode = climbing(state)

    climb(mode, state, 0.1)
    assert state.rate == pytest.approx(10 * exp(0.04))
    climb(mode, state, 0.15, 0.2, 0.25)

    assert state.rate == pytest.approx(sqrt(3 / 0.25 * 100))


def test_a_gentle_climb_grows_a_tenth_a_call_and_twice_as_fast_after_four() -> None:
    state = state_at(1.0)
    mode, rates = climbing(state, failed_rate=6.0, is_gentle=True), []

    for at in (1.0, 2.0, 2.9, 3.7, 4.5):
        climb(mode, state, at)
        rates.append(state.rate / 0.95)

    assert rates == pytest.approx([exp(0.1), exp(0.2), exp(0.3), exp(0.4), exp(0.6)])


def test_a_climb_that_is_throttled_finds_the_rate_that_explains_all_answers() -> None:
    state = state_at(1.0)
    state.burst_log.open()
    for n in range(20):
        state.burst_log.add(-0.4 + n / 50)
    state.burst_log.close(0.0)
    mode = climbing(state)
    climb(mode, state, *(n / 10 for n in range(1, 41)))

    following_mode = cut(mode, state, call_at(4.0, 20.0))

    assert isinstance(following_mode, Follow)
    assert state.rate == pytest.approx(10.0, rel=0.03)
    assert following_mode.stage == 4


def climbed_gently(*answered_at: float, burst: int) -> tuple[float, int]:
    """Rate and stage behind a gentle climb whose last call is throttled; the slow start has used up such a burst."""
    state = state_at(1.0)
    state.expected = 60.0
    state.burst_log.open()
    for n in range(burst):
        state.burst_log.add((n - burst) / 10)
    state.burst_log.close(0.0)
    mode = climbing(state, failed_rate=6.0, is_gentle=True)
    *accepted, throttled = answered_at
    climb(mode, state, *accepted)
    follow = cut(mode, state, call_at(throttled, 3.0))
    assert isinstance(follow, Follow)
    return state.rate, follow.stage


def test_a_gentle_climb_takes_the_documented_rate_where_it_fits() -> None:
    assert climbed_gently(1.2, 2.2, 3.1, 3.9, burst=5) == (1.0, 3)


def test_a_gentle_climb_does_not_take_the_documented_rate_for_one_that_is_a_quarter_higher() -> None:
    rate, _ = climbed_gently(0.9, 1.7, 2.5, 3.2, 3.9, 4.6, 5.2, burst=3)

    assert 1.15 <= rate <= 1.4


def test_where_the_bucket_may_have_been_full_a_climb_ends_in_the_middle_of_two_explanations() -> None:
    slow = [1.0, 2.0, 2.9, 3.7, 4.4, 5.0]
    rate, stage = climbed_gently(*slow, 5.4, 5.7, 6.0, 6.2, burst=2)

    assert 10 / 6.2 < rate < 3 / 0.8, "no less than what was accepted; no more than what a full bucket of 2 leaves"
    assert stage <= 2


def test_a_climb_that_is_throttled_at_once_begins_lower() -> None:
    state = state_at(1.0)
    mode = climbing(state)

    assert cut(mode, state, call_at(0.1, 10.0)) is mode
    assert state.rate == pytest.approx(sqrt(10))
