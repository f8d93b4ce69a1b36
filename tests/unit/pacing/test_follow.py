"""The modes of a rate that is nearly known: how each grows, how it cuts, and which mode follows."""

from math import exp

import pytest

from batch_upload.pacing.follow import Follow, UpTest
from batch_upload.pacing.mode import RateState
from batch_upload.pacing.schedule import SentCall
from tests.support.pacing_modes import call_at, cut, following, state_at


def test_a_second_overshoot_near_the_first_begins_a_stage_further_on() -> None:
    state = state_at(13.0)
    follow = following(state)

    for stage, rate in ((1, 13.0), (2, 14.0), (1, 40.0)):
        assert follow.below_overshoot(call_at(0.0, rate), 0.0, least=0.0) is follow
        assert state.rate == pytest.approx(rate / 1.3)
        assert follow.stage == stage
        assert state.episode.is_counting
        assert state.episode.least == rate / 2


def test_at_rest_an_accepted_call_pays_for_eleven_throttles_in_two_thousand() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)

    follow.accepted(call_at(0.0, 10.0), 0.1)
    assert state.rate == pytest.approx(10 * exp(0.01 * 0.0055))
    state.rate = 10.0
    cut(follow, state, call_at(1.0, 10.0))

    assert state.rate == pytest.approx(10 * exp(-0.01 * 0.9945))


def test_growth_is_held_up_for_each_refusal_of_a_crowd_and_three_at_most() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)
    follow.hold_growth(1_000)

    calls = 0
    while state.rate == 10.0:
        follow.accepted(call_at(0.0, 10.0), 0.1)
        calls += 1

    assert calls == pytest.approx(3 / follow.share, abs=2)


def test_an_estimate_of_more_calls_allows_a_later_stage_and_is_never_below_what_is_safe() -> None:
    for accepted, stage in ((5, 2), (11, 2), (12, 3), (29, 3), (30, 4)):
        state = state_at(50.0)
        follow = following(state)
        state.episode.begin(0.0, 1, 0.0, 1)
        state.episode.count(least=9.0)

        assert follow.at_estimate(8.0, accepted, 0.2) is follow
        assert (state.rate, follow.stage) == (9.0, stage)


@pytest.mark.parametrize(
    ("burst", "unsent", "accepted", "between"),
    [(28.0, 20, 30, 100), (27.0, 20, 30, 0), (15.0, 5, 20, 100), (14.0, 5, 20, 0), (15.0, 5, 19, 0)],
)
def test_the_throttle_before_an_estimate_bounds_the_rate_unless_the_bucket_may_have_been_full_since(
    burst: float, unsent: int, accepted: int, between: int
) -> None:
    state = state_at(50.0, burst=burst)
    state.bracket.mark(0.0)
    state.episode.begin(0.0, 1, 0.0, 1)
    following(state).at_estimate(20.0, accepted, unsent / 20)
    state.bracket.accepted += 100

    state.bracket.mark(5.0)

    assert state.bracket.accepted_between() == between


def estimated_at_the_end_of_a_search() -> tuple[RateState, Follow]:
    """A rate of 20/s estimated a second after the throttle of a search."""
    state = state_at(50.0, burst=40.0)
    state.bracket.mark(0.0)
    state.episode.begin(0.0, 1, 0.0, 1)
    follow = following(state)
    follow.at_estimate(20.0, 30, 1.0)
    state.episode.throttles_in_a_row = 0  # calls are accepted before the next throttle
    return state, follow


@pytest.mark.parametrize(("accepted", "rate"), [(95, 19.0 * 1.003), (110, 20.0)])
def test_a_throttle_sets_an_estimate_to_the_middle_of_what_is_proved_but_not_higher(accepted: int, rate: float) -> None:
    state, follow = estimated_at_the_end_of_a_search()
    state.bracket.accepted += accepted
    state.bracket.mark(5.0)

    cut(follow, state, call_at(5.0, 20.0))

    assert state.rate == pytest.approx(rate)
    assert (follow.stage, follow.is_proved) == (5, False)


def test_a_throttle_soon_after_an_estimate_cuts_by_a_step() -> None:
    state, follow = estimated_at_the_end_of_a_search()
    state.bracket.accepted += 29
    state.bracket.mark(1.5)
    step, share = follow.step, follow.share

    cut(follow, state, call_at(1.5, 20.0))

    assert state.rate == pytest.approx(20 * exp(-step * (1 - share)))


def test_between_throttles_a_small_bucket_may_have_been_full_so_their_middle_is_not_used() -> None:
    state, follow = estimated_at_the_end_of_a_search()
    state.burst = 14.0
    state.bracket.accepted += 80
    state.bracket.mark(5.0)

    assert not follow.to_middle(highest=20.0)
    assert state.rate == 20.0


def test_the_test_of_an_estimate_ends_in_the_middle_of_what_is_proved() -> None:
    state, follow = estimated_at_the_end_of_a_search()
    mode = UpTest(state, follow, 4.0)
    state.rate = 24.0
    state.bracket.accepted += 105
    state.bracket.mark(5.0)
    state.burst = 200.0  # so that the burst explains what was accepted

    assert cut(mode, state, call_at(5.0, 24.0)) is follow
    assert state.rate == pytest.approx(21 * 1.003)
    assert (follow.stage, follow.is_proved, follow.backoff) == (5, False, 1.0)


def test_after_an_estimate_three_quarters_of_what_was_not_sent_are_spare_up_to_the_burst() -> None:
    for burst, spare in ((41.0, 15.0), (11.0, 7.5)):
        state = state_at(50.0, burst=burst)
        state.episode.begin(0.0, 1, 0.0, 1)

        following(state).at_estimate(20.0, 30, 1.0)

        assert state.schedule.spare_calls == pytest.approx(spare)


def test_a_test_for_a_higher_rate_begins_after_enough_accepted_calls_and_remembers_the_old_rate() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)
    state.evidence = 1.5 / follow.share
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


def test_a_throttle_that_ends_the_use_of_a_burst_shows_only_that_the_bucket_is_empty() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state, stage=3)
    call = SentCall(0.0, 10.0, is_full_pace=False, is_after_pause=False, is_spare=True)

    assert cut(follow, state, call) is follow

    assert (state.rate, follow.stage) == (10.0, 3)


def test_no_test_begins_where_too_few_calls_are_left_to_pay_for_it() -> None:
    begun = {}
    for left in (100.0, 10_000.0):
        state = state_at(10.0, burst=5.0)
        state.expected = left
        state.evidence = 1_000.0
        begun[left] = isinstance(following(state).accepted(call_at(0.0, 10.0), 0.1), UpTest)

    assert begun == {100.0: False, 10_000.0: True}


def test_an_estimate_is_tested_after_a_round_trip_and_no_less_than_proves_it() -> None:
    state = state_at(50.0, burst=40.0)
    state.in_flight.round_trip_s = 0.6
    state.episode.begin(0.0, 1, 0.0, 1)
    follow = following(state)
    follow.at_estimate(50.0, 40, 1.0)

    state.evidence = 29.0
    assert follow.accepted(call_at(1.0, 50.0), 1.1) is follow
    state.evidence = 31.0

    assert isinstance(follow.accepted(call_at(1.0, 50.0), 1.1), UpTest)


def test_three_hundred_calls_accepted_since_the_throttle_before_an_estimate_prove_it() -> None:
    state, follow = estimated_at_the_end_of_a_search()
    for accepted, is_proved in ((299, False), (1, True)):
        state.bracket.accepted += accepted
        state.bracket.mark(state.bracket.accepted / 20)

        cut(follow, state, call_at(state.bracket.accepted / 20, 20.0))

        assert follow.is_proved == is_proved
        state.episode.throttles_in_a_row = 0


def test_while_the_rate_settles_it_is_never_cut_below_what_was_accepted_between_throttles() -> None:
    state = state_at(10.5, burst=5.0)
    follow = following(state, stage=2)
    for now, accepted in ((0.0, 0), (10.0, 100)):
        state.bracket.accepted += accepted
        state.bracket.mark(now)

    cut(follow, state, call_at(10.0, 10.5))

    assert state.rate == pytest.approx(9.9)


def test_a_test_in_vain_raises_the_rate_to_what_was_accepted_since_the_last_throttle() -> None:
    state = state_at(10.0, burst=50.0)
    state.bracket.mark(0.0)
    state.bracket.accepted += 100
    mode = UpTest(state, following(state), 10.0)
    state.bracket.accepted += 24
    state.bracket.mark(12.0)

    cut(mode, state, call_at(12.0, 13.0))

    assert state.rate == pytest.approx(10.25)


def test_at_rest_the_calls_in_flight_at_a_cut_count_towards_the_wanted_share() -> None:
    state = state_at(10.0, burst=5.0)
    follow = following(state)

    follow.balance(50, 0)
    assert state.rate == pytest.approx(10 * exp(50 * follow.share * 0.01))
    before = state.rate
    follow.balance(0, 1)
    follow.accepted(call_at(0.0, 10.0), 0.1)

    assert state.rate == before, "a refusal holds up growth"


def test_with_a_burst_of_one_that_was_seen_the_wanted_share_is_the_jitter_in_slots() -> None:
    state = state_at(1.0)
    state.is_single = True
    follow = following(state)
    shares = []
    for jitter_s in (0.0, 0.03, 0.4):
        state.in_flight.jitter_s = jitter_s
        shares.append(follow.share)

    assert shares == pytest.approx([0.0055, 0.03, 0.05], rel=0.01)
