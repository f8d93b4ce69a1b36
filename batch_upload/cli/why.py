"""`why`: one item's whole history, and what happens next. Makes no request."""

from typing import Annotated

import typer

from batch_upload.cli.completing import item_ids
from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb


@takes(LEDGER, ("allow_outside",), OUTPUT)
def why(
    manifest: ManifestArgument,
    item: Annotated[
        str,
        typer.Argument(
            metavar="ITEM", help="its id; one that begins with `-` goes behind `--`", autocompletion=item_ids
        ),
    ],
    *,
    flags: Flags,
) -> None:
    """tell one item's whole history and what happens next, from manifest and ledger alone"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.explaining import explained

        return explained(manifest, item, flags, output)

    run_verb("why", manifest, output, body)
