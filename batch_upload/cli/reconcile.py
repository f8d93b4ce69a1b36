"""`reconcile`: write into the ledger what the service proves. Only reads at the service."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    FILE_FLAGS,
    LEDGER_FLAGS,
    OUTPUT_FLAGS,
    SINK_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_upload.engine.listing import Cost


@verb(
    "reconcile",
    LEDGER_FLAGS,
    TARGET_FLAGS,
    ACCESS_FLAGS,
    ("safe_horizon", "wait_lock"),
    FILE_FLAGS,
    OUTPUT_FLAGS,
    SINK_FLAGS,
)
def reconcile_command(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question (there is none without a terminal)")
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """settle unknown outcomes, and rebuild a lost ledger from the identity tags; sends nothing"""
    from batch_upload.app.items import ready  # heavy, like all that follows: only when there is work
    from batch_upload.app.reconcile import ReconcileSession
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.cli.asking import can_ask, is_agreed
    from batch_upload.cli.session import known_items, run_session
    from batch_upload.clock import counting_s
    from batch_upload.engine.listing import cost_of_lanes
    from batch_upload.report.findings import cost_line, cost_words
    from batch_upload.report.ndjson import NO_LANE, in_lane, lanes_by_label

    started, options = counting_s(), options_of(flags)
    prepared, settings = ready_or_recorded("reconcile", manifest, options, run_id=output.sinks.run_id)

    async def may_begin(costs: "Mapping[str | None, Cost]") -> bool:
        lanes = lanes_by_label(prepared.manifest.targets)
        for label, cost in costs.items():
            line = cost_line(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s)
            output.event(in_lane(line, lanes.get(label, NO_LANE)))
        whole = cost_of_lanes(costs.values())
        output.say(f"cost: {cost_words(pages=whole.pages, tag_reads=whole.tag_reads, time_s=whole.time_s)}")
        return yes or not can_ask() or await is_agreed("reconcile?")

    return run_session(
        partial(ReconcileSession, may_begin=may_begin),
        manifest,
        flags,
        output,
        prepared=prepared,
        settings=settings,
        read=partial(ready, manifest, options),
        started=started,
        ended_of=lambda result: Ended(result.summary, known=known_items(result)),
    )
