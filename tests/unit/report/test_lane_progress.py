"""Counts of a run over many lanes: of each, and of all together."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.errors import ExitCode
from batch_upload.events import LanesChosen, LaneStopped, Notice
from batch_upload.model import State
from batch_upload.report.lane_progress import LaneActivity, LanesProgress, Trouble
from batch_upload.report.progress import RunProgress
from tests.unit.report.samples import (
    BEGIN,
    TOO_LARGE,
    after,
    answered,
    created,
    ended,
    lane_ended,
    of_lane,
    plan_of,
    started,
    throttled,
)

LABELS = ("acme/us-east-1", "acme/us-west-2", "beta/us-east-1")


def lanes_of(*labels: str) -> LanesProgress:
    """A run over these lanes of which none has begun."""
    progress = LanesProgress()
    progress.notify(LanesChosen("june", labels, total=len(labels), at=BEGIN))
    return progress


def test_a_lane_waits_runs_and_ends_well_or_not() -> None:
    progress = lanes_of("a/r", "b/r", "c/r", "d/r")
    progress.notify(of_lane(started(plan_of(1)), "b/r"))
    progress.notify(of_lane(lane_ended(ExitCode.DONE), "c/r"))
    progress.notify(of_lane(lane_ended(ExitCode.ACCESS), "d/r"))

    assert [lane.activity for lane in progress.lanes.values()] == ["waiting", "running", "done", "failed"]
    assert progress.activities == dict.fromkeys(LaneActivity, 1)


def test_lanes_keep_the_manifests_order_even_if_one_is_heard_of_before_all_are_named() -> None:
    progress = LanesProgress()
    progress.notify(of_lane(started(plan_of(1)), "b/r"))
    progress.notify(LanesChosen("june", ("a/r", "b/r"), total=3, at=BEGIN))

    assert list(progress.lanes) == ["a/r", "b/r"]
    assert progress.total == 1


def test_a_run_without_targets_is_counted_as_one_lane_always_was() -> None:
    progress, alone = LanesProgress(), RunProgress()
    for event in (
        started(plan_of(3)),
        created("item-0", after(1)),
        ended("item-1", after(2), State.FAILED, fault=TOO_LARGE),
        throttled(after(2)),
        Notice("hm", after(3)),
    ):
        progress.notify(event)
        alone.notify(event)

    assert not progress.lanes
    assert (progress.total, progress.failed, progress.processing, progress.throttled) == (3, 1, 1, 1)
    assert progress.eta(after(3)) == alone.eta(after(3))
    assert progress.rate_per_s(after(3)) == alone.rate_per_s(after(3))


def test_the_end_of_all_is_that_of_the_slowest_lane_and_their_rates_add_up() -> None:
    progress = lanes_of("fast/r", "slow/r", "waiting/r")
    progress.notify(of_lane(started(plan_of(100), rate=10.0), "fast/r"))
    progress.notify(of_lane(started(plan_of(30), rate=0.5), "slow/r"))
    for second in range(20):
        for label in ("fast/r", "slow/r"):
            progress.notify(of_lane(created(f"item-{second}", after(second)), label))

    slowest = progress.slowest(after(20))

    assert slowest is not None
    lane, end = slowest
    assert progress.eta(after(20)) == end
    assert end.left_s == max(each.left_s for one in progress.lanes.values() if (each := one.eta(after(20))))
    assert lane.label == "fast/r"  # 80 are left there at a create a second, and 10 here
    assert progress.rate_per_s(after(20)) == pytest.approx(2.0)


def test_lanes_in_trouble_come_the_most_urgent_first() -> None:
    progress = lanes_of("well/r", "over/r", "slow/r", "throttled/r", "failing/r", "stopped/r", "denied/r")
    for label in progress.lanes:
        progress.notify(of_lane(started(plan_of(5 if label == "slow/r" else 2)), label))
    progress.notify(of_lane(lane_ended(ExitCode.DONE), "over/r"))
    progress.notify(of_lane(lane_ended(ExitCode.ACCESS), "denied/r"))
    progress.notify(of_lane(LaneStopped(TOO_LARGE, draining=True, resume_after=None, at=BEGIN), "stopped/r"))
    progress.notify(of_lane(ended("item-0", BEGIN, State.FAILED, fault=TOO_LARGE), "failing/r"))
    for _ in range(20):
        progress.notify(of_lane(throttled(BEGIN), "throttled/r"))

    assert [(lane.label, trouble) for lane, trouble in progress.troubled(after(1))] == [
        ("denied/r", Trouble.ENDED),
        ("stopped/r", Trouble.STOPPED),
        ("failing/r", Trouble.FAILING),
        ("throttled/r", Trouble.THROTTLED),
        ("slow/r", Trouble.SLOW),
        ("well/r", Trouble.SLOW),
    ]


EVENTS = st.one_of(
    st.just(started(plan_of(4))),
    st.builds(created, st.sampled_from(["item-0", "item-1", "item-2"]), st.just(after(1))),
    st.builds(
        ended, st.sampled_from(["item-0", "item-1", "item-3", "other"]), st.just(after(2)), st.sampled_from(State)
    ),
    st.just(throttled(after(1))),
    st.builds(answered, st.just("item-1"), st.just(after(2))),
    st.just(LaneStopped(TOO_LARGE, draining=True, resume_after=None, at=after(3))),
    st.sampled_from(ExitCode).map(lane_ended),
)


@pytest.mark.parametrize("named_before", [LABELS, ()])
@given(events=st.lists(st.tuples(st.sampled_from(LABELS), EVENTS), max_size=80))
def test_over_any_events_of_lanes_the_sums_over_lanes_are_the_totals(
    events: list[tuple[str, object]], named_before: tuple[str, ...]
) -> None:
    progress = lanes_of(*named_before)
    alone = {label: RunProgress() for label in LABELS}
    for label, event in events:
        progress.notify(of_lane(event, label))
        alone[label].notify(event)

    for name in ("total", "done", "failed", "processing", "parked", "open", "sent", "ended", "created", "throttled"):
        assert getattr(progress, name) == sum(getattr(each, name) for each in alone.values()), name
    assert progress.states == sum((each.states for each in alone.values()), Counter())
    assert progress.requests == sum((each.requests for each in alone.values()), Counter())
    assert sum(progress.activities.values()) == len(progress.lanes)


def test_a_lane_that_has_not_planned_yet_counts_all_of_its_items_and_one_that_ended_before_none() -> None:
    progress = LanesProgress()
    progress.notify(LanesChosen("june", ("a/r", "b/r", "c/r"), total=3, at=BEGIN, items=(5, 7, 9)))

    progress.notify(of_lane(started(plan_of(2)), "a/r"))
    before = progress.total
    progress.notify(of_lane(lane_ended(ExitCode.ACCESS), "c/r"))

    assert (before, progress.total) == (2 + 7 + 9, 2 + 7)


def test_a_lane_that_a_worker_runs_again_counts_its_items_anew_and_its_requests_on() -> None:
    progress = LanesProgress()
    for number in range(3):
        progress.notify(of_lane(replace(started(plan_of(2)), run_id=f"run-{number}"), "a/r"))
        progress.notify(of_lane(answered("item-0", BEGIN), "a/r"))
        progress.notify(of_lane(created("item-0", BEGIN), "a/r"))
        assert progress.activities[LaneActivity.RUNNING] == 1
        progress.notify(of_lane(ended("item-0", BEGIN), "a/r"))
        progress.notify(of_lane(lane_ended(ExitCode.INTERRUPTED), "a/r"))
        counts = progress.done, progress.total, progress.created, progress.requests.total()
        assert counts == (1, 2, 1, number + 1)
