"""The first signal drains."""

import os
import signal
from collections.abc import Iterator

import anyio
import pytest

from batch_upload.cli.signals import Interrupts
from batch_upload.errors import ExitCode


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What the process does on a hang-up is as it was once the test is over."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def nothing() -> None:
    """Nobody draws."""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.TERMINATED),
        (signal.SIGHUP, ExitCode.TERMINATED),
    ],
)
async def test_a_signal_drains_the_run_and_decides_the_exit_code(number: signal.Signals, code: ExitCode) -> None:
    interrupts, drained = Interrupts(at_once=nothing), anyio.Event()
    interrupts.drain_with(lambda _: drained.set())

    async with anyio.create_task_group() as group:
        await group.start(interrupts.watch)
        os.kill(os.getpid(), number)
        await drained.wait()
        group.cancel_scope.cancel()

    assert interrupts.code is code


async def test_a_terminal_that_is_closed_may_say_so_again_and_again() -> None:
    interrupts, drained = Interrupts(at_once=nothing), anyio.Event()
    interrupts.drain_with(lambda _: drained.set())

    async with anyio.create_task_group() as group:
        await group.start(interrupts.watch)
        os.kill(os.getpid(), signal.SIGHUP)
        await drained.wait()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    os.kill(os.getpid(), signal.SIGHUP)  # it may come once more while the end is told

    assert interrupts.code is ExitCode.TERMINATED


async def test_a_signal_before_anything_is_sent_ends_at_once() -> None:
    interrupts = Interrupts(at_once=nothing)

    async with anyio.create_task_group() as group:
        await group.start(interrupts.watch)
        with interrupts.scope:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        group.cancel_scope.cancel()

    assert interrupts.scope.cancelled_caught
    assert interrupts.code is ExitCode.TERMINATED


async def test_a_signal_that_came_before_the_run_is_handed_to_it() -> None:
    interrupts = Interrupts(at_once=nothing)
    named: list[str] = []

    async with anyio.create_task_group() as group:
        await group.start(interrupts.watch)
        with interrupts.scope:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        group.cancel_scope.cancel()
    interrupts.drain_with(named.append)

    assert len(named) == 1


async def test_a_signal_that_was_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts = Interrupts(at_once=nothing)

    try:
        async with anyio.create_task_group() as group:
            await group.start(interrupts.watch)
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

    assert interrupts.code is None
