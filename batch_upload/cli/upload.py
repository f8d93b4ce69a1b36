"""`upload`: the main job. Resuming and retrying are the same command again."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batch_upload.cli.flags import (
    ACCESS,
    BOUNDS,
    FILES,
    LEDGER,
    OUTPUT,
    RATES,
    RECORDS,
    Flags,
    ManifestArgument,
    options_of,
    takes,
)
from batch_upload.cli.messages import PROBLEMS_SHOWN
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.cli.witnesses import Witnesses

if TYPE_CHECKING:
    from batch_upload.app.items import Prepared
    from batch_upload.app.upload import RunResult
    from batch_upload.settings import Settings

LARGEST_FREED_BYTES = 16 * 1024 * 1024
"""glibc then keeps twice as much at most in each of its arenas; it takes no more than 32 MiB for a measure."""
WAITING = ("no_wait", "settle_timeout", "safe_horizon", "wait_lock")


@takes(LEDGER, ACCESS, RATES, ("fixed_rate",), BOUNDS, ("only", "max_failures"), WAITING, FILES, OUTPUT, RECORDS)
def upload(manifest: ManifestArgument, *, flags: Flags) -> None:
    """upload what is not there yet, and wait until the service has finished with it"""
    output = Output.of(flags, Witnesses(flags))
    run_verb("upload", manifest, output, partial(_upload, manifest, flags, output))


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next document instead of giving it back to the system.

    Its measure is the largest piece that was ever freed (mallopt(3), M_MMAP_THRESHOLD); this one is never touched and
    so takes no memory. An effect on the whole process, so the command has it and no library. With documents of 450 KB
    it saves a sixth of an upload's time, without which an upload costs more than the bare SDK's
    (docs/decisions/the-call.md).
    """
    bytes(LARGEST_FREED_BYTES)


def _upload(path: Path, flags: Flags, output: Output) -> Ended:
    from batch_upload.app.items import check_only, ready  # heavy, like all that follows: only when there is work
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.app.upload import UploadSession
    from batch_upload.cli.asking import asker
    from batch_upload.cli.descriptors import fit
    from batch_upload.cli.on_lane import run_session
    from batch_upload.clock import counting_s

    keep_freed_memory()
    started, options, run_id = counting_s(), options_of(flags), output.witnesses.run_id

    def checked(prepared: "Prepared", settings: "Settings") -> "tuple[Prepared, Settings]":
        check_only(settings, prepared)
        return prepared, fit(settings, output)

    def ended_of(result: "RunResult") -> Ended:
        return Ended(result.summary, known=tuple(result.known.values()))

    prepared, settings = checked(*ready_or_recorded("upload", path, options, run_id=run_id))
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    make = partial(
        UploadSession,
        prepared,
        settings,
        read=lambda: checked(*ready(path, options)),
        run_id=run_id,
        ask=asker(),
        started=started,
    )
    return run_session(
        output,
        Repeated.of(flags, settings),
        lambda observer, interruption: make(observer=observer, interruption=interruption),
        ended_of,
    )
