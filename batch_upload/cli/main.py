"""The command: verbs, `--version`, and nothing that takes time to import."""

import gc
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from batch_upload.cli import (
    doctor,
    emulator,
    manifest,
    plan,
    prune,
    reconcile,
    report,
    status,
    upload,
    validate,
    verify,
    watch,
    why,
)
from batch_upload.cli.descriptors import raise_limit
from batch_upload.cli.examples import epilog
from batch_upload.cli.streams import failure_of, guard_standard_streams, reason_of
from batch_upload.cli.utf8 import demand_utf8_names

EXIT_CODES = """exit codes:

0 done, or nothing to do | 1 our fault | 2 usage | 3 plan --detailed-exitcode: there is work

10-19, the same command again will do: 10 transient errors left | 11 another run holds the ledger | 12 deadline |
13 the day's quota is used up | 14 still processing

20-29, a person must act: 20 some items failed | 21 manifest or file invalid, nothing sent | 22 credentials, permission,
wrong account, or the way to AWS is barred | 23 too many failures, stopped | 24 ledger unusable, newer, or of another
account or Region | 25 service and ledger disagree | 26 outcomes unknown | 27 the account is full: raise the quota or
prune

130/143 drained after SIGINT/SIGTERM"""

COLLECTED_AFTER = 10_000
"""New objects after which the garbage collector looks for cycles, instead of Python's 700. What is imported stays: at
700 the collector takes 7 % of a start with the SDK or SQLAlchemy. At 10,000 it takes 1 % of reading 400,000 entries.
This is set for the whole process, so by the command and not by the library."""

app = typer.Typer(
    name="batch-upload",
    help="upload registration attachments to AWS End User Messaging SMS from a manifest",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the callback of a flag
    if wanted:
        from importlib.metadata import version  # as heavy as all the rest of `--help`

        typer.echo(f"batch-upload {version('batch-upload')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[  # noqa: FBT002
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """What stands before the verb."""


def _add(name: str, verb: Callable[..., None], after: str = EXIT_CODES) -> None:
    """Add a verb. Its sentence is also its short help, which the list of verbs would otherwise cut off."""
    app.command(name, short_help=verb.__doc__, epilog=epilog(name, after))(verb)


_add("upload", upload.upload)
_add("plan", plan.plan)
_add("validate", validate.validate)
_add("status", status.status)
_add("why", why.why)
_add("report", report.report)
_add("watch", watch.watch)
_add("verify", verify.verify)
_add("reconcile", reconcile.reconcile)
_add("prune", prune.prune)
app.add_typer(manifest.app, name="manifest")
_add("doctor", doctor.doctor)
_add("emulator", emulator.emulator, after="")


def main() -> None:
    """Run the command that the arguments name; leaves with its exit code."""
    demand_utf8_names()
    gc.set_threshold(COLLECTED_AFTER)
    guard_standard_streams()
    raise_limit()
    try:
        app(prog_name="batch-upload")
    except SystemExit as left:
        sys.stdout.flush()
        undelivered = failure_of(sys.stdout)
        if left.code or undelivered is None:
            raise
        sys.stderr.write(f"error: cannot write to standard output: {reason_of(undelivered)}\n")  # `--help`, `--version`
        raise SystemExit(1) from None
