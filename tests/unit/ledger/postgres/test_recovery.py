"""The connection is lost: before a COMMIT, in it, after it; for a moment, or for longer than a run waits."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from batch_upload.errors import LaneLost, LedgerAway, LedgerUnusable
from batch_upload.ledger.store import LaneWriter
from batch_upload.ledger.tables import utc_text
from batch_upload.model import State
from tests.support.controllers import (
    Controller,
    controller,
    database_of,
    lane_rows,
    lapse,
    open_controller,
    through,
    wait_until,
)
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres, running_standby
from tests.support.tcp_proxy import Cut, Message, TcpProxy, commit_asked, commit_done, running_proxy
from tests.unit.ledger.samples import BATCH, LANE, NO_ANSWER, T0, accepted, item

CUTS = 60


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with running_proxy(postgres.port) as found:
        yield found


async def began(opened: Controller, run_id: str, *ids: str) -> LaneWriter:
    """A run that has a lane, with items to send."""
    writer = await opened.writer()
    await writer.pin(LANE, endpoint="https://sms-voice.example", at=T0)
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.enlist([item(each) for each in ids or ("a", "b")], at=T0)
    return writer


def once(cut: Cut) -> Cut:
    """Cut at the first message of a kind, and at no other."""
    left = [cut]

    def is_first(message: Message) -> bool:
        if not left or not left[0](message):
            return False
        left.clear()
        return True

    return is_first


@pytest.mark.parametrize("where", ["before", "asked", "answered", "after"])
async def test_a_commit_that_was_cut_off_is_decided_right(
    url: str, postgres: PostgresServer, proxy: TcpProxy, where: str
) -> None:
    """Each intent is written exactly once, whether its COMMIT arrived or not, and whether its answer came or not."""
    ids = [f"i{number}" for number in range(CUTS)]
    async with controller(through(url, proxy.port), "run-1") as one:
        writer = await began(one, "run-1", *ids)
        ((before,),) = lane_rows(postgres, url, "commit_no")

        for each in ids:
            if where == "before":
                proxy.cut_before(once(commit_asked))
            elif where == "asked":
                proxy.cut_after(once(commit_asked))
            elif where == "answered":
                proxy.cut_before(once(commit_done))
            else:
                proxy.cut_after(once(commit_done))
            attempt = await writer.intend(f"bu1-{each}-1", run_id="run-1", at=T0)
            proxy.spare()
            assert attempt.number == 1

        assert proxy.cuts == CUTS
        assert lane_rows(postgres, url, "commit_no") == [(before + CUTS,)]
        assert postgres.execute("SELECT count(*) FROM attempt", database_of(url)) == [(CUTS,)]


async def test_a_take_whose_commit_was_cut_off_is_taken_by_its_own_process(
    url: str, postgres: PostgresServer, proxy: TcpProxy
) -> None:
    async with controller(through(url, proxy.port), "run-1") as one:
        for number in range(10):
            writer = await one.writer()
            proxy.cut_before(once(commit_done))
            await writer.pin(LANE, endpoint="e", at=T0)
            proxy.spare()
            await writer.begin_run(f"run-{number}", verb="upload", batch=BATCH, at=T0)
            await writer.release()

    assert len(lane_rows(postgres, url, "lane_id")) == 1


async def test_rows_that_a_process_added_and_was_stopped_before_its_commit_hold_up_no_other_process(url: str) -> None:
    """It had sent its statements as a pipeline, which no time-out of the server's ends."""
    added = "INSERT INTO lane (account, region, endpoint, pinned_at) VALUES (%s, %s, 'e', %s) RETURNING lane_id"
    async with controller(url, "run-2", ttl_s=0.3) as other:
        with (
            psycopg.connect(url, autocommit=True, application_name="batch-upload/1") as stopped,
            suppress(psycopg.OperationalError),
            stopped.pipeline(),
        ):
            stopped.execute("BEGIN")
            stopped.execute(added, [LANE.account, LANE.region, utc_text(T0)]).fetchall()

            await began(other, "run-2")

        assert stopped.broken


async def test_a_lane_that_was_taken_over_while_a_commit_was_in_doubt_is_lost(
    url: str, postgres: PostgresServer, proxy: TcpProxy
) -> None:
    async with controller(through(url, proxy.port), "run-1") as one, controller(url, "run-2") as other:
        writer = await began(one, "run-1")

        def cut(message: Message) -> bool:
            if not commit_done(message):
                return False
            proxy.target = 1  # nobody listens there: there is no way back until the other has the lane
            return True

        proxy.cut_before(cut)
        intending = asyncio.ensure_future(writer.intend("bu1-a-1", run_id="run-1", at=T0))
        await wait_until(lambda: proxy.cuts == 1)
        proxy.spare()
        lapse(postgres, url)
        await began(other, "run-2")
        proxy.target = postgres.port

        with pytest.raises(LaneLost, match="run run-2"):
            await intending


@pytest.mark.usefixtures("postgres")  # is skipped where there is none
async def test_a_server_that_crashes_and_comes_back_costs_no_write() -> None:
    with running_postgres() as server:
        url = server.new_database("fleet")
        ids = [f"i{number}" for number in range(30)]
        async with controller(url, "run-1", reconnect_s=30.0) as one:
            writer = await began(one, "run-1", *ids)
            ((before,),) = lane_rows(server, url, "commit_no")

            async def upload(item_id: str) -> None:
                attempt = await writer.intend(f"bu1-{item_id}-1", run_id="run-1", at=T0)
                await writer.conclude(attempt, accepted(f"att-{item_id}"))

            for number, each in enumerate(ids):
                if number % 10 == 5:
                    working = asyncio.ensure_future(upload(each))
                    await asyncio.sleep(0)
                    await asyncio.to_thread(server.crash)
                    await asyncio.to_thread(server.start)
                    await working
                else:
                    await upload(each)

            assert {row.state for row in await writer.known(BATCH)} == {State.PROCESSING}
            assert lane_rows(server, url, "commit_no") == [(before + 60,)]


async def test_while_the_database_is_away_the_right_to_send_lapses_and_comes_back_with_it(
    url: str, proxy: TcpProxy
) -> None:
    async with controller(through(url, proxy.port), "run-1", ttl_s=0.6) as one:
        writer = await began(one, "run-1")
        proxy.refuse()
        clock = one.store.clock
        await wait_until(lambda: clock.monotonic() >= writer.may_send_until())
        intending = asyncio.ensure_future(writer.intend("bu1-a-1", run_id="run-1", at=T0))
        await asyncio.sleep(0.05)
        assert not intending.done()

        proxy.admit()
        await intending

        assert clock.monotonic() < writer.may_send_until()


async def test_a_database_that_stays_away_ends_all_writing_with_a_sentence_and_exit_10(
    url: str, proxy: TcpProxy
) -> None:
    one = await open_controller(through(url, proxy.port), "run-1", reconnect_s=0.2)
    writer = await began(one, "run-1")
    proxy.refuse()

    with pytest.raises(LedgerAway, match=r"the database of `postgresql:.*` has not answered for 0 s: ") as away:
        await writer.intend("bu1-a-1", run_id="run-1", at=T0)

    assert away.value.exit_code == 10
    assert "run the same command again" in away.value.hint
    with pytest.raises(LedgerAway):
        await writer.intend("bu1-b-1", run_id="run-1", at=T0)
    with pytest.raises(LedgerAway):
        writer.may_send_until()
    await one.store.close()


async def test_a_database_that_goes_away_while_nothing_is_written_is_noticed(url: str, proxy: TcpProxy) -> None:
    one = await open_controller(through(url, proxy.port), "run-1", ttl_s=0.3, reconnect_s=0.2)
    writer = await began(one, "run-1")
    proxy.refuse()

    with pytest.raises(LedgerAway):
        await wait_until(lambda: writer.may_send_until() == 0)

    await one.store.close()


async def test_a_run_that_is_being_ended_waits_only_some_seconds_for_the_database(url: str, proxy: TcpProxy) -> None:
    one = await open_controller(through(url, proxy.port), "run-1", reconnect_s=1_000.0, ending_s=0.1)
    writer = await began(one, "run-1")
    proxy.refuse()
    intending = asyncio.ensure_future(writer.intend("bu1-a-1", run_id="run-1", at=T0))
    await asyncio.sleep(0.05)

    one.store.hurry()

    with pytest.raises(LedgerAway):
        await intending
    await one.store.close()


async def test_at_the_deadline_of_a_run_the_database_is_waited_for_only_some_seconds(url: str, proxy: TcpProxy) -> None:
    one = await open_controller(through(url, proxy.port), "run-1", reconnect_s=1_000.0, ending_s=0.1)
    one.store.hurry(0.3)
    writer = await began(one, "run-1")
    proxy.refuse()

    with pytest.raises(LedgerAway):
        await writer.intend("bu1-a-1", run_id="run-1", at=T0)
    await one.store.close()


async def test_behind_a_pooler_leases_and_fences_hold_and_a_cut_commit_is_decided(
    url: str, postgres: PostgresServer
) -> None:
    """pgbouncer in transaction mode: each transaction may have another connection."""
    ids = [f"i{number}" for number in range(20)]
    with running_pgbouncer(postgres) as pooler, running_proxy(pooler.port) as proxy:
        wire = through(url, proxy.port)
        async with controller(wire, "run-1") as one, controller(wire, "run-2") as other:
            writer = await began(one, "run-1", *ids)
            ((before,),) = lane_rows(postgres, url, "commit_no")
            for number, each in enumerate(ids):
                cut = once(commit_asked if number % 2 else commit_done)
                (proxy.cut_after if number % 3 else proxy.cut_before)(cut)
                await writer.intend(f"bu1-{each}-1", run_id="run-1", at=T0)
                proxy.spare()
            assert lane_rows(postgres, url, "commit_no") == [(before + len(ids),)]
            assert postgres.execute("SELECT count(*) FROM attempt", database_of(url)) == [(len(ids),)]

            lapse(postgres, url)
            await began(other, "run-2", *ids)
            with pytest.raises(LaneLost):
                await writer.fail("bu1-i0-1", NO_ANSWER, at=T0)


async def test_an_error_that_does_not_pass_is_not_waited_out(url: str, postgres: PostgresServer) -> None:
    one = await open_controller(url, "run-1", reconnect_s=1_000.0)
    writer = await began(one, "run-1")
    postgres.execute("ALTER TABLE attempt RENAME TO gone", database_of(url))

    with pytest.raises(LedgerUnusable) as refused:
        await writer.intend("bu1-a-1", run_id="run-1", at=T0)

    assert refused.value.exit_code == 24
    await one.store.close()


async def test_a_lock_that_another_program_holds_is_waited_out(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1", reconnect_s=60.0) as one:
        writer = await began(one, "run-1")
        with psycopg.connect(url) as other:
            other.execute("SELECT FROM item WHERE client_token = 'bu1-a-1' FOR UPDATE")
            intending = asyncio.ensure_future(writer.intend("bu1-a-1", run_id="run-1", at=T0))
            await asyncio.sleep(0.1)
            assert not intending.done()

        await intending


@pytest.mark.usefixtures("postgres")  # is skipped where there is none
async def test_a_promoted_standby_that_lagged_behind_ends_the_lane_and_is_not_trusted_by_the_next_run() -> None:
    with running_postgres() as primary:
        url = primary.new_database("fleet")
        with running_standby(primary) as standby, running_proxy(primary.port) as proxy:
            wire = through(url, proxy.port)
            async with controller(wire, "run-1", reconnect_s=30.0) as one:
                writer = await began(one, "run-1")
                await writer.listed(at=T0)
                await asyncio.to_thread(primary.wait_for, standby)
                await asyncio.to_thread(standby.stop_following)
                await writer.intend("bu1-a-1", run_id="run-1", at=T0)
                await asyncio.to_thread(primary.crash)
                await asyncio.to_thread(standby.promote)
                proxy.target = standby.port

                with pytest.raises(LedgerAway, match="has lost what was committed"):
                    await writer.fail("bu1-b-1", NO_ANSWER, at=T0)
                with pytest.raises(LedgerAway):
                    writer.may_send_until()

            async with controller(wire, "run-2") as other:
                again = await other.writer()
                assert (await again.pin(LANE, endpoint="e", at=T0)).continuous is False


@pytest.mark.usefixtures("postgres")  # is skipped where there is none
async def test_a_promoted_standby_that_has_everything_is_gone_on_with() -> None:
    with running_postgres() as primary:
        url = primary.new_database("fleet")
        with running_standby(primary) as standby, running_proxy(primary.port) as proxy:
            async with controller(through(url, proxy.port), "run-1", reconnect_s=30.0) as one:
                writer = await began(one, "run-1")
                await asyncio.to_thread(primary.wait_for, standby)
                await asyncio.to_thread(primary.crash)
                await asyncio.to_thread(standby.promote)
                proxy.target = standby.port

                await writer.intend("bu1-a-1", run_id="run-1", at=T0)

                assert [row.state for row in await writer.known(BATCH)] == [State.SENDING, State.PENDING]


async def test_a_write_that_fails_again_and_again_while_the_database_answers_is_given_up_in_time(
    url: str, postgres: PostgresServer
) -> None:
    one = await open_controller(url, "run-1", reconnect_s=0.2)
    writer = await began(one, "run-1")
    postgres.execute(
        "CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'canceling statement due to lock timeout' USING ERRCODE = '55P03'; END $$",
        database_of(url),
    )
    postgres.execute(
        "CREATE TRIGGER busy BEFORE INSERT ON attempt FOR EACH STATEMENT EXECUTE FUNCTION busy()", database_of(url)
    )

    with pytest.raises(LedgerAway, match=r"has not carried out a write for 0 s: .*lock timeout") as away:
        await asyncio.wait_for(writer.intend("bu1-a-1", run_id="run-1", at=T0), 15)

    assert away.value.exit_code == 10
    await asyncio.wait_for(one.store.close(), 15)


async def test_a_commit_whose_wait_for_a_standby_is_cut_off_counts_as_done_once() -> None:
    """PostgreSQL has committed it here, and says so with a warning."""
    with running_postgres() as server:
        url = server.new_database("no_standby")
        async with controller(url, "run-1") as one:
            writer = await began(one, "run-1", "a")
            server.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
            server.execute("SELECT pg_reload_conf()")
            server.wait_until("SELECT current_setting('synchronous_standby_names') = 'gone'")
            ((before,),) = lane_rows(server, url, "commit_no")
            waits = "FROM pg_stat_activity WHERE datname = 'no_standby' AND wait_event = 'SyncRep'"
            writing = asyncio.ensure_future(writer.enlist([item("b")], at=T0))
            await wait_until(lambda: server.execute(f"SELECT count(*) {waits}") == [(1,)])
            server.execute(f"SELECT pg_cancel_backend(pid) {waits}")
            await writing
            after = lane_rows(server, url, "commit_no")
            server.execute("ALTER SYSTEM RESET synchronous_standby_names")
            server.execute("SELECT pg_reload_conf()")
            known = await writer.known(BATCH)
        log = server.log()

    assert "canceling wait for synchronous replication" in log
    assert after == [(before + 1,)]
    assert [each.item_id for each in known] == ["a", "b"]
