"""Copies of a ledger: what carries its tokens beside its own attachments is found, at the latest by the next run."""

import shutil
from pathlib import Path

import pytest

from batch_upload.engine.lane import StopKind
from batch_upload.engine.run import LaneOptions
from batch_upload.events import OrphanSeen
from batch_upload.model import Item, State
from tests.support.engine_world import BATCH, HORIZON_S, World, some_items
from tests.support.memory_service import CREATE, DESCRIBE, Held


async def copied(world: World, to: Path) -> None:
    await world.close()
    shutil.copy(world.path, to)
    shutil.copy(world.path.with_name(f"{world.path.name}.lock"), to.with_name(f"{to.name}.lock"))


def made_elsewhere(world: World, item: Item) -> Held:
    """What another copy of the ledger has created, with a token that the service has forgotten."""
    return world.service.plant(tags={**item.tags, "batch-upload:token": item.client_token})


def listings(world: World, since: int = 0) -> int:
    return len([call for call in world.service.made(DESCRIBE)[since:] if call.about is None])


async def test_two_machines_that_create_at_the_same_moment_find_it_at_the_end_of_the_run(world: World) -> None:
    items = some_items(3)
    await world.upload(items[:1])
    world.service.script(CREATE, None)
    twin: list[Held] = []

    def meanwhile(_: object) -> None:
        if not twin:
            twin.append(made_elsewhere(world, items[1]))

    world.service.always[CREATE] = meanwhile

    result = await world.upload(items)

    kept = (await world.known())[items[1].client_token].attachment_id
    assert [(each.attachment_id, each.kept_id, each.item_id) for each in result.duplicates] == [
        (twin[0].attachment_id, kept, items[1].item_id)
    ]
    assert [each.attachment_id for each in world.heard_of(OrphanSeen)] == [twin[0].attachment_id]
    assert set(result.states.values()) == {State.COMPLETE}


@pytest.mark.parametrize("lag", ["listing_lag_s", "tags_lag_s"])
async def test_what_the_look_at_the_end_was_too_early_for_the_next_run_finds_with_nothing_to_send(
    world: World, lag: str
) -> None:
    items = some_items(2)
    setattr(world.service, lag, HORIZON_S)
    await world.upload(items)
    made_elsewhere(world, items[0])

    at_once = await world.upload(items)
    asked = len(world.service.calls)
    await world.clock.sleep(2 * HORIZON_S)
    later = await world.upload(items)
    calls = len(world.service.calls)
    again = await world.upload(items)

    assert (at_once.duplicates, len(later.duplicates), again.duplicates) == ((), 1, ())
    assert asked == len(world.service.calls) - (calls - asked), "a rerun at once and one after the look ask nothing"


async def test_a_duplicate_is_told_by_every_run_that_looks_until_it_is_deleted(world: World) -> None:
    items = some_items(3)
    await world.upload(items[:1])
    twin = made_elsewhere(world, items[0])

    first = await world.upload(items[:2])
    world.service.remove(twin.attachment_id)
    second = await world.upload(items)

    assert ([each.attachment_id for each in first.duplicates], second.duplicates) == ([twin.attachment_id], ())
    assert set(second.states.values()) == {State.COMPLETE}


async def test_a_copy_whose_count_fits_is_found_out_by_the_tags(world: World) -> None:
    """Taking turns: the other copy has replaced and pruned, so the service counts as many as this ledger knows."""
    items = some_items(4)
    await world.upload(items[:3])
    world.service.memory_s = 0
    old = next(iter(world.service.held))
    made_elsewhere(world, items[3])
    world.service.remove(old)
    created = len(world.creates)

    result = await world.upload(items)

    assert result.stop is not None
    assert result.stop.kind is StopKind.DISAGREEMENT
    assert len(world.creates) == created


@pytest.mark.parametrize("used", [0, 3, 10_000])
async def test_a_limit_that_lies_never_stands_for_identity(world: World, used: int) -> None:
    items = some_items(6)
    await world.upload(items[:3])
    world.service.used, world.service.memory_s = used, 0
    made_elsewhere(world, items[4])
    created = len(world.creates)

    result = await world.upload(items)

    assert result.stop is not None
    assert result.stop.kind is StopKind.DISAGREEMENT
    assert len(world.creates) == created


@pytest.mark.parametrize(("items", "describes"), [(3, 2), (14, 2), (25, 2)])
async def test_a_clean_run_lists_the_lane_once_before_its_creates_and_once_after(
    world: World, items: int, describes: int
) -> None:
    """The second listing is the one that tells the statuses, so a new ledger makes not one request more."""
    world.rate = 100

    result = await world.upload(some_items(items))

    assert set(result.states.values()) == {State.COMPLETE}
    assert (listings(world), len(world.service.made(DESCRIBE))) == (describes, describes)


async def test_in_a_large_lane_the_look_at_the_end_costs_a_request_for_each_hundred(world: World) -> None:
    world.rate = 100
    await world.upload(some_items(250))
    before = len(world.service.made(DESCRIBE))

    await world.upload(some_items(251))

    by_id = [call for call in world.service.made(DESCRIBE)[before:] if isinstance(call.about, tuple)]
    assert len(world.service.made(DESCRIBE)) - before - len(by_id) == 3 + 3


async def test_for_doubtful_tokens_the_look_waits_until_tags_tell(world: World) -> None:
    items = some_items(2)
    await world.upload(items[:1])
    world.service.tags_lag_s = HORIZON_S / 2
    twin = made_elsewhere(world, items[0])
    context = world.context(await world.ledger())
    context.doubtful.add(items[0].client_token)
    run = world.new_run(context, LaneOptions(BATCH))

    result = await run.run(items[:1], await world.pin(context))

    assert [each.attachment_id for each in result.duplicates] == [twin.attachment_id]


async def test_what_failed_or_was_deleted_is_no_duplicate(world: World) -> None:
    items = some_items(2)
    await world.upload(items[:1])
    failed, deleted = (made_elsewhere(world, items[0]) for _ in range(2))
    failed.ends_as = type(failed.ends_as).FAILED
    world.service.remove(deleted.attachment_id)

    result = await world.upload(items)

    assert result.duplicates == ()
