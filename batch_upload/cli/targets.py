"""`targets discover` writes a file of targets from AWS Organizations."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.files import (
    exists_already,
    is_standard_output,
    output_file,
    standard_output,
    would_replace,
)
from batch_upload.cli.flags import OUTPUT_FLAGS, Flags, options_of
from batch_upload.cli.help import epilog, exit_codes_text
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode, UsageError
from batch_upload.escape import printable
from batch_upload.summary import EVENT_SCHEMA_VERSION, Summary, exit_of
from batch_upload.words import count_words

if TYPE_CHECKING:
    from batch_upload.app.discover import Discovered

targets_app = typer.Typer(help="make files of targets: the accounts and Regions of a manifest", no_args_is_help=True)


@verb("targets discover", ("profile", "endpoint_url", "allow_endpoint"), OUTPUT_FLAGS)
def discover_command(
    role: Annotated[
        str, typer.Option("--role", metavar="NAME", help="the role in each account, or an ARN with `{account}`")
    ],
    ou: Annotated[
        list[str] | None,
        typer.Option("--ou", metavar="ID", help="only accounts in this unit and below it (again and again)"),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option("--region", metavar="R", help="a Region of each account (again and again)"),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output")] = None,
    force: Annotated[bool, typer.Option("--force/--no-force", help="replace FILE if there is one")] = False,  # noqa: FBT002
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """write a file of targets to review: the active accounts of AWS Organizations; changes nothing there"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.app.discover import DiscoverOptions, discover
    from batch_upload.app.observers import Silent
    from batch_upload.cli.asking import asker
    from batch_upload.cli.signals import until_interrupted

    if out is not None and is_standard_output(out):
        out = None
    if output.json and out is None:
        raise UsageError("`targets discover --json` needs `-o FILE`: standard output is for the summary")
    if out is not None and would_replace(out) and not force:
        raise exists_already(out)
    wanted = DiscoverOptions(role=role, units=tuple(ou or ()), regions=tuple(region or ()))
    work = partial(discover, wanted, options_of(flags), Silent(), ask=asker())
    found = anyio.run(until_interrupted, work)
    for each in found.targets:
        line = {"target": each.name, "account": each.account, "account_name": printable(each.account_name)}
        output.event({"event": "target", "schema_version": EVENT_SCHEMA_VERSION, **line})
    summary = Summary(
        verb="targets discover",
        exit=exit_of(ExitCode.DONE),
        requests=found.requests,
        throttled=found.throttled,
    )
    return Ended(summary, lines=tuple(write_targets(found, out, has_regions=bool(wanted.regions), force=force)))


def write_targets(found: "Discovered", out: Path | None, *, has_regions: bool, force: bool) -> list[str]:
    """Write the file, to standard output for None. Return what was written, and what to do next."""
    lines = (f"{line}\n" for line in found.lines)
    count = count_words(len(found.targets), "account")
    if out is None:
        with standard_output() as stream:
            stream.writelines(lines)
        return [count]
    with output_file(out, replace=force) as stream:
        stream.writelines(lines)
    regions = "" if has_regions else ", and `targets.defaults.regions` there, as no `--region` was given"
    return [
        printable(f"{count} in `{out}`"),
        printable(f"next: review it, then name it in a manifest, `targets: {{from: {out.name}}}`{regions}"),
    ]


targets_app.command(
    "discover", short_help=discover_command.__doc__, epilog=epilog("targets discover", exit_codes_text())
)(discover_command)


@targets_app.callback()
def _targets() -> None:
    """Keep `discover` a verb of its own, since a group of one would otherwise take its place."""
