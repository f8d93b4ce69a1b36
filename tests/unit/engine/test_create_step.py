"""Open intents: replayed while that is safe, looked up beyond it, and sent again only where nothing was made."""

from datetime import timedelta

import pytest

from batch_upload.engine.lane import StopKind
from batch_upload.engine.run import LaneOptions
from batch_upload.errors import Refused
from batch_upload.events import OrphanSeen, Resolving
from batch_upload.model import State
from batch_upload.token import IDENTITY_TAG
from tests.support.engine_world import BATCH, HORIZON_S, World, an_item, left_open, some_items
from tests.support.memory_service import CREATE, DESCRIBE, LIST_TAGS, Trouble, denied, lost, refused, throttled


async def test_a_young_open_intent_is_replayed_with_its_token_and_nothing_is_listed(world: World) -> None:
    items = some_items(3)
    await left_open(world, *items, age_s=100, done=True)

    result = await world.upload(items, LaneOptions(BATCH, wait=False))

    assert set(result.states.values()) == {State.COMPLETE}
    assert sorted(world.creates) == sorted(item.client_token for item in items)
    assert world.heard_of(Resolving) == []
    world.assert_each_once(items)


async def test_an_old_open_intent_that_made_something_is_adopted_without_a_create(world: World) -> None:
    items = some_items(3)
    world.service.memory_s = 60
    await left_open(world, *items, age_s=HORIZON_S + 1, done=True)

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    assert world.creates == []
    assert (world.heard.tally.adopted, world.heard.tally.uploaded) == (3, 0)
    assert len(world.service.made(LIST_TAGS)) == 3


async def test_an_old_open_intent_that_made_nothing_is_sent_again(world: World) -> None:
    items = some_items(3)
    await left_open(world, *items, age_s=2 * HORIZON_S)

    result = await world.upload(items)

    assert set(result.states.values()) == {State.COMPLETE}
    world.assert_each_once(items)
    assert len(world.creates) == 3


async def test_one_listing_serves_many_open_intents(world: World) -> None:
    items = some_items(40)
    await left_open(world, *items, age_s=2 * HORIZON_S)

    await world.upload(items, LaneOptions(BATCH, wait=False))

    assert len(world.service.made(DESCRIBE)) == 3  # before the first create, for the intents, and after the last
    assert [event.count for event in world.heard_of(Resolving)] == [40]


async def test_of_two_that_carry_the_token_the_older_is_kept_and_the_other_told(world: World) -> None:
    item = an_item()
    await left_open(world, item, age_s=1)
    tags = {"batch-upload:token": item.client_token}
    younger = world.service.plant(tags=tags)
    older = world.service.plant(tags=tags, created_at=world.clock.now() - timedelta(seconds=1))
    await world.clock.sleep(2 * HORIZON_S)

    await world.upload([item])

    assert (await world.known())[item.client_token].attachment_id == older.attachment_id
    told = world.heard_of(OrphanSeen)
    assert [(event.attachment_id, event.kept_attachment_id) for event in told] == [
        (younger.attachment_id, older.attachment_id)
    ]
    assert world.creates == []


async def test_a_tag_with_another_token_is_never_adopted(world: World) -> None:
    item = an_item()
    await left_open(world, item, age_s=1)
    forged = world.service.plant(tags={"batch-upload:token": item.client_token.upper()})
    await world.clock.sleep(2 * HORIZON_S)

    await world.upload([item])

    assert (await world.known())[item.client_token].attachment_id != forged.attachment_id
    assert len(world.creates) == 1


async def test_absence_is_not_believed_before_the_last_attempt_is_a_horizon_old(world: World) -> None:
    """Replays went unanswered until just before the horizon: the last of them may still be at work."""
    item = an_item()
    world.service.always[CREATE] = lambda _: lost(done=False)
    world.horizon_s = 60

    await world.upload([item])
    last_attempt_s = world.service.made(CREATE)[-1].at_s
    world.service.always.clear()
    await world.clock.sleep(62 - world.clock.monotonic())
    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.service.made(CREATE)[-1].at_s >= last_attempt_s + 60


async def test_a_throttle_does_not_put_off_the_proof_of_absence(world: World) -> None:
    item = an_item()
    world.horizon_s = 60
    world.service.script(CREATE, lost(done=False))
    world.service.always[CREATE] = lambda _: throttled() if world.clock.monotonic() < 56 else None

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.service.made(CREATE)[-1].at_s < 75


async def test_in_one_long_run_nothing_is_replayed_beyond_the_horizon(world: World) -> None:
    items = some_items(6)
    world.horizon_s, world.service.memory_s = 5, 5
    world.service.script(CREATE, *[lost(done=True)] * 20, *[lost(done=False)] * 10)

    result = await world.upload(items)

    assert set(result.states.values()) <= {State.COMPLETE, State.SENDING}
    again = await world.upload(items)
    assert set(again.states.values()) == {State.COMPLETE}
    world.assert_each_once(items)


async def test_a_refusal_after_an_unknown_attempt_is_looked_up_before_it_is_believed(world: World) -> None:
    item = an_item()
    world.horizon_s = 30
    world.service.script(CREATE, lost(done=True), refused("ConflictException", None))

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.heard.tally.adopted == 1
    world.assert_each_once([item])


async def test_a_token_that_a_copy_of_the_ledger_used_meanwhile_stops_the_run_and_uploads_nothing_twice(
    world: World,
) -> None:
    item, other = some_items(2)
    await world.upload([an_item("first")])
    planted = world.service.plant(tags={IDENTITY_TAG: item.client_token})
    world.service.listing_lag_s = 60  # the other copy has created it just now
    conflict = Refused("used before", code="ConflictException", resource_id=planted.attachment_id)
    world.service.script(CREATE, Trouble(conflict))

    result = await world.upload([item, other], LaneOptions(BATCH, concurrency=1))

    assert result.stop is not None
    assert result.stop.kind is StopKind.DISAGREEMENT
    assert "reconcile" in result.stop.hint
    assert result.states == {item.item_id: State.FAILED, other.item_id: State.PENDING}
    assert len(world.creates) == 2


async def test_a_token_that_somebody_elses_attachment_is_named_for_fails_its_item_alone(world: World) -> None:
    item, other = some_items(2)
    planted = world.service.plant(tags={"Customer": "acme"})
    conflict = Refused("used before", code="ConflictException", resource_id=planted.attachment_id)
    world.service.script(CREATE, Trouble(conflict))

    result = await world.upload([item, other], LaneOptions(BATCH, concurrency=1))

    assert result.stop is None
    assert result.states == {item.item_id: State.FAILED, other.item_id: State.COMPLETE}


async def test_a_refusal_after_a_proof_of_absence_is_believed(world: World) -> None:
    world.horizon_s = 30
    world.service.script(CREATE, lost(done=False))
    world.service.always[CREATE] = lambda _: refused()

    result = await world.upload([an_item()])

    assert result.states["a"] is State.FAILED
    assert len(world.creates) == 3


async def test_a_file_that_changed_after_an_unknown_attempt_is_looked_up_first(world: World) -> None:
    item = an_item()
    await left_open(world, item, age_s=10, done=True)
    world.bodies.changed = {"a"}

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.creates == []


async def test_retries_used_up_leave_the_item_open_for_the_next_run(world: World) -> None:
    items = some_items(2)
    world.service.always[CREATE] = lambda token: lost(done=True) if token == items[0].client_token else None

    first = await world.upload(items)
    world.service.always.clear()
    second = await world.upload(items)

    assert list(first.states.values()) == [State.SENDING, State.COMPLETE]
    assert world.creates.count(items[0].client_token) == 10 + 1
    assert set(second.states.values()) == {State.COMPLETE}
    world.assert_each_once(items)


# without identity tags


async def test_an_untagged_item_is_absent_where_nothing_could_be_it(world: World) -> None:
    item = an_item(identity_tag=False)
    world.service.plant(tags={}, created_at=world.clock.now() - timedelta(hours=1))
    await left_open(world, item, age_s=2 * HORIZON_S)

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE


async def test_an_untagged_item_is_unknown_where_something_could_be_it(world: World) -> None:
    item = an_item(identity_tag=False)
    await left_open(world, item, done=True)
    await world.clock.sleep(2 * HORIZON_S)

    result = await world.upload([item])

    assert result.states["a"] is State.UNKNOWN
    assert world.creates == []


async def test_an_unknown_item_stays_unknown_and_is_never_sent(world: World) -> None:
    item = an_item(identity_tag=False)
    await left_open(world, item, age_s=2 * HORIZON_S, done=True)
    await world.upload([item])

    result = await world.upload([item])

    assert result.states["a"] is State.UNKNOWN
    assert world.creates == []


# what goes wrong while looking


@pytest.mark.parametrize("operation", [DESCRIBE, LIST_TAGS])
async def test_a_missing_permission_to_look_leaves_open_what_is_open(world: World, operation: str) -> None:
    items = some_items(3)
    await left_open(world, *items, age_s=2 * HORIZON_S, done=True)
    world.service.always[operation] = lambda _: denied()

    result = await world.upload(items)

    assert set(result.states.values()) == {State.SENDING}
    assert world.creates == []
    assert result.stop is not None


@pytest.mark.parametrize("operation", [DESCRIBE, LIST_TAGS])
async def test_a_lookup_without_an_answer_leaves_open_what_is_open(world: World, operation: str) -> None:
    items = some_items(3)
    await left_open(world, *items, age_s=2 * HORIZON_S, done=True)
    world.service.always[operation] = lambda _: lost(done=False)

    result = await world.upload(items)

    assert set(result.states.values()) == {State.SENDING}
    assert world.creates == []


async def test_a_stop_while_open_intents_wait_for_their_proof_ends_the_run(world: World) -> None:
    items = some_items(3)
    await left_open(world, *items, age_s=HORIZON_S - 4)
    began_s = world.clock.monotonic()

    result = await world.upload(items, LaneOptions(BATCH, deadline_s=1))

    assert set(result.states.values()) == {State.SENDING}
    assert world.clock.monotonic() < began_s + 60


async def test_a_clock_that_was_put_back_is_never_trusted_for_a_replay(world: World) -> None:
    """The intent lies in the future: its true age is not known, so it is looked up, a horizon from now."""
    item = an_item()
    world.service.memory_s = 60
    await left_open(world, item, age_s=100, done=True)
    world.clock.put_forward_s = -7_200

    result = await world.upload([item])

    assert result.states["a"] is State.COMPLETE
    assert world.creates == []
    world.assert_each_once([item])


# manifests that changed while something was open


async def test_an_edited_item_waits_for_what_was_sent_under_its_id(world: World) -> None:
    old, new = an_item(content="old"), an_item(content="new")
    await left_open(world, old, age_s=2 * HORIZON_S, done=True)

    result = await world.upload([new])

    assert result.states["a"] is State.COMPLETE
    assert len(world.service.by_token(old.client_token)) == 1
    assert world.creates == [new.client_token]


async def test_an_edit_of_tags_alone_is_not_uploaded_again(world: World) -> None:
    old, new = an_item(tags={"A": "1"}), an_item(tags={"A": "2"})
    await left_open(world, old, age_s=2 * HORIZON_S, done=True)

    await world.upload([new])

    assert world.creates == []


async def test_a_lane_that_is_lost_while_an_edited_item_waits_ends_the_run(world: World) -> None:
    old, new = an_item(content="old"), an_item(content="new")
    await left_open(world, old, age_s=2 * HORIZON_S)
    world.service.always[CREATE] = lambda _: denied()

    result = await world.upload([new, *some_items(5)])

    assert len(world.creates) == 1
    assert State.COMPLETE not in result.states.values()


async def test_open_intents_whose_proofs_fall_due_one_after_another_share_their_listings(world: World) -> None:
    items = some_items(20)
    context = await world.prepared(*items)
    for item in items:
        await context.ledger.intend(item.client_token, run_id=world.run_id, at=world.clock.now())
        await world.clock.sleep(1)
    await context.ledger.listed(at=world.clock.now())
    await world.clock.sleep(HORIZON_S - 20)

    result = await world.upload(items, LaneOptions(BATCH, wait=False))

    assert set(result.states.values()) == {State.COMPLETE}
    assert len(world.heard_of(Resolving)) <= 6
