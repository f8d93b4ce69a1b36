"""`fleet`: the lanes of a manifest on many machines, over a ledger in PostgreSQL."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch_upload.cli.flags import (
    BOUND_FLAGS,
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    RATE_FLAGS,
    SHARED_LEDGER,
    SINK_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.fleet_status import fleet_schedule_command, fleet_status_command
from batch_upload.cli.fleet_timing import DeadAfter, needs_fleet, timing_of
from batch_upload.cli.help import epilog, exit_codes_text
from batch_upload.cli.messages import PROBLEMS_SHOWN
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode, UsageError
from batch_upload.settings import STANDARD_INPUT
from batch_upload.summary import NOT_BEGUN, Summary, exit_of
from batch_upload.words import count_words

if TYPE_CHECKING:
    from batch_upload.app.sendable import Prepared
    from batch_upload.fleet.upload import OpenQueue
    from batch_upload.settings import Settings

LANES_MAX = 1_000
LANES_DEFAULT = 200
"""Lanes of a worker at once. A lane at 1/s needs 5 ms of CPU a second, so that 100 to 200 fill a core."""
SETTLE_FLAGS = ("settle_timeout", "safe_horizon", "wait_lock")

fleet_app = typer.Typer(help="run the lanes of a manifest on many machines", no_args_is_help=True)


@verb(
    "fleet upload",
    ("ledger",),
    TARGET_FLAGS,
    RATE_FLAGS,
    ("fixed_rate",),
    BOUND_FLAGS,
    ("only", "max_failures"),
    SETTLE_FLAGS,
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    SINK_FLAGS,
    declared=SHARED_LEDGER,
)
def fleet_upload_command(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question before a first run over many lanes")
    ] = False,
    no_wait: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-wait/--wait", help="only put the lanes into the queue, and do not follow them")
    ] = False,
    dead_after: DeadAfter = "30s",
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="URL", help="hand the lanes to a Dask cluster instead: `tcp://scheduler:8786`"),
    ] = None,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """put the lanes of a manifest into the queue for workers, and follow them until all have ended"""
    if manifest == STANDARD_INPUT:
        raise UsageError("workers read the manifest, and cannot read it through a pipe", hint="write it to a file")
    from batch_upload.app.choice import check_only, ready_to_send  # heavy, like all that follows
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.cli.session import run_session
    from batch_upload.cli.upload import may_begin
    from batch_upload.clock import counting_s

    with needs_fleet():
        from batch_upload.fleet.upload import FleetResult, FleetUpload

    open_queue = None if dask is None else _dask_queue(dask, waits=not no_wait)
    timing, started, options = timing_of(dead_after), counting_s(), options_of(flags)

    def made(prepared: "Prepared", settings: "Settings", observer: Any, **given: Any) -> "FleetUpload":  # noqa: ANN401
        return FleetUpload(
            prepared,
            settings,
            observer,
            run_id=given["run_id"],
            started=given["started"],
            interruption=given["interruption"],
            waits=not no_wait,
            timing=timing,
            open_queue=open_queue,
        )

    def ended(result: "FleetResult") -> Ended:
        return Ended(result.summary, known={label: tuple(rows) for label, rows in result.known.items()})

    run_id = output.sinks.run_id
    prepared, settings = ready_or_recorded(
        "fleet upload", manifest, options, run_id=run_id, read_manifest=ready_to_send
    )
    check_only(settings, prepared)
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    output.left_for_later(prepared.young)
    output.skipped(prepared.problems)
    if prepared.manifest.targets and not may_begin(prepared, settings, yes=yes):
        summary = Summary("fleet upload", NOT_BEGUN, batch=prepared.manifest.batch)
        return Ended(summary, lines=(f"fleet upload: {NOT_BEGUN.reason}",))
    return run_session(
        made,
        manifest,
        flags,
        output,
        prepared=prepared,
        settings=settings,
        read=lambda: ready_to_send(manifest, options),
        started=started,
        ended_of=ended,
    )


def _dask_queue(address: str, *, waits: bool) -> "OpenQueue":
    """Return how to reach a Dask cluster. Raises UsageError without the extra, for a run that is not followed, and
    for what is no address."""
    if not waits:
        raise UsageError(
            "`--dask` needs the command until the end: a Dask cluster keeps no queue", hint="leave `--no-wait` out"
        )
    try:
        from batch_upload.fleet.dask_lanes import check_address, dask_queue
    except ImportError as error:
        raise UsageError(
            f"`--dask` needs more than is installed ({error})",
            hint="install it with `pip install 'batch-upload[fleet,dask]'`",
        ) from error
    check_address(address)
    return partial(dask_queue, address)


@verb(
    "fleet worker",
    ("ledger", "profile", "endpoint_url", "allow_endpoint", "concurrency"),
    OUTPUT_FLAGS,
    ("log_file", "log_format", "metrics_file"),
    declared=SHARED_LEDGER,
)
def fleet_worker_command(
    lanes: Annotated[
        int, typer.Option("--lanes", metavar="N", min=1, max=LANES_MAX, help="lanes that it works on at once")
    ] = LANES_DEFAULT,
    listen: Annotated[  # noqa: FBT002
        bool, typer.Option("--listen/--no-listen", help="`--no-listen` behind a pooler: only look for jobs every 2 s")
    ] = True,
    dead_after: DeadAfter = "30s",
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """work on lanes from the queue until a signal comes, then drain and hand them back"""
    import anyio  # heavy, like all that follows

    from batch_upload.app.interruption import Interruption
    from batch_upload.cli.process import fit_concurrency, keep_freed_memory
    from batch_upload.cli.session import observers_of, tick
    from batch_upload.cli.signals import watch_signals
    from batch_upload.engine.groups import task_group
    from batch_upload.settings import settings_of

    with needs_fleet():
        from batch_upload.fleet.upload import start_scheduled
        from batch_upload.fleet.worker import work

    timing, options = timing_of(dead_after), options_of(flags)
    if options.ledger is None:
        raise UsageError(
            "`fleet worker` needs the URL of the ledger",
            hint="`--ledger postgresql://HOST/DATABASE`, or the variable `BATCH_UPLOAD_LEDGER`",
        )
    ledger = options.ledger
    keep_freed_memory()
    fitting = fit_concurrency(settings_of(options, manifest=Path("worker")), output.warn, lanes=lanes)
    options = replace(options, concurrency=fitting.concurrency)

    async def run() -> Ended:
        observers, interruption = observers_of(output), Interruption()
        async with task_group() as group:
            await group.start(watch_signals, interruption, observers.close)
            group.start_soon(tick, observers)
            try:
                with interruption.scope:
                    counts = await work(
                        ledger,
                        options,
                        observers,
                        interruption,
                        lanes=lanes,
                        timing=timing,
                        listens=listen,
                        start=partial(
                            start_scheduled, own=replace(options, ledger=ledger), observer=observers, timing=timing
                        ),
                        on_ready=lambda: output.say("waiting for lanes, Ctrl-C ends it"),
                    )
                    output.say(f"{count_words(counts.ended, 'lane')} ended here, {counts.again:,} handed back")
            finally:
                observers.close()
                group.cancel_scope.cancel()
        return Ended(Summary("fleet worker", exit_of(interruption.code or ExitCode.DONE)), lines=())

    return anyio.run(run)


for _name, _command in (
    ("upload", fleet_upload_command),
    ("worker", fleet_worker_command),
    ("status", fleet_status_command),
    ("schedule", fleet_schedule_command),
):
    fleet_app.command(_name, short_help=_command.__doc__, epilog=epilog(f"fleet {_name}", exit_codes_text()))(_command)
