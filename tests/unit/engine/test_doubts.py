"""What fields hold that the ledger may not know of, since it was lost, copied or restored: nobody's value is
overwritten, whatever the first run after that does, and however it ends."""

import pytest

from batch_upload.engine.bind import FIELD_TAKEN
from batch_upload.engine.reconcile import reconcile
from batch_upload.events import Notice
from batch_upload.model import Item, State
from batch_upload.operations import FIELD_VALUES, PUT_FIELD
from batch_upload.registration import Bind, BindState, FieldContent
from tests.support.engine_world import BATCH, World, an_item
from tests.support.memory_registrations import OPT_IN
from tests.support.memory_service import denied, lost

FIELD, OTHER = Bind("registration-1", OPT_IN), Bind("registration-2", OPT_IN)
ITEM, SECOND, NEW = an_item("a", bind=FIELD), an_item("b", bind=OTHER), an_item("c")
OF_A_PERSON = "att-of-a-person"


@pytest.fixture(autouse=True)
def registrations(world: World) -> None:
    world.service.forms.add("registration-1", "registration-2")


def put_by_a_person(world: World) -> None:
    world.service.forms.held["registration-1"].versions[-1][OPT_IN] = FieldContent(OPT_IN, OF_A_PERSON)


async def with_a_copy_from_before(world: World, *later: Item) -> bytes:
    """Upload ITEM, then others; return the ledger as it was in between."""
    await world.upload([ITEM])
    await world.close()
    before = world.path.read_bytes()
    await world.upload(later)
    await world.close()
    return before


async def test_an_old_copy_of_a_ledger_puts_back_what_was_taken_out_of_its_field_since(world: World) -> None:
    before = await with_a_copy_from_before(world, SECOND)
    world.path.write_bytes(before)
    world.service.forms.held["registration-1"].versions[-1].clear()

    result = await world.upload([ITEM])

    assert (result.counted(), world.service.forms.holds(FIELD)) == ({State.COMPLETE: 1}, "att-1")
    assert len(world.creates) == 2


async def test_an_old_copy_of_a_ledger_leaves_what_was_put_into_its_field_since(world: World) -> None:
    before = await with_a_copy_from_before(world, an_item("b", bind=FIELD))
    world.path.write_bytes(before)

    first, again = await world.upload([ITEM]), await world.upload([ITEM])

    assert [(each.states, each.known["a"].fault and each.known["a"].fault.code) for each in (first, again)] == [
        ({"a": State.FAILED}, FIELD_TAKEN)
    ] * 2
    assert world.service.forms.holds(FIELD) == "att-2"
    assert len(world.service.made(PUT_FIELD)) == 2


async def forgotten(world: World, *items: Item, restored: bool) -> None:
    """Upload items, and then have a ledger that knows nothing of their fields: it is lost, or a copy from before."""
    world.service.always[PUT_FIELD] = lambda _: lost(done=False)
    await world.upload(items)
    await world.close()
    before = world.path.read_bytes()
    world.service.always.clear()
    await world.upload(items)
    await world.close()
    for each in world.path.parent.glob(f"{world.path.name}*"):
        each.unlink()
    if restored:
        world.path.write_bytes(before)
    world.service.calls.clear()


@pytest.mark.parametrize("restored", [False, True])
async def test_what_is_in_its_field_already_is_found_there_by_a_ledger_that_does_not_know_it(
    world: World, *, restored: bool
) -> None:
    await forgotten(world, ITEM, SECOND, restored=restored)

    result = await world.upload([ITEM, SECOND])

    assert (result.counted(), result.binds_left) == ({State.COMPLETE: 2}, 0)
    assert world.service.made(PUT_FIELD) == []
    assert {row.bind_state for row in (await world.known()).values()} == {BindState.BOUND}


@pytest.mark.parametrize("restored", [False, True])
async def test_a_ledger_that_does_not_know_what_a_person_put_into_a_field_leaves_it_there(
    world: World, *, restored: bool
) -> None:
    await forgotten(world, ITEM, SECOND, restored=restored)
    values = world.service.forms.held["registration-1"].versions[-1]
    values[OPT_IN] = FieldContent(OPT_IN, OF_A_PERSON)

    first, again = await world.upload([ITEM, SECOND]), await world.upload([ITEM, SECOND])
    left = world.service.forms.holds(FIELD)
    del values[OPT_IN]
    last = await world.upload([ITEM, SECOND])

    assert [each.states for each in (first, again)] == [{"a": State.FAILED, "b": State.COMPLETE}] * 2
    fault = first.known["a"].fault
    assert fault is not None
    assert fault.code == FIELD_TAKEN
    assert "delete-registration-field-value --registration-id registration-1" in fault.message
    assert left == OF_A_PERSON
    assert (last.counted(), world.service.forms.holds(FIELD)) == ({State.COMPLETE: 2}, "att-1")
    assert len(world.service.made(PUT_FIELD)) == 1


async def test_after_reconcile_a_document_goes_into_the_place_of_what_a_person_put_there(world: World) -> None:
    await world.upload([ITEM])
    put_by_a_person(world)
    context = await world.prepared(ITEM)
    await reconcile(context, BATCH, [ITEM])

    result = await world.upload([ITEM])

    assert (result.counted(), world.service.forms.holds(FIELD)) == ({State.COMPLETE: 1}, "att-1")


async def test_a_copy_whose_fields_cannot_be_read_goes_on_with_a_notice(world: World) -> None:
    before = await with_a_copy_from_before(world, ITEM, SECOND)
    world.path.write_bytes(before)
    world.service.always[FIELD_VALUES] = lambda _: denied()

    result = await world.upload([ITEM])

    said = [event.message for event in world.heard_of(Notice)]
    assert result.counted() == {State.COMPLETE: 1}
    assert said == ["whether fields still hold what the ledger says could not be read: AccessDeniedException: no"]


async def test_a_ledger_that_is_no_copy_is_believed(world: World) -> None:
    await world.upload([ITEM])
    await world.upload([ITEM, SECOND])

    assert world.service.made(FIELD_VALUES) == []


async def with_a_forgotten_field(world: World) -> None:
    """A restored ledger that has nothing of what was put into fields, and the value of a person in one of them."""
    await forgotten(world, ITEM, SECOND, restored=True)
    put_by_a_person(world)


@pytest.mark.parametrize("items", [[ITEM, SECOND], [ITEM, SECOND, NEW]], ids=["alone", "with-a-new-item"])
async def test_the_doubt_outlives_a_run_that_could_not_read_the_fields(world: World, items: list[Item]) -> None:
    await with_a_forgotten_field(world)
    world.service.always[FIELD_VALUES] = lambda _: lost(done=False)
    first = await world.upload(items)
    world.service.always.clear()

    second = await world.upload(items)

    assert first.states["a"] is State.BINDING
    assert second.states["a"] is State.FAILED
    assert world.service.forms.holds(FIELD) == OF_A_PERSON


async def test_the_doubt_outlives_a_run_of_other_items(world: World) -> None:
    await with_a_forgotten_field(world)
    await world.upload([NEW])

    second = await world.upload([ITEM, SECOND, NEW])

    assert second.states == {"a": State.FAILED, "b": State.COMPLETE, "c": State.COMPLETE}
    assert world.service.forms.holds(FIELD) == OF_A_PERSON


async def test_what_a_backup_has_as_bound_is_in_doubt_until_its_field_was_read(world: World) -> None:
    before = await with_a_copy_from_before(world, SECOND)
    world.path.write_bytes(before)
    put_by_a_person(world)
    answers = [None]  # to the look before the run; the field is read once more before the put
    world.service.always[FIELD_VALUES] = lambda _: answers.pop() if answers else lost(done=False)
    first = await world.upload([ITEM, NEW])
    world.service.always.clear()

    second = await world.upload([ITEM, NEW])

    assert (first.states["a"], second.states["a"]) == (State.BINDING, State.FAILED)
    assert world.service.forms.holds(FIELD) == OF_A_PERSON


async def test_what_a_backup_has_as_bound_is_looked_at_also_after_a_run_of_other_items(world: World) -> None:
    before = await with_a_copy_from_before(world, SECOND)
    world.path.write_bytes(before)
    put_by_a_person(world)
    await world.upload([NEW])

    second = await world.upload([ITEM, NEW])

    assert second.states == {"a": State.FAILED, "c": State.COMPLETE}
    assert world.service.forms.holds(FIELD) == OF_A_PERSON


async def test_what_was_found_in_its_field_is_not_looked_for_again(world: World) -> None:
    before = await with_a_copy_from_before(world, SECOND)
    world.path.write_bytes(before)
    await world.upload([ITEM, NEW])
    read = len(world.service.made(FIELD_VALUES))

    await world.upload([ITEM, NEW])

    assert (read, len(world.service.made(FIELD_VALUES))) == (1, 1)


@pytest.mark.parametrize("tags", [{}, {"Customer": "acme"}], ids=["same-tags", "other-tags"])
async def test_a_bind_that_is_added_takes_the_field_whether_the_tags_change_with_it_or_not(
    world: World, tags: dict[str, str]
) -> None:
    await world.upload([an_item("a")])
    put_by_a_person(world)

    result = await world.upload([an_item("a", bind=FIELD, tags=tags)])

    assert (result.counted(), world.service.forms.holds(FIELD)) == ({State.COMPLETE: 1}, "att-1")
    assert len(world.creates) == 1


async def test_without_the_permission_to_read_fields_one_call_is_refused_and_told(world: World) -> None:
    await forgotten(world, ITEM, SECOND, restored=True)
    world.service.always[FIELD_VALUES] = lambda _: denied()

    result = await world.upload([ITEM, SECOND])

    assert result.counted() == {State.COMPLETE: 2}
    assert len(world.service.made(FIELD_VALUES)) == 1
    assert [event.message for event in world.heard_of(Notice)] == [
        f"what `{OPT_IN}` of `registration-1` holds could not be read, and neither can what other fields hold:"
        " AccessDeniedException: no"
    ]
