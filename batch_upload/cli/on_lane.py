"""How the command runs a session: signals end it in order, observers hear it, and an error becomes text."""

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import anyio

from batch_upload.app.session import Session
from batch_upload.cli.audience import audience_of
from batch_upload.cli.output import Ended, Output, Repeated, failure
from batch_upload.cli.signals import Interrupts
from batch_upload.clock import SystemClock
from batch_upload.engine.groups import task_group
from batch_upload.errors import BatchUploadError
from batch_upload.report.observers import Observers
from batch_upload.summary import Summary, exit_of

R = TypeVar("R")
TICK_S = 1.0
"""Seconds between two redrawings of a progress display."""


def run_session(
    output: Output,
    repeated: Repeated,
    make: Callable[[Observers, Interrupts], Session[R]],
    ended_of: Callable[[R], Ended],
) -> Ended:
    """Make a session, run it, and return how it ended; `ended_of` says what its result means for people."""

    async def run() -> Ended:
        observers = audience_of(output)
        interrupts = Interrupts(at_once=observers.close)
        session = make(observers, interrupts)
        async with task_group() as group:
            await group.start(interrupts.watch)
            group.start_soon(_tick, observers)
            try:
                ended = ended_of(await session.run())
            except BatchUploadError as error:
                counted = error.summary or Summary(verb=session.verb, exit=exit_of(error.exit_code))
                ended = failure(error, output, counted)
            finally:
                observers.close()
                group.cancel_scope.cancel()
        return replace(ended, repeated=repeated)

    gc.freeze()  # what was read and imported stays to the end: do not look through it for cycles during the run
    return anyio.run(run)


async def _tick(observers: Observers) -> None:
    clock = SystemClock()
    while True:
        await anyio.sleep(TICK_S)
        observers.tick(clock.now())
