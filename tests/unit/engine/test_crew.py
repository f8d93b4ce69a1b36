"""Useful concurrency: rate times latency of workers are called up, and the rate is used all the same."""

from collections.abc import Sequence

import pytest

from batch_upload.engine.crew import SPARE
from batch_upload.engine.flow import Flow
from batch_upload.engine.job import job_of
from batch_upload.engine.plan import fresh
from batch_upload.engine.settle import Settler
from batch_upload.model import Item
from batch_upload.ports import moment
from tests.support.engine_world import World, some_items
from tests.support.memory_service import CREATE, lost, slow


async def workers_used(world: World, items: Sequence[Item], *, most: int) -> int:
    """Bring the items through a flow, and give how many workers it called up."""
    around = await world.prepared(*items)
    flow = Flow(around, Settler(around, lane_size=0, timeout_s=60))
    jobs = [job_of(fresh(item), item, now=moment(world.clock), stretch=around.ledger.stretch) for item in items]
    await flow.run(jobs, workers=most)
    world.assert_each_once(items)
    return flow.workers


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
