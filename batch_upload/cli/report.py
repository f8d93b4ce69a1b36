"""`report`: the ledger for others."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.formats import Format
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def report(
    manifest: option.ManifestArgument,
    form: Annotated[
        Format, typer.Option("--format", help="csv, jsonl, html (a page), or a manifest to run")
    ] = Format.CSV,
    out: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output")] = None,
    only: option.OnlyOption = None,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """write the ledger for others: a row for each item, a page for people, or a manifest of some"""
    flags = Flags(
        ledger=ledger,
        local=local,
        only=tuple(only or ()),
        allow_outside=allow_outside,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.reporting import reported

        return reported(manifest, flags, output, form=form, out=out)

    run_verb("report", manifest, output, body)
