"""What every operation works with: the clock, the settings, the store, and the call that it answers."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from batch_upload.emulator.errors import resource_not_found
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.request_log import LaneKey, RequestLog
from batch_upload.emulator.settings import EmulatorSettings, LaneSettings
from batch_upload.emulator.state import ServiceStore, StoredAttachment

Members = Mapping[str, Any]
"""The top level of a request or an answer."""


class EmulatorClock(Protocol):
    """Wall time for what is kept, monotonic seconds for rates, and a sleep for answers that come late."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`. Can be cancelled."""
        ...


class RealClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller that the Authorization header names; the signature is not checked."""

    access_key: str
    region: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or a role session, as GetCallerIdentity answers."""

    account: str
    arn: str
    user_id: str

    @property
    def is_role(self) -> bool:
        return ":assumed-role/" in self.arn


@dataclass(frozen=True, slots=True)
class Call:
    """A request within its rate; blobs are bytes. Operations get only those that fit the model.

    `settings` are those of its account and Region.

    `is_readable`: the body was a JSON object, or a form; otherwise there are no `members`. `ends_as_failed`: a fault
    wants the attachment to end so. `repeats_page`: a fault wants a page of a listing to give the NextToken that it was
    asked with.
    """

    request_id: str
    operation: str
    members: Members
    identity: Identity
    region: str
    settings: LaneSettings
    is_readable: bool = True
    ends_as_failed: bool = False
    repeats_page: bool = False

    @property
    def account(self) -> str:
        return self.identity.account

    @property
    def lane(self) -> LaneKey:
        return self.account, self.region


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call. `is_replay`: nothing was made, the token had done so before."""

    members: Members
    is_replay: bool = False


@dataclass(slots=True)
class ServiceContext:
    """The service's memory and rules. `bodies` by attachment id, where the settings keep them."""

    settings: EmulatorSettings
    store: ServiceStore
    clock: EmulatorClock
    log: RequestLog = field(default_factory=RequestLog)
    bodies: dict[str, bytes] = field(default_factory=dict)

    def attachment(self, call: Call, id_or_arn: str) -> StoredAttachment:
        """Return an attachment of the caller's account and Region. Raises ErrorResponse."""
        attachment = self.store.find(call.account, call.region, id_or_arn)
        if attachment is None:
            raise resource_not_found(id_or_arn)
        return attachment

    def is_hidden(self, attachment: StoredAttachment, lag_s: float) -> bool:
        """Return whether the service, which lags, does not show an attachment yet."""
        return lag_s > 0 and attachment.is_younger(lag_s, self.clock.now())

    def timestamp(self, moment: datetime) -> float:
        """Return a moment as answers give it: seconds since 1970 by the service's clock."""
        return round(moment.timestamp() + self.settings.clock_ahead_s, 3)

    def summary(self, attachment: StoredAttachment) -> dict[str, Any]:
        """Return the members that every answer about an attachment begins with."""
        return {
            "RegistrationAttachmentArn": attachment.arn,
            "RegistrationAttachmentId": attachment.attachment_id,
            "AttachmentStatus": attachment.status(self.clock.now()).value,
            "CreatedTimestamp": self.timestamp(attachment.created_at),
        }

    def description(self, attachment: StoredAttachment) -> Members:
        """Return an attachment as it is described: without tags, name, hash or size."""
        described = self.summary(attachment)
        if described["AttachmentStatus"] == UploadStatus.FAILED:
            described["AttachmentUploadErrorReason"] = "INTERNAL_ERROR"
        if attachment.url is not None:
            described["AttachmentUrl"] = attachment.url
        return described
