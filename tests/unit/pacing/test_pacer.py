"""Slots: first come, first served, none lost, and nobody sleeps past a law that has changed."""

import anyio
import pytest

from batch_upload.pacing import FixedRate, Pacer
from tests.support.manual_clock import ManualClock
from tests.support.recording_law import RecordingLaw


async def test_slots_come_in_the_order_in_which_they_were_asked_for(clock: ManualClock) -> None:
    pacer, got = Pacer(FixedRate(2), clock), []

    async def ask(number: int) -> None:
        await pacer.slot()
        got.append((number, clock.monotonic()))

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(ask, number)

    assert [number for number, _ in got] == list(range(6))
    assert [at for _, at in got] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.01)


async def test_a_slot_that_is_due_is_there_at_once_but_not_for_who_would_push_in(clock: ManualClock) -> None:
    law = RecordingLaw(1)
    pacer = Pacer(law, clock)
    assert pacer.slot_at_once() is not None
    assert pacer.slot_at_once() is None
    got: list[float] = []

    async def ask() -> None:
        await pacer.slot()
        got.append(clock.monotonic())

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        law.moved_to = clock.monotonic()  # due, but somebody was here before
        assert pacer.slot_at_once() is None
        law.moved_to = None

    assert got == pytest.approx([1], abs=0.01)


async def test_a_waiter_that_is_cancelled_takes_no_slot(clock: ManualClock) -> None:
    law = RecordingLaw(0.1)
    pacer = Pacer(law, clock)
    await pacer.slot()

    with anyio.move_on_after(3):
        await pacer.slot()
    await pacer.slot()

    assert clock.monotonic() == pytest.approx(10, abs=0.1)
    assert law.take(clock.monotonic()) == 3


async def test_who_waits_looks_again_when_the_law_has_changed(clock: ManualClock) -> None:
    law = RecordingLaw(1)
    pacer = Pacer(law, clock)
    first = await pacer.slot()
    law.moved_to = 1_000.0

    async def speed_up() -> None:
        await clock.sleep(5)
        law.moved_to = 6.0
        first.accepted()

    async with anyio.create_task_group() as group:
        group.start_soon(speed_up)
        await pacer.slot()

    assert clock.monotonic() == pytest.approx(6)


async def test_how_many_calls_are_left_reaches_the_law(clock: ManualClock) -> None:
    law = RecordingLaw(1)

    Pacer(law, clock).expect(25)

    assert law.expected == [25]


async def test_each_ticket_is_answered_for_exactly_once(clock: ManualClock) -> None:
    law = RecordingLaw(100)
    pacer = Pacer(law, clock)
    slots = [await pacer.slot() for _ in range(4)]

    slots[0].accepted()
    slots[1].throttled(3.0)
    slots[2].throttled()
    slots[3].unanswered()
    for slot in slots:
        slot.unanswered()
        slot.accepted()
        slot.throttled()

    assert law.reports == [(1, "accepted"), (2, "throttled 3.0"), (3, "throttled None"), (4, "unanswered")]
