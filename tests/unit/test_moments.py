"""How much time has passed by two clocks, and what the wall times of a ledger are worth."""

from datetime import UTC, datetime, timedelta

import pytest

from batch_upload.moments import LONG_AGO, STEADY_WITHIN_S, Moment, Stretch

T0 = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
HOUR_S = 3_600.0


def at(counting_s: float, *, set_by_s: float = 0.0) -> Moment:
    """A moment so long after the start of the stretch, with a wall clock that was set forward by so much since."""
    return Moment(T0 + timedelta(seconds=counting_s + set_by_s), 1_000.0 + counting_s)


def wall(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


STRETCH = Stretch("boot one", at(0))


@pytest.mark.parametrize(
    ("now", "passed_s"),
    [
        (at(60), 60),
        (at(60, set_by_s=HOUR_S), 60 + HOUR_S),  # the wall clock was set forward, or the other one stood still
        (at(60, set_by_s=-HOUR_S), 60),
    ],
    ids=["together", "forward", "back"],
)
def test_as_much_has_passed_as_the_clock_says_that_says_more(now: Moment, passed_s: float) -> None:
    assert now.passed_at_most(at(0)) == pytest.approx(passed_s)


def test_any_time_may_have_passed_since_a_moment_that_nothing_is_known_of() -> None:
    assert at(0).passed_at_most(LONG_AGO) == float("inf")


@pytest.mark.parametrize(
    ("now", "machine", "goes_on"),
    [
        (at(5), "boot one", True),
        (at(30 * HOUR_S), "boot one", True),
        (at(5, set_by_s=0.9 * STEADY_WITHIN_S), "boot one", True),
        (at(5, set_by_s=-0.9 * STEADY_WITHIN_S), "boot one", True),
        (at(5, set_by_s=1.1 * STEADY_WITHIN_S), "boot one", False),
        (at(5, set_by_s=-1.1 * STEADY_WITHIN_S), "boot one", False),
        (at(5), "boot two", False),
        (at(-5), "boot one", False),
    ],
)
def test_a_stretch_goes_on_while_the_two_clocks_keep_pace_on_one_machine(
    now: Moment,
    machine: str,
    goes_on: bool,  # noqa: FBT001
) -> None:
    assert STRETCH.goes_on(now, machine) is goes_on


def test_a_time_of_the_stretch_is_taken_as_it_is_by_the_counting_clock() -> None:
    assert STRETCH.earliest(wall(10), at(20)) == at(10)
    assert STRETCH.latest_s(wall(10), at(20)) == at(10).counting_s


def test_a_step_that_is_not_noticed_yet_moves_no_time_of_the_stretch() -> None:
    now = at(20, set_by_s=HOUR_S)

    assert now.passed_at_most(STRETCH.earliest(wall(10), now)) == pytest.approx(10 + HOUR_S)
    assert STRETCH.latest_s(wall(10), now) == at(10).counting_s


def test_what_is_from_before_the_stretch_is_of_any_age_and_happened_before_it() -> None:
    assert STRETCH.earliest(wall(-1), at(20)) == LONG_AGO
    assert STRETCH.latest_s(wall(-1), at(20)) == at(0).counting_s
    assert STRETCH.latest_s(wall(-9 * HOUR_S), at(20)) == at(0).counting_s


def test_what_was_written_days_ago_was_not_sent_a_moment_ago() -> None:
    """No clock that AWS takes requests from is half a day off."""
    days_ago = wall(-72 * HOUR_S)

    assert STRETCH.earliest(days_ago, at(20)) == LONG_AGO
    assert STRETCH.latest_s(days_ago, at(20)) == at(0).counting_s - 60 * HOUR_S


def test_what_was_written_by_a_clock_that_was_ahead_is_never_taken_for_young() -> None:
    """The clock was an hour ahead until the stretch began; an hour later that time seems to be now."""
    stretch = Stretch("boot one", at(0), latest_before=wall(HOUR_S))
    now = at(HOUR_S + 5)

    assert stretch.earliest(wall(HOUR_S), now) == LONG_AGO
    assert not stretch.is_comparable(wall(HOUR_S))
    assert stretch.latest_s(wall(HOUR_S), now) == at(HOUR_S).counting_s
    assert stretch.is_comparable(wall(HOUR_S + 1))


def test_what_was_written_by_a_clock_that_was_ahead_happened_before_it_was_put_right() -> None:
    """Each run of a minute must not count anew: what the stretch has not shown yet was written before it began."""
    stretch = Stretch("boot one", at(0), latest_before=wall(HOUR_S))

    assert stretch.latest_s(wall(HOUR_S), at(40)) == at(0).counting_s
    assert stretch.latest_s(wall(HOUR_S + 1), at(40)) == at(40).counting_s


def test_a_time_to_come_is_of_any_age_and_happened_by_now() -> None:
    assert STRETCH.earliest(wall(HOUR_S), at(20)) == LONG_AGO
    assert STRETCH.latest_s(wall(HOUR_S), at(20)) == at(20).counting_s
