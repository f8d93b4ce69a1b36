"""When to ask how far the service is: early enough to end soon, seldom enough to cost little."""

from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_upload.pacing.settling import (
    FIRST_AGE_S,
    QUICK_S,
    SPACING_S,
    SettlingLook,
    SettlingSchedule,
    usual_ages,
)
from tests.support.settling_simulation import BATCHES, KINDS, Row, Setting, Simulation, measured, table

PAGE = Path(__file__).parents[3] / "docs" / "pacing-library.md"
CALLS_STUCK = 40
"""Calls that 15 minutes of one item that never ends may cost."""


def closed(schedule: SettlingSchedule, *items: str, now: float = 0.0) -> SettlingSchedule:
    """These items were sent, and they are all."""
    for item in items:
        schedule.sent(now, item)
    schedule.expect(0, now)
    return schedule


def test_there_is_nothing_to_look_at_before_anything_was_sent_and_after_all_has_ended() -> None:
    schedule = SettlingSchedule()
    assert schedule.next_look(0.0) == inf

    closed(schedule, "a", "b")
    schedule.seen_finished(3.0, "a")
    schedule.forget("b")

    assert schedule.next_look(3.0) == inf
    assert schedule.watched == 0


def test_an_item_is_looked_at_first_after_a_second_and_a_call_earlier_where_the_latency_is_known() -> None:
    schedule = closed(SettlingSchedule(), "a")
    assert schedule.next_look(0.0) == FIRST_AGE_S

    schedule.latency_s = 0.2

    assert schedule.next_look(0.0) == pytest.approx(FIRST_AGE_S - 0.2)


def test_what_an_earlier_run_has_sent_is_looked_at_at_once_and_teaches_nothing() -> None:
    schedule = SettlingSchedule()
    schedule.watch(10.0, "old")

    assert schedule.next_look(10.0) <= 10.0
    assert schedule.look(10.0).ids == ("old",)
    schedule.seen_finished(10.2, "old")
    schedule.looked(10.2, 1)

    assert schedule.processing_s is None


def test_the_time_that_an_earlier_run_learned_is_where_the_next_begins() -> None:
    schedule = closed(SettlingSchedule(processing_s=20.0), "a")

    assert schedule.next_look(0.0) == 20.0


def test_while_requests_are_sent_a_call_is_made_each_five_seconds_however_many_are_processing() -> None:
    schedule = SettlingSchedule()
    for number in range(40):
        schedule.sent(number / 10, str(number))
    schedule.expect(1_000, 100.0)
    for number in range(40):
        schedule.seen_processing(4.0, str(number))
    schedule.looked(4.0, 3)

    assert schedule.next_look(4.0) >= 4.0 + 3 * SPACING_S


def test_a_look_comes_sooner_where_each_call_tells_of_fifty() -> None:
    schedule = SettlingSchedule()
    learn(schedule, 2.0)
    for number in range(60):
        schedule.sent(10 + number / 100, f"new-{number}")
    schedule.looked(10.1, 1)
    schedule.expect(1_000, 100.0)

    assert schedule.next_look(10.6) == pytest.approx(10.49 + 2.0, abs=0.1)


def learn(schedule: SettlingSchedule, processing_s: float) -> None:
    """Show a look in which everything older than a time is finished, and everything younger is not."""
    for number in range(100):
        schedule.sent(number * processing_s / 50, f"taught-{number}")
    now = 2 * processing_s
    for number in range(100):
        age_s = now - number * processing_s / 50
        (schedule.seen_finished if age_s >= processing_s else schedule.seen_processing)(now, f"taught-{number}")
    schedule.looked(now, 1)
    for number in range(100):
        schedule.forget(f"taught-{number}")


def test_the_time_of_one_is_learned_from_a_single_look() -> None:
    schedule = SettlingSchedule()

    learn(schedule, 10.0)

    assert schedule.processing_s == pytest.approx(10.0, abs=0.2)


@pytest.mark.parametrize(
    ("items", "pages", "expected"),
    [
        (3, 5, SettlingLook(("0", "1", "2"), 0)),
        (12, 5, SettlingLook(tuple(str(number) for number in range(12)), 0)),
        (12, 3, SettlingLook(tuple(str(number) for number in range(12)), 3)),
        (3, 1, SettlingLook(("0", "1", "2"), 1)),
    ],
)
def test_a_look_takes_the_fewest_calls_and_prefers_a_listing_at_the_same_price(
    items: int, pages: int, expected: SettlingLook
) -> None:
    schedule = closed(SettlingSchedule(), *(str(number) for number in range(items)))

    assert schedule.look(FIRST_AGE_S, pages=pages) == expected


def test_room_in_a_call_by_id_is_filled_with_what_may_be_done_early() -> None:
    schedule = SettlingSchedule(processing_s=5.0)
    for number in range(8):
        schedule.sent(float(number), str(number))
    schedule.expect(100, 200.0)

    assert schedule.look(6.0, pages=9) == SettlingLook(("0", "1", "2", "3", "4"), 0)


def test_late_items_are_asked_for_ever_more_rarely_and_together() -> None:
    schedule = closed(SettlingSchedule(processing_s=1.0), "a", "b")
    looks, now = list[float](), 0.0
    while (now := schedule.next_look(now)) < 900:
        looks.append(now)
        assert set(schedule.look(now).ids) == {"a", "b"}
        for item in ("a", "b"):
            schedule.seen_processing(now, item)
        schedule.looked(now, 1)

    gaps = [later - earlier for earlier, later in pairwise(looks)]
    assert gaps == sorted(gaps)
    assert len(looks) <= CALLS_STUCK


def test_what_was_late_by_too_low_an_expectation_is_on_time_again_once_the_true_one_is_known() -> None:
    schedule = closed(SettlingSchedule(), *(str(number) for number in range(10)))
    schedule.sent(10.0, "young")
    for item in (*(str(number) for number in range(10)), "young"):
        schedule.seen_processing(29.0, item)
    schedule.looked(29.0, 1)
    for number in range(10):
        schedule.seen_finished(30.0, str(number))
    schedule.looked(30.0, 1)

    assert schedule.next_look(30.0) == pytest.approx(40.0)


OBSERVED = st.lists(st.tuples(st.floats(0, 1_000), st.booleans()), max_size=60)


@given(OBSERVED, st.floats(0, 1_000))
def test_the_usual_age_lies_between_one_that_was_unfinished_and_one_that_was_finished(
    others: list[tuple[float, bool]], finished_s: float
) -> None:
    observed = [*others, (finished_s, True)]

    unfinished_s, usual_s = usual_ages(observed)

    assert 0 <= unfinished_s <= usual_s <= max(age_s for age_s, finished in observed if finished)


@given(st.floats(0, 10), st.lists(st.floats(20, 1_000), max_size=60))
def test_what_hangs_does_not_raise_the_usual_age(finished_s: float, hanging_s: list[float]) -> None:
    observed = [(finished_s, True), *((age_s, False) for age_s in hanging_s)]

    assert usual_ages(observed)[1] == finished_s


@given(st.floats(0.1, 100), st.lists(st.floats(0.01, 200), min_size=5, max_size=100))
def test_where_all_take_the_same_time_the_usual_age_is_the_lowest_at_which_one_was_finished(
    processing_s: float, ages_s: list[float]
) -> None:
    observed = [(age_s, age_s >= processing_s) for age_s in [*ages_s, 300.0]]

    unfinished_s, usual_s = usual_ages(observed)

    assert usual_s == min(age_s for age_s, finished in observed if finished)
    assert unfinished_s == max((age_s for age_s, finished in observed if not finished), default=0.0)


TIMES = st.floats(0.05, 90.0)


@st.composite
def batches(draw: st.DrawFn) -> Setting:
    """Any batch of up to 80 items: constant or mixed times, any rate, a lane that may hold many others."""
    count = draw(st.integers(1, 80))
    same = draw(st.booleans())
    times = [draw(TIMES)] * count if same else draw(st.lists(TIMES, min_size=count, max_size=count))
    return Setting(
        times,
        draw(st.floats(0.3, 30.0)),
        latency_s=draw(st.floats(0.01, 1.0)),
        call_s=draw(st.floats(0.05, 2.0)),
        others=draw(st.sampled_from((0, 90, 3_050))),
        remembers_pages=draw(st.booleans()),
    )


@settings(max_examples=150)
@given(batches())
def test_every_item_is_seen_to_end_for_a_bounded_number_of_calls(setting: Setting) -> None:
    settled = Simulation(setting).run()

    count = len(setting.processing_s)
    assert len(settled.seen_at) == count
    sending_s = setting.answered_at(count - 1)
    while_sending = sum(at < sending_s for at in settled.calls_at)
    pages = max(1, count // 100 + 1) if setting.remembers_pages else (setting.others + count) // 100 + 1
    dearest = min(pages, count // 5 + 1) + count // 5 + 1
    assert while_sending <= sending_s / SPACING_S + count / 25 + 2 * dearest
    looks = settled.looks_at
    step_s = max(QUICK_S, setting.call_s)
    assert all(later - earlier >= step_s - 1e-9 for earlier, later in pairwise(looks))


@settings(max_examples=100)
@given(st.integers(1, 90), st.floats(0.5, 20.0), st.floats(0.1, 60.0), st.data())
def test_one_item_that_never_ends_costs_few_calls_in_a_quarter_of_an_hour(
    count: int, rate: float, processing_s: float, data: st.DataObject
) -> None:
    stuck = data.draw(st.integers(0, count - 1))
    times = [processing_s] * count
    without = Simulation(Setting(times, rate)).run()
    settled = Simulation(Setting([*times[:stuck], inf, *times[stuck + 1 :]], rate)).run()

    assert len(settled.seen_at) == count - 1
    assert len(settled.calls_at) <= len(without.calls_at) + CALLS_STUCK


ROWS = [(count, rate, kind) for count, rate in BATCHES for kind in KINDS]


@pytest.mark.parametrize(("count", "rate", "kind"), ROWS)
def test_the_end_is_seen_soon_and_for_few_calls(count: int, rate: float, kind: str) -> None:
    row: Row = measured(count, rate, kind)

    varies = kind.startswith("about")
    assert row.late_median_s <= (2.5 if varies else 1.0)
    assert row.calls_sending <= count / rate / SPACING_S + count / 100 + 2
    assert row.calls_after <= 50
    if (count, kind) == (25, "2 s"):
        assert row.late_max_s <= 1.0


def test_the_page_shows_these_figures() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")
