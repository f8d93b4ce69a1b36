"""The fence: who writes to a lane that was taken over is refused, whatever else is in the group."""

import asyncio
import threading
from collections.abc import Awaitable

import pytest

from batch_upload.errors import LaneLost, LedgerAway
from batch_upload.ledger.driver import Database
from batch_upload.ledger.store import LaneWriter
from batch_upload.model import Lane, OutcomeKind, State
from tests.support.controllers import Controller, controller, database_of, lane_rows, lapse
from tests.support.postgres import PostgresServer
from tests.unit.ledger.samples import BATCH, LANE, NO_ANSWER, T0, accepted, ended, item

LANES = {"acme/us-east-1": LANE, "beta/eu-west-1": Lane("999999999999", "eu-west-1")}
ACME, BETA = LANES


async def began(opened: Controller, run_id: str, target: str = ACME) -> LaneWriter:
    """A run that has a lane, with two items to send."""
    writer = await opened.writer(target)
    await writer.pin(LANES[target], endpoint="https://sms-voice.example", at=T0)
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.enlist([item("a"), item("b")], at=T0)
    return writer


async def in_one_group(opened: Controller, *writes: Awaitable[object]) -> list[object]:
    """Hand writes over while the thread is held up, so that they are committed together; return how each ended."""
    loop, held, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(_db: Database) -> None:
        loop.call_soon_threadsafe(held.set)
        go_on.wait(10)

    holding = asyncio.ensure_future(opened.thread.read(hold))
    await held.wait()
    handed_over = [asyncio.ensure_future(each) for each in writes]
    await asyncio.sleep(0)
    go_on.set()
    await holding
    return list(await asyncio.gather(*handed_over, return_exceptions=True))


async def test_the_first_write_of_a_stale_holder_is_refused_and_changes_nothing(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        stale = await began(one, "run-1")
        attempt = await stale.intend("bu1-a-1", run_id="run-1", at=T0)
        lapse(postgres, url)
        await began(other, "run-2")
        before = lane_rows(postgres, url, "lane")

        for write in (
            stale.intend("bu1-b-1", run_id="run-1", at=T0),
            stale.conclude(attempt, accepted()),
            stale.end_run("run-1", exit_code=0, summary={}, at=T0),
        ):
            with pytest.raises(LaneLost, match=r"another run has taken over lane 123456789012/us-east-1 .* run run-2"):
                await write

        with pytest.raises(LaneLost):
            stale.may_send_until()
        assert lane_rows(postgres, url, "lane") == before
        assert [row.state for row in await stale.known(BATCH)] == [State.SENDING, State.PENDING]


async def test_what_the_stale_holder_left_open_the_new_one_concludes_once(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        stale = await began(one, "run-1")
        left = await stale.intend("bu1-a-1", run_id="run-1", at=T0)
        lapse(postgres, url)
        new = await began(other, "run-2")

        assert [row.client_token for row in await new.open_intents()] == ["bu1-a-1"]
        attempt = await new.intend("bu1-a-1", run_id="run-2", at=T0)
        await new.conclude(attempt, accepted())
        with pytest.raises(LaneLost):
            await stale.conclude(left, ended(OutcomeKind.UNKNOWN))

        assert attempt.number == 2
        assert [row.state for row in await new.known(BATCH)] == [State.PROCESSING, State.PENDING]


async def test_of_a_group_the_lanes_that_were_not_taken_over_are_written(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        acme, beta = await began(one, "run-1"), await began(one, "run-1", BETA)
        lapse(postgres, url)
        await began(other, "run-2")
        (before,) = (row[0] for row in lane_rows(postgres, url, "commit_no")[1:])

        lost, kept, read = await in_one_group(
            one,
            acme.intend("bu1-a-1", run_id="run-1", at=T0),
            beta.intend("bu1-a-1", run_id="run-1", at=T0),
            acme.known(BATCH),
        )

        assert isinstance(lost, LaneLost)
        assert not isinstance(kept, BaseException)
        assert not isinstance(read, BaseException)
        assert [row.state for row in await acme.known(BATCH)] == [State.PENDING] * 2
        assert [row.state for row in await beta.known(BATCH)] == [State.SENDING, State.PENDING]
        assert lane_rows(postgres, url, "commit_no")[1] == (before + 1,)


async def test_of_a_group_with_a_lost_lane_a_job_that_fails_fails_alone(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        acme, beta = await began(one, "run-1"), await began(one, "run-1", BETA)
        lapse(postgres, url)
        await began(other, "run-2")

        ends = await in_one_group(
            one,
            acme.intend("bu1-a-1", run_id="run-1", at=T0),
            beta.intend("bu1-nobody", run_id="run-1", at=T0),
            beta.intend("bu1-b-1", run_id="run-1", at=T0),
        )

        assert [type(each).__name__ for each in ends] == ["LaneLost", "KeyError", "Attempt"]
        assert [row.state for row in await beta.known(BATCH)] == [State.PENDING, State.SENDING]


async def test_a_take_over_while_a_group_is_under_way_waits_for_it_and_sees_what_it_wrote(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2", wait_lane_s=30) as other:
        holder = await began(one, "run-1")
        loop, inside, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        lane_id = one.store.lanes[ACME]

        def slow(db: Database) -> None:
            db.execute("UPDATE item SET size_bytes = 7 WHERE lane_id = %s", [lane_id])
            loop.call_soon_threadsafe(inside.set)
            go_on.wait(10)

        writing = asyncio.ensure_future(one.thread.write(slow, lane_id))
        await inside.wait()
        taking = asyncio.ensure_future(began(other, "run-2"))
        for _ in range(20):  # the row is locked: nobody takes it, whatever its lease says
            await asyncio.sleep(0.01)
            assert not taking.done()
        go_on.set()
        await writing
        lapse(postgres, url)
        await taking

        with pytest.raises(LaneLost):
            await holder.fail("bu1-a-1", NO_ANSWER, at=T0)
        assert postgres.execute("SELECT DISTINCT size_bytes FROM item", database_of(url)) == [(7,)]


async def test_the_number_of_commits_counts_the_groups_that_wrote(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one:
        writer = await began(one, "run-1")
        ((before,),) = lane_rows(postgres, url, "commit_no")

        await in_one_group(one, *(writer.intend(f"bu1-{name}-1", run_id="run-1", at=T0) for name in "ab"))
        await writer.known(BATCH)
        with pytest.raises(KeyError):
            await writer.intend("bu1-nobody", run_id="run-1", at=T0)
        await writer.fail("bu1-a-1", NO_ANSWER, at=T0)

        # both intents in one; the job that failed alone was undone, and its transaction was committed
        assert lane_rows(postgres, url, "commit_no") == [(before + 3,)]


async def test_two_holders_of_one_fence_number_never_both_write(url: str, postgres: PostgresServer) -> None:
    """A failover that lost a take-over gives its fence number out once more."""
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        stale = await began(one, "run-1")
        postgres.execute(
            "UPDATE lane SET fence = 0, commit_no = 0, holder = NULL, lease_until = NULL", database_of(url)
        )
        new = await began(other, "run-2")
        assert lane_rows(postgres, url, "fence") == [(1,)]

        with pytest.raises(LaneLost):
            await stale.fail("bu1-a-1", NO_ANSWER, at=T0)

        await new.fail("bu1-a-1", NO_ANSWER, at=T0)


async def test_a_lane_whose_commits_went_back_is_written_no_more_and_not_trusted_by_the_next_run(
    url: str, postgres: PostgresServer
) -> None:
    """As behind a pooler, which hides that the server was replaced by one that lagged behind."""
    async with controller(url, "run-1") as one:
        writer, beta = await began(one, "run-1"), await began(one, "run-1", BETA)
        await writer.listed(at=T0)
        await beta.listed(at=T0)
        postgres.execute("UPDATE lane SET commit_no = commit_no - 1 WHERE region = 'us-east-1'", database_of(url))

        for _ in range(2):
            with pytest.raises(LedgerAway, match="has lost what was committed to lane 123456789012/us-east-1") as error:
                await writer.intend("bu1-a-1", run_id="run-1", at=T0)
            assert error.value.exit_code == 10
        with pytest.raises(LedgerAway):
            writer.may_send_until()
        await beta.intend("bu1-a-1", run_id="run-1", at=T0)
        assert [row.state for row in await writer.known(BATCH)] == [State.PENDING] * 2

    async with controller(url, "run-2") as other:
        acme, beta = await other.writer(ACME), await other.writer(BETA)
        assert (await acme.pin(LANE, endpoint="e", at=T0)).continuous is False
        assert (await beta.pin(LANES[BETA], endpoint="e", at=T0)).continuous is True
