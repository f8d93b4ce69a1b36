"""What happened over time, and what has changed since somebody last looked."""

from collections.abc import Iterator

import pytest

from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import AttachmentStatus, OutcomeKind, State
from batch_upload.ports import LedgerReader
from batch_upload.records import Bucket, Mark, RunTally
from tests.support.one_lane import OneLane
from tests.unit.ledger.samples import BATCH, RUN, T0, TOO_LARGE, accepted, after, attachment, began, ended, item

ENDPOINT = "https://sms-voice.us-east-1.amazonaws.com"


async def tried(ledger: OneLane, item_id: str, kind: OutcomeKind, at_s: float, *, run_id: str = RUN) -> None:
    """One attempt that takes a second and ends at `at_s`."""
    begun = await ledger.intend(f"bu1-{item_id}-1", run_id=run_id, at=after(at_s - 1))
    if kind is OutcomeKind.ACCEPTED:
        await ledger.conclude(begun, accepted(f"att-{item_id}", at=after(at_s)))
    else:
        await ledger.conclude(begun, ended(kind, TOO_LARGE, at=after(at_s)))


@pytest.fixture
def reader(ledger: OneLane, address: LedgerAddress) -> Iterator[LedgerReader]:
    found = find_reader(address)
    assert found is not None
    with found:
        yield found


async def test_runs_are_counted_by_the_ends_of_their_attempts(ledger: OneLane, reader: LedgerReader) -> None:
    await began(ledger, item("a"), item("b"), item("c"))
    await tried(ledger, "a", OutcomeKind.THROTTLED, 2)
    await tried(ledger, "a", OutcomeKind.ACCEPTED, 4)
    await tried(ledger, "b", OutcomeKind.THROTTLED, 6)
    await ledger.begin_run("run-2", verb="upload", batch=BATCH, at=after(100))
    await ledger.intend("bu1-c-1", run_id="run-2", at=after(101))

    assert set(reader.tallies(BATCH)) == {
        RunTally(RUN, OutcomeKind.ACCEPTED, 1, after(4)),
        RunTally(RUN, OutcomeKind.THROTTLED, 2, after(6)),
        RunTally("run-2", None, 1, after(101)),
    }
    assert [tally.run_id for tally in reader.tallies(BATCH)][-1] == "run-2"
    assert reader.tallies("july") == []


async def test_a_course_is_counted_in_steps_since_each_run_began(ledger: OneLane, reader: LedgerReader) -> None:
    await began(ledger, item("a"), item("b"), item("c"), item("d"))
    await tried(ledger, "a", OutcomeKind.THROTTLED, 4.9)
    await tried(ledger, "a", OutcomeKind.ACCEPTED, 5.1)
    await tried(ledger, "b", OutcomeKind.ACCEPTED, 9)
    await tried(ledger, "c", OutcomeKind.WITHDRAWN, 9)
    await ledger.begin_run("run-2", verb="upload", batch=BATCH, at=after(100))
    await tried(ledger, "d", OutcomeKind.REFUSED, 90, run_id="run-2")

    assert reader.buckets({RUN: 5.0, "run-2": 60.0}) == [
        Bucket(RUN, 0, OutcomeKind.THROTTLED, 1),
        Bucket(RUN, 1, OutcomeKind.ACCEPTED, 2),
        Bucket("run-2", 0, OutcomeKind.REFUSED, 1),
    ]
    assert reader.buckets({}) == []


async def test_attempts_are_read_on_from_where_one_stood(ledger: OneLane, reader: LedgerReader) -> None:
    await began(ledger, item("a"), item("b"))
    await tried(ledger, "a", OutcomeKind.ACCEPTED, 2)
    open_one = await ledger.intend("bu1-b-1", run_id=RUN, at=after(3))
    first, second = reader.attempts_after(0)
    await ledger.conclude(open_one, accepted("att-b", at=after(5), request_id="req-b"))

    (again,) = reader.attempts_after(second.attempt_id, again=[second.attempt_id])

    assert (first.client_token, first.kind, first.ended_at) == ("bu1-a-1", OutcomeKind.ACCEPTED, after(2))
    assert (second.client_token, second.kind, second.ended_at) == ("bu1-b-1", None, None)
    assert (again.attempt_id, again.kind, again.request_id) == (second.attempt_id, OutcomeKind.ACCEPTED, "req-b")
    assert list(reader.attempts_after(second.attempt_id)) == []


async def test_a_mark_changes_with_whatever_happens_to_its_item(ledger: OneLane, reader: LedgerReader) -> None:
    def mark() -> Mark:
        (found,) = reader.marks(BATCH)
        return found

    await began(ledger, item("a"))
    marks = [mark()]
    await tried(ledger, "a", OutcomeKind.THROTTLED, 2)
    marks.append(mark())
    await tried(ledger, "a", OutcomeKind.ACCEPTED, 4)
    marks.append(mark())
    await ledger.observe([attachment("att-a", AttachmentStatus.COMPLETE)], at=after(9))
    marks.append(mark())

    assert len(set(marks)) == 4
    assert mark() == marks[-1]
    assert reader.marks("july") == []


async def test_a_token_that_was_replaced_has_another_mark(ledger: OneLane, reader: LedgerReader) -> None:
    await began(ledger, item("a"))
    (before,) = reader.marks(BATCH)
    await ledger.enlist([item("a", token="bu1-a-2")], at=T0)

    old, new = reader.marks(BATCH)

    assert old.client_token == before.client_token
    assert (before.current, old.current, new.current) == (True, False, True)
    assert reader.known_of(BATCH, ["bu1-a-2"])[0].state is State.PENDING
    assert reader.known_of("july", ["bu1-a-2"]) == []


async def test_the_version_changes_when_somebody_writes_and_not_otherwise(
    ledger: OneLane, reader: LedgerReader
) -> None:
    assert reader.endpoint() is None
    await began(ledger, item("a"))
    before = reader.version()
    same = reader.version()
    await tried(ledger, "a", OutcomeKind.ACCEPTED, 2)

    assert before == same != reader.version()
    assert reader.endpoint() == ENDPOINT
