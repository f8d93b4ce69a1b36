"""Signals outside the event loop: while a manifest and its files are read, the first one raises, a second ends at once.

Within the loop `signals.py` takes them.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from batch_upload.errors import ExitCode

DRAINING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def code_of(received: int) -> ExitCode:
    """The exit code that tells which signal came; a closed terminal counts as SIGTERM."""
    return ExitCode.INTERRUPTED if received == signal.SIGINT else ExitCode.TERMINATED


class Interrupted(Exception):
    """A signal ended the work before its result. `code` is the exit code that tells which signal."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name.lower())
        self.code = code


class Stopped(KeyboardInterrupt):
    """The same outside the event loop, raised wherever the main thread is. No `except Exception` catches it."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def message(self) -> str:
        """What happened, and what was interrupted as the notes of those that it passed through tell."""
        return " ".join([str(self), *getattr(self, "__notes__", ())])


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise Stopped in the block at the first of SIGINT, SIGTERM and SIGHUP. To be used in the main thread.

    After it, also behind the block, another SIGINT or SIGTERM ends the process at once and SIGHUP is ignored, as a
    closed terminal sends several. A signal that is ignored from the start (`nohup`) stays so.
    """
    handlers = {each: signal.getsignal(each) for each in DRAINING}
    taken = [each for each, handler in handlers.items() if handler is not signal.SIG_IGN]
    is_stopped = False

    def end_at_once(received: int, _frame: FrameType | None) -> None:
        os._exit(code_of(received))

    def stop(received: int, _frame: FrameType | None) -> None:
        nonlocal is_stopped
        is_stopped = True
        for each in taken:
            signal.signal(each, signal.SIG_IGN if each is signal.SIGHUP else end_at_once)
        raise Stopped(code_of(received), f"stopped by {signal.Signals(received).name}")

    for each in taken:
        signal.signal(each, stop)
    try:
        yield
    finally:
        if not is_stopped:
            for each in taken:
                signal.signal(each, handlers[each])
