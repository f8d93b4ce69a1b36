"""What `status` says: counts, what needs attention, and what the next `upload` does about files that have changed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.items import Prepared, list_items, ready_to_read
from batch_upload.app.rates import expected_create_rate
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.planning import Found, read_ledger
from batch_upload.cli.recorded import holder, left_of, who_of
from batch_upload.clock import counting_s
from batch_upload.documents.refusals import RefusalCode
from batch_upload.engine.plan import LaneOutlook, fresh, shown_row
from batch_upload.engine.tries import with_retries_counted
from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.ledger.reading import RunRecord, find_reader
from batch_upload.manifest.reader import ledger_named_in
from batch_upload.model import ActionKind, Known, Listed, Plan, State
from batch_upload.report.ndjson import known_line
from batch_upload.report.summary_text import IDS_SHOWN, Invocation, attention_lines, states_line
from batch_upload.settings import Settings, settings_of
from batch_upload.summary import Summary, exit_of
from batch_upload.words import count_words, duration_words, rate_words

_NEEDY = (State.PROCESSING, State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""States of what people are told of by name."""


@dataclass(frozen=True, slots=True)
class _Status:
    """What manifest, files and ledger tell. Without a ledger no file was opened, and `prepared` is None."""

    settings: Settings
    batch: str
    items: int
    states: Mapping[State, int]
    prepared: Prepared | None = None
    missing: Sequence[str] = ()
    """Names of files that are not there."""
    found: Found | None = None
    made: Plan = field(default_factory=lambda: Plan(()))
    """What `upload` would do now."""
    last_run: RunRecord | None = None
    create_rate: float = 0.0
    """Creates a second to expect."""

    def rows(self) -> list[Known]:
        """What is reported of each item that the ledger knows and that is not simply counted as complete."""
        if self.found is None:
            return []
        knowledge = self.found.knowledge
        known = [item for item in self.found.sifted.rest if item.item_id in knowledge.current]
        rows = [shown_row(item, knowledge) or fresh(item) for item in known]
        return [*rows, *(row for row in self.found.unplanned if row is not None)]


def status_of(path: Path, flags: Flags, output: Output) -> Ended:
    """Show counts, and every item that is not simply done.

    Files that the ledger does not remember as they look are read, so that what has changed is not called complete.
    """
    started = counting_s()
    status = _status(path, flags, whole=output.json)
    found, rows = status.found, status.rows()
    if output.json:
        for row in rows:
            output.event(known_line(row, at=datetime.now(UTC)))
    summary = Summary(
        verb="status",
        exit=exit_of(ExitCode.DONE),
        run_id=status.last_run.run_id if status.last_run else None,
        batch=status.batch,
        account=found.lane.account if found and found.lane else None,
        region=found.lane.region if found and found.lane else None,
        items=status.items,
        states={state.value: count for state, count in status.states.items()},
        elapsed_s=counting_s() - started,
    )
    if not output.quiet:
        invocation = Invocation(str(path), Repeated.of(flags, status.settings).flags)
        known = () if found is None else found.knowledge.by_token.values()
        needy = with_retries_counted([row for row in rows if row.state in _NEEDY], known)
        lines = [
            *_last_run_lines(status),
            *_under_way_lines(status),
            *_change_lines(status.made),
            *_obstacle_lines(status, invocation),
            *attention_lines(needy, invocation),
            *_uncounted_lines(status.made, invocation),
        ]
        output.answer([states_line(summary), *lines])
    return Ended(summary, lines=())


def _status(path: Path, flags: Flags, *, whole: bool) -> _Status:
    now = datetime.now(UTC)
    options = options_of(flags)
    settings = settings_of(options, manifest=path, ledger=ledger_named_in(path))
    reader = find_reader(settings.ledger)
    if reader is None:
        manifest, listed = list_items(path, allow_outside=options.allow_outside)
        missing = [each.source for each in listed if not _is_there(each)]
        states = {State.PENDING: len(listed)} if listed else {}
        return _Status(settings, manifest.batch, len(listed), states, missing=missing)
    with reader:
        prepared, settings = ready_to_read(path, options)
        batch = prepared.manifest.batch
        found, rates = read_ledger(settings.ledger, prepared, whole=whole)
        made = found.plan(prepared, LaneOutlook(now))
        return _Status(
            settings,
            batch,
            len(prepared.items) + len(found.unplanned),
            found.states(),
            prepared,
            missing_files(prepared),
            found,
            made,
            next(iter(reader.runs(batch, limit=1)), None),
            expected_create_rate(settings, rates, now=now),
        )


def _is_there(listed: Listed) -> bool:
    return listed.folder is None or os.path.exists(os.path.join(listed.folder, listed.source))


def _last_run_lines(status: _Status) -> list[str]:
    run = status.last_run
    if run is None:
        return ["no run so far"]
    began = f"{run.began_at:%Y-%m-%d %H:%M:%SZ}"
    named = f"last run: {run.run_id} ({run.verb}), began {began}"
    if run.ended_at is not None:
        return [f"{named}, ended {run.ended_at:%Y-%m-%d %H:%M:%SZ}, exit {run.exit_code}{_reason(run)}"]
    if holder(status.settings.ledger) is not None:
        return [f"{named}, is under way"]
    return [f"{named}, stopped without an end: run the same command again"]


def _reason(run: RunRecord) -> str:
    """Why a run ended as it did, in brackets; nothing where all was well or nothing was recorded."""
    reason = (run.summary or {}).get("exit", {}).get("reason")
    return printable(f" ({reason})") if run.exit_code and isinstance(reason, str) else ""


def _under_way_lines(status: _Status) -> list[str]:
    """Which process holds the ledger now, how fast it sends, and how long what is left takes."""
    note = holder(status.settings.ledger)
    if note is None:
        return []
    lines = [printable(f"running now: {who_of(note)}{note.since_words if note.pid else ''}")]
    left, left_s = left_of(status.states, status.create_rate)
    if left_s is not None:
        pace = f"{rate_words(status.create_rate)}, about {duration_words(left_s)} left"
        lines.append(f"  {left:,} to send at {pace}")
    return lines


def _change_lines(made: Plan) -> list[str]:
    """What the next `upload` changes of what was uploaded."""
    changed = [action.item_id for action in made.of(ActionKind.REPLACE)]
    tagged = [action.item_id for action in made.of(ActionKind.RETAG)]
    lines = []
    if changed:
        lines.append(f"{len(changed):,} changed since the upload, sent by the next `upload`: {_names(changed)}")
    if tagged:
        lines.append(f"{len(tagged):,} with other tags than AWS has, changed by the next `upload`: {_names(tagged)}")
    return [printable(line) for line in lines]


def _uncounted_lines(made: Plan, invocation: Invocation) -> list[str]:
    """What the service holds of the batch beside the items of the manifest, and how to have it all."""
    count = made.counts[ActionKind.ORPHAN]
    if not count:
        return []
    are = "attachment that was replaced or is" if count == 1 else "attachments that were replaced or are"
    return [
        f"not counted above: {count:,} {are} no longer listed",
        f"  {invocation.command('report', '--all')}",
    ]


def _obstacle_lines(status: _Status, invocation: Invocation) -> list[str]:
    """Why the next `upload` sends nothing, as far as manifest, ledger and files tell."""
    prepared, found = status.prepared, status.found
    gone = 0 if prepared is None or found is None else len(found.unplanned) - len(prepared.unread)
    lines = obstacle_lines(status.missing, prepared, gone=gone, invocation=invocation)
    if found is not None and found.refusal:
        refusal = f"`upload` refuses this ledger: {found.refusal}"
        lines += [printable(refusal), f"  {invocation.command('reconcile')}"]
    return lines


def obstacle_lines(
    missing: Sequence[str], prepared: Prepared | None, *, gone: int, invocation: Invocation
) -> list[str]:
    """Say why the next `upload` sends nothing of a manifest: files that are missing or cannot be sent, empty globs.

    `gone` items of the ledger are no longer matched. `prepared` is None where no file was opened.
    """
    lines = []
    if missing:
        lines.append(f"`upload` sends nothing: {count_words(len(missing), 'file')} missing: {_names(missing)}")
        lines.append(f"  {invocation.command('validate')}")
    unread, unmatched = ((), ()) if prepared is None else (prepared.unread, prepared.unmatched)
    refused = [problem for _, problem in unread if problem.code != RefusalCode.MISSING]
    lines += [f"no longer matched by the manifest: {count_words(gone, 'item')}"] if gone else []
    lines += [f"`upload` sends nothing: {problem.message}" for problem in (*unmatched, *refused[:IDS_SHOWN])]
    if len(refused) > IDS_SHOWN:
        lines.append(f"  and {len(refused) - IDS_SHOWN:,} more: {invocation.command('validate')}")
    return [printable(line) for line in lines]


def missing_files(prepared: Prepared) -> list[str]:
    """Return the names of the files of a manifest that are not there."""
    return [listed.source for listed, problem in prepared.unread if problem.code == RefusalCode.MISSING]


def _names(names: Sequence[str]) -> str:
    first = ", ".join(f"`{name}`" for name in names[:IDS_SHOWN])
    return f"{first} and {len(names) - IDS_SHOWN:,} more" if len(names) > IDS_SHOWN else first
