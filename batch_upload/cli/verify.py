"""`verify`: compare the ledger with what the service holds. Changes nothing, here or there."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli import messages
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
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode
from batch_upload.report.item_text import denial_lines
from batch_upload.report.ndjson import LaneRef, denial_line, in_lane
from batch_upload.report.summary_text import Invocation, counts_lines, headline, lane_lines
from batch_upload.targets import Target

if TYPE_CHECKING:
    from batch_upload.app.sendable import Prepared
    from batch_upload.app.verify import Verification
    from batch_upload.engine.fields import Misplaced
    from batch_upload.report.findings import FieldFinding, FindingCounts, FindingRow

TAGS_ADVICE = "# put the tags back that were sent: a lost ledger is rebuilt from `batch-upload:token`"


@verb("verify", LEDGER_FLAGS, TARGET_FLAGS, ACCESS_FLAGS, FILE_FLAGS, OUTPUT_FLAGS, SINK_FLAGS)
def verify_command(
    manifest: ManifestArgument,
    tags: Annotated[  # noqa: FBT002
        bool, typer.Option("--tags/--no-tags", help="read every attachment's tags, 10 a second, and compare them too")
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """compare the ledger with what AWS holds; changes nothing"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.app.items import ready_to_read
    from batch_upload.app.verify import verify_prepared
    from batch_upload.cli.asking import asker
    from batch_upload.cli.session import observers_of
    from batch_upload.cli.signals import until_interrupted
    from batch_upload.clock import counting_s

    started = counting_s()
    prepared, settings = ready_to_read(manifest, options_of(flags))
    observers = observers_of(output)
    work = partial(verify_prepared, prepared, settings, observers, tags=tags, ask=asker(), started=started)
    try:
        found = anyio.run(partial(until_interrupted, work, at_once=observers.close))
    finally:
        observers.close()
    show_comparison(found, prepared, output, invocation_of(manifest, flags, settings), settings.profile)
    return Ended(found.summary, lines=())


def show_comparison(
    found: "Verification", prepared: "Prepared", output: Output, invocation: Invocation, profile: str | None
) -> None:
    """Print every finding, the numbers and what to do. `profile` makes AWS's own tool reach a lane without its own."""
    from batch_upload.app.items import missing_files
    from batch_upload.app.lanes import LaneOutcome
    from batch_upload.report.findings import difference_lines, field_lines, finding_lines, tag_lines, tags_words

    all_rows: list[FindingRow] = []
    tag_commands: list[str] = []
    warnings: list[tuple[str, str, str]] = []
    for lane in found.lanes or [LaneOutcome(Target(), found)]:
        summary = lane.value.summary
        ref = LaneRef(lane.target.label, summary.account or lane.target.account, summary.region or lane.target.region)
        rows = finding_rows(lane.value, ref)
        all_rows += rows
        for row in rows:
            output.event(row.as_json())
        for known in lane.value.denied:
            if (denial := known.standing_denial) is not None:
                output.event(in_lane(denial_line(known, denial), ref))
        output.event(in_lane(finding_counts(lane.value).as_json(), ref))
        if lane.error is not None:
            warnings.append((ref.target or "", lane.error.message, lane.error.hint))
        own_profile = lane.target.profile or profile
        aws_flags = ("--region", ref.region or "", *(() if own_profile is None else ("--profile", own_profile)))
        tag_commands += tag_lines(rows, aws_flags)
    output.say(*messages.lane_warnings_text(warnings))
    if output.quiet:
        return
    counts = finding_counts(found)
    tags = tags_words(counts, reads=counts.listed, reads_per_s=found.tag_reads_per_s)
    numbers = (f"  {line}" for line in (*counts.lines(), tags, *counts_lines(found.summary)))
    obstacles = messages.obstacle_lines(missing_files(prepared), prepared, gone=found.gone, invocation=invocation)
    next_steps: list[str] = []
    if found.ledger_codes & {ExitCode.DISAGREEMENT, ExitCode.OUTCOMES_UNKNOWN}:
        next_steps.append(f"{invocation.command('reconcile')}    # writes into the ledger what the service proves")
    elif found.ledger_codes & {ExitCode.TRANSIENT, ExitCode.STILL_PROCESSING}:
        next_steps.append(f"{invocation.command('upload')}    # goes on with what is open")
    if tag_commands:
        next_steps += [TAGS_ADVICE, *tag_commands]
    titled = ["next:", *(f"  {line}" for line in next_steps)] if next_steps else []
    lanes = lane_lines(found.summary.lanes, invocation)
    findings = (*finding_lines(all_rows), *difference_lines(all_rows), *field_lines(all_rows))
    denied = {lane.target.label or "": lane.value.denied for lane in found.lanes} if found.lanes else found.denied
    # where all agree, that is what there is to say, and not how many lanes are done
    agree = found.summary.exit.code is ExitCode.DONE
    first = headline(replace(found.summary, lanes=()) if agree else found.summary)
    shard = messages.shard_lines(output.shard, lanes=len(found.lanes))
    output.answer([*shard, *findings, first, *numbers, *lanes, *denial_lines(denied), *obstacles, *titled])


def finding_rows(found: "Verification", lane: LaneRef) -> "list[FindingRow]":
    """Return the findings of a lane as they are printed."""
    from batch_upload.report.findings import FindingRow

    return [
        FindingRow(
            each.kind.value,
            each.item_id,
            each.client_token,
            each.attachment_id,
            each.status,
            each.attachment_arn,
            each.differences,
            lane,
            None if each.misplaced is None else field_finding(each.misplaced),
        )
        for each in found.comparison.findings
    ]


def field_finding(misplaced: "Misplaced") -> "FieldFinding":
    """Return what was found in a field as it is printed."""
    from batch_upload.report.findings import FieldFinding

    return FieldFinding(misplaced.bound.bind, misplaced.holds, misplaced.new_version, misplaced.is_displaced)


def finding_counts(found: "Verification") -> "FindingCounts":
    """Return the numbers of a comparison as they are printed."""
    from batch_upload.engine.verify import FindingKind
    from batch_upload.report.findings import FindingCounts

    comparison = found.comparison
    return FindingCounts(
        findings={kind.value: comparison.counts[kind] for kind in FindingKind},
        listed=comparison.listed,
        strangers=comparison.strangers,
        agreeing=comparison.agreeing,
        finished=comparison.finished,
        tags_compared=comparison.tags_compared,
        bound=found.bound,
    )
