"""`why`: one item's whole history, and what happens next. Makes no request."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli import messages
from batch_upload.cli.completing import item_ids
from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, options_of, takes
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.model import Action, ActionKind, State
from batch_upload.report.advice import advice
from batch_upload.report.history import History, Next, history_json, history_lines
from batch_upload.report.summary_text import Invocation

if TYPE_CHECKING:
    from batch_upload.app.why import ItemHistory

NEXT_WORDS: Mapping[ActionKind, str] = {
    ActionKind.CREATE: "the next `upload` sends it",
    ActionKind.REPLACE: "the next `upload` sends it as a new attachment; the old one stays",
    ActionKind.RESOLVE: "the next `upload` replays it, or looks at the service for what became of it",
    ActionKind.UNCHANGED: "nothing is left to do",
    ActionKind.RETAG: "the next `upload` gives its attachment the new tags",
    ActionKind.PARKED: "the next `upload` sends it once there is capacity",
    ActionKind.FAILED: "nothing, unless the file is another or `generation` is raised",
    ActionKind.ORPHAN: "nothing",
}
UPLOADING = (ActionKind.CREATE, ActionKind.REPLACE, ActionKind.RESOLVE, ActionKind.PARKED)
"""What `upload` is needed for."""


@takes(LEDGER, ("allow_outside",), OUTPUT)
def why(
    manifest: ManifestArgument,
    item: Annotated[
        str,
        typer.Argument(
            metavar="ITEM", help="its id; one that begins with `-` goes behind `--`", autocompletion=item_ids
        ),
    ],
    *,
    flags: Flags,
) -> None:
    """tell one item's whole history and what happens next, from manifest and ledger alone"""
    output = Output.of(flags)
    run_verb("why", manifest, output, partial(_why, manifest, item, flags, output))


def _why(path: Path, item_id: str, flags: Flags, output: Output) -> Ended:
    from batch_upload.app.why import why_sync  # heavy, like all that follows: only when there is work
    from batch_upload.clock import counting_s
    from batch_upload.errors import ExitCode
    from batch_upload.summary import Summary, exit_of

    started = counting_s()
    found = why_sync(path, item_id, options_of(flags))
    history = _history(found, Invocation(str(path), Repeated.of(flags, found.settings).flags))
    for line in history_json(history):
        output.event(line)
    if not output.quiet:
        output.answer(history_lines(history))
    ended = Summary(
        verb="why",
        exit=exit_of(ExitCode.DONE),
        batch=found.manifest.batch,
        account=found.lane.account if found.lane else None,
        region=found.lane.region if found.lane else None,
        states={found.state.value: 1},
        items=1,
        elapsed_s=counting_s() - started,
    )
    return Ended(ended, lines=())


def _history(found: "ItemHistory", invocation: Invocation) -> History:
    return History(
        item_id=found.item_id,
        batch=found.manifest.batch,
        state=found.state.value,
        state_words=messages.state_words(found.state),
        current=found.current,
        item=found.item,
        retry=found.retry,
        unreadable="" if found.unreadable is None else found.unreadable.message,
        next=_next(found, invocation),
        earlier=found.earlier,
    )


def _next(found: "ItemHistory", invocation: Invocation) -> Next:
    """What stands in the way of the next `upload`, else what it does with this item."""
    if found.unreadable is not None:
        words = f"`upload` sends nothing of this manifest: {found.unreadable.message}"
        return Next(words, (invocation.command("validate"),))
    if found.unmatched:
        words = f"`upload` sends nothing of this manifest: {found.unmatched[0].message}"
        return Next(words, (invocation.command("validate"),))
    if found.refusal:
        return Next(f"`upload` refuses this ledger: {found.refusal}", (invocation.command("reconcile"),))
    if found.action is None:
        return Next("nothing: the manifest no longer lists it, and nothing of it is at the service")
    if found.is_new and found.action.kind is ActionKind.CREATE:
        reason = found.action.reason
        words = f"the next `upload` looks whether the service has it already, and sends it if not ({reason})"
        return Next(words, (invocation.command("upload"),))
    return _next_of(found.action, invocation)


def _next_of(action: Action, invocation: Invocation) -> Next:
    from batch_upload.engine.rows import is_absent

    known = action.known
    if known is not None and is_absent(known):
        return Next(advice(State.FAILED, known.fault), (invocation.command("upload"),))
    if action.kind is ActionKind.UNCHANGED and known is not None and known.state is State.PROCESSING:
        return Next("the next `upload` asks whether the service has finished with it", (invocation.command("upload"),))
    words = f"{NEXT_WORDS[action.kind]} ({action.reason})"
    if known is not None and known.state in (State.SENDING, State.UNKNOWN):
        return Next(words, (invocation.command("upload"), invocation.command("reconcile")))
    return Next(words, (invocation.command("upload"),) if action.kind in UPLOADING else ())
