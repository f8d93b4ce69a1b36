"""Attachments are put into fields of registrations: the right one, once, whatever is answered."""

from collections.abc import Sequence

import pytest

from batch_upload.actions import ActionKind
from batch_upload.engine.lane import StopKind
from batch_upload.engine.plan import Selection
from batch_upload.engine.run import LaneOptions, LaneResult
from batch_upload.events import ItemChanged
from batch_upload.model import Item, State
from batch_upload.operations import CREATE, FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind, BindState
from batch_upload.settings import MaxFailures
from tests.support.engine_world import BATCH, HORIZON_S, World, an_item, left_open
from tests.support.memory_registrations import LETTER, OPT_IN
from tests.support.memory_service import DESCRIBE, TAG, Trouble, denied, full, lost, refused, slow, throttled

FIELD, OTHER = Bind("registration-1", OPT_IN), Bind("registration-2", OPT_IN)
ITEM = an_item("a", bind=FIELD)
CONFLICT = "ConflictException"
SUBMITTED = "REGISTRATION_ALREADY_SUBMITTED"
DECIDED = "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"


@pytest.fixture(autouse=True)
def registrations(world: World) -> None:
    world.service.forms.add("registration-1", "registration-2")


def puts(world: World) -> list[tuple[Bind, str]]:
    """The field and the attachment of each request, over all runs."""
    return [call.about for call in world.service.made(PUT_FIELD)]  # type: ignore[misc]


def some_bound(count: int) -> list[Item]:
    """Items for a field each of so many registrations."""
    return [an_item(f"item-{n:03}", bind=Bind(f"registration-{n}", OPT_IN)) for n in range(count)]


async def run_again(world: World, *items: Item) -> tuple[LaneResult, int]:
    """One more run, and how many requests it took."""
    before = len(world.service.calls)
    return await world.upload(items), len(world.service.calls) - before


def assert_each_in_its_field(world: World, items: Sequence[Item]) -> None:
    for item in items:
        (held,) = world.service.by_token(item.client_token)
        assert item.bind is not None
        assert world.service.forms.holds(item.bind) == held.attachment_id


@pytest.mark.parametrize("processing_s", [0.0, 30.0])
async def test_what_is_uploaded_is_put_into_its_field_and_a_rerun_sends_nothing(
    world: World, processing_s: float
) -> None:
    world.service.processing_s = processing_s
    items = some_bound(12)
    world.service.forms.add(*(item.bind.registration for item in items if item.bind))

    result = await world.upload(items)
    again, requests = await run_again(world, *items)

    assert_each_in_its_field(world, items)
    assert (result.counted(), result.binds_left) == ({State.COMPLETE: 12}, 0)
    assert result.registrations_ready == sorted(item.bind.registration for item in items if item.bind)
    assert (len(puts(world)), requests, again.registrations_ready) == (12, 0, [])
    rows = (await world.known()).values()
    assert {(row.bind_state, row.bound_version, row.bound_to == row.bind) for row in rows} == {
        (BindState.BOUND, 1, True)
    }


async def test_without_a_bind_no_request_is_about_registrations(world: World) -> None:
    await world.upload([an_item("a"), an_item("b")])

    operations = {call.operation for call in world.service.calls}
    assert operations.isdisjoint({PUT_FIELD, REGISTRATIONS, FIELD_VALUES})


async def test_each_item_is_bound_as_soon_as_it_is_ready_and_what_that_means_is_told(world: World) -> None:
    world.service.processing_s = 5.0
    world.rate = 1.0
    items = some_bound(30)
    world.service.forms.add(*(item.bind.registration for item in items if item.bind))

    await world.upload(items)

    first_put, last_create = world.service.made(PUT_FIELD)[0], world.service.made(CREATE)[-1]
    assert first_put.at_s < last_create.at_s
    states: dict[str, list[State]] = {}
    for event in world.heard_of(ItemChanged):
        states.setdefault(event.known.item_id, []).append(event.known.state)
        assert event.ended is (event.known.state is State.COMPLETE)
    assert set(map(tuple, states.values())) == {(State.PROCESSING, State.BINDING, State.COMPLETE)}


@pytest.mark.parametrize("trouble", [throttled(), lost(done=False), lost(done=True)])
async def test_requests_that_go_wrong_in_passing_are_sent_again(world: World, trouble: Trouble) -> None:
    world.service.script(PUT_FIELD, trouble, trouble)

    result = await world.upload([ITEM])

    assert (result.states, result.binds_left) == ({"a": State.COMPLETE}, 0)
    assert len(puts(world)) == 3
    assert_each_in_its_field(world, [ITEM])


@pytest.mark.parametrize("done", [False, True])
async def test_what_is_never_answered_is_left_and_the_next_run_only_binds(world: World, *, done: bool) -> None:
    world.service.always[PUT_FIELD] = lambda _: lost(done=done)
    left = await world.upload([ITEM])
    world.service.always.clear()
    result = await world.upload([ITEM])

    assert (left.states, left.binds_left, left.stop) == ({"a": State.BINDING}, 1, None)
    assert left.known["a"].bind_state is BindState.SENT
    assert (result.states, result.binds_left) == ({"a": State.COMPLETE}, 0)
    assert (result.plan.actions[0].kind, len(world.creates)) == (ActionKind.BIND, 1)
    assert_each_in_its_field(world, [ITEM])


async def test_a_bind_that_is_added_changed_or_removed_uploads_nothing(world: World) -> None:
    await world.upload([an_item("a")])
    added = await world.upload([ITEM])
    changed = await world.upload([replaced_bind(ITEM, OTHER)])
    removed, requests = await run_again(world, an_item("a"))
    again, _ = await run_again(world, an_item("a"))

    assert [result.states for result in (added, changed, removed, again)] == [{"a": State.COMPLETE}] * 4
    assert (puts(world), len(world.creates), requests) == ([(FIELD, "att-1"), (OTHER, "att-1")], 1, 0)
    assert world.service.forms.holds(FIELD) == "att-1"
    assert (removed.plan.actions[0].kind, again.plan.actions) == (ActionKind.UNCHANGED, ())
    (row,) = (await world.known()).values()
    assert (row.bind, row.bind_state) == (None, None)


def replaced_bind(item: Item, bind: Bind | None) -> Item:
    return item._replace(bind=bind)


async def test_a_field_that_went_to_another_item_comes_back_with_the_manifest(world: World) -> None:
    other = an_item("b", bind=FIELD)
    await world.upload([ITEM])
    await world.upload([other])
    back = await world.upload([ITEM])

    assert [attachment for _, attachment in puts(world)] == ["att-1", "att-2", "att-1"]
    assert (back.states, world.service.forms.holds(FIELD)) == ({"a": State.COMPLETE}, "att-1")


async def test_another_document_takes_the_place_of_the_first_and_the_first_comes_back(world: World) -> None:
    newer = an_item("a", content="newer", bind=FIELD)
    await world.upload([ITEM])
    await world.upload([newer])
    after_newer = world.service.forms.holds(FIELD)
    back, _ = await run_again(world, ITEM)

    assert (after_newer, world.service.forms.holds(FIELD)) == ("att-2", "att-1")
    assert (back.states, len(world.creates)) == ({"a": State.COMPLETE}, 2)


async def test_new_tags_leave_an_attachment_in_its_field(world: World) -> None:
    await world.upload([ITEM])
    result = await world.upload([an_item("a", tags={"Customer": "birch"}, bind=FIELD)])
    again, requests = await run_again(world, an_item("a", tags={"Customer": "birch"}, bind=FIELD))

    assert (result.states, again.states, requests) == ({"a": State.COMPLETE}, {"a": State.COMPLETE}, 0)
    assert (len(puts(world)), len(world.creates)) == (1, 1)


async def test_new_tags_and_another_field_take_one_run(world: World) -> None:
    await world.upload([ITEM])
    result = await world.upload([an_item("a", tags={"Customer": "birch"}, bind=OTHER)])

    assert (result.states, result.binds_left, result.retags_left) == ({"a": State.COMPLETE}, 0, 0)
    assert (world.service.forms.holds(OTHER), len(world.creates)) == ("att-1", 1)


async def test_tags_that_go_back_while_the_field_changes_end_right(world: World) -> None:
    await world.upload([ITEM])
    world.service.always[TAG] = lambda _: lost(done=True)
    await world.upload([an_item("a", tags={"Customer": "birch"}, bind=FIELD)])
    world.service.always.clear()
    result = await world.upload([replaced_bind(ITEM, OTHER)])

    assert (result.states, result.binds_left, result.retags_left) == ({"a": State.COMPLETE}, 0, 0)
    assert (world.service.forms.holds(OTHER), len(world.creates)) == ("att-1", 1)


async def test_what_an_unanswered_request_had_made_is_not_bound_once_the_manifest_wants_another_document(
    world: World,
) -> None:
    await left_open(world, ITEM, done=True)
    newer = an_item("a", content="newer", bind=FIELD)

    result = await world.upload([newer])

    (held,) = world.service.by_token(newer.client_token)
    assert (result.states, puts(world)) == ({"a": State.COMPLETE}, [(FIELD, held.attachment_id)])


async def test_what_an_unanswered_request_had_made_is_bound_as_the_manifest_says_now(world: World) -> None:
    await left_open(world, ITEM, done=True, age_s=2 * HORIZON_S)

    result = await world.upload([replaced_bind(ITEM, OTHER)])

    assert (result.states, len(world.creates)) == ({"a": State.COMPLETE}, 0)
    assert [bind for bind, _ in puts(world)] == [OTHER]


# refusals


def submit(world: World, status: str = "SUBMITTED") -> None:
    world.service.forms.held["registration-1"].status = status


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            "SUBMITTED",
            "version 1 of `registration-1` is under review (SUBMITTED), so `messagingUseCase.optInImage` of"
            " `registration-1` cannot be changed now; once it is decided and a new version is made, the same command"
            " goes on",
        ),
        (
            "COMPLETE",
            "version 1 of `registration-1` was decided (COMPLETE), so `messagingUseCase.optInImage` of"
            " `registration-1` cannot be changed; make a new version in the console or with"
            " `aws pinpoint-sms-voice-v2 create-registration-version --registration-id registration-1`, then run the"
            " same command again",
        ),
    ],
)
async def test_a_version_that_cannot_be_changed_fails_the_item_and_says_when_it_goes_on(
    world: World, status: str, said: str
) -> None:
    submit(world, status)
    failed = await world.upload([ITEM])
    again = await world.upload([ITEM])
    tried = len(puts(world))
    world.service.forms.held["registration-1"].begin_version()
    world.service.forms.held["registration-1"].status = "CREATED"
    done = await world.upload([ITEM])

    fault = failed.known["a"].fault
    assert fault is not None
    assert (failed.states, failed.binds_left, fault.message) == ({"a": State.FAILED}, 0, said)
    assert (again.states, tried, again.plan.actions[0].kind) == ({"a": State.FAILED}, 2, ActionKind.BIND)
    assert (done.states, len(world.creates)) == ({"a": State.COMPLETE}, 1)
    assert_each_in_its_field(world, [ITEM])


async def test_a_denied_version_is_said_to_be_denied(world: World) -> None:
    world.service.forms.held["registration-1"].deny(reason="too blurred")

    result = await world.upload([ITEM])

    fault = result.known["a"].fault
    assert fault is not None
    assert fault.message.startswith("version 1 of `registration-1` was denied, so `messagingUseCase.optInImage` of")


async def test_what_an_earlier_request_did_before_the_version_was_submitted_is_bound(world: World) -> None:
    world.service.always[PUT_FIELD] = lambda _: lost(done=True)
    await world.upload([ITEM])
    world.service.always.clear()
    submit(world)

    result = await world.upload([ITEM])

    assert (result.states, result.registrations_ready) == ({"a": State.COMPLETE}, ["registration-1"])
    (row,) = (await world.known()).values()
    assert (row.bind_state, row.bound_version) == (BindState.BOUND, 1)


async def test_a_field_that_cannot_be_read_back_leaves_the_item_for_the_next_run(world: World) -> None:
    submit(world)
    world.service.always[FIELD_VALUES] = lambda _: lost(done=False)

    result = await world.upload([ITEM])

    assert (result.states, result.binds_left) == ({"a": State.BINDING}, 1)
    assert len(puts(world)) == 1


async def test_without_the_permission_to_read_back_a_refusal_is_a_refusal(world: World) -> None:
    submit(world)
    world.service.always[REGISTRATIONS] = lambda _: denied()

    result = await world.upload([ITEM])

    fault = result.known["a"].fault
    assert fault is not None
    assert (result.states, result.stop, fault.reason) == ({"a": State.FAILED}, None, SUBMITTED)
    assert fault.message.startswith("`registration-1` is under review, so")


@pytest.mark.parametrize(
    ("bind", "said"),
    [
        (Bind("registration-1", "no.such"), "`registration-1` has no field `no.such`"),
        (Bind("registration-9", OPT_IN), "registration `registration-9` does not exist in this account and Region"),
    ],
)
async def test_a_field_or_registration_that_is_not_there_fails_the_item(world: World, bind: Bind, said: str) -> None:
    result = await world.upload([an_item("a", bind=bind)])

    fault = result.known["a"].fault
    assert fault is not None
    assert (result.states, fault.message) == ({"a": State.FAILED}, said)
    assert result.known["a"].is_live


@pytest.mark.parametrize(
    "trouble", [refused("ResourceNotFoundException", None), refused(CONFLICT, "RESOURCE_NOT_ACTIVE")]
)
async def test_an_attachment_that_is_not_ready_for_a_field_yet_is_left(world: World, trouble: Trouble) -> None:
    world.service.script(PUT_FIELD, trouble)
    if trouble.error is not None and trouble.error.reason is None:
        world.service.script(DESCRIBE, None, None, None)
        world.service.describe_lag_s = 10.0

    left = await world.upload([ITEM])
    world.service.describe_lag_s = 0.0
    result = await world.upload([ITEM])

    assert (left.states, left.binds_left) == ({"a": State.BINDING}, 1)
    assert (result.states, len(world.creates)) == ({"a": State.COMPLETE}, 1)


async def test_an_attachment_that_is_gone_when_it_is_to_be_bound_has_failed_and_is_looked_for_again(
    world: World,
) -> None:
    world.service.script(PUT_FIELD, denied())
    await world.upload([ITEM])
    await world.clock.sleep(2 * HORIZON_S)
    (held,) = world.service.held.values()
    world.service.held.clear()

    gone = await world.upload([ITEM])
    world.service.held[held.attachment_id] = held
    found = await world.upload([ITEM])

    fault = gone.known["a"].fault
    assert fault is not None
    assert (gone.states, fault.code) == ({"a": State.FAILED}, "NOT_FOUND")
    assert (found.states, len(world.creates)) == ({"a": State.COMPLETE}, 1)


# what stops a run


async def test_a_missing_permission_costs_one_request_and_leaves_everything_to_the_next_run(world: World) -> None:
    items = some_bound(8)
    world.service.forms.add(*(item.bind.registration for item in items if item.bind))
    world.service.always[PUT_FIELD] = lambda _: denied()
    stopped = await world.upload(items)
    tried = len(puts(world))
    world.service.always.clear()
    result = await world.upload(items)

    assert stopped.stop is not None
    assert (stopped.stop.kind, tried) == (StopKind.ACCESS, 1)
    assert set(stopped.counted()) <= {State.BINDING, State.PROCESSING, State.PENDING}
    assert (result.counted(), result.binds_left) == ({State.COMPLETE: 8}, 0)
    world.assert_each_once(items)


async def test_a_full_lane_binds_what_it_has(world: World) -> None:
    items = [ITEM, an_item("b", bind=OTHER)]
    world.service.script(CREATE, None, full(daily=False))

    result = await world.upload(items)

    assert dict(result.states) == {"a": State.COMPLETE, "b": State.PARKED}
    assert result.stop is not None


async def test_a_deadline_ends_requests_that_do_not_answer_and_begins_no_others(world: World) -> None:
    items = some_bound(6)
    world.service.forms.add(*(item.bind.registration for item in items if item.bind))
    world.service.always[PUT_FIELD] = lambda _: slow(600.0)

    began = world.clock.monotonic()
    result = await world.upload(items, LaneOptions(BATCH, deadline_s=30.0))

    assert result.stop is not None
    assert (result.stop.kind, result.binds_left) == (StopKind.DEADLINE, 6)
    assert (result.counted(), len(puts(world))) == ({State.BINDING: 6}, 1)
    assert world.clock.monotonic() - began < 90.0


async def test_failed_bindings_count_for_the_limit_of_failures(world: World) -> None:
    items = some_bound(10)
    world.service.forms.add(*(item.bind.registration for item in items if item.bind))
    for each in world.service.forms.held.values():
        each.status = "SUBMITTED"

    result = await world.upload(items, LaneOptions(BATCH, max_failures=MaxFailures(count=2)))

    assert result.stop is not None
    assert result.stop.kind is StopKind.TOO_MANY_FAILURES
    assert result.counted()[State.FAILED] < 10
    assert result.binds_left == result.counted()[State.BINDING]


async def test_what_was_refused_before_is_tried_after_everything_else(world: World) -> None:
    items = some_bound(6)
    binds = [item.bind for item in items if item.bind is not None]
    world.service.forms.add(*(bind.registration for bind in binds))
    for bind in binds[:3]:
        world.service.forms.held[bind.registration].status = "SUBMITTED"
    await world.upload(items[:3])

    result = await world.upload(items, LaneOptions(BATCH, max_failures=MaxFailures(count=1)))

    assert result.stop is not None
    assert result.stop.kind is StopKind.TOO_MANY_FAILURES
    assert [result.states[item.item_id] for item in items[3:]] == [State.COMPLETE] * 3


async def test_without_waiting_what_is_ready_is_bound(world: World) -> None:
    ready = an_item("b", bind=OTHER)
    world.service.script(PUT_FIELD, throttled())
    world.service.always[PUT_FIELD] = lambda _: lost(done=False)
    await world.upload([ready])
    world.service.always.clear()
    world.service.processing_s = 60.0

    result = await world.upload([ITEM, ready], LaneOptions(BATCH, wait=False))

    assert dict(result.states) == {"a": State.PROCESSING, "b": State.COMPLETE}


async def test_what_only_chose_is_bound(world: World) -> None:
    await world.upload([an_item("a"), an_item("b")])
    items = [ITEM, an_item("b", bind=OTHER)]

    result = await world.upload(items, LaneOptions(BATCH, selection=Selection(ids=frozenset({"b"}))))

    assert puts(world) == [(OTHER, "att-2")]
    assert (result.binds_left, result.registrations_ready) == (0, ["registration-2"])


async def test_a_registration_is_ready_only_with_the_last_of_its_attachments(world: World) -> None:
    letter = an_item("b", bind=Bind("registration-1", LETTER))
    world.service.script(PUT_FIELD, None, *[refused(CONFLICT, DECIDED)])

    first = await world.upload([ITEM, letter])
    second = await world.upload([ITEM, letter])

    assert (first.registrations_ready, second.registrations_ready) == ([], ["registration-1"])
