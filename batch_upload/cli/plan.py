"""`plan`: what `upload` would do and why; changes nothing."""

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import (
    ACCESS_FLAGS,
    BOUND_FLAGS,
    FILE_FLAGS,
    LEDGER_FLAGS,
    OUTPUT_FLAGS,
    RATE_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.messages import PROBLEMS_SHOWN
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, ended_by, verb
from batch_upload.errors import ExitCode
from batch_upload.events import Looking
from batch_upload.model import State
from batch_upload.report.ndjson import action_line, event_line
from batch_upload.report.observers import Observers
from batch_upload.report.plain import event_sentence
from batch_upload.summary import exit_of

if TYPE_CHECKING:
    from batch_upload.app.plan import PlanResult
    from batch_upload.ports import Observer
    from batch_upload.settings import Settings


@verb(
    "plan",
    LEDGER_FLAGS,
    TARGET_FLAGS,
    ACCESS_FLAGS,
    RATE_FLAGS,
    BOUND_FLAGS,
    ("only",),
    FILE_FLAGS,
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

    from batch_upload.app.items import check_only, invalid, ready_to_read
    from batch_upload.app.plan import ask_lane, planned, read_plan_input
    from batch_upload.cli.asking import asker
    from batch_upload.cli.signals import until_interrupted
    from batch_upload.clock import counting_s

    started = counting_s()
    prepared, settings = ready_to_read(manifest, options_of(flags))
    check_only(settings, prepared)
    output.file_warnings(prepared.warnings, shown=PROBLEMS_SHOWN)
    shows_each = output.json or output.verbose > 0
    may_choose_complete = bool(settings.only_ids) or State.COMPLETE in settings.only_states
    given = read_plan_input(prepared, settings, whole=shows_each or may_choose_complete)
    answer = None
    if not offline and not prepared.problems:
        observer = _LookPrinter(output, Observers(*output.sinks.observers(), on_lost=output.lost))
        answer = anyio.run(until_interrupted, partial(ask_lane, given, observer, ask=asker()))
    result = planned(given, answer, started=started)
    if result.refusal:
        output.say(f"warning: `upload` refuses this ledger until `reconcile` has run: {result.refusal}")
    show_plan(result, settings, output)
    if result.problems:  # the plan is from the ledger alone, and `upload` would end so
        return ended_by(invalid(manifest, result.problems), output, result.summary)
    ending = exit_of(ExitCode.THERE_IS_WORK) if detailed_exitcode and result.has_work else result.summary.exit
    return Ended(replace(result.summary, exit=ending), lines=())


def show_plan(result: "PlanResult", settings: "Settings", output: Output) -> None:
    """Print every action, the totals, and what could not be found out."""
    from batch_upload.report.plan_table import Look, totals, write_plan

    answer, look = result.answer, None
    if result.look is not None:
        cost = result.look
        look = Look(answer.attachments, cost.pages or 1, cost.tag_reads or 0, cost.time_s or 0.0)
    added_up = totals(
        result.plan,
        result.create_rate,
        answer.capacity,
        latency_s=result.latency_s,
        concurrency=settings.concurrency,
        deadline_s=settings.deadline_s,
        look=look,
    )
    for action in result.plan.actions:
        output.event(action_line(action))
    output.event(added_up.as_json())
    if answer.warning:
        output.say(f"warning: {answer.warning}")
    if not output.quiet:
        write_plan(result.plan, added_up, sys.stderr if output.json else sys.stdout, verbose=output.verbose > 0)


class _LookPrinter:
    """Prints how far the look through the lane is; every other event goes to the log only."""

    def __init__(self, output: Output, log: "Observer") -> None:
        self._output = output
        self._log = log

    def notify(self, event: object) -> None:
        if not isinstance(event, Looking):
            self._log.notify(event)
            return
        if (line := event_line(event)) is not None:
            self._output.event(line)
        self._output.say(*filter(None, [event_sentence(event)]))
