"""`ledger migrate` makes a ledger's tables or brings them up to date, where a run may not."""

from contextlib import suppress
from typing import Annotated

import typer

from batch_upload.cli.flags import OUTPUT_FLAGS, Flags
from batch_upload.cli.help import epilog, exit_codes_text
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.ledger_address import PostgresUrl, ledger_address
from batch_upload.summary import Summary, exit_of

ledger_app = typer.Typer(help="look after a ledger", no_args_is_help=True)


@verb("ledger migrate", OUTPUT_FLAGS)
def migrate_command(
    ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="a file, or `postgresql://HOST/DATABASE`")],
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """make a ledger's tables, or bring them up to date; for a database whose workers have not the rights to"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.app.migrate import migrate_ledger

    address = ledger_address(ledger)

    async def make_all() -> None:
        await migrate_ledger(address)
        if isinstance(address, PostgresUrl):
            with suppress(ImportError):  # where the extra is missing, nothing uses the queue
                from batch_upload.fleet.jobs import Timing, lane_queue

                async with lane_queue(address, Timing()):
                    pass

    anyio.run(make_all)
    summary = Summary(verb="ledger migrate", exit=exit_of(ExitCode.DONE))
    return Ended(summary, lines=(printable(f"`{address}` is up to date"),))


ledger_app.command("migrate", short_help=migrate_command.__doc__, epilog=epilog("ledger migrate", exit_codes_text()))(
    migrate_command
)


@ledger_app.callback()
def _ledger() -> None:
    """Keep `migrate` a verb of its own, since a group of one would otherwise take its place."""
