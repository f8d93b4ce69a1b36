"""Counting the items of a manifest where they are kept."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batch_upload.ledger.reading import find_reader
from batch_upload.ledger.stock import Stock, differences
from batch_upload.ledger.store import SqliteLedger
from batch_upload.model import State
from tests.unit.ledger.samples import BATCH, RUN, T0, TOO_LARGE, accepted, began, item

IDS = st.lists(st.text("abØ中", max_size=3), unique=True).map(sorted)


def stock_of(path: Path, ids: list[str], *wanted: State) -> Stock:
    reader = find_reader(path)
    assert reader is not None
    with reader:
        return reader.stock(BATCH, ids, wanted)


async def filled(ledger: SqliteLedger) -> None:
    """One failed, one created, one pending, one replaced by another that failed, and one of another batch."""
    await began(ledger, item("a"), item("b"), item("c"), item("d"), item("e", batch="july"))
    await ledger.fail("bu1-a-1", TOO_LARGE, at=T0)
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), accepted("att-b"))
    await ledger.conclude(await ledger.intend("bu1-d-1", run_id=RUN, at=T0), accepted("att-d"))
    await ledger.enlist([item("d", generation=2)], at=T0)
    await ledger.fail("bu1-d-2", TOO_LARGE, at=T0)


async def test_each_listed_item_is_counted_once_and_no_other(ledger: SqliteLedger, path: Path) -> None:
    await filled(ledger)

    assert stock_of(path, ["d", "a", "b", "c"]).states == {State.FAILED: 2, State.PROCESSING: 1, State.PENDING: 1}
    assert stock_of(path, ["new", "a", "zz"]).states == {State.FAILED: 1, State.PENDING: 2}
    assert stock_of(path, ["e"]).states == {State.PENDING: 1}
    assert stock_of(path, []).states == {}


async def test_the_items_of_the_wanted_states_are_given_if_they_are_listed(ledger: SqliteLedger, path: Path) -> None:
    await filled(ledger)

    found = stock_of(path, ["b", "c", "d"], State.FAILED, State.PROCESSING).found

    assert [(row.client_token, row.state) for row in found] == [
        ("bu1-b-1", State.PROCESSING),
        ("bu1-d-2", State.FAILED),
    ]


async def test_before_its_first_run_everything_is_pending(ledger: SqliteLedger, path: Path) -> None:
    assert stock_of(path, ["a", "b"], State.FAILED) == Stock(Counter({State.PENDING: 2}), ())


@given(IDS, IDS, st.integers(1, 4))
def test_what_differs_is_found_however_it_comes(listed: list[str], current: list[str], at_once: int) -> None:
    chunks = [current[start : start + at_once] for start in range(0, len(current), at_once)]

    missing, unlisted = differences(listed, chunks)

    assert missing == len(set(listed) - set(current))
    assert unlisted == sorted(set(current) - set(listed))
