"""`reconcile`: what the service proves is written into the ledger. Reads only, at the service."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import (
    ACCESS,
    FILES,
    LEDGER,
    OUTPUT,
    RECORDS,
    Flags,
    ManifestArgument,
    options_of,
    takes,
)
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.cli.witnesses import Witnesses

if TYPE_CHECKING:
    from batch_upload.app.interruption import Interruption
    from batch_upload.app.reconcile import ReconcileResult, ReconcileSession
    from batch_upload.engine.listing import Cost
    from batch_upload.ports import Observer


@takes(LEDGER, ACCESS, ("safe_horizon", "wait_lock"), FILES, OUTPUT, RECORDS)
def reconcile(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question (there is none without a terminal)")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """settle unknown outcomes, and rebuild a lost ledger from the identity tags; sends nothing"""
    output = Output.of(flags, Witnesses(flags))
    run_verb("reconcile", manifest, output, partial(_reconcile, manifest, flags, output, asks=not yes))


def _reconcile(path: Path, flags: Flags, output: Output, *, asks: bool) -> Ended:
    from batch_upload.app.items import ready  # heavy, like all that follows: only when there is work
    from batch_upload.app.reconcile import ReconcileSession
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.cli.asking import asker, can_ask, is_agreed
    from batch_upload.cli.on_lane import run_session
    from batch_upload.clock import counting_s
    from batch_upload.report.findings import cost_line, cost_words

    started, options, run_id = counting_s(), options_of(flags), output.witnesses.run_id
    prepared, settings = ready_or_recorded("reconcile", path, options, run_id=run_id)

    async def may_begin(cost: "Cost") -> bool:
        output.event(cost_line(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s))
        output.say(f"cost: {cost_words(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s)}")
        return not (asks and can_ask()) or await is_agreed("reconcile?")

    def make(observer: "Observer", interruption: "Interruption") -> "ReconcileSession":
        session = ReconcileSession(
            prepared,
            settings,
            observer,
            read=partial(ready, path, options),
            run_id=run_id,
            interruption=interruption,
            ask=asker(),
            started=started,
        )
        session.may_begin = may_begin
        return session

    def ended_of(result: "ReconcileResult") -> Ended:
        return Ended(result.summary, known=tuple(result.known.values()))

    return run_session(output, Repeated.of(flags, settings), make, ended_of)
