"""`watch`: the page, live, while a run goes on elsewhere."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, options_of, takes
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.cli.streams import raising
from batch_upload.errors import ExitCode

if TYPE_CHECKING:
    from batch_upload.watch.follow import LivePage

TOKEN_BYTES = 32
"""Of chance in the address: more than anybody can try."""


@takes(("only",), LEDGER, ("allow_outside",), OUTPUT)
def watch(
    manifest: ManifestArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    *,
    flags: Flags,
) -> None:
    """serve the page of `report --format html` on loopback, live, while a run goes on elsewhere, until Ctrl-C"""
    import anyio  # heavy, and only when there is work

    output = Output.of(flags)
    run_verb("watch", manifest, output, lambda: anyio.run(partial(_watch, manifest, flags, output, port=port)))


async def _watch(path: Path, flags: Flags, output: Output, *, port: int) -> Ended:
    from dataclasses import replace

    from batch_upload.app.ledger_view import summary_of_view
    from batch_upload.clock import counting_s
    from batch_upload.summary import exit_of
    from batch_upload.watch.follow import live_page

    started, options = counting_s(), options_of(flags)
    async with live_page(path, options, repeated=Repeated.of(flags, options).flags) as live:
        code = await _serve(live, output, port)
        page = live.follower.page
        states = page.states
    summary = summary_of_view(page.found, "watch", started=started, ending=exit_of(code))
    return Ended(replace(summary, states=states), lines=())


async def _serve(live: "LivePage", output: Output, port: int) -> ExitCode:
    """Serve the page until the first signal, and return its exit code."""
    import secrets

    import anyio

    from batch_upload.cli.signals import Interrupts
    from batch_upload.engine.groups import task_group
    from batch_upload.watch.serve import served_page

    async with task_group() as group:
        stopped = anyio.Event()
        interrupts = Interrupts(at_once=lambda: None)
        interrupts.drain_with(lambda _: stopped.set())
        await group.start(interrupts.watch)
        async with served_page(live, token=secrets.token_urlsafe(TOKEN_BYTES), port=port) as url:
            if output.json:
                output.event({"event": "listening", "schema_version": 1, "url": url})
            else:
                with raising(sys.stdout):  # without its address the page is of no use
                    sys.stdout.write(f"{url}\n")
            output.say("watching; open the address in a browser on this machine, Ctrl-C ends it")
            group.start_soon(live.follow)
            await stopped.wait()
        group.cancel_scope.cancel()
    return interrupts.code or ExitCode.DONE
