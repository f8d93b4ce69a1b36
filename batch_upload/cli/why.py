"""`why`: one item's whole history, and what happens next. Makes no request."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.actions import ActionKind
from batch_upload.cli import messages
from batch_upload.cli.completion import item_ids
from batch_upload.cli.flags import LEDGER_FLAGS, OUTPUT_FLAGS, TARGET_FLAGS, Flags, ManifestOrLedgerArgument, options_of
from batch_upload.cli.output import Output, invocation_of
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode
from batch_upload.model import State
from batch_upload.report.advice import ROOM_IN_ACCOUNT, advice
from batch_upload.report.history import (
    History,
    Next,
    history_json_of_lanes,
    history_lines,
    history_lines_of_lanes,
)
from batch_upload.report.ndjson import lane_ref
from batch_upload.report.summary_text import Invocation, commands_after

if TYPE_CHECKING:
    from batch_upload.app.why import ItemHistory

NEXT_WORDS: Mapping[ActionKind, str] = {
    ActionKind.CREATE: "the next `upload` sends it",
    ActionKind.REPLACE: "the next `upload` sends it as a new attachment; the old one stays",
    ActionKind.RESOLVE: "the next `upload` replays it, or looks at the service for what became of it",
    ActionKind.UNCHANGED: "nothing is left to do",
    ActionKind.RETAG: "the next `upload` gives its attachment the new tags",
    ActionKind.BIND: "the next `upload` puts its attachment into the field of its registration",
    ActionKind.PARKED: "the next `upload` sends it once there is capacity",
    ActionKind.FAILED: "no run sends it again as it is",
    ActionKind.ORPHAN: "nothing",
    ActionKind.INVALID: "nothing, until the manifest or the file is corrected",
}
UPLOADING = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.BIND, ActionKind.PARKED)
"""Actions that need another `upload`."""


@verb("why", ("batch",), LEDGER_FLAGS, TARGET_FLAGS, ("allow_outside",), OUTPUT_FLAGS)
def why_command(
    manifest: ManifestOrLedgerArgument,
    item: Annotated[
        str,
        typer.Argument(
            metavar="ITEM", help="its id; one that begins with `-` goes behind `--`", autocompletion=item_ids
        ),
    ],
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """tell one item's whole history and what happens next, from manifest and ledger alone"""
    from batch_upload.app.exits import joint_summary  # heavy, like all that follows: only when there is work
    from batch_upload.app.why import why_sync
    from batch_upload.clock import counting_s
    from batch_upload.report.lane_words import hold_line, hold_words

    options, started = options_of(flags), counting_s()
    lanes = why_sync(manifest, item, options)
    invocation = invocation_of(manifest, flags, options)
    if lanes[0].is_ledger_alone:
        output.say(messages.ledger_alone_text(manifest))
    histories = [(lane_ref(found.target, found.lane), history_of(found, invocation)) for found in lanes]
    for line in history_json_of_lanes(histories):
        output.event(line)
    holds = []
    for found in lanes:
        if found.hold is not None:
            output.event(hold_line(found.hold, lane_ref(found.target, found.lane)))
            holds += [found.hold] if found.hold.is_held else []
    summaries = [(found.target, found.summary) for found in lanes]
    summary = joint_summary("why", summaries, elapsed_s=counting_s() - started)
    lines: Iterable[str]
    if lanes[0].target.label is None:
        lines = chain.from_iterable(history_lines(history) for _, history in histories)
    else:
        lines = history_lines_of_lanes(histories)
    if not output.quiet:
        output.answer([*lines, *(f"lane {each.lane}: held by {hold_words(each)}" for each in holds)])
    return Ended(summary, lines=())


def history_of(found: "ItemHistory", invocation: Invocation) -> History:
    """Return the history of an item as it is printed."""
    from batch_upload.app.ledger_alone import NOT_READ

    return History(
        item_id=found.item_id,
        batch=found.manifest.batch,
        state=found.state.value,
        state_words=messages.state_words(found.state),
        current=found.current,
        item=found.item,
        retry=found.retry,
        unreadable=NOT_READ if found.is_ledger_alone else "" if found.unreadable is None else found.unreadable.message,
        next=next_of(found, invocation),
        earlier=found.earlier,
    )


def next_of(found: "ItemHistory", invocation: Invocation) -> Next:
    """Return why the next `upload` sends nothing, else what it does with this item, and the commands for it."""
    from batch_upload.engine.rows import is_absent

    if found.is_ledger_alone:
        fault = None if found.current is None else found.current.known.fault
        return Next(f"{advice(found.state, fault)}, if the manifest still lists it so")
    upload, reconcile = invocation.command("upload"), invocation.command("reconcile")
    obstacle = found.unreadable or next(iter(found.unmatched), None)
    if obstacle is not None:
        words = f"`upload` sends nothing of this manifest: {obstacle.message}"
        return Next(words, (invocation.command("validate"),))
    if found.refusal:
        return Next(f"`upload` refuses this ledger: {found.refusal}", (reconcile,))
    action = found.action
    if action is None:
        return Next("nothing: the manifest no longer lists it, and nothing of it is at the service")
    if found.is_new and action.kind is ActionKind.CREATE:
        words = f"the next `upload` looks whether the service has it already, and sends it if not ({action.reason})"
        return Next(words, (upload,))
    known = action.known
    if known is not None and is_absent(known):
        return Next(advice(State.FAILED, known.fault), (upload,))
    if action.kind is ActionKind.UNCHANGED and known is not None and known.state is State.PROCESSING:
        return Next("the next `upload` asks whether the service has finished with it", (upload,))
    if known is not None and known.state is State.PARKED and known.resume_after is None:
        commands = [command for command, _ in commands_after(ExitCode.ACCOUNT_FULL, invocation)]
        return Next(f"the account is full: {ROOM_IN_ACCOUNT}", tuple(commands))
    words = f"{NEXT_WORDS[action.kind]} ({action.reason})"
    if known is not None and known.state in (State.SENDING, State.UNKNOWN):
        return Next(words, (upload, reconcile))
    return Next(words, (upload,) if action.kind in UPLOADING else ())
