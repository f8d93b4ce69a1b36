"""A use case that reads, over every lane of a manifest: the ledger is opened once, the service is asked side by side.

A manifest without `targets` has one lane without a label. What it raises and returns is what that lane does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import anyio

from batch_upload.app.items import LanePart, invalid, list_sendable, settings_of_manifest
from batch_upload.app.sendable import UNMATCHED, Unread, by_lane, without_withdrawn
from batch_upload.engine.groups import for_each
from batch_upload.engine.tally import Tally
from batch_upload.errors import BatchUploadError, LedgerLocked, LedgerOfAnotherLane, LedgerUnusable, ServiceError
from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress
from batch_upload.manifest.globs import GlobFindings
from batch_upload.model import Lane, Listed, Manifest, Problem
from batch_upload.ports import LedgerReader
from batch_upload.registration import Bind
from batch_upload.settings import RunOptions, Settings, settings_of_lane
from batch_upload.summary import Exit, Summary
from batch_upload.targets import Target, ids_in_lane

if TYPE_CHECKING:
    from batch_upload.service.accounts import Accounts

Value = TypeVar("Value")

LANES_AT_ONCE = 50
"""Lanes that are asked at the same time: each keeps a connection or two, and its share of the memory, until its end."""


@dataclass(frozen=True, slots=True)
class LaneOutcome(Generic[Value]):
    """What a use case found in one lane of several. `error`: why it could not be finished there."""

    target: Target
    value: Value
    error: BatchUploadError | None = None


@dataclass(frozen=True, slots=True)
class ListedPart:
    """What one lane gets of a manifest that was listed without a look into its files."""

    target: Target
    settings: Settings
    listed: tuple[Listed, ...]
    """Where the ledger is read, also the files that are too young for a run, if it has them."""
    invalid: tuple[Unread, ...] = ()
    """What cannot be sent, by problems of single entries; globs that match nothing are left out."""

    @property
    def binds(self) -> Iterator[Bind]:
        """The fields that its attachments are bound to."""
        return (each.bind for each in self.listed if each.bind is not None)


def listed_parts(
    manifest: Manifest, listed: Sequence[Listed], settings: Settings, invalid: Sequence[Unread] = ()
) -> tuple[ListedPart, ...]:
    """Part what a manifest lists by its lanes, in the manifest's order; as `items.lane_parts` does with items.

    Raises UsageError for a `--target` that means no lane.
    """
    if not manifest.targets:
        return (ListedPart(manifest.target, settings, tuple(listed), tuple(invalid)),)
    listed_by_lane = by_lane(listed, lambda each: each.lane_label)
    invalid_by_lane = by_lane(invalid, lambda pair: pair[0].lane_label)
    return tuple(
        ListedPart(
            target,
            replace(settings_of_lane(settings, target), only_ids=ids_in_lane(settings.only_ids, target)),
            tuple(listed_by_lane[target.label]),
            tuple(invalid_by_lane[target.label]),
        )
        for target in settings.lanes.of(manifest.targets)
    )


ReaderOf = Callable[[Target], LedgerReader | None]
"""Returns the reader of a target's lane; None where there is no ledger."""


@contextmanager
def lane_readers(ledger: LedgerAddress) -> Iterator[ReaderOf]:
    """Open a ledger once for all its lanes, to read them all at one moment. Blocking. Raises LedgerUnusable.

    A lane that the ledger does not have yet has a reader, too, which finds nothing.
    """
    reader = find_reader(ledger)
    if reader is None:
        yield lambda _: None
        return
    with reader, reader.moment():
        yield lambda target: of_target(reader, target)


@contextmanager
def listed_lanes(
    path: Path, options: RunOptions
) -> Iterator[tuple[Manifest, Sequence[Problem], list[tuple[ListedPart, LedgerReader | None]]]]:
    """Yield a manifest, the problems of its globs without a match, and each lane with a reader of the ledger.

    No file of the manifest is opened, and all lanes are read at one moment. Blocking. Raises ManifestInvalid,
    LedgerUnusable and UsageError; ManifestInvalid also for a problem of an entry if there is no ledger.
    """
    findings = GlobFindings()
    manifest, listed, problems, of_entries = list_sendable(
        path, allow_outside=options.allow_outside, lanes=options.lanes, findings=findings
    )
    settings = settings_of_manifest(options, manifest)
    left, withdrawn = without_withdrawn(listed, of_entries)
    refused = [*(pair for pair in of_entries.refused if pair[1].code not in UNMATCHED), *withdrawn]
    refused.sort(key=lambda pair: pair[0].at)
    unmatched = tuple(each for each in problems if each.code in UNMATCHED)
    parts = listed_parts(manifest, left, settings, refused)
    young = by_lane((each.listed for each in findings.young), lambda each: each.lane_label)
    with lane_readers(settings.ledger) as reader_of:
        lanes = [
            (_with_young(manifest, part, reader, young[part.target.label]), reader)
            for part, reader in ((part, reader_of(part.target)) for part in parts)
        ]
        if problems and not any(reader for _, reader in lanes):
            raise invalid(path, problems)
        yield manifest, unmatched, lanes


def _with_young(
    manifest: Manifest, part: ListedPart, reader: LedgerReader | None, young: Sequence[Listed]
) -> ListedPart:
    """Return a lane with the files that are too young for a run, as far as the ledger has them."""
    if reader is None or not young:
        return part
    of_id = {each.item_id: each for each in young}
    rows = reader.known_of_ids(manifest.batch, list(of_id))
    return replace(part, listed=(*part.listed, *(of_id[row.item_id] for row in rows if row.current)))


@contextmanager
def lane_reader(ledger: LedgerAddress, target: Target) -> Iterator[LedgerReader | None]:
    """Open a ledger for the lane of a target; None where there is no ledger. Each answer is of its own moment."""
    reader = find_reader(ledger)
    if reader is None:
        yield None
        return
    with reader:
        yield of_target(reader, target)


def of_target(reader: LedgerReader, target: Target) -> LedgerReader:
    """Return the reader of a target's lane, over the same connection.

    Without a label it is the only lane of the ledger, or of several the one with the target's account and Region.
    """
    has_lane = target.account is not None and target.region is not None
    lane = Lane(target.account or "", target.region or "") if has_lane else None
    if target.label is not None:
        return reader.of_target(target.label, lane)
    return reader.of(lane) if len({each for _, each in reader.lanes()}) > 1 else reader


class OfTarget(Protocol):
    """What one lane gets of a manifest, in any form."""

    @property
    def target(self) -> Target: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def binds(self) -> Iterable[Bind]:
        """The fields that the manifest binds attachments of the lane to."""
        ...


Part = TypeVar("Part", bound=OfTarget)


async def in_each_lane(
    parts: Sequence[Part],
    ask: Callable[[Part], Awaitable[Value]],
    *,
    at_once: int = LANES_AT_ONCE,
) -> list[Value | BatchUploadError]:
    """Ask for each lane, at most `at_once` at the same time. Return the answers and errors, in the order of the parts.

    A fault of one lane of several is returned in its place (`is_of_lane`). Every other error ends all and is raised;
    so is every error of the only lane of a manifest without `targets`.
    """
    answers: dict[int, Value | BatchUploadError] = {}

    async def one(numbered: tuple[int, Part]) -> None:
        number, part = numbered
        try:
            answers[number] = await ask(part)
        except BatchUploadError as error:
            if part.target.label is None or not is_of_lane(error):
                raise
            answers[number] = error

    await for_each(enumerate(parts), one, at_once=at_once)
    return [answers[number] for number in range(len(parts))]


def is_of_lane(error: BatchUploadError) -> bool:
    """Return whether an error concerns one lane alone, so that the others go on."""
    return isinstance(error, ServiceError | LedgerOfAnotherLane | LedgerLocked)


@dataclass(frozen=True, slots=True)
class SharedAccess:
    """What lanes that are asked side by side share."""

    accounts: "Accounts | None" = None
    """None for a manifest without `targets`."""
    local_url: str | None = None
    """Where the emulator of `--local` serves all of them."""


@asynccontextmanager
async def shared_access(parts: Sequence[OfTarget], *, reads_only: bool = True) -> AsyncIterator[SharedAccess]:
    """Open what lanes share. `reads_only`: `--local` makes no state of the emulator, as for `embedded_emulator`.

    With `--local` the emulator has every registration that the manifest binds an attachment to.
    """
    is_alone, settings = all(part.target.label is None for part in parts), parts[0].settings if parts else None
    is_local = settings is not None and settings.local
    if is_alone and not is_local:
        yield SharedAccess()
        return
    # the SDK, which a plan without the service does not need
    from batch_upload.app.lane import embedded_emulator, local_lane
    from batch_upload.service.accounts import Accounts

    async with AsyncExitStack() as stack:
        url = None
        if settings is not None and is_local:
            binds = ((local_lane(part.settings), bind) for part in parts for bind in part.binds)
            url = await stack.enter_async_context(embedded_emulator(settings, reads_only=reads_only, binds=binds))
        yield SharedAccess(None if is_alone else await stack.enter_async_context(Accounts()), url)


def one_at_a_time(ask: Callable[[str], Awaitable[str]] | None) -> Callable[[str], Awaitable[str]] | None:
    """Return a way to ask a person that lanes which run side by side can share: one question after the other."""
    if ask is None:
        return None
    lock = anyio.Lock()

    async def ask_in_turn(question: str) -> str:
        async with lock:
            return await ask(question)

    return ask_in_turn


def new_lanes(parts: Sequence[LanePart], ledger: LedgerAddress) -> int:
    """Return how many lanes would get their first run; 0 if the ledger has a run of one of them. Blocking.

    A ledger that cannot be read counts as none: the run that follows says why.
    """
    try:
        with lane_readers(ledger) as reader_of:
            known = [reader_of(part.target) for part in parts]
            if any(reader is not None and reader.lane() is not None for reader in known):
                return 0
    except LedgerUnusable:
        return 0
    return sum(bool(part.prepared.items) for part in parts)


def counted_requests(verb: str, error: BatchUploadError, tally: Tally) -> Summary:
    """Return the summary of a lane that an error ended, with the requests until then and without counts of items."""
    return Summary(verb, error_exit(error), requests=dict(tally.requests), throttled=tally.throttled)


def error_exit(error: BatchUploadError) -> Exit:
    """Return the exit of a lane that an error ended."""
    return Exit(error.exit_code, error.message)
