"""`upload`: the main job. Resuming and retrying are the same command again."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    BOUND_FLAGS,
    FILE_FLAGS,
    INVALID_FLAGS,
    LEDGER_FLAGS,
    OUTPUT_FLAGS,
    RATE_FLAGS,
    SINK_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.messages import PROBLEMS_SHOWN
from batch_upload.cli.output import Output
from batch_upload.cli.process import fit_concurrency, keep_freed_memory
from batch_upload.cli.verb import Ended, verb
from batch_upload.report.ndjson import problem_line
from batch_upload.summary import NOT_BEGUN, Summary

if TYPE_CHECKING:
    from batch_upload.app.sendable import Prepared
    from batch_upload.app.upload import RunResult
    from batch_upload.settings import Settings

WAITING_FLAGS = ("no_wait", "settle_timeout", "safe_horizon", "wait_lock")


@verb(
    "upload",
    LEDGER_FLAGS,
    TARGET_FLAGS,
    ACCESS_FLAGS,
    RATE_FLAGS,
    ("fixed_rate",),
    BOUND_FLAGS,
    ("only", "max_failures"),
    WAITING_FLAGS,
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    SINK_FLAGS,
)
def upload_command(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question before a first run over many lanes")
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """upload what is not there yet, and wait until the service has finished with it"""
    from batch_upload.app.choice import check_only, ready_to_send  # heavy, like all that follows
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.app.upload import UploadSession
    from batch_upload.cli.session import known_items, run_session
    from batch_upload.clock import counting_s

    keep_freed_memory()
    started, options = counting_s(), options_of(flags)

    def checked(prepared: "Prepared", settings: "Settings") -> "tuple[Prepared, Settings]":
        check_only(settings, prepared)
        lanes = len({item.lane_label for item in prepared.items})
        return prepared, fit_concurrency(settings, output.warn, lanes=lanes)

    run_id = output.sinks.run_id
    found = ready_or_recorded("upload", manifest, options, run_id=run_id, read_manifest=ready_to_send)
    prepared, settings = checked(*found)
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    output.left_for_later(prepared.young)
    output.skipped(prepared.problems)

    def ended_of(result: "RunResult") -> Ended:
        for problem in dict.fromkeys(problem for lane in result.lanes.values() for problem in lane.problems):
            output.event(problem_line(problem))  # people have read them as notices of the lane
        return Ended(result.summary, known=known_items(result))

    if prepared.manifest.targets and not may_begin(prepared, settings, yes=yes):
        summary = Summary("upload", NOT_BEGUN, batch=prepared.manifest.batch)
        return Ended(summary, lines=(f"upload: {NOT_BEGUN.reason}",))
    return run_session(
        UploadSession,
        manifest,
        flags,
        output,
        prepared=prepared,
        settings=settings,
        read=lambda: checked(*ready_to_send(manifest, options)),
        started=started,
        ended_of=ended_of,
    )


def may_begin(prepared: "Prepared", settings: "Settings", *, yes: bool) -> bool:
    """Return whether a run may begin: a person at a terminal is asked before a first run over many lanes."""
    import anyio

    from batch_upload.app.items import lane_parts
    from batch_upload.app.lanes import new_lanes
    from batch_upload.cli.asking import is_first_run_agreed
    from batch_upload.cli.signals import until_interrupted

    parts = lane_parts(prepared, settings)
    items = sum(len(part.prepared.items) for part in parts)
    asked = partial(is_first_run_agreed, partial(new_lanes, parts, settings.ledger), items, yes=yes)
    return anyio.run(until_interrupted, asked)
