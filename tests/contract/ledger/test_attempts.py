"""Attempts: the intent before a request leaves, and what became of it."""

import pytest

from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.model import AttachmentStatus, Fault, Known, Outcome, OutcomeKind, State
from batch_upload.ports import Attempt
from tests.support.one_lane import OneLane, Open
from tests.unit.ledger.samples import (
    BATCH,
    NO_ANSWER,
    RUN,
    T0,
    TOO_LARGE,
    accepted,
    after,
    attachment,
    began,
    ended,
    item,
)

TOKEN = "bu1-a-1"
CERTAIN = {
    OutcomeKind.THROTTLED: State.PENDING,
    OutcomeKind.REFUSED: State.FAILED,
    OutcomeKind.NO_CAPACITY: State.PARKED,
    OutcomeKind.DENIED: State.PENDING,
    OutcomeKind.WITHDRAWN: State.PENDING,
}


async def _one(ledger: OneLane, token: str = TOKEN) -> Known:
    return next(row for row in await ledger.known(BATCH) if row.client_token == token)


async def test_an_intent_opens_the_unknown_and_counts(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    row = await _one(ledger)
    assert attempt == Attempt(attempt.attempt_id, TOKEN, 1, after(1))
    assert (row.state, row.attempts) == (State.SENDING, 1)
    assert (row.unknown_since, row.last_open_at, row.first_sent_at) == (after(1), after(1), after(1))


async def test_a_second_intent_keeps_the_start_of_the_unknown(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    first = await ledger.intend(TOKEN, run_id=RUN, at=after(1))
    await ledger.conclude(first, ended(OutcomeKind.UNKNOWN, at=after(2)))

    second = await ledger.intend(TOKEN, run_id=RUN, at=after(3))

    row = await _one(ledger)
    assert (second.number, row.attempts) == (2, 2)
    assert (row.unknown_since, row.last_open_at, row.first_sent_at) == (after(1), after(3), after(1))


async def test_an_attempt_without_an_end_leaves_the_item_sending_for_the_next_run(opened: Open) -> None:
    ledger = await opened()
    await began(ledger, item("a"))
    await ledger.intend(TOKEN, run_id=RUN, at=after(1))
    await ledger.close()

    ledger = await opened()
    await began(ledger, item("a"), run_id="run-2")

    (row,) = await ledger.open_intents()
    assert (row.state, row.unknown_since, row.attempts) == (State.SENDING, after(1), 1)
    assert (await ledger.intend(TOKEN, run_id="run-2", at=after(9))).number == 2


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (AttachmentStatus.IN_PROGRESS, State.PROCESSING, None),
        (AttachmentStatus.COMPLETE, State.COMPLETE, None),
        (AttachmentStatus.FAILED, State.FAILED, "UPLOAD_FAILED"),
        (AttachmentStatus.DELETED, State.FAILED, "DELETED"),
    ],
)
async def test_an_accepted_attempt_is_as_far_as_its_receipt_says(
    ledger: OneLane, status: AttachmentStatus, state: State, code: str | None
) -> None:
    await began(ledger, item("a"))
    first = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    await ledger.conclude(first, ended(OutcomeKind.UNKNOWN))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    row = await ledger.conclude(attempt, accepted("att-1", status, at=after(2)))

    assert row == await _one(ledger)
    assert (row.state, row.fault.code if row.fault else None) == (state, code)
    assert (row.attachment_id, row.attachment_arn, row.attachment_status) == ("att-1", "arn:att-1", status)
    assert (row.unknown_since, row.last_open_at, row.request_id) == (None, None, "req-1")
    assert row.completed_at == (after(2) if state is State.COMPLETE else None)


async def test_an_unknown_outcome_leaves_it_open_with_its_fault(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    row = await ledger.conclude(attempt, ended(OutcomeKind.UNKNOWN, at=after(2)))

    assert (row.state, row.fault, row.unknown_since, row.last_open_at) == (
        State.SENDING,
        NO_ANSWER,
        after(1),
        after(1),
    )


@pytest.mark.parametrize(("kind", "state"), CERTAIN.items())
async def test_a_certain_no_puts_back_what_was_before(ledger: OneLane, kind: OutcomeKind, state: State) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    row = await ledger.conclude(attempt, Outcome(kind, after(2), fault=TOO_LARGE, request_id="req-9", status=400))

    assert row == await _one(ledger)
    assert (row.state, row.fault, row.request_id) == (state, TOO_LARGE, "req-9")
    assert (row.unknown_since, row.last_open_at) == (None, None)
    assert row.attempts == (0 if kind is OutcomeKind.WITHDRAWN else 1)


@pytest.mark.parametrize("kind", CERTAIN)
async def test_a_certain_no_after_an_unknown_one_leaves_it_as_unknown_as_before(
    ledger: OneLane, kind: OutcomeKind
) -> None:
    await began(ledger, item("a"))
    for at in (after(1), after(2)):
        await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=at), ended(OutcomeKind.UNKNOWN))

    row = await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=after(3)), ended(kind, TOO_LARGE))

    assert (row.state, row.fault) == (State.SENDING, TOO_LARGE)
    assert (row.unknown_since, row.last_open_at, row.resume_after) == (after(1), after(2), None)


async def test_a_full_lane_parks_the_item_until_the_time_that_was_said(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    full = Outcome(OutcomeKind.NO_CAPACITY, T0, fault=TOO_LARGE, resume_after=after(3600))

    row = await ledger.conclude(attempt, full)

    assert (row.state, row.resume_after) == (State.PARKED, after(3600))


async def test_the_last_request_id_that_there_was_is_kept(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    first = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    await ledger.conclude(first, Outcome(OutcomeKind.THROTTLED, T0, fault=NO_ANSWER, request_id="req-1"))

    second = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    row = await ledger.conclude(second, ended(OutcomeKind.UNKNOWN))

    assert row.request_id == "req-1"


async def test_an_attachment_of_another_token_is_a_disagreement_and_leaves_it_open(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), accepted("att-1"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    with pytest.raises(Disagreement, match="bu1-b-1"):
        await ledger.conclude(attempt, accepted("att-1", request_id="req-7"))

    row = await _one(ledger)
    assert (row.state, row.unknown_since, row.attachment_id, row.request_id) == (
        State.SENDING,
        after(1),
        None,
        "req-7",
    )
    assert row.fault is not None
    assert (row.fault.code, row.fault.resource_id) == ("Disagreement", "att-1")
    assert await ledger.attachment_tokens() == {"att-1": "bu1-b-1"}


async def test_an_attachment_whose_tag_names_another_token_is_a_disagreement(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.remember([(attachment("att-1"), "bu1-somebody")], at=T0)

    with pytest.raises(Disagreement, match="bu1-somebody"):
        await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted("att-1"))


async def test_a_stranger_that_the_service_says_is_ours_becomes_ours(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.remember([(attachment("att-1"), None), (attachment("att-2"), None)], at=T0)

    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted("att-1"))

    assert await ledger.attachment_tokens() == {"att-1": TOKEN, "att-2": None}


async def test_what_came_to_nothing_can_be_sent_again_and_is_not_forgotten(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    deleted = accepted("att-1", AttachmentStatus.DELETED)
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), deleted)

    await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    row = await _one(ledger)
    assert (row.state, row.attachment_id, row.unknown_since) == (State.SENDING, None, after(1))
    assert await ledger.attachment_tokens() == {"att-1": TOKEN}


async def test_the_same_attachment_again_for_the_same_token_is_no_disagreement(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    deleted = accepted("att-1", AttachmentStatus.DELETED)
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), deleted)

    row = await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=after(1)), deleted)

    assert (row.state, row.attachment_id) == (State.FAILED, "att-1")


async def test_what_stands_at_the_service_is_never_sent_again(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted())

    with pytest.raises(BatchUploadError, match="att-1"):
        await ledger.intend(TOKEN, run_id=RUN, at=after(1))

    assert (await _one(ledger)).state is State.PROCESSING


async def test_a_late_no_takes_nothing_back_that_was_found_meanwhile(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    await ledger.adopt(TOKEN, attachment("att-1"), at=after(1))

    row = await ledger.conclude(attempt, ended(OutcomeKind.UNKNOWN))

    assert (row.state, row.attachment_id, row.unknown_since) == (State.PROCESSING, "att-1", None)


async def test_tokens_runs_and_attempts_that_are_not_there_are_our_fault(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=T0)

    with pytest.raises(KeyError):
        await ledger.intend("bu1-nobody", run_id=RUN, at=T0)
    with pytest.raises(KeyError):
        await ledger.conclude(Attempt(99, TOKEN, 9, T0), ended(OutcomeKind.UNKNOWN))
    with pytest.raises(BatchUploadError, match="run_no"):
        await ledger.intend(TOKEN, run_id="run-nobody", at=T0)
    with pytest.raises(BatchUploadError, match="receipt"):
        await ledger.conclude(attempt, Outcome(OutcomeKind.ACCEPTED, T0))
    assert (await _one(ledger)).attempts == 1


async def test_an_attempt_ends_once(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=T0)
    await ledger.conclude(attempt, ended(OutcomeKind.THROTTLED, Fault("ThrottlingException", "slow down")))

    with pytest.raises(BatchUploadError, match="breaks its rules"):
        await ledger.conclude(attempt, accepted())

    assert (await _one(ledger)).state is State.PENDING


async def test_an_answer_with_bytes_that_no_database_holds_is_kept_with_their_escapes(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    fault = Fault("Odd\0", "zero \0 and \udcff", fields=(("a\0", "b\udcff"),))

    known = await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), ended(OutcomeKind.REFUSED, fault))

    assert known.fault == Fault("Odd\\x00", "zero \\x00 and \\udcff", fields=fault.fields)
    assert await _one(ledger) == known
