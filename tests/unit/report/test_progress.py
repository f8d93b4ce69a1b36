"""Counts of a run, its pace, and when it will end."""

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.events import LaneStopped
from batch_upload.model import Capacity, State
from batch_upload.operations import PUT_FIELD
from batch_upload.report.progress import RunProgress, is_awaited, recent_rate
from tests.unit.report.samples import (
    BEGIN,
    TOO_LARGE,
    after,
    answered,
    created,
    ended,
    item,
    known,
    moved,
    plan_of,
    started,
    throttled,
    to_bind,
)


def progress_of(count: int, rate: float, capacity: Capacity | None = None) -> RunProgress:
    """A run of so many items that has just started."""
    progress = RunProgress()
    progress.notify(started(plan_of(count), rate=rate, capacity=capacity))
    return progress


def test_the_end_is_what_is_left_over_the_rate() -> None:
    ending = progress_of(120, 2.0).eta(BEGIN)

    assert ending is not None
    assert (ending.left_s, ending.ends_at, ending.by_capacity) == (63.0, after(63), False)


def test_the_capacity_ends_a_run_before_its_items_do() -> None:
    ending = progress_of(120, 2.0, Capacity(used=0, maximum=20)).eta(BEGIN)

    assert ending is not None
    assert (ending.left_s, ending.by_capacity) == (12.0, True)


@pytest.mark.parametrize(("count", "rate", "capacity"), [(0, 1.0, None), (5, 1.0, Capacity(25, 25)), (5, 0.0, None)])
def test_there_is_no_end_to_tell_without_work_room_or_rate(count: int, rate: float, capacity: Capacity | None) -> None:
    assert progress_of(count, rate, capacity).eta(BEGIN) is None


def test_there_is_no_end_to_tell_before_a_rate_is_known() -> None:
    progress = progress_of(5, 1.0)
    progress.notify(created("item-0", after(0.1)))

    assert progress.eta(after(0.5)) is None


def test_an_end_beyond_the_calendar_is_not_told() -> None:
    late = datetime(9999, 12, 31, tzinfo=UTC)

    assert progress_of(100_000, 0.2).eta(late) is None
    assert progress_of(5, 1e-300).eta(BEGIN) is None


def test_a_steady_rate_is_found_over_the_short_window() -> None:
    creates = [(second, 20) for second in range(60)]

    assert recent_rate(creates, started=0, now=60) == pytest.approx(20)


def test_a_slow_rate_is_found_over_the_long_window() -> None:
    creates = [(second, 1) for second in range(0, 120, 5)]

    assert recent_rate(creates, started=0, now=120) == pytest.approx(0.2)


def test_a_young_run_counts_only_the_time_it_had() -> None:
    assert recent_rate([(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)], started=0.0, now=5.0) == pytest.approx(1)
    assert recent_rate([(0, 1)], started=0.0, now=0.5) is None


@given(
    st.integers(min_value=0, max_value=100),
    st.floats(min_value=1, max_value=500),
    st.lists(st.integers(min_value=0, max_value=300), max_size=60),
)
def test_a_rate_is_never_more_than_all_creates_in_a_second(begin: int, length_s: float, counts: list[int]) -> None:
    creates = [(begin + second, count) for second, count in enumerate(counts)]

    rate = recent_rate(creates, started=begin, now=begin + length_s)

    assert rate is not None
    assert math.isfinite(rate)
    assert 0 <= rate <= sum(counts)


def test_a_run_awaits_what_it_sends_resolves_or_finds_processing() -> None:
    kinds = {
        "new": (ActionKind.CREATE, None),
        "changed": (ActionKind.REPLACE, State.COMPLETE),
        "open": (ActionKind.RESOLVE, State.SENDING),
        "at work": (ActionKind.UNCHANGED, State.PROCESSING),
        "loose": (ActionKind.BIND, State.BINDING),
        "there": (ActionKind.UNCHANGED, State.COMPLETE),
        "gone": (ActionKind.ORPHAN, State.PROCESSING),
        "full": (ActionKind.PARKED, State.PARKED),
        "dead": (ActionKind.FAILED, State.FAILED),
    }
    plan = Plan(
        tuple(
            Action(kind, name, name, "", item=item(name), known=None if state is None else known(name, state))
            for name, (kind, state) in kinds.items()
        )
    )

    assert {action.item_id for action in plan.actions if is_awaited(action)} == {
        *("new", "changed", "open", "at work", "loose")
    }


def test_every_item_is_counted_once_where_it_ended() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(6)))
    for number in range(3):
        progress.notify(created(f"item-{number}", after(number)))
    progress.notify(ended("item-0", after(4)))
    progress.notify(ended("item-0", after(4)))
    progress.notify(ended("item-3", after(5), State.FAILED, fault=TOO_LARGE))
    progress.notify(ended("item-4", after(5), State.PARKED))
    progress.notify(ended("item-5", after(5), State.UNKNOWN))
    progress.notify(ended("of another batch", after(5)))
    progress.notify(throttled(after(6)))

    assert (progress.total, progress.ended) == (6, 4)
    assert (progress.done, progress.failed, progress.parked, progress.open) == (1, 1, 1, 1)
    assert (progress.processing, progress.created, progress.throttled) == (2, 3, 1)


def test_an_item_nobody_waits_for_is_done_when_it_is_created() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(1)))
    progress.notify(ended("item-0", after(1), State.PROCESSING))

    assert (progress.done, progress.processing) == (1, 0)


def test_what_an_earlier_run_left_is_processing_from_the_start() -> None:
    left = Action(ActionKind.UNCHANGED, "a", "t", "", item=item("a"), known=known("a", State.PROCESSING))
    progress = RunProgress()
    progress.notify(started(Plan((left,))))

    assert (progress.total, progress.processing, progress.eta(BEGIN)) == (1, 1, None)


def test_only_the_last_failures_are_kept() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(5)))
    for number in range(5):
        progress.notify(ended(f"item-{number}", after(number), State.FAILED, fault=TOO_LARGE))

    assert [failed.item_id for failed in progress.failures] == ["item-2", "item-3", "item-4"]


def test_the_first_rate_serves_until_something_was_created() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(10), rate=0.5))

    first = progress.eta(after(5))
    progress.notify(created("item-0", after(8)))
    then = progress.eta(after(10))

    assert first is not None
    assert first.left_s == pytest.approx(22)
    assert then is not None
    assert then.left_s == pytest.approx(92)


def test_the_room_that_is_left_shrinks_with_every_create() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(10), capacity=Capacity(used=20, maximum=25)))
    for number in range(5):
        progress.notify(created(f"item-{number}", after(number)))

    assert progress.eta(after(6)) is None


def test_a_stopped_lane_has_no_end_to_tell() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(10)))
    progress.notify(LaneStopped(TOO_LARGE, draining=True, resume_after=None, at=after(1)))

    assert progress.eta(after(2)) is None


def test_the_memory_of_creates_is_bounded_and_survives_a_clock_put_back() -> None:
    progress = RunProgress()
    progress.notify(started(plan_of(1)))
    for second in (*range(500), 100, 101):
        progress.notify(created("item-0", after(second)))

    assert progress.rate_per_s(after(499)) == pytest.approx(13 / 10)
    assert len(progress._creates_by_second) <= 61


def test_each_change_moves_an_item_from_its_state_to_the_next() -> None:
    progress = progress_of(3, 1.0)
    progress.notify(created("item-0", after(1)))
    progress.notify(ended("item-0", after(2)))
    progress.notify(created("item-1", after(3)))

    assert +progress.states == {State.COMPLETE: 1, State.PROCESSING: 1, State.PENDING: 1}
    assert (progress.created, progress.created_bytes) == (2, 2 * 496_000)


def test_an_item_whose_tags_alone_change_counts_by_state_but_not_as_work_of_the_run() -> None:
    retag = Action(ActionKind.RETAG, "a", "t", "tags changed", item=item("a"), known=known("a"))
    progress = RunProgress()
    progress.notify(replace(started(Plan((retag,))), states={"complete": 1}))
    progress.notify(ended("a", after(1), State.FAILED, fault=TOO_LARGE))

    assert +progress.states == {State.FAILED: 1}
    assert (progress.total, progress.ended, list(progress.failures)) == (0, 0, [])


def test_requests_throttles_and_rates_are_counted_by_operation() -> None:
    progress = progress_of(1, 1.0)
    progress.notify(throttled(after(1)))
    progress.notify(answered("item-0", after(2), rate=0.9))

    assert progress.requests == {"CreateRegistrationAttachment": 2}
    assert +progress.throttled_requests == {"CreateRegistrationAttachment": 1}
    assert (progress.rates, progress.learned_rate) == ({"CreateRegistrationAttachment": 0.9}, 0.9)


def test_an_item_is_sent_when_it_is_in_its_field_and_its_state_is_counted_on_the_way() -> None:
    progress = RunProgress()
    progress.notify(started(Plan((to_bind("a", ActionKind.CREATE, None), to_bind("b")))))
    counts = [(progress.to_create, progress.processing, progress.binding, progress.binds_left, progress.sent)]
    for event in (
        created("a", after(1)),
        moved("a", State.BINDING, after(3)),
        ended("b", after(4)),
        ended("a", after(5)),
    ):
        progress.notify(event)
        counts.append((progress.to_create, progress.processing, progress.binding, progress.binds_left, progress.sent))

    assert counts == [(1, 0, 1, 2, 0), (0, 1, 1, 2, 0), (0, 0, 2, 2, 0), (0, 0, 1, 1, 1), (0, 0, 0, 0, 2)]
    assert (progress.total, progress.done, progress.is_all_sent) == (2, 2, False)


def test_a_run_that_only_binds_takes_as_long_as_its_binds_at_their_own_pace() -> None:
    progress = RunProgress()
    progress.notify(started(Plan(tuple(to_bind(f"b{n}") for n in range(60))), rate=20.0))
    first = progress.eta(BEGIN)
    progress.notify(replace(answered("b0", after(1), rate=0.5), operation=PUT_FIELD))
    progress.notify(ended("b0", after(1)))
    then = progress.eta(after(1))

    assert progress.is_all_sent
    assert first is not None
    assert then is not None
    assert (first.left_s, then.left_s, then.by_capacity) == (60.0, 118.0, False)


def test_an_item_that_could_not_be_bound_is_failed_and_one_left_binding_is_open() -> None:
    progress = RunProgress()
    progress.notify(started(Plan(tuple(to_bind(name) for name in "ab"))))
    progress.notify(ended("a", after(1), State.FAILED, fault=TOO_LARGE))
    progress.notify(ended("b", after(1), State.BINDING))

    assert (progress.failed, progress.open, progress.done, progress.binding, progress.binds_left) == (1, 1, 0, 0, 0)


def test_what_finds_no_room_is_not_bound() -> None:
    progress = RunProgress()
    plan = Plan(tuple(to_bind(f"c{number}", ActionKind.CREATE, None) for number in range(20)))
    progress.notify(started(plan, rate=2.0, capacity=Capacity(used=0, maximum=5)))

    ending = progress.eta(BEGIN)

    assert ending is not None
    assert (ending.left_s, ending.by_capacity) == (7.0, True)
