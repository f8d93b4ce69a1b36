"""`watch`: the page, live, while a run goes on elsewhere."""

from typing import Annotated

import typer

from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb


@takes(("only",), LEDGER, ("allow_outside",), OUTPUT)
def watch(
    manifest: ManifestArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    *,
    flags: Flags,
) -> None:
    """serve the page of `report --format html` on loopback, live, while a run goes on elsewhere, until Ctrl-C"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.watching import watched

        return watched(manifest, flags, output, port=port)

    run_verb("watch", manifest, output, body)
