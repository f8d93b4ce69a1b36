"""What the engine needs from outside, as Protocols. Implementations do not repeat these contracts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pybase64 import b64encode

from batch_upload.clock import MonotonicClock
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Capacity, Item, Receipt
from batch_upload.moments import Moment
from batch_upload.ports.ledger import (
    ABSENT,
    DELETING,
    Attempt,
    BindAttempt,
    LaneMemory,
    Ledger,
    LedgerWriter,
)
from batch_upload.ports.ledger_reader import LedgerReader
from batch_upload.registration import Bind, FieldContent, FieldPage, PutReceipt, RegistrationPage


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

    async def delete(self, attachment_id: str) -> None:
        """Delete an attachment. Refused with code ResourceNotFoundException where it is gone already, and with
        ConflictException where a registration uses it."""
        ...

    async def registrations(self, next_token: str | None, *, ids: Sequence[str] = ()) -> RegistrationPage:
        """One page, of at most 100, of all the lane's registrations; None asks for the first.

        With 1 to 5 `ids` those alone; Refused with code ResourceNotFoundException if one of them is not found.
        """
        ...

    async def field_definitions(self, registration_type: str, next_token: str | None) -> FieldPage:
        """One page of the fields of a type of registration; None asks for the first. Refused for an unknown type."""
        ...

    async def field_contents(
        self, registration_id: str, fields: Sequence[str], *, version: int | None = None
    ) -> tuple[FieldContent, ...]:
        """What 1 to 5 fields of a version hold, the current one if None. A field that holds nothing may be left out.

        Refused with code ResourceNotFoundException if the registration is not found.
        """
        ...

    async def put_field(self, bind: Bind, attachment_id: str) -> PutReceipt:
        """Put an attachment into a field of the current version, in place of what it holds.

        Done again, it does no more. Refused with ConflictException while the version cannot be changed.
        """
        ...

    async def capacity(self) -> Capacity | None:
        """REGISTRATION_ATTACHMENTS of the account, or None where the service does not tell it. A hint: it may lag."""
        ...


class Bodies(Protocol):
    """Where the bytes of an item come from."""

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        """Say which documents will be read, in about this order, `at_once` at a time. Some may be read ahead."""
        ...

    async def read(self, item: Item) -> Body:
        """Return the planned document. Raises ChangedSincePlan where its file has other bytes, and OutOfResources."""
        ...


class Observer(Protocol):
    """Whoever wants to know what goes on. Called in the order of events, on the event loop; must not block or raise."""

    def notify(self, event: object) -> None:
        """Take one event of `events.py`."""
        ...


__all__ = [
    "ABSENT",
    "DELETING",
    "Attachment",
    "AttachmentService",
    "AttachmentStatus",
    "Attempt",
    "BindAttempt",
    "Bodies",
    "Body",
    "Clock",
    "CreateRequest",
    "LaneMemory",
    "Ledger",
    "LedgerReader",
    "LedgerWriter",
    "Observer",
    "moment",
]
