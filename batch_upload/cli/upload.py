"""`upload`: the main job. Resuming and retrying are the same command again."""

from typing import TYPE_CHECKING

from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    BOUND_FLAGS,
    FILE_FLAGS,
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

if TYPE_CHECKING:
    from batch_upload.app.items import Prepared
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
    OUTPUT_FLAGS,
    SINK_FLAGS,
)
def upload_command(manifest: ManifestArgument, *, flags: Flags, output: Output) -> Ended:
    """upload what is not there yet, and wait until the service has finished with it"""
    from batch_upload.app.items import (
        check_only,
        lane_parts,
        ready,
    )  # heavy, like all that follows: only when there is work
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.app.upload import UploadSession
    from batch_upload.cli.session import known_items, run_session
    from batch_upload.clock import counting_s

    keep_freed_memory()
    started, options = counting_s(), options_of(flags)

    def checked(prepared: "Prepared", settings: "Settings") -> "tuple[Prepared, Settings]":
        check_only(settings, prepared)
        return prepared, fit_concurrency(settings, output.warn, lanes=len(lane_parts(prepared, settings)))

    prepared, settings = checked(*ready_or_recorded("upload", manifest, options, run_id=output.sinks.run_id))
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    return run_session(
        UploadSession,
        manifest,
        flags,
        output,
        prepared=prepared,
        settings=settings,
        read=lambda: checked(*ready(manifest, options)),
        started=started,
        ended_of=lambda result: Ended(result.summary, known=known_items(result)),
    )
