"""Many items at once: counted and compared by the database, the same as one row after another."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import LIVE, OPEN, AttachmentStatus, Item, OutcomeKind, State
from batch_upload.records import Comparison, Stock
from tests.support.ledgers import Ledgers
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import BATCH, NO_ANSWER, RUN, T0, TOO_LARGE, ManualClock, accepted, began, ended, item

IDS = st.lists(st.text("abØ中", max_size=3), unique=True).map(sorted)


def stock_of(address: LedgerAddress, ids: list[str], *wanted: State) -> Stock:
    reader = find_reader(address)
    assert reader is not None
    with reader:
        return reader.stock(BATCH, ids, wanted)


async def filled(ledger: OneLane) -> None:
    """One failed, one created, one pending, one replaced by another that failed, and one of another batch."""
    await began(ledger, item("a"), item("b"), item("c"), item("d"), item("e", batch="july"))
    await ledger.fail("bu1-a-1", TOO_LARGE, at=T0)
    await ledger.conclude(await ledger.intend("bu1-b-1", run_id=RUN, at=T0), accepted("att-b"))
    await ledger.conclude(await ledger.intend("bu1-d-1", run_id=RUN, at=T0), accepted("att-d"))
    await ledger.enlist([item("d", generation=2)], at=T0)
    await ledger.fail("bu1-d-2", TOO_LARGE, at=T0)


async def test_each_listed_item_is_counted_once_and_no_other(ledger: OneLane, address: LedgerAddress) -> None:
    await filled(ledger)

    assert stock_of(address, ["d", "a", "b", "c"]).states == {State.FAILED: 2, State.PROCESSING: 1, State.PENDING: 1}
    assert stock_of(address, ["new", "a", "zz"]).states == {State.FAILED: 1, State.PENDING: 2}
    assert stock_of(address, ["e"]).states == {State.PENDING: 1}
    assert stock_of(address, []).states == {}


async def test_the_items_of_the_wanted_states_are_given_if_they_are_listed(
    ledger: OneLane, address: LedgerAddress
) -> None:
    await filled(ledger)

    found = stock_of(address, ["b", "c", "d"], State.FAILED, State.PROCESSING).found

    assert [(row.client_token, row.state) for row in found] == [
        ("bu1-b-1", State.PROCESSING),
        ("bu1-d-2", State.FAILED),
    ]


async def test_before_its_first_run_everything_is_pending(ledger: OneLane, address: LedgerAddress) -> None:
    assert stock_of(address, ["a", "b"], State.FAILED) == Stock(Counter({State.PENDING: 2}), ())


@settings(max_examples=30)
@given(listed=IDS, current=IDS)
def test_every_listed_id_is_counted_whatever_the_ledger_has(
    ledgers: Ledgers, listed: list[str], current: list[str]
) -> None:
    with ledgers.one() as address, asyncio.Runner() as runner:
        runner.run(_enlisted(address, current))

        counted = stock_of(address, listed, State.PENDING)

        assert counted.states == +Counter({State.PENDING: len(listed)})
        assert {known.item_id for known in counted.found} == set(listed) & set(current)


async def _enlisted(address: LedgerAddress, ids: list[str]) -> None:
    ledger = await open_one_lane(address, run_id=RUN, clock=ManualClock())
    await began(ledger, *(item(each, token=f"bu1-{number}") for number, each in enumerate(ids)))
    await ledger.close()


STATES = st.sampled_from([State.PENDING, State.SENDING, State.PROCESSING, State.COMPLETE, State.FAILED, State.PARKED])
LEDGERS = st.dictionaries(st.sampled_from("abcd"), st.lists(STATES, min_size=1, max_size=2), max_size=4)
MANIFESTS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from([1, 2, 3]), max_size=5)


async def brought_to(ledger: OneLane, one: Item, state: State) -> None:
    token = one.client_token
    await ledger.enlist([one], at=T0)
    if state is State.FAILED:
        await ledger.fail(token, NO_ANSWER, at=T0)
    elif state is State.PARKED:
        await ledger.park([token], NO_ANSWER, resume_after=None)
    elif state is not State.PENDING:
        attempt = await ledger.intend(token, run_id=RUN, at=T0)
        status = AttachmentStatus.COMPLETE if state is State.COMPLETE else AttachmentStatus.IN_PROGRESS
        is_made = state in LIVE
        await ledger.conclude(attempt, accepted(f"att-{token}", status) if is_made else ended(OutcomeKind.UNKNOWN))


async def compared(address: LedgerAddress, history: dict[str, list[State]], tokens: dict[str, str]) -> Comparison:
    """What the ledger says, after it is seen that its reader says the same and its writer of a part."""
    ledger = await open_one_lane(address, run_id=RUN, clock=ManualClock())
    await began(ledger, item("of-july", batch="july"))
    for item_id, states in history.items():
        for generation, state in enumerate(states, 1):
            await brought_to(ledger, item(item_id, generation=generation), state)
    found = await ledger.compare(BATCH, tokens)
    assert await ledger.unfinished(BATCH, tokens) == found.unfinished
    await ledger.close()
    reader = find_reader(address)
    assert reader is not None
    with reader:
        assert reader.compare(BATCH, tokens) == found
    return found


@settings(max_examples=40)
@given(history=LEDGERS, generations=MANIFESTS)
def test_it_is_what_a_look_at_every_row_would_say(
    ledgers: Ledgers, history: dict[str, list[State]], generations: dict[str, int]
) -> None:
    tokens = {item_id: f"bu1-{item_id}-{generation}" for item_id, generation in generations.items()}

    with ledgers.one() as address, asyncio.Runner() as runner:
        found = runner.run(compared(address, history, tokens))

    finished = {each for each, states in history.items() if states == [State.COMPLETE] and generations.get(each) == 1}
    unlisted = {each: states for each, states in history.items() if each not in tokens}
    assert found.unfinished == {each: each in history for each in tokens if each not in finished}
    assert found.unlisted == +Counter(
        {each: sum(state in LIVE | OPEN for state in states) for each, states in unlisted.items()}
    )
    assert set(found.parked) == {each for each, states in unlisted.items() if states[-1] is State.PARKED}


async def test_a_ledger_without_a_lane_has_nothing_of_a_manifest(ledger: OneLane) -> None:
    assert await ledger.compare(BATCH, {"a": "bu1-a-1"}) == Comparison({"a": False})
    assert await ledger.unfinished(BATCH, {"a": "bu1-a-1"}) == {"a": False}


async def test_what_is_at_the_service_with_the_same_bytes_is_found_in_every_batch_of_the_lane(
    address: LedgerAddress,
) -> None:
    ledger = await open_one_lane(address, run_id=RUN, clock=ManualClock())
    await began(ledger, item("of-july", batch="july"))
    same, other = (f"sha256:{each * 64}" for each in "ab")
    kept = {
        "complete": item("complete"),
        "july": item("july", batch="july"),
        "processing": item("processing"),
        "pending": item("pending"),
        "other": item("other"),
    }
    made = {
        name: each._replace(digest=bytes.fromhex(("b" if name == "other" else "a") * 64)) for name, each in kept.items()
    }
    for name, each in made.items():
        state = State(name) if name in ("processing", "pending") else State.COMPLETE
        await brought_to(ledger, each, state)

    found = await ledger.twins({same, f"sha256:{'c' * 64}"})
    of_url = await ledger.twins({"url:s3://bucket/a.pdf"})
    await ledger.close()

    assert [(each.content, each.item_id, each.batch) for each in found] == [
        (same, "complete", BATCH),
        (same, "july", "july"),
        (same, "processing", BATCH),
    ]
    assert {each.sent_at for each in found} == {T0}
    assert of_url == []
    reader = find_reader(address)
    assert reader is not None
    with reader:
        assert reader.twins({same}) == found
        assert [each.item_id for each in reader.twins({other})] == ["other"]
