"""Signals outside the event loop."""

import signal
from collections.abc import Iterator

import anyio
import pytest

from batch_upload.cli.interrupted import DRAINING, Stopped, stopped_by_signals
from batch_upload.cli.signals import until_interrupted
from batch_upload.errors import ExitCode


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What the process does at a signal is as it was once the test is over."""
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
