"""Slots: first come, first served, none lost, and nobody sleeps past a law that has changed."""

import anyio
import pytest

from batch_upload.engine.pacing import Pacer
from batch_upload.engine.rate_law import FixedRate
from batch_upload.errors import Refused, Throttled
from tests.support.manual_clock import ManualClock


class NotedLaw(FixedRate):
    """A fixed rate that notes what it was told of each ticket, and may be moved."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.told: list[tuple[int, str]] = []
        self.moved_to: float | None = None

    def ready_at(self, now: float) -> float:
        return super().ready_at(now) if self.moved_to is None else self.moved_to

    def accepted(self, ticket: int, now: float) -> None:
        self.told.append((ticket, "accepted"))

    def throttled(self, ticket: int, now: float, retry_after_s: float | None) -> None:
        self.told.append((ticket, f"throttled {retry_after_s}"))

    def unanswered(self, ticket: int, now: float) -> None:
        self.told.append((ticket, "unanswered"))


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
    law = NotedLaw(1)
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
    law = NotedLaw(0.1)
    pacer = Pacer(law, clock)
    await pacer.slot()

    with anyio.move_on_after(3):
        await pacer.slot()
    await pacer.slot()

    assert clock.monotonic() == pytest.approx(10, abs=0.1)
    assert law.take(clock.monotonic()) == 3


async def test_who_waits_looks_again_when_the_law_has_changed(clock: ManualClock) -> None:
    law = NotedLaw(1)
    pacer = Pacer(law, clock)
    first = await pacer.slot()
    law.moved_to = 1_000.0

    async def speed_up() -> None:
        await clock.sleep(5)
        law.moved_to = 6.0
        first.answered()

    async with anyio.create_task_group() as group:
        group.start_soon(speed_up)
        await pacer.slot()

    assert clock.monotonic() == pytest.approx(6)


async def test_each_ticket_is_answered_for_exactly_once(clock: ManualClock) -> None:
    law = NotedLaw(100)
    pacer = Pacer(law, clock)
    slots = [await pacer.slot() for _ in range(4)]

    slots[0].answered()
    slots[1].answered(Throttled("slow", retry_after_s=3.0))
    slots[2].answered(Refused("no"))
    slots[3].unanswered()
    for slot in slots:
        slot.unanswered()
        slot.answered()

    assert law.told == [(1, "accepted"), (2, "throttled 3.0"), (3, "accepted"), (4, "unanswered")]
