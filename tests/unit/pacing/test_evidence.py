"""What answers prove about a limiter, computed by hand."""

import pytest

from batch_upload.pacing.evidence import Bracket, BurstLog, Episode, InFlight
from batch_upload.pacing.schedule import SentCall


def in_flight(round_trip_s: float, jitter_s: float = 0.0) -> InFlight:
    made = InFlight()
    made.round_trip_s, made.jitter_s = round_trip_s, jitter_s
    return made


def test_round_trips_are_averaged_as_in_tcp_and_a_suspended_machine_counts_as_eight() -> None:
    calls = InFlight()
    for ticket, took_s in enumerate((0.1, 0.18, 3_600.0)):
        calls.add(ticket, SentCall(10.0, 1.0, is_full_pace=True, is_after_pause=False))
        calls.answered(ticket, 10.0 + took_s)

    assert calls.round_trip_s == pytest.approx(0.11 + 0.11 * 7 / 8)
    assert calls.jitter_s == pytest.approx(0.01 + (0.77 - 0.01) / 8)
    assert calls.expected(20.0) == pytest.approx(20.0 * calls.round_trip_s)


def test_the_calls_accepted_between_two_throttles_bound_the_rate_over_each_gap() -> None:
    bracket = Bracket()
    for now, accepted, refused in ((0.0, 0, 0), (10.0, 40, 0), (12.0, 20, 2)):
        bracket.accepted += accepted
        bracket.refused += refused
        bracket.mark(now)

    assert bracket.last_gap() == (20, 2.0)
    assert bracket.highest_rate(1.0, gaps=1) == pytest.approx((20 + 2 + 1) / 2)
    assert bracket.highest_rate(1.0, gaps=4) == pytest.approx((60 + 2 + 1) / 12)


def test_the_middle_of_what_the_throttles_prove_is_the_rate_of_the_calls_accepted_between_them() -> None:
    bracket = Bracket()
    for now, accepted in ((0.0, 7), (10.0, 40), (12.0, 8)):
        bracket.accepted += accepted
        bracket.mark(now)

    assert bracket.accepted_between() == 48
    assert bracket.middle_rate() == pytest.approx(48 / 12)


def test_a_bracket_that_is_reopened_goes_on_from_the_last_throttle() -> None:
    bracket = Bracket()
    bracket.reopen()
    for now, accepted in ((0.0, 0), (10.0, 40)):
        bracket.accepted += accepted
        bracket.mark(now)
    bracket.clear()
    assert bracket.accepted_between() == 0
    bracket.reopen()
    bracket.reopen()
    bracket.accepted += 5
    bracket.mark(11.0)

    assert bracket.last_gap() == (5, 1.0)
    assert bracket.accepted_between() == 5


def test_a_bracket_that_was_cleared_proves_nothing() -> None:
    bracket = Bracket()
    bracket.mark(1.0)
    bracket.clear()
    bracket.mark(2.0)

    assert bracket.last_gap() == (0, 0.0)


def test_the_burst_is_what_a_slow_start_used_on_top_of_the_rate() -> None:
    log = BurstLog()
    log.add(0.0)
    log.open()
    for sent_at in (0.0, 1.0, 1.1, 1.2, 1.3):
        log.add(sent_at)
    log.close(1.4)
    log.add(9.0)

    assert len(log) == 5
    assert log.used_up(1.0) == pytest.approx(5 - 1.4)
    assert log.burst(1.0) == pytest.approx(4 - 0.4), "used up since the second call"
    assert log.least_burst(1.0) == pytest.approx(4 - 0.3), "used up from the second call to the last"
    assert BurstLog().least_burst(1.0) == 0.0


def test_the_last_call_accepted_before_a_throttle_bounds_the_rate_more_exactly() -> None:
    bracket = Bracket()
    bracket.mark(10.0, gap_s=0.9)
    bracket.accepted += 20
    bracket.mark(30.5, gap_s=0.95)

    assert bracket.highest_rate(1.0, gaps=1) == pytest.approx(21 / (20.5 + 0.9))
    assert bracket.lowest_rate(1.0) == pytest.approx(19 / (20.5 - 0.95))


def overshot(*, is_counting: bool = True) -> Episode:
    """An episode of call 31, which left at 100.0 s and was throttled at 101.0, when 30 more had left at 40/s."""
    episode = Episode()
    episode.begin(101.0, 31, 100.0, 62)
    if is_counting:
        episode.count(least=1.0)
    return episode


def answer(episode: Episode, ticket: int, *, accepted: bool) -> None:
    episode.add(ticket, 100.0 + (ticket - 31) / 40, accepted=accepted)


def test_calls_that_left_behind_a_throttled_one_estimate_the_rate_once_five_are_accepted() -> None:
    episode = overshot()
    for ticket in range(32, 41):
        answer(episode, ticket, accepted=ticket % 2 == 0)
    assert episode.estimate(in_flight(1.0)) == pytest.approx((5, 0.97 * 40 * 5 / 9))
    for ticket in range(41, 72):
        answer(episode, ticket, accepted=ticket % 2 == 0)

    assert episode.estimate(in_flight(1.0)) == pytest.approx((20, 40 * 20 / 40))
    assert episode.estimate(in_flight(1.0, 0.3)) == (0, 0.0), "too close together for the jitter"


def test_an_estimate_does_not_depend_on_the_order_of_the_answers_or_on_those_that_are_late() -> None:
    episode = overshot()
    for ticket in range(71, 31, -1):
        if ticket not in (50, 51):
            answer(episode, ticket, accepted=ticket % 2 == 0)

    assert episode.estimate(in_flight(1.0)) == pytest.approx((19, 0.97 * 40 / 2))


def test_calls_that_left_before_the_throttled_one_say_nothing_about_the_rate() -> None:
    episode = overshot()
    for ticket in range(1, 31):
        answer(episode, ticket, accepted=True)

    assert episode.estimate(in_flight(1.0)) == (0, 0.0)
    assert episode.end() == (30, 0), "but they were in flight at the cut"


def test_without_count_nothing_is_estimated() -> None:
    episode = overshot(is_counting=False)
    for ticket in range(32, 72):
        answer(episode, ticket, accepted=True)

    assert episode.estimate(in_flight(1.0)) == (0, 0.0)


def test_an_episode_counts_its_answers_once() -> None:
    episode = Episode()
    episode.begin(0.0, 4, 0.0, 9)
    episode.count(least=0.0)
    for ticket in range(4, 9):
        episode.add(ticket, 0.0, accepted=ticket < 6)

    assert episode.end() == (2, 3)
    assert episode.end() == (0, 0)
    assert not episode.is_counting


def test_what_the_rate_allowed_since_a_cut_and_was_not_sent_was_kept_by_the_bucket() -> None:
    episode = Episode()
    episode.begin(10.0, 25, 9.0, 31)

    assert episode.unsent(12.0, 20.0, 36) == 40 - 5
    assert episode.unsent(10.0, 20.0, 36) == 0


def test_a_bucket_has_gained_most_when_calls_leave_again_at_the_first_estimate() -> None:
    episode = Episode()
    episode.begin(10.0, 25, 9.0, 31)
    episode.resume(11.0, 33)
    episode.resume(12.0, 53)

    assert episode.most_unsent(20.0) == 20 - 2


def test_a_lower_bound_of_the_rate_holds_where_the_bracket_was_cleared_and_is_the_best_of_the_last_gaps() -> None:
    bracket = Bracket()
    assert bracket.lowest_rate(1.0) == 0.0
    for now, accepted in ((0.0, 0), (10.0, 40), (12.0, 3)):
        bracket.accepted += accepted
        bracket.clear()
        bracket.mark(now)

    assert bracket.lowest_rate(1.0) == pytest.approx((43 - 1) / 12)
    assert bracket.last_accepted() == 3


def test_a_call_is_the_earliest_if_none_that_left_before_it_is_in_flight() -> None:
    calls, call = InFlight(), SentCall(2.0, 1.0, is_full_pace=True, is_after_pause=False)
    assert calls.is_earliest(call)
    calls.add(3, SentCall(3.0, 1.0, is_full_pace=True, is_after_pause=False))
    assert calls.is_earliest(call)
    calls.add(1, SentCall(1.0, 1.0, is_full_pace=True, is_after_pause=False))

    assert not calls.is_earliest(call)
    assert len(calls) == 2
