"""`report`: the ledger for others."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, takes
from batch_upload.cli.formats import Format
from batch_upload.cli.output import Ended, Output, run_verb


@takes(("only",), LEDGER, ("allow_outside",), OUTPUT)
def report(
    manifest: ManifestArgument,
    form: Annotated[
        Format, typer.Option("--format", help="csv, jsonl, html (a page), or a manifest to run")
    ] = Format.CSV,
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output")] = None,
    everything: Annotated[  # noqa: FBT002
        bool, typer.Option("--all/--no-all", help="also what was replaced, is no longer listed, or was deleted")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """write the ledger for others: a row for each item, a page for people, or a manifest of some"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.reporting import reported

        return reported(manifest, flags, output, form=form, out=out, everything=everything)

    run_verb("report", manifest, output, body)
