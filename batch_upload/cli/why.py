"""`why`: one item's whole history, and what happens next. Talks to nobody."""

from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.completing import item_ids
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def why(
    manifest: option.ManifestArgument,
    item: Annotated[
        str,
        typer.Argument(
            metavar="ITEM", help="its id; one that begins with `-` goes behind `--`", autocompletion=item_ids
        ),
    ],
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """tell one item's whole history and what happens next, from manifest and ledger alone"""
    flags = Flags(ledger=ledger, local=local, allow_outside=allow_outside, json=json, quiet=quiet, verbose=verbose)
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.explaining import explained

        return explained(manifest, item, flags, output)

    run_verb("why", manifest, output, body)
