"""Only tags changed: the attachment gets them without a new upload, whatever is answered and whatever dies when."""

import pytest

from batch_upload.actions import ActionKind
from batch_upload.engine.plan import LaneOutlook, plan_items
from batch_upload.engine.prune import pruning
from batch_upload.engine.rows import BatchRows, shown_row
from batch_upload.model import Item, State
from batch_upload.token import IDENTITY_TAG
from tests.support.engine_world import HORIZON_S, World, an_item
from tests.support.memory_service import TAG, UNTAG, Trouble, denied, lost, refused, throttled

OLD = an_item("a", tags={"Customer": "acme", "Country": "NO"})
NEW = an_item("a", tags={"Customer": "birch", "Land": "SE"})
UNCHANGED = ActionKind.UNCHANGED
THIRD = an_item("a", tags={"Customer": "cedar"})


def tags_at(world: World) -> dict[str, str]:
    """What the one attachment carries."""
    (held,) = world.service.held.values()
    return dict(held.tags)


def wanted(item: Item) -> dict[str, str]:
    return {**item.tags, IDENTITY_TAG: item.client_token}


async def test_the_tags_are_changed_without_a_new_upload_and_a_rerun_does_nothing(world: World) -> None:
    await world.upload([OLD])
    changed = await world.upload([NEW])
    requests = len(world.service.calls)
    again = await world.upload([NEW])

    assert (changed.states, changed.retags_left) == ({"a": State.COMPLETE}, 0)
    assert tags_at(world) == wanted(NEW)
    assert (len(world.creates), again.states) == (1, {"a": State.COMPLETE})
    assert len(world.service.calls) == requests


async def test_what_goes_back_and_forth_ends_with_the_last(world: World) -> None:
    for item in (OLD, NEW, OLD, THIRD, NEW):
        result = await world.upload([item])
        assert (result.states, tags_at(world)) == ({"a": State.COMPLETE}, wanted(item))

    assert len(world.creates) == 1


@pytest.mark.parametrize("operation", [TAG, UNTAG])
@pytest.mark.parametrize("trouble", [throttled(), lost(done=False), lost(done=True)])
async def test_requests_that_go_wrong_in_passing_are_sent_again(world: World, operation: str, trouble: Trouble) -> None:
    await world.upload([OLD])
    world.service.script(operation, trouble, trouble)

    result = await world.upload([NEW])

    assert (result.retags_left, result.states, tags_at(world)) == (0, {"a": State.COMPLETE}, wanted(NEW))


STEPS = (UNTAG, TAG)


@pytest.mark.parametrize("item", [OLD, NEW, THIRD], ids=["back to the first", "on with it", "to a third"])
@pytest.mark.parametrize("operation", STEPS)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
async def test_whatever_a_run_left_half_done_the_next_one_puts_right(
    world: World, item: Item, operation: str, *, done: bool
) -> None:
    await world.upload([OLD])
    world.service.always[operation] = lambda _: lost(done=done)
    left = await world.upload([NEW])
    world.service.always.clear()

    result = await world.upload([item])
    again = await world.upload([item])

    assert (left.retags_left, left.states) == (1, {"a": State.COMPLETE})
    assert (result.retags_left, result.states, tags_at(world)) == (0, {"a": State.COMPLETE}, wanted(item))
    assert (len(world.creates), again.states, again.plan.actions[0].kind) == (1, {"a": State.COMPLETE}, UNCHANGED)


async def test_a_ledger_that_is_lost_afterwards_finds_the_attachment_by_the_new_token(world: World) -> None:
    await world.upload([OLD])
    await world.upload([NEW])
    await world.close()
    world.path.unlink()

    found = await world.upload([NEW])

    assert (found.states, len(world.creates)) == ({"a": State.COMPLETE}, 1)


async def test_an_attachment_that_is_gone_is_uploaded_anew_by_the_next_run(world: World) -> None:
    await world.upload([OLD])
    await world.clock.sleep(HORIZON_S)
    world.service.forgets_deleted = True
    world.service.remove(next(iter(world.service.held)))

    gone = await world.upload([NEW])
    anew = await world.upload([NEW])

    assert (gone.states, anew.states) == ({"a": State.FAILED}, {"a": State.COMPLETE})
    assert tags_at(world) == wanted(NEW)


async def test_a_permission_that_is_missing_stops_the_lane_and_the_ledger_stays_right(world: World) -> None:
    await world.upload([OLD])
    world.service.script(TAG, denied())
    stopped = await world.upload([NEW])
    done = await world.upload([NEW])

    assert (stopped.retags_left, stopped.states) == (1, {"a": State.COMPLETE})
    assert stopped.stop is not None
    assert (done.retags_left, tags_at(world)) == (0, wanted(NEW))


async def test_what_the_service_refuses_fails_the_item_and_is_tried_again_by_the_next_run(world: World) -> None:
    await world.upload([OLD])
    world.service.script(TAG, refused())
    failed = await world.upload([NEW])
    (planned,) = plan_items(
        [NEW], BatchRows.of(list((await world.known()).values())), LaneOutlook(world.clock.now())
    ).actions
    done = await world.upload([NEW])

    assert failed.states == {"a": State.FAILED}
    assert failed.known["a"].fault is not None
    assert planned.kind is ActionKind.RETAG
    assert planned.state is State.FAILED
    assert (done.states, len(world.creates), tags_at(world)) == ({"a": State.COMPLETE}, 1, wanted(NEW))


async def test_a_change_back_that_is_refused_is_a_failure_until_it_succeeds(world: World) -> None:
    await world.upload([OLD])
    world.service.script(TAG, refused())
    await world.upload([NEW])
    world.service.script(UNTAG, refused())
    back = await world.upload([OLD])
    shown = shown_row(OLD, BatchRows.of(list((await world.known()).values())))
    again = await world.upload([OLD])

    assert back.states == {"a": State.FAILED}
    assert shown is not None
    assert shown.state is State.FAILED
    assert (again.states, len(world.creates), tags_at(world)) == ({"a": State.COMPLETE}, 1, wanted(OLD))
    assert shown_row(OLD, BatchRows.of(list((await world.known()).values()))) == (await world.known())[OLD.client_token]


async def test_refused_tags_leave_nothing_to_prune(world: World) -> None:
    await world.upload([OLD])
    world.service.script(TAG, refused())
    await world.upload([NEW])

    found = pruning([NEW], list((await world.known()).values()))

    assert (found.candidates, found.spared) == ((), ())
