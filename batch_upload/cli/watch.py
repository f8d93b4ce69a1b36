"""`watch`: the page, live, while a run goes on elsewhere."""

from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def watch(
    manifest: option.ManifestArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    only: option.OnlyOption = None,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """serve the page of `report --format html` on loopback, live, while a run goes on elsewhere, until Ctrl-C"""
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
        from batch_upload.cli.watching import watched

        return watched(manifest, flags, output, port=port)

    run_verb("watch", manifest, output, body)
