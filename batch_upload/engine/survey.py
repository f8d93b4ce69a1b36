"""Before the first create: does the service hold anything that the ledger should know?

A ledger that has never listed its lane lists it, and adopts what carries the tokens of its items; so a lost ledger
uploads nothing twice. A ledger that has listed it and finds its items at the service all the same is an old copy.
"""

from collections.abc import Sequence

from batch_upload.engine.plan import Knowledge
from batch_upload.engine.resolve import adopt, carriers, list_lane, read_tokens
from batch_upload.engine.retry import CONVENIENCE, LIMITS, NOT_ALLOWED
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import AccessFault, Disagreement, ServiceError
from batch_upload.events import Notice
from batch_upload.model import Capacity, Item, State
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


def is_due(memory: LaneMemory, standing: int, capacity: Capacity | None) -> bool:
    """Whether the lane must be listed before anything is created.

    Not where the ledger has listed it before, no other copy of the ledger was used since, and the service counts as
    many attachments as stand there as far as the ledger knows.
    """
    if memory.listed_at is None or not memory.continuous or capacity is None:
        return True
    return capacity.used != standing


async def survey(around: Surroundings, memory: LaneMemory, items: Sequence[Item], knowledge: Knowledge) -> int:
    """List the lane, read the tags that are new, adopt what is ours; the number of attachments that were listed.

    Raises Disagreement where a ledger that has listed its lane before finds attachments of items that it never sent.
    """
    listing = await list_lane(around)
    known = await around.ledger.attachment_tokens()
    tokens = await read_tokens(around, listing, known)
    carried = carriers(listing, tokens)
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
    return len(listing.attachments)


def _is_unsent(item: Item, knowledge: Knowledge) -> bool:
    known = knowledge.by_token.get(item.client_token)
    return known is None or (known.state in NEVER_SENT and known.attachment_id is None)


def _notice(around: Surroundings, message: str) -> None:
    around.observer.notify(Notice(message, around.clock.now()))
