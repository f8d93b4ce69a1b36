"""A lane of a database is one process's at a time: taken, waited for, refused, taken over, given back."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime

import anyio
import psycopg
import pytest

from batch_upload.clock import SystemClock
from batch_upload.errors import LaneLost, LedgerLocked
from batch_upload.ledger.driver import Database
from batch_upload.ledger.postgres.lease import stretch_of, stretch_text
from batch_upload.ledger.store import LaneWriter
from batch_upload.model import Lane
from batch_upload.moments import Moment, Stretch
from batch_upload.ports import LaneMemory
from batch_upload.records import RateRecord
from tests.support.controllers import Controller, controller, database_of, lane_rows, lapse, wait_until
from tests.support.postgres import PostgresServer
from tests.unit.ledger.samples import BATCH, LANE, NO_ANSWER, T0, item

OTHER = Lane("999999999999", "eu-west-1")


async def pinned(writer: LaneWriter, lane: Lane = LANE) -> LaneMemory:
    return await writer.pin(lane, endpoint="https://sms-voice.example", at=T0)


async def began(opened: Controller, run_id: str, lane: Lane = LANE, target: str = "acme/us-east-1") -> LaneWriter:
    """A run that has a lane, with an item to send."""
    writer = await opened.writer(target)
    await pinned(writer, lane)
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.enlist([item("a")], at=T0)
    return writer


async def test_a_lane_that_another_process_holds_is_refused_with_who_holds_it(url: str) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        await began(one, "run-1")

        with pytest.raises(LedgerLocked) as refused:
            await pinned(await other.writer())

    assert refused.value.exit_code == 11
    assert refused.value.message.startswith(
        "another run holds lane 123456789012/us-east-1 of `the ledger`: run run-1, process "
    )
    assert refused.value.pid is not None
    assert refused.value.host is not None
    assert refused.value.since is not None
    assert abs((datetime.now(UTC) - refused.value.since).total_seconds()) < 60


async def test_another_lane_of_the_same_ledger_is_free(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        await began(one, "run-1")

        await began(other, "run-2", OTHER, "beta/eu-west-1")

        assert lane_rows(postgres, url, "account, run_id, fence") == [
            ("123456789012", "run-1", 1),
            ("999999999999", "run-2", 1),
        ]


async def test_a_lane_is_waited_for_as_long_as_was_asked_for(url: str) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2", wait_lane_s=30) as other:
        holder = await began(one, "run-1")
        waiting = asyncio.ensure_future(pinned(await other.writer()))
        await holder.fail("bu1-a-1", NO_ANSWER, at=T0)
        assert not waiting.done()

        await holder.release()

        assert (await waiting).continuous is False


async def test_a_lane_that_was_given_back_is_free_at_once(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        holder = await began(one, "run-1")
        await holder.release()
        await holder.release()

        await pinned(await other.writer())

        assert holder.may_send_until() < 0
        with pytest.raises(LaneLost):
            await holder.enlist([item("b")], at=T0)
        assert lane_rows(postgres, url, "fence, run_id") == [(2, "run-2")]


async def test_a_ledger_that_is_closed_gives_all_its_lanes_back(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one:
        await began(one, "run-1")
        await began(one, "run-1", OTHER, "beta/eu-west-1")

    assert lane_rows(postgres, url, "lease_until") == [(None,), (None,)]


async def test_a_lapsed_lane_is_taken_over_with_a_higher_fence_and_another_holder(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        await began(one, "run-1")
        (first,) = lane_rows(postgres, url, "fence, holder")
        lapse(postgres, url)

        await pinned(await other.writer())

        (second,) = lane_rows(postgres, url, "fence, holder")
        assert (first[0], second[0]) == (1, 2)
        assert first[1] != second[1]


async def test_a_holder_whose_lease_lapsed_and_whose_lane_is_not_taken_goes_on(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        holder = await began(one, "run-1")
        lapse(postgres, url)

        await holder.enlist([item("b")], at=T0)

        with pytest.raises(LedgerLocked):
            await pinned(await other.writer())
        assert len(await holder.known(BATCH)) == 2


async def test_of_two_that_take_a_lane_at_the_same_moment_one_has_it(url: str, postgres: PostgresServer) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        writers = [await one.writer(), await other.writer()]

        for _ in range(20):
            taken = await asyncio.gather(*map(pinned, writers), return_exceptions=True)

            assert sorted(type(each).__name__ for each in taken) == ["LaneMemory", "LedgerLocked"]
            for writer in writers:
                await writer.release()
        assert len(lane_rows(postgres, url, "lane_id")) == 1


async def test_without_writes_the_lease_is_renewed_and_the_right_to_send_moves_on(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1", ttl_s=0.3) as one:
        holder = await began(one, "run-1")
        (before,) = lane_rows(postgres, url, "lease_until, commit_no")
        until = holder.may_send_until()

        await wait_until(lambda: holder.may_send_until() != until)

        (after,) = lane_rows(postgres, url, "lease_until, commit_no")
        assert holder.may_send_until() > until
        assert after[0] > before[0]
        assert after[1] == before[1]


async def test_a_lapsed_lane_that_a_transaction_of_another_role_has_locked_is_refused_with_what_to_do(
    url: str, postgres: PostgresServer
) -> None:
    with suppress(psycopg.errors.DuplicateObject):
        postgres.execute("CREATE ROLE fleet_stranger LOGIN SUPERUSER")
    async with controller(url, "run-1") as one:
        await began(one, "run-1")
    async with controller(url, "run-2") as other:
        with psycopg.connect(postgres.url(database_of(url), "fleet_stranger")) as stranger:
            stranger.execute("SELECT FROM lane FOR UPDATE")
            with pytest.raises(LedgerLocked) as refused:
                await pinned(await other.writer())
            pid = stranger.info.backend_pid

    assert "a transaction of role `fleet_stranger` holds a lock" in refused.value.hint
    assert f"`SELECT pg_terminate_backend({pid})`" in refused.value.hint


async def test_a_lane_whose_row_is_locked_holds_up_the_renewal_of_no_other(url: str) -> None:
    async with controller(url, "run-1", ttl_s=3.0) as one:
        await began(one, "run-1")
        await began(one, "run-1", OTHER, "beta/eu-west-1")
        with psycopg.connect(url) as foreign:
            foreign.execute("SELECT FROM lane WHERE account = '123456789012' FOR UPDATE")
            [(locked,)] = foreign.execute("SELECT lane_id FROM lane WHERE account = '123456789012'").fetchall()
            [(other,)] = foreign.execute("SELECT lane_id FROM lane WHERE account <> '123456789012'").fetchall()
            at_lock = one.leases.may_send_until(locked)
            ends = [one.leases.may_send_until(other)]
            while len(ends) < 5:
                await wait_until(lambda: one.leases.may_send_until(other) > ends[-1])
                assert ends[-1] > time.monotonic() - 1.0, "the other lane's right to send had ended"
                ends.append(one.leases.may_send_until(other))
            assert one.leases.may_send_until(locked) == at_lock

        await wait_until(lambda: one.leases.may_send_until(locked) > at_lock)


async def test_a_lane_without_writes_is_renewed_while_another_lane_of_its_process_writes_all_the_time(url: str) -> None:
    async with controller(url, "run-1", ttl_s=0.3) as one:
        idle, busy = await began(one, "run-1"), await began(one, "run-1", OTHER, "beta/eu-west-1")
        until = idle.may_send_until()

        with anyio.fail_after(20):
            while idle.may_send_until() == until:
                await asyncio.gather(*(busy.enlist([item("a")], at=T0) for _ in range(4)))

        assert idle.may_send_until() > until


async def test_while_the_event_loop_stands_still_the_lease_lapses_and_another_process_takes_the_lane(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1", ttl_s=0.3) as one, controller(url, "run-2") as other:
        holder = await began(one, "run-1")

        stands_still_until = time.monotonic() + 20
        while lane_rows(postgres, url, "lease_until < clock_timestamp()") != [(True,)]:
            assert time.monotonic() < stands_still_until, "the lease was renewed by a process whose loop stands still"
        postgres.execute("UPDATE lane SET holder = gen_random_uuid(), fence = fence + 1", database_of(url))

        with pytest.raises(LaneLost):
            await holder.intend("bu1-a-1", run_id="run-1", at=T0)
        lapse(postgres, url)
        await pinned(await other.writer())


async def test_when_the_event_loop_goes_on_in_time_the_lease_is_renewed_again(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1", ttl_s=0.3) as one:
        holder = await began(one, "run-1")
        while lane_rows(postgres, url, "lease_until < clock_timestamp()") != [(True,)]:
            pass

        await wait_until(lambda: one.store.clock.monotonic() < holder.may_send_until())

        await holder.intend("bu1-a-1", run_id="run-1", at=T0)


async def test_the_right_to_send_ends_a_third_of_the_lease_before_the_lease(url: str) -> None:
    clock = SystemClock()
    async with controller(url, "run-1") as one:
        writer = await one.writer()
        assert writer.may_send_until() == float("inf")
        before = clock.monotonic()
        await pinned(writer)
        after = clock.monotonic()

        assert before + 20 <= writer.may_send_until() <= after + 20


async def test_a_renewal_that_finds_the_lane_taken_over_ends_the_right_to_send(
    url: str, postgres: PostgresServer
) -> None:
    async with controller(url, "run-1", ttl_s=0.3) as one, controller(url, "run-2") as other:
        holder = await began(one, "run-1")
        lane = await other.writer()
        while True:
            lapse(postgres, url)
            try:
                await pinned(lane)
                break
            except LedgerLocked:  # it was renewed in between
                continue

        with pytest.raises(LaneLost, match="run run-2"):
            await wait_until(lambda: holder.may_send_until() == 0)


async def test_a_lane_of_a_first_run_is_not_continuous_and_that_of_the_next_one_is(url: str) -> None:
    async with controller(url, "run-1") as one:
        writer = await one.writer()
        assert (await pinned(writer)).continuous is False
        await writer.begin_run("run-1", verb="upload", batch=BATCH, at=T0)
        await writer.listed(at=T0)

    async with controller(url, "run-2") as other:
        assert (await pinned(await other.writer())).continuous is True


async def test_a_run_that_ended_before_it_listed_the_lane_founds_no_trust(url: str) -> None:
    async with controller(url, "run-1") as one:
        await began(one, "run-1")

    async with controller(url, "run-2") as other:
        assert (await pinned(await other.writer())).continuous is False


@pytest.mark.parametrize("changed", ["UPDATE lane SET system_id = 'another'", "UPDATE lane SET timeline = '00000009'"])
async def test_on_another_server_than_the_noted_one_the_lane_is_not_continuous(
    url: str, postgres: PostgresServer, changed: str
) -> None:
    async with controller(url, "run-1") as one:
        await (await began(one, "run-1")).listed(at=T0)
    postgres.execute(changed, database_of(url))

    async with controller(url, "run-2") as other:
        writer = await other.writer()
        assert (await pinned(writer)).continuous is False
        await writer.begin_run("run-2", verb="upload", batch=BATCH, at=T0)
    async with controller(url, "run-3") as third:
        writer = await third.writer()
        assert (await pinned(writer)).continuous is False, "it counts only once the lane was listed"
        await writer.begin_run("run-3", verb="upload", batch=BATCH, at=T0)
        await writer.listed(at=T0)
    async with controller(url, "run-4") as fourth:
        assert (await pinned(await fourth.writer())).continuous is True


class OnMachine(SystemClock):
    """The clock of another machine, whose counting clock has counted for longer."""

    def __init__(self, name: str, counted_s: float = 0.0) -> None:
        self._name = name
        self._counted_s = counted_s

    def machine(self) -> str:
        return self._name

    def monotonic(self) -> float:
        return super().monotonic() + self._counted_s


async def test_on_the_same_machine_the_stretch_of_a_lane_goes_on(url: str) -> None:
    stretches = []
    for run_id in ("run-1", "run-2"):
        async with controller(url, run_id, clock=OnMachine("boot one")) as one:
            writer = await began(one, run_id)
            await writer.listed(at=T0)
            stretches.append(writer.stretch)

    assert stretches[0] == stretches[1]


async def test_a_take_over_on_another_machine_begins_a_new_stretch_of_that_lane_alone(
    url: str, postgres: PostgresServer
) -> None:
    here, there = OnMachine("boot one"), OnMachine("boot two", 1_000_000)
    async with (
        controller(url, "run-1", clock=here) as one,
        controller(url, "run-2", clock=there) as other,
    ):
        first = await began(one, "run-1")
        kept = await began(one, "run-1", OTHER, "beta/eu-west-1")
        before = kept.stretch
        sent_at = here.now()
        await first.intend("bu1-a-1", run_id="run-1", at=sent_at)
        postgres.execute(
            "UPDATE lane SET lease_until = clock_timestamp() - interval '1 s' WHERE region = 'us-east-1'",
            database_of(url),
        )

        taken = await began(other, "run-2")

        assert taken.stretch.machine == "boot two"
        assert taken.stretch.latest_before == sent_at
        assert not taken.stretch.is_comparable(sent_at)
        assert kept.stretch == before
        assert lane_rows(postgres, url, "stretch ->> 'machine'") == [("boot two",), ("boot one",)]


def test_a_stretch_is_read_as_it_was_noted() -> None:
    began_at = Moment(datetime(2026, 11, 27, 9, 30, 1, 123_456, tzinfo=UTC), 12_345.678_9)
    for latest in (None, datetime(2026, 11, 27, 9, 29, tzinfo=UTC)):
        stretch = Stretch("boot one", began_at, latest)

        assert stretch_of(stretch_text(stretch)) == stretch
    assert stretch_of(None) is None


async def test_a_run_that_is_cancelled_while_it_takes_a_lane_does_not_keep_it(url: str) -> None:
    """The process goes on with other lanes, and renews what it holds as long as it lives."""
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        writer = await one.writer()
        pinning = asyncio.ensure_future(pinned(writer))
        await asyncio.sleep(0)  # the job is with the thread, and its answer is not here
        pinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pinning
        await writer.release()

        await began(other, "run-2")


async def test_a_lane_that_is_given_back_and_taken_in_one_transaction_is_held(url: str) -> None:
    async with controller(url, "run-1") as one:
        writer = await began(one, "run-1")
        lane_id = one.store.lanes["acme/us-east-1"]

        def again(db: Database) -> None:
            one.leases.give_back(db, lane_id)
            one.leases.take(db, lane_id)

        await one.thread.write(again)

        await writer.intend("bu1-a-1", run_id="run-1", at=T0)


async def test_a_lane_that_was_refused_to_one_target_is_free_for_another_target_of_the_same_lane(url: str) -> None:
    """As in a worker that gets lanes of two manifests, whose names for an account differ."""
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        holder = await began(other, "run-2")
        with pytest.raises(LedgerLocked):
            await pinned(await one.writer("acme/us-east-1"))
        await holder.release()

        await pinned(await one.writer("brand/us-east-1"))


async def test_a_run_that_waits_for_its_lane_does_not_fail_when_it_remembers_its_rates(url: str) -> None:
    """Every 30 s a run records them, and a lane may be waited for for longer."""
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        await began(one, "run-1")
        unknown, known = await other.writer("never/pinned"), await other.writer()
        record = RateRecord("CreateRegistrationAttachment", {}, T0)

        await unknown.learn([record])
        await known.learn([record])

        assert await (await one.writer()).rates() == []


async def test_a_lane_that_is_taken_and_given_back_in_one_transaction_is_free(url: str) -> None:
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        writer = await began(one, "run-1")
        lane_id, stretch = one.store.lanes["acme/us-east-1"], writer.stretch
        await writer.release()

        def cut_off(db: Database) -> None:
            one.leases.take(db, lane_id)
            one.leases.note_stretch(db, lane_id, stretch)
            one.leases.give_back(db, lane_id)

        await one.thread.write(cut_off)

        await pinned(await other.writer())
