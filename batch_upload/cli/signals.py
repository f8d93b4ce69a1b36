"""SIGINT, SIGTERM, SIGHUP: the first ends the work in order, the second the process. The ledger is right after both.

While a manifest is read the first one raises Stopped; within an event loop it becomes an Interruption. A SIGHUP never
counts as a second: a terminal that is closed sends it up to three times (the kernel when it hangs up, the shell to its
jobs, the kernel again when the shell ends).
"""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from batch_upload.errors import ExitCode

if TYPE_CHECKING:
    from anyio.abc import TaskGroup, TaskStatus

    from batch_upload.app.interruption import Interruption

WorkResult = TypeVar("WorkResult")
Served = TypeVar("Served")

DRAINING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def code_of(received: int) -> ExitCode:
    """Return the exit code that says which signal came; a closed terminal counts as SIGTERM."""
    return ExitCode.INTERRUPTED if received == signal.SIGINT else ExitCode.TERMINATED


class Interrupted(Exception):
    """A signal ended the work in an event loop before its result. `code` is the exit code that says which signal."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.name.lower())
        self.code = code


class Stopped(KeyboardInterrupt):
    """The same outside an event loop, raised wherever the main thread is. No `except Exception` catches it."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def message(self) -> str:
        """What happened, then the notes of the code that it passed through: what was interrupted."""
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


async def watch_signals(
    interruption: "Interruption", at_once: Callable[[], None] = lambda: None, *, task_status: "TaskStatus[None]"
) -> None:
    """Hand the first signal to `interruption`, until cancelled. At the second, call `at_once` and end the process.

    To be started in a task group.
    """
    import anyio

    wanted = [each for each in DRAINING if signal.getsignal(each) is not signal.SIG_IGN]  # `nohup` keeps its word
    if not wanted:
        task_status.started()
        return
    is_hung_up = False
    try:
        with anyio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for received in signals:
                is_hung_up = is_hung_up or received is signal.SIGHUP
                if interruption.code is None:
                    interruption.interrupt(code_of(received), received.name)
                elif received is not signal.SIGHUP:
                    at_once()
                    os._exit(code_of(received))
    finally:
        if is_hung_up:  # the last ones must not end the process before the monitor and the log hear the end
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


async def until_interrupted(
    work: Callable[[], Awaitable[WorkResult]], *, at_once: Callable[[], None] = lambda: None
) -> WorkResult:
    """Run `work`, which changes nothing, and cancel it at the first signal: then Interrupted is raised.

    `at_once` is called before the second signal ends the process. Signals are handled as before afterwards.
    """
    from batch_upload.app.interruption import Interruption
    from batch_upload.engine.groups import task_group

    interruption = Interruption()
    handlers = {each: signal.getsignal(each) for each in DRAINING}
    results: list[WorkResult] = []
    async with task_group() as group:
        await group.start(watch_signals, interruption, at_once)
        with interruption.scope:
            results.append(await work())
        group.cancel_scope.cancel()
    if not results:
        raise Interrupted(interruption.code or ExitCode.OUR_FAULT)
    for each, handler in handlers.items():
        signal.signal(each, handler)  # the loop leaves the system's defaults
    return results[0]


async def serve_until_signal(
    server: AbstractAsyncContextManager[Served], on_start: Callable[[Served, "TaskGroup"], None]
) -> ExitCode:
    """Enter `server`, call `on_start` with it and a task group, and leave at the first signal. Return its exit code."""
    import anyio

    from batch_upload.app.interruption import Interruption
    from batch_upload.engine.groups import task_group

    interruption, stopped = Interruption(), anyio.Event()
    interruption.drain_with(lambda _: stopped.set())
    async with task_group() as group:
        await group.start(watch_signals, interruption)
        async with server as served:
            on_start(served, group)
            await stopped.wait()
        group.cancel_scope.cancel()
    return interruption.code or ExitCode.DONE
