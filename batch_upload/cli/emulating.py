"""What `emulator` does."""

import sys
from pathlib import Path

import anyio

from batch_upload.cli.output import Ended, Output
from batch_upload.cli.signals import Interrupts
from batch_upload.clock import counting_s
from batch_upload.emulator import ConfigurationError, EmulatorSettings, RunningEmulator, serving
from batch_upload.engine.groups import task_group
from batch_upload.errors import ExitCode, UsageError
from batch_upload.summary import Summary, exit_of


def emulated(output: Output, *, port: int, state: Path | None, settings: str | None) -> Ended:
    """Serve until a signal comes."""
    started = counting_s()
    try:
        code = anyio.run(_serve, output, port, state, EmulatorSettings.from_argument(settings))
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    summary = Summary(verb="emulator", exit=exit_of(code), elapsed_s=counting_s() - started)
    return Ended(summary, lines=())


async def _serve(output: Output, port: int, state: Path | None, settings: EmulatorSettings) -> ExitCode:
    async with task_group() as group:
        stopped = anyio.Event()
        interrupts = Interrupts(at_once=lambda: None)
        interrupts.drain_with(lambda _: stopped.set())
        await group.start(interrupts.watch)
        async with serving(settings, port=port, state_path=state) as running:
            _announce(output, running)
            await stopped.wait()
        group.cancel_scope.cancel()
    return interrupts.code or ExitCode.DONE


def _announce(output: Output, running: RunningEmulator) -> None:
    if output.json:
        output.event({"event": "listening", "schema_version": 1, "url": running.url})
    else:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
    output.say(
        f"listening on {running.url}, Ctrl-C ends it",
        f"hint: `AWS_ENDPOINT_URL={running.url} batch-upload upload MANIFEST`, with any credentials",
    )
