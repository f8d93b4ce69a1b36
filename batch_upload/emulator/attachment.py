"""An attachment as the service holds it, and every change that can happen to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """`AttachmentStatus` of the model."""

    IN_PROGRESS = "UPLOAD_IN_PROGRESS"
    COMPLETE = "UPLOAD_COMPLETE"
    FAILED = "UPLOAD_FAILED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment; its document is gone. `forced` is a status that no longer follows from the time."""

    attachment_id: str
    account: str
    region: str
    created_at: datetime
    ready_at: datetime
    ends_as: Status
    fingerprint: str
    """Of the parameters it was created with, to tell a replay from a token that was used for something else."""
    tags: Mapping[str, str]
    client_token: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None
    url: str | None = None
    forced: Status | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:sms-voice:{self.region}:{self.account}:registration-attachment/{self.attachment_id}"

    @property
    def is_deleted(self) -> bool:
        return self.forced is Status.DELETED

    def status(self, now: datetime) -> Status:
        """Never stored while it follows from the time, so that a restart does not hold it up."""
        if self.forced is not None:
            return self.forced
        return Status.IN_PROGRESS if now < self.ready_at else self.ends_as


@dataclass(frozen=True, slots=True)
class Created:
    attachment: Attachment
    change: Literal["created"] = "created"


@dataclass(frozen=True, slots=True)
class StatusSet:
    attachment_id: str
    status: Status
    change: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class TagsSet:
    attachment_id: str
    tags: Mapping[str, str]
    change: Literal["tags"] = "tags"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The attachment is as if it had never been."""

    attachment_id: str
    change: Literal["forgotten"] = "forgotten"


Change = Created | StatusSet | TagsSet | Forgotten
