"""`status`: how far the items of a manifest are, from ledger and files. Contacts no service."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.items import Prepared, list_items, missing_files, ready_to_read
from batch_upload.app.ledger_view import holder
from batch_upload.app.plan import PlanInput, read_plan_input
from batch_upload.app.rates import expected_create_rate
from batch_upload.engine.plan import LaneOutlook
from batch_upload.engine.rows import new_row, shown_row, with_retries_counted
from batch_upload.ledger import Note, find_reader
from batch_upload.manifest.reader import ledger_named_in
from batch_upload.model import Known, Lane, Listed, Plan, State
from batch_upload.records import RunRecord
from batch_upload.settings import RunOptions, Settings, settings_of

NEEDS_ATTENTION = (State.PROCESSING, State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""States in which an item was begun and is not complete."""


@dataclass(frozen=True, slots=True)
class Status:
    """What manifest, files and ledger say."""

    settings: Settings
    batch: str
    items: int
    states: Mapping[State, int]
    """How many items are in each state; they add up to `items`."""
    lane: Lane | None = None
    rows: Sequence[Known] = ()
    """What the ledger has of each item that is not simply complete, in the manifest's order."""
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
    """Why `upload` refuses this ledger, as its last run said; empty where it does not."""
    last_run: RunRecord | None = None
    create_rate: float = 0.0
    """Creates a second to expect."""
    holder: Note | None = None
    """The process that holds the ledger now."""


async def status(manifest: str | Path, options: RunOptions | None = None) -> Status:
    """Return how far the items of a manifest are, also while a run goes on. Files are read in a thread.

    A file that the ledger does not remember as it looks now is read, so what has changed is not called complete.
    Raises ManifestInvalid, UsageError and LedgerUnusable.
    """
    work = partial(status_sync, Path(manifest), options or RunOptions())
    return await to_thread.run_sync(work, abandon_on_cancel=True)


def status_sync(manifest: Path, options: RunOptions, *, whole: bool = False) -> Status:
    """As `status`; `whole`: with the rows of complete items too. Blocking: not for the thread of an event loop."""
    settings = settings_of(options, manifest=manifest, ledger=ledger_named_in(manifest))
    reader = find_reader(settings.ledger)
    if reader is None:
        return _without_ledger(manifest, settings)
    with reader:
        prepared, settings = ready_to_read(manifest, options)
        batch = prepared.manifest.batch
        given = read_plan_input(prepared, settings, whole=whole)
        now, rows = datetime.now(UTC), _rows(given)
        needy = [row for row in rows if row.state in NEEDS_ATTENTION]
        return Status(
            settings,
            batch,
            given.items,
            given.states(),
            given.lane,
            rows,
            with_retries_counted(needy, given.knowledge.by_token.values()),
            prepared,
            missing_files(prepared),
            gone=len(given.unplanned) - len(prepared.unread),
            plan=given.plan(LaneOutlook(now)),
            refusal=given.refusal,
            last_run=next(iter(reader.runs(batch, limit=1)), None),
            create_rate=expected_create_rate(settings, given.rates, now=now),
            holder=holder(settings.ledger),
        )


def _without_ledger(manifest: Path, settings: Settings) -> Status:
    found, listed = list_items(manifest, allow_outside=settings.allow_outside)
    return Status(
        settings,
        found.batch,
        len(listed),
        {State.PENDING: len(listed)} if listed else {},
        missing=[each.source for each in listed if not _is_there(each)],
        create_rate=expected_create_rate(settings, (), now=datetime.now(UTC)),
        holder=holder(settings.ledger),
    )


def _is_there(listed: Listed) -> bool:
    return listed.folder is None or os.path.exists(os.path.join(listed.folder, listed.source))


def _rows(given: PlanInput) -> list[Known]:
    knowledge = given.knowledge
    known = [item for item in given.sifted.items if item.item_id in knowledge.current]
    rows = [shown_row(item, knowledge) or new_row(item) for item in known]
    return [*rows, *(row for row in given.unplanned if row is not None)]
