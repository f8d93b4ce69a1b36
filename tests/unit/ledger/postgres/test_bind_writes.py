"""Intents and outcomes of bindings on PostgreSQL: under the fence, and when the connection is lost around a COMMIT."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from batch_upload.errors import LaneLost
from batch_upload.ledger.store import LaneWriter
from batch_upload.model import AttachmentStatus, Outcome, OutcomeKind, State
from batch_upload.ports import BindAttempt
from batch_upload.registration import Bind, BindState
from tests.support.controllers import Controller, controller, database_of, lane_rows, lapse, through
from tests.support.postgres import PostgresServer
from tests.support.tcp_proxy import Cut, Message, TcpProxy, commit_asked, commit_done, running_proxy
from tests.unit.ledger.samples import BATCH, LANE, T0, accepted, ended, item

BOUND = Outcome(OutcomeKind.ACCEPTED, T0)
CUTS = 10


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with running_proxy(postgres.port) as found:
        yield found


async def began(opened: Controller, run_id: str, *, items: int = 2) -> LaneWriter:
    """A run that has a lane, with items `i0`, `i1`, … that are each to go into a field."""
    writer = await opened.writer()
    await writer.pin(LANE, endpoint="https://sms-voice.example", at=T0)
    await writer.begin_run(run_id, verb="upload", batch=BATCH, at=T0)
    await writer.enlist([item(f"i{n}")._replace(bind=Bind(f"registration-{n}", "a.b")) for n in range(items)], at=T0)
    return writer


async def created(writer: LaneWriter, run_id: str, *, items: int = 2) -> None:
    """Record that the attachments of the items are ready for their fields."""
    for n in range(items):
        attempt = await writer.intend(f"bu1-i{n}-1", run_id=run_id, at=T0)
        await writer.conclude(attempt, accepted(f"att-{n}", AttachmentStatus.COMPLETE))


@asynccontextmanager
async def taken_over(url: str, postgres: PostgresServer) -> AsyncIterator[tuple[LaneWriter, LaneWriter, BindAttempt]]:
    """The writer of a run whose lease lapsed while a binding was open, that of the run after it, and the binding."""
    async with controller(url, "run-1") as one, controller(url, "run-2") as other:
        stale = await began(one, "run-1")
        await created(stale, "run-1")
        left = await stale.intend_bind("bu1-i0-1", run_id="run-1", at=T0)
        lapse(postgres, url)
        yield stale, await began(other, "run-2"), left


def at_once(cut: Cut) -> Cut:
    """Cut at the first message of a kind, and at no other."""
    is_over = False

    def is_first(message: Message) -> bool:
        nonlocal is_over
        if is_over or not cut(message):
            return False
        is_over = True
        return True

    return is_first


async def test_a_stale_holder_can_neither_intend_a_binding_nor_conclude_one(url: str, postgres: PostgresServer) -> None:
    async with taken_over(url, postgres) as (stale, new, left):
        before = lane_rows(postgres, url, "lane")

        for write in (
            stale.intend_bind("bu1-i1-1", run_id="run-1", at=T0),
            stale.conclude_bind(left, BOUND, version=1),
            stale.conclude_bind(left, ended(OutcomeKind.UNKNOWN)),
        ):
            with pytest.raises(LaneLost, match=r"another run has taken over lane 123456789012/us-east-1 .* run run-2"):
                await write

        assert lane_rows(postgres, url, "lane") == before
        assert postgres.execute("SELECT count(*) FROM bind_attempt", database_of(url)) == [(1,)]
        rows = await new.known(BATCH)
        assert [row.state for row in rows] == [State.BINDING] * 2
        assert [row.bind_state for row in rows] == [BindState.SENT, BindState.WANTED]


async def test_a_binding_that_the_stale_holder_left_open_the_new_one_concludes_once(
    url: str, postgres: PostgresServer
) -> None:
    async with taken_over(url, postgres) as (stale, new, left):
        attempt = await new.intend_bind("bu1-i0-1", run_id="run-2", at=T0)
        done = await new.conclude_bind(attempt, BOUND, version=1)
        with pytest.raises(LaneLost):
            await stale.conclude_bind(left, BOUND, version=2)

        assert attempt.was_sent
        assert (done.state, done.bound_version) == (State.COMPLETE, 1)
        assert [row.bound_version for row in await new.known(BATCH)] == [1, None]


@pytest.mark.parametrize("where", ["before", "asked", "answered", "after"])
async def test_a_binding_whose_commits_were_cut_off_is_written_once(
    url: str, postgres: PostgresServer, proxy: TcpProxy, where: str
) -> None:
    def cut_next_commit() -> None:
        cut = proxy.cut_before if where in ("before", "answered") else proxy.cut_after
        cut(at_once(commit_asked if where in ("before", "asked") else commit_done))

    async with controller(through(url, proxy.port), "run-1") as one:
        writer = await began(one, "run-1", items=CUTS)
        await created(writer, "run-1", items=CUTS)
        ((before,),) = lane_rows(postgres, url, "commit_no")

        for n in range(CUTS):
            cut_next_commit()
            attempt = await writer.intend_bind(f"bu1-i{n}-1", run_id="run-1", at=T0)
            assert not attempt.was_sent
            cut_next_commit()
            done = await writer.conclude_bind(attempt, BOUND, version=1)
            proxy.spare()
            assert (done.state, done.bound_to) == (State.COMPLETE, Bind(f"registration-{n}", "a.b"))

        assert proxy.cuts == 2 * CUTS
        assert lane_rows(postgres, url, "commit_no") == [(before + 2 * CUTS,)]
        for table in ("bind_attempt", "bind_outcome"):
            assert postgres.execute(f"SELECT count(*) FROM {table}", database_of(url)) == [(CUTS,)]  # noqa: S608 - ours
