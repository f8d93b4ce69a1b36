"""Slots, one slot length apart, with times written by hand."""

import pytest

from batch_upload.pacing.schedule import SentCall, SlotSchedule, pause_s


def taken(schedule: SlotSchedule, *times: float, rate: float = 2.0) -> SentCall:
    """Take a slot at each of these times; give the last call."""
    return [schedule.take(now, rate) for now in times][-1]


def test_a_slot_taken_late_shifts_the_next_only_where_the_schedule_is_strict() -> None:
    loose, strict = SlotSchedule(), SlotSchedule()
    strict.is_strict = True

    taken(loose, 0.0, 0.52)
    taken(strict, 0.0, 0.52)

    assert loose.next_at == pytest.approx(1.0)
    assert strict.next_at == pytest.approx(1.02)


def test_lateness_beyond_the_credit_of_a_timer_is_lost() -> None:
    schedule = SlotSchedule()

    taken(schedule, 0.0, 0.6)

    assert schedule.next_at == pytest.approx(0.6 - 0.025 + 0.5)


def test_half_a_slot_of_lateness_is_made_up_where_the_limiter_keeps_what_was_not_used() -> None:
    schedule = SlotSchedule()
    schedule.has_burst = True

    taken(schedule, 0.0, 0.7)
    assert schedule.next_at == pytest.approx(1.0)
    taken(schedule, 1.4)

    assert schedule.next_at == pytest.approx(1.4 - 0.25 + 0.5), "but no more"


def test_a_slot_that_stays_free_for_more_than_its_length_is_a_pause_and_no_burst_follows() -> None:
    schedule = SlotSchedule()

    assert not taken(schedule, 0.0, 0.5, 1.5).is_after_pause
    assert taken(schedule, 2.6).is_after_pause
    assert schedule.next_at == pytest.approx(3.1)


def test_calls_that_leave_late_by_half_a_slot_are_not_at_full_pace() -> None:
    schedule = SlotSchedule()

    assert taken(schedule, 0.0, 0.5, 1.0).is_full_pace
    assert not taken(schedule, 1.75, 2.5, 3.25).is_full_pace


def test_spare_calls_leave_a_quarter_faster_and_never_at_full_pace_and_a_pause_ends_them() -> None:
    schedule = SlotSchedule()
    schedule.spare_calls = 0.3

    call = taken(schedule, 0.0)
    assert (call.is_spare, call.is_full_pace) == (True, False)
    assert schedule.next_at == pytest.approx(0.4)
    assert schedule.spare_calls == pytest.approx(0.1)
    assert taken(schedule, 60.0).is_after_pause
    assert schedule.spare_calls == 0.0


def test_the_pause_doubles_with_each_throttle_in_a_row_and_is_bounded() -> None:
    assert [pause_s(count, 1.0) for count in (1, 2, 3, 6, 7, 60)] == [0.5, 1.5, 3.5, 31.5, 31.5, 31.5]
