"""A clock that is turned by hand, and clients that ask an emulator with and without a wire."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from batch_upload.emulator.context import Caller
from batch_upload.emulator.core import Emulator, Reply

SERVICE = "pinpoint-sms-voice-v2"
CREATE = "CreateRegistrationAttachment"
DESCRIBE = "DescribeRegistrationAttachments"
ATTACHMENT_ID = "RegistrationAttachmentId"
ARN = "RegistrationAttachmentArn"
PDF = b"%PDF-1.7\n"
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff\xe0"
CALLER = Caller(access_key="AKIDEXAMPLE", region="us-east-1")
ELSEWHERE = Caller(access_key="AKIDEXAMPLE", region="eu-west-1")
TOLL_FREE = "US_TOLL_FREE_REGISTRATION"
CAMPAIGN = "US_TEN_DLC_CAMPAIGN_REGISTRATION"
REGISTRATION_ID = "RegistrationId"
COMPANY = "companyInfo.companyName"
VOLUME = "messagingUseCase.monthlyMessageVolume"
IMAGE = "messagingUseCase.optInImage"
UNLIMITED: Mapping[str, None] = {"*": None}


@dataclass
class ManualClock:
    """Time passes when a test says so, or when somebody sleeps."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 6, 30, 12, tzinfo=UTC))
    elapsed_s: float = 1_000.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.moment += timedelta(seconds=seconds)


@dataclass
class Client:
    """Asks an emulator without a wire."""

    emulator: Emulator

    def ask(self, operation: str, caller: Caller = CALLER, **members: Any) -> Reply:  # noqa: ANN401 - any JSON
        return self.emulator.handle(operation, members, caller)

    def create(
        self,
        token: str | None = None,
        *,
        body: bytes | None = PDF,
        url: str | None = None,
        tags: Mapping[str, str] | None = None,
        caller: Caller = CALLER,
    ) -> Reply:
        given = {
            "AttachmentBody": None if body is None or url is not None else base64.b64encode(body).decode(),
            "AttachmentUrl": url,
            "ClientToken": token,
            "Tags": None if tags is None else [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        members = {name: value for name, value in given.items() if value is not None}
        return self.emulator.handle(CREATE, members, caller)

    def status(self, attachment_id: str) -> str:
        reply = self.ask(DESCRIBE, RegistrationAttachmentIds=[attachment_id])
        status: str = reply.members["RegistrationAttachments"][0]["AttachmentStatus"]
        return status


class MakeClient(Protocol):
    """Makes clients of fresh emulators."""

    def __call__(self, *, state_path: Path | None = None, **settings: Any) -> Client:  # noqa: ANN401 - any setting
        """Without rates, unless `settings` has some; `state_path` keeps the state."""
        ...


class MakeBoto3(Protocol):
    """Makes real boto3 clients."""

    def __call__(
        self,
        url: str,
        service: str = SERVICE,
        *,
        region: str = "us-east-1",
        key: str = "AKID",
        token: str | None = None,
    ) -> Any:  # noqa: ANN401 - boto3 ships no types
        """Without retries; closed when the test ends."""
        ...


def registered(client: Client, registration_type: str = TOLL_FREE, **members: Any) -> str:  # noqa: ANN401 - any JSON
    reply = client.ask("CreateRegistration", RegistrationType=registration_type, **members)
    created: str = reply.members[REGISTRATION_ID]
    return created


def uploaded(client: Client, caller: Caller = CALLER) -> str:
    attachment_id: str = client.create(caller=caller).members[ATTACHMENT_ID]
    return attachment_id


def put(client: Client, registration_id: str, path: str = COMPANY, **value: Any) -> Reply:  # noqa: ANN401 - any JSON
    given = value or {"TextValue": "Example Corp"}
    return client.ask("PutRegistrationFieldValue", RegistrationId=registration_id, FieldPath=path, **given)


def values(client: Client, registration_id: str, **members: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON
    reply = client.ask("DescribeRegistrationFieldValues", RegistrationId=registration_id, **members)
    found: list[dict[str, Any]] = reply.members["RegistrationFieldValues"]
    return found


def described(client: Client, registration_id: str) -> dict[str, Any]:
    reply = client.ask("DescribeRegistrations", RegistrationIds=[registration_id])
    [one] = reply.members["Registrations"]
    return dict(one)
