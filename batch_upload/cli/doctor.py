"""`doctor`: is everything there that a run needs? Reads only."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli.flags import ACCESS, LEDGER, OUTPUT, Flags, takes
from batch_upload.cli.output import Ended, Output, run_verb


@takes(LEDGER, ACCESS, ("allow_outside",), OUTPUT)
def doctor(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="look at its target and its ledger, too")
    ] = None,
    *,
    flags: Flags,
) -> None:
    """check credentials, account, Region, permissions, clock, capacity and ledger; changes nothing"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.examining import examined

        return examined(manifest, flags, output)

    run_verb("doctor", manifest, output, body)
