"""Reading: while a run writes, and after it."""

from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Outcome, OutcomeKind, State
from batch_upload.records import AttemptRecord, StrangerRecord
from tests.support.lane_runs import reader_of
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import (
    BATCH,
    LANE,
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


async def test_a_reader_sees_what_a_run_writes_while_it_writes(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger, item("a"))

    with reader_of(address) as reader:
        before = [row.state for row in reader.known(BATCH)]
        await ledger.intend(TOKEN, run_id=RUN, at=T0)
        now = [row.state for row in reader.known(BATCH)]
        known = await ledger.known(BATCH)
        assert reader.known(BATCH) == list(known)

    assert (before, now) == ([State.PENDING], [State.SENDING])


async def test_the_whole_history_of_a_token_is_there(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger, item("a"))
    refused = Outcome(OutcomeKind.REFUSED, after(2), fault=TOO_LARGE, request_id="req-1", status=400)
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=after(1)), refused)
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=after(3)), ended(OutcomeKind.UNKNOWN, at=after(4)))
    await ledger.intend(TOKEN, run_id=RUN, at=after(5))

    with reader_of(address) as reader:
        history = reader.attempts(TOKEN)
        nothing = reader.attempts("bu1-nobody")

    assert nothing == []
    assert history == [
        AttemptRecord(
            1,
            RUN,
            after(1),
            after(2),
            OutcomeKind.REFUSED,
            "ValidationException",
            "MAXIMUM_SIZE_EXCEEDED",
            "no",
            "req-1",
            400,
        ),
        AttemptRecord(
            2,
            RUN,
            after(3),
            after(4),
            OutcomeKind.UNKNOWN,
            "NoAnswer",
            None,
            "the connection was lost",
            None,
            None,
        ),
        AttemptRecord(3, RUN, after(5), None, None, None, None, None, None, None),
    ]


async def test_the_lane_and_its_strangers_are_told(ledger: OneLane, address: LedgerAddress) -> None:
    with reader_of(address) as reader:
        assert reader.lane() is None
        await began(ledger, item("a"))
        late, early = attachment("att-2", created_at=after(5)), attachment("att-3")
        await ledger.remember([(late, None), (early, "bu1-other")], at=after(9))

        assert reader.lane() == LANE
        assert reader.strangers() == [
            StrangerRecord(early, "bu1-other", after(9)),
            StrangerRecord(late, None, after(9)),
        ]


async def test_a_reader_cannot_write_and_may_be_closed_twice(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger, item("a"))
    reader = reader_of(address)

    reader.close()
    reader.close()

    assert [row.item_id for row in await ledger.known(BATCH)] == ["a"]


async def test_a_reader_knows_every_attachment_with_its_token_and_when_an_item_changed(
    ledger: OneLane, address: LedgerAddress
) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend(TOKEN, run_id=RUN, at=after(1))
    await ledger.conclude(attempt, accepted("registration-attachment-1", at=after(2)))
    await ledger.remember([(attachment("registration-attachment-2"), "bu1-other")], at=after(3))

    reader = find_reader(address)
    assert reader is not None
    with reader:
        assert reader.attachment_tokens() == {
            "registration-attachment-1": TOKEN,
            "registration-attachment-2": "bu1-other",
        }
        assert (reader.since(TOKEN), reader.since("bu1-nobody")) == (after(2), None)


async def test_texts_are_sorted_by_code_points_whatever_the_locale(ledger: OneLane, address: LedgerAddress) -> None:
    await began(ledger, item("a"))
    ids = ["B", "Z", "a", "z", "Ä", "é"]
    await ledger.remember([(attachment(each), None) for each in reversed(ids)], at=T0)

    with reader_of(address) as reader:
        assert [each.attachment.attachment_id for each in reader.strangers()] == ids
