"""Identity tags that are readable later than their attachments, and what is resolved by them."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from batch_upload.engine.run import LaneOptions
from batch_upload.events import Notice
from batch_upload.model import State
from tests.support.engine_world import BATCH, HORIZON_S, World, an_item, left_open, some_items
from tests.support.memory_service import CREATE, DESCRIBE, LIST_TAGS, lost
from tests.support.memory_service import refused as refusal

LATE = pytest.mark.parametrize("not_found", [False, True], ids=["empty", "not found"])


async def remembered(world: World) -> Mapping[str, str | None]:
    context = await world.prepared()
    return await context.ledger.attachment_tokens()


@LATE
async def test_tags_that_are_late_are_read_again_and_nothing_is_uploaded_twice(
    world: World, *, not_found: bool
) -> None:
    """Two runs are cut off while an answer is on its way; tags are readable 200 s after the attachment."""
    item = an_item()
    world.service.memory_s = 4 * HORIZON_S
    world.service.tags_lag_s, world.service.late_tags_are_not_found = 200, not_found
    await left_open(world, item, done=True)
    await world.clock.sleep(100)
    second = an_item("b")
    await world.upload([second], LaneOptions(BATCH, wait=False))
    await world.clock.sleep(HORIZON_S)

    result = await world.upload([item, second])

    assert set(result.states.values()) == {State.COMPLETE}
    world.assert_each_once([item, second])
    assert item.client_token not in world.creates


@LATE
async def test_a_new_attachment_without_tags_is_not_remembered_as_such(world: World, *, not_found: bool) -> None:
    await world.upload(some_items(1))
    world.service.tags_lag_s, world.service.late_tags_are_not_found = HORIZON_S / 2, not_found
    young = world.service.plant(tags={})
    old = world.service.plant(tags={}, created_at=world.clock.now() - timedelta(seconds=HORIZON_S))

    await world.upload(some_items(2))

    tokens = await remembered(world)
    assert (young.attachment_id in tokens, tokens[old.attachment_id]) == (False, None)


async def test_tags_that_are_not_found_are_never_remembered(world: World) -> None:
    await world.upload(some_items(1))
    old = world.service.plant(tags={}, created_at=world.clock.now() - timedelta(days=1))
    world.service.script(LIST_TAGS, refusal("ResourceNotFoundException", None))

    await world.upload(some_items(2))

    assert old.attachment_id in await remembered(world)  # by the look at the end of the run
    assert len(world.service.made(LIST_TAGS)) == 2


@LATE
async def test_a_lost_ledger_waits_until_new_attachments_tell_whose_they_are(world: World, *, not_found: bool) -> None:
    items = some_items(3)
    await world.upload(items)
    await world.close()
    world.path.unlink()
    world.service.memory_s = 0
    world.service.tags_lag_s, world.service.late_tags_are_not_found = 40, not_found

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    world.assert_each_once(items)
    assert any("waiting until they tell" in each.message for each in world.heard_of(Notice))
    assert world.clock.monotonic() < 120


async def test_what_has_other_tags_and_no_identity_tag_is_nobodys_here_however_new(world: World) -> None:
    world.service.plant(tags={"Other": "1"})

    result = await world.upload(some_items(1))

    assert set(result.states.values()) == {State.COMPLETE}
    assert world.clock.monotonic() < 10


async def test_what_never_tells_is_waited_for_a_horizon_and_no_longer(world: World) -> None:
    world.service.plant(tags={})
    began = world.clock.monotonic()

    result = await world.upload(some_items(1))

    assert set(result.states.values()) == {State.COMPLETE}
    assert HORIZON_S <= world.clock.monotonic() - began <= HORIZON_S + 10
    assert len(world.service.made(LIST_TAGS)) < 20


async def test_without_identity_tags_a_new_ledger_waits_for_none(world: World) -> None:
    world.service.plant(tags={})

    await world.upload(some_items(1, identity_tag=False))

    assert world.clock.monotonic() < 10


async def test_absence_waits_for_the_tags_of_what_is_new(world: World) -> None:
    """An attachment came late and its tags later still: the listing a horizon after the attempt cannot tell yet."""
    item = an_item()
    await left_open(world, item, age_s=HORIZON_S - 2)
    world.service.tags_lag_s = HORIZON_S
    made = world.service.plant(tags={"batch-upload:token": item.client_token})
    made.token = item.client_token
    await world.close()

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.creates == []


async def test_what_others_keep_uploading_without_tags_holds_up_a_proof_for_two_horizons_at_most(world: World) -> None:
    item = an_item()
    world.horizon_s = 60
    await left_open(world, item, age_s=61)
    started = world.clock.monotonic()

    def plant(_: object) -> None:
        world.service.plant(tags={})

    world.service.always[DESCRIBE] = plant
    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    sent_at_s = world.service.made(CREATE)[-1].at_s
    assert 55 <= sent_at_s - started <= 70
    world.assert_each_once([item])


@pytest.mark.parametrize("code", ["ConflictException", "ValidationException"])
async def test_a_refusal_of_a_known_token_is_resolved_before_it_is_believed(world: World, code: str) -> None:
    items = some_items(2)
    world.service.knows_token = refusal(code)
    world.service.listing_lag_s = 20
    world.service.script(CREATE, lost(done=True))

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    world.assert_each_once(items)
