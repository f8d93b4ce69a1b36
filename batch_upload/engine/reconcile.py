"""Reconciling: what the service proves is written into the ledger, for a whole manifest. Nothing is sent.

One listing serves it all: unknown outcomes, attachments that are gone, and a ledger that was lost.
"""

from collections.abc import Mapping, Sequence

from batch_upload.engine.context import LaneContext
from batch_upload.engine.fields import rebind_misplaced
from batch_upload.engine.groups import for_each
from batch_upload.engine.identity import carriers, read_tokens
from batch_upload.engine.listing import Cost, Listing, cost_of, list_completely
from batch_upload.engine.replay import job_of
from batch_upload.engine.resolve import Findings, adopt, settle_open
from batch_upload.engine.rows import BatchRows, carried_tries, latest_try, may_exist, shown_row
from batch_upload.engine.settle import is_old
from batch_upload.engine.survey import find_duplicates, tell_duplicate
from batch_upload.engine.verify import recorded, unlisted, with_latecomers
from batch_upload.errors import NoAnswer
from batch_upload.model import OPEN, Attachment, Capacity, Item, Known
from batch_upload.operations import DESCRIBE, LIST_TAGS
from batch_upload.ports import moment

WRITERS = 64
"""Writes handed to the ledger at once: it commits together what comes together."""


async def expected_cost(context: LaneContext, capacity: Capacity | None) -> Cost:
    """What reconciling will take now."""
    known = await context.ledger.attachment_tokens()
    rates = context.wire.rate(DESCRIBE), context.wire.rate(LIST_TAGS)
    return cost_of(capacity, len(known), describes_per_s=rates[0], reads_per_s=rates[1])


async def reconcile(context: LaneContext, batch: str, items: Sequence[Item], capacity: Capacity | None = None) -> int:
    """Take over what the service proves. Cut off anywhere and begun again, it reads no tag twice.

    `capacity` was asked before. Gives how many attachments were not found and are too new to be called gone. Raises
    NoAnswer where the lane could not be listed without a gap, and as the service and the ledger do; what was written
    until then is right.
    """
    ledger = context.ledger
    listing = await list_completely(context, used=None if capacity is None else capacity.used)
    # what the ledger has and no page held is asked for by its id before it counts as gone
    listing = await with_latecomers(context, listing, unlisted(await ledger.known(batch), listing))
    readings = await read_tokens(context, listing, await ledger.attachment_tokens())
    not_yet = await _observe(context, batch, listing)
    now, stretch = moment(context.clock), ledger.stretch
    jobs = [job_of(row, None, now=now, stretch=stretch) for row in await ledger.known(batch) if row.state in OPEN]
    findings = await settle_open(context, listing, readings, jobs) if jobs else Findings()
    rows = BatchRows.of(await ledger.known(batch))
    await _take_over(context, batch, items, carriers(listing, readings.tokens), rows)
    if misplaced := await rebind_misplaced(context, await ledger.bound(batch)):
        message = f"attachments that are not in the fields of their registrations: {len(misplaced)}"
        context.notice(f"{message}; the next `upload` puts them there again")
    for duplicate in await find_duplicates(context, listing):
        tell_duplicate(context, duplicate)
    if listing.is_complete:
        await ledger.listed(at=listing.began)
    blind = sum(not item.identity_tag and item.client_token not in rows.by_token for item in items)
    if blind:
        message = f"items without identity tag that the ledger does not know: {blind}; whether they were ever uploaded"
        context.notice(f"{message} cannot be told")
    if readings.untold:
        message = f"new attachments whose tags may not be readable yet: {len(readings.untold)}; look again later"
        context.notice(message)
    if findings.waiting:
        wait_s = max(at for _, at in findings.waiting) - context.clock.monotonic()
        message = f"outcomes still open: {len(findings.waiting)}; their requests may still be at work"
        context.notice(f"{message} for {max(1.0, wait_s):.0f} s")
    if not listing.is_complete:
        raise NoAnswer("the account kept changing while its attachments were listed", code="ListingIncomplete")
    return not_yet


async def stock_of(context: LaneContext, batch: str, items: Sequence[Item]) -> dict[str, Known]:
    """How everything stands now, from the ledger, by item id. An item without a row was never sent."""
    batch_rows = BatchRows.of(await context.ledger.known(batch))
    rows = {item.item_id: shown_row(item, batch_rows) for item in items}
    return {item_id: row for item_id, row in rows.items() if row is not None}


async def _observe(context: LaneContext, batch: str, listing: Listing) -> int:
    """Record what has become of the attachments that stand in the ledger; how many are not found yet.

    One that the service does not find is gone only if it is old enough to be found.
    """
    by_id, now = {attachment.attachment_id: attachment for attachment in listing.attachments}, context.now()
    live = [row for row in await context.ledger.known(batch) if row.is_live]
    pairs = [(row, found) for row in live if (found := by_id.get(row.attachment_id or "")) is not None]
    seen = [found for row, found in pairs if found.status is not row.attachment_status]
    missing = [row for row in live if row.attachment_id not in by_id]
    gone = [row.client_token for row in missing if is_old(row, now=now, horizon_s=context.horizon_s)]
    before = {row.client_token: row.state for row in live}
    told = [*await context.ledger.observe(seen, at=now), *await context.ledger.not_found(gone, at=now)]
    for known in told:
        if known.state is not before[known.client_token]:
            context.tell(known)
    young = len(missing) - len(gone)
    if young:
        context.notice(f"attachments that are not found and too new to be called gone: {young}; look again later")
    return young


async def _take_over(
    context: LaneContext,
    batch: str,
    items: Sequence[Item],
    carried: Mapping[str, Sequence[Attachment]],
    batch_rows: BatchRows,
) -> None:
    """Adopt what carries the token of an item or of a retry of it, or one that the ledger has of before: then it is an
    orphan. A token that neither has moves nothing."""
    tries = carried_tries(items, carried, batch_rows)
    unrecorded = [each for each in tries if _is_unrecorded(each.client_token, carried, batch_rows)]
    await context.ledger.enlist(unrecorded, at=context.now())
    latest = {each.item_id: each for each in unrecorded}
    earlier = {each.client_token for each in unrecorded} - {each.client_token for each in latest.values()}
    tokens = {each.client_token for each in unrecorded}
    tokens.update(token for token in batch_rows.by_token if _is_unrecorded(token, carried, batch_rows))

    async def take(token: str) -> None:
        await adopt(context, token, carried[token], is_told=token not in earlier)

    await for_each(sorted(tokens), take, at_once=WRITERS)
    # an earlier try may have been found after a retry that the ledger had already
    known = BatchRows.of(await context.ledger.known_of_ids(batch, list(latest)))
    await context.ledger.enlist([latest_try(each, known) for each in latest.values()], at=context.now())


def _is_unrecorded(token: str, carried: Mapping[str, Sequence[Attachment]], batch_rows: BatchRows) -> bool:
    found = carried.get(token, ())
    row = batch_rows.by_token.get(token)
    if row is not None and may_exist(row):
        return False
    return bool(found) and recorded(found, row) is None
