"""`status`: counts and the items that need attention, from the ledger."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batch_upload.cli import messages
from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, options_of, takes
from batch_upload.cli.output import Ended, Output, Repeated, run_verb
from batch_upload.escape import printable
from batch_upload.model import ActionKind
from batch_upload.report.estimate import work_left
from batch_upload.report.ndjson import known_line
from batch_upload.report.summary_text import Invocation, attention_lines, states_line
from batch_upload.words import duration_words, holder_words, rate_words

if TYPE_CHECKING:
    from batch_upload.app.status import Status


@takes(LEDGER, ("allow_outside",), OUTPUT)
def status(manifest: ManifestArgument, *, flags: Flags) -> None:
    """count the items by state and name those that need attention, from ledger and files"""
    output = Output.of(flags)
    run_verb("status", manifest, output, partial(_status, manifest, flags, output))


def _status(path: Path, flags: Flags, output: Output) -> Ended:
    from datetime import UTC, datetime

    from batch_upload.app.status import status_sync  # heavy: only when there is work
    from batch_upload.clock import counting_s
    from batch_upload.errors import ExitCode
    from batch_upload.summary import Summary, exit_of

    started = counting_s()
    found = status_sync(path, options_of(flags), whole=output.json)
    for row in found.rows:
        output.event(known_line(row, at=datetime.now(UTC)))
    summary = Summary(
        verb="status",
        exit=exit_of(ExitCode.DONE),
        run_id=found.last_run.run_id if found.last_run else None,
        batch=found.batch,
        account=found.lane.account if found.lane else None,
        region=found.lane.region if found.lane else None,
        items=found.items,
        states={state.value: count for state, count in found.states.items()},
        elapsed_s=counting_s() - started,
    )
    if not output.quiet:
        invocation = Invocation(str(path), Repeated.of(flags, found.settings).flags)
        lines = [
            _last_run_line(found),
            *_under_way_lines(found),
            *_change_lines(found),
            *messages.obstacle_lines(found.missing, found.prepared, gone=found.gone, invocation=invocation),
            *_refusal_lines(found, invocation),
            *attention_lines(found.attention, invocation),
            *_uncounted_lines(found, invocation),
        ]
        output.answer([states_line(summary), *lines])
    return Ended(summary, lines=())


def _last_run_line(found: "Status") -> str:
    run = found.last_run
    if run is None:
        return "no run so far"
    named = f"last run: {run.run_id} ({run.verb}), began {run.began_at:%Y-%m-%d %H:%M:%SZ}"
    if run.ended_at is None:
        return (
            f"{named}, is under way" if found.holder else f"{named}, stopped without an end: run the same command again"
        )
    reason = (run.summary or {}).get("exit", {}).get("reason")
    why = printable(f" ({reason})") if run.exit_code and isinstance(reason, str) else ""
    return f"{named}, ended {run.ended_at:%Y-%m-%d %H:%M:%SZ}, exit {run.exit_code}{why}"


def _under_way_lines(found: "Status") -> list[str]:
    """Which process holds the ledger now, how fast it sends, and how long what is left takes."""
    note = found.holder
    if note is None:
        return []
    lines = [printable(f"running now: {holder_words(note.pid, note.host)}{note.since_words if note.pid else ''}")]
    left, left_s = work_left(found.states, found.create_rate)
    if left_s is not None:
        pace = f"{rate_words(found.create_rate)}, about {duration_words(left_s)} left"
        lines.append(f"  {left:,} to send at {pace}")
    return lines


def _change_lines(found: "Status") -> list[str]:
    """What the next `upload` changes of what was uploaded."""
    changed = [action.item_id for action in found.plan.of(ActionKind.REPLACE)]
    tagged = [action.item_id for action in found.plan.of(ActionKind.RETAG)]
    lines = []
    if changed:
        names = messages.names_words(changed)
        lines.append(f"{len(changed):,} changed since the upload, sent by the next `upload`: {names}")
    if tagged:
        names = messages.names_words(tagged)
        lines.append(f"{len(tagged):,} with other tags than AWS has, changed by the next `upload`: {names}")
    return [printable(line) for line in lines]


def _refusal_lines(found: "Status", invocation: Invocation) -> list[str]:
    if not found.refusal:
        return []
    return [printable(f"`upload` refuses this ledger: {found.refusal}"), f"  {invocation.command('reconcile')}"]


def _uncounted_lines(found: "Status", invocation: Invocation) -> list[str]:
    """What the service holds of the batch beside the items of the manifest, and how to list all of it."""
    count = found.plan.counts[ActionKind.ORPHAN]
    if not count:
        return []
    are = "attachment that was replaced or is" if count == 1 else "attachments that were replaced or are"
    return [
        f"not counted above: {count:,} {are} no longer listed",
        f"  {invocation.command('report', '--all')}",
    ]
