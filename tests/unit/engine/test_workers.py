"""Useful concurrency: rate times latency of workers are called up, and the rate is used all the same."""

from collections.abc import Sequence

import pytest

from batch_upload.app.exits import exit_of_run
from batch_upload.engine.create_step import SPARE, CreateStep
from batch_upload.engine.replay import job_of
from batch_upload.engine.retry import RetryPolicy
from batch_upload.engine.rows import new_row
from batch_upload.engine.settle import Settler
from batch_upload.errors import ExitCode
from batch_upload.events import Notice, Requested, Retrying
from batch_upload.model import Item, State
from batch_upload.operations import LIMITS, LIST_TAGS
from batch_upload.ports import moment
from tests.support.engine_world import World, some_items
from tests.support.memory_service import CREATE, DESCRIBE, lost, short_of, slow

LONGEST_S = RetryPolicy().shortage_max_s


async def workers_used(world: World, items: Sequence[Item], *, most: int) -> int:
    """Create the items, and return how many workers were started."""
    context = await world.prepared(*items)
    step = CreateStep(context, world.bodies, Settler(context, timeout_s=60))
    jobs = [job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch) for item in items]
    used = await step.run(jobs, workers=most)
    world.assert_each_once(items)
    return used


@pytest.mark.parametrize("latency_s", [0.05, 0.45, 0.95])
async def test_as_many_workers_are_called_up_as_the_rate_needs(world: World, latency_s: float) -> None:
    world.rate, world.service.way_s = 10, latency_s

    used = await workers_used(world, some_items(60), most=32)

    under_way = world.rate * latency_s
    assert under_way < used <= under_way + SPARE + 2
    assert world.clock.monotonic() == pytest.approx(60 / world.rate + latency_s, abs=latency_s + 0.2)


async def test_no_more_workers_are_called_up_than_may_be(world: World) -> None:
    world.rate, world.service.way_s = 10, 0.95

    assert await workers_used(world, some_items(40), most=4) == 4


async def test_workers_that_wait_out_a_fault_are_stood_in_for(world: World) -> None:
    world.rate = 10
    world.service.script(CREATE, slow(0.01), *[lost(done=False)] * 5)

    used = await workers_used(world, some_items(60), most=32)

    assert 2 <= used <= 10
    assert world.clock.monotonic() < 60 / 10 + 2


async def test_workers_end_where_resources_run_out_and_the_last_goes_on(world: World) -> None:
    world.rate = 10
    items = some_items(30)
    world.service.script(CREATE, slow(0.01), *[short_of("file descriptors")] * 20)

    result = await world.upload(items)

    world.assert_each_once(items)
    assert result.counted() == {State.COMPLETE: 30}
    assert [each.message for each in world.heard_of(Notice)] == [
        "out of file descriptors: the run goes on with fewer calls at once; free some"
    ]
    assert world.heard_of(Retrying) == []
    assert [each.outcome for each in world.heard_of(Requested) if each.operation == CREATE] == ["accepted"] * 30


async def test_what_finds_no_memory_in_the_middle_of_a_request_is_sent_again_with_its_token(world: World) -> None:
    items = some_items(5)
    world.service.script(CREATE, *[short_of("memory", may_have_left=True, done=True)] * 3)

    result = await world.upload(items)

    world.assert_each_once(items)
    assert result.counted() == {State.COMPLETE: 5}


async def test_a_shortage_that_stays_leaves_every_item_for_the_next_run(world: World) -> None:
    world.rate = 10
    items = some_items(20)
    world.service.always[CREATE] = lambda _: short_of("file descriptors")

    result = await world.upload(items)
    ended_after_s = world.clock.monotonic()
    del world.service.always[CREATE]
    again = await world.upload(items)

    assert result.counted() == {State.PENDING: 20}
    assert exit_of_run(result, signalled=None).code is ExitCode.TRANSIENT
    assert LONGEST_S <= ended_after_s < LONGEST_S + 20
    assert again.counted() == {State.COMPLETE: 20}
    world.assert_each_once(items)


async def test_a_shortage_of_every_request_is_waited_for_once_and_not_once_for_each_question(world: World) -> None:
    items = some_items(20)
    for operation in (CREATE, DESCRIBE, LIST_TAGS, LIMITS):
        world.service.always[operation] = lambda _: short_of("memory")

    result = await world.upload(items)
    ended_after_s = world.clock.monotonic()
    world.service.always.clear()
    again = await world.upload(items)

    assert result.counted() == {State.PENDING: 20}
    assert LONGEST_S <= ended_after_s < LONGEST_S + 20
    assert again.counted() == {State.COMPLETE: 20}
    world.assert_each_once(items)


async def test_a_question_waits_for_resources_without_being_counted_as_unanswered(world: World) -> None:
    items = some_items(3)
    world.service.processing_s = 2
    world.service.script(DESCRIBE, *[short_of("file descriptors")] * 15)

    result = await world.upload(items)

    assert result.counted() == {State.COMPLETE: 3}
    assert world.heard_of(Retrying) == []
    assert world.clock.monotonic() < 60
