"""Items: which there are, and how they change without a request or an attachment."""

from datetime import UTC, datetime

import pytest

from batch_upload.errors import BatchUploadError
from batch_upload.model import ContentType, Fault, Known, OutcomeKind, State
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import BATCH, NO_ANSWER, RUN, T0, TOO_LARGE, accepted, after, began, ended, item

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
FULL = Fault("ServiceQuotaExceededException", "full", "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY")


async def _state(ledger: OneLane, token: str) -> State:
    return (await _one(ledger, token)).state


async def _one(ledger: OneLane, token: str) -> Known:
    return next(row for row in await ledger.known(BATCH) if row.client_token == token)


async def test_a_new_item_is_pending_and_keeps_all_that_was_said_of_it(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    (row,) = await ledger.known(BATCH)

    assert row == Known(
        item_id="a",
        client_token="bu1-a-1",
        state=State.PENDING,
        content="sha256:" + "0" * 64,
        tags={"Customer": "acme", "Land": "Ø"},
        generation=1,
        current=True,
        identity_tag=True,
        source="files/a.pdf",
        size_bytes=1_000,
        content_type=ContentType.PDF,
    )


async def test_a_new_token_replaces_the_old_one_and_both_stay_known_oldest_first(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))

    await ledger.enlist([item("a", generation=2)], at=T0)

    known = await ledger.known(BATCH)
    assert [(row.client_token, row.current) for row in known] == [
        ("bu1-a-1", False),
        ("bu1-b-1", True),
        ("bu1-a-2", True),
    ]


async def test_a_token_that_comes_back_is_current_again_and_as_it_was(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend("bu1-a-1", run_id=RUN, at=T0), accepted())
    await ledger.enlist([item("a", generation=2)], at=T0)

    await ledger.enlist([item("a")], at=T0)

    known = await ledger.known(BATCH)
    assert [(row.client_token, row.current, row.state) for row in known] == [
        ("bu1-a-1", True, State.PROCESSING),
        ("bu1-a-2", False, State.PENDING),
    ]


async def test_of_two_items_with_one_id_the_later_is_current(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("a", generation=2))

    assert [(row.client_token, row.current) for row in await ledger.known(BATCH)] == [
        ("bu1-a-1", False),
        ("bu1-a-2", True),
    ]


async def test_the_same_id_in_another_batch_is_another_item(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("a", token="bu1-other", batch="july"))

    assert [row.client_token for row in await ledger.known(BATCH)] == ["bu1-a-1"]
    assert [row.client_token for row in await ledger.known("july")] == ["bu1-other"]


async def test_the_identity_tag_follows_the_item_until_it_was_sent(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))
    await ledger.intend("bu1-b-1", run_id=RUN, at=T0)

    await ledger.enlist([item("a", identity_tag=False), item("b", identity_tag=False)], at=T0)

    assert [row.identity_tag for row in await ledger.known(BATCH)] == [False, True]


async def test_an_intent_that_was_withdrawn_sent_nothing(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
    await ledger.conclude(attempt, ended(OutcomeKind.WITHDRAWN, None))

    await ledger.enlist([item("a", identity_tag=False)], at=T0)

    row = await _one(ledger, "bu1-a-1")
    assert (row.identity_tag, row.attempts, row.first_sent_at) == (False, 0, None)


async def test_of_the_ids_that_are_asked_for_every_token_is_known_oldest_first(ledger: OneLane) -> None:
    await began(ledger, *(item(f"{number:04}") for number in range(1_200)))
    await ledger.enlist([item("0700", generation=2)], at=T0)
    wanted = ["1100", "0700", *(f"{number:04}" for number in range(600)), "elsewhere"]

    found = await ledger.known_of_ids(BATCH, wanted)

    assert found == [each for each in await ledger.known(BATCH) if each.item_id in wanted]
    assert [(each.client_token, each.current) for each in found if each.item_id == "0700"] == [
        ("bu1-0700-1", False),
        ("bu1-0700-2", True),
    ]
    assert await ledger.known_of_ids(BATCH, []) == []


async def test_twenty_thousand_items_are_known_again(ledger: OneLane) -> None:
    await began(ledger)

    await ledger.enlist((item(str(number)) for number in range(20_000)), at=T0)

    assert len(await ledger.known(BATCH)) == 20_000


async def test_what_failed_here_is_failed_with_its_fault(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    row = await ledger.fail("bu1-a-1", TOO_LARGE, at=T0)

    assert (row.state, row.fault) == (State.FAILED, TOO_LARGE)
    assert await _one(ledger, "bu1-a-1") == row


@pytest.mark.parametrize("state", [State.SENDING, State.UNKNOWN])
async def test_what_may_have_been_made_is_never_failed_here(ledger: OneLane, state: State) -> None:
    await began(ledger, item("a"))
    await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
    if state is State.UNKNOWN:
        await ledger.undecided(["bu1-a-1"], at=T0)

    row = await ledger.fail("bu1-a-1", TOO_LARGE, at=after(1))

    assert (row.state, row.fault, row.unknown_since) == (state, TOO_LARGE, T0)


async def test_parking_takes_what_waits_and_what_failed_and_leaves_the_rest(ledger: OneLane) -> None:
    tokens = [f"bu1-{name}-1" for name in ("pending", "failed", "parked", "sending", "processing")]
    await began(ledger, *(item(token.split("-")[1]) for token in tokens))
    await ledger.fail("bu1-failed-1", TOO_LARGE, at=T0)
    await ledger.park(["bu1-parked-1"], FULL, resume_after=None)
    await ledger.intend("bu1-sending-1", run_id=RUN, at=T0)
    await ledger.conclude(await ledger.intend("bu1-processing-1", run_id=RUN, at=T0), accepted())

    await ledger.park(tokens, FULL, resume_after=MIDNIGHT)

    known = {row.item_id: (row.state, row.resume_after) for row in await ledger.known(BATCH)}
    assert known == {
        "pending": (State.PARKED, MIDNIGHT),
        "failed": (State.PARKED, MIDNIGHT),
        "parked": (State.PARKED, MIDNIGHT),
        "sending": (State.SENDING, None),
        "processing": (State.PROCESSING, None),
    }


async def test_sending_what_was_parked_ends_its_waiting(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.park(["bu1-a-1"], FULL, resume_after=MIDNIGHT)

    await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    row = await _one(ledger, "bu1-a-1")
    assert (row.state, row.resume_after) == (State.SENDING, None)


async def test_proof_of_absence_ends_the_unknown(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=T0)
    await ledger.conclude(attempt, ended(OutcomeKind.UNKNOWN))

    await ledger.absent(["bu1-a-1"], at=after(600))

    row = await _one(ledger, "bu1-a-1")
    assert (row.state, row.unknown_since, row.last_open_at, row.fault) == (State.PENDING, None, None, None)
    assert (row.attempts, row.first_sent_at) == (1, T0)


async def test_proof_of_absence_takes_nothing_back_that_is_there(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend("bu1-a-1", run_id=RUN, at=T0), accepted())

    await ledger.absent(["bu1-a-1"], at=after(600))

    assert await _state(ledger, "bu1-a-1") is State.PROCESSING


async def test_the_undecided_is_unknown_and_keeps_since_when(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))
    await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    await ledger.undecided(["bu1-a-1", "bu1-b-1"], at=after(600))

    known = await ledger.known(BATCH)
    assert [(row.state, row.unknown_since) for row in known] == [(State.UNKNOWN, T0), (State.PENDING, None)]


async def test_open_intents_are_those_of_every_batch_and_of_replaced_tokens(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"), item("c", token="bu1-july", batch="july"))
    for token in ("bu1-a-1", "bu1-july"):
        await ledger.intend(token, run_id=RUN, at=T0)
    await ledger.enlist([item("a", generation=2)], at=T0)

    assert [row.client_token for row in await ledger.open_intents()] == ["bu1-a-1", "bu1-july"]


async def test_a_token_that_is_not_there_is_a_key_error_and_changes_nothing(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    with pytest.raises(KeyError):
        await ledger.fail("bu1-nobody", TOO_LARGE, at=T0)
    with pytest.raises(KeyError):
        await ledger.park(["bu1-a-1", "bu1-nobody"], FULL, resume_after=None)
    with pytest.raises(KeyError):
        await ledger.absent(["bu1-nobody"], at=T0)
    with pytest.raises(KeyError):
        await ledger.undecided(["bu1-nobody"], at=T0)
    assert await _state(ledger, "bu1-a-1") is State.PENDING


async def test_a_message_that_utf8_cannot_hold_is_kept_escaped(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    row = await ledger.fail("bu1-a-1", Fault("Odd", "a \udcff b", fields=(("n", "\udcff"),)), at=T0)

    assert row.fault == Fault("Odd", "a \\udcff b", fields=(("n", "\udcff"),))


async def test_a_ledger_without_a_lane_knows_nothing_and_takes_nothing(ledger: OneLane) -> None:
    assert await ledger.known(BATCH) == []
    assert await ledger.open_intents() == []
    assert await ledger.attachment_tokens() == {}
    with pytest.raises(BatchUploadError, match="pinned"):
        await ledger.enlist([item("a")], at=T0)


async def test_a_time_without_a_zone_is_refused_and_the_ledger_goes_on(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    with pytest.raises(Exception, match="without a zone"):
        await ledger.fail("bu1-a-1", NO_ANSWER, at=T0.replace(tzinfo=None))

    assert await _state(ledger, "bu1-a-1") is State.PENDING
