"""One place where a run is told to stop, and every wait that it ends."""

from functools import partial
from itertools import permutations

import anyio
import pytest

from batch_upload.engine.lane import LaneControl, Stop, StopKind, Withheld
from batch_upload.model import Fault
from tests.support.manual_clock import ManualClock

DRAINING = [kind for kind in StopKind if kind.drains]
ENDING = [kind for kind in StopKind if not kind.drains]


def stop(kind: StopKind) -> Stop:
    return Stop(kind, Fault(kind.value, kind.value))


def test_the_stops_that_drain_are_deadline_capacity_and_failures() -> None:
    assert set(DRAINING) == {StopKind.DEADLINE, StopKind.CAPACITY, StopKind.TOO_MANY_FAILURES}


@pytest.mark.parametrize(("first", "second"), list(permutations(StopKind, 2)))
def test_the_first_stop_stands_unless_a_stronger_one_comes(first: StopKind, second: StopKind) -> None:
    lane = LaneControl()

    assert lane.stop_with(stop(first))
    is_news = lane.stop_with(stop(second))

    stronger = first.drains and not second.drains
    assert is_news is stronger
    assert lane.stop == stop(second if stronger else first)
    assert lane.creating == stop(first)


@pytest.mark.parametrize("kind", list(StopKind))
async def test_a_stop_ends_every_wait_to_create_at_once(clock: ManualClock, kind: StopKind) -> None:
    lane = LaneControl()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(withheld, lane, clock, to_create=True))
        group.start_soon(partial(withheld, lane, clock, to_create=True))
        await clock.sleep(5)
        lane.stop_with(stop(kind))

    assert clock.monotonic() == 5


@pytest.mark.parametrize("kind", DRAINING)
async def test_a_stop_that_drains_leaves_other_waits_alone(clock: ManualClock, kind: StopKind) -> None:
    lane = LaneControl()
    lane.stop_with(stop(kind))

    with lane.waiting(to_create=False):
        await clock.sleep(5)

    assert clock.monotonic() == 5


@pytest.mark.parametrize("kind", ENDING)
async def test_any_other_stop_ends_every_wait(clock: ManualClock, kind: StopKind) -> None:
    lane = LaneControl()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(withheld, lane, clock, to_create=False))
        await clock.sleep(5)
        lane.stop_with(stop(kind))

    assert clock.monotonic() == 5


async def withheld(lane: LaneControl, clock: ManualClock, *, to_create: bool) -> None:
    with pytest.raises(Withheld), lane.waiting(to_create=to_create):
        await clock.sleep(1_000)


async def test_a_wait_that_begins_after_a_stop_is_withheld_before_it_waits(clock: ManualClock) -> None:
    lane = LaneControl()
    lane.stop_with(stop(StopKind.SIGNAL))

    await withheld(lane, clock, to_create=False)

    assert clock.monotonic() == 0


async def test_a_cancellation_from_outside_is_no_stop(clock: ManualClock) -> None:
    lane = LaneControl()

    with anyio.move_on_after(5) as scope, lane.waiting(to_create=True):
        await clock.sleep(1_000)

    assert scope.cancelled_caught
