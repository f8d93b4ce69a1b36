"""Before the first create: does the service hold anything that the ledger should know?

A run that will create or resolve something always looks: a count that fits does not say whose the attachments are. A
ledger that has never listed its lane adopts what carries the tokens of its items; so a lost ledger uploads nothing
twice. A ledger that has listed it and finds its items at the service all the same is an old copy.
"""

from collections.abc import Sequence
from datetime import timedelta

from batch_upload.engine.duplicates import find_duplicates
from batch_upload.engine.identity import carriers, read_tokens, wait_for_tags
from batch_upload.engine.listing import list_completely, list_lane
from batch_upload.engine.plan import Knowledge
from batch_upload.engine.resolve import adopt
from batch_upload.engine.retry import CONVENIENCE, LIMITS, NOT_ALLOWED
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import AccessFault, Disagreement, NoAnswer, ServiceError
from batch_upload.events import Notice
from batch_upload.model import Capacity, Duplicate, Item, State
from batch_upload.ports import LaneMemory

NEVER_SENT = frozenset({State.PENDING, State.PARKED, State.FAILED})
"""States in which the ledger holds no attachment for a token and no open intent."""


async def ask_capacity(around: Surroundings) -> Capacity | None:
    """REGISTRATION_ATTACHMENTS of the account; None, with a notice, where it is not told.

    This operation is a convenience: whatever it answers, the run goes on. Raises AccessFault only for credentials that
    AWS itself refuses, which every other request would meet too.
    """
    try:
        return await around.wire.call(LIMITS, around.service.capacity, policy=CONVENIENCE)
    except AccessFault as error:
        if error.code not in NOT_ALLOWED:
            raise
        _notice(around, "capacity is not known: no permission for `sms-voice:DescribeAccountLimits`")
    except ServiceError as error:
        _notice(around, f"capacity is not known: {error.message}")
    return None


def owes_look(around: Surroundings, memory: LaneMemory) -> bool:
    """Whether the lane must be listed although nothing is to be sent.

    Another copy of the ledger may have created the same at the same moment, and the look at the end of that run may
    have come too early: an attachment is listed at most a horizon after its create, and its tags a horizon later. So
    the first run two horizons after the last create looks once more.
    """
    if memory.sent_at is None or memory.listed_at is None:
        return False
    certain_at = memory.sent_at + timedelta(seconds=2 * around.horizon_s)
    return memory.listed_at < certain_at <= around.clock.now()


async def survey(
    around: Surroundings,
    memory: LaneMemory,
    items: Sequence[Item],
    knowledge: Knowledge,
    capacity: Capacity | None,
) -> tuple[int, list[Duplicate]]:
    """List the lane, read the tags that are new, adopt what is ours. Gives the number of attachments that were listed,
    and what carries a token of an item beside the attachment that the ledger has for it.

    A ledger that is new here, or a copy, lists until nothing can be missing, and waits until the tags of what is new
    tell. `capacity` was asked before. Raises Disagreement where a ledger that has listed its lane before finds
    attachments of items that it never sent; NoAnswer where the lane could not be listed to its end.
    """
    is_founding = memory.listed_at is None or not memory.continuous
    if is_founding:
        listing = await list_completely(around, used=None if capacity is None else capacity.used)
    else:
        listing = await list_lane(around)
    if is_founding and not listing.is_complete:
        raise NoAnswer("the pages of the lane kept shifting while it was listed", code="ListingIncomplete")
    readings = await read_tokens(around, listing, await around.ledger.attachment_tokens())
    if is_founding and any(item.identity_tag for item in items):
        await wait_for_tags(around, readings)
    carried = carriers(listing, readings.tokens)
    ours = [item for item in items if item.client_token in carried and _is_unsent(item, knowledge)]
    if ours and memory.listed_at is not None:
        raise Disagreement(
            f"the service holds {len(ours)} attachments of this batch that the ledger never sent, `{ours[0].item_id}`"
            " the first: the ledger is an old copy, or another copy of it is in use",
            code="LedgerBehindService",
            hint="`batch-upload reconcile` takes them over",
        )
    await around.ledger.enlist(ours, at=around.clock.now())
    for item in ours:
        await adopt(around, item.client_token, carried[item.client_token])
    await around.ledger.listed(at=listing.began)
    return len(listing.attachments), await find_duplicates(around, listing)


def _is_unsent(item: Item, knowledge: Knowledge) -> bool:
    known = knowledge.by_token.get(item.client_token)
    return known is None or (known.state in NEVER_SENT and known.attachment_id is None)


def _notice(around: Surroundings, message: str) -> None:
    around.observer.notify(Notice(message, around.clock.now()))
