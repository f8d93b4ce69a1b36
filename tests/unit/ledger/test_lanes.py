"""Several lanes in one ledger: what happens in one says nothing of another."""

import json
import shutil
from pathlib import Path

import pytest

from batch_upload.errors import LedgerOfAnotherLane, LedgerUnusable
from batch_upload.ledger import find_reader
from batch_upload.model import Lane, RateRecord, State
from batch_upload.ports import LaneMemory, LedgerReader, LedgerWriter
from tests.support.one_lane import OneLane
from tests.unit.ledger.conftest import Open
from tests.unit.ledger.samples import (
    BATCH,
    LANE,
    NO_ANSWER,
    RUN,
    T0,
    accepted,
    after,
    attachment,
    contents,
    item,
    rows,
    write,
)

OTHER = Lane("123456789012", "eu-west-1")


async def pinned(ledger: LedgerWriter, lane: Lane) -> LaneMemory:
    return await ledger.pin(lane, endpoint=f"https://{lane.region}", at=T0)


async def with_two_lanes(opened: Open) -> OneLane:
    ledger = await opened()
    await pinned(ledger, LANE)
    await pinned(await ledger.ledger.writer("acme/eu-west-1"), OTHER)
    return ledger


async def run_on(ledger: OneLane, lane: Lane, *ids: str, run_id: str = RUN) -> LaneMemory:
    """A run on a lane that lists it and creates these items."""
    memory = await pinned(ledger, lane)
    await ledger.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await ledger.listed(at=T0)
    await ledger.enlist([item(each) for each in ids], at=T0)
    for each in ids:
        attempt = await ledger.intend(f"bu1-{each}-1", run_id=run_id, at=T0)
        await ledger.conclude(attempt, accepted(f"att-{lane.region}-{each}"))
    await ledger.end_run(run_id, exit_code=0, summary={}, at=T0)
    return memory


def reader_of(path: Path, lane: Lane | None) -> LedgerReader:
    reader = find_reader(path, lane=lane)
    assert reader is not None
    return reader


async def test_a_lane_that_was_added_is_taken_and_no_other(opened: Open) -> None:
    ledger = await with_two_lanes(opened)

    assert await pinned(ledger, OTHER) == LaneMemory(listed_at=None, continuous=False)
    with pytest.raises(LedgerOfAnotherLane, match="belongs to 123456789012/eu-west-1, 123456789012/us-east-1, and not"):
        await pinned(ledger, Lane("999999999999", "us-east-1"))


async def test_a_lane_is_added_once(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    writer = await ledger.ledger.writer("acme/eu-west-1")
    await writer.pin(OTHER, endpoint="https://elsewhere", at=after(9))

    assert rows(path, "SELECT region, endpoint FROM lane ORDER BY lane_id") == [
        ("us-east-1", "https://us-east-1"),
        ("eu-west-1", "https://elsewhere"),
    ]


async def test_the_same_item_is_uploaded_to_each_lane_in_one_run(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)

    await run_on(ledger, LANE, "a", "b")
    await run_on(ledger, OTHER, "a")

    assert [row.attachment_id for row in await ledger.known(BATCH)] == ["att-eu-west-1-a"]
    for lane, tokens in ((LANE, {"bu1-a-1", "bu1-b-1"}), (OTHER, {"bu1-a-1"})):
        with reader_of(path, lane) as reader:
            assert reader.lane() == lane
            assert reader.endpoint() == f"https://{lane.region}"
            assert {row.client_token for row in reader.known(BATCH)} == tokens
            assert [len(reader.attempts(token)) for token in sorted(tokens)] == [1] * len(tokens)
            assert {each.client_token for each in reader.attempts_after(0)} == tokens
            assert [tally.count for tally in reader.tallies(BATCH)] == [len(tokens)]
            assert [bucket.count for bucket in reader.buckets({RUN: 1.0})] == [len(tokens)]
            assert {mark.client_token for mark in reader.marks(BATCH)} == tokens
            assert [run.run_id for run in reader.runs(BATCH, 5)] == [RUN]
            assert set(reader.attachment_tokens()) == {f"att-{lane.region}-{token[4]}" for token in tokens}
            assert reader.stock(BATCH, ["a", "b"], ()).states.total() == 2


async def test_what_changes_many_items_changes_those_of_one_lane(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    for lane in (LANE, OTHER):
        await pinned(ledger, lane)
        await ledger.begin_run(RUN, verb="upload", batch=BATCH, at=T0)
        await ledger.enlist([item("a"), item("b")], at=T0)
    await ledger.park(["bu1-a-1"], NO_ANSWER, resume_after=None)
    await ledger.enlist([item("b", generation=2)], at=T0)
    await ledger.intend("bu1-b-2", run_id=RUN, at=T0)
    await ledger.undecided(["bu1-b-2"], at=T0)
    await ledger.remember([(attachment("att-9"), None)], at=T0)
    await ledger.learn([RateRecord("Create", {"rate": 2.0}, T0)])

    await pinned(ledger, LANE)

    assert [(row.client_token, row.state, row.current) for row in await ledger.known(BATCH)] == [
        ("bu1-a-1", State.PENDING, True),
        ("bu1-b-1", State.PENDING, True),
    ]
    assert await ledger.attachment_tokens() == {}
    assert await ledger.rates() == []
    assert await ledger.standing_count() == 0
    assert rows(path, "SELECT count(*) FROM item") == [(5,)]


async def test_each_lane_follows_on_its_own_last_run(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, LANE)
    await ledger.close()
    ledger = await opened(path, "run-2")
    await run_on(ledger, OTHER, run_id="run-2")

    assert (await pinned(ledger, LANE)).continuous
    await ledger.close()
    ledger = await opened(path, "run-3")
    assert (await pinned(ledger, LANE)).continuous
    assert (await pinned(ledger, OTHER)).continuous


async def test_a_restored_backup_is_trusted_for_no_lane_that_was_used_since(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, LANE)
    await run_on(ledger, OTHER)
    await ledger.close()
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    ledger = await opened(path, "run-2")
    await run_on(ledger, OTHER, run_id="run-2")
    await ledger.close()
    shutil.copy(backup, path)

    ledger = await opened(path, "run-3")
    assert (await pinned(ledger, LANE)).continuous
    await run_on(ledger, LANE, run_id="run-3")

    assert not (await pinned(ledger, OTHER)).continuous


async def test_a_note_of_an_earlier_program_is_believed_where_it_names_the_lanes_last_run(
    opened: Open, path: Path
) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, OTHER)
    await run_on(ledger, LANE, run_id="run-2")
    await ledger.close()
    lock = path.with_name("june.ledger.lock")
    note = json.loads(contents(lock))
    del note["began"]
    write(lock, json.dumps(note).encode())

    ledger = await opened(path, "run-3")

    assert (await pinned(ledger, LANE)).continuous
    assert not (await pinned(ledger, OTHER)).continuous


async def test_the_last_request_of_another_lane_is_not_this_ones(opened: Open) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, OTHER, "a")

    assert (await pinned(ledger, LANE)).sent_at is None
    assert (await pinned(ledger, OTHER)).sent_at == T0


async def test_which_of_several_lanes_is_read_must_be_said(opened: Open, path: Path) -> None:
    await with_two_lanes(opened)

    with (
        reader_of(path, None) as reader,
        pytest.raises(LedgerUnusable, match=r"holds several lanes: 123456789012/eu-west-1, 123456789012/us-east-1"),
    ):
        reader.known(BATCH)
    with reader_of(path, Lane("999999999999", "us-east-1")) as reader:
        assert reader.lane() is None
        assert reader.known(BATCH) == []


async def test_a_ledger_with_several_lanes_works_on_none_before_it_is_pinned(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, LANE, "a")
    await ledger.close()

    ledger = await opened(path, "run-2")

    assert await ledger.known(BATCH) == []
    assert await ledger.rates() == []


async def test_a_run_that_reached_no_lane_counts_for_each(opened: Open, path: Path) -> None:
    ledger = await with_two_lanes(opened)
    await run_on(ledger, LANE)
    await ledger.record_end(
        "run-2", verb="upload", batch=BATCH, began_at=after(60), exit_code=10, summary={}, at=after(61)
    )

    assert await ledger.failing_since() == T0
    await pinned(ledger, OTHER)
    assert await ledger.failing_since() == after(60)
    with reader_of(path, OTHER) as reader:
        assert [run.run_id for run in reader.runs(BATCH, 5)] == ["run-2"]
