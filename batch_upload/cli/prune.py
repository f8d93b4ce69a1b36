"""`prune`: delete attachments that this tool created and that the manifest no longer lists."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    LEDGER_FLAGS,
    OUTPUT_FLAGS,
    SINK_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode, UsageError
from batch_upload.words import count_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batch_upload.app.prune import PruneResult
    from batch_upload.app.sendable import Prepared
    from batch_upload.engine.prune import Pruning
    from batch_upload.ports import Observer
    from batch_upload.report.ndjson import LaneRef
    from batch_upload.settings import Settings


@verb(
    "prune",
    LEDGER_FLAGS,
    TARGET_FLAGS,
    ACCESS_FLAGS,
    ("concurrency", "wait_lock", "allow_outside"),
    OUTPUT_FLAGS,
    SINK_FLAGS,
)
def prune_command(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question; without a terminal nothing is deleted otherwise")
    ] = False,
    max_deletes: Annotated[
        int | None,
        typer.Option("--max-deletes", metavar="N", min=0, help="with `--yes`: default half of what the batch has"),
    ] = None,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """delete attachments that this tool created and that the manifest no longer lists; shows them first"""
    from batch_upload.app.items import ready  # heavy, like all that follows: only when there is work
    from batch_upload.app.prune import PruneSession, demand_whole
    from batch_upload.app.session import ready_or_recorded
    from batch_upload.cli.session import run_session
    from batch_upload.clock import counting_s
    from batch_upload.events import PruneOutcome
    from batch_upload.report.summary_text import lane_lines

    started = counting_s()
    # a deletion cannot be undone: every file is read, even if its digest is remembered
    options = replace(options_of(flags), rehash=True)
    prepared, settings = ready_or_recorded("prune", manifest, options, run_id=output.sinks.run_id)
    demand_whole(prepared.manifest)

    def make(prepared: "Prepared", settings: "Settings", observer: "Observer", **named: Any) -> PruneSession:  # noqa: ANN401
        from batch_upload.report.ndjson import lanes_by_label

        named_lanes = lanes_by_label(prepared.manifest.targets)
        decide = partial(may_delete, output, named_lanes=named_lanes, yes=yes, max_deletes=max_deletes)
        return PruneSession(prepared, settings, _SparedPrinter(observer, output), decide=decide, **named)

    def ended_of(result: "PruneResult") -> Ended:
        if result.was_cut_off:
            return Ended(result.summary)
        counts = [f"{result.counts[each]:,} {each}" for each in PruneOutcome if result.counts.get(each)]
        if result.left:
            counts.append(f"{result.left:,} left for the next run")
        summary = result.summary
        if summary.lanes and summary.exit.code is not ExitCode.DONE and counts:
            counts.append(summary.exit.reason)
        line = f"prune: {', '.join(counts) or summary.exit.reason}"
        return Ended(summary, lines=(line, *lane_lines(summary.lanes, invocation_of(manifest, flags, settings))))

    return run_session(
        make,
        manifest,
        flags,
        output,
        prepared=prepared,
        settings=settings,
        read=partial(ready, manifest, options),
        started=started,
        ended_of=ended_of,
    )


async def may_delete(
    output: Output,
    lanes: "Mapping[str | None, Pruning]",
    *,
    named_lanes: "Mapping[str | None, LaneRef]",
    yes: bool,
    max_deletes: int | None,
) -> bool:
    """Show what would be deleted in each lane, and return whether it may be: with `yes`, else as a person answers.

    `named_lanes` are the lanes of `targets` by their labels.

    With `yes`, `max_deletes` attachments at most in all lanes; None: half of what the batch has in each lane. Raises
    UsageError for more, and if there is no person to ask.
    """
    from batch_upload.cli.asking import can_ask, is_agreed
    from batch_upload.report.findings import PruneRow, prune_lines
    from batch_upload.report.ndjson import NO_LANE

    rows = [
        PruneRow(
            deletes,
            each.known.item_id,
            each.known.client_token,
            each.known.attachment_id,
            each.reason,
            named_lanes.get(label, NO_LANE),
        )
        for label, found in lanes.items()
        for deletes, some in ((True, found.candidates), (False, found.spared))
        for each in some
    ]
    for row in rows:
        output.event(row.as_json())
    if not output.quiet:
        output.answer(prune_lines(rows))
    candidates = sum(len(found.candidates) for found in lanes.values())
    if not candidates:
        return False
    attachments = count_words(candidates, "attachment")
    if not yes and can_ask():
        return await is_agreed(f"delete {attachments}?")
    if not yes:
        hint = "`--yes` deletes them without a question"
        raise UsageError(f"{attachments} would be deleted, and there is nobody to ask", hint=hint)
    limits = [("", candidates, sum(found.standing for found in lanes.values()), max_deletes)]
    if max_deletes is None:
        # Only what is not listed counts: a part of a manifest must not delete the rest of the batch unseen. Each lane
        # has its own limit: a lane whose items were all removed would be too small a part of the sum to be noticed.
        limits = [
            ("" if label is None else f" in `{label}`", found.unlisted, found.standing, found.standing // 2)
            for label, found in lanes.items()
        ]
    for where, count, standing, allowed in limits:
        if allowed is not None and count > allowed:
            raise UsageError(
                f"{count:,} of {standing:,} attachments of this batch{where} would be deleted, {allowed:,} may be;"
                " nothing was deleted",
                hint=f"if this is the whole manifest of the batch: `--max-deletes {candidates}`",
            )
    return True


class _SparedPrinter:
    """An observer that prints at once what was not deleted, and hands every event on."""

    def __init__(self, observer: "Observer", output: Output) -> None:
        self._observer = observer
        self._output = output

    def notify(self, event: object) -> None:
        """Hand the event on, and print what it spares."""
        from batch_upload.events import Pruned, PruneOutcome, lane_and_event
        from batch_upload.report.lane_words import in_lane_words

        self._observer.notify(event)
        lane, event = lane_and_event(event)
        if isinstance(event, Pruned) and event.outcome is not PruneOutcome.DELETED:
            sentence = f"{event.outcome}: `{event.known.item_id}`: {event.reason}"
            self._output.say(sentence if lane is None else in_lane_words(lane.label, sentence))
