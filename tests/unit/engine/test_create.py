"""One item: nothing leaves before its intent is durable, and nothing that came back is lost."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import anyio
import pytest

from batch_upload.engine.create import Ending, Uploader
from batch_upload.engine.lane import Stop, StopKind
from batch_upload.engine.replay import job_of
from batch_upload.engine.rows import new_row
from batch_upload.engine.run import LaneOptions
from batch_upload.errors import LaneLost, LedgerUnusable, NotSent
from batch_upload.events import ItemChanged, LaneStopped
from batch_upload.model import Fault, Item, Known, Outcome, State
from batch_upload.ports import Attempt, Body, LedgerWriter, moment
from tests.support.engine_world import BATCH, World, an_item, some_items
from tests.support.manual_clock import ManualClock
from tests.support.memory_service import CREATE, Trouble, lost, refused, slow


async def test_the_intent_is_durable_before_the_request_leaves(world: World) -> None:
    item = an_item()
    context = await world.prepared(item)
    states: list[State] = []

    async def look() -> None:
        states.extend(row.state for row in await context.ledger.known(BATCH))

    world.service.script(CREATE, slow(10))
    async with anyio.create_task_group() as group:

        async def look_later() -> None:
            await world.clock.sleep(5)
            await look()

        group.start_soon(look_later)
        await Uploader(context, world.bodies).upload(
            job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch), item
        )

    assert states == [State.SENDING]


async def test_a_stop_that_comes_while_the_document_is_read_keeps_it_here(world: World) -> None:
    item = an_item()
    context = await world.prepared(item)
    world.bodies.slow_s = 10

    async with anyio.create_task_group() as group:

        async def stop() -> None:
            await world.clock.sleep(5)
            context.lane.stop_with(Stop(StopKind.ACCESS, Fault("Denied", "no")))

        group.start_soon(stop)
        job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)
        ending = await Uploader(context, world.bodies).upload(job, item)

    assert ending is Ending.LEFT
    assert world.creates == []
    rows = await context.ledger.known(BATCH)
    assert [(row.state, row.attempts) for row in rows] == [(State.PENDING, 0)]


async def test_an_answer_that_comes_while_the_run_is_cut_off_is_in_the_ledger(world: World) -> None:
    item = an_item()
    context = await world.prepared(item)
    world.service.script(CREATE, slow(10))
    job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)

    with anyio.move_on_after(5):
        await Uploader(context, world.bodies).upload(job, item)

    row = next(iter(await context.ledger.known(BATCH)))
    assert row.state is State.SENDING
    assert row.unknown_since is not None
    assert world.heard.tally.requests == {CREATE: 1}


@dataclass
class CutOff:
    """A ledger at which the run is cut off the moment that an outcome is handed over."""

    ledger: LedgerWriter
    scope: anyio.CancelScope

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self.ledger, name)

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        self.scope.cancel()
        return await self.ledger.conclude(attempt, outcome)


async def _cut_off(world: World, item: Item) -> tuple[Known, anyio.CancelScope]:
    """Upload, be cut off when the outcome is handed over, and give what the ledger has then."""
    context = await world.prepared(item)
    scope = anyio.CancelScope()
    context = replace(context, ledger=CutOff(context.ledger, scope))
    job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)
    with scope:
        await Uploader(context, world.bodies).upload(job, item)
        await anyio.lowlevel.checkpoint()
        raise AssertionError("the next wait is where a task that was cut off ends")
    return (await world.known())[item.client_token], scope


async def test_who_is_cut_off_while_an_outcome_is_written_tells_of_it_first(world: World) -> None:
    item = an_item()

    row, scope = await _cut_off(world, item)

    assert (row.state, scope.cancelled_caught) == (State.COMPLETE, True)
    assert [(event.known, event.created) for event in world.heard_of(ItemChanged)] == [(row, True)]


async def test_who_is_cut_off_while_a_refusal_is_written_tells_of_it_first(world: World) -> None:
    item = an_item()
    world.service.script(CREATE, refused())

    row, _ = await _cut_off(world, item)

    assert (row.state, row.attempts) == (State.FAILED, 1)
    assert [(event.known, event.created) for event in world.heard_of(ItemChanged)] == [(row, False)]


async def test_an_answer_that_was_not_believed_is_no_success_for_who_is_cut_off(world: World) -> None:
    first, second = some_items(2)
    await world.upload([first])
    held = next(iter(world.service.held.values()))
    held.token = second.client_token
    tags = {**second.tags, "batch-upload:token": second.client_token}
    held.made_of = (Body.of(second.content.encode()), None, tuple(sorted(tags.items())))

    row, _ = await _cut_off(world, second)

    assert (row.state, row.attachment_id) == (State.SENDING, None)
    assert world.heard_of(ItemChanged) == []


@dataclass
class Silent(CutOff):
    """A ledger on a disk that stands still: it takes an outcome and never answers."""

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        self.scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError("it answered")


async def test_who_is_cut_off_waits_for_a_ledger_that_stands_still_only_so_long(world: World) -> None:
    item = an_item()
    context = await world.prepared(item)
    scope = anyio.CancelScope()
    context = replace(context, ledger=Silent(context.ledger, scope))
    job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)
    began = world.clock.monotonic()

    with scope, pytest.raises(LedgerUnusable, match="not written within 30 seconds"):
        await Uploader(context, world.bodies).upload(job, item)

    assert world.clock.monotonic() - began == pytest.approx(30, abs=1)
    assert world.heard_of(ItemChanged) == []


async def test_a_create_that_was_held_back_after_its_intent_is_withdrawn_and_sent_with_the_same_token(
    world: World,
) -> None:
    """As by a process that was stopped between the two, for longer than it may send."""
    item = an_item()
    world.service.script(CREATE, Trouble(NotSent("the right to send had lapsed", code="RightLapsed")))

    result = await world.upload([item])

    (row,) = (await world.known()).values()
    assert (row.state, row.attempts) == (State.COMPLETE, 1)
    assert row.unknown_since is None
    assert result.ledger_error is None
    world.assert_each_once([item])


async def test_a_lane_that_is_taken_over_sends_nothing_more_and_ends_so(world: World) -> None:
    items = some_items(5)
    taken = LaneLost("another run has taken it over", pid=1, host="h", since=None)

    class TakenOver(CutOff):
        """A lane that another run takes over while the first create is on its way."""

        async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
            raise taken

    context = world.context(await world.ledger())
    context = replace(context, ledger=TakenOver(context.ledger, anyio.CancelScope()))

    result = await world.new_run(context, LaneOptions(BATCH)).run(items, await world.pin(context))

    assert result.ledger_error is taken
    assert len(world.creates) == 1
    assert len(result.states) == 5
    assert [event.fault.code for event in world.heard_of(LaneStopped)] == ["LaneLost"]


async def test_a_replay_that_would_arrive_too_late_is_not_sent_but_looked_up(world: World) -> None:
    item = an_item()
    context = await world.prepared(item)
    world.service.script(CREATE, lost(done=True))
    world.horizon_s = 300
    since = world.clock.now() - timedelta(seconds=294)
    await context.ledger.intend(item.client_token, run_id=world.run_id, at=since)
    world.bodies.slow_s = 2
    row = next(iter(await context.ledger.known(BATCH)))
    job = job_of(row, item, now=moment(world.clock), stretch=context.ledger.stretch)

    ending = await Uploader(context, world.bodies).upload(job, item)

    assert ending is Ending.TO_RESOLVE
    assert world.creates == []
    after = next(iter(await context.ledger.known(BATCH)))
    assert (after.state, after.unknown_since) == (State.SENDING, since)


async def test_the_body_is_read_only_when_its_slot_has_come(world: World) -> None:
    world.rate = 0.1
    items = [an_item(str(number)) for number in range(4)]
    context = await world.prepared(*items)
    uploader = Uploader(context, world.bodies)

    with anyio.move_on_after(15):
        async with anyio.create_task_group() as group:
            for item in items:
                job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)
                group.start_soon(uploader.upload, job, item)

    assert world.bodies.reads == ["0", "1"]


async def test_what_is_sent_again_is_what_was_sent_whatever_the_manifest_says_now(world: World) -> None:
    item = an_item(identity_tag=True)
    context = await world.prepared(item)
    sent = new_row(an_item(identity_tag=False))

    await Uploader(context, world.bodies).upload(
        job_of(sent, item, now=moment(world.clock), stretch=context.ledger.stretch), item
    )

    assert [dict(held.tags) for held in world.service.held.values()] == [dict(item.tags)]


async def test_after_a_stall_of_the_ledger_creates_leave_at_the_pace_and_not_all_at_once(world: World) -> None:
    items = some_items(6)
    context = await world.prepared(*items)
    stalled = StalledLedger(context.ledger, world.clock, until_s=world.clock.monotonic() + 30)
    uploader = Uploader(replace(context, ledger=cast(LedgerWriter, stalled)), world.bodies)
    uploader._first.prove()

    async with anyio.create_task_group() as group:
        for item in items:
            job = job_of(new_row(item), item, now=moment(world.clock), stretch=context.ledger.stretch)
            group.start_soon(uploader.upload, job, item)

    sent_s = [call.at_s for call in world.service.made(CREATE)]
    assert len(sent_s) == len(items)
    assert min(after - before for before, after in pairwise(sent_s)) >= 0.99 / world.rate


class StalledLedger:
    """A ledger whose intents are not written before a moment of the clock."""

    def __init__(self, inner: LedgerWriter, clock: ManualClock, *, until_s: float) -> None:
        self._inner = inner
        self._clock = clock
        self._until_s = until_s

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the inner one has
        return getattr(self._inner, name)

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        await self._clock.sleep(self._until_s - self._clock.monotonic())
        return await self._inner.intend(client_token, run_id=run_id, at=at)
