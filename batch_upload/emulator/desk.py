"""What every operation works on, and what it is given and gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batch_upload.emulator.attachment import Attachment, Status
from batch_upload.emulator.clock import Clock
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.emulator.state import State

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that fits the model; blobs are bytes.

    `ends_as_failed`: a fault wants the attachment to end so. `repeats_page`: a fault wants a page of a listing to
    give the NextToken that it was asked with.
    """

    operation: str
    members: Members
    account: str
    region: str
    access_key: str
    ends_as_failed: bool = False
    repeats_page: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call. `is_replay`: nothing was made, the token had done so before."""

    members: Members
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """A role that a caller took on. `arn` is the session's."""

    account: str
    arn: str
    role_id: str


@dataclass(slots=True)
class Desk:
    """The service's memory and rules. `bodies` by attachment id, where the settings keep them."""

    settings: EmulatorSettings
    state: State
    clock: Clock
    token_mismatches: int = 0
    bodies: dict[str, bytes] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    """By the access key id that was handed out for it. Not kept across a restart: keys are short-lived."""

    def account_of(self, access_key: str) -> str:
        """The account that an access key id belongs to."""
        role = self.roles.get(access_key)
        return self.settings.account_of(access_key) if role is None else role.account

    def summary(self, attachment: Attachment) -> dict[str, Any]:
        """The members that every answer about an attachment begins with."""
        return {
            "RegistrationAttachmentArn": attachment.arn,
            "RegistrationAttachmentId": attachment.attachment_id,
            "AttachmentStatus": attachment.status(self.clock.now()).value,
            "CreatedTimestamp": round(attachment.created_at.timestamp() + self.settings.clock_ahead_s, 3),
        }

    def information(self, attachment: Attachment) -> Members:
        """An attachment as it is described: without tags, name, hash or size."""
        described = self.summary(attachment)
        if described["AttachmentStatus"] == Status.FAILED:
            described["AttachmentUploadErrorReason"] = "INTERNAL_ERROR"
        if attachment.url is not None:
            described["AttachmentUrl"] = attachment.url
        return described


def content_of(members: Members) -> bytes:
    """The document or, for want of one, its URL; empty where there is neither. Takes requests that fit nothing, too."""
    body, url = members.get("AttachmentBody"), members.get("AttachmentUrl")
    if isinstance(body, bytes):
        return body
    return url.encode(errors="replace") if isinstance(url, str) else b""


def tags_of(members: Members) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in members.get("Tags") or ()}


def tag_list(tags: Mapping[str, str]) -> list[Members]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
