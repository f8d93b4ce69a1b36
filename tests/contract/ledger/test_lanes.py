"""Several lanes in one ledger: what happens in one says nothing of another."""

import asyncio
from collections.abc import Callable

import pytest

from batch_upload.errors import ExitCode, LedgerOfAnotherLane, LedgerUnusable
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import State
from batch_upload.ports import LaneMemory
from tests.support.lane_runs import (
    LANES,
    OTHER,
    RATE,
    STRANGE,
    ended_early,
    label_of,
    pinned,
    reader_of,
    run_on,
    two_of,
    worked,
)
from tests.support.one_lane import Open
from tests.unit.ledger.samples import (
    BATCH,
    LANE,
    NO_ANSWER,
    RUN,
    T0,
    after,
    attachment,
    commits_of,
    item,
    rows,
)


async def test_a_target_adds_its_lane_and_is_remembered_as_that(opened: Open, address: LedgerAddress) -> None:
    one, other = await two_of((await opened()).ledger)
    await pinned(one, LANE)

    assert await pinned(other, OTHER) == LaneMemory(listed_at=None, continuous=False, doubted_before=T0)

    assert rows(address, "SELECT label, region, endpoint FROM target JOIN lane USING (lane_id) ORDER BY lane_id") == [
        ("acme/us-east-1", "us-east-1", "https://us-east-1"),
        ("acme/eu-west-1", "eu-west-1", "https://eu-west-1"),
    ]


async def test_a_target_that_is_another_lane_now_is_refused_and_its_lane_left_as_it_is(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    await run_on(await ledger.ledger.writer("acme/us-east-1"), LANE, "a")
    await ledger.close()
    writer = await (await opened(address, "run-2")).ledger.writer("acme/us-east-1")

    with pytest.raises(LedgerOfAnotherLane) as caught:
        await pinned(writer, STRANGE)

    assert caught.value.message == (
        f"target `acme/us-east-1` is 123456789012/us-east-1 in `{address}`, but 999999999999/us-east-1 now"
    )
    assert "another name" in caught.value.hint
    assert caught.value.exit_code is ExitCode.LEDGER
    assert rows(address, "SELECT label, account FROM target JOIN lane USING (lane_id)") == [
        ("acme/us-east-1", "123456789012")
    ]
    assert rows(address, "SELECT account FROM lane") == [("123456789012",)]
    assert [row.state for row in await writer.known(BATCH)] == [State.PROCESSING]


async def test_a_lane_has_the_batches_of_its_items_and_of_runs_that_count_for_it(
    opened: Open, address: LedgerAddress, new_address: Callable[[], LedgerAddress]
) -> None:
    empty = new_address()
    one, other = await two_of((await opened()).ledger)
    await run_on(one, LANE, "a")
    await one.enlist([item("a", token="bu1-july-a", batch="july")], at=T0)
    await run_on(other, OTHER)
    unreached = await (await opened(empty)).ledger.writer()
    await unreached.record_end(RUN, verb="upload", batch="may", began_at=T0, exit_code=22, summary={}, at=T0)

    with reader_of(address) as reader:
        assert reader.of(LANE).batches() == reader.of_target(label_of(LANE)).batches() == ["july", BATCH]
        assert reader.of(OTHER).batches() == [BATCH]
        assert reader.of(STRANGE).batches() == []
    with reader_of(empty) as reader:
        assert (reader.lanes(), reader.batches()) == ([], ["may"])


async def test_two_targets_of_one_lane_are_refused_in_one_run_and_not_in_two(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    one, again = await ledger.ledger.writer("acme/us-east-1"), await ledger.ledger.writer("beta/us-east-1")
    await run_on(one, LANE, "a")

    with pytest.raises(LedgerOfAnotherLane, match="`beta/us-east-1` is the same lane as `acme/us-east-1`"):
        await pinned(again, LANE)

    assert rows(address, "SELECT label FROM target") == [("acme/us-east-1",)]
    await ledger.close()
    renamed = await (await opened(address, "run-2")).ledger.writer("beta/us-east-1")
    assert (await pinned(renamed, LANE)).continuous
    assert len(await renamed.known(BATCH)) == 1
    with reader_of(address) as reader:
        assert reader.lanes() == [("acme/us-east-1", LANE), ("beta/us-east-1", LANE)]


async def test_without_a_target_the_ledger_is_given_no_second_lane(opened: Open, address: LedgerAddress) -> None:
    ledger = await opened()
    for writer, lane in zip(await two_of(ledger.ledger), (LANE, OTHER), strict=True):
        await run_on(writer, lane, "a")
    await ledger.close()
    alone = await opened(address, "run-2")

    with pytest.raises(LedgerOfAnotherLane, match="belongs to 123456789012/eu-west-1, 123456789012/us-east-1, and not"):
        await pinned(alone, STRANGE)

    assert (await pinned(alone, OTHER)).continuous
    assert [row.attachment_id for row in await alone.known(BATCH)] == ["att-eu-west-1-a"]


async def test_before_it_is_pinned_a_target_is_the_lane_that_it_was(opened: Open, address: LedgerAddress) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(one, LANE, "a")
    await run_on(other, OTHER)
    await one.learn([RATE])
    await ledger.close()
    ledger = await opened(address, "run-2")

    one, other = await two_of(ledger.ledger)
    new = await ledger.ledger.writer("beta/us-east-1")

    assert [await each.rates() for each in (one, other, new, ledger)] == [[RATE], [], [], []]
    assert [len(await each.known(BATCH)) for each in (one, other, new, ledger)] == [1, 0, 0, 0]


async def test_the_same_item_is_uploaded_to_each_lane_in_one_run(opened: Open, address: LedgerAddress) -> None:
    one, other = await two_of((await opened()).ledger)

    await run_on(one, LANE, "a", "b")
    await run_on(other, OTHER, "a")

    with reader_of(address) as reader:
        assert reader.lanes() == [(label_of(LANE), LANE), (label_of(OTHER), OTHER)]
        for lane, tokens in ((LANE, {"bu1-a-1", "bu1-b-1"}), (OTHER, {"bu1-a-1"})):
            for view in (reader.of(lane), reader.of_target(label_of(lane))):
                assert view.lane() == lane
                assert view.endpoint() == f"https://{lane.region}"
                assert {row.client_token for row in view.known(BATCH)} == tokens
                assert [len(view.attempts(token)) for token in sorted(tokens)] == [1] * len(tokens)
                assert {each.client_token for each in view.attempts_after(0)} == tokens
                assert [tally.count for tally in view.tallies(BATCH)] == [len(tokens)]
                assert [bucket.count for bucket in view.buckets({RUN: 1.0})] == [len(tokens)]
                assert {mark.client_token for mark in view.marks(BATCH)} == tokens
                assert [run.run_id for run in view.runs(BATCH, 5)] == [RUN]
                assert set(view.attachment_tokens()) == {f"att-{lane.region}-{token[4]}" for token in tokens}
                assert view.stock(BATCH, ["a", "b"], ()).states.total() == 2


async def test_what_changes_many_items_changes_those_of_one_lane(opened: Open, address: LedgerAddress) -> None:
    one, other = await two_of((await opened()).ledger)
    for writer, lane in ((one, LANE), (other, OTHER)):
        await pinned(writer, lane)
        await writer.begin_run(RUN, verb="upload", batch=BATCH, at=T0)
        await writer.enlist([item("a"), item("b")], at=T0)
    await other.park(["bu1-a-1"], NO_ANSWER, resume_after=None)
    await other.enlist([item("b", generation=2)], at=T0)
    await other.intend("bu1-b-2", run_id=RUN, at=T0)
    await other.undecided(["bu1-b-2"], at=T0)
    await other.remember([(attachment("att-9"), None)], at=T0)
    await other.learn([RATE])

    assert [(row.client_token, row.state, row.current) for row in await one.known(BATCH)] == [
        ("bu1-a-1", State.PENDING, True),
        ("bu1-b-1", State.PENDING, True),
    ]
    assert await one.attachment_tokens() == {}
    assert await one.rates() == []
    assert await one.standing_count() == 0
    assert rows(address, "SELECT count(*) FROM item") == [(5,)]


async def test_the_last_request_of_another_lane_is_not_this_ones(opened: Open) -> None:
    one, other = await two_of((await opened()).ledger)
    await run_on(other, OTHER, "a")

    assert (await pinned(one, LANE)).sent_at is None
    assert (await pinned(other, OTHER)).sent_at == T0


async def test_which_of_several_lanes_is_read_must_be_said(opened: Open, address: LedgerAddress) -> None:
    for writer, lane in zip(await two_of((await opened()).ledger), (LANE, OTHER), strict=True):
        await pinned(writer, lane)

    with reader_of(address) as reader:
        with pytest.raises(LedgerUnusable, match=r"several lanes: 123456789012/eu-west-1, 123456789012/us-east-1"):
            reader.known(BATCH)
        assert reader.of(LANE).known(BATCH) == []
        assert reader.digests(["/files/a.pdf"]) == {}
    with reader_of(address, STRANGE) as reader:
        assert reader.lane() is None
        assert reader.known(BATCH) == []


async def test_a_ledger_without_targets_has_one_lane_without_a_label(opened: Open, address: LedgerAddress) -> None:
    await run_on(await opened(), LANE, "a")

    with reader_of(address) as reader:
        assert reader.lanes() == [(None, LANE)]
        assert reader.of(None).lane() == LANE


async def test_a_view_closes_nothing_and_all_are_of_one_moment(opened: Open, address: LedgerAddress) -> None:
    one, other = await two_of((await opened()).ledger)
    await run_on(one, LANE, "a")
    with reader_of(address) as reader:
        with reader.of(LANE) as view:
            view.close()
        with reader.moment():
            assert len(reader.of(LANE).known(BATCH)) == 1
            await run_on(other, OTHER, "a")
            assert reader.of(OTHER).known(BATCH) == []
            assert reader.lanes() == [(label_of(LANE), LANE)]
        assert len(reader.of_target(label_of(OTHER)).known(BATCH)) == 1
        with pytest.raises(BrokenPipeError), reader.moment():
            raise BrokenPipeError  # of the caller, and no fault of the ledger
        assert reader.of(OTHER).lane() == OTHER


async def test_a_run_without_a_target_that_reached_no_lane_is_shown_for_each(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    await run_on(ledger, LANE)
    await ended_early(ledger, "run-2", 10, at_s=60)
    await ledger.close()
    one, other = await two_of((await opened(address, "run-3")).ledger)
    await pinned(other, OTHER)
    await pinned(one, LANE)

    assert await other.failing_since() is None
    with reader_of(address) as reader:
        assert [run.run_id for run in reader.of(OTHER).runs(BATCH, 5)] == ["run-2"]
        assert [run.run_id for run in reader.of(LANE).runs(BATCH, 5)] == ["run-2", RUN]


async def test_a_target_that_reached_no_lane_says_nothing_of_another(opened: Open, address: LedgerAddress) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(one, LANE)
    await ended_early(other, RUN, 10, at_s=60)
    await ledger.close()
    one, other = await two_of((await opened(address, "run-2")).ledger)
    await ended_early(one, "run-2", 10, at_s=120)
    await ended_early(other, "run-2", 10, at_s=180)

    assert [await each.failing_since() for each in (one, other)] == [T0, after(60)]
    with reader_of(address) as reader:
        for view in (reader.of(LANE), reader.of_target(label_of(LANE))):
            assert [(run.run_id, run.exit_code) for run in view.runs(BATCH, 5)] == [("run-2", 10), (RUN, 0)]
        unreached = reader.of_target(label_of(OTHER))
        assert unreached.lane() is None
        assert unreached.known(BATCH) == []
        assert [run.began_at for run in unreached.runs(BATCH, 5)] == [after(180), after(60)]

    await run_on(other, OTHER, run_id="run-3")
    with reader_of(address) as reader:
        assert [run.run_id for run in reader.of(OTHER).runs(BATCH, 5)] == ["run-3", "run-2", RUN]


async def test_two_hundred_lanes_work_at_the_same_time_and_are_committed_together(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    many = [await ledger.ledger.writer(f"t{number}/us-east-1") for number in range(LANES)]
    before = commits_of(ledger)

    memories = await asyncio.gather(*(worked(writer, number, RUN) for number, writer in enumerate(many)))

    assert memories == [LaneMemory(listed_at=None, continuous=False, doubted_before=T0)] * LANES
    assert commits_of(ledger) - before < 2 * 12  # each lane's calls one after the other, those of all lanes together
    assert rows(address, "SELECT state, count(*) FROM item GROUP BY state ORDER BY state") == [
        ("failed", LANES),
        ("processing", LANES),
    ]
    assert rows(address, "SELECT kind, count(*) FROM outcome GROUP BY kind ORDER BY kind") == [
        ("accepted", LANES),
        ("refused", LANES),
    ]
    assert rows(address, "SELECT count(*), count(DISTINCT lane_id), count(ended_at) FROM run") == [(LANES,) * 3]
    with reader_of(address) as reader, reader.moment():
        for number, (label, lane) in enumerate(reader.lanes()):
            view = reader.of(lane)
            assert label == f"t{number}/us-east-1"
            assert [row.client_token for row in view.known(BATCH)] == [f"a-{RUN}", f"b-{RUN}"]
            assert {each.started_at for each in view.attempts_after(0)} == {after(number)}
            assert [dict(run.summary or {}) for run in view.runs(BATCH, 5)] == [{"lane": number}]


async def test_one_lanes_fault_undoes_nothing_of_the_others_that_are_committed_with_it(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(one, LANE)
    await run_on(other, OTHER)

    results = await asyncio.gather(
        *(one.enlist([item(f"i{number}")], at=T0) for number in range(20)),
        other.intend("bu1-missing-1", run_id=RUN, at=T0),
        *(other.enlist([item(f"i{number}")], at=T0) for number in range(20)),
        return_exceptions=True,
    )

    assert [type(result) for result in results if result is not None] == [KeyError]
    assert rows(address, "SELECT lane_id, count(*) FROM item GROUP BY lane_id ORDER BY lane_id") == [(1, 20), (2, 20)]


async def test_a_ledger_of_one_lane_goes_on_when_its_manifest_gets_targets(
    opened: Open, address: LedgerAddress
) -> None:
    ledger = await opened()
    await run_on(ledger, LANE, "a")
    await ledger.learn([RATE])
    await ledger.close()
    one, other = await two_of((await opened(address, "run-2")).ledger)

    assert await one.rates() == []
    assert (await pinned(one, LANE)).continuous
    assert not (await pinned(other, OTHER)).continuous

    assert await one.rates() == [RATE]
    assert [row.attachment_id for row in await one.known(BATCH)] == ["att-us-east-1-a"]
    assert await other.known(BATCH) == []


async def test_each_lane_follows_on_its_own_last_run(opened: Open, address: LedgerAddress) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(one, LANE)
    await pinned(other, OTHER)
    await ledger.close()
    ledger = await opened(address, "run-2")
    one, other = await two_of(ledger.ledger)
    await run_on(other, OTHER, run_id="run-2")

    assert (await pinned(one, LANE)).continuous
    await ledger.close()
    one, other = await two_of((await opened(address, "run-3")).ledger)
    assert (await pinned(one, LANE)).continuous
    assert (await pinned(other, OTHER)).continuous
