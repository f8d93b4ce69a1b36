"""What `watch` does."""

import secrets
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from batch_upload.app.ledger_view import summary_of_view
from batch_upload.cli.flags import Flags
from batch_upload.cli.following import Live, following
from batch_upload.cli.output import Ended, Output
from batch_upload.cli.signals import Interrupts
from batch_upload.cli.streams import raising
from batch_upload.clock import counting_s
from batch_upload.engine.groups import task_group
from batch_upload.errors import ExitCode
from batch_upload.summary import exit_of
from batch_upload.watch.serve import serving

TOKEN_BYTES = 32
"""Of chance in the address: more than anybody can try."""


def watched(path: Path, flags: Flags, output: Output, *, port: int) -> Ended:
    """Serve the page until a signal comes."""
    return anyio.run(partial(_watched, path, flags, output, port=port, started=counting_s()))


async def _watched(path: Path, flags: Flags, output: Output, *, port: int, started: float) -> Ended:
    async with following(path, flags) as live:
        code = await _serve(live, output, port)
        page = live.follower.page
        states = page.states
    summary = summary_of_view(page.found, "watch", started=started, ending=exit_of(code))
    return Ended(replace(summary, states=states), lines=())


async def _serve(live: Live, output: Output, port: int) -> ExitCode:
    async with task_group() as group:
        stopped = anyio.Event()
        interrupts = Interrupts(at_once=lambda: None)
        interrupts.drain_with(lambda _: stopped.set())
        await group.start(interrupts.watch)
        async with serving(live, token=secrets.token_urlsafe(TOKEN_BYTES), port=port) as url:
            _announce(output, url)
            group.start_soon(live.follow)
            await stopped.wait()
        group.cancel_scope.cancel()
    return interrupts.code or ExitCode.DONE


def _announce(output: Output, url: str) -> None:
    if output.json:
        output.event({"event": "listening", "schema_version": 1, "url": url})
    else:
        with raising(sys.stdout):  # without its address the page is of no use
            sys.stdout.write(f"{url}\n")
    output.say("watching; open the address in a browser on this machine, Ctrl-C ends it")
