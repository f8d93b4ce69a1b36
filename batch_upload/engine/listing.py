"""Listing a lane, in spite of pages that shift, repeat or expire, and how long that takes.

A listing is read page by page while attachments come and go, so one that is read to its end may still have missed one.
What must not be missed is listed until it is proved: see `list_completely`.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Protocol, TypeVar

from batch_upload.engine.groups import task_group
from batch_upload.engine.retry import Wire
from batch_upload.errors import AccessFault, NoAnswer, Refused
from batch_upload.events import Looking
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Capacity
from batch_upload.operations import DESCRIBE, LIST_TAGS
from batch_upload.ports import AttachmentService, Clock, Observer

Number = TypeVar("Number", int, float)

IDS_A_CALL = 5
"""Ids that one describe takes (the service's documentation)."""
RESTARTS_MAX = 3
"""How often a listing whose pages repeat or expire is begun anew."""
LISTINGS_MAX = 5
"""How many listings are read until two of them agree."""
BARREN_MAX = 100
"""Pages in a row that show nothing new before a listing counts as one without end."""
NOT_FOUND = "ResourceNotFoundException"
PAGE_SIZE = 100
"""Attachments on one page of a listing (botocore 1.43.117, `MaxResults`)."""
TELL_EVERY_S = 4.0
"""How often a look reports how far it is, in seconds: less than the 5 s that people were promised a line in."""
TELL_FROM_S = 4.0
"""A look that is expected to take less is not announced."""


def _ignore(_page: AttachmentPage) -> None:
    """Nobody counts pages."""


class Asking(Protocol):
    """What it takes to read from the lane. `Surroundings` are such."""

    @property
    def service(self) -> AttachmentService: ...

    @property
    def wire(self) -> Wire: ...

    @property
    def clock(self) -> Clock: ...


class Describes(Protocol):
    """What tells of attachments by their ids."""

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        """As `AttachmentService.describe`."""
        ...


class Describing(Protocol):
    """What it takes to ask for attachments by their ids."""

    @property
    def service(self) -> Describes: ...

    @property
    def wire(self) -> Wire: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """Every attachment that was shown, each once. `began` is the wall's time, `began_at` the monotonic moment of its
    start, that of the first where several listings were read."""

    attachments: tuple[Attachment, ...]
    began: datetime
    began_at: float
    is_complete: bool = True
    """Whether nothing that the service showed when it began can be missing."""
    served_at: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """By attachment id: when the service showed it, by the service's own clock. Without those it did not date."""
    first_served_at: datetime | None = None
    """When the first page was answered, by the service's own clock."""

    def age_s(self, attachment: Attachment) -> float:
        """How old an attachment was at least when it was shown, in seconds, by the service's own clock; 0 where that
        does not tell."""
        at = self.served_at.get(attachment.attachment_id)
        return 0.0 if at is None else max(0.0, (at - attachment.created_at).total_seconds())


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The first page of a listing that `list_lane` goes on with. `began` and `began_at`: when it was asked for."""

    page: AttachmentPage
    began: datetime
    began_at: float


async def read_first_page(context: Asking) -> FirstPage:
    """Ask for the first page of the lane. Raises as `list_lane`."""
    began, began_at = context.clock.now(), context.clock.monotonic()
    try:
        page = await context.wire.call(DESCRIBE, lambda: context.service.page(None))
    except Refused as error:
        raise _listing_refused(error) from error
    return FirstPage(page, began, began_at)


async def read_pages(
    context: Asking, take: Callable[[AttachmentPage], Awaitable[None]], *, first: AttachmentPage | None = None
) -> bool:
    """Hand every page of the lane to `take`; whether there was but one. `first`: the first page, if it is read already.

    A page token that is refused or repeats begins the listing anew: `take` may then see a page again. Raises NoAnswer
    where no listing came to its end, Refused where the first page is refused.
    """
    for restarts in range(RESTARTS_MAX + 1):
        count = await _read_once(context, take, first if restarts == 0 else None)
        if count is not None:
            return restarts == 0 and count == 1
    raise NoAnswer(
        f"the attachments could not be listed: pages repeated or expired, {RESTARTS_MAX + 1} times",
        code="ListingWithoutEnd",
    )


async def _read_once(
    context: Asking, take: Callable[[AttachmentPage], Awaitable[None]], first: AttachmentPage | None
) -> int | None:
    """Return the number of pages, or None where they did not come to an end."""
    token: str | None = None
    tokens: set[str] = set()
    seen: set[str] = set()
    barren = 0
    while True:
        if first is not None:
            page, first = first, None
        else:
            try:
                page = await context.wire.call(DESCRIBE, lambda at=token: context.service.page(at))  # type: ignore[misc]
            except Refused:
                if token is None:
                    raise
                return None
        await take(page)
        token = page.next_token
        if token is None:
            return len(tokens) + 1
        ids = {each.attachment_id for each in page.attachments}
        barren = barren + 1 if ids <= seen else 0
        if token in tokens or barren > BARREN_MAX:
            return None
        tokens.add(token)
        seen |= ids


async def list_lane(
    context: Asking, *, first: FirstPage | None = None, on_page: Callable[[AttachmentPage], None] = _ignore
) -> Listing:
    """List the lane once. It is complete where one page holds it all. `on_page` is called for each page.

    `first`: the first page, if it is read already: then the listing goes on from there.

    Raises NoAnswer where no listing came to its end, AccessFault where it is refused.
    """
    began, began_at = context.clock.now(), context.clock.monotonic()
    if first is not None:
        began, began_at = first.began, first.began_at
    pages: list[AttachmentPage] = []

    async def take(page: AttachmentPage) -> None:
        pages.append(page)
        on_page(page)

    try:
        is_single = await read_pages(context, take, first=None if first is None else first.page)
    except Refused as error:
        raise _listing_refused(error) from error
    return listing_of(pages, began=began, began_at=began_at, is_complete=is_single)


def _listing_refused(error: Refused) -> AccessFault:
    return AccessFault(
        f"the service refuses to list the lane: {error.message}",
        code=error.code,
        reason=error.reason,
        request_id=error.request_id,
        hint="nothing is created, and nothing called gone, before the lane can be listed",
    )


def listing_of(pages: Sequence[AttachmentPage], *, began: datetime, began_at: float, is_complete: bool) -> Listing:
    """What these pages show, in their order; of an attachment that was shown twice the later."""
    found = {each.attachment_id: each for page in pages for each in page.attachments}
    served = {
        each.attachment_id: page.served_at for page in pages for each in page.attachments if page.served_at is not None
    }
    first = pages[0].served_at if pages else None
    return Listing(tuple(found.values()), began, began_at, is_complete, served, first)


async def list_completely(
    context: Asking, *, used: int | None = None, on_page: Callable[[AttachmentPage], None] = _ignore
) -> Listing:
    """List the lane until nothing can have been missed; `is_complete` says whether that succeeded.

    One page is complete by itself. Pages that shift lose an attachment only where another one vanishes before it while
    they are read. So several pages are complete where nothing that one listing showed is missing in the next; or where
    as many attachments as `used`, asked before the listing, are shown that were there before its first page. What any
    of the listings showed is kept. Raises as `list_lane`.
    """
    found = before = await list_lane(context, on_page=on_page)
    if found.is_complete or _is_confirmed(found, used):
        return replace(found, is_complete=True)
    for _ in range(LISTINGS_MAX - 1):
        latest = await list_lane(context, on_page=on_page)
        found = _united(found, latest)
        if latest.is_complete or _ids(before) <= _ids(latest):
            return replace(found, is_complete=True)
        before = latest
    return found


async def describe_found(context: Describing, ids: Sequence[str]) -> list[Attachment]:
    """Return the attachments of these ids that the service finds, five a call.

    One that it does not find refuses the whole call; it is left out, and the others are asked for again.
    """
    found: list[Attachment] = []
    for start in range(0, len(ids), IDS_A_CALL):
        found.extend(await _describe(context, ids[start : start + IDS_A_CALL]))
    return found


async def _describe(context: Describing, ids: Sequence[str]) -> Sequence[Attachment]:
    try:
        return await context.wire.call(DESCRIBE, lambda: context.service.describe(ids))
    except Refused as error:
        if error.code != NOT_FOUND:
            raise
        missing = error.resource_id
    if len(ids) == 1:
        return ()
    if missing in ids:
        return await _describe(context, [each for each in ids if each != missing])
    return [found for each in ids for found in await _describe(context, [each])]


def still_there(listing: Listing) -> Listing:
    """Return the listing without what was deleted: a service may go on describing it."""
    left = tuple(each for each in listing.attachments if each.status is not AttachmentStatus.DELETED)
    return replace(listing, attachments=left)


def _ids(listing: Listing) -> set[str]:
    return {each.attachment_id for each in listing.attachments}


def _is_confirmed(listing: Listing, used: int | None) -> bool:
    first = listing.first_served_at
    if used is None or first is None:
        return False
    return used == sum(each.created_at < first for each in still_there(listing).attachments)


def _united(earlier: Listing, later: Listing) -> Listing:
    by_id = {each.attachment_id: each for each in (*earlier.attachments, *later.attachments)}
    return replace(
        earlier,
        attachments=tuple(by_id.values()),
        served_at={**earlier.served_at, **later.served_at},
        is_complete=False,
    )


# how long a look at the lane takes, and how far it is: it is listed, then the tags of what is new are read


def calls_by_listing(lane_size: int) -> int:
    """Describes needed to list a lane of so many attachments."""
    return max(1, math.ceil(lane_size / PAGE_SIZE))


class Told(Protocol):
    """What it takes to report a look. `Surroundings` have it."""

    @property
    def wire(self) -> Wire: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def observer(self) -> Observer: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What a look takes at most: pages listed, tags read, seconds. None where the service does not tell."""

    pages: int | None
    tag_reads: int | None
    time_s: float | None


def cost_of_lanes(costs: Collection[Cost]) -> Cost:
    """Return what looks at several lanes side by side take: calls add up, the slowest takes the time."""

    def combined(values: Iterable[Number | None], combine: Callable[[Iterable[Number]], Number]) -> Number | None:
        known = [value for value in values if value is not None]
        return combine(known) if len(known) == len(costs) else None

    return Cost(
        combined((cost.pages for cost in costs), sum),
        combined((cost.tag_reads for cost in costs), sum),
        combined((cost.time_s for cost in costs), max),
    )


def cost_of(capacity: Capacity | None, known: int, *, describes_per_s: float, reads_per_s: float) -> Cost:
    """What it will take for a lane of so many attachments, of which the ledger knows `known`. Pure.

    What was deleted is listed, too, by a service that keeps it: then it is a page more.
    """
    if capacity is None:
        return Cost(None, None, None)
    pages = calls_by_listing(capacity.used)
    reads = max(0, capacity.used - known)
    return Cost(pages, reads, pages / describes_per_s + reads / reads_per_s)


@dataclass(slots=True)
class Progress:
    """Counts of one look. `attachments`: how many the account holds, None where that is not known.

    `to_read` is None until the listing has ended.
    """

    attachments: int | None = None
    listed: set[str] = field(default_factory=set)
    to_read: int | None = None
    read: int = 0

    def page(self, page: AttachmentPage) -> None:
        """A page was listed; one that is listed again changes nothing."""
        self.listed |= {each.attachment_id for each in page.attachments}

    def begin_reading(self, count: int) -> None:
        """The lane is listed, and the tags of so many attachments are read."""
        self.attachments, self.to_read = len(self.listed), count

    def one_read(self, attachment: Attachment) -> None:
        """The tags of one more were asked for."""
        self.listed.add(attachment.attachment_id)
        self.read += 1


@asynccontextmanager
async def reported(context: Told, capacity: Capacity | None, *, known: int) -> AsyncIterator[Progress]:
    """Report the look that is done within: before it, if it takes TELL_FROM_S or more, and every TELL_EVERY_S.

    `known`: how many attachments of the lane the ledger knows, whose tags are not read.
    """
    progress = Progress(None if capacity is None else capacity.used)
    rate = context.wire.rate
    cost = cost_of(capacity, known, describes_per_s=rate(DESCRIBE), reads_per_s=rate(LIST_TAGS))
    began = context.clock.monotonic()

    def left_s() -> float | None:
        if progress.to_read is not None:
            return max(0, progress.to_read - progress.read) / context.wire.rate(LIST_TAGS)
        return None if cost.time_s is None else max(0.0, cost.time_s - (context.clock.monotonic() - began))

    def tell() -> None:
        at = context.clock.now()
        context.observer.notify(
            Looking(progress.attachments, len(progress.listed), progress.to_read, progress.read, left_s(), at)
        )

    async def tell_again_and_again() -> None:
        while True:
            await context.clock.sleep(TELL_EVERY_S)
            tell()

    if cost.time_s is not None and cost.time_s >= TELL_FROM_S:
        tell()
    async with task_group() as group:
        group.start_soon(tell_again_and_again)
        yield progress
        group.cancel_scope.cancel()
