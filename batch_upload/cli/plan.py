"""`plan`: what `upload` would do and why; changes nothing."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.actions import ActionKind
from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    BOUND_FLAGS,
    FILE_FLAGS,
    INVALID_FLAGS,
    LEDGER_FLAGS,
    OUTPUT_FLAGS,
    RATE_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.messages import PROBLEMS_SHOWN, lane_warnings_text, shard_lines
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, ended_by, verb
from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.events import Looking, lane_and_event
from batch_upload.model import State
from batch_upload.report.ndjson import action_line, event_line, in_lane, lane_ref
from batch_upload.report.observers import Observers
from batch_upload.report.plain import event_sentence
from batch_upload.summary import exit_of
from batch_upload.words import indented

if TYPE_CHECKING:
    from batch_upload.app.plan import LanePlanAnswer, PlanResult
    from batch_upload.app.plan_input import PlanInput
    from batch_upload.ports import Observer
    from batch_upload.report.plan_table import PlanTotals
    from batch_upload.settings import Settings

REFUSED = "`upload` refuses this ledger until `reconcile` has run"


@verb(
    "plan",
    LEDGER_FLAGS,
    TARGET_FLAGS,
    ACCESS_FLAGS,
    RATE_FLAGS,
    BOUND_FLAGS,
    ("only",),
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    ("log_file", "log_format"),
)
def plan_command(
    manifest: ManifestArgument,
    offline: Annotated[  # noqa: FBT002
        bool, typer.Option("--offline/--no-offline", help="send no request; needs no credentials")
    ] = False,
    detailed_exitcode: Annotated[  # noqa: FBT002
        bool, typer.Option("--detailed-exitcode/--no-detailed-exitcode", help="exit 3 if there is work")
    ] = False,
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """list what `upload` would do and why, how many calls, how long, and whether the capacity suffices"""
    import anyio  # heavy, like all that follows: only when there is work

    from batch_upload.app.choice import check_only, ready_to_plan
    from batch_upload.app.items import invalid
    from batch_upload.app.plan import ask_lanes, planned
    from batch_upload.app.plan_input import read_plan_inputs
    from batch_upload.app.registrations import registrations_invalid
    from batch_upload.cli.asking import asker
    from batch_upload.cli.signals import until_interrupted
    from batch_upload.clock import counting_s

    started = counting_s()
    prepared, settings = ready_to_plan(manifest, options_of(flags))
    check_only(settings, prepared)
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    output.left_for_later(prepared.young)
    shows_each = output.json or output.verbose > 0
    may_choose_complete = bool(settings.only_ids) or State.COMPLETE in settings.only_states
    given = read_plan_inputs(prepared, settings, whole=shows_each or may_choose_complete)
    answers: Sequence[LanePlanAnswer] = [None] * len(given)
    if not offline and not prepared.stops:
        observer = _LookPrinter(output, Observers(*output.sinks.observers(), on_lost=output.lost))
        answers = anyio.run(until_interrupted, partial(ask_lanes, given, observer, ask=asker()))
    result = planned(prepared, given, answers, started=started)
    if result.lanes:
        show_lanes(result, given, output)
    else:
        show_plan(result, settings, output)
    stops = bool(result.problems) and not prepared.skips_invalid
    output.skipped(() if stops else result.problems)
    if stops:  # `upload` would end so
        is_skippable = bool(prepared.items)
        if prepared.problems:
            error = invalid(manifest, result.problems, is_strict=settings.strict, is_skippable=is_skippable)
        else:
            error = registrations_invalid(manifest, result.problems, is_skippable=is_skippable)
        ended = ended_by(error, output, result.summary)
        if result.lanes and not prepared.stops:  # other lanes may have ended with more
            return replace(ended, summary=result.summary)
        return ended
    is_done = result.summary.exit.code is ExitCode.DONE
    ending = exit_of(ExitCode.THERE_IS_WORK) if detailed_exitcode and is_done and result.has_work else None
    return Ended(replace(result.summary, exit=ending or result.summary.exit), lines=())


def show_plan(result: "PlanResult", settings: "Settings", output: Output) -> None:
    """Print every action, the totals, and what could not be found out."""
    from batch_upload.report.plan_table import write_plan

    if result.refusal:
        output.say(f"warning: {REFUSED}: {result.refusal}")
    added_up = totals_of(result, settings)
    for action in result.plan.actions:
        output.event(action_line(action))
    output.event(added_up.as_json())
    for warning in (result.answer.warning, *result.answer.notices):
        if warning:
            output.say(f"warning: {printable(warning)}")
    if not output.quiet:
        write_plan(result.plan, added_up, sys.stderr if output.json else sys.stdout, verbose=output.verbose > 0)


def show_lanes(result: "PlanResult", given: "Sequence[PlanInput]", output: Output) -> None:
    """Print what would be done in each lane: people get a table of the lanes, and with `-v` every action."""
    from batch_upload.report.plan_table import LaneTotals, lane_totals_json, plan_lines, write_lane_plans

    rows: list[LaneTotals] = []
    warnings: list[tuple[str, str, str]] = []
    for lane, its_input in zip(result.lanes, given, strict=True):
        plan, answer, ref = lane.value.plan, lane.value.answer, lane_ref(lane.target, lane.value.answer.lane)
        label, added_up = lane.target.label or "", totals_of(lane.value, its_input.settings)
        rows.append(LaneTotals(label, added_up))
        for action in plan.actions:
            output.event(in_lane(action_line(action), ref))
        output.event(in_lane(added_up.as_json(), ref))
        if lane.value.refusal:
            warnings.append((label, f"{REFUSED}: {lane.value.refusal}", ""))
        if answer.warning:
            warnings.append((label, answer.warning, "" if lane.error is None else lane.error.hint))
        warnings += [(label, notice, "") for notice in answer.notices]
        if output.verbose and plan.actions:
            output.answer([printable(f"{label}:"), *indented(plan_lines(plan, verbose=True))])
    output.event(lane_totals_json(rows))
    if not output.quiet:
        output.answer(shard_lines(output.shard, lanes=len(rows)))
    output.say(*lane_warnings_text(warnings))
    if not output.quiet:
        write_lane_plans(rows, sys.stderr if output.json else sys.stdout)
        if (
            not output.json
            and not output.verbose
            and any(row.totals.counts.keys() - {ActionKind.UNCHANGED} for row in rows)
        ):
            output.say("`-v` lists each item, with the reason")


def totals_of(result: "PlanResult", settings: "Settings") -> "PlanTotals":
    """Add up what the plan of one lane takes."""
    from batch_upload.report.plan_table import Look, totals

    answer, look = result.answer, None
    if result.look is not None:
        cost = result.look
        look = Look(answer.attachments, cost.pages or 1, cost.tag_reads or 0, cost.time_s or 0.0)
    return totals(
        result.plan,
        result.create_rate,
        answer.capacity,
        latency_s=result.latency_s,
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
        look=look,
        registration_reads=result.registration_reads,
        puts_per_s=result.put_rate,
    )


class _LookPrinter:
    """Prints how far the look through the lane is; every other event goes to the log only."""

    def __init__(self, output: Output, log: "Observer") -> None:
        self._output = output
        self._log = log

    def notify(self, event: object) -> None:
        lane, looking = lane_and_event(event)
        if not isinstance(looking, Looking):
            self._log.notify(event)
            return
        if (line := event_line(event)) is not None:
            self._output.event(line)
        sentence = event_sentence(looking)
        if sentence:
            self._output.say(sentence if lane is None else printable(f"{lane.label}: {sentence}"))
