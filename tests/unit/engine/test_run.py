"""A whole run, from the plan to the last status."""

from collections import Counter

import anyio
import pytest

from batch_upload.engine.lane import StopKind
from batch_upload.engine.plan import Selection
from batch_upload.engine.run import AFTER_DEADLINE_S, DRAIN_S, LaneOptions, LaneResult
from batch_upload.errors import LedgerOfAnotherLane
from batch_upload.events import ItemChanged, LaneStopped, Notice, RunStarted, Sending
from batch_upload.model import AttachmentStatus, Item, Lane, State
from batch_upload.ports import Body, LedgerWriter
from batch_upload.settings import MaxFailures
from tests.support.engine_world import BATCH, LANE, World, an_item, left_open, some_items
from tests.support.memory_service import (
    CREATE,
    DESCRIBE,
    LIMITS,
    LIST_TAGS,
    TAG,
    Trouble,
    denied,
    full,
    lost,
    refused,
    slow,
    throttled,
    unheard_of,
)


def states_of(result: LaneResult) -> list[State]:
    return list(result.states.values())


# what goes well


async def test_every_item_is_created_once_and_waited_for(world: World) -> None:
    items = some_items(14)
    world.service.processing_s = 3

    result = await world.upload(items)

    assert states_of(result) == [State.COMPLETE] * 14
    world.assert_each_once(items)
    assert len(world.creates) == 14
    assert world.heard.tally.uploaded == 14


async def test_a_rerun_of_a_finished_run_asks_nothing(world: World) -> None:
    items = some_items(3)
    await world.upload(items)
    before = len(world.service.calls)

    result = await world.upload(items)

    assert states_of(result) == [State.COMPLETE] * 3
    assert len(world.service.calls) == before


async def test_what_is_told_at_the_start_is_the_part_that_was_chosen_and_the_state_of_everything(world: World) -> None:
    items = some_items(3)

    await world.upload(items, LaneOptions(BATCH, selection=Selection(ids=frozenset({items[1].item_id}))))

    (started,) = [event for event in world.heard.events if isinstance(event, RunStarted)]
    assert [action.item_id for action in started.plan.actions] == [items[1].item_id]
    assert started.states == {"pending": 3}


async def test_the_intent_of_each_create_is_told_before_it_is_sent(world: World) -> None:
    await world.upload(some_items(3))

    kinds = [type(event) for event in world.heard.events if isinstance(event, Sending | ItemChanged | RunStarted)]
    assert kinds[0] is RunStarted
    assert kinds.count(Sending) == 3


async def test_no_wait_asks_for_no_status(world: World) -> None:
    world.service.processing_s = 3

    result = await world.upload(some_items(3), LaneOptions(BATCH, wait=False))

    assert states_of(result) == [State.PROCESSING] * 3
    assert len(world.service.made(DESCRIBE)) == 2  # the lane is listed before the first create and after the last


async def test_never_more_creates_in_flight_than_allowed(world: World) -> None:
    world.service.way_s, world.rate = 5.0, 100.0

    await world.upload(some_items(30), LaneOptions(BATCH, concurrency=4, wait=False))

    assert world.service.in_flight_max == 4


async def test_every_wire_attempt_is_counted_once(world: World) -> None:
    world.service.script(CREATE, None, throttled(), lost(done=True), refused(), lost(done=False))

    await world.upload(some_items(6))

    counted = world.heard.tally
    assert counted.requests[CREATE] == len(world.service.made(CREATE))
    assert counted.requests[DESCRIBE] == len(world.service.made(DESCRIBE))
    assert (counted.throttled, counted.uploaded, counted.failed) == (1, 5, 1)


async def test_an_attachment_that_the_service_fails_fails_its_item_and_no_other(world: World) -> None:
    items = some_items(3)
    world.service.processing_s = 5

    async with anyio.create_task_group() as group:

        async def fail_the_first() -> None:
            await world.clock.sleep(2)
            next(iter(world.service.held.values())).ends_as = AttachmentStatus.FAILED

        group.start_soon(fail_the_first)
        result = await world.upload(items)

    assert states_of(result) == [State.FAILED, State.COMPLETE, State.COMPLETE]
    assert [row.item_id for row in result.known.values() if row.fault] == [items[0].item_id]
    assert len(result.known) == 1
    assert world.heard.tally.failed == 1


async def test_a_file_that_changed_since_the_plan_is_not_sent(world: World) -> None:
    items = some_items(3)
    world.bodies.changed = {items[1].item_id}

    result = await world.upload(items)

    assert states_of(result) == [State.COMPLETE, State.FAILED, State.COMPLETE]
    assert items[1].client_token not in world.creates


# every stop


async def test_a_missing_permission_costs_one_create(world: World) -> None:
    world.service.always[CREATE] = lambda _: denied()

    result = await world.upload(some_items(20))

    assert len(world.creates) == 1
    assert result.stop is not None
    assert result.stop.kind is StopKind.ACCESS
    assert states_of(result) == [State.PENDING] * 20


async def test_expired_credentials_in_the_middle_end_every_call(world: World) -> None:
    world.service.way_s = 1.0
    world.service.script(CREATE, *[None] * 5, denied("ExpiredTokenException"))
    world.service.always[CREATE] = lambda _: denied("ExpiredTokenException")

    result = await world.upload(some_items(40), LaneOptions(BATCH, concurrency=4))

    assert len(world.creates) <= 6 + 4
    assert len(world.heard_of(LaneStopped)) == 1
    assert result.stop is not None
    assert result.stop.kind is StopKind.ACCESS


async def test_the_day_quota_parks_the_rest_until_midnight_and_fails_nothing(world: World) -> None:
    world.service.script(CREATE, None, None)
    world.service.always[CREATE] = lambda _: full(daily=True)

    result = await world.upload(some_items(10), LaneOptions(BATCH, concurrency=1))

    assert states_of(result).count(State.COMPLETE) == 2
    assert states_of(result).count(State.PARKED) == 8
    assert {row.resume_after for row in result.known.values() if row.state is State.PARKED} == {
        world.clock.now().replace(day=24, hour=0, minute=0, second=0, microsecond=0)
    }


async def test_a_parked_lane_is_asked_nothing_before_its_time_not_even_for_what_is_new(world: World) -> None:
    world.service.always[CREATE] = lambda _: full(daily=True)
    await world.upload(some_items(3))
    before = len(world.service.calls)

    result = await world.upload([*some_items(3), an_item("new")])

    assert states_of(result) == [State.PARKED] * 4
    assert len(world.service.calls) == before


async def test_while_the_day_is_used_up_what_is_open_is_not_replayed_either(world: World) -> None:
    parked, unsure = an_item("parked"), an_item("open")
    await left_open(world, unsure)
    world.service.always[CREATE] = lambda _: full(daily=True)
    await world.upload([parked])
    before = len(world.service.calls)

    result = await world.upload([parked, unsure])

    assert states_of(result) == [State.PARKED, State.SENDING]
    assert len(world.service.calls) == before


async def test_a_parked_item_that_is_edited_stays_parked(world: World) -> None:
    world.service.always[CREATE] = lambda _: full(daily=True)
    await world.upload([an_item("a", content="first")])
    before = len(world.creates)

    second = await world.upload([an_item("a", content="second")])
    third = await world.upload([an_item("a", content="second")])

    assert states_of(second) == [State.PARKED]
    assert second.known["a"].resume_after is not None
    assert states_of(third) == [State.PARKED]
    assert len(world.creates) == before


async def test_after_midnight_the_parked_are_sent(world: World) -> None:
    items = some_items(3)
    world.service.script(CREATE, full(daily=True))
    await world.upload(items)
    await world.clock.sleep(86_400)

    result = await world.upload(items)

    assert states_of(result) == [State.COMPLETE] * 3
    world.assert_each_once(items)


async def test_a_full_account_is_asked_for_its_capacity_before_anything_is_sent(world: World) -> None:
    world.service.maximum = 2
    items = some_items(4)
    first = await world.upload(items, LaneOptions(BATCH, concurrency=1))
    before = len(world.creates)

    second = await world.upload(items)
    world.service.maximum = 4
    third = await world.upload(items)

    assert states_of(first).count(State.PARKED) == 2
    assert states_of(second).count(State.PARKED) == 2
    assert states_of(third) == [State.COMPLETE] * 4
    assert len(world.creates) == before + 2


async def test_only_parked_tries_in_spite_of_the_time(world: World) -> None:
    items = some_items(3)
    world.service.script(CREATE, full(daily=True))
    await world.upload(items)

    result = await world.upload(items, LaneOptions(BATCH, selection=Selection(states=frozenset({State.PARKED}))))

    assert states_of(result) == [State.COMPLETE] * 3


async def test_only_an_id_leaves_the_others_alone(world: World) -> None:
    items = some_items(3)

    result = await world.upload(items, LaneOptions(BATCH, selection=Selection(ids=frozenset({items[1].item_id}))))

    assert states_of(result) == [State.PENDING, State.COMPLETE, State.PENDING]
    assert result.selected == {items[1].item_id}


async def test_too_many_failures_stop_the_creating(world: World) -> None:
    world.service.always[CREATE] = lambda _: refused()

    result = await world.upload(some_items(20), LaneOptions(BATCH, concurrency=1, max_failures=MaxFailures(count=3)))

    assert states_of(result).count(State.FAILED) == 3
    assert len(world.creates) == 3
    assert result.stop is not None
    assert result.stop.kind is StopKind.TOO_MANY_FAILURES


async def test_a_share_of_failures_counts_the_items_that_this_run_sends(world: World) -> None:
    world.service.always[CREATE] = lambda _: refused()

    options = LaneOptions(BATCH, concurrency=1, max_failures=MaxFailures(share=0.25))
    result = await world.upload(some_items(20), options)

    assert states_of(result).count(State.FAILED) == 5


async def test_a_failure_of_an_earlier_run_that_is_only_seen_now_stops_nothing(world: World) -> None:
    """The ledger was lost, and one of its attachments has failed meanwhile: that is no failure of what is sent now."""
    items = some_items(6)
    gone = world.service.plant(tags={"batch-upload:token": items[0].client_token})
    gone.ends_as = AttachmentStatus.FAILED

    result = await world.upload(items, LaneOptions(BATCH, max_failures=MaxFailures(share=0.5)))

    assert result.stop is None
    assert states_of(result) == [State.COMPLETE] * 6, "and it is tried again"


@pytest.mark.parametrize("limit", [MaxFailures(count=1), MaxFailures(share=0.01)])
async def test_what_an_earlier_run_created_is_no_failure_of_this_one(world: World, limit: MaxFailures) -> None:
    items = some_items(6)
    world.service.processing_s = 60
    await world.upload(items[:1], LaneOptions(BATCH, wait=False))
    next(iter(world.service.held.values())).ends_as = AttachmentStatus.FAILED

    result = await world.upload(items, LaneOptions(BATCH, max_failures=limit))

    assert result.stop is None
    assert states_of(result) == [State.FAILED, *[State.COMPLETE] * 5]


async def test_refused_tags_are_failures_too(world: World) -> None:
    items = some_items(8)
    await world.upload(items)
    changed = [an_item(item.item_id, tags={"Country": "NO"}) for item in items]
    world.service.always[TAG] = lambda _: refused()

    result = await world.upload(changed, LaneOptions(BATCH, max_failures=MaxFailures(share=0.25)))

    assert result.stop is not None
    assert result.stop.kind is StopKind.TOO_MANY_FAILURES
    assert 2 <= states_of(result).count(State.FAILED) < 8


async def test_the_deadline_starts_nothing_more_and_drains(world: World) -> None:
    world.rate = 1.0
    world.service.processing_s = 2

    result = await world.upload(some_items(30), LaneOptions(BATCH, deadline_s=10))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DEADLINE
    assert 5 <= states_of(result).count(State.COMPLETE) <= 10
    assert max(call.at_s for call in world.service.made(CREATE)) <= 10


async def test_the_deadline_ends_a_survey_that_takes_too_long(world: World) -> None:
    for number in range(1_000):
        world.service.plant(tags={"Other": str(number)})

    result = await world.upload(some_items(3), LaneOptions(BATCH, deadline_s=20))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DEADLINE
    assert world.creates == []
    assert states_of(result) == [State.PENDING] * 3
    assert world.clock.monotonic() < 21


async def test_the_wait_for_statuses_is_bounded_by_the_deadline_too(world: World) -> None:
    world.service.processing_s = 10_000

    result = await world.upload(some_items(3), LaneOptions(BATCH, deadline_s=60, settle_timeout_s=900))

    assert states_of(result) == [State.PROCESSING] * 3
    assert world.clock.monotonic() <= 60 + AFTER_DEADLINE_S + 1
    assert result.stop is not None
    assert result.stop.kind is StopKind.DEADLINE


@pytest.mark.parametrize("operation", [CREATE, LIMITS, DESCRIBE, LIST_TAGS, TAG])
async def test_after_the_deadline_no_answer_is_waited_for_longer_than_a_minute(world: World, operation: str) -> None:
    """Whatever does not answer: the look before the first create, a create, a status, a change of tags."""
    first, second = an_item("a", tags={"Country": "NO"}), an_item("a", tags={"Country": "SE"})
    if operation == TAG:
        await world.upload([first])
    if operation == LIST_TAGS:
        world.service.plant(tags={})
    world.service.processing_s = 5
    world.service.always[operation] = lambda _: slow(10_000_000)
    began_s = world.clock.monotonic()

    result = await world.upload([second, an_item("b")], LaneOptions(BATCH, deadline_s=20))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DEADLINE
    assert world.clock.monotonic() - began_s <= 20 + AFTER_DEADLINE_S + 1
    assert world.service.in_flight == 0


async def test_at_the_deadline_a_create_in_flight_has_ten_seconds_and_is_unknown_then(world: World) -> None:
    items = some_items(3)
    world.service.script(CREATE, slow(10_000))

    result = await world.upload(items, LaneOptions(BATCH, deadline_s=5))
    ended_at = world.clock.monotonic()
    again = await world.upload(items)

    assert ended_at == pytest.approx(5 + DRAIN_S)
    assert states_of(result) == [State.SENDING, State.PENDING, State.PENDING]
    assert world.heard.tally.requests[CREATE] == 3
    assert states_of(again) == [State.COMPLETE] * 3
    world.assert_each_once(items)


async def test_at_the_deadline_a_create_that_answers_in_time_is_recorded_and_waited_for(world: World) -> None:
    world.service.processing_s = 20
    world.service.script(CREATE, slow(12))

    result = await world.upload(some_items(2), LaneOptions(BATCH, deadline_s=5))

    assert states_of(result) == [State.COMPLETE, State.PENDING]


async def test_the_deadline_counts_time_asleep(world: World) -> None:
    world.service.processing_s = 10_000

    async with anyio.create_task_group() as group:

        async def fall_asleep() -> None:
            await world.clock.sleep(5)
            world.suspend(3_600)

        group.start_soon(fall_asleep)
        result = await world.upload(some_items(2), LaneOptions(BATCH, deadline_s=1_000, settle_timeout_s=9_000))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DEADLINE
    assert world.clock.monotonic() < 3_600 + 5 + AFTER_DEADLINE_S + 5


async def test_a_deadline_that_passes_while_nothing_is_left_to_do_is_not_waited_for(world: World) -> None:
    await world.upload(some_items(3), LaneOptions(BATCH, deadline_s=3_000))

    assert world.clock.monotonic() < 10


async def interrupted(world: World, items: list[Item], *, after_s: float) -> LaneResult:
    """A run that gets a signal so many seconds after its start."""
    context = world.context(await world.ledger())
    run = world.new_run(context, LaneOptions(BATCH))

    async def interrupt() -> None:
        await world.clock.sleep(after_s)
        run.interrupt("SIGTERM")

    async with anyio.create_task_group() as group:
        group.start_soon(interrupt)
        return await run.run(items, await world.pin(context))
    raise AssertionError("a run that is interrupted returns")


async def test_a_signal_lets_what_is_in_flight_end_and_starts_nothing(world: World) -> None:
    world.service.way_s, world.rate = 4.0, 2.0

    result = await interrupted(world, some_items(60), after_s=25)

    assert world.clock.monotonic() <= 25 + DRAIN_S
    assert State.SENDING not in states_of(result)
    assert states_of(result).count(State.PENDING) > 0
    assert 0 < len(world.creates) == len(world.service.held)
    assert max(call.at_s for call in world.service.calls) <= 25
    assert result.stop is not None
    assert result.stop.kind is StopKind.SIGNAL


async def test_after_a_signal_an_answer_is_waited_for_ten_seconds_and_no_longer(world: World) -> None:
    world.service.script(CREATE, slow(10_000))

    result = await interrupted(world, some_items(3), after_s=5)

    assert world.clock.monotonic() == pytest.approx(5 + DRAIN_S)
    assert states_of(result) == [State.SENDING, State.PENDING, State.PENDING]
    assert world.heard.tally.requests[CREATE] == 1


async def test_what_a_signal_cut_off_is_there_once_after_the_next_run(world: World) -> None:
    items = some_items(3)
    world.service.script(CREATE, slow(10_000))
    await interrupted(world, items, after_s=5)

    result = await world.upload(items)

    assert states_of(result) == [State.COMPLETE] * 3
    world.assert_each_once(items)


async def test_a_signal_during_the_survey_ends_it_at_once(world: World) -> None:
    for number in range(1_000):
        world.service.plant(tags={"Other": str(number)})

    result = await interrupted(world, some_items(3), after_s=5)

    assert world.clock.monotonic() <= 5 + 1
    assert states_of(result) == [State.PENDING] * 3
    assert world.creates == []


async def test_a_signal_in_a_backoff_or_a_wait_for_statuses_ends_it_at_once(world: World) -> None:
    world.service.processing_s = 10_000
    world.service.script(CREATE, None, throttled(retry_after_s=1_000))

    result = await interrupted(world, some_items(3), after_s=100)

    assert world.clock.monotonic() <= 100 + 1
    assert State.SENDING not in states_of(result)


# the ledger


@pytest.mark.parametrize("writes", range(1, 12))
async def test_once_the_ledger_cannot_be_written_nothing_more_is_sent(world: World, writes: int) -> None:
    items = some_items(4)
    context = world.context(await world.ledger(fails_at=writes))
    run = world.new_run(context, LaneOptions(BATCH, concurrency=1))

    result = await run.run(items, await world.pin(context))
    failed_at = world.clock.monotonic()
    await world.clock.sleep(1_000)

    assert result.ledger_error is not None
    assert result.stop is not None
    assert result.stop.kind is StopKind.LEDGER
    assert len(result.states) == 4
    assert all(call.at_s <= failed_at for call in world.service.calls)

    recovered = await world.upload(items)

    assert states_of(recovered) == [State.COMPLETE] * 4
    world.assert_each_once(items)


async def test_a_ledger_that_cannot_park_what_is_left_says_so_in_the_result(world: World) -> None:
    world.service.always[CREATE] = lambda _: full(daily=True)
    # enlisted ahead, so that parking is the write after listed, enlist, intend and conclude
    context = world.context(await world.ledger(fails_at=6))
    run = world.new_run(context, LaneOptions(BATCH))

    result = await run.run(some_items(3), await world.pin(context))

    assert result.ledger_error is not None
    assert result.stop is not None
    assert result.stop.kind is StopKind.LEDGER
    assert len(result.states) == 3


async def test_a_ledger_of_another_lane_is_refused_before_anything_is_asked(world: World) -> None:
    await world.upload(some_items(1))
    before = len(world.service.calls)
    context = world.context(await world.ledger())
    await context.ledger.pin(LANE, endpoint="https://sms-voice.example", at=world.clock.now())
    ledger: LedgerWriter = context.ledger

    with pytest.raises(LedgerOfAnotherLane):
        await ledger.pin(Lane("999999999999", "us-east-1"), endpoint="https://x", at=world.clock.now())

    assert len(world.service.calls) == before


async def test_an_attachment_that_belongs_to_another_item_stops_the_lane(world: World) -> None:
    items = some_items(2)
    world.service.processing_s = 0
    await world.upload(items[:1])
    held = next(iter(world.service.held.values()))
    held.token = items[1].client_token
    tags = {**items[1].tags, "batch-upload:token": items[1].client_token}
    held.made_of = (Body.of(items[1].content.encode()), None, tuple(sorted(tags.items())))

    result = await world.upload(items)

    assert result.stop is not None
    assert result.stop.kind is StopKind.DISAGREEMENT
    assert result.states[items[1].item_id] is State.SENDING


# edited manifests


async def test_going_back_to_what_was_uploaded_before_sends_nothing(world: World) -> None:
    first, second = an_item("a", content="first"), an_item("a", content="second")
    await world.upload([first])
    await world.upload([second])
    before = len(world.creates)

    result = await world.upload([first])

    assert states_of(result) == [State.COMPLETE]
    assert len(world.creates) == before
    rows = {row.client_token: row.current for row in await (await pinned(world)).known(BATCH)}
    assert rows == {first.client_token: True, second.client_token: False}


async def test_an_open_edit_that_was_taken_back_is_resolved_and_what_stood_before_stands(world: World) -> None:
    first, second = an_item("a", content="first"), an_item("a", content="second")
    await world.upload([first])
    await left_open(world, second, age_s=1_000)

    result = await world.upload([first])

    assert states_of(result) == [State.COMPLETE]
    assert world.creates == [first.client_token]


async def test_an_open_edit_that_was_taken_back_does_not_send_what_is_still_open_beneath_it(world: World) -> None:
    """Both tokens of an id are open, and the service has long forgotten the older: it must be looked up as well."""
    first, second = an_item("a", content="first"), an_item("a", content="second")
    world.service.memory_s = 60
    await left_open(world, first, done=True)
    await left_open(world, second, age_s=1_000)

    result = await world.upload([first])

    assert states_of(result) == [State.COMPLETE]
    assert len(world.service.by_token(first.client_token)) == 1


async def test_what_is_sent_carries_the_identity_tag_as_the_ledger_has_it(world: World) -> None:
    """Enlisted without the tag and never sent; then the manifest asks for it, and the answer is lost."""
    plain = an_item("a", identity_tag=False)
    await world.prepared(plain)
    tagged = plain._replace(identity_tag=True)
    world.service.memory_s = 60
    world.service.script(CREATE, slow(100_000))
    context = world.context(await world.ledger())
    run = world.new_run(context, LaneOptions(BATCH))
    with anyio.move_on_after(20):
        await run.run([tagged], await world.pin(context))
    await world.clock.sleep(1_000)

    result = await world.upload([tagged])

    assert states_of(result) == [State.COMPLETE]
    world.assert_each_once([tagged])


async def pinned(world: World) -> LedgerWriter:
    context = world.context(await world.ledger())
    await context.ledger.pin(LANE, endpoint="https://sms-voice.example", at=world.clock.now())
    return context.ledger


# what the lane says before


async def test_a_capacity_that_may_not_be_asked_for_is_a_notice(world: World) -> None:
    world.service.always[LIMITS] = lambda _: denied()

    result = await world.upload(some_items(2))

    assert states_of(result) == [State.COMPLETE] * 2
    assert any("DescribeAccountLimits" in notice.message for notice in world.heard_of(Notice))


async def test_a_lane_that_cannot_be_surveyed_gets_no_create(world: World) -> None:
    world.service.always[DESCRIBE] = lambda _: lost(done=False)

    result = await world.upload(some_items(2))

    assert world.creates == []
    assert states_of(result) == [State.PENDING] * 2


async def test_a_lane_whose_listing_is_refused_stops_for_a_person_to_act(world: World) -> None:
    world.service.script(DESCRIBE, refused())

    result = await world.upload(some_items(2))

    assert result.stop is not None
    assert result.stop.kind is StopKind.ACCESS
    assert (states_of(result), world.creates) == ([State.PENDING] * 2, [])


async def test_a_listing_of_statuses_that_is_refused_does_not_end_the_creates(world: World) -> None:
    items = some_items(120)
    world.rate, world.service.processing_s = 20, 1
    world.service.script(DESCRIBE, None)  # the survey's
    world.service.always[DESCRIBE] = lambda _: refused()

    result = await world.upload(items)

    assert states_of(result) == [State.PROCESSING] * 120
    assert len(world.service.made(DESCRIBE)) == 4  # the survey's, two for the statuses, and the look for duplicates
    world.assert_each_once(items)


# codes that nobody has heard of


async def test_the_same_unknown_code_for_the_first_three_creates_stops_the_lane(world: World) -> None:
    world.service.script(CREATE, *[unheard_of()] * 30)

    result = await world.upload(some_items(30), LaneOptions(BATCH, concurrency=8))

    assert len(world.creates) == 3
    assert result.stop is not None
    assert (result.stop.kind, result.stop.fault.code) == (StopKind.ACCESS, "BrandNewException")
    assert Counter(states_of(result)) == {State.FAILED: 3, State.PENDING: 27}


@pytest.mark.parametrize(
    "answers",
    [
        [unheard_of(), unheard_of(), None],
        [unheard_of(), unheard_of(), refused(), unheard_of()],
        [unheard_of("OneException"), unheard_of("OtherException"), unheard_of("OneException")],
    ],
)
async def test_unknown_codes_beside_other_answers_are_their_items_own(
    world: World, answers: list[Trouble | None]
) -> None:
    world.service.script(CREATE, *answers)

    result = await world.upload(some_items(10))

    assert result.stop is None
    assert Counter(states_of(result))[State.FAILED] == sum(each is not None for each in answers)
