"""What the engine needs from outside, as Protocols. Implementations do not repeat these contracts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from pybase64 import b64encode

from batch_upload.clock import MonotonicClock
from batch_upload.model import (
    Attachment,
    AttachmentPage,
    AttachmentStatus,
    Capacity,
    Duplicate,
    Fault,
    Item,
    Known,
    Lane,
    Outcome,
    RateRecord,
    Receipt,
    Standing,
)
from batch_upload.moments import Moment, Stretch

T = TypeVar("T")


class Clock(MonotonicClock, Protocol):
    """Time, handed in: durations, the wall's time, and whose they are."""

    def now(self) -> datetime:
        """The wall's time, aware, in UTC. It may step: durations are never taken from it within a run."""
        ...

    def machine(self) -> str:
        """A name of the machine, and of its boot where the system tells: `monotonic` counts on under one name alone."""
        ...


def moment(clock: Clock) -> Moment:
    """Now, as both clocks show it."""
    return Moment(clock.now(), clock.monotonic())


@dataclass(frozen=True, slots=True)
class Body:
    """A document as it travels: base64 alone, so that it is in memory once. Made with `Body.of`."""

    base64: bytes = field(repr=False)
    size_bytes: int
    """The document's."""

    @staticmethod
    def of(document: bytes | memoryview) -> "Body":
        """The body of a document. Takes time in proportion to it: callers on an event loop use a thread."""
        return Body(b64encode(document), len(document))


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """One CreateRegistrationAttachment. Exactly one of `body` and `url`; `tags` with the identity tag."""

    client_token: str
    tags: Mapping[str, str]
    body: Body | None = None
    url: str | None = None


class AttachmentService(Protocol):
    """One lane of the service. Each call is exactly one request on the wire: no retries inside.

    Every call raises Throttled, NoAnswer, OutOfResources, AccessFault, or Refused for a code of the request's own;
    `create` raises CapacityExhausted too. No other exception leaves but cancellation, after which the outcome is
    unknown.
    """

    async def create(self, request: CreateRequest) -> Receipt:
        """Create an attachment, or learn what the same token made before. A success without an id is NoAnswer."""
        ...

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        """The attachments of 1 to 5 ids. Refused with code ResourceNotFoundException where one is not found: it is
        gone, or not there yet, since a service may find what it created only a horizon later."""
        ...

    async def page(self, next_token: str | None) -> AttachmentPage:
        """One page, of at most 100, of all the lane's attachments; None asks for the first.

        An attachment may be missing for a horizon after its creation, and may be shown twice or not at all while others
        come and go. A `next_token` may be Refused when it is old, and may be one that was given before.
        """
        ...

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        """The tags of one attachment. They may be missing, or Refused with code ResourceNotFoundException, for a
        horizon after its creation."""
        ...

    async def tag(self, attachment_arn: str, tags: Mapping[str, str]) -> None:
        """Put these tags on an attachment, all or none; those with other keys stay. Done again, it does no more."""
        ...

    async def untag(self, attachment_arn: str, keys: Sequence[str]) -> None:
        """Take the tags with these keys off an attachment, as far as it has them. Done again, it does no more."""
        ...

    async def capacity(self) -> Capacity | None:
        """REGISTRATION_ATTACHMENTS of the account, or None where the service does not tell it. A hint: it may lag."""
        ...


ABSENT = "NOT_FOUND"
"""Code of the fault of an item whose attachment the service did not find, a horizon and more after its creation. Unlike
`DELETED`, which the service said, it is looked at again by every run."""
DELETING = "DELETING"
"""Code of the fault of an item whose attachment was asked to be deleted, without a record of what came of that."""


class AttachmentChanges(Protocol):
    """What changes an attachment that stands. Raises as `AttachmentService`; done again, each does no more."""

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        """The attachments of 1 to 5 ids. Refused with code ResourceNotFoundException where one is not found."""
        ...

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        """The tags of one attachment."""
        ...

    async def delete(self, attachment_id: str) -> None:
        """Delete an attachment. Refused with code ResourceNotFoundException where it is gone already, and with
        ConflictException where a registration uses it."""
        ...


class Bodies(Protocol):
    """Where the bytes of an item come from."""

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        """Say which documents will be read, in about this order, `at_once` at a time. Some may be read ahead."""
        ...

    async def read(self, item: Item) -> Body:
        """Return the planned document. Raises ChangedSincePlan where its file has other bytes, and OutOfResources."""
        ...


@dataclass(frozen=True, slots=True)
class LaneMemory:
    """What the ledger remembers of its lane.

    `listed_at`: start of the last listing that was read to its end, or None. `continuous`: whether the ledger's last
    run is the last that took its lock; False for a copy, a restored backup, or a new ledger. `sent_at`: start of the
    last create of any run, or None.
    """

    listed_at: datetime | None
    continuous: bool
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A durable intent. `number` counts the token's attempts from 1, over all runs."""

    attempt_id: int
    client_token: str
    number: int
    started_at: datetime


NOTHING_KNOWN: Mapping[str, Known] = MappingProxyType({})


class Ledger(Protocol):
    """What we know to have happened in one lane. Every method is durable when it returns: it survives a power cut.

    All raise LedgerUnusable when the ledger cannot be read or written; after the first such error of a write every
    later write raises it too, without trying, so that nothing is sent that could not be recorded. Times are aware UTC.
    Tokens that are not in the ledger raise KeyError: that is our fault.
    """

    @property
    def stretch(self) -> Stretch:
        """Since when the wall clock has gone steadily on this machine, as far as this ledger tells: what its times are
        worth. It begins anew when `pin` or `intend` finds that the clock was set, or that the ledger is a copy."""
        ...

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        """Bind the ledger to `lane`, or check that it is bound to it. First call of a run.

        Raises LedgerOfAnotherLane. `endpoint` is recorded for people.
        """
        ...

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        """Record the start of a run. On a ledger that is not continuous it counts as its last only after `listed`."""
        ...

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        """Record how a run ended. `summary` is kept as JSON."""
        ...

    async def known(self, batch: str) -> Sequence[Known]:
        """Every token of a batch, current ones and those that were replaced, oldest first."""
        ...

    async def sift(
        self, batch: str, take: Callable[[Iterable[Standing]], T], *, item_ids: Sequence[str] | None = None
    ) -> T:
        """Hand every token of a batch, or of these ids of it, to `take`, sorted by the item's id, as they are read, and
        give what it gives.

        `take` is called once, in whatever thread; it must not wait for the ledger.
        """
        ...

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        """Every token of these ids of a batch, those of one id oldest first."""
        ...

    async def known_of_token(self, client_token: str) -> Known:
        """What is known of one token. Raises KeyError."""
        ...

    async def standing_count(self) -> int:
        """How many attachments of the lane stand at the service as far as the ledger knows: all but deleted ones."""
        ...

    async def open_intents(self) -> Sequence[Known]:
        """Every token, of any batch, current or not, whose state is `sending`."""
        ...

    async def enlist(self, items: Iterable[Item], *, at: datetime) -> None:
        """Make each item's token the current one of its id: a new one as `pending`, a known one as it is.

        The stored identity tag of a token follows the item as long as it was never attempted.
        """
        ...

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        """Record that a request with this token is about to leave: state `sending`.

        Sets `unknown_since` where it was None, `last_open_at` always, and `first_sent_at` at the first.
        """
        ...

    async def conclude(self, attempt: Attempt, outcome: Outcome, *, known: Known | None = None) -> Known:
        """Record what became of an attempt, and give the item as it is now. Handed over before anything is waited for:
        who is cancelled while waiting has it recorded nevertheless.

        `known` is the item as it was before the attempt, if the caller has it: where that is so still, it need not be
        read again.

        ACCEPTED: `processing`, `complete` or `failed` as the receipt's status says; the unknown is over. UNKNOWN: stays
        `sending`. Every other kind puts `unknown_since` and `last_open_at` back to what they were before the attempt;
        the item stays `sending` if that leaves it unknown, and becomes otherwise: REFUSED `failed`, NO_CAPACITY
        `parked`, the others `pending`. Raises Disagreement if the receipt's attachment belongs to another token.
        """
        ...

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        """`failed` for a reason of ours, without an attempt. An item that is `sending` stays so."""
        ...

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        """`parked`, all of them; those that are not `pending`, `failed` or `parked` stay as they are."""
        ...

    async def observe(
        self, seen: Sequence[Attachment], *, at: datetime, known: Mapping[str, Known] = NOTHING_KNOWN
    ) -> Sequence[Known]:
        """Record the statuses of attachments, and give the items they belong to as they are now, in the same order;
        what is no item's is left out.

        `known` has items as they were before, by their attachment's id, as far as the caller has them.

        UPLOAD_COMPLETE: `complete`. UPLOAD_FAILED: `failed`, code UPLOAD_FAILED. DELETED: `failed`, code DELETED.
        """
        ...

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        """Record that the service does not find the attachments of these tokens: `failed`, code NOT_FOUND. Gives the
        items as they are now.

        They keep attachment and status, so that `observe` takes it back once one is found. One that is neither
        `processing` nor `complete` stays as it is.
        """
        ...

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        """Record that this attachment is what the token made: its identity tag was read at the service."""
        ...

    async def retagged(self, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
        """Record that what one token made carries the tags of another, and stands for that now, which is current.

        The one that made it is `pending` without an attachment then. With the same token twice it is made current.
        Raises Disagreement where the other has an attachment of its own.
        """
        ...

    async def absent(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        """Record proof that these tokens made nothing: `pending`, and the unknown is over."""
        ...

    async def undecided(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        """`unknown`: sent, and no way to prove either. Keeps `unknown_since`."""
        ...

    async def attachment_tokens(self) -> Mapping[str, str | None]:
        """Every attachment id the ledger knows, items' and strangers': its token, None for one without identity tag."""
        ...

    async def remember(self, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
        """Remember attachments that no item of the ledger has, with the identity tag that was read, so that no tag is
        read twice. Again for the same id: the later wins.

        None is for one that certainly carries no identity tag: it was a horizon old when its tags were read.
        """
        ...

    async def duplicates(self) -> Sequence[Duplicate]:
        """Every remembered attachment that carries the token of an item with another attachment, which is `processing`
        or `complete`. Whether it is still at the service only a listing tells."""
        ...

    async def listed(self, *, at: datetime) -> None:
        """Record that a listing which began at `at` was read to its end."""
        ...

    async def rates(self) -> Sequence[RateRecord]:
        """What was learned of the lane's operations, one of each at most."""
        ...

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        """Remember these instead of what was known of their operations."""
        ...

    async def close(self) -> None:
        """Finish what was handed over and give the lock back. May be called twice."""
        ...


class Deletions(Protocol):
    """What a ledger keeps of deleting. Durable when it returns, as all of `Ledger`."""

    async def observe(
        self, seen: Sequence[Attachment], *, at: datetime, known: Mapping[str, Known] = NOTHING_KNOWN
    ) -> Sequence[Known]:
        """As `Ledger.observe`."""
        ...

    async def begin_deletion(self, client_token: str, *, run_id: str, at: datetime) -> Known:
        """Record that the attachment of a token is about to be deleted: from now on it counts as deleted.

        So whatever becomes of the request, nobody takes for uploaded what may be gone. Again for the same: as before.
        """
        ...

    async def end_deletion(self, client_token: str, *, is_gone: bool, at: datetime) -> Known:
        """Record what became of it. Not gone, it stands as it stood before."""
        ...


class Observer(Protocol):
    """Whoever wants to know what goes on. Called in the order of events, on the event loop; must not block or raise."""

    def notify(self, event: object) -> None:
        """Take one event of `events.py`."""
        ...


__all__ = [
    "DELETING",
    "Attachment",
    "AttachmentChanges",
    "AttachmentService",
    "AttachmentStatus",
    "Attempt",
    "Clock",
    "Deletions",
    "LaneMemory",
    "Ledger",
    "Observer",
]
