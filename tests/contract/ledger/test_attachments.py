"""Attachments: whose they are, and what the service says of them."""

import pytest

from batch_upload.errors import Disagreement
from batch_upload.model import AttachmentStatus, OutcomeKind, State
from batch_upload.records import Duplicate
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import RUN, T0, accepted, after, attachment, began, ended, item

TOKEN = "bu1-a-1"


async def _created(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted())


async def test_a_complete_attachment_completes_its_item_once(ledger: OneLane) -> None:
    await _created(ledger)
    complete = attachment("att-1", AttachmentStatus.COMPLETE)

    (row,) = await ledger.observe([complete], at=after(1))
    (again,) = await ledger.observe([complete], at=after(2))

    assert (row.state, row.attachment_status, row.completed_at) == (State.COMPLETE, complete.status, after(1))
    assert again == row


@pytest.mark.parametrize(
    ("status", "code"), [(AttachmentStatus.FAILED, "UPLOAD_FAILED"), (AttachmentStatus.DELETED, "DELETED")]
)
async def test_an_attachment_that_came_to_nothing_fails_its_item(
    ledger: OneLane, status: AttachmentStatus, code: str
) -> None:
    await _created(ledger)

    (row,) = await ledger.observe([attachment("att-1", status)], at=after(1))

    assert row.fault is not None
    assert (row.state, row.attachment_status, row.fault.code) == (State.FAILED, status, code)


async def test_a_late_look_takes_nothing_back_that_was_complete(ledger: OneLane) -> None:
    await _created(ledger)
    await ledger.observe([attachment("att-1", AttachmentStatus.COMPLETE)], at=after(1))

    (row,) = await ledger.observe([attachment("att-1", AttachmentStatus.IN_PROGRESS)], at=after(2))

    assert (row.state, row.attachment_status) == (State.COMPLETE, AttachmentStatus.COMPLETE)


async def test_of_many_attachments_those_that_are_no_items_are_left_out(ledger: OneLane) -> None:
    await _created(ledger)
    await ledger.remember([(attachment("att-2"), None)], at=T0)

    seen = await ledger.observe([attachment("att-2"), attachment("att-1"), attachment("att-3")], at=T0)

    assert [row.attachment_id for row in seen] == ["att-1"]


async def test_adopting_ends_the_unknown(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), ended(OutcomeKind.UNKNOWN))
    await ledger.remember([(attachment("att-1"), TOKEN)], at=T0)

    row = await ledger.adopt(TOKEN, attachment("att-1", AttachmentStatus.COMPLETE), at=after(5))

    assert (row.state, row.attachment_id, row.completed_at) == (State.COMPLETE, "att-1", after(5))
    assert (row.unknown_since, row.last_open_at, row.fault, row.attempts) == (None, None, None, 1)
    assert await ledger.attachment_tokens() == {"att-1": TOKEN}


async def test_a_lost_ledger_adopts_what_it_never_sent(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    row = await ledger.adopt(TOKEN, attachment("att-1"), at=after(5))

    assert (row.state, row.attempts, row.first_sent_at) == (State.PROCESSING, 0, None)


async def test_adopting_twice_is_adopting_once(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    complete = attachment("att-1", AttachmentStatus.COMPLETE)

    row = await ledger.adopt(TOKEN, complete, at=after(5))

    assert await ledger.adopt(TOKEN, complete, at=after(6)) == row


async def test_a_second_attachment_of_a_token_is_not_adopted_while_the_first_stands(ledger: OneLane) -> None:
    await _created(ledger)

    with pytest.raises(Disagreement, match="att-1"):
        await ledger.adopt(TOKEN, attachment("att-2"), at=T0)

    assert await ledger.attachment_tokens() == {"att-1": TOKEN}


async def test_a_second_attachment_is_adopted_when_the_first_came_to_nothing(ledger: OneLane) -> None:
    await _created(ledger)
    await ledger.observe([attachment("att-1", AttachmentStatus.DELETED)], at=T0)

    row = await ledger.adopt(TOKEN, attachment("att-2"), at=T0)

    assert (row.state, row.attachment_id, row.fault) == (State.PROCESSING, "att-2", None)
    assert await ledger.attachment_tokens() == {"att-1": TOKEN, "att-2": TOKEN}


async def test_what_another_token_has_is_not_adopted(ledger: OneLane) -> None:
    await _created(ledger)
    await ledger.enlist([item("b")], at=T0)

    with pytest.raises(Disagreement, match=TOKEN):
        await ledger.adopt("bu1-b-1", attachment("att-1"), at=T0)
    with pytest.raises(KeyError):
        await ledger.adopt("bu1-nobody", attachment("att-9"), at=T0)


async def test_strangers_are_remembered_and_the_later_look_wins(ledger: OneLane) -> None:
    await _created(ledger)

    await ledger.remember([(attachment("att-2"), None), (attachment("att-3"), "bu1-other")], at=T0)
    await ledger.remember([(attachment("att-2", AttachmentStatus.COMPLETE), "bu1-late")], at=after(1))
    await ledger.remember([(attachment("att-1"), "bu1-nonsense")], at=after(1))

    assert await ledger.attachment_tokens() == {"att-1": TOKEN, "att-2": "bu1-late", "att-3": "bu1-other"}


async def test_a_thousand_strangers_are_remembered_at_once(ledger: OneLane) -> None:
    await began(ledger)

    await ledger.remember([(attachment(f"att-{number}"), None) for number in range(1_200)], at=T0)

    assert len(await ledger.attachment_tokens()) == 1_200


async def test_what_is_not_found_fails_and_keeps_its_attachment_until_it_is_found_again(ledger: OneLane) -> None:
    await _created(ledger)

    (gone,) = await ledger.not_found([TOKEN], at=after(1))
    (found,) = await ledger.observe([attachment("att-1", AttachmentStatus.COMPLETE)], at=after(2))

    assert gone.fault is not None
    assert (gone.state, gone.fault.code, gone.attachment_id) == (State.FAILED, "NOT_FOUND", "att-1")
    assert gone.attachment_status is AttachmentStatus.IN_PROGRESS
    assert (found.state, found.fault, found.completed_at) == (State.COMPLETE, None, after(2))


async def test_only_what_stands_can_be_not_found(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    (row,) = await ledger.not_found([TOKEN], at=after(1))

    assert (row.state, row.fault) == (State.PENDING, None)


async def test_a_stranger_with_the_token_of_an_item_that_has_another_attachment_is_a_duplicate(
    ledger: OneLane,
) -> None:
    await _created(ledger)
    await ledger.enlist([item("b")], at=T0)
    strangers = [("att-2", TOKEN), ("att-3", item("b").client_token), ("att-4", None), ("att-5", "bu1-foreign")]
    await ledger.remember([(attachment(name), token) for name, token in strangers], at=T0)

    found = await ledger.duplicates()

    assert found == [Duplicate("att-2", TOKEN, "att-1", "a")]
