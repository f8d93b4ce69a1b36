"""Before the first create: a lost ledger uploads nothing twice, an old copy is found out."""

import shutil
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from batch_upload.engine.lane import StopKind
from batch_upload.engine.rows import with_retry
from batch_upload.engine.run import LaneOptions
from batch_upload.events import ItemChanged, Looking, Notice, OrphanSeen, RunStarted
from batch_upload.model import Attachment, AttachmentStatus, State
from tests.support.engine_world import BATCH, World, an_item, some_items
from tests.support.memory_service import CREATE, DESCRIBE, LIMITS, LIST_TAGS, denied, lost, refused


async def test_a_lost_ledger_adopts_what_carries_the_tokens_of_its_items(world: World) -> None:
    items = some_items(130)
    world.rate = 100
    await world.upload(items)
    created = len(world.creates)
    world.service.memory_s = 0
    await world.close()
    world.path.unlink()

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    assert len(world.creates) == created
    assert (world.heard.tally.adopted, world.heard.tally.uploaded) == (130, 0)


async def test_one_that_was_deleted_meanwhile_is_the_only_one_made_again(world: World) -> None:
    items = some_items(5)
    await world.upload(items)
    before = len(world.creates)
    world.service.memory_s = 0
    world.service.remove(world.service.by_token(items[2].client_token)[0].attachment_id)
    await world.close()
    world.path.unlink()

    await world.upload(items)

    assert world.creates[before:] == [items[2].client_token]


async def test_of_twins_the_older_is_adopted_and_the_other_told(world: World) -> None:
    item = an_item()
    older, younger = (world.service.plant(tags={"batch-upload:token": item.client_token}) for _ in range(2))
    younger.created_at = world.clock.now().replace(year=2027)

    await world.upload([item])

    assert (await world.known())[item.client_token].attachment_id == older.attachment_id
    assert [event.attachment_id for event in world.heard_of(OrphanSeen)] == [younger.attachment_id]


async def test_strangers_are_read_once_and_left_alone(world: World) -> None:
    for number in range(20):
        world.service.plant(tags={"Other": str(number), "batch-upload:token": f"bu1-of-another-batch-{number}"})
    await world.upload(some_items(1))

    await world.upload(some_items(3))

    assert len(world.service.made(LIST_TAGS)) == 20
    assert len(world.creates) == 3


async def test_a_survey_that_was_cut_off_reads_no_tag_twice(world: World) -> None:
    for number in range(20):
        world.service.plant(tags={"Other": str(number)}, created_at=world.clock.now() - timedelta(hours=1))
    world.service.script(LIST_TAGS, *[None] * 10, *[lost(done=False)] * 400)
    first = await world.upload(some_items(1))
    read_before = 10
    world.service.troubles.clear()
    calls_before = len(world.service.made(LIST_TAGS))

    second = await world.upload(some_items(1))

    assert set(first.states.values()) == {State.PENDING}
    assert set(second.states.values()) == {State.COMPLETE}
    assert len(world.service.made(LIST_TAGS)) - calls_before == 20 - read_before


async def test_an_old_copy_of_a_ledger_is_found_out_before_anything_is_sent(world: World) -> None:
    await world.upload(some_items(1))
    await world.close()
    copy = world.path.with_suffix(".copy")
    shutil.copy(world.path, copy)
    await world.upload(some_items(3))
    await world.close()
    created = len(world.creates)
    shutil.copy(copy, world.path)
    for beside in ("-wal", "-shm"):
        world.path.with_name(world.path.name + beside).unlink(missing_ok=True)

    result = await world.upload(some_items(5))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DISAGREEMENT
    assert len(world.creates) == created


async def test_what_the_service_has_failed_is_adopted_as_the_failure_it_is_and_tried_again(world: World) -> None:
    """Without the ledger it is this run that learns of a failure of an earlier one."""
    item = an_item()
    world.service.plant(tags={"batch-upload:token": item.client_token}).ends_as = AttachmentStatus.FAILED

    result = await world.upload([item])

    assert (await world.known())[item.client_token].attachment_status is AttachmentStatus.FAILED
    assert world.creates == [with_retry(item, 1).client_token]
    assert result.states["a"] is State.COMPLETE


async def test_a_lost_ledger_adopts_a_retry_beside_the_failure_before_it(world: World) -> None:
    failed, *others = some_items(4)
    retry = with_retry(failed, 1)
    world.service.plant(tags={"batch-upload:token": failed.client_token}).ends_as = AttachmentStatus.FAILED
    world.service.plant(tags={"batch-upload:token": retry.client_token})

    result = await world.upload([failed, *others])

    assert set(result.states.values()) == {State.COMPLETE}
    assert world.creates == [item.client_token for item in others]
    assert (await world.known())[retry.client_token].current
    assert [event.known.client_token for event in world.heard_of(ItemChanged) if event.adopted] == [retry.client_token]


async def test_a_lost_ledger_adopts_a_retry_whose_failures_were_deleted(world: World) -> None:
    item = an_item()
    world.service.plant(tags={"batch-upload:token": with_retry(item, 2).client_token})

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.creates == []


async def test_a_lost_ledger_sends_nothing_again_whose_retries_are_used_up(world: World) -> None:
    item = an_item()
    for each in (item, with_retry(item, 1), with_retry(item, 2)):
        world.service.plant(tags={"batch-upload:token": each.client_token}).ends_as = AttachmentStatus.FAILED

    result = await world.upload([item])

    assert result.states["a"] is State.FAILED
    assert world.creates == []


async def test_a_run_that_creates_something_lists_the_lane_once_whatever_is_counted(world: World) -> None:
    await world.upload(some_items(3))
    before = len(world.service.made(DESCRIBE))

    await world.upload(some_items(6))

    listings = [call for call in world.service.made(DESCRIBE)[before:] if not isinstance(call.about, tuple)]
    assert len(listings) == 2, "before the first create, and after the last"
    assert len(world.service.made(CREATE)) == 6


async def test_a_later_run_asks_for_the_capacity_and_for_the_first_page_at_once_and_for_each_page_once(
    world: World,
) -> None:
    world.rate, world.service.page_size = 100, 50
    await world.upload(some_items(110))
    before = len(world.service.calls)

    await world.upload(some_items(111))

    asked = world.service.calls[before:]
    first, second, *pages = asked[: [each.operation for each in asked].index(CREATE)]
    assert {first.operation, second.operation} == {LIMITS, DESCRIBE}
    assert first.at_s == second.at_s
    assert [each.about for each in (first, second, *pages) if each.operation == DESCRIBE] == [None, "50", "100"]


async def test_a_new_ledger_asks_for_the_first_page_only_when_the_capacity_is_answered(world: World) -> None:
    await world.upload(some_items(1))

    limits, page = world.service.calls[:2]
    assert (limits.operation, page.operation) == (LIMITS, DESCRIBE)
    assert page.at_s >= limits.at_s + world.service.way_s


@pytest.mark.parametrize("late_s", [0.0, 5.0])
async def test_credentials_refused_to_both_first_requests_are_reported_as_those_of_the_capacity(
    world: World, late_s: float
) -> None:
    await world.upload(some_items(1))
    before = len(world.service.calls)
    expired = denied("ExpiredTokenException")
    world.service.script(LIMITS, replace(expired, late_s=late_s))
    world.service.script(DESCRIBE, denied("UnrecognizedClientException"))

    result = await world.upload(some_items(2))

    assert result.stop is not None
    assert (result.stop.kind, result.stop.fault.code) == (StopKind.ACCESS, "ExpiredTokenException")
    assert [each.operation for each in world.service.calls[before:]].count(CREATE) == 0
    assert len(world.service.calls) - before == 2


async def test_a_later_run_whose_first_page_is_refused_stops_and_one_without_the_capacity_goes_on(world: World) -> None:
    await world.upload(some_items(1))
    world.service.script(DESCRIBE, refused())

    stopped = await world.upload(some_items(2))

    assert stopped.stop is not None
    assert (stopped.stop.kind, len(world.creates)) == (StopKind.ACCESS, 1)
    assert "refuses to list the lane" in stopped.stop.fault.message

    world.service.script(LIMITS, denied())
    result = await world.upload(some_items(2))

    assert set(result.states.values()) == {State.COMPLETE}
    assert any("DescribeAccountLimits" in notice.message for notice in world.heard_of(Notice))


async def test_what_the_ledger_knows_to_be_deleted_is_not_missed_at_the_service(world: World) -> None:
    items = some_items(3)
    await world.upload(items)
    gone = next(held for held in world.service.held.values() if held.token == items[0].client_token)
    gone.ends_as = AttachmentStatus.DELETED
    context = await world.prepared()
    row = next(row for row in await context.ledger.known(BATCH) if row.item_id == items[0].item_id)
    deleted = Attachment(
        row.attachment_id or "", row.attachment_arn or "", AttachmentStatus.DELETED, context.clock.now()
    )
    await context.ledger.observe([deleted], at=context.clock.now())

    await world.upload(some_items(4))

    assert len(world.service.made(CREATE)) == 4
    assert world.heard_of(OrphanSeen) == []


async def test_a_long_look_is_announced_and_reported_within_every_five_seconds(world: World) -> None:
    for number in range(130):
        world.service.plant(tags={"Other": str(number)}, created_at=world.clock.now() - timedelta(hours=1))
    world.rate = 2.0

    await world.upload(some_items(1), LaneOptions(BATCH, deadline_s=120.0))

    looks, started = world.heard_of(Looking), world.heard_of(RunStarted)[0]
    moments = [*(each.at for each in looks), started.at]
    assert (looks[0].attachments, looks[0].listed, looks[0].read) == (130, 0, 0)
    assert 60 < (looks[0].left_s or 0) < 70
    assert max(after - before for before, after in pairwise(moments)) < timedelta(seconds=5)
    assert [each.read for each in looks] == sorted(each.read for each in looks)
    assert (started.deadline_s or 0) < 120.0 - 60, "the deadline began before the look"


async def test_a_short_look_is_not_worth_a_line(world: World) -> None:
    for number in range(5):
        world.service.plant(tags={"Other": str(number)}, created_at=world.clock.now() - timedelta(hours=1))

    await world.upload(some_items(1))

    assert world.heard_of(Looking) == []
