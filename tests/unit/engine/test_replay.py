"""How long a token is trusted, and the first create that goes alone."""

from datetime import timedelta

import anyio
import pytest

from batch_upload.engine.create import FirstAlone
from batch_upload.engine.lane import LaneControl, Stop, StopKind, Withheld
from batch_upload.engine.replay import MARGIN_SHARE, Job, job_of, may_replay
from batch_upload.engine.rows import new_row
from batch_upload.model import Fault, Known
from batch_upload.moments import LONG_AGO, Moment, Stretch
from tests.support.engine_world import World, an_item, some_items
from tests.support.manual_clock import EPOCH as NOW
from tests.support.manual_clock import ManualClock
from tests.support.memory_service import CREATE, denied, lost, refused, slow, throttled


def opened(since_s: float | None, last_s: float | None = None) -> Known:
    """An item that was first sent so many seconds ago, and last."""
    last = since_s if last_s is None else last_s
    return new_row(an_item())._replace(
        unknown_since=None if since_s is None else NOW - timedelta(seconds=since_s),
        last_open_at=None if last is None else NOW - timedelta(seconds=last),
    )


def moment(counting_s: float, *, wall_s: float | None = None) -> Moment:
    """A moment that both clocks show the same way, unless `wall_s` says what the wall clock shows."""
    return Moment(NOW + timedelta(seconds=counting_s if wall_s is None else wall_s), counting_s)


STRETCH = Stretch("boot one", moment(-10_000_000))
"""The wall clock has been steady for a third of a year, until NOW, which is 0 by the counting clock."""


def job(age_s: float | None, last_s: float | None = None, *, stretch: Stretch = STRETCH) -> Job:
    """A job whose ledger says that it was first sent so many seconds before NOW."""
    return job_of(opened(age_s, last_s), an_item(), now=moment(0), stretch=stretch)


@pytest.mark.parametrize(
    ("age_s", "horizon_s", "may"),
    [
        (None, 300, True),
        (0, 300, True),
        (294.9, 300, True),
        (295, 300, False),
        (300, 300, False),
        (10_000, 300, False),
        (0.99 - MARGIN_SHARE, 1, True),
        (1.01 - MARGIN_SHARE, 1, False),
        (0, 0, False),
        (-1, 300, False),
        (-100_000, 300, False),
    ],
)
def test_a_token_is_replayed_while_there_is_time_for_it_to_arrive(
    age_s: float | None,
    horizon_s: float,
    may: bool,  # noqa: FBT001
) -> None:
    assert may_replay(job(age_s), now=moment(0), horizon_s=horizon_s) is may


def test_the_age_grows_by_both_clocks() -> None:
    assert may_replay(job(100), now=moment(194), horizon_s=300)
    assert not may_replay(job(100), now=moment(196), horizon_s=300)


@pytest.mark.parametrize(
    ("now", "may"),
    [
        (moment(100, wall_s=3_600), False),  # set forward, or a machine whose counting clock stood still
        (moment(100, wall_s=-3_600), True),  # set back: the counting clock knows better
        (moment(3_600, wall_s=100), False),  # asleep for an hour, and then set back
    ],
)
def test_a_clock_that_was_set_makes_no_token_younger(now: Moment, may: bool) -> None:  # noqa: FBT001
    assert may_replay(job(0), now=now, horizon_s=300) is may


def test_what_was_sent_before_the_wall_clock_was_set_is_never_sent_again_unseen() -> None:
    unsteady = Stretch("boot one", moment(-30))

    assert may_replay(job(20, stretch=unsteady), now=moment(0), horizon_s=300)
    assert not may_replay(job(40, stretch=unsteady), now=moment(0), horizon_s=300)


def test_what_was_sent_before_the_wall_clock_was_set_was_sent_by_then_at_the_latest() -> None:
    unsteady = Stretch("boot one", moment(-30))

    assert job(20, stretch=unsteady).last_open_s == -20
    assert job(40_000, stretch=unsteady).last_open_s == -30


def test_after_the_clock_was_put_back_the_last_attempt_counts_from_now() -> None:
    found = job(-3_600)

    assert (found.open_since, found.last_open_s) == (LONG_AGO, 0.0)


def test_the_first_unknown_attempt_starts_the_horizon_and_an_answer_ends_it() -> None:
    sent = Job(new_row(an_item()), an_item())

    sent.follow(opened(5), attempt_started=moment(10))
    sent.follow(opened(5, 2), attempt_started=moment(13))
    assert (sent.open_since, sent.last_open_s) == (moment(10), 13.0)
    sent.follow(opened(5, 2), attempt_started=moment(20))  # throttled: the ledger has put everything back
    assert (sent.open_since, sent.last_open_s) == (moment(10), 13.0)
    sent.follow(opened(None), attempt_started=moment(21))
    assert (sent.open_since, sent.last_open_s) == (None, None)


def test_an_attempt_that_was_only_throttled_starts_no_horizon() -> None:
    sent = Job(new_row(an_item()), an_item())

    sent.follow(opened(None), attempt_started=moment(10))

    assert sent.open_since is None


# the first alone


async def test_creates_go_one_at_a_time_until_one_has_succeeded(world: World) -> None:
    world.rate, world.service.way_s = 100, 5.0
    world.service.script(CREATE, slow(20))

    await world.upload(some_items(10))

    calls = world.service.made(CREATE)
    assert calls[1].at_s >= calls[0].at_s + 20
    assert calls[8].at_s < calls[1].at_s + 5


async def test_an_answer_that_proves_nothing_passes_the_turn_on(world: World) -> None:
    items = some_items(5)
    world.rate = 100
    world.service.script(CREATE, throttled(), lost(done=False), None)

    await world.upload(items)

    assert world.creates[:3] == [item.client_token for item in items[:3]]
    world.assert_each_once(items)


async def test_a_refusal_of_one_item_proves_that_the_lane_takes_creates(world: World) -> None:
    world.rate, world.service.way_s = 100, 5.0
    world.service.script(CREATE, refused())

    await world.upload(some_items(10))

    assert world.service.in_flight_max == 8


async def test_who_waits_for_the_turn_is_withheld_by_a_stop(clock: ManualClock) -> None:
    lane, first, seen = LaneControl(), FirstAlone(), []

    async def other() -> None:
        with pytest.raises(Withheld):
            async with first.turn(lane):
                seen.append("sent")

    async with anyio.create_task_group() as group, first.turn(lane):
        group.start_soon(other)
        await clock.sleep(5)
        lane.stop_with(Stop(StopKind.ACCESS, Fault("Denied", "no")))
        await clock.sleep(5)

    assert seen == []


async def test_after_a_refused_permission_not_one_more_create_leaves(world: World) -> None:
    world.rate = 1_000
    world.service.script(CREATE, denied())

    await world.upload(some_items(50))

    assert len(world.creates) == 1
