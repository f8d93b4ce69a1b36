"""What was learned of the lane is remembered."""

from pathlib import Path

from batch_upload.ledger.reading import find_reader
from batch_upload.ledger.store import SqliteLedger
from batch_upload.model import RateRecord
from tests.unit.ledger.samples import T0, after, began, item


async def test_the_latest_of_each_operation_is_remembered(ledger: SqliteLedger) -> None:
    await began(ledger, item("a"))
    old, new = (RateRecord("Create", {"rate": rate}, T0) for rate in (2.0, 19.5))
    other = RateRecord("Describe", {"rate": 1.0, "stage": 3}, after(60))

    await ledger.learn([old, other])
    await ledger.learn([new])

    assert await ledger.rates() == [new, other]


async def test_nothing_learned_leaves_what_was(ledger: SqliteLedger) -> None:
    await began(ledger, item("a"))
    known = RateRecord("Create", {"rate": 2.0}, T0)

    await ledger.learn([known])
    await ledger.learn([])

    assert await ledger.rates() == [known]


async def test_a_reader_sees_what_was_learned(ledger: SqliteLedger, path: Path) -> None:
    await began(ledger, item("a"))
    known = RateRecord("Create", {"rate": 2.0}, T0)

    await ledger.learn([known])

    reader = find_reader(path)
    assert reader is not None
    with reader:
        assert reader.rates() == [known]
