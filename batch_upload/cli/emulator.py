"""`emulator`: the local service on its own."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli.flags import OUTPUT, Flags, takes
from batch_upload.cli.output import Ended, Output, run_verb


@takes(OUTPUT)
def emulator(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    state: Annotated[Path | None, typer.Option("--state", metavar="FILE", help="keep its state in a file")] = None,
    settings: Annotated[
        str | None,
        typer.Option("--settings", metavar="JSON or FILE", help="rates, quotas and faults: docs/emulator.md"),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """serve the emulated service on loopback until Ctrl-C; its address is the only line on stdout"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.emulating import emulated

        return emulated(output, port=port, state=state, settings=settings)

    run_verb("emulator", None, output, body)
