"""Bindings: an attachment is put into a field of a registration, once it is ready, by a durable intent and outcome."""

import pytest

from batch_upload.errors import BatchUploadError
from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import AttachmentStatus, Fault, Item, Known, Outcome, OutcomeKind, State
from batch_upload.records import BoundItem
from batch_upload.registration import Bind, BindState, Denial, RegistrationField
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import BATCH, LANE, NO_ANSWER, RUN, T0, accepted, after, attachment, began, ended, item

OPT_IN = Bind("registration-1", "messagingUseCase.optInImage")
LETTER = Bind("registration-1", "companyInfo.letter")
READY = AttachmentStatus.COMPLETE
TOKEN = "bu1-a-1"
SUBMITTED = Fault("ConflictException", "no", "REGISTRATION_ALREADY_SUBMITTED")


def bound_item(item_id: str = "a", bind: Bind | None = OPT_IN, *, generation: int = 1) -> Item:
    return item(item_id, generation=generation)._replace(bind=bind)


async def created(ledger: OneLane, one: Item, attachment_id: str = "att-1", status: AttachmentStatus = READY) -> Known:
    """Enlist an item and record that its attachment was made."""
    await ledger.enlist([one], at=T0)
    intended = await ledger.intend(one.client_token, run_id=RUN, at=T0)
    return await ledger.conclude(intended, accepted(attachment_id, status))


async def tried(ledger: OneLane, token: str = TOKEN, ending: Outcome | None = None, version: int | None = 1) -> Known:
    """Record one request to bind, accepted unless another ending is named."""
    intended = await ledger.intend_bind(token, run_id=RUN, at=after(1))
    if ending is not None:
        return await ledger.conclude_bind(intended, ending)
    return await ledger.conclude_bind(intended, Outcome(OutcomeKind.ACCEPTED, after(2)), version=version)


async def bound(ledger: OneLane, one: Item, attachment_id: str = "att-1") -> Known:
    await created(ledger, one, attachment_id)
    return await tried(ledger, one.client_token)


def refused(fault: Fault = SUBMITTED) -> Outcome:
    return ended(OutcomeKind.REFUSED, fault, at=after(2))


async def test_an_attachment_that_is_ready_is_bound_before_its_item_is_complete(ledger: OneLane) -> None:
    await began(ledger)

    ready = await created(ledger, bound_item())
    intended = await ledger.intend_bind(TOKEN, run_id=RUN, at=after(1))
    [on_its_way] = await ledger.known(BATCH)
    done = await ledger.conclude_bind(intended, Outcome(OutcomeKind.ACCEPTED, after(2)), version=3)

    assert (ready.state, ready.bind, ready.bind_state) == (State.BINDING, OPT_IN, BindState.WANTED)
    assert (on_its_way.state, on_its_way.bind_state) == (State.BINDING, BindState.SENT)
    assert (intended.attachment_id, intended.bind, intended.was_sent) == ("att-1", OPT_IN, False)
    assert (done.state, done.bind_state, done.bound_version, done.bound_to) == (
        State.COMPLETE,
        BindState.BOUND,
        3,
        OPT_IN,
    )
    assert await ledger.known(BATCH) == [done]
    assert await ledger.bound(BATCH) == [BoundItem("a", TOKEN, "att-1", OPT_IN, 3, None)]


async def test_a_refused_binding_fails_its_item_which_keeps_its_attachment(ledger: OneLane) -> None:
    await began(ledger)
    await created(ledger, bound_item())

    failed = await tried(ledger, ending=refused())

    assert (failed.state, failed.bind_state, failed.fault) == (State.FAILED, BindState.REFUSED, SUBMITTED)
    assert (failed.attachment_id, failed.is_live, failed.bound_to) == ("att-1", True, None)
    with pytest.raises(BatchUploadError, match="has its attachment"):
        await ledger.intend(TOKEN, run_id=RUN, at=after(3))
    await ledger.park([TOKEN], NO_ANSWER, resume_after=None)
    assert await ledger.observe([attachment("att-1", READY)], at=after(3)) == [failed]

    assert (await tried(ledger)).state is State.COMPLETE


async def test_a_binding_of_unknown_outcome_is_tried_again(ledger: OneLane) -> None:
    await began(ledger)
    await created(ledger, bound_item())

    unknown = await tried(ledger, ending=ended(OutcomeKind.UNKNOWN, at=after(2)))
    throttled = await tried(ledger, ending=ended(OutcomeKind.THROTTLED, at=after(2)))

    assert (unknown.state, unknown.bind_state, unknown.fault) == (State.BINDING, BindState.SENT, NO_ANSWER)
    assert (throttled.state, throttled.bind_state) == (State.BINDING, BindState.SENT)
    assert (await tried(ledger)).fault is None


async def test_a_throttled_binding_leaves_nothing_open(ledger: OneLane) -> None:
    await began(ledger)
    await created(ledger, bound_item())

    throttled = await tried(ledger, ending=ended(OutcomeKind.THROTTLED, at=after(2)))

    assert (throttled.state, throttled.bind_state, throttled.fault) == (State.BINDING, BindState.WANTED, NO_ANSWER)


async def test_what_is_put_into_a_field_replaces_what_was_in_it(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger, bound_item())
    await bound(ledger, bound_item("b", LETTER), "att-2")

    await bound(ledger, bound_item(generation=2), "att-3")

    old, other, new = await ledger.known(BATCH)
    assert (old.state, old.current, old.bind_state) == (State.COMPLETE, False, BindState.REPLACED)
    assert [other.bind_state, new.bind_state] == [BindState.BOUND, BindState.BOUND]
    assert [each.client_token for each in await ledger.bound(BATCH)] == ["bu1-b-1", "bu1-a-2"]


async def test_what_may_be_in_a_field_replaces_what_was_in_it_also_without_an_answer(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger, bound_item())
    await created(ledger, bound_item(generation=2), "att-2")

    await tried(ledger, bound_item(generation=2).client_token, ending=ended(OutcomeKind.UNKNOWN, at=after(2)))
    await ledger.enlist([bound_item()], at=after(3))

    [first, _] = await ledger.known(BATCH)
    assert (first.state, first.current, first.bind_state) == (State.BINDING, True, BindState.WANTED)


async def test_an_item_follows_the_bind_of_its_manifest(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger, bound_item())

    await ledger.enlist([bound_item(bind=LETTER)], at=after(3))
    [changed] = await ledger.known(BATCH)
    await ledger.enlist([bound_item(bind=None)], at=after(4))
    [removed] = await ledger.known(BATCH)
    await ledger.enlist([bound_item(bind=OPT_IN)], at=after(5))
    [added] = await ledger.known(BATCH)

    assert (changed.state, changed.bind, changed.bind_state, changed.bound_version) == (
        State.BINDING,
        LETTER,
        BindState.WANTED,
        None,
    )
    assert (removed.state, removed.bind, removed.bind_state) == (State.COMPLETE, None, None)
    assert (added.state, added.bind, added.bind_state) == (State.BINDING, OPT_IN, BindState.WANTED)


async def test_what_differs_in_its_bind_is_unfinished(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger, bound_item())
    await created(ledger, bound_item("b", None), "att-2")
    tokens = {"a": TOKEN, "b": "bu1-b-1"}

    async def unfinished(binds: dict[str, Bind]) -> set[str]:
        compared = await ledger.compare(BATCH, tokens, binds)
        assert await ledger.unfinished(BATCH, tokens, binds) == compared.unfinished
        return set(compared.unfinished)

    assert await unfinished({"a": OPT_IN}) == set()
    assert await unfinished({}) == {"a"}
    assert await unfinished({"a": LETTER}) == {"a"}
    assert await unfinished({"a": OPT_IN, "b": LETTER}) == {"b"}


async def test_rebinding_needs_no_new_attachment(ledger: OneLane) -> None:
    await began(ledger)
    await bound(ledger, bound_item())
    await created(ledger, item("b"), "att-2")

    await ledger.rebind([TOKEN, "bu1-b-1"], at=after(3))

    again, other = await ledger.known(BATCH)
    assert (again.state, again.bind_state, again.bound_version) == (State.BINDING, BindState.WANTED, 1)
    assert other.state is State.COMPLETE
    with pytest.raises(KeyError):
        await ledger.rebind(["nobody"], at=after(3))


async def test_a_denial_is_kept_beside_the_item(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger)
    await bound(ledger, bound_item())
    denial = Denial(1, "OPT_IN_NOT_CLEAR", "Say \0 what \udc80 „it“ is for")

    known = await ledger.deny(TOKEN, denial, at=after(3))

    assert (known.state, known.denial) == (State.COMPLETE, denial)
    assert await ledger.bound(BATCH) == [BoundItem("a", TOKEN, "att-1", OPT_IN, 1, 1)]
    reader = find_reader(address, lane=LANE)
    assert reader is not None
    with reader:
        assert reader.known(BATCH) == [known]
        assert reader.bound(BATCH) == await ledger.bound(BATCH)


async def test_every_request_to_bind_is_kept(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger)
    await created(ledger, bound_item())
    await tried(ledger, ending=refused())
    await tried(ledger)
    await ledger.enlist([bound_item(bind=LETTER)], at=after(3))
    await ledger.intend_bind(TOKEN, run_id=RUN, at=after(4))

    reader = find_reader(address, lane=LANE)
    assert reader is not None
    with reader:
        records = reader.bind_attempts(TOKEN)

    assert [(each.run_id, each.bind, each.attachment_id, each.kind, each.version) for each in records] == [
        (RUN, OPT_IN, "att-1", OutcomeKind.REFUSED, None),
        (RUN, OPT_IN, "att-1", OutcomeKind.ACCEPTED, 1),
        (RUN, LETTER, "att-1", None, None),
    ]
    assert (records[0].code, records[0].reason) == (SUBMITTED.code, SUBMITTED.reason)
    assert await ledger.fields_of(["att-1", "att-9"]) == {"att-1": [OPT_IN, LETTER]}


async def test_definitions_of_fields_are_remembered_for_a_time(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger)
    fields = [RegistrationField("a.b", "ATTACHMENT", "REQUIRED"), RegistrationField("c", "TEXT", "OPTIONAL")]

    await ledger.remember_field_definitions({"US_TEN_DLC": fields[:1], "GB": fields}, at=T0)
    await ledger.remember_field_definitions({"US_TEN_DLC": fields}, at=after(10))

    assert await ledger.field_definitions(after=after(-1)) == {"GB": fields, "US_TEN_DLC": fields}
    assert await ledger.field_definitions(after=T0) == {"US_TEN_DLC": fields}
    reader = find_reader(address, lane=LANE)
    assert reader is not None
    with reader:
        assert reader.field_definitions(after=T0) == {"US_TEN_DLC": fields}
