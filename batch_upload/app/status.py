"""`status`: how far the items of a manifest are, from ledger and files. Makes no request."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from anyio import to_thread

from batch_upload.actions import Plan
from batch_upload.app.exits import joint_summary, lane_summary, one_per_lane, summary_of_lanes
from batch_upload.app.items import list_items, missing_files, ready_to_read, settings_of_manifest
from batch_upload.app.lanes import LaneOutcome, ListedPart, listed_parts
from batch_upload.app.ledger_alone import refuse_batch
from batch_upload.app.ledger_view import holder, last_run_of, pin_refusal
from batch_upload.app.plan_input import PlanInput, read_ledger_inputs, read_plan_inputs
from batch_upload.app.rates import expected_create_rate
from batch_upload.app.sendable import Prepared
from batch_upload.clock import counting_s
from batch_upload.documents.refusals import in_other_form
from batch_upload.engine.plan import LaneOutlook
from batch_upload.engine.rows import new_row, shown_row, with_retries_counted
from batch_upload.ledger import Note, find_reader, is_ledger_file
from batch_upload.ledger_address import LedgerAddress, PostgresUrl, named_address
from batch_upload.manifest.reader import ledger_named_in
from batch_upload.model import Known, Lane, Manifest, State
from batch_upload.records import LaneHold, RunRecord
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.summary import Summary
from batch_upload.targets import Target

NEEDS_ATTENTION = (State.PROCESSING, State.BINDING, State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""States of an item that was begun and is not complete."""


@dataclass(frozen=True, slots=True)
class Status:
    """What manifest, files and ledger say."""

    summary: Summary
    settings: Settings
    batch: str | None
    """None for a ledger that holds several batches, or none."""
    items: int
    states: Mapping[State, int]
    """How many items are in each state; they add up to `items`."""
    lane: Lane | None = None
    rows: Sequence[Known] = ()
    """The ledger's row of each item that is not simply complete, in the manifest's order; without the manifest of all
    items."""
    attention: Sequence[Known] = ()
    """The rows in a state of NEEDS_ATTENTION. The fault of one that ended as UPLOAD_FAILED counts its retries."""
    denied: Sequence[Known] = ()
    """The rows of attachments that a reviewer denied (`Known.standing_denial`)."""
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
    """The process that holds the ledger now; of a database the first that holds one of the lanes."""
    holds: Sequence[LaneHold] = ()
    """Who holds each lane, or held it last, where several hosts share the ledger."""
    lanes: Sequence[LaneOutcome["Status"]] = ()
    """Of a manifest with `targets`, the status of each lane. All the rest is then of all lanes together, and `lane` is
    None."""
    is_ledger_alone: bool = False
    """Whether the manifest was not read: the items are those of the ledger, and no file was looked at."""
    batches: Mapping[str, Mapping[State, int]] = field(default_factory=dict)
    """Of a ledger alone, the items of each batch by state."""


async def status(manifest: str | LedgerAddress, options: RunOptions | None = None) -> Status:
    """Return how far the items of a manifest are, also while a run goes on. Files are read in a thread.

    A file that the ledger does not remember as it is now is read, so what has changed is not called complete.
    `manifest` may be a ledger, by its path or URL: then its items are counted, of every batch and lane, and no other
    file is read. Raises ManifestInvalid, UsageError and LedgerUnusable.
    """
    work = partial(status_sync, named_address(manifest), options or RunOptions())
    return await to_thread.run_sync(work, abandon_on_cancel=True)


def status_sync(manifest: LedgerAddress, options: RunOptions, *, whole: bool = False) -> Status:
    """As `status`; `whole`: with the rows of complete items too. Blocking: not for the thread of an event loop."""
    started = counting_s()
    if isinstance(manifest, PostgresUrl) or is_ledger_file(manifest):
        return _status_of_ledger(read_ledger_inputs(manifest, options), started=started)
    refuse_batch(manifest, options)
    settings = settings_of(options, manifest=manifest, ledger=ledger_named_in(manifest))
    reader = find_reader(settings.ledger)
    if reader is None:
        found, listed = list_items(manifest, allow_outside=settings.allow_outside, lanes=settings.lanes)
        settings = settings_of_manifest(options, found)
        lanes = [
            LaneOutcome(part.target, _status_without_ledger(found, part, started=started))
            for part in listed_parts(found, listed, settings)
        ]
        return _status_of_all(found, lanes, settings, None, started=started)
    with reader:  # open until the end, so that it stays the same file
        prepared, settings = ready_to_read(manifest, options)
        given = read_plan_inputs(prepared, settings, whole=whole)
    lanes = [LaneOutcome(each.target, _status_of_lane(each, started=started)) for each in given]
    return _status_of_all(prepared.manifest, lanes, settings, prepared, started=started)


def _status_without_ledger(manifest: Manifest, part: ListedPart, *, started: float) -> Status:
    """Return the status of a lane of which nothing was sent. No file is opened."""
    items = len(part.listed)
    pending = {State.PENDING: items} if items else {}
    files = ((each.folder, each.source) for each in part.listed if each.folder is not None)
    return Status(
        lane_summary("status", None, pending, batch=manifest.batch, items=items, started=started),
        part.settings,
        manifest.batch,
        items,
        pending,
        missing=[name for folder, name in files if not _exists(os.path.join(folder, name))],
        create_rate=expected_create_rate(part.settings, (), now=datetime.now(UTC)),
        holder=holder(part.settings.ledger),
    )


def _exists(path: str) -> bool:
    return os.path.exists(path) or in_other_form(path) is not None


def _status_of_lane(given: PlanInput, *, started: float) -> Status:
    """Return the status of one lane from what was read of it."""
    now, prepared = datetime.now(UTC), given.prepared
    holds = () if given.hold is None else (given.hold,)
    begun = (item for item in given.unfinished.items if item.item_id in given.rows.current)
    rows = [shown_row(item, given.rows) or new_row(item) for item in begun]
    rows += given.unplanned.rows
    needy = [row for row in rows if row.state in NEEDS_ATTENTION]
    batch, states = prepared.manifest.batch or None, given.states()
    summary = lane_summary(
        "status",
        given.lane,
        states,
        batch=batch,
        items=given.items,
        run_id=given.last_run.run_id if given.last_run else None,
        started=started,
    )
    return Status(
        summary,
        given.settings,
        batch,
        given.items,
        states,
        given.lane,
        rows,
        with_retries_counted(needy, given.rows.by_token.values()),
        [row for row in rows if row.standing_denial is not None],
        prepared,
        missing_files(prepared),
        gone=0 if given.is_ledger_alone else len(given.unplanned.unlisted),
        plan=given.plan(LaneOutlook(now)),
        refusal=given.refusal or pin_refusal(given.lane, given.target),
        last_run=given.last_run,
        create_rate=expected_create_rate(given.settings, given.rates, now=now),
        holder=holder(given.settings.ledger, holds),
        holds=holds,
        is_ledger_alone=given.is_ledger_alone,
    )


def _status_of_ledger(given: Sequence[PlanInput], *, started: float) -> Status:
    """Return the status of what a ledger holds. Several batches of a lane are added up."""
    batches: defaultdict[str, Counter[State]] = defaultdict(Counter)
    by_lane: dict[str | None, list[tuple[Target, Status]]] = {}
    for each in given:
        of_part = _status_of_lane(each, started=started)
        by_lane.setdefault(each.target.label, []).append((each.target, of_part))
        if of_part.batch is not None:
            batches[of_part.batch].update(of_part.states)
    lanes = []
    for same in by_lane.values():
        [(target, summary)] = one_per_lane([(target, each.summary) for target, each in same])
        found = [each for _, each in same]
        runs = [each.last_run for each in found if each.last_run is not None]
        latest = max(runs, key=lambda run: run.began_at, default=None)
        joint = replace(_sum_of(found, summary), last_run=latest, create_rate=found[0].create_rate)
        lanes.append(LaneOutcome(target, joint))
    whole = lanes[0].value
    if lanes[0].target.label is not None:
        parts = [(target, each.summary) for same in by_lane.values() for target, each in same]
        summary = joint_summary("status", parts, elapsed_s=counting_s() - started)
        whole = replace(_sum_of([lane.value for lane in lanes], summary), lane=None, lanes=lanes)
    return replace(whole, batches=batches)


def _status_of_all(
    manifest: Manifest,
    lanes: Sequence[LaneOutcome[Status]],
    settings: Settings,
    prepared: Prepared | None,
    *,
    started: float,
) -> Status:
    """Return the only lane of a manifest without `targets` as it is, else the sums of all lanes."""
    if not manifest.targets:
        return lanes[0].value
    parts = [(lane.target, lane.value.summary) for lane in lanes]
    summary = summary_of_lanes("status", parts, batch=manifest.batch, elapsed_s=counting_s() - started)
    joint = _sum_of([lane.value for lane in lanes], summary)
    held_by = holder(settings.ledger, joint.holds)
    return replace(joint, settings=settings, lane=None, prepared=prepared, holder=held_by, lanes=lanes)


def _sum_of(found: Sequence[Status], summary: Summary) -> Status:
    """Return the sums of several statuses; what cannot be added up is that of the first. `summary` is of all."""
    last_run = last_run_of([each.last_run for each in found if each.last_run is not None])
    return replace(
        found[0],
        summary=replace(summary, run_id=last_run.run_id if last_run else None),
        batch=summary.batch,
        items=summary.items,
        states={State(name): count for name, count in summary.states.items()},
        rows=[row for each in found for row in each.rows],
        attention=[row for each in found for row in each.attention],
        denied=[row for each in found for row in each.denied],
        missing=list(dict.fromkeys(name for each in found for name in each.missing)),
        gone=sum(each.gone for each in found),
        plan=Plan(
            tuple(action for each in found for action in each.plan.actions),
            sum(each.plan.complete for each in found),
            sum(each.plan.more_orphans for each in found),
        ),
        refusal=next((each.refusal for each in found if each.refusal), ""),
        last_run=last_run,
        create_rate=sum(each.create_rate for each in found),
        holder=next((each.holder for each in found if each.holder is not None), None),
        holds=list(dict.fromkeys(hold for each in found for hold in each.holds)),
    )
