"""SIGINT, SIGTERM, SIGHUP: the first drains, the second stops at once. The ledger is right after either.

A SIGHUP never counts as a second: a terminal that is closed sends it up to three times (the kernel when it hangs up,
the shell to its jobs, the kernel again when the shell ends).
"""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

from batch_upload.app.interruption import Interruption
from batch_upload.cli.interrupted import DRAINING, Interrupted, code_of
from batch_upload.engine.groups import task_group
from batch_upload.errors import ExitCode

T = TypeVar("T")


async def until_interrupted(work: Callable[[], Awaitable[T]], *, at_once: Callable[[], None] = lambda: None) -> T:
    """Run `work`, which changes nothing, and cancel it at the first signal: then Interrupted is raised.

    `at_once` is called before the second signal ends the process. Signals are handled as before afterwards.
    """
    interrupts = Interrupts(at_once=at_once)
    handlers = {each: signal.getsignal(each) for each in DRAINING}
    results: list[T] = []
    async with task_group() as group:
        await group.start(interrupts.watch)
        with interrupts.scope:
            results.append(await work())
        group.cancel_scope.cancel()
    if not results:
        raise Interrupted(interrupts.code or ExitCode.OUR_FAULT)
    for each, handler in handlers.items():
        signal.signal(each, handler)  # the loop leaves the system's defaults
    return results[0]


class Interrupts(Interruption):
    """The interruption of a run by signals. The second one ends the process at once, after `at_once` was called."""

    def __init__(self, *, at_once: Callable[[], None]) -> None:
        super().__init__()
        self._at_once = at_once
        self._is_hung_up = False

    async def watch(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take signals until cancelled."""
        wanted = [each for each in DRAINING if signal.getsignal(each) is not signal.SIG_IGN]  # `nohup` keeps its word
        if not wanted:
            task_status.started()
            return
        try:
            with anyio.open_signal_receiver(*wanted) as signals:
                task_status.started()
                async for received in signals:
                    self._take(received)
        finally:
            if self._is_hung_up:  # the last ones must not end the process before the monitor and the log hear the end
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _take(self, received: signal.Signals) -> None:
        self._is_hung_up = self._is_hung_up or received is signal.SIGHUP
        code = code_of(received)
        if self.code is None:
            self.interrupt(code, received.name)
        elif received is not signal.SIGHUP:
            self._at_once()
            os._exit(code)
