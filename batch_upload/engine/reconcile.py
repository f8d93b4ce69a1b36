"""Reconciling: what the service proves is written into the ledger, for a whole manifest. Nothing is sent.

One listing serves it all: unknown outcomes, attachments that are gone, and a ledger that was lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from batch_upload.engine.groups import for_each
from batch_upload.engine.job import job_of
from batch_upload.engine.plan import LIVE, Knowledge, row_of
from batch_upload.engine.resolve import Findings, Listing, Resolver, adopt, carriers, list_lane, read_tokens
from batch_upload.engine.retry import DESCRIBE, LIST_TAGS
from batch_upload.engine.settle import calls_by_listing
from batch_upload.engine.upload import Surroundings
from batch_upload.engine.verify import recorded, still_there, unlisted, with_latecomers
from batch_upload.events import ItemChanged, Notice, OrphanSeen
from batch_upload.model import Attachment, AttachmentStatus, Capacity, Item, Known, State
from batch_upload.ports import moment

WRITERS = 64
"""Writes handed to the ledger at once: it commits together what comes together."""
OPEN = (State.SENDING, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Cost:
    """What reconciling will take at most: pages listed, tags read, seconds. None where the service does not tell."""

    pages: int | None
    tag_reads: int | None
    time_s: float | None


def cost_of(capacity: Capacity | None, known: int, *, describes_per_s: float, reads_per_s: float) -> Cost:
    """What it will take for a lane of so many attachments, of which the ledger knows `known`. Pure.

    What was deleted is listed, too, by a service that keeps it: then it is a page more.
    """
    if capacity is None:
        return Cost(None, None, None)
    pages = calls_by_listing(capacity.used)
    reads = max(0, capacity.used - known)
    return Cost(pages, reads, pages / describes_per_s + reads / reads_per_s)


async def expected_cost(around: Surroundings, capacity: Capacity | None) -> Cost:
    """What reconciling will take now."""
    known = await around.ledger.attachment_tokens()
    rates = around.wire.rate(DESCRIBE), around.wire.rate(LIST_TAGS)
    return cost_of(capacity, len(known), describes_per_s=rates[0], reads_per_s=rates[1])


async def reconcile(around: Surroundings, batch: str, items: Sequence[Item]) -> None:
    """Take over what the service proves. Cut off anywhere and begun again, it reads no tag twice.

    Raises as the service and the ledger do; what was written until then is right.
    """
    listing = await _list(around, batch)
    tokens = await read_tokens(around, still_there(listing), await around.ledger.attachment_tokens())
    await _observe(around, batch, listing)
    findings = await _settle_open(around, batch, listing, tokens)
    knowledge = Knowledge.of(await around.ledger.known(batch))
    carried = carriers(listing, tokens)
    taken = await _take_over(around, items, carried, knowledge)
    told = taken | {job.token for job in findings.adopted}
    for item in items:
        if item.client_token not in told:
            _tell_orphans(around, item.client_token, carried, knowledge)
    await around.ledger.listed(at=listing.began)
    _tell_unprovable(around, items, knowledge)
    _tell_what_is_left(around, findings)


async def stock_of(around: Surroundings, batch: str, items: Sequence[Item]) -> dict[str, Known]:
    """How everything stands now, from the ledger, by item id. An item without a row was never sent."""
    knowledge = Knowledge.of(await around.ledger.known(batch))
    rows = {item.item_id: row_of(item, knowledge) for item in items}
    return {item_id: row for item_id, row in rows.items() if row is not None}


async def _list(around: Surroundings, batch: str) -> Listing:
    """The whole lane. What the ledger has and no page held is asked for by its id before it counts as gone."""
    listing = await list_lane(around)
    rows = await around.ledger.known(batch)
    return await with_latecomers(around, listing, unlisted(rows, listing))


async def _observe(around: Surroundings, batch: str, listing: Listing) -> None:
    """Record what has become of the attachments that stand in the ledger. What is not listed counts as deleted."""
    by_id = {attachment.attachment_id: attachment for attachment in listing.attachments}

    live = [row for row in await around.ledger.known(batch) if row.state in LIVE and _is_news(row, by_id)]
    seen = [by_id.get(row.attachment_id or "") or _gone(row, at=listing.began) for row in live]
    before = {row.client_token: row.state for row in live}
    for known in await around.ledger.observe(seen, at=around.clock.now()):
        if known.state is not before[known.client_token]:
            around.observer.notify(ItemChanged(known, ended=True, created=False, at=around.clock.now()))


def _is_news(row: Known, by_id: Mapping[str, Attachment]) -> bool:
    seen = by_id.get(row.attachment_id or "")
    return seen is None or seen.status is not row.attachment_status


def _gone(row: Known, *, at: datetime) -> Attachment:
    return Attachment(row.attachment_id or "", row.attachment_arn or "", AttachmentStatus.DELETED, at)


async def _settle_open(
    around: Surroundings, batch: str, listing: Listing, tokens: Mapping[str, str | None]
) -> Findings:
    """Settle every open intent of the batch that this listing can settle, those of replaced tokens too."""
    now, stretch = moment(around.clock), around.ledger.stretch
    rows = [row for row in await around.ledger.known(batch) if row.state in OPEN]
    jobs = [job_of(row, None, now=now, stretch=stretch) for row in rows]
    return await Resolver(around).settle_by(listing, tokens, jobs) if jobs else Findings()


async def _take_over(
    around: Surroundings, items: Sequence[Item], carried: Mapping[str, Sequence[Attachment]], knowledge: Knowledge
) -> set[str]:
    """Adopt what carries the token of an item, and give those tokens. A token that no item has moves nothing."""
    unrecorded = [item for item in items if _is_unrecorded(item, carried, knowledge)]
    await around.ledger.enlist(unrecorded, at=around.clock.now())

    async def take(item: Item) -> None:
        await adopt(around, item.client_token, carried[item.client_token])

    await for_each(unrecorded, take, at_once=WRITERS)
    return {item.client_token for item in unrecorded}


def _is_unrecorded(item: Item, carried: Mapping[str, Sequence[Attachment]], knowledge: Knowledge) -> bool:
    found = carried.get(item.client_token, ())
    row = knowledge.by_token.get(item.client_token)
    if row is not None and row.state in (*LIVE, *OPEN):
        return False
    return bool(found) and recorded(found, row) is None


def _tell_orphans(
    around: Surroundings, token: str, carried: Mapping[str, Sequence[Attachment]], knowledge: Knowledge
) -> None:
    """Name what carries an item's token beside the attachment that the ledger has for it."""
    row = knowledge.by_token.get(token)
    kept = None if row is None else row.attachment_id
    for other in carried.get(token, ()):
        if kept is not None and other.attachment_id != kept:
            around.observer.notify(OrphanSeen(other.attachment_id, token, kept, around.clock.now()))


def _tell_unprovable(around: Surroundings, items: Sequence[Item], knowledge: Knowledge) -> None:
    """Say where a lost ledger cannot be rebuilt, since nothing at the service tells whose an attachment is."""
    blind = sum(not item.identity_tag and item.client_token not in knowledge.by_token for item in items)
    if blind:
        message = f"items without identity tag that the ledger does not know: {blind}; whether they were ever uploaded"
        around.observer.notify(Notice(f"{message} cannot be told", around.clock.now()))


def _tell_what_is_left(around: Surroundings, findings: Findings) -> None:
    """Say when the outcomes that are still open can be told."""
    if not findings.waiting:
        return
    resolver = Resolver(around)
    wait_s = max(resolver.provable_at(job) for job in findings.waiting) - around.clock.monotonic()
    message = f"outcomes still open: {len(findings.waiting)}; their requests may still be at work"
    around.observer.notify(Notice(f"{message} for {max(1.0, wait_s):.0f} s", around.clock.now()))
