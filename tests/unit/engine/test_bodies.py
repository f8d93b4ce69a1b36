"""Documents and jobs are in memory while they are under way, and not a moment longer."""

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import anyio
import pytest

from batch_upload.engine.replay import Job
from batch_upload.engine.run import LaneOptions
from batch_upload.model import Item, Receipt, State
from batch_upload.ports import Body, CreateRequest
from tests.support.engine_world import BATCH, HORIZON_S, MemoryBodies, World, some_items
from tests.support.manual_clock import ManualClock
from tests.support.memory_service import (
    CREATE,
    MemoryService,
    Trouble,
    denied,
    full,
    lost,
    refused,
    short_of,
    slow,
    throttled,
    unheard_of,
)

AT_ONCE = 4


@dataclass(slots=True)
class Living:
    now: int = 0
    most: int = 0


class Text(bytes):
    """Base64 that knows when it is gone."""

    living: Living

    def __del__(self) -> None:
        self.living.now -= 1


class CountedBodies(MemoryBodies):
    """Implements `ports.Bodies`, and knows how many of them are in memory."""

    def __init__(self, living: Living) -> None:
        super().__init__()
        self._living = living

    async def read(self, item: Item) -> Body:
        made = await super().read(item)
        text = Text(made.base64)
        text.living = self._living
        self._living.now += 1
        self._living.most = max(self._living.most, self._living.now)
        return Body(text, made.size_bytes)


class ForgetfulService(MemoryService):
    """A service that keeps no document."""

    async def create(self, request: CreateRequest) -> Receipt:
        kept = replace(request, body=Body(b"", 0))
        return await self._request(CREATE, request.client_token, lambda: self._create(kept))


@pytest.fixture
def living(world: World) -> Iterator[Living]:
    """Without a collector, so that nothing waits for it unseen: it may come late where much is in memory for good."""
    found = Living()
    world.bodies = CountedBodies(found)
    world.service = ForgetfulService(ManualClock())
    gc.disable()
    yield found
    gc.enable()


@pytest.mark.parametrize("kind", ["none", "throttled", "unanswered", "refused"])
async def test_no_more_documents_are_in_memory_than_may_be_under_way_whatever_goes_wrong(
    world: World, living: Living, kind: str
) -> None:
    troubles: dict[str, Callable[[], Trouble | None]] = {
        "none": lambda: None,
        "throttled": throttled,
        "unanswered": lambda: lost(done=False),
        "refused": refused,
    }
    numbers = count(1)
    world.service.always[CREATE] = lambda _: troubles[kind]() if next(numbers) % 3 == 0 else None

    result = await world.upload(some_items(40), LaneOptions(BATCH, concurrency=AT_ONCE))

    assert len(world.creates) >= 40
    assert State.PENDING not in result.states.values()
    assert living.most <= AT_ONCE
    assert living.now == 0


@pytest.mark.parametrize(
    "troubles",
    [
        pytest.param([lost(done=False)], id="unanswered"),
        pytest.param([lost(done=True)] * 20, id="never answered"),
        pytest.param([throttled()] * 200, id="always throttled"),
        pytest.param([lost(done=False), refused()], id="refused after no answer"),
        pytest.param([lost(done=False), slow(seconds=2 * HORIZON_S)], id="cut off at the horizon"),
        pytest.param([unheard_of()] * 5, id="unheard of"),
        pytest.param([denied()], id="denied"),
        pytest.param([full(daily=True)], id="full"),
        pytest.param([short_of("memory")], id="short"),
        pytest.param([short_of("memory", may_have_left=True)], id="short on the way"),
    ],
)
async def test_a_document_goes_with_its_last_call_however_that_ends(
    world: World, living: Living, troubles: list[Trouble]
) -> None:
    world.service.script(CREATE, *troubles)

    await world.upload(some_items(5), LaneOptions(BATCH, concurrency=1))

    assert world.creates
    assert living.now == 0


async def test_a_document_goes_with_a_run_that_is_cancelled(world: World, living: Living) -> None:
    world.service.script(CREATE, lost(done=False), slow(seconds=600))

    with anyio.move_on_after(60) as limit:
        await world.upload(some_items(1), LaneOptions(BATCH, concurrency=1))

    assert limit.cancelled_caught
    assert len(world.creates) == 2
    assert living.now == 0


async def test_a_document_is_not_kept_while_its_retry_is_waited_for(world: World, living: Living) -> None:
    held: list[int] = []

    def look(_: object) -> Trouble | None:
        held.append(living.now)
        return throttled(retry_after_s=60) if len(held) < 5 else None

    world.service.always[CREATE] = look

    await world.upload(some_items(1), LaneOptions(BATCH, concurrency=1))

    assert held == [1] * 5


async def test_documents_are_expected_in_the_order_in_which_they_are_sent(world: World) -> None:
    expected: list[str] = []

    class ExpectedBodies(MemoryBodies):
        def expect(self, items: Iterable[Item], *, at_once: int) -> None:
            assert at_once == AT_ONCE
            expected.extend(item.item_id for item in items)

    world.bodies = bodies = ExpectedBodies()

    await world.upload(some_items(12), LaneOptions(BATCH, concurrency=AT_ONCE))

    assert expected == [f"item-{number:03}" for number in range(12)]
    assert sorted(bodies.reads) == expected


async def test_a_job_is_not_kept_once_it_has_ended(world: World) -> None:
    def living_jobs() -> int:
        gc.collect()  # a job that has ended may be part of a cycle
        return sum(isinstance(each, Job) for each in gc.get_objects())

    others, kept = living_jobs(), list[int]()
    world.service.always[CREATE] = lambda _: kept.append(living_jobs() - others)

    await world.upload(some_items(20), LaneOptions(BATCH, concurrency=AT_ONCE))

    assert len(kept) == kept[0] == 20
    assert kept[-1] <= AT_ONCE
