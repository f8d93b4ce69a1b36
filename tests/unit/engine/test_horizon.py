"""The horizon whatever the clocks do: machines that sleep, wall clocks that are set, and replays that come too late."""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
import pytest

from batch_upload.engine.context import LaneContext
from batch_upload.engine.run import LaneOptions, LaneResult
from batch_upload.errors import NoAnswer
from batch_upload.events import Resolving
from batch_upload.model import Item, Receipt, State
from batch_upload.ports import CreateRequest
from tests.support.engine_world import BATCH, HORIZON_S, World, an_item, left_open
from tests.support.memory_service import CREATE, DESCRIBE, MemoryService, Trouble, lost, slow

HOUR_S = 3_600.0
STEPS = [HOUR_S, -HOUR_S, 1_000.0, -1_000.0]
"""How far a wall clock is set: more than the service's clock may be off, in both directions."""


@pytest.fixture
def world(world: World) -> World:
    """A service that remembers a token as long as it is trusted, and no longer."""
    world.service.memory_s = world.horizon_s
    return world


def lost_late(*, done: bool, after_s: float = 2.0) -> Trouble:
    """No answer, which is known only after a while."""
    return Trouble(NoAnswer("no answer", code="ReadTimeoutError"), done=done, late_s=after_s)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run, and what it worked with."""

    context: LaneContext
    result: LaneResult

    @property
    def state(self) -> State:
        return next(iter(self.result.states.values()))


async def upload_while(world: World, item: Item, happens: Callable[[], None], *, at_s: float) -> Ran:
    """Upload an item; so many seconds after the start something happens."""
    context = world.context(await world.ledger())
    run = world.new_run(context, LaneOptions(BATCH))

    async def later() -> None:
        await world.clock.sleep(at_s)
        happens()

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        result = await run.run([item], await world.pin(context))
        group.cancel_scope.cancel()
    return Ran(context, result)


def set_wall(world: World, by_s: float) -> Callable[[], None]:
    def now() -> None:
        world.clock.put_forward_s += by_s

    return now


def nothing() -> None:
    """Nothing happens."""


# in a run


async def test_a_request_that_was_lost_before_a_long_sleep_is_looked_up_and_not_sent_again(world: World) -> None:
    """The lid is closed in the middle of a create; hours later its connection is found to be lost."""
    item = an_item()
    world.service.script(CREATE, lost_late(done=True))

    ran = await upload_while(world, item, lambda: world.suspend(HOUR_S), at_s=1)

    assert ran.state is State.COMPLETE
    assert len(world.creates) == 1
    assert len(world.heard_of(Resolving)) == 1
    world.assert_each_once([item])


async def test_what_made_nothing_before_a_long_sleep_is_sent_again_at_once(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, lost_late(done=False))

    ran = await upload_while(world, item, lambda: world.suspend(HOUR_S), at_s=1)

    assert (ran.state, len(world.creates)) == (State.COMPLETE, 2)
    assert world.clock.monotonic() < HOUR_S + 30


@pytest.mark.parametrize("by_s", STEPS)
@pytest.mark.parametrize("done", [True, False], ids=["made", "not made"])
async def test_a_wall_clock_that_is_set_in_a_run_costs_no_item_and_makes_none_twice(
    world: World,
    by_s: float,
    done: bool,  # noqa: FBT001
) -> None:
    item = an_item()
    world.service.script(CREATE, lost_late(done=done))

    ran = await upload_while(world, item, set_wall(world, by_s), at_s=1)

    assert ran.state is State.COMPLETE
    assert world.clock.monotonic() < HORIZON_S + 30
    world.assert_each_once([item])


async def test_absence_is_proved_by_the_counting_clock_whatever_the_wall_clock_says(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, lost_late(done=False))

    await upload_while(world, item, set_wall(world, HOUR_S), at_s=1)

    first, second = world.service.made(CREATE)
    assert second.at_s >= first.at_s + HORIZON_S


@pytest.mark.parametrize("identity_tag", [True, False])
@pytest.mark.parametrize("ahead_s", STEPS)
async def test_what_was_made_after_the_wall_clock_was_put_right_is_not_taken_for_too_old_to_be_ours(
    world: World,
    ahead_s: float,
    identity_tag: bool,  # noqa: FBT001
) -> None:
    """The first attempt is lost on its way under a wrong clock; the second is carried out and its answer lost."""
    item = an_item(identity_tag=identity_tag)
    world.clock.put_forward_s = ahead_s
    world.service.script(CREATE, lost_late(done=False), lost_late(done=True, after_s=2 * HORIZON_S))

    ran = await upload_while(world, item, set_wall(world, -ahead_s), at_s=1)

    assert ran.state is (State.COMPLETE if identity_tag else State.UNKNOWN)
    world.assert_each_once([item])


# between runs


@pytest.mark.parametrize("happens", ["forward", "back", "a little", "booted", "no note"])
async def test_what_another_clock_has_dated_is_looked_up_and_not_sent_again(world: World, happens: str) -> None:
    """It seems to be 20 seconds old, and nobody knows: the service may have forgotten its token long ago."""
    item = an_item()
    world.service.memory_s = 10
    await left_open(world, item, age_s=20, done=True)
    world.clock.put_forward_s += {"forward": HOUR_S, "back": -HOUR_S, "a little": -15.0}.get(happens, 0.0)
    if happens == "booted":
        world.clock.boot = "another"
    if happens == "no note":
        await world.close()
        world.path.with_name(f"{world.path.name}.lock").unlink()

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.creates == []
    world.assert_each_once([item])


@pytest.mark.parametrize("by_s", STEPS)
async def test_absence_is_not_proved_by_a_time_that_another_clock_has_written(world: World, by_s: float) -> None:
    """A clock that was set forward makes a request old that left a moment ago and may still be at work."""
    item = an_item()
    await left_open(world, item, age_s=2)
    world.clock.put_forward_s += by_s
    began_s = world.clock.monotonic()

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.service.made(CREATE)[-1].at_s >= began_s + HORIZON_S - 2
    assert world.clock.monotonic() < began_s + HORIZON_S + 30


async def test_a_rerun_a_moment_after_a_kill_sends_again_at_once(world: World) -> None:
    item = an_item()
    await left_open(world, item, age_s=2, done=True)
    began_s = world.clock.monotonic()

    await world.upload([item])

    assert len(world.creates) == 1
    assert world.heard_of(Resolving) == []
    assert world.clock.monotonic() < began_s + 5
    world.assert_each_once([item])


async def test_time_asleep_between_two_runs_counts(world: World) -> None:
    item = an_item()
    await left_open(world, item, age_s=2, done=True)
    world.suspend(HOUR_S)

    await world.upload([item])

    assert world.creates == []
    world.assert_each_once([item])


# replays that come too late


async def test_a_replay_that_does_not_arrive_within_the_horizon_is_cut_off_and_looked_up(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, lost(done=True), slow(100_000))

    ran = await upload_while(world, item, nothing, at_s=0)

    assert ran.state is State.COMPLETE
    assert HORIZON_S <= world.clock.monotonic() < HORIZON_S + 30
    assert ran.context.doubtful == {item.client_token}
    assert world.heard.tally.adopted == 1
    world.assert_each_once([item])


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
async def test_a_clock_that_is_set_during_a_replay_gives_it_no_more_time(world: World, by_s: float) -> None:
    item = an_item()
    world.service.script(CREATE, lost(done=True), slow(100_000))

    ran = await upload_while(world, item, set_wall(world, by_s), at_s=60)

    assert ran.state is State.COMPLETE
    assert world.clock.monotonic() < (90 if by_s > 0 else HORIZON_S + 30)
    assert ran.context.doubtful == {item.client_token}


async def test_a_first_attempt_may_take_its_time(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, slow(2 * HORIZON_S))

    ran = await upload_while(world, item, nothing, at_s=0)

    assert ran.state is State.COMPLETE
    assert ran.context.doubtful == set()
    assert len(world.creates) == 1


class SleepyService(MemoryService):
    """The machine falls asleep while the second create is on its way."""

    falls_asleep: Callable[[float], None]

    async def create(self, request: CreateRequest) -> Receipt:
        if len(self.made(CREATE)) == 1:
            await self.clock.sleep(0.1)
            self.falls_asleep(HOUR_S)
        return await super().create(request)


async def test_an_answer_that_comes_after_the_horizon_is_believed_and_marked_for_a_second_look(world: World) -> None:
    item = an_item()
    service = world.service = SleepyService(world.service_clock)
    service.falls_asleep = world.suspend
    service.script(CREATE, lost_late(done=True), slow(0.6))

    ran = await upload_while(world, item, nothing, at_s=0)

    assert (ran.state, len(world.creates)) == (State.COMPLETE, 2)
    assert world.heard_of(Resolving) == []
    assert ran.context.doubtful == {item.client_token}


async def test_an_answer_in_time_is_not_doubted(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, lost(done=False), lost(done=True))

    ran = await upload_while(world, item, nothing, at_s=0)

    assert ran.state is State.COMPLETE
    assert ran.context.doubtful == set()


async def test_a_receipt_that_is_dated_after_the_horizon_is_marked_for_a_second_look(world: World) -> None:
    """A whole virtual machine was paused, which none of its clocks tells: the service's does."""
    item = an_item()
    world.service.script(CREATE, lost_late(done=True))

    ran = await upload_while(world, item, lambda: world.service_clock.suspend(HOUR_S), at_s=1)

    assert ran.context.doubtful == {item.client_token}
    assert len(world.service.made(DESCRIBE)) >= 1
