"""`emulator`: the local service on its own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import OUTPUT_FLAGS, Flags
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import UsageError
from batch_upload.summary import EVENT_SCHEMA_VERSION, Summary, exit_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from batch_upload.emulator import RunningEmulator


@verb("emulator", OUTPUT_FLAGS)
def emulator_command(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    state: Annotated[Path | None, typer.Option("--state", metavar="FILE", help="keep its state in a file")] = None,
    settings: Annotated[
        str | None,
        typer.Option("--settings", metavar="JSON or FILE", help="rates, quotas and faults: docs/emulator.md"),
    ] = None,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """serve the emulated service on loopback until Ctrl-C; its address is the only line on stdout"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.cli.signals import serve_until_signal
    from batch_upload.emulator import ConfigurationError, EmulatorSettings, serving

    def on_start(running: "RunningEmulator", _group: "TaskGroup") -> None:
        if output.json:
            output.event({"event": "listening", "schema_version": EVENT_SCHEMA_VERSION, "url": running.url})
        else:
            sys.stdout.write(f"{running.url}\n")
            sys.stdout.flush()
        output.say(
            f"listening on {running.url}, Ctrl-C ends it",
            f"hint: `AWS_ENDPOINT_URL={running.url} batch-upload upload MANIFEST`, with any credentials",
        )

    try:
        server = serving(EmulatorSettings.from_argument(settings), port=port, state_path=state)
        code = anyio.run(serve_until_signal, server, on_start)
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    return Ended(Summary(verb="emulator", exit=exit_of(code)), lines=())
