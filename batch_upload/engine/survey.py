"""What a run looks for at the service before its first create, and after its last.

A run that will create or resolve something always looks: a count that fits does not say whose the attachments are. A
ledger that has never listed its lane adopts what carries the tokens of its items and of their retries; so a lost ledger
uploads nothing twice. A ledger that has listed it and finds its items at the service all the same is an old copy.

Where two machines use copies of one ledger at the same moment, both list the lane before either has created anything.
So a run that created something looks once more when it is done, for what carries a token of the ledger beside the
ledger's own attachment. A service may show that, or its tags, only a horizon later: then the next run finds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import anyio

from batch_upload.engine.context import LaneContext
from batch_upload.engine.groups import for_each, task_group
from batch_upload.engine.identity import READERS, carriers, read_tokens, tags_of, wait_for_tags
from batch_upload.engine.lane import StopKind, Withheld
from batch_upload.engine.listing import (
    Asking,
    FirstPage,
    Listing,
    Told,
    calls_by_listing,
    list_completely,
    list_lane,
    read_first_page,
    reported,
    still_there,
)
from batch_upload.engine.resolve import adopt
from batch_upload.engine.retry import CONVENIENCE, NOT_ALLOWED
from batch_upload.engine.rows import BatchRows, carried_tries, is_unsent
from batch_upload.errors import OLD_COPY, AccessFault, Disagreement, LaneFault, NoAnswer, ServiceError, Transient
from batch_upload.events import OrphanSeen
from batch_upload.model import Attachment, AttachmentStatus, Capacity, Item
from batch_upload.operations import DESCRIBE, LIMITS
from batch_upload.ports import LaneMemory
from batch_upload.records import Duplicate
from batch_upload.token import IDENTITY_TAG

_STANDS = (AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE)


async def ask_capacity(context: LaneContext) -> Capacity | None:
    """REGISTRATION_ATTACHMENTS of the account; None, with a notice, where it is not told.

    This operation is a convenience: whatever it answers, the run goes on. Raises AccessFault only for credentials that
    AWS itself refuses, which every other request would meet too.
    """
    try:
        return await context.wire.call(LIMITS, context.service.capacity, policy=CONVENIENCE)
    except AccessFault as error:
        if error.code not in NOT_ALLOWED:
            raise
        context.notice(f"capacity is not known: no permission for `sms-voice:{LIMITS}`")
    except ServiceError as error:
        context.notice(f"capacity is not known: {error.message}")
    return None


def must_prove(memory: LaneMemory) -> bool:
    """Return whether the lane must be listed until nothing can be missing: the ledger is new here, or a copy."""
    return memory.listed_at is None or not memory.continuous


async def ask_before_listing(context: LaneContext, memory: LaneMemory) -> tuple[Capacity | None, FirstPage | None]:
    """Ask for the capacity, and for the first page of the lane at the same time if it need not come after that.

    A lane whose listing must be proved is asked for its capacity first, since a count proves nothing about pages that
    were read before it. Raises as `ask_capacity`, and then as `list_lane`, whichever answer comes first.
    """
    if must_prove(memory):
        return await ask_capacity(context), None
    asked: list[FirstPage | ServiceError] = []
    context.wire.expect(DESCRIBE, 1)

    async def ask_page() -> None:
        try:
            asked.append(await read_first_page(context))
        except ServiceError as error:
            asked.append(error)

    async with task_group() as group:
        group.start_soon(ask_page)
        capacity = await ask_capacity(context)
    if isinstance(asked[0], ServiceError):
        raise asked[0]
    return capacity, asked[0]


def owes_look(context: LaneContext, memory: LaneMemory) -> bool:
    """Return whether the lane must be listed although nothing is to be sent.

    Another copy of the ledger may have created the same at the same moment, and the look at the end of that run may
    have come too early: an attachment is listed at most a horizon after its create, and its tags a horizon later. So
    the first run two horizons after the last create looks once more.
    """
    if memory.sent_at is None or memory.listed_at is None:
        return False
    certain_at = memory.sent_at + timedelta(seconds=2 * context.horizon_s)
    return memory.listed_at < certain_at <= context.now()


async def survey(
    context: LaneContext,
    memory: LaneMemory,
    items: Sequence[Item],
    batch_rows: BatchRows,
    capacity: Capacity | None,
    first: FirstPage | None = None,
) -> tuple[int, list[Duplicate]]:
    """List the lane, read the tags that are new, adopt what is ours. Gives the number of attachments that were listed,
    and what carries a token of an item beside the attachment that the ledger has for it.

    A ledger that is new here, or a copy, lists until nothing can be missing, and waits until the tags of what is new
    tell. `capacity` and `first`: what `ask_before_listing` has found.

    Raises Disagreement if a ledger that has listed its lane before finds attachments of items that it never sent, and
    NoAnswer if the lane could not be listed to its end.
    """
    is_founding = must_prove(memory)
    known = await context.ledger.attachment_tokens()
    if capacity is not None:
        context.wire.expect(DESCRIBE, calls_by_listing(capacity.used) - (first is not None))
    async with reported(context, capacity, known=len(known)) as progress:
        if is_founding:
            used = None if capacity is None else capacity.used
            listing = await list_completely(context, used=used, on_page=progress.page)
        else:
            listing = await list_lane(context, first=first, on_page=progress.page)
        if is_founding and not listing.is_complete:
            raise NoAnswer("the account kept changing while its attachments were listed", code="ListingIncomplete")
        readings = await read_tokens(context, listing, known, progress=progress)
        if is_founding and any(item.identity_tag for item in items):
            await wait_for_tags(context, readings)
    carried = carriers(listing, readings.tokens)
    ours = [each for each in carried_tries(items, carried, batch_rows) if is_unsent(each, batch_rows)]
    if ours and memory.listed_at is not None:
        raise Disagreement(
            f"AWS holds {len(ours):,} attachment{'' if len(ours) == 1 else 's'} of this batch that this ledger does not"
            f" know, such as `{ours[0].item_id}`: {OLD_COPY}",
            code="LedgerBehindService",
            hint="if a second machine uploads this batch, stop it first; then `batch-upload reconcile` takes them over",
        )
    await context.ledger.enlist(ours, at=context.now())
    latest = {each.item_id: each for each in ours}
    for each in ours:
        await adopt(context, each.client_token, carried[each.client_token], is_told=latest[each.item_id] is each)
    await context.ledger.listed(at=listing.began)
    return len(listing.attachments), await find_duplicates(context, listing)


class Reading(Asking, Told, Protocol):
    """What it takes to look through a lane and to report it, without a ledger."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look through a lane found: how many attachments, and the oldest that carries each token."""

    attachments: int
    by_token: Mapping[str, Attachment]


async def look_through(
    context: Reading, items: Sequence[Item], capacity: Capacity | None, known: Mapping[str, str | None]
) -> Seen:
    """Find the attachments of these items as `survey` would, for a ledger that is not written.

    `known`: the identity tag of each attachment whose tags were read before. Raises as `list_lane`, and NoAnswer.
    """
    tokens = dict(known)
    async with reported(context, capacity, known=len(known)) as progress:
        used = None if capacity is None else capacity.used
        listing = await list_completely(context, used=used, on_page=progress.page)
        strangers = [each for each in still_there(listing).attachments if each.attachment_id not in tokens]
        progress.begin_reading(len(strangers))

        async def read(attachment: Attachment) -> None:
            tags = await tags_of(context, attachment.attachment_arn)
            tokens[attachment.attachment_id] = None if tags is None else tags.get(IDENTITY_TAG)
            progress.one_read(attachment)

        await for_each(strangers, read, at_once=READERS)
    carried = carriers(listing, tokens)
    wanted = {each.client_token for each in carried_tries(items, carried, BatchRows())}
    return Seen(len(listing.attachments), {token: found[0] for token, found in carried.items() if token in wanted})


# after the last create


async def find_duplicates(context: LaneContext, listing: Listing) -> list[Duplicate]:
    """Return the duplicates that a listing shows, of those whose tags were read."""
    there = {each.attachment_id for each in listing.attachments if each.status in _STANDS}
    return [each for each in await context.ledger.duplicates() if each.attachment_id in there]


def tell_duplicate(context: LaneContext, duplicate: Duplicate) -> None:
    """Report one."""
    token, now = duplicate.client_token, context.now()
    context.observer.notify(OrphanSeen(duplicate.attachment_id, token, duplicate.kept_id, now))


class DuplicateWatch:
    """The duplicates that a run has seen, each told once. The run goes on: what is left is not made worse by them."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._looking = anyio.CancelScope()
        self.found: list[Duplicate] = []

    def end(self) -> None:
        """The time is up: a look that is under way is given up, and no other is begun."""
        self._looking.cancel()

    def report(self, duplicates: Sequence[Duplicate]) -> None:
        """Tell of those that are new."""
        told = {each.attachment_id for each in self.found}
        for each in duplicates:
            if each.attachment_id not in told:
                self.found.append(each)
                tell_duplicate(self._context, each)

    async def look(self, listing: Listing | None) -> None:
        """Look after the last create, in a listing that began after it, if one was read already.

        Certain for the `doubtful` tokens of the run. Not where the run is told to end: then the next one looks.
        """
        stop = self._context.lane.stop
        if stop is not None and (stop.kind is StopKind.DEADLINE or not stop.kind.drains):
            return
        context = self._context
        try:
            with self._looking:
                if context.doubtful:
                    listing = await list_completely(context)
                elif listing is None:
                    listing = await list_lane(context)
                readings = await read_tokens(context, listing, await context.ledger.attachment_tokens())
                if context.doubtful:
                    await wait_for_tags(context, readings)
                self.report(await find_duplicates(context, listing))
        except Withheld:
            return
        except (Transient, LaneFault) as error:
            self._context.notice(f"AWS did not say whether anything is there twice: {error.message}")
