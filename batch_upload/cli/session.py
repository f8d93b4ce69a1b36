"""How the command runs a session: signals end it in order, observers hear it, and an error becomes text."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

import anyio

from batch_upload.app.interruption import Interruption
from batch_upload.app.lane_run import RunEnd
from batch_upload.app.reconcile import ReconcileResult
from batch_upload.app.sendable import Prepared
from batch_upload.app.upload import RunResult
from batch_upload.cli.asking import asker
from batch_upload.cli.flags import Flags
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.signals import watch_signals
from batch_upload.cli.verb import Ended, ended_by
from batch_upload.clock import SystemClock
from batch_upload.engine.groups import task_group
from batch_upload.errors import BatchUploadError
from batch_upload.model import Known
from batch_upload.report.item_text import KnownItems
from batch_upload.report.ndjson import NdjsonObserver
from batch_upload.report.observers import Observers, RunObserver
from batch_upload.report.plain import PlainObserver, UrgentObserver, VerboseObserver
from batch_upload.settings import Settings
from batch_upload.summary import Summary, exit_of

RunEnd_co = TypeVar("RunEnd_co", covariant=True)
TICK_S = 1.0
"""Seconds between two redrawings of a progress display."""


def observers_of(output: Output) -> Observers:
    """Return the observers that `--json`, `--quiet`, `-v`, the terminal and the sinks ask for."""
    people: list[RunObserver]
    lines: RunObserver
    if output.verbose:  # no progress display: the lines of requests would tear it
        lines = UrgentObserver(sys.stderr) if output.quiet else PlainObserver(sys.stderr, is_verbose=True)
        people = [lines, VerboseObserver(sys.stderr, level=output.verbose)]
    elif output.quiet:
        people = [UrgentObserver(sys.stderr)]
    else:
        from batch_upload.report.console import people_observer  # imports what draws; `--quiet` does without

        people = [people_observer(sys.stderr)]
    machines = [NdjsonObserver(sys.stdout)] if output.json else []
    return Observers(*people, *machines, *output.sinks.observers(), on_lost=output.lost)


def known_items(result: RunResult | ReconcileResult) -> KnownItems:
    """Return the rows of a result as they are printed: by lane, where there are several."""
    if result.lanes:
        return {label: _rows_of(end) for label, end in result.lanes.items()}
    return _rows_of(result)


def _rows_of(result: RunResult | ReconcileResult) -> tuple[Known, ...]:
    invalid = result.invalid if isinstance(result, RunResult) else ()
    return (*result.known.values(), *invalid)


class Runs(Protocol[RunEnd_co]):
    """What is run to a result once, such as a `Session`."""

    verb: ClassVar[str]

    async def run(self) -> RunEnd_co:
        """Do it. Raises BatchUploadError, whose `summary` counts what was done until then."""
        ...


async def tick(observers: Observers) -> None:
    """Call the observers about once a second, until cancelled."""
    clock = SystemClock()
    while True:
        await anyio.sleep(TICK_S)
        observers.tick(clock.now())


def run_session(
    make: Callable[..., Runs[RunEnd]],
    manifest: Path,
    flags: Flags,
    output: Output,
    *,
    prepared: Prepared,
    settings: Settings,
    read: Callable[[], tuple[Prepared, Settings]],
    started: float,
    ended_of: Callable[[RunEnd], Ended],
) -> Ended:
    """Make a session, run it, and return how it ended; `ended_of` turns its result into what is printed.

    `make` takes what `Session` takes. `read` and `started` are as for `Session`.
    """

    async def run() -> Ended:
        observers, interruption = observers_of(output), Interruption()
        session = make(
            prepared,
            settings,
            observers,
            read=read,
            run_id=output.sinks.run_id,
            interruption=interruption,
            ask=asker(),
            started=started,
        )
        async with task_group() as group:
            await group.start(watch_signals, interruption, observers.close)
            group.start_soon(tick, observers)
            try:
                ended = ended_of(await session.run())
            except BatchUploadError as error:
                counted = error.summary or Summary(verb=session.verb, exit=exit_of(error.exit_code))
                ended = ended_by(error, output, counted)
            finally:
                observers.close()
                group.cancel_scope.cancel()
        invocation = invocation_of(manifest, flags, settings)
        if session.verb.endswith(" upload"):
            invocation = replace(invocation, upload=tuple(session.verb.split()))
        return replace(ended, invocation=invocation)

    gc.freeze()  # what was read and imported stays to the end: do not look through it for cycles during the run
    return anyio.run(run)
