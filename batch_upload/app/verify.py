"""`verify`: compare the ledger with what the service holds. Changes nothing, here or there.

The ledger is read as any reader does: also while a run writes it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from anyio import to_thread

from batch_upload.app.exits import first_of
from batch_upload.app.items import Prepared, invalid, ready_to_read
from batch_upload.app.lane import reach
from batch_upload.app.ledger_view import check_lane, unplanned
from batch_upload.app.observers import Both, Silent
from batch_upload.clock import counting_s
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
from batch_upload.errors import ExitCode, NoAnswer
from batch_upload.ledger import find_reader
from batch_upload.model import Known, Lane, Problem, RateRecord
from batch_upload.operations import LIST_TAGS
from batch_upload.ports import Observer
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, exit_of

FINDING_EXITS: Mapping[FindingKind, ExitCode] = {
    FindingKind.UNKNOWN: ExitCode.OUTCOMES_UNKNOWN,
    FindingKind.OPEN: ExitCode.TRANSIENT,
    FindingKind.IN_PROGRESS: ExitCode.STILL_PROCESSING,
    FindingKind.NOT_YET: ExitCode.STILL_PROCESSING,
}
"""The exit code of a kind of finding. Every other kind is DISAGREEMENT."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How ledger and service compare. `summary` has the states, the lane, the requests, and in `exit` the verdict."""

    summary: Summary
    comparison: LaneComparison
    problems: tuple[Problem, ...]
    """Of files that cannot be sent and globs that match none; what the ledger knows of them was compared."""
    gone: int
    """How many items of the ledger no glob of the manifest matches any more."""
    tag_reads_per_s: float
    """The pace at which tags are read."""

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

    `started` is the moment of `counting_s()` from which the elapsed time counts: now unless it is given.
    """
    began = counting_s() if started is None else started
    batch, items, tally = prepared.manifest.batch, prepared.items, Tally()
    before = await to_thread.run_sync(read_ledger, settings.ledger, batch)
    if prepared.problems and before.lane is None:
        raise invalid(prepared.manifest.path, prepared.problems)
    observer = Both(tally, observer)
    async with reach(settings, observer, remembered=before.rates, reads_only=True, ask=ask) as reached:
        check_lane(before.lane, reached.lane, settings)
        async with reported(reached, None, known=0) as progress:
            listing = await list_completely(reached, on_page=progress.page)
            if not listing.is_complete:
                raise NoAnswer("the account kept changing while its attachments were listed", code="ListingIncomplete")
            # after the listing: what a run that goes on meanwhile has created by then is in the ledger
            ledger = await to_thread.run_sync(read_ledger, settings.ledger, batch)
            rows = BatchRows.of(ledger.known)
            listing = await with_latecomers(reached, listing, unlisted(standing(items, rows), listing))
            there = still_there(listing).attachments
            wanted = there if tags else [each for each in there if each.attachment_id not in ledger.tokens]
            read = await read_tags(reached, wanted, progress)
        comparison = compare_with_lane(
            items,
            rows,
            listing,
            tokens_with(ledger.tokens, read, ledger.known),
            young=young_of(ledger.known, now=reached.clock.now(), horizon_s=settings.safe_horizon_s),
            tags=read if tags else NOTHING_READ,
        )
        tag_reads_per_s = reached.wire.rate(LIST_TAGS)
    code = first_of({FINDING_EXITS.get(kind, ExitCode.DISAGREEMENT) for kind in comparison.counts})
    reasons = {
        ExitCode.DONE: "service and ledger agree",
        ExitCode.TRANSIENT: "the outcome of some requests is not known yet",
    }
    others = unplanned(prepared, ledger.known)
    states = Counter(state_of_row(row) for row in (*(shown_row(item, rows) for item in items), *others))
    summary = Summary(
        verb="verify",
        exit=Exit(code, reasons.get(code, exit_of(code).reason)),
        batch=batch,
        account=reached.lane.account,
        region=reached.lane.region,
        states={state.value: count for state, count in states.items()},
        items=states.total(),
        requests=dict(tally.requests),
        throttled=tally.throttled,
        elapsed_s=counting_s() - began,
    )
    gone = len(others) - len(prepared.unread)
    return Verification(summary, comparison, prepared.problems, gone, tag_reads_per_s)


def read_ledger(path: Path, batch: str) -> LedgerContent:
    """Read what a ledger holds of a batch and its lane. Raises LedgerUnusable."""
    reader = find_reader(path)
    if reader is None:
        return LedgerContent()
    with reader:
        return LedgerContent(reader.lane(), reader.known(batch), reader.attachment_tokens(), reader.rates())
