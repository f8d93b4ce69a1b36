"""`verify`: compare the ledger with what the service holds. Changes nothing, here or there.

The ledger is read as any reader does: also while a run writes it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.exits import first_of, summary_of_lanes
from batch_upload.app.items import LanePart, invalid, lane_parts, ready_to_read
from batch_upload.app.lane import reach
from batch_upload.app.lanes import (
    LaneOutcome,
    SharedAccess,
    counted_requests,
    error_exit,
    in_each_lane,
    lane_readers,
    one_at_a_time,
    shared_access,
)
from batch_upload.app.ledger_view import check_lane
from batch_upload.app.observers import Both, Silent, observer_of_lane
from batch_upload.app.plan_input import unplanned_rows
from batch_upload.app.sendable import Prepared
from batch_upload.clock import counting_s
from batch_upload.engine.fields import displaced_items, find_misplaced
from batch_upload.engine.listing import list_completely, reported, still_there
from batch_upload.engine.rows import BatchRows, shown_row, state_of_row
from batch_upload.engine.tally import Tally
from batch_upload.engine.verify import (
    NOTHING_READ,
    FindingKind,
    LaneComparison,
    compare_with_lane,
    read_tags,
    standing,
    tokens_with,
    unlisted,
    with_latecomers,
    young_of,
)
from batch_upload.errors import BatchUploadError, ExitCode, NoAnswer
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import Known, Lane, Problem
from batch_upload.operations import LIST_TAGS
from batch_upload.ports import LedgerReader, Observer
from batch_upload.records import BoundItem, RateRecord
from batch_upload.registration import Bind
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, exit_of
from batch_upload.targets import Target

FINDING_EXITS: Mapping[FindingKind, ExitCode] = {
    FindingKind.UNKNOWN: ExitCode.OUTCOMES_UNKNOWN,
    FindingKind.OPEN: ExitCode.TRANSIENT,
    FindingKind.NEW_VERSION: ExitCode.TRANSIENT,
    FindingKind.DISPLACED: ExitCode.TRANSIENT,
    FindingKind.IN_PROGRESS: ExitCode.STILL_PROCESSING,
    FindingKind.NOT_YET: ExitCode.STILL_PROCESSING,
}
"""The exit code of a kind of finding. Every other kind is DISAGREEMENT."""
AGREEMENT = "service and ledger agree"


@dataclass(frozen=True, slots=True)
class Verification:
    """How ledger and service compare. `summary` has the states, the lane, the requests, and in `exit` the verdict."""

    summary: Summary
    comparison: LaneComparison
    problems: tuple[Problem, ...]
    """Of files that cannot be sent and globs that match none; what the ledger knows of them was compared."""
    gone: int
    """How many items of the ledger no glob of the manifest matches any more."""
    denied: Sequence[Known]
    """The rows of attachments that a reviewer denied, as the ledger has them. They change no exit code."""
    bound: int
    """How many attachments the ledger has in fields of registrations; the service was asked for all of them."""
    tag_reads_per_s: float
    """The pace at which tags are read."""
    lanes: Sequence[LaneOutcome["Verification"]] = ()
    """Of a manifest with `targets`, each lane. All the rest is then of all lanes together."""

    @property
    def ledger_codes(self) -> Set[ExitCode]:
        """The exit codes of what the ledger can still learn; of tags it learns nothing."""
        kinds = self.comparison.counts.keys() - {FindingKind.IDENTITY, FindingKind.TAGS}
        return {FINDING_EXITS.get(kind, ExitCode.DISAGREEMENT) for kind in kinds}


@dataclass(frozen=True, slots=True)
class LedgerContent:
    """What a ledger holds at one moment. Empty if there is none."""

    lane: Lane | None = None
    known: Sequence[Known] = ()
    tokens: Mapping[str, str | None] = field(default_factory=dict)
    bound: Sequence[BoundItem] = ()
    rates: Sequence[RateRecord] = ()


async def verify(
    manifest: str | Path,
    options: RunOptions | None = None,
    *,
    tags: bool = False,
    observer: Observer | None = None,
    ask: Ask | None = None,
) -> Verification:
    """Compare what the ledger knows of a manifest's items with what the service holds.

    `tags` also compares the tags of every attachment, 10 a second. `observer` gets the events of `events.py`. `ask` is
    called where a profile needs the code of an MFA device.

    Returns a result whatever is found: look at `result.summary.exit`. Raises BatchUploadError where no comparison is
    possible: ManifestInvalid, UsageError, LedgerUnusable, AccessFault or NoAnswer.
    """
    started = counting_s()
    read = partial(ready_to_read, Path(manifest), options or RunOptions())
    prepared, settings = await to_thread.run_sync(read, abandon_on_cancel=True)
    return await verify_prepared(prepared, settings, observer or Silent(), tags=tags, ask=ask, started=started)


async def verify_prepared(
    prepared: Prepared,
    settings: Settings,
    observer: Observer,
    *,
    tags: bool = False,
    ask: Ask | None = None,
    started: float | None = None,
) -> Verification:
    """Do the same with a manifest that was read already (`items.ready_to_read`). Raises as `verify`.

    Lanes are compared side by side. `started` is the moment of `counting_s()` from which the elapsed time counts: now
    unless it is given.
    """
    began = counting_s() if started is None else started
    parts = lane_parts(prepared, settings)
    held = await to_thread.run_sync(read_ledger, settings.ledger, parts)
    if prepared.problems and all(each.lane is None for each in held):
        raise invalid(prepared.manifest.path, prepared.problems)
    lanes, asking = [LaneToVerify(*each) for each in zip(parts, held, strict=True)], one_at_a_time(ask)

    async with shared_access(lanes) as shared:

        async def verify_one(each: LaneToVerify) -> Verification:
            listener = observer_of_lane(each.target, observer)
            return await verify_lane(
                each.part, each.held, listener, tags=tags, ask=asking, shared=shared, started=began
            )

        answers = await in_each_lane(lanes, verify_one)
    outcomes = [
        LaneOutcome(lane.target, not_compared(lane, answer, started=began), answer)
        if isinstance(answer, BatchUploadError)
        else LaneOutcome(lane.target, answer)
        for lane, answer in zip(lanes, answers, strict=True)
    ]
    found = [each.value for each in outcomes]
    if not prepared.manifest.targets:
        return found[0]
    summary = summary_of_lanes(
        "verify",
        [(each.target, each.value.summary) for each in outcomes],
        batch=prepared.manifest.batch,
        elapsed_s=counting_s() - began,
    )
    reason = AGREEMENT if summary.exit.code is ExitCode.DONE else summary.exit.reason
    return Verification(
        replace(summary, exit=replace(summary.exit, reason=reason)),
        LaneComparison.of_all([each.comparison for each in found]),
        prepared.problems,
        sum(each.gone for each in found),
        [row for each in found for row in each.denied],
        sum(each.bound for each in found),
        tag_reads_per_s=sum(each.tag_reads_per_s for each in found),
        lanes=outcomes,
    )


@dataclass(frozen=True, slots=True)
class LaneToVerify:
    """A lane that is to be compared, and what the ledger held of it before."""

    part: LanePart
    held: LedgerContent

    @property
    def target(self) -> Target:
        return self.part.target

    @property
    def settings(self) -> Settings:
        return self.part.settings

    @property
    def binds(self) -> Iterator[Bind]:
        return self.part.binds


async def verify_lane(
    part: LanePart,
    before: LedgerContent,
    observer: Observer,
    *,
    tags: bool,
    ask: Ask | None,
    shared: SharedAccess,
    started: float,
) -> Verification:
    """Compare one lane. Raises AccessFault, NoAnswer, LedgerUnusable, LedgerOfAnotherLane."""
    prepared, settings, tally = part.prepared, part.settings, Tally()
    batch, items = prepared.manifest.batch, prepared.items
    observer = Both(tally, observer)
    try:
        reaching = reach(
            settings,
            observer,
            remembered=before.rates,
            reads_only=True,
            ask=ask,
            accounts=shared.accounts,
            local_url=shared.local_url,
        )
        async with reaching as reached:
            check_lane(before.lane, reached.lane, settings)
            async with reported(reached, None, known=0) as progress:
                listing = await list_completely(reached, on_page=progress.page)
                if not listing.is_complete:
                    message = "the account kept changing while its attachments were listed"
                    raise NoAnswer(message, code="ListingIncomplete")
                # after the listing: what a run that goes on meanwhile has created by then is in the ledger
                (ledger,) = await to_thread.run_sync(read_ledger, settings.ledger, [part])
                rows = BatchRows.of(ledger.known)
                listing = await with_latecomers(reached, listing, unlisted(standing(items, rows), listing))
                there = still_there(listing).attachments
                wanted = there if tags else [each for each in there if each.attachment_id not in ledger.tokens]
                read = await read_tags(reached, wanted, progress)
            displaced = displaced_items(items, rows.current)
            misplaced = await find_misplaced(reached, ledger.bound, displaced)
            comparison = compare_with_lane(
                items,
                rows,
                listing,
                tokens_with(ledger.tokens, read, ledger.known),
                young=young_of(ledger.known, now=reached.clock.now(), horizon_s=settings.safe_horizon_s),
                tags=read if tags else NOTHING_READ,
                misplaced=misplaced,
            )
            tag_reads_per_s = reached.wire.rate(LIST_TAGS)
    except BatchUploadError as error:
        error.summary = counted_requests("verify", error, tally)
        raise
    code = first_of({FINDING_EXITS.get(kind, ExitCode.DISAGREEMENT) for kind in comparison.counts})
    left = "the next `upload` puts attachments into fields of registrations that do not hold them"
    if FindingKind.OPEN in comparison.counts:
        left = "the outcome of some requests is not known yet"
    reasons = {ExitCode.DONE: AGREEMENT, ExitCode.TRANSIENT: left}
    states, gone = lane_states(prepared, rows, ledger.known)
    summary = Summary(
        verb="verify",
        exit=Exit(code, reasons.get(code, exit_of(code).reason)),
        batch=batch,
        account=reached.lane.account,
        region=reached.lane.region,
        states=states,
        items=sum(states.values()),
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - started,
    )
    denied = [row for row in rows.current.values() if row.standing_denial is not None]
    return Verification(
        summary, comparison, prepared.problems, gone, denied, len(ledger.bound) + len(displaced), tag_reads_per_s
    )


def not_compared(lane: LaneToVerify, error: BatchUploadError, *, started: float) -> Verification:
    """Return what is known of a lane that an error kept from being compared: the states in the ledger."""
    states, gone = lane_states(lane.part.prepared, BatchRows.of(lane.held.known), lane.held.known)
    sent = error.summary or Summary("verify", error_exit(error))
    summary = replace(
        sent,
        batch=lane.part.prepared.manifest.batch,
        account=lane.held.lane.account if lane.held.lane else None,
        region=lane.held.lane.region if lane.held.lane else None,
        states=states,
        items=sum(states.values()),
        elapsed_s=counting_s() - started,
    )
    denied = [row for row in lane.held.known if row.current and row.standing_denial is not None]
    return Verification(summary, LaneComparison.of_all([]), lane.part.prepared.problems, gone, denied, 0, 0.0)


def lane_states(prepared: Prepared, rows: BatchRows, known: Sequence[Known]) -> tuple[dict[str, int], int]:
    """Return the items of a lane by state, and how many of them no glob of the manifest matches any more."""
    others = unplanned_rows(prepared, known)
    states = Counter(state_of_row(shown_row(item, rows)) for item in prepared.items) + others.states()
    return {state.value: count for state, count in states.items()}, len(others.unlisted)


def read_ledger(ledger: LedgerAddress, parts: Sequence[LanePart]) -> list[LedgerContent]:
    """Read what a ledger holds of a batch, lane by lane. Raises LedgerUnusable."""
    with lane_readers(ledger) as reader_of:
        return [_content(part, reader_of(part.target)) for part in parts]


def _content(part: LanePart, reader: LedgerReader | None) -> LedgerContent:
    if reader is None:
        return LedgerContent()
    batch = part.prepared.manifest.batch
    with reader.moment():
        known = reader.known(batch)
        bound = reader.bound(batch) if any(row.bind is not None for row in known) else ()
    return LedgerContent(reader.lane(), known, reader.attachment_tokens(), bound, reader.rates())
