"""A lane of the service in memory, told by a script what goes wrong. It passes the suite in `tests/contract`."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    NoAnswer,
    OutOfResources,
    Refused,
    ServiceError,
    Throttled,
    UnknownRefusal,
)
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Capacity, Receipt
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from batch_upload.ports import Clock, CreateRequest
from batch_upload.registration import Bind, FieldContent, FieldPage, PutReceipt, RegistrationPage
from tests.support.memory_registrations import MemoryRegistrations

T = TypeVar("T")

CREATE = "CreateRegistrationAttachment"
DESCRIBE = "DescribeRegistrationAttachments"
LIST_TAGS = "ListTagsForResource"
LIMITS = "DescribeAccountLimits"
DELETE = "DeleteRegistrationAttachment"
TAG = "TagResource"
UNTAG = "UntagResource"
PAGE_SIZE = 100
DAY_QUOTA = "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"
ACCOUNT_QUOTA = "REGISTRATION_ATTACHMENTS_PER_ACCOUNT"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with one request. `done`: it is carried out all the same. `late_s`: its answer is late."""

    error: ServiceError | None
    done: bool = False
    late_s: float = 0.0


def throttled(*, retry_after_s: float | None = None) -> Trouble:
    return Trouble(Throttled("slow down", code="ThrottlingException", retry_after_s=retry_after_s))


def lost(*, done: bool) -> Trouble:
    """The connection is lost, after the request was carried out or before."""
    return Trouble(NoAnswer("no answer", code="ConnectionClosedError"), done=done)


def short_of(what: str, *, may_have_left: bool = False, done: bool = False) -> Trouble:
    """This process has none left of something: before the request leaves, or in the middle of it."""
    return Trouble(OutOfResources(f"out of {what}", may_have_left=may_have_left, hint="free some"), done=done)


def refused(code: str = "ValidationException", reason: str | None = "OTHER") -> Trouble:
    return Trouble(Refused(f"{code}: no", code=code, reason=reason))


def unheard_of(code: str = "BrandNewException") -> Trouble:
    return Trouble(UnknownRefusal(f"{code}: no", code=code))


def denied(code: str = "AccessDeniedException") -> Trouble:
    return Trouble(AccessFault(f"{code}: no", code=code))


def full(*, daily: bool) -> Trouble:
    if daily:
        return Trouble(CapacityExhausted("full", code="ServiceQuotaExceededException", reason=DAY_QUOTA))
    return Trouble(AccountFull("full", code="ServiceQuotaExceededException", reason=ACCOUNT_QUOTA))


def slow(seconds: float) -> Trouble:
    return Trouble(None, done=True, late_s=seconds)


@dataclass(slots=True)
class Held:
    """An attachment. `made_of` is what its token stands for."""

    attachment_id: str
    token: str | None
    tags: Mapping[str, str]
    created_at: datetime
    ready_at: datetime
    made_of: object = None
    ends_as: AttachmentStatus = AttachmentStatus.COMPLETE

    @property
    def arn(self) -> str:
        return f"arn:{self.attachment_id}"

    def status(self, now: datetime) -> AttachmentStatus:
        if self.ends_as is AttachmentStatus.DELETED or now >= self.ready_at:
            return self.ends_as
        return AttachmentStatus.IN_PROGRESS

    def seen(self, now: datetime) -> Attachment:
        return Attachment(self.attachment_id, self.arn, self.status(now), self.created_at)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came. `about`: the token, the ids, the page or the ARN."""

    operation: str
    about: object
    at_s: float


@dataclass(slots=True)
class MemoryService:
    """Implements `ports.AttachmentService`. A token is remembered for `memory_s` after its attachment was made.

    An attachment is listed, described and shows its tags only so long after it was made as the lags say. Pages count
    from the start, so they shift when something goes. `used`: a count of the limits that is wrong. `knows_token`: what
    a repeat gets instead of what its token made.

    `troubles` are taken one a request, in order; None is a request that goes well. What `always` gives comes after.
    """

    clock: Clock
    way_s: float = 0.05
    processing_s: float = 0.0
    memory_s: float = float("inf")
    maximum: int = 100_000
    forgets_deleted: bool = False
    listing_lag_s: float = 0.0
    describe_lag_s: float = 0.0
    tags_lag_s: float = 0.0
    late_tags_are_not_found: bool = False
    page_size: int = PAGE_SIZE
    used: int | None = None
    knows_token: Trouble | None = None
    held: dict[str, Held] = field(default_factory=dict)
    forms: MemoryRegistrations = field(default_factory=MemoryRegistrations)
    calls: list[Call] = field(default_factory=list)
    troubles: dict[str, deque[Trouble | None]] = field(default_factory=dict)
    always: dict[str, Callable[[object], Trouble | None]] = field(default_factory=dict)
    in_flight: int = 0
    in_flight_max: int = 0
    _ids: int = 0

    def script(self, operation: str, *troubles: Trouble | None) -> None:
        """What goes wrong with the next requests of an operation."""
        self.troubles.setdefault(operation, deque()).extend(troubles)

    def made(self, operation: str) -> list[Call]:
        """The requests of an operation, in order."""
        return [call for call in self.calls if call.operation == operation]

    def by_token(self, token: str) -> list[Held]:
        """What a token has made and still stands."""
        standing = (each for each in self.held.values() if each.ends_as is not AttachmentStatus.DELETED)
        return [each for each in standing if each.token == token]

    def plant(self, *, tags: Mapping[str, str], created_at: datetime | None = None) -> Held:
        """Make an attachment that no request made."""
        at = self.clock.now() if created_at is None else created_at
        found = Held(self._new_id(), None, dict(tags), at, at)
        self.held[found.attachment_id] = found
        return found

    def remove(self, attachment_id: str) -> None:
        """Delete an attachment behind everybody's back."""
        if self.forgets_deleted:
            del self.held[attachment_id]
        else:
            self.held[attachment_id].ends_as = AttachmentStatus.DELETED

    async def create(self, request: CreateRequest) -> Receipt:
        return await self._request(CREATE, request.client_token, lambda: self._create(request))

    async def describe(self, attachment_ids: Sequence[str]) -> tuple[Attachment, ...]:
        return await self._request(DESCRIBE, tuple(attachment_ids), lambda: self._describe(attachment_ids))

    async def page(self, next_token: str | None) -> AttachmentPage:
        return await self._request(DESCRIBE, next_token, lambda: self._page(int(next_token or 0)))

    async def tags(self, attachment_arn: str) -> Mapping[str, str]:
        return await self._request(LIST_TAGS, attachment_arn, lambda: self._tags(attachment_arn))

    async def tag(self, attachment_arn: str, tags: Mapping[str, str]) -> None:
        await self._request(
            TAG, attachment_arn, lambda: self._retag(attachment_arn, {**self._tags(attachment_arn), **tags})
        )

    async def untag(self, attachment_arn: str, keys: Sequence[str]) -> None:
        def left() -> dict[str, str]:
            return {key: value for key, value in self._tags(attachment_arn).items() if key not in keys}

        await self._request(UNTAG, attachment_arn, lambda: self._retag(attachment_arn, left()))

    async def delete(self, attachment_id: str) -> None:
        await self._request(DELETE, attachment_id, lambda: self._delete(attachment_id))

    async def registrations(self, next_token: str | None, *, ids: Sequence[str] = ()) -> RegistrationPage:
        about = tuple(ids) or next_token
        return await self._request(REGISTRATIONS, about, lambda: self.forms.page(next_token, ids))

    async def field_definitions(self, registration_type: str, next_token: str | None) -> FieldPage:
        about = registration_type if next_token is None else (registration_type, next_token)
        return await self._request(
            FIELD_DEFINITIONS, about, lambda: self.forms.definitions(registration_type, next_token)
        )

    async def field_contents(
        self, registration_id: str, fields: Sequence[str], *, version: int | None = None
    ) -> tuple[FieldContent, ...]:
        about = (registration_id, tuple(fields), version)
        return await self._request(FIELD_VALUES, about, lambda: self.forms.contents(registration_id, fields, version))

    async def put_field(self, bind: Bind, attachment_id: str) -> PutReceipt:
        return await self._request(PUT_FIELD, (bind, attachment_id), lambda: self._put(bind, attachment_id))

    async def capacity(self) -> Capacity | None:
        return await self._request(LIMITS, None, lambda: Capacity(self._used(), self.maximum))

    async def _request(self, operation: str, about: object, perform: Callable[[], T]) -> T:
        self.calls.append(Call(operation, about, self.clock.monotonic()))
        trouble = self._next_trouble(operation, about)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await self.clock.sleep(self.way_s / 2)
            if trouble is None:
                answer = perform()
                await self.clock.sleep(self.way_s / 2)
                return answer
            return await self._troubled(trouble, perform)
        finally:
            self.in_flight -= 1

    async def _troubled(self, trouble: Trouble, perform: Callable[[], T]) -> T:
        answer = perform() if trouble.done or trouble.error is None else None
        await self.clock.sleep(self.way_s / 2 + trouble.late_s)
        if trouble.error is not None or answer is None:
            raise trouble.error or NoAnswer("no answer")
        return answer

    def _next_trouble(self, operation: str, about: object) -> Trouble | None:
        waiting = self.troubles.get(operation)
        if waiting:
            return waiting.popleft()
        always = self.always.get(operation)
        return None if always is None else always(about)

    def _retag(self, arn: str, tags: Mapping[str, str]) -> bool:
        self.held[arn.removeprefix("arn:")].tags = dict(tags)
        return True

    def _delete(self, attachment_id: str) -> bool:
        held = self.held.get(attachment_id)
        if held is None or held.ends_as is AttachmentStatus.DELETED:
            raise Refused("not found", code="ResourceNotFoundException", resource_id=attachment_id)
        self.remove(attachment_id)
        return True

    def _put(self, bind: Bind, attachment_id: str) -> PutReceipt:
        self.forms.check(bind)
        (attachment,) = self._describe([attachment_id])
        if attachment.status is not AttachmentStatus.COMPLETE:
            code, reason, kind = "ConflictException", "RESOURCE_NOT_ACTIVE", "registration-attachment"
            raise Refused("not complete", code=code, reason=reason, resource_id=attachment_id, resource_type=kind)
        return PutReceipt(self.forms.put(bind, attachment_id), f"put-{len(self.calls)}")

    def _used(self) -> int:
        return self._standing() if self.used is None else self.used

    def _is_younger(self, held: Held, seconds: float) -> bool:
        return bool(seconds) and (self.clock.now() - held.created_at).total_seconds() < seconds

    def _standing(self) -> int:
        return sum(each.ends_as is not AttachmentStatus.DELETED for each in self.held.values())

    def _create(self, request: CreateRequest) -> Receipt:
        now, made_of = self.clock.now(), (request.body, request.url, tuple(sorted(request.tags.items())))
        before = self._remembered(request.client_token, now)
        if before is not None and before.made_of != made_of:
            message = "another request had this token"
            raise Refused(message, code="ConflictException", resource_id=before.attachment_id)
        if before is not None and self.knows_token is not None and self.knows_token.error is not None:
            raise self.knows_token.error
        return _receipt(before or self._new(request, made_of, now), now)

    def _remembered(self, token: str, now: datetime) -> Held | None:
        young = (each for each in self.held.values() if (now - each.created_at).total_seconds() < self.memory_s)
        return next((each for each in young if each.token == token), None)

    def _new(self, request: CreateRequest, made_of: object, now: datetime) -> Held:
        if self._standing() >= self.maximum:
            raise AccountFull("full", code="ServiceQuotaExceededException", reason=ACCOUNT_QUOTA)
        ready_at = now + timedelta(seconds=self.processing_s)
        made = Held(self._new_id(), request.client_token, dict(request.tags), now, ready_at, made_of)
        self.held[made.attachment_id] = made
        return made

    def _new_id(self) -> str:
        self._ids += 1
        return f"att-{self._ids}"

    def _describe(self, ids: Sequence[str]) -> tuple[Attachment, ...]:
        found = {each: self.held[each] for each in ids if each in self.held}
        gone = next(
            (each for each in ids if each not in found or self._is_younger(found[each], self.describe_lag_s)), None
        )
        if gone is not None:
            code, kind = "ResourceNotFoundException", "registration-attachment"
            raise Refused("not found", code=code, resource_id=gone, resource_type=kind)
        return tuple(found[each].seen(self.clock.now()) for each in ids)

    def _page(self, start: int) -> AttachmentPage:
        now = self.clock.now()
        shown = [each.seen(now) for each in self.held.values() if not self._is_younger(each, self.listing_lag_s)]
        end = start + self.page_size
        return AttachmentPage(tuple(shown[start:end]), str(end) if end < len(shown) else None, now)

    def _tags(self, arn: str) -> Mapping[str, str]:
        found = self.held.get(arn.removeprefix("arn:"))
        is_late = found is not None and self._is_younger(found, self.tags_lag_s)
        is_gone = found is None or found.ends_as is AttachmentStatus.DELETED
        if found is None or is_gone or (is_late and self.late_tags_are_not_found):
            raise Refused("not found", code="ResourceNotFoundException", resource_id=arn)
        return {} if is_late else dict(found.tags)


def _receipt(held: Held, now: datetime) -> Receipt:
    return Receipt(held.attachment_id, held.arn, held.status(now), held.created_at, f"req-{held.attachment_id}")
