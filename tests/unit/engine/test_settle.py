"""Waiting for the service to finish, with as few describes as possible."""

from itertools import pairwise

import anyio
import pytest

from batch_upload.engine.lane import StopKind
from batch_upload.engine.listing import calls_by_listing
from batch_upload.engine.retry import RetryPolicy
from batch_upload.engine.run import LaneOptions
from batch_upload.events import ItemChanged, Notice
from batch_upload.model import AttachmentStatus, State
from batch_upload.pacing.settling import LATE_SHARE
from batch_upload.settings import MaxFailures
from tests.support.engine_world import BATCH, HORIZON_S, World, an_item, some_items
from tests.support.memory_service import CREATE, DESCRIBE, Trouble, denied, lost, refused, slow, throttled


def describes(world: World, since: int = 0) -> list[object]:
    """What the describes were about: ids, or a page."""
    return [call.about for call in world.service.made(DESCRIBE)[since:]]


@pytest.mark.parametrize(("size", "calls"), [(0, 1), (1, 1), (100, 1), (101, 2), (1_000, 10)])
def test_a_hundred_a_page(size: int, calls: int) -> None:
    assert calls_by_listing(size) == calls


async def test_fourteen_items_cost_two_describes(world: World) -> None:
    world.service.processing_s = 0.5

    await world.upload(some_items(14))

    assert len(describes(world, since=1)) <= 2  # one while creates go on, and one listing at the end


async def test_three_hundred_items_are_listed_and_not_asked_for_one_by_one(world: World) -> None:
    world.service.processing_s, world.rate = 0.5, 100

    result = await world.upload(some_items(300))

    assert set(result.states.values()) == {State.COMPLETE}
    assert len(describes(world, since=1)) <= 12


async def test_a_rerun_asks_for_a_few_by_their_ids_in_a_lane_that_holds_many(world: World) -> None:
    world.service.processing_s = 5
    items = some_items(12)
    for number in range(1_000):
        world.service.plant(tags={"Other": str(number)})
    world.rate = 100
    await world.upload(items, LaneOptions(BATCH, wait=False))
    await world.clock.sleep(60)
    before = len(describes(world))

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    asked = describes(world, since=before)
    assert len(asked) == 3
    assert all(isinstance(about, tuple) for about in asked)


async def test_what_was_deleted_fails_its_item_alone(world: World) -> None:
    world.service.processing_s, world.service.forgets_deleted = 60, True
    items = some_items(5)
    await world.upload(items, LaneOptions(BATCH, wait=False))
    world.service.remove(world.service.by_token(items[1].client_token)[0].attachment_id)

    result = await world.upload(items)

    assert list(result.states.values()) == [State.COMPLETE, State.FAILED, *[State.COMPLETE] * 3]
    gone = result.known[items[1].item_id]
    assert gone.fault is not None
    assert (gone.fault.code, gone.attachment_status) == ("NOT_FOUND", AttachmentStatus.IN_PROGRESS)


async def test_what_is_described_as_deleted_fails_its_item(world: World) -> None:
    world.service.processing_s = 60
    items = some_items(2)
    await world.upload(items, LaneOptions(BATCH, wait=False))
    world.service.remove(world.service.by_token(items[0].client_token)[0].attachment_id)

    result = await world.upload(items)

    assert list(result.states.values()) == [State.FAILED, State.COMPLETE]


async def test_after_the_time_out_what_is_left_is_still_processing(world: World) -> None:
    world.service.processing_s = 100_000

    result = await world.upload(some_items(3), LaneOptions(BATCH, settle_timeout_s=120))

    assert set(result.states.values()) == {State.PROCESSING}
    assert 120 <= world.clock.monotonic() <= 122
    assert len(describes(world, since=1)) <= 28  # pauses grow by a fifth of the lateness


async def test_a_stuck_item_is_looked_at_ever_more_rarely(world: World) -> None:
    world.service.processing_s = 100_000

    await world.upload(some_items(1), LaneOptions(BATCH, settle_timeout_s=900))

    at_s = [call.at_s for call in world.service.made(DESCRIBE)[1:-1]]  # without the look for duplicates
    gaps = [round(later - earlier, 3) for earlier, later in pairwise(at_s)]
    assert gaps == sorted(gaps)
    assert len(at_s) < 45
    assert all(gap <= max(1.0, 0.25 * at) for gap, at in zip(gaps, at_s, strict=False))


async def test_what_the_service_has_finished_with_is_told_while_others_are_still_sent(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0
    began = world.clock.now()

    await world.upload(some_items(60))

    last_create_s = world.service.made(CREATE)[-1].at_s
    complete = [event for event in world.heard_of(ItemChanged) if event.known.state is State.COMPLETE]
    told_at_s = [(event.at - began).total_seconds() for event in complete]
    assert told_at_s[0] < 12
    assert sum(at < last_create_s for at in told_at_s) >= 45
    assert len(describes(world, since=1)) <= 60 / 5 + 5


async def test_a_run_ends_a_second_after_the_service_has_finished_with_the_last(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0

    await world.upload(some_items(25))

    last_create_s = world.service.made(CREATE)[-1].at_s
    assert world.clock.monotonic() <= last_create_s + 2.0 + 1.1


async def test_the_last_status_is_asked_for_so_early_that_its_answer_comes_with_the_end(world: World) -> None:
    world.rate, world.service.processing_s, world.service.way_s = 1.0, 2.0, 0.4

    await world.upload(some_items(25))

    ended_s = world.service.made(CREATE)[-1].at_s + world.service.way_s / 2 + 2.0
    assert world.clock.monotonic() <= ended_s + world.service.way_s / 2 + 0.3
    assert sum(call.at_s > ended_s - 2.0 for call in world.service.made(DESCRIBE)) == 1


async def test_a_large_lane_is_listed_for_duplicates_while_the_service_works_on_what_was_created(world: World) -> None:
    for number in range(1_000):
        world.service.plant(tags={"Other": str(number)})
    world.rate, world.service.processing_s = 100, 5.0
    await world.upload(some_items(1))
    world.rate, before = 1.0, len(describes(world))

    result = await world.upload(some_items(4))

    assert set(result.states.values()) == {State.COMPLETE}
    last_create_s, pages = world.service.made(CREATE)[-1].at_s, 1_000 // 100 + 1
    asked = describes(world, since=before)
    by_id = sum(isinstance(about, tuple) for about in asked)
    assert (len(asked) - by_id, by_id <= 4) == (2 * pages, True), "before the first create, and after the last"
    assert world.clock.monotonic() <= last_create_s + pages + by_id - 1
    assert world.clock.monotonic() < last_create_s + world.service.processing_s + pages


async def test_statuses_that_are_not_answered_for_a_while_are_asked_for_again(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0
    world.policy = RetryPolicy(unanswered_max=1)
    world.service.script(DESCRIBE, None, lost(done=False))  # the survey's, and the first look

    result = await world.upload(some_items(30))

    assert set(result.states.values()) == {State.COMPLETE}


async def test_a_listing_that_is_refused_while_others_are_sent_is_tried_again(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0
    world.service.script(DESCRIBE, None, refused())  # the survey's, and the first look

    result = await world.upload(some_items(30))

    assert set(result.states.values()) == {State.COMPLETE}
    assert len(world.heard_of(Notice)) == 1


async def test_the_same_trouble_with_statuses_is_told_once_while_others_are_sent(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0
    world.service.script(DESCRIBE, None)  # the survey's
    world.service.always[DESCRIBE] = lambda _: refused()

    result = await world.upload(some_items(60))

    assert set(result.states.values()) == {State.PROCESSING}
    assert [each.message.split(":")[0] for each in world.heard_of(Notice)] == [
        "statuses could not be asked for, the run looks again",
        "statuses could not be asked for",
        "AWS did not say whether anything is there twice",
    ]


@pytest.mark.parametrize("trouble", [slow(60), throttled(), lost(done=False)], ids=["slow", "throttled", "lost"])
async def test_the_time_out_also_ends_a_look_that_waits_for_its_answer(world: World, trouble: Trouble) -> None:
    await world.upload(some_items(1))
    world.service.script(DESCRIBE, None)  # the survey's, if there is one
    world.service.processing_s, world.service.always[DESCRIBE] = 5, lambda _: trouble

    result = await world.upload(some_items(3), LaneOptions(BATCH, settle_timeout_s=10))

    assert list(result.states.values()) == [State.COMPLETE, State.PROCESSING, State.PROCESSING]
    assert world.clock.monotonic() <= world.service.made(CREATE)[-1].at_s + 10 + 1


async def test_attachments_that_fail_while_others_are_sent_count_as_failures_at_once(world: World) -> None:
    world.rate, world.service.processing_s = 1.0, 2.0
    world.service.always[CREATE] = lambda _: None

    async with anyio.create_task_group() as group:

        async def fail_all() -> None:
            while len(world.creates) < 40:
                await world.clock.sleep(0.5)
                for held in world.service.held.values():
                    held.ends_as = AttachmentStatus.FAILED

        group.start_soon(fail_all)
        result = await world.upload(some_items(60), LaneOptions(BATCH, max_failures=MaxFailures(count=3)))
        group.cancel_scope.cancel()

    assert result.stop is not None
    assert result.stop.kind is StopKind.TOO_MANY_FAILURES
    assert len(world.creates) < 20


@pytest.mark.parametrize("trouble", [lost(done=False), refused()])
async def test_a_status_that_cannot_be_had_leaves_items_processing(world: World, trouble: object) -> None:
    await world.upload(some_items(1))
    world.service.processing_s = 5
    world.service.script(DESCRIBE, None)  # the survey's
    world.service.always[DESCRIBE] = lambda _: trouble  # type: ignore[assignment,return-value]

    result = await world.upload(some_items(4), LaneOptions(BATCH, settle_timeout_s=300))

    assert list(result.states.values()) == [State.COMPLETE, *[State.PROCESSING] * 3]
    assert result.stop is None
    assert world.heard_of(Notice)


async def test_a_missing_permission_to_describe_stops_the_lane(world: World) -> None:
    await world.upload(some_items(1))
    world.service.processing_s, before = 5, len(world.service.made(DESCRIBE))
    world.service.script(DESCRIBE, None)  # the survey's
    world.service.always[DESCRIBE] = lambda _: denied()

    result = await world.upload(some_items(4))

    assert result.stop is not None
    assert list(result.states.values()).count(State.PROCESSING) == 3
    assert len(world.service.made(DESCRIBE)) - before == 2


@pytest.mark.parametrize("lag_s", [1.1, 5.0, 250.0])
async def test_what_is_not_found_yet_is_asked_for_again(world: World, lag_s: float) -> None:
    world.service.describe_lag_s = world.service.listing_lag_s = lag_s
    world.service.processing_s = 1

    result = await world.upload(some_items(3))

    assert set(result.states.values()) == {State.COMPLETE}


async def test_what_is_new_is_not_called_gone_before_it_was_looked_for_a_horizon_long(world: World) -> None:
    world.service.forgets_deleted, world.service.processing_s = True, 10
    items = some_items(2)

    def vanish(_: object) -> None:
        world.service.held.pop("att-1", None)

    world.service.always[DESCRIBE] = vanish
    started = world.clock.monotonic()
    await world.upload(items)
    known = (await world.known())[items[0].client_token]

    assert known.fault is not None
    assert (known.state, known.fault.code) == (State.FAILED, "NOT_FOUND")
    assert HORIZON_S <= world.clock.monotonic() - started <= HORIZON_S * (1 + LATE_SHARE) + 10


async def test_what_was_not_found_is_looked_for_by_the_next_run_and_taken_over(world: World) -> None:
    items = some_items(7)
    world.service.describe_lag_s = world.service.listing_lag_s = 2 * HORIZON_S
    world.service.processing_s = 1
    lost_run = await world.upload(items)
    asked, created = len(world.service.made(DESCRIBE)), len(world.creates)
    await world.clock.sleep(2 * HORIZON_S)

    found = await world.upload(items)

    assert set(lost_run.states.values()) == {State.FAILED}
    assert set(found.states.values()) == {State.COMPLETE}
    assert len(world.creates) == created
    by_id = [call.about for call in world.service.made(DESCRIBE)[asked:] if isinstance(call.about, tuple)]
    assert [len(ids) for ids in by_id] == [5, 2]


async def test_what_is_gone_for_good_fails_its_item_again_and_costs_a_describe(world: World) -> None:
    items = some_items(3)
    world.service.processing_s, world.service.forgets_deleted = 10, True
    await world.upload(items, LaneOptions(BATCH, wait=False))
    world.service.remove("att-2")
    await world.clock.sleep(2 * HORIZON_S)
    first = await world.upload(items)
    asked = len(world.service.made(DESCRIBE))

    second = await world.upload(items)

    assert list(first.states.values()) == [State.COMPLETE, State.FAILED, State.COMPLETE]
    assert list(second.states.values()) == list(first.states.values())
    assert len(world.service.made(DESCRIBE)) - asked == 1


async def test_what_was_replaced_while_processing_is_watched_to_its_end(world: World) -> None:
    world.service.processing_s = 100
    before, after = an_item("a"), an_item("a", content="other")
    await world.upload([before], LaneOptions(BATCH, wait=False))

    result = await world.upload([after])

    known = await world.known()
    assert known[before.client_token].state is State.COMPLETE
    assert (result.states, world.heard.tally.failed) == ({"a": State.COMPLETE}, 0)
    told = [event.known.client_token for event in world.heard_of(ItemChanged)]
    assert before.client_token not in told


async def test_what_an_earlier_run_left_replaced_while_processing_is_watched_too(world: World) -> None:
    world.service.processing_s = 100
    before, after = an_item("a"), an_item("a", content="other")
    await world.upload([before], LaneOptions(BATCH, wait=False))
    await world.upload([after], LaneOptions(BATCH, wait=False))

    await world.upload([after])

    assert {row.state for row in (await world.known()).values()} == {State.COMPLETE}
