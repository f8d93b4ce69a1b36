"""How long a token is trusted, and the first create that goes alone."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from batch_upload.engine.job import MARGIN_SHARE, FirstAlone, Job, job_of, may_replay
from batch_upload.engine.lane import LaneControl, Stop, StopKind, Withheld
from batch_upload.engine.plan import fresh
from batch_upload.model import Fault, Known
from tests.support.engine_world import World, an_item, some_items
from tests.support.manual_clock import EPOCH as NOW
from tests.support.manual_clock import ManualClock
from tests.support.memory_service import CREATE, denied, lost, refused, slow, throttled


def opened(since_s: float | None, last_s: float | None = None) -> Known:
    """An item that was first sent so many seconds ago, and last."""
    last = since_s if last_s is None else last_s
    return replace(
        fresh(an_item()),
        unknown_since=None if since_s is None else NOW - timedelta(seconds=since_s),
        last_open_at=None if last is None else NOW - timedelta(seconds=last),
    )


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
    job = job_of(opened(age_s), an_item(), now=NOW, monotonic=5_000.0)

    assert may_replay(job, now=5_000.0, horizon_s=horizon_s) is may


def test_the_age_grows_by_the_monotonic_clock() -> None:
    job = job_of(opened(100), an_item(), now=NOW, monotonic=50.0)

    assert may_replay(job, now=50.0 + 194, horizon_s=300)
    assert not may_replay(job, now=50.0 + 196, horizon_s=300)


def test_after_the_clock_was_put_back_the_last_attempt_counts_from_now() -> None:
    job = job_of(opened(-3_600), an_item(), now=NOW, monotonic=50.0)

    assert job.open_since == float("-inf")
    assert job.last_open == 50.0


def test_the_first_unknown_attempt_starts_the_horizon_and_an_answer_ends_it() -> None:
    job = Job(fresh(an_item()), an_item())

    job.follow(opened(5), attempt_started=10.0)
    job.follow(opened(5, 2), attempt_started=13.0)
    assert (job.open_since, job.last_open) == (10.0, 13.0)
    job.follow(opened(5, 2), attempt_started=20.0)  # throttled: the ledger has put everything back
    assert (job.open_since, job.last_open) == (10.0, 13.0)
    job.follow(opened(None), attempt_started=21.0)
    assert (job.open_since, job.last_open) == (None, None)


def test_an_attempt_that_was_only_throttled_starts_no_horizon() -> None:
    job = Job(fresh(an_item()), an_item())

    job.follow(opened(None), attempt_started=10.0)

    assert job.open_since is None


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
