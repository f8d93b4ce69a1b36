"""`status`: how far the items of a manifest are, from ledger and files. Makes no request."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.exits import lane_summary
from batch_upload.app.items import Prepared, list_items, missing_files, ready_to_read
from batch_upload.app.ledger_view import holder
from batch_upload.app.plan import read_plan_input
from batch_upload.app.rates import expected_create_rate
from batch_upload.clock import counting_s
from batch_upload.engine.plan import LaneOutlook
from batch_upload.engine.rows import new_row, shown_row, with_retries_counted
from batch_upload.ledger import Note, find_reader
from batch_upload.manifest.reader import ledger_named_in
from batch_upload.model import Known, Lane, Plan, State
from batch_upload.records import RunRecord
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.summary import Summary

NEEDS_ATTENTION = (State.PROCESSING, State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""States of an item that was begun and is not complete."""


@dataclass(frozen=True, slots=True)
class Status:
    """What manifest, files and ledger say."""

    summary: Summary
    settings: Settings
    batch: str
    items: int
    states: Mapping[State, int]
    """How many items are in each state; they add up to `items`."""
    lane: Lane | None = None
    rows: Sequence[Known] = ()
    """The ledger's row of each item that is not simply complete, in the manifest's order."""
    attention: Sequence[Known] = ()
    """The rows in a state of NEEDS_ATTENTION. The fault of one that ended as UPLOAD_FAILED counts its retries."""
    prepared: Prepared | None = None
    """The manifest with its files read. None without a ledger: then no file was opened."""
    missing: Sequence[str] = ()
    """Files of the manifest that do not exist, as it names them."""
    gone: int = 0
    """How many items of the ledger no glob of the manifest matches any more."""
    plan: Plan = field(default_factory=lambda: Plan(()))
    """What `upload` would do now. Empty without a ledger."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty if it does not."""
    last_run: RunRecord | None = None
    create_rate: float = 0.0
    """Creates a second to expect."""
    holder: Note | None = None
    """The process that holds the ledger now."""


async def status(manifest: str | Path, options: RunOptions | None = None) -> Status:
    """Return how far the items of a manifest are, also while a run goes on. Files are read in a thread.

    A file that the ledger does not remember as it is now is read, so what has changed is not called complete.
    Raises ManifestInvalid, UsageError and LedgerUnusable.
    """
    work = partial(status_sync, Path(manifest), options or RunOptions())
    return await to_thread.run_sync(work, abandon_on_cancel=True)


def status_sync(manifest: Path, options: RunOptions, *, whole: bool = False) -> Status:
    """As `status`; `whole`: with the rows of complete items too. Blocking: not for the thread of an event loop."""
    now, started = datetime.now(UTC), counting_s()
    settings = settings_of(options, manifest=manifest, ledger=ledger_named_in(manifest))
    reader = find_reader(settings.ledger)
    if reader is None:
        found, listed = list_items(manifest, allow_outside=settings.allow_outside, targets=settings.targets)
        items, pending = len(listed), {State.PENDING: len(listed)} if listed else {}
        files = ((each.folder, each.source) for each in listed if each.folder is not None)
        return Status(
            lane_summary("status", None, pending, batch=found.batch, items=items, started=started),
            settings,
            found.batch,
            items,
            pending,
            missing=[name for folder, name in files if not os.path.exists(os.path.join(folder, name))],
            create_rate=expected_create_rate(settings, (), now=now),
            holder=holder(settings.ledger),
        )
    with reader:
        prepared, settings = ready_to_read(manifest, options)
        batch = prepared.manifest.batch
        given = read_plan_input(prepared, settings, whole=whole)
        begun = (item for item in given.unfinished.items if item.item_id in given.rows.current)
        rows = [shown_row(item, given.rows) or new_row(item) for item in begun]
        rows += [row for row in given.unplanned if row is not None]
        needy = [row for row in rows if row.state in NEEDS_ATTENTION]
        states, last_run = given.states(), next(iter(reader.runs(batch, limit=1)), None)
        summary = lane_summary(
            "status",
            given.lane,
            states,
            batch=batch,
            items=given.items,
            run_id=last_run.run_id if last_run else None,
            started=started,
        )
        return Status(
            summary,
            settings,
            batch,
            given.items,
            states,
            given.lane,
            rows,
            with_retries_counted(needy, given.rows.by_token.values()),
            prepared,
            missing_files(prepared),
            gone=len(given.unplanned) - len(prepared.unread),
            plan=given.plan(LaneOutlook(now)),
            refusal=given.refusal,
            last_run=last_run,
            create_rate=expected_create_rate(settings, given.rates, now=now),
            holder=holder(settings.ledger),
        )
