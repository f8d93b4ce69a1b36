"""One item: nothing leaves before its intent is durable, and nothing that came back is lost."""

from datetime import timedelta

import anyio

from batch_upload.engine.job import Ending, job_of
from batch_upload.engine.lane import Stop, StopKind
from batch_upload.engine.plan import fresh
from batch_upload.engine.upload import Uploader
from batch_upload.model import Fault, State
from tests.support.engine_world import BATCH, World, an_item
from tests.support.memory_service import CREATE, lost, slow


async def test_the_intent_is_durable_before_the_request_leaves(world: World) -> None:
    item = an_item()
    around = await world.prepared(item)
    states: list[State] = []

    async def look() -> None:
        states.extend(row.state for row in await around.ledger.known(BATCH))

    world.service.script(CREATE, slow(10))
    async with anyio.create_task_group() as group:

        async def look_later() -> None:
            await world.clock.sleep(5)
            await look()

        group.start_soon(look_later)
        await Uploader(around).upload(job_of(fresh(item), item, now=world.clock.now(), monotonic=0.0), item)

    assert states == [State.SENDING]


async def test_a_stop_that_comes_while_the_document_is_read_keeps_it_here(world: World) -> None:
    item = an_item()
    around = await world.prepared(item)
    world.bodies.slow_s = 10

    async with anyio.create_task_group() as group:

        async def stop() -> None:
            await world.clock.sleep(5)
            around.lane.stop_with(Stop(StopKind.ACCESS, Fault("Denied", "no")))

        group.start_soon(stop)
        job = job_of(fresh(item), item, now=world.clock.now(), monotonic=world.clock.monotonic())
        ending = await Uploader(around).upload(job, item)

    assert ending is Ending.LEFT
    assert world.creates == []
    rows = await around.ledger.known(BATCH)
    assert [(row.state, row.attempts) for row in rows] == [(State.PENDING, 0)]


async def test_an_answer_that_comes_while_the_run_is_cut_off_is_in_the_ledger(world: World) -> None:
    item = an_item()
    around = await world.prepared(item)
    world.service.script(CREATE, slow(10))
    job = job_of(fresh(item), item, now=world.clock.now(), monotonic=world.clock.monotonic())

    with anyio.move_on_after(5):
        await Uploader(around).upload(job, item)

    row = next(iter(await around.ledger.known(BATCH)))
    assert row.state is State.SENDING
    assert row.unknown_since is not None
    assert world.heard.tally.requests == {CREATE: 1}


async def test_a_replay_that_would_arrive_too_late_is_not_sent_but_looked_up(world: World) -> None:
    item = an_item()
    around = await world.prepared(item)
    world.service.script(CREATE, lost(done=True))
    world.horizon_s = 300
    since = world.clock.now() - timedelta(seconds=294)
    await around.ledger.intend(item.client_token, run_id=world.run_id, at=since)
    world.bodies.slow_s = 2
    row = next(iter(await around.ledger.known(BATCH)))
    job = job_of(row, item, now=world.clock.now(), monotonic=world.clock.monotonic())

    ending = await Uploader(around).upload(job, item)

    assert ending is Ending.TO_RESOLVE
    assert world.creates == []
    after = next(iter(await around.ledger.known(BATCH)))
    assert (after.state, after.unknown_since) == (State.SENDING, since)


async def test_the_body_is_read_only_when_its_slot_has_come(world: World) -> None:
    world.rate = 0.1
    items = [an_item(str(number)) for number in range(4)]
    around = await world.prepared(*items)
    uploader = Uploader(around)

    with anyio.move_on_after(15):
        async with anyio.create_task_group() as group:
            for item in items:
                job = job_of(fresh(item), item, now=world.clock.now(), monotonic=world.clock.monotonic())
                group.start_soon(uploader.upload, job, item)

    assert world.bodies.reads == ["0", "1"]


async def test_what_is_sent_again_is_what_was_sent_whatever_the_manifest_says_now(world: World) -> None:
    item = an_item(identity_tag=True)
    around = await world.prepared(item)
    sent = fresh(an_item(identity_tag=False))

    await Uploader(around).upload(job_of(sent, item, now=world.clock.now(), monotonic=0.0), item)

    assert [dict(held.tags) for held in world.service.held.values()] == [dict(item.tags)]
