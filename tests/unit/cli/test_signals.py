"""The first signal ends the work in order, in an event loop and outside of one."""

import os
import signal
from collections.abc import Iterator

import anyio
import pytest

from batch_upload.app.interruption import Interruption
from batch_upload.cli.signals import DRAINING, Stopped, stopped_by_signals, until_interrupted, watch_signals
from batch_upload.errors import ExitCode


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """After each test the process handles signals as before."""
    before = {each: signal.getsignal(each) for each in DRAINING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.TERMINATED),
        (signal.SIGHUP, ExitCode.TERMINATED),
    ],
)
async def test_a_signal_drains_the_run_and_decides_the_exit_code(number: signal.Signals, code: ExitCode) -> None:
    interruption, drained = Interruption(), anyio.Event()
    interruption.drain_with(lambda _: drained.set())

    async with anyio.create_task_group() as group:
        await group.start(watch_signals, interruption)
        os.kill(os.getpid(), number)
        await drained.wait()
        group.cancel_scope.cancel()

    assert interruption.code is code


async def test_a_terminal_that_is_closed_may_say_so_again_and_again() -> None:
    interruption, drained = Interruption(), anyio.Event()
    interruption.drain_with(lambda _: drained.set())

    async with anyio.create_task_group() as group:
        await group.start(watch_signals, interruption)
        os.kill(os.getpid(), signal.SIGHUP)
        await drained.wait()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    os.kill(os.getpid(), signal.SIGHUP)  # it may come once more while the end is told

    assert interruption.code is ExitCode.TERMINATED


async def test_a_signal_before_anything_is_sent_ends_at_once() -> None:
    interruption = Interruption()

    async with anyio.create_task_group() as group:
        await group.start(watch_signals, interruption)
        with interruption.scope:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        group.cancel_scope.cancel()

    assert interruption.scope.cancelled_caught
    assert interruption.code is ExitCode.TERMINATED


async def test_a_signal_that_came_before_the_run_is_handed_to_it() -> None:
    interruption = Interruption()
    named: list[str] = []

    async with anyio.create_task_group() as group:
        await group.start(watch_signals, interruption)
        with interruption.scope:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        group.cancel_scope.cancel()
    interruption.drain_with(named.append)

    assert len(named) == 1


async def test_a_signal_that_was_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption = Interruption()

    try:
        async with anyio.create_task_group() as group:
            await group.start(watch_signals, interruption)
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

    assert interruption.code is None


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.TERMINATED),
        (signal.SIGHUP, ExitCode.TERMINATED),
    ],
)
def test_the_first_signal_raises_and_a_hang_up_after_it_does_nothing(number: signal.Signals, code: ExitCode) -> None:
    with pytest.raises(Stopped, match=f"stopped by {number.name}") as stopped, stopped_by_signals():
        signal.raise_signal(number)

    signal.raise_signal(signal.SIGHUP)
    assert stopped.value.code is code


def test_behind_the_block_signals_are_handled_as_before() -> None:
    before = [signal.getsignal(each) for each in DRAINING]

    with stopped_by_signals():
        within = [signal.getsignal(each) for each in DRAINING]

    assert [signal.getsignal(each) for each in DRAINING] == before
    assert not set(within) & set(before)


def test_what_is_ignored_from_the_start_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with stopped_by_signals():
        signal.raise_signal(signal.SIGHUP)

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_behind_an_event_loop_that_took_signals_the_first_one_still_raises() -> None:
    async def work() -> None:
        await anyio.lowlevel.checkpoint()

    def work_and_stop() -> None:
        with stopped_by_signals():
            anyio.run(until_interrupted, work)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped):
        work_and_stop()
