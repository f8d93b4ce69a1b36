"""The command: verbs, `--version`, and nothing that takes time to import."""

import gc
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from batch_upload.cli import (
    doctor,
    emulator,
    fleet,
    ledger,
    manifest,
    plan,
    prune,
    reconcile,
    report,
    status,
    targets,
    upload,
    validate,
    verify,
    watch,
    why,
)
from batch_upload.cli.help import epilog, exit_codes_text
from batch_upload.cli.process import COLLECTED_AFTER, demand_utf8_names, raise_open_files_limit
from batch_upload.cli.streams import failure_of, guard_standard_streams, reason_of

EXIT_CODES = exit_codes_text()

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
    """Take the flags before the verb."""


VERBS: dict[str, Callable[..., None]] = {
    "upload": upload.upload_command,
    "plan": plan.plan_command,
    "validate": validate.validate_command,
    "status": status.status_command,
    "why": why.why_command,
    "report": report.report_command,
    "watch": watch.watch_command,
    "verify": verify.verify_command,
    "reconcile": reconcile.reconcile_command,
    "prune": prune.prune_command,
    "doctor": doctor.doctor_command,
    "emulator": emulator.emulator_command,
}
for name, command in VERBS.items():
    # its sentence is also the short help, which the list of verbs would otherwise cut off
    exit_codes = "" if name == "emulator" else EXIT_CODES
    app.command(name, short_help=command.__doc__, epilog=epilog(name, exit_codes))(command)
app.add_typer(manifest.manifest_app, name="manifest")
app.add_typer(targets.targets_app, name="targets")
app.add_typer(fleet.fleet_app, name="fleet")
app.add_typer(ledger.ledger_app, name="ledger")


def main() -> None:
    """Run the command that the arguments name; leaves with its exit code."""
    demand_utf8_names()
    gc.set_threshold(COLLECTED_AFTER)
    guard_standard_streams()
    raise_open_files_limit()
    try:
        app(prog_name="batch-upload")
    except SystemExit as left:
        sys.stdout.flush()
        undelivered = failure_of(sys.stdout)
        if left.code or undelivered is None:
            raise
        sys.stderr.write(f"error: cannot write to standard output: {reason_of(undelivered)}\n")  # `--help`, `--version`
        raise SystemExit(1) from None
