"""Lanes that the contract suite asks the same things of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from batch_upload.clock import SystemClock
from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.registration_state import FieldDenial, VersionStatus
from batch_upload.emulator.serve import RunningEmulator
from batch_upload.model import AttachmentStatus
from batch_upload.ports import AttachmentService
from batch_upload.service.client import AwsService
from tests.support import memory_registrations, memory_service
from tests.support.memory_service import MemoryService, Trouble

CREATE = memory_service.CREATE


class LaneUnderTest(Protocol):
    """A lane, and what a test may do behind its back."""

    @property
    def service(self) -> AttachmentService: ...

    def trouble(self, action: Action, *, operation: str = CREATE) -> None:
        """Make the next request of an operation go wrong."""
        ...

    def requests(self, operation: str = CREATE) -> int:
        """How many requests of an operation have come."""
        ...

    def held(self) -> int:
        """How many attachments stand."""
        ...

    def plant(self, tags: Mapping[str, str]) -> str:
        """Make an attachment that no request made; its id."""
        ...

    def delete(self, attachment_id: str) -> None: ...

    def limit(self, maximum: int) -> None: ...

    def begin(self, attachment_id: str) -> None:
        """Let the service begin with an attachment again: it is in progress."""
        ...

    def plant_registration(self) -> str:
        """Make a toll-free registration with an empty draft; its id."""
        ...

    def submit(self, registration_id: str) -> None: ...

    def approve(self, registration_id: str) -> None: ...

    def deny(self, registration_id: str, field: str, *, reason: str, feedback: str | None = None) -> None:
        """Deny the current version because of one field."""
        ...

    def open_version(self, registration_id: str) -> None:
        """Add an empty draft."""
        ...


@dataclass(frozen=True, slots=True)
class EmulatedLane:
    """The real client, over HTTP, to the emulator."""

    service: AwsService
    running: RunningEmulator

    def trouble(self, action: Action, *, operation: str = CREATE) -> None:
        seconds = 7.0 if action is Action.RETRY_AFTER else None
        self.running.emulator.set_faults([FaultRule(action, operation=operation, times=1, seconds=seconds)])

    def requests(self, operation: str = CREATE) -> int:
        return int(self.running.emulator.stats()["requests"].get(operation, 0))

    def held(self) -> int:
        return int(self.running.emulator.stats()["attachments"])

    def plant(self, tags: Mapping[str, str]) -> str:
        return self.running.emulator.plant(region="us-east-1", tags=tags).attachment_id

    def delete(self, attachment_id: str) -> None:
        self.running.emulator.set_status(attachment_id, UploadStatus.DELETED)

    def limit(self, maximum: int) -> None:
        self.running.emulator.change_settings(f'{{"attachments_per_account": {maximum}}}')

    def begin(self, attachment_id: str) -> None:
        self.running.emulator.set_status(attachment_id, UploadStatus.IN_PROGRESS)

    def plant_registration(self) -> str:
        planted = self.running.emulator.registrations.plant(memory_registrations.TOLL_FREE, region="us-east-1")
        return planted.registration_id

    def submit(self, registration_id: str) -> None:
        self.running.emulator.registrations.review(registration_id, VersionStatus.SUBMITTED)

    def approve(self, registration_id: str) -> None:
        self.running.emulator.registrations.review(registration_id, VersionStatus.APPROVED)

    def deny(self, registration_id: str, field: str, *, reason: str, feedback: str | None = None) -> None:
        denials = {field: FieldDenial(reason, feedback)}
        self.running.emulator.registrations.review(registration_id, VersionStatus.DENIED, denials=denials)

    def open_version(self, registration_id: str) -> None:
        self.running.emulator.registrations.open_version(registration_id)


_TROUBLES: Mapping[Action, Trouble] = {
    Action.THROTTLE: memory_service.throttled(),
    Action.RETRY_AFTER: memory_service.throttled(retry_after_s=7.0),
    Action.INTERNAL_ERROR: memory_service.lost(done=False),
    Action.DROP_BEFORE: memory_service.lost(done=False),
    Action.DROP_AFTER: memory_service.lost(done=True),
    Action.ACCESS_DENIED: memory_service.denied(),
    Action.EXPIRED_TOKEN: memory_service.denied("ExpiredTokenException"),
    Action.QUOTA_DAY: memory_service.full(daily=True),
    Action.QUOTA_ACCOUNT: memory_service.full(daily=False),
    Action.VALIDATION: memory_service.refused(),
    Action.IN_USE: memory_service.refused("ConflictException", "RESOURCE_DELETION_NOT_ALLOWED"),
}


@dataclass(frozen=True, slots=True)
class MemoryLane:
    """The fake that the engine's tests use."""

    service: MemoryService = field(default_factory=lambda: MemoryService(SystemClock(), way_s=0))

    def trouble(self, action: Action, *, operation: str = CREATE) -> None:
        self.service.script(operation, _TROUBLES[action])

    def requests(self, operation: str = CREATE) -> int:
        return len(self.service.made(operation))

    def held(self) -> int:
        standing = (each.ends_as is not AttachmentStatus.DELETED for each in self.service.held.values())
        return sum(standing)

    def plant(self, tags: Mapping[str, str]) -> str:
        return self.service.plant(tags=tags).attachment_id

    def delete(self, attachment_id: str) -> None:
        self.service.remove(attachment_id)

    def limit(self, maximum: int) -> None:
        self.service.maximum = maximum

    def begin(self, attachment_id: str) -> None:
        self.service.held[attachment_id].ends_as = AttachmentStatus.IN_PROGRESS

    def plant_registration(self) -> str:
        registration_id = f"registration-{len(self.service.forms.held)}"
        self.service.forms.add(registration_id)
        return registration_id

    def submit(self, registration_id: str) -> None:
        self.service.forms.held[registration_id].status = "SUBMITTED"

    def approve(self, registration_id: str) -> None:
        self.service.forms.held[registration_id].status = "COMPLETE"

    def deny(self, registration_id: str, field: str, *, reason: str, feedback: str | None = None) -> None:
        self.service.forms.held[registration_id].deny(field, reason, feedback)

    def open_version(self, registration_id: str) -> None:
        self.service.forms.held[registration_id].begin_version()
