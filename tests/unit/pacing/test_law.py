"""The contract of the laws, call by call, with times written by hand."""

import pytest

from batch_upload.pacing import FixedRate, LearnedRate, RateLaw, RateMemory
from batch_upload.pacing.law import DAY_S


def leave(law: RateLaw, count: int, now: float) -> list[float]:
    """Take `count` slots as early as they may be taken, from `now` on; give the moments."""
    moments = []
    for _ in range(count):
        now = max(now, law.ready_at(now))
        law.take(now)
        moments.append(now)
    return moments


def found(rate: float, *, burst: float = 1.0) -> LearnedRate:
    """A law that remembers a settled rate."""
    return LearnedRate(1.0, memory=RateMemory(rate, burst=burst))


def test_a_fixed_rate_is_kept() -> None:
    assert leave(FixedRate(4.0), 5, 10.0) == pytest.approx([10.0, 10.25, 10.5, 10.75, 11.0])


@pytest.mark.parametrize("law", [FixedRate(2.0), found(2.0)])
def test_after_a_pause_one_call_is_due_and_no_burst(law: RateLaw) -> None:
    leave(law, 3, 0.0)

    after = leave(law, 4, 3_600.0)

    assert after == pytest.approx([3_600.0, 3_600.5, 3_601.0, 3_601.5])


@pytest.mark.parametrize("law", [FixedRate(2.0), found(2.0, burst=2.0)])
def test_a_timer_that_wakes_late_costs_no_rate(law: RateLaw) -> None:
    law.take(0.0)
    law.take(0.52)

    assert law.ready_at(0.52) == pytest.approx(1.0)


def test_where_one_call_is_let_through_at_a_time_two_calls_are_never_nearer_than_a_slot() -> None:
    law = found(2.0, burst=1.0)
    law.take(0.0)
    law.take(0.52)

    assert law.ready_at(0.52) == pytest.approx(1.02)


@pytest.mark.parametrize("law", [FixedRate(2.0), found(2.0), LearnedRate(2.0)])
def test_nothing_leaves_before_what_the_service_asked_for(law: RateLaw) -> None:
    ticket = law.take(0.0)

    law.throttled(ticket, 0.1, 30.0)

    assert law.ready_at(0.1) >= 30.1


def test_a_fixed_rate_waits_longer_after_each_throttle_in_a_row_and_keeps_its_rate() -> None:
    law, waits = FixedRate(1.0), []
    for _ in range(9):
        now = max(0.0, law.ready_at(0.0))
        law.throttled(law.take(now), now, None)
        waits.append(law.ready_at(now) - now)

    assert waits[:3] == pytest.approx([1.0, 1.5, 3.5])
    assert waits[-1] == waits[-2] == pytest.approx(31.5)
    assert law.rate == 1.0


def test_tickets_count_up_in_the_order_of_sending() -> None:
    for law in (FixedRate(1.0), LearnedRate(1.0)):
        tickets = [law.take(float(now)) for now in range(4)]
        assert tickets == sorted(set(tickets))


def test_accepted_calls_speed_a_search_up() -> None:
    law = LearnedRate(1.0)

    law.accepted(law.take(0.0), 0.05)

    assert law.rate > 1.5
    assert law.ready_at(0.05) < 1.0


def test_the_ceiling_is_never_passed() -> None:
    law, now = LearnedRate(5.0, ceiling=3.0), 0.0
    for _ in range(200):
        now = max(now, law.ready_at(now))
        law.accepted(law.take(now), now + 0.01)
        assert law.rate <= 3.0


def test_the_ceiling_is_never_passed_though_many_answers_come_at_once_in_a_test_for_a_higher_rate() -> None:
    law, now = LearnedRate(1.0, ceiling=1.1, memory=RateMemory(1.0, evidence=400.0)), 0.0
    tickets = []
    for _ in range(6):
        now = max(now, law.ready_at(now))
        tickets.append(law.take(now))
    law.accepted(tickets[0], 5.5)
    for ticket in tickets[1:]:
        law.accepted(ticket, 8.0)

    law.throttled(law.take(8.0), 8.01, None)

    assert law.rate == 1.1


def test_a_ceiling_below_the_slowest_rate_of_a_cut_is_never_passed() -> None:
    law = LearnedRate(1.0, ceiling=0.0005)

    for now in (0.0, 10_000.0, 20_000.0):
        law.throttled(law.take(now), now + 0.1, None)
        assert law.rate <= 0.0005


def test_calls_that_leave_later_than_they_may_do_not_raise_the_rate() -> None:
    law, now = found(10.0), 0.0
    for _ in range(2_000):
        now = max(now, law.ready_at(now)) + 0.5
        law.accepted(law.take(now), now + 0.01)

    assert law.rate == pytest.approx(10.0, rel=0.001)


def test_an_unanswered_call_changes_nothing() -> None:
    law = LearnedRate(1.0)
    law.accepted(law.take(0.0), 0.05)
    before = law.rate, law.ready_at(0.05)

    law.unanswered(law.take(max(0.05, law.ready_at(0.05))), 60.0)

    assert law.rate == before[0]


def test_the_throttles_of_calls_already_under_way_cut_the_rate_once() -> None:
    law = found(10.0)
    tickets = [law.take(now / 10) for now in range(6)]

    law.throttled(tickets[0], 0.6, None)
    cut = law.rate
    for ticket in tickets[1:]:
        law.throttled(ticket, 0.7, None)

    assert law.rate == cut == pytest.approx(9.9, rel=0.01)


def test_a_machine_that_slept_between_two_throttles_does_not_think_the_rate_is_low() -> None:
    law = found(10.0)
    law.throttled(law.take(0.0), 0.01, None)

    law.throttled(law.take(8 * 3_600.0), 8 * 3_600.0 + 0.01, None)

    assert law.rate > 9.0


def test_answers_that_come_after_a_sleep_do_not_make_the_rate_low() -> None:
    law, now = LearnedRate(100.0), 0.0
    for _ in range(20):
        now = max(now, law.ready_at(now))
        law.accepted(law.take(now), now + 0.001)
    tickets = [law.take(now := max(now, law.ready_at(now))) for _ in range(20)]
    law.throttled(tickets[0], now + 0.1, None)
    cut = law.rate

    for ticket in tickets[1:11]:
        law.accepted(ticket, now + 3_600.0)
    law.throttled(tickets[11], now + 3_600.0, None)

    assert law.rate == cut


def test_a_search_that_met_no_throttle_leaves_nothing_to_remember() -> None:
    law = LearnedRate(1.0)
    law.accepted(law.take(0.0), 0.05)

    assert law.memory() is None


def test_what_is_remembered_is_what_the_next_run_starts_with() -> None:
    memory = RateMemory(17.0, stage=6, evidence=12.0, backoff=1.5, burst=4.0)

    law = LearnedRate(1.0, memory=memory)

    assert law.rate == 17.0
    assert law.memory() == memory


def test_a_memory_fades_to_nine_tenths_in_a_day_and_to_nothing_in_a_month() -> None:
    memory = RateMemory(20.0)

    assert memory.aged(600.0, 1.0) == memory
    day = memory.aged(DAY_S, 1.0)
    assert day is not None
    assert day.rate == pytest.approx(18.0)
    fortnight = memory.aged(15.5 * DAY_S, 1.0)
    assert fortnight is not None
    assert fortnight.rate == pytest.approx((18.0 + 1.0) / 2)
    assert memory.aged(30 * DAY_S, 1.0) is None


def pushed(law: LearnedRate, calls: int) -> LearnedRate:
    """The law after so many calls that left as fast as they might and were accepted."""
    now = 0.0
    for _ in range(calls):
        now = max(now, law.ready_at(now))
        law.accepted(law.take(now), now + 0.01)
    return law


def test_a_pace_held_at_its_ceiling_remembers_that_so_much_is_allowed_and_that_nothing_bounds_it() -> None:
    memory = pushed(LearnedRate(1.0, ceiling=8.0), 60).memory()

    assert memory == RateMemory(8.0, stage=0, bounded=False)
    assert LearnedRate(1.0, ceiling=8.0, memory=memory).rate == 8.0
    assert pushed(LearnedRate(1.0, memory=memory), 60).rate > 16.0, "without the ceiling the search goes on"


def test_few_calls_at_the_ceiling_may_come_out_of_a_burst_and_prove_nothing() -> None:
    law = LearnedRate(8.0, ceiling=8.0)

    assert pushed(law, 10).memory() is None


def test_a_ceiling_below_what_is_known_leaves_what_is_known_alone() -> None:
    law = LearnedRate(1.0, ceiling=3.0, memory=RateMemory(18.0))

    assert pushed(law, 100).memory() is None


def test_a_throttle_below_the_ceiling_is_learned_from_as_ever() -> None:
    law = pushed(LearnedRate(1.0, ceiling=8.0, memory=RateMemory(6.0)), 100)
    now = law.ready_at(0.0)
    law.throttled(law.take(now), now + 0.01, None)

    memory = law.memory()

    assert memory is not None
    assert memory.bounded
    assert memory.rate < 8.0


def test_a_throttle_of_a_limiter_that_admits_one_call_at_a_time_costs_no_more_than_its_answer_takes() -> None:
    law = LearnedRate(1.0, memory=RateMemory(2.0, burst=1.0))
    law.accepted(law.take(0.0), 0.1)
    early = law.take(0.5)

    law.throttled(early, 0.6, None)

    assert law.ready_at(0.6) == pytest.approx(0.6), "the next token has come meanwhile"


def test_a_second_throttle_in_a_row_of_such_a_limiter_is_followed_by_a_pause() -> None:
    law = LearnedRate(1.0, memory=RateMemory(2.0, burst=1.0))
    law.throttled(law.take(0.0), 0.1, None)
    again = law.ready_at(0.1)

    law.throttled(law.take(again), again + 0.1, None)

    assert law.ready_at(again) >= again + 0.1 + 0.25


@pytest.mark.parametrize(("calls", "first_s", "tokens"), [(1_000, 1 / 2.5, 3), (100, 1 / 2.5, 6), (12, 1 / 4, 6)])
def test_a_batch_uses_three_quarters_of_the_burst_that_is_remembered_a_short_one_all_of_it_until_its_end(
    calls: int, first_s: float, tokens: int
) -> None:
    law = LearnedRate(1.0, memory=RateMemory(2.0, burst=5.0))
    law.expect(calls)

    times = leave(law, 60, 0.0)

    assert times[1] == pytest.approx(first_s)
    assert times[-1] == pytest.approx(59 / 2 - tokens / 2, abs=0.2)


def test_of_a_short_batch_a_call_that_came_too_early_leaves_again_a_fifth_of_a_slot_after_its_token() -> None:
    law = LearnedRate(1.0, memory=RateMemory(2.0, burst=2.0))
    law.expect(25)
    law.accepted(law.take(0.0), 0.1)
    early = law.take(0.4)

    law.throttled(early, 0.45, None)

    assert law.ready_at(0.45) == pytest.approx(0.5 + 0.1)


def test_a_search_that_ended_at_the_start_rate_goes_on_in_a_batch_that_is_worth_it() -> None:
    rates = {}
    for calls in (10, 200):
        law = LearnedRate(1.0, memory=RateMemory(0.95, burst=1.0, single=True, refused=1.6))
        law.expect(calls)
        law.accepted(law.take(0.0), 0.1)
        rates[calls] = law.rate

    assert rates == {10: pytest.approx(0.95), 200: pytest.approx((1.0 * 1.6) ** 0.5)}


def test_a_run_that_ends_before_its_burst_is_learned_remembers_what_was_used_up_of_it() -> None:
    law, now = LearnedRate(1.0), 0.0
    for _ in range(6):
        now = max(now, law.ready_at(now))
        law.accepted(law.take(now), now + 0.01)
    now = law.ready_at(now)
    law.throttled(law.take(now), now + 0.01, None)

    memory = law.memory()

    assert memory is not None
    assert 3 <= memory.burst <= 6


def test_what_is_known_of_a_limiter_that_admits_one_call_at_a_time_is_remembered() -> None:
    law = LearnedRate(1.0)
    law.accepted(law.take(0.0), 0.05)
    law.throttled(law.take(0.4), 0.45, None)

    memory = law.memory()

    assert memory is not None
    assert memory.single
    assert memory.refused == pytest.approx(2.5, rel=0.1)
    again = LearnedRate(1.0, memory=memory).memory()
    assert again == memory


def test_a_fixed_rate_is_kept_however_many_calls_are_expected() -> None:
    law = FixedRate(4.0)
    law.expect(1_000)

    assert leave(law, 3, 0.0) == pytest.approx([0.0, 0.25, 0.5])
