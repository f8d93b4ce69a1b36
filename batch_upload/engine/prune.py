"""Pruning: our attachments that the manifest no longer lists are deleted, each only once that is proved.

What may be deleted is decided by the ledger and the manifest alone; before a delete leaves, the attachment's identity
tag must say the same. The intent is durable first: from then on the attachment counts as deleted, so that a process
that dies in between leaves nothing that is taken for uploaded and is not. The next run asks again.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from batch_upload.engine.binding import place
from batch_upload.engine.context import LaneContext
from batch_upload.engine.fields import attachments_in
from batch_upload.engine.groups import for_each
from batch_upload.engine.identity import tags_of
from batch_upload.engine.lane import Withheld
from batch_upload.engine.listing import NOT_FOUND, describe_found
from batch_upload.engine.retry import fault_of
from batch_upload.engine.rows import BatchRows, has_failed_upload, may_exist, next_try, row_of
from batch_upload.engine.settle import is_old
from batch_upload.errors import AccessFault, NoAnswer, Refused, ServiceError, Transient
from batch_upload.events import Pruned, PruneOutcome
from batch_upload.model import OPEN, AttachmentStatus, Item, Known, State
from batch_upload.operations import DELETE
from batch_upload.ports import DELETING
from batch_upload.token import IDENTITY_TAG


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be deleted once its tag proves it. `tokens` are those that prove it: all that its id ever had."""

    known: Known
    reason: str
    tokens: frozenset[str]
    is_replaced: bool
    """Whether its id is listed, and what replaced it is complete."""


@dataclass(frozen=True, slots=True)
class Spared:
    """An attachment that the manifest no longer lists, and that is kept."""

    known: Known
    reason: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is to be done. `standing` is how many attachments of the batch stand for an item of it."""

    candidates: tuple[Candidate, ...] = ()
    spared: tuple[Spared, ...] = ()
    standing: int = 0

    @property
    def unlisted(self) -> int:
        """How many candidates nothing has replaced."""
        return sum(not each.is_replaced for each in self.candidates)


def pruning(items: Sequence[Item], rows: Sequence[Known], *, later: Set[str] = frozenset()) -> Pruning:
    """Decide what of the rows of one batch may go. Pure.

    Never what stands for an item of the manifest, whose outcome is not known, that the service is still at work on,
    or that carries no identity tag; and what was replaced only once what replaced it is complete. So an attachment that
    ended as UPLOAD_FAILED may go once a retry is complete. `later`: ids that are listed, and of which nothing may go in
    this run.
    """
    batch_rows = BatchRows.of(rows)
    listed = {item.item_id: item for item in items}
    needed = {next_try(item, batch_rows).client_token for item in items}
    needed |= {row.client_token for item in items if (row := row_of(item, batch_rows)) is not None}
    candidates: list[Candidate] = []
    spared: list[Spared] = []
    for row in rows:
        item = listed.get(row.item_id)
        is_failed = item is not None and has_failed_upload(row)
        is_deleting = row.fault is not None and row.fault.code == DELETING
        may_be_there = is_deleting or is_failed or may_exist(row)
        if row.client_token in needed or row.item_id in later or not may_be_there:
            continue
        if why := _why_not(row, item, batch_rows):
            spared.append(Spared(row, why))
        else:
            reason = "no longer in the manifest" if item is None else "replaced by a later upload"
            tokens = frozenset(each.client_token for each in rows if each.item_id == row.item_id)
            candidates.append(Candidate(row, reason, tokens, is_replaced=item is not None))
    standing = sum(row.current and row.attachment_id is not None for row in rows)
    return Pruning(tuple(candidates), tuple(spared), standing)


def _why_not(row: Known, item: Item | None, batch_rows: BatchRows) -> str | None:
    if row.state in OPEN:
        return "its outcome is not known"
    if row.state is State.PROCESSING:
        return "the service is still at work on it"
    if not row.identity_tag:
        return "it carries no identity tag that proves whose it is"
    if item is None:
        return None
    stands = row_of(item, batch_rows)
    if stands is None or stands.state is not State.COMPLETE:
        return "what replaces it is not complete yet"
    return None


async def spare_bound(context: LaneContext, found: Pruning) -> Pruning:
    """Keep what a field of a registration still holds. Asks only for fields that this ledger has put something into.

    Raises as the service and the ledger do; then nothing may be deleted.
    """
    ids = [each.known.attachment_id for each in found.candidates if each.known.attachment_id is not None]
    fields = await context.ledger.fields_of(ids)
    held_in = await attachments_in(context, [bind for binds in fields.values() for bind in binds])
    kept = {held: f"in {place(bind)}: kept" for bind, held in held_in.items() if bind in fields.get(held, ())}
    if not kept:
        return found
    held = [each for each in found.candidates if each.known.attachment_id in kept]
    return replace(
        found,
        candidates=tuple(each for each in found.candidates if each.known.attachment_id not in kept),
        spared=(*found.spared, *(Spared(each.known, kept[each.known.attachment_id or ""]) for each in held)),
    )


@dataclass(slots=True)
class Result:
    """What came of it."""

    counts: Counter[PruneOutcome] = field(default_factory=Counter)
    refused: int = 0
    """How many the service would not delete."""
    unproved: int = 0
    """How many carry another identity tag than the ledger says, or none."""


async def look_at_unfinished(context: LaneContext, found: Pruning) -> bool:
    """Ask for the status of what is spared only because the service was still at work on it, and record it.

    Whether any is finished now, so that `pruning` is to be asked again. Raises as the service and the ledger do.
    """
    rows = [each.known for each in found.spared if each.known.state is State.PROCESSING]
    seen = await describe_found(context, [row.attachment_id for row in rows if row.attachment_id is not None])
    finished = [each for each in seen if each.status is not AttachmentStatus.IN_PROGRESS]
    await context.ledger.observe(finished, at=context.now())
    return bool(finished)


async def prune(context: LaneContext, candidates: Sequence[Candidate], result: Result, *, at_once: int) -> None:
    """Prove and delete each, and count it in `result`. Cut off anywhere and begun again, it goes on where it was.

    Raises AccessFault at the first missing permission, LedgerUnusable, and Withheld once the lane is stopped and what
    was in flight has ended; what was done until then is recorded.
    """

    async def one(candidate: Candidate) -> None:
        await _Deletion(context, candidate, result).run()

    await for_each(candidates, one, at_once=at_once)


class _Deletion:
    """One candidate on its way."""

    def __init__(self, context: LaneContext, candidate: Candidate, result: Result) -> None:
        self._context = context
        self._candidate = candidate
        self._known = candidate.known
        self._result = result
        fault = candidate.known.fault
        # an earlier run may have asked for the deletion and never recorded what came of it
        self._may_be_gone = fault is not None and fault.code == DELETING
        self._has_begun = False

    async def run(self) -> None:
        context, known = self._context, self._known
        try:
            await self._delete_if_proved()
        except Withheld:
            if self._has_begun and not self._may_be_gone:  # nothing was asked for: it is as it was before
                await context.recorded(context.ledger.end_deletion(known.client_token, is_gone=False, at=context.now()))
            raise
        except Refused as error:
            if error.code == NOT_FOUND:
                await self._gone()
                return
            self._result.refused += 1
            await self._end(PruneOutcome.KEPT, f"the service keeps it: {error.message}", error)
        except (Transient, AccessFault) as error:
            if self._may_be_gone:
                self._tell(known, PruneOutcome.OPEN, f"no answer: {error.message}", error)
            else:
                outcome = PruneOutcome.KEPT if isinstance(error, AccessFault) else PruneOutcome.OPEN
                await self._end(outcome, error.message, error)
            if isinstance(error, AccessFault):
                raise

    async def _delete_if_proved(self) -> None:
        context, known = self._context, self._known
        tags = await tags_of(context, known.attachment_arn or "")
        if tags is not None and tags.get(IDENTITY_TAG) in self._candidate.tokens:
            await self._begin()
            await context.wire.call(DELETE, self._delete)
            await self._end(PruneOutcome.DELETED, self._candidate.reason)
            return
        may_be_new = not self._may_be_gone and not is_old(known, now=context.now(), horizon_s=context.horizon_s)
        if not (tags or {}).get(IDENTITY_TAG) and may_be_new:
            self._tell(known, PruneOutcome.OPEN, "it is new, and its tags may not be readable yet")
            return
        if tags is not None:
            self._result.unproved += 1
            await self._end(PruneOutcome.KEPT, "its identity tag is not the one that the ledger knows")
            return
        # its tags are not found although it is old: that it is gone, only its status tells
        found = await describe_found(context, [known.attachment_id or ""])
        if any(each.status is not AttachmentStatus.DELETED for each in found):
            self._tell(known, PruneOutcome.OPEN, "the service has it, and does not tell its tags")
        else:
            await self._gone()

    async def _begin(self) -> None:
        context = self._context
        await context.ledger.begin_deletion(self._known.client_token, run_id=context.run_id, at=context.now())
        self._has_begun = True

    async def _delete(self) -> None:
        try:
            await self._context.service.delete(self._known.attachment_id or "")
        except NoAnswer:
            self._may_be_gone = True
            raise

    async def _gone(self) -> None:
        """It was deleted by somebody, or by a request of ours whose answer was lost."""
        await self._begin()
        await self._end(PruneOutcome.GONE, "it is not at the service any more")

    async def _end(self, outcome: PruneOutcome, reason: str, error: ServiceError | None = None) -> None:
        """Record and report what became of it."""
        is_gone, ledger = outcome in (PruneOutcome.DELETED, PruneOutcome.GONE), self._context.ledger
        token, now = self._known.client_token, self._context.now()
        self._tell(
            await self._context.recorded(ledger.end_deletion(token, is_gone=is_gone, at=now)), outcome, reason, error
        )

    def _tell(self, known: Known, outcome: PruneOutcome, reason: str, error: ServiceError | None = None) -> None:
        self._result.counts[outcome] += 1
        fault = None if error is None else fault_of(error)
        self._context.observer.notify(Pruned(known, outcome, reason, self._context.now(), fault))
