"""The command: verbs, `--version`, and nothing that takes time to import."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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

_PROGRAM_NAME = "batch-upload"
_WrongArguments: Any = typer.BadParameter.__base__  # typer's own error of usage, which it does not export


class CommandLine(TyperGroup):
    """The verbs. Arguments that name none, or that a verb does not take, end with a summary too if `--json` asks."""

    def make_context(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - as typer has it
        """Read what stands before the verb. Raises as typer does."""
        with _summed_up():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401 - as typer has it
        """Run the verb. Raises as typer does."""
        with _summed_up():
            return super().invoke(ctx)


@contextmanager
def _summed_up() -> Iterator[None]:
    """Write a summary of arguments that cannot be read, if they ask for `--json`."""
    arguments = sys.argv[1:]
    try:
        yield
    except _WrongArguments as error:
        if wants_json(arguments):
            path = "" if error.ctx is None else error.ctx.command_path.removeprefix(_PROGRAM_NAME).strip()
            write_usage_summary(path or next((each for each in arguments if each in VERBS), ""))
        raise


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether arguments that cannot be read ask for `--json`: the last such flag counts, or the variable."""
    from batch_upload.cli.flags import Flags, truth_of
    from batch_upload.errors import UsageError

    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    given = [each == "--json" for each in before if each in ("--json", "--no-json")]
    try:
        return truth_of(Flags(json=given[-1] if given else None), "json")
    except UsageError:  # the variable is invalid, too: typer's message about the arguments is enough
        return False


def write_usage_summary(verb_name: str) -> None:
    """Write the line that is the last of every verb's `--json`, for arguments that no verb could read."""
    from batch_upload.errors import ExitCode
    from batch_upload.report.ndjson import write_line
    from batch_upload.summary import Summary, exit_of

    write_line(sys.stdout, Summary(verb=verb_name, exit=exit_of(ExitCode.USAGE)).as_json())


app = typer.Typer(
    name=_PROGRAM_NAME,
    cls=CommandLine,
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
        app(prog_name=_PROGRAM_NAME)
    except SystemExit as left:
        sys.stdout.flush()
        undelivered = failure_of(sys.stdout)
        if left.code or undelivered is None:
            raise
        sys.stderr.write(f"error: cannot write to standard output: {reason_of(undelivered)}\n")  # `--help`, `--version`
        raise SystemExit(1) from None
