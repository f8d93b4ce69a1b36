"""One that can no longer be told never keeps the others, or the run, from hearing of it."""

import io
from collections.abc import Callable
from datetime import timedelta

import pytest

from batch_upload.events import Notice
from batch_upload.report.console import ProgressObserver, terminal_console
from batch_upload.report.ndjson import NdjsonObserver
from batch_upload.report.observers import Observers, RunObserver
from batch_upload.report.plain import PlainObserver, VerboseObserver
from tests.unit.report.samples import BEGIN, after, answered, plan_of, started, utc


class Broken(io.StringIO):
    """A stream that takes nothing, and counts how often it was tried."""

    def __init__(self, error: OSError | ValueError) -> None:
        super().__init__()
        self.error = error
        self.writes = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes += 1
        raise self.error


FULL = OSError(28, "No space left on device")
MAKERS: dict[str, Callable[[Broken], RunObserver]] = {
    "plain": lambda stream: PlainObserver(stream, local_time=utc),
    "ndjson": NdjsonObserver,
    "verbose": lambda stream: VerboseObserver(stream, level=2),
    "terminal": lambda stream: ProgressObserver(terminal_console(stream), local_time=utc),
}


@pytest.mark.parametrize(
    "error", [FULL, BrokenPipeError(32, "Broken pipe"), ValueError("I/O operation on closed file")]
)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_an_observer_whose_stream_fails_is_dropped_and_the_others_are_told(
    make: Callable[[Broken], RunObserver], error: OSError | ValueError
) -> None:
    broken, whole, lost = Broken(error), io.StringIO(), list[OSError | ValueError]()
    observers = Observers(make(broken), PlainObserver(whole, local_time=utc), on_lost=lost.append)

    observers.notify(started(plan_of(2)))
    observers.notify(answered("item-0", after(1)))
    tried = broken.writes
    observers.notify(Notice("a word", BEGIN))
    observers.tick(BEGIN + timedelta(hours=1))
    observers.close()

    assert "a word" in whole.getvalue()
    assert "0 of 2 done" in whole.getvalue()
    assert lost == [error]
    assert broken.writes == tried


def test_a_fault_of_our_own_is_not_taken_for_a_stream_that_failed() -> None:
    class Wrong(NdjsonObserver):
        def notify(self, event: object) -> None:
            raise KeyError("event")

    with pytest.raises(KeyError):
        Observers(Wrong(io.StringIO())).notify(Notice("a word", BEGIN))
