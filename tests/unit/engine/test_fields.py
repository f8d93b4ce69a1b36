"""What fields hold, held against the ledger: new versions, denials, and what was changed behind our back."""

from collections.abc import Sequence

import pytest

from batch_upload.actions import ActionKind
from batch_upload.engine.fields import Misplaced, displaced_items, find_misplaced
from batch_upload.engine.prune import Pruning, pruning, spare_bound
from batch_upload.engine.reconcile import reconcile
from batch_upload.engine.registrations import RegistrationLook, look_at_registrations, record_look
from batch_upload.engine.run import LaneOptions, LaneResult
from batch_upload.errors import AccessFault
from batch_upload.events import Notice
from batch_upload.model import Item, State
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind, BindState, Denial, FieldContent
from tests.support.engine_world import BATCH, World, an_item
from tests.support.memory_registrations import LETTER, OPT_IN
from tests.support.memory_service import denied

FIELD, OTHER = Bind("registration-1", OPT_IN), Bind("registration-2", OPT_IN)
ITEM, SECOND = an_item("a", bind=FIELD), an_item("b", bind=OTHER)


@pytest.fixture(autouse=True)
def registrations(world: World) -> None:
    world.service.forms.add("registration-1", "registration-2")


async def upload_after_look(world: World, *items: Item) -> tuple[LaneResult, RegistrationLook]:
    """Look at the registrations, record that, and upload, as the use case does."""
    context = world.context(await world.ledger())
    memory = await world.pin(context)
    known = await context.ledger.field_definitions(after=world.clock.now().replace(year=2000))
    look = await look_at_registrations(context, items, await context.ledger.bound(BATCH), known, notice=context.notice)
    await record_look(context, look)
    options = LaneOptions(BATCH, registrations=look.registrations)
    return await world.new_run(context, options).run(items, memory), look


async def test_a_refusal_reads_the_field_back_and_asks_for_a_registration_only_if_it_has_changed(world: World) -> None:
    held = world.service.forms.held["registration-1"]
    held.status = "SUBMITTED"
    refused, _ = await upload_after_look(world, ITEM)
    asked = [call.operation for call in world.service.calls if call.operation in (REGISTRATIONS, FIELD_VALUES)]
    world.service.always[PUT_FIELD] = lambda _: setattr(held, "status", "REVIEWING")
    held.status = "CREATED"
    later, _ = await upload_after_look(world, ITEM)

    assert (refused.states, later.states) == ({"a": State.FAILED}, {"a": State.FAILED})
    assert asked == [REGISTRATIONS, FIELD_VALUES]
    assert [call.operation for call in world.service.calls][-4:] == [
        REGISTRATIONS,
        PUT_FIELD,
        REGISTRATIONS,
        FIELD_VALUES,
    ]


async def test_a_denied_registration_with_a_new_version_is_bound_again_without_a_create(world: World) -> None:
    first, _ = await upload_after_look(world, ITEM, SECOND)
    held = world.service.forms.held["registration-1"]
    held.deny(reason="too blurred", feedback="make it sharper")
    denied_run, _ = await upload_after_look(world, ITEM, SECOND)
    said = [event.message for event in world.heard_of(Notice)]
    held.begin_version()
    again, look = await upload_after_look(world, ITEM, SECOND)
    quiet = len(world.service.calls)
    last, _ = await upload_after_look(world, ITEM, SECOND)

    assert [each.counted() for each in (first, denied_run, again, last)] == [{State.COMPLETE: 2}] * 4
    words = "version 1 was denied: too blurred; feedback: make it sharper"
    assert said == [f"`a` → `{OPT_IN}` of `registration-1`: {words}"]
    assert [each.item_id for each in look.stale] == ["a"]
    assert [(each.kind, each.reason) for each in again.plan.actions] == [
        (
            ActionKind.BIND,
            "its registration has a new version (2), bound in 1, where a reviewer denied it;"
            f" put into `{OPT_IN}` of `registration-1`",
        )
    ]
    assert (world.service.forms.holds(FIELD), len(world.creates)) == ("att-1", 2)
    assert again.registrations_ready == ["registration-1"]
    assert [call.operation for call in world.service.calls[quiet:]] == [REGISTRATIONS]
    rows = await world.known()
    row = rows[ITEM.client_token]
    assert (row.bind_state, row.bound_version) == (BindState.BOUND, 2)
    assert row.denial == Denial(1, "too blurred", "make it sharper")


async def test_the_fields_of_a_denied_version_are_read_once(world: World) -> None:
    await upload_after_look(world, ITEM)
    world.service.forms.held["registration-1"].deny(LETTER)
    for _ in range(3):
        await upload_after_look(world, ITEM)

    assert len(world.service.made(FIELD_VALUES)) == 1
    assert not world.heard_of(Notice)


async def test_forms_are_asked_for_once(world: World) -> None:
    await upload_after_look(world, ITEM)
    await upload_after_look(world, ITEM, SECOND)

    assert [call.about for call in world.service.made(FIELD_DEFINITIONS)] == [
        "US_TOLL_FREE_REGISTRATION",
        ("US_TOLL_FREE_REGISTRATION", "2"),
    ]


async def misplaced(world: World, *items: Item) -> Sequence[Misplaced]:
    context = await world.prepared(*items)
    return await find_misplaced(context, await context.ledger.bound(BATCH))


async def test_what_is_in_its_field_is_not_misplaced_and_five_fields_take_one_call(world: World) -> None:
    fields = ("companyInfo.letterOfAuthorization", OPT_IN)
    items = [an_item(field, bind=Bind("registration-1", field)) for field in fields]
    await world.upload(items)
    before = len(world.service.made(FIELD_VALUES))

    assert await misplaced(world, *items) == []
    assert len(world.service.made(FIELD_VALUES)) == before + 1


async def test_nothing_is_asked_where_nothing_is_bound(world: World) -> None:
    await world.upload([an_item("a")])
    before = len(world.service.calls)

    assert await misplaced(world, an_item("a")) == []
    assert len(world.service.calls) == before


@pytest.mark.parametrize("holds", [None, "att-of-a-person"])
async def test_what_a_field_holds_instead_is_told(world: World, holds: str | None) -> None:
    await world.upload([ITEM, SECOND])
    fields = world.service.forms.held["registration-1"].versions[-1]
    if holds is None:
        del fields[OPT_IN]
    else:
        fields[OPT_IN] = FieldContent(OPT_IN, holds)

    (found,) = await misplaced(world, ITEM, SECOND)

    assert (found.bound.item_id, found.bound.bind, found.holds, found.new_version) == ("a", FIELD, holds, None)


async def test_an_item_in_an_earlier_version_is_left_to_the_next_upload(world: World) -> None:
    await world.upload([ITEM])
    world.service.forms.held["registration-1"].begin_version()

    (found,) = await misplaced(world, ITEM)

    assert (found.new_version, world.service.made(FIELD_VALUES)) == (2, [])


async def test_an_attachment_in_whose_field_a_later_run_put_another_is_displaced_until_it_is_put_back(
    world: World,
) -> None:
    other = an_item("z", bind=FIELD)
    await world.upload([ITEM])
    await world.upload([other])
    said = [event.message for event in world.heard_of(Notice)]
    current = {row.item_id: row for row in (await world.known()).values()}
    (found,) = await find_misplaced(await world.prepared(ITEM), [], displaced_items([ITEM], current))
    await world.upload([ITEM])

    assert said == [
        f"`z` is in `{OPT_IN}` of `registration-1` now, in place of `a` of the batch `{BATCH}`: bind only one of them"
    ]
    assert (found.bound.item_id, found.holds, found.is_displaced) == ("a", "att-2", True)
    assert displaced_items([an_item("a")], current) == []
    assert world.service.forms.holds(FIELD) == "att-1"


async def test_a_registration_that_is_gone_holds_nothing(world: World) -> None:
    await world.upload([ITEM])
    del world.service.forms.held["registration-1"]

    (found,) = await misplaced(world, ITEM)

    assert (found.bound.item_id, found.holds, found.new_version) == ("a", None, None)


async def test_reconcile_has_the_next_upload_put_back_what_is_gone_from_its_field(world: World) -> None:
    await world.upload([ITEM, SECOND])
    world.service.forms.held["registration-1"].versions[-1].clear()
    context = await world.prepared(ITEM, SECOND)
    await reconcile(context, BATCH, [ITEM, SECOND])
    states = {row.item_id: row.state for row in (await world.known()).values()}
    result = await world.upload([ITEM, SECOND])

    assert states == {"a": State.BINDING, "b": State.COMPLETE}
    assert (world.service.forms.holds(FIELD), len(world.service.made(PUT_FIELD))) == ("att-1", 3)
    assert (result.counted(), len(world.creates)) == ({State.COMPLETE: 2}, 2)


# pruning


async def spared(world: World, *items: Item) -> Pruning:
    """What `prune` would do with a manifest of these items."""
    context = await world.prepared()
    return await spare_bound(context, pruning(items, list((await world.known()).values())))


async def test_what_a_field_still_holds_is_kept_and_said(world: World) -> None:
    await world.upload([ITEM, SECOND, an_item("c")])

    found = await spared(world, SECOND)

    assert [each.known.item_id for each in found.candidates] == ["c"]
    assert [(each.known.item_id, each.reason) for each in found.spared] == [
        ("a", f"in `{OPT_IN}` of `registration-1`: kept")
    ]


async def test_a_replaced_document_may_go_once_its_successor_is_in_the_field(world: World) -> None:
    newer = an_item("a", content="newer", bind=FIELD)
    await world.upload([ITEM])
    world.service.script(PUT_FIELD, denied())
    await world.upload([newer])
    before = await spared(world, newer)
    await world.upload([newer])
    after = await spared(world, newer)

    assert (before.candidates, [each.reason for each in before.spared]) == (
        (),
        ["what replaces it is not complete yet"],
    )
    assert [each.known.client_token for each in after.candidates] == [ITEM.client_token]


async def test_what_was_bound_to_a_registration_that_is_gone_may_go(world: World) -> None:
    await world.upload([ITEM])
    del world.service.forms.held["registration-1"]

    assert [each.known.item_id for each in (await spared(world)).candidates] == ["a"]


async def test_what_was_never_bound_is_pruned_without_a_question(world: World) -> None:
    await world.upload([an_item("a")])
    await spared(world)

    assert world.service.made(FIELD_VALUES) == []


async def test_without_the_permission_to_read_fields_nothing_is_pruned(world: World) -> None:
    await world.upload([ITEM])
    world.service.always[FIELD_VALUES] = lambda _: denied()

    with pytest.raises(AccessFault):
        await spared(world)
