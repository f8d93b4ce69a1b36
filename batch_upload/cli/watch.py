"""`watch`: the page, live, while a run goes on elsewhere."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import LEDGER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS, Flags, ManifestOrLedgerArgument, options_of
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.streams import raising
from batch_upload.cli.verb import Ended, verb
from batch_upload.model import State
from batch_upload.summary import EVENT_SCHEMA_VERSION, exit_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

ADDRESS_BYTES = 32
"""Random bytes in the address, so that it cannot be guessed."""


@verb("watch", ("only",), LEDGER_FLAGS, TARGET_FLAGS, ("allow_outside",), OUTPUT_FLAGS)
def watch_command(
    manifest: ManifestOrLedgerArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one")] = 0,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """serve the page of `report --format html` on loopback, live, while a run goes on elsewhere, until Ctrl-C"""
    import secrets  # heavy, like all that follows: only when there is work

    import anyio

    from batch_upload.app.ledger_view import summary_of_views
    from batch_upload.cli.signals import serve_until_signal
    from batch_upload.clock import counting_s
    from batch_upload.watch.follow import live_page
    from batch_upload.watch.lanes_page import LanesPage
    from batch_upload.watch.serve import served_page

    started, options = counting_s(), options_of(flags)

    async def watch() -> Ended:
        def on_start(url: str, group: "TaskGroup") -> None:
            if output.json:
                output.event({"event": "listening", "schema_version": EVENT_SCHEMA_VERSION, "url": url})
            else:
                with raising(sys.stdout):  # without its address the page is of no use
                    sys.stdout.write(f"{url}\n")
            output.say("watching; open the address in a browser on this machine, Ctrl-C ends it")
            group.start_soon(live.follow)

        async with live_page(manifest, options, invocation=invocation_of(manifest, flags, options)) as live:
            server = served_page(live, token=secrets.token_urlsafe(ADDRESS_BYTES), port=port)
            code = await serve_until_signal(server, on_start)
            page = live.follower.page
            pages = page.pages if isinstance(page, LanesPage) else [page]
            states = [Counter({State(name): count for name, count in each.states.items()}) for each in pages]
            found = live.follower.found
        summary = summary_of_views(found, "watch", started=started, ending=exit_of(code), states=states)
        return Ended(summary, lines=())

    return anyio.run(watch)
