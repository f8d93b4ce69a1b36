"""`emulator`: the local service on its own."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import OUTPUT, Flags, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from batch_upload.emulator import EmulatorSettings


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
    run_verb("emulator", None, output, partial(_emulator, output, port, state, settings))


def _emulator(output: Output, port: int, state: Path | None, settings: str | None) -> Ended:
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.clock import counting_s
    from batch_upload.emulator import ConfigurationError, EmulatorSettings
    from batch_upload.summary import Summary, exit_of

    started = counting_s()
    try:
        code = anyio.run(_serve, output, port, state, EmulatorSettings.from_argument(settings))
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    return Ended(Summary(verb="emulator", exit=exit_of(code), elapsed_s=counting_s() - started), lines=())


async def _serve(output: Output, port: int, state: Path | None, settings: "EmulatorSettings") -> ExitCode:
    """Serve until the first signal, and return its exit code."""
    import anyio

    from batch_upload.cli.signals import Interrupts
    from batch_upload.emulator import serving
    from batch_upload.engine.groups import task_group

    async with task_group() as group:
        stopped = anyio.Event()
        interrupts = Interrupts(at_once=lambda: None)
        interrupts.drain_with(lambda _: stopped.set())
        await group.start(interrupts.watch)
        async with serving(settings, port=port, state_path=state) as running:
            if output.json:
                output.event({"event": "listening", "schema_version": 1, "url": running.url})
            else:
                sys.stdout.write(f"{running.url}\n")
                sys.stdout.flush()
            output.say(
                f"listening on {running.url}, Ctrl-C ends it",
                f"hint: `AWS_ENDPOINT_URL={running.url} batch-upload upload MANIFEST`, with any credentials",
            )
            await stopped.wait()
        group.cancel_scope.cancel()
    return interrupts.code or ExitCode.DONE
