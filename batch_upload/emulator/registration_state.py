"""Registrations as the service holds them: their versions, and the values in the fields of each version."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from batch_upload.emulator.errors import REGISTRATION_RESOURCE
from batch_upload.emulator.request_log import LaneKey


class VersionStatus(StrEnum):
    """`RegistrationVersionStatus` of the model."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    AWS_REVIEWING = "AWS_REVIEWING"
    REVIEWING = "REVIEWING"
    REQUIRES_AUTHENTICATION = "REQUIRES_AUTHENTICATION"
    APPROVED = "APPROVED"
    DISCARDED = "DISCARDED"
    DENIED = "DENIED"
    REVOKED = "REVOKED"
    ARCHIVED = "ARCHIVED"
    REQUIRES_OFFLINE_REVIEW = "REQUIRES_OFFLINE_REVIEW"


IN_REVIEW = frozenset(
    {
        VersionStatus.SUBMITTED,
        VersionStatus.AWS_REVIEWING,
        VersionStatus.REVIEWING,
        VersionStatus.REQUIRES_AUTHENTICATION,
        VersionStatus.REQUIRES_OFFLINE_REVIEW,
    }
)
OVER = frozenset({VersionStatus.DISCARDED, VersionStatus.DENIED, VersionStatus.REVOKED, VersionStatus.ARCHIVED})
"""Statuses of versions that are no longer in force: an attachment that only such versions hold is not in use."""

_REGISTRATION_STATUSES: Mapping[VersionStatus, str] = {
    VersionStatus.SUBMITTED: "SUBMITTED",
    VersionStatus.AWS_REVIEWING: "AWS_REVIEWING",
    VersionStatus.REVIEWING: "REVIEWING",
    VersionStatus.REQUIRES_OFFLINE_REVIEW: "REVIEWING",
    VersionStatus.REQUIRES_AUTHENTICATION: "REQUIRES_AUTHENTICATION",
    VersionStatus.APPROVED: "COMPLETE",
    VersionStatus.DENIED: "REQUIRES_UPDATES",
    VersionStatus.REVOKED: "CLOSED",
    VersionStatus.ARCHIVED: "CLOSED",
}
DELETED_STATUS = "DELETED"
REGISTRATION_STATUSES = frozenset({*_REGISTRATION_STATUSES.values(), "CREATED", "PROVISIONING", DELETED_STATUS})
"""`RegistrationStatus` of the model."""


@dataclass(frozen=True, slots=True)
class FieldValue:
    """What a field holds: one of the three."""

    text: str | None = None
    choices: tuple[str, ...] | None = None
    attachment_id: str | None = None

    def to_members(self) -> dict[str, Any]:
        """Return the value as the operations answer it."""
        members = {
            "TextValue": self.text,
            "SelectChoices": None if self.choices is None else list(self.choices),
            "RegistrationAttachmentId": self.attachment_id,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FieldDenial:
    """Why a reviewer denied the value of a field, or its absence."""

    reason: str
    feedback: str | None = None


@dataclass(frozen=True, slots=True)
class RegistrationVersion:
    """The form as it was filled in once. `history`: when the version last got each status that it had.

    `puts`: every value that was ever put, with its field, in order, so that tests also see what was overwritten.
    """

    number: int
    status: VersionStatus
    history: Mapping[VersionStatus, datetime]
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    denials: Mapping[str, FieldDenial] = field(default_factory=dict)
    feedback: str | None = None
    puts: tuple[tuple[str, FieldValue], ...] = ()

    def with_value(self, path: str, value: FieldValue) -> "RegistrationVersion":
        return replace(self, values={**self.values, path: value}, puts=(*self.puts, (path, value)))

    def in_status(self, status: VersionStatus, now: datetime) -> "RegistrationVersion":
        return replace(self, status=status, history={**self.history, status: now})


def draft(number: int, now: datetime) -> RegistrationVersion:
    """Return an empty version that can be filled in."""
    return RegistrationVersion(number, VersionStatus.DRAFT, {VersionStatus.DRAFT: now})


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """One registration with all its versions, numbered from 1 without gaps."""

    registration_id: str
    account: str
    region: str
    registration_type: str
    created_at: datetime
    versions: tuple[RegistrationVersion, ...]
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str | None = None
    is_deleted: bool = False

    @property
    def arn(self) -> str:
        return f"arn:aws:sms-voice:{self.region}:{self.account}:{REGISTRATION_RESOURCE}/{self.registration_id}"

    @property
    def current(self) -> RegistrationVersion:
        return self.versions[-1]

    @property
    def status(self) -> str:
        """The status, derived from the latest version that is neither a draft nor discarded."""
        if self.is_deleted:
            return DELETED_STATUS
        decided = (version.status for version in reversed(self.versions) if version.status in _REGISTRATION_STATUSES)
        return _REGISTRATION_STATUSES.get(next(decided, VersionStatus.DRAFT), "CREATED")

    def version(self, number: int) -> RegistrationVersion | None:
        return self.versions[number - 1] if 1 <= number <= len(self.versions) else None

    def latest(self, status: VersionStatus) -> int | None:
        """Return the number of the latest version that has a status, or None."""
        return max((version.number for version in self.versions if version.status is status), default=None)

    def with_version(self, version: RegistrationVersion) -> "StoredRegistration":
        """Return the registration with a version in place of the one of its number, or behind all others."""
        others = self.versions
        return replace(self, versions=(*others[: version.number - 1], version, *others[version.number :]))

    def holds(self, attachment_id: str) -> bool:
        """Return whether a version whose status is not in OVER has the attachment in a field."""
        return not self.is_deleted and any(
            value.attachment_id == attachment_id
            for version in self.versions
            if version.status not in OVER
            for value in version.values.values()
        )

    def paths_in_use(self) -> set[str]:
        """Return the paths of the fields that hold or held a value, or were denied, in any version."""
        return {path for version in self.versions for path in (*version.values, *version.denials)} | {
            path for version in self.versions for path, _ in version.puts
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything that is known of it, as the control plane shows it."""
        return {
            "id": self.registration_id,
            "arn": self.arn,
            "account": self.account,
            "region": self.region,
            "type": self.registration_type,
            "status": self.status,
            "created_at": self.created_at.isoformat(),
            "current_version": self.current.number,
            "approved_version": self.latest(VersionStatus.APPROVED),
            "denied_version": self.latest(VersionStatus.DENIED),
            "tags": dict(self.tags),
            "client_token": self.client_token,
            "versions": [
                {
                    "version": version.number,
                    "status": version.status.value,
                    "values": {path: value.to_members() for path, value in version.values.items()},
                    "puts": [{"FieldPath": path, **value.to_members()} for path, value in version.puts],
                    "denials": {
                        path: {"reason": denial.reason, "feedback": denial.feedback}
                        for path, denial in version.denials.items()
                    },
                }
                for version in self.versions
            ],
        }


@dataclass(frozen=True, slots=True)
class RegistrationSaved:
    """A registration is new, or differs from what it was."""

    registration: StoredRegistration
    change: Literal["registration"] = "registration"


class RegistrationTable:
    """The registrations of all accounts and Regions, each in the order of their creation. None ever leaves.

    An id may be in several of them: preloaded registrations can share one.
    """

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, dict[str, StoredRegistration]] = {}

    def put(self, registration: StoredRegistration) -> None:
        lane = self._lanes.setdefault((registration.account, registration.region), {})
        lane[registration.registration_id] = registration

    def of_lane(self, account: str, region: str) -> Mapping[str, StoredRegistration]:
        """Return a live view of the registrations of an account and Region by their ids."""
        return self._lanes.setdefault((account, region), {})

    def all(self) -> Iterator[StoredRegistration]:
        for lane in self._lanes.values():
            yield from lane.values()

    def find(self, account: str, region: str, id_or_arn: str) -> StoredRegistration | None:
        """Return the registration of this account and Region by its id or its ARN."""
        registration = self.of_lane(account, region).get(id_or_arn.rpartition("/")[2])
        if registration is None or id_or_arn not in (registration.registration_id, registration.arn):
            return None
        return registration

    def used_by_lane(self) -> dict[LaneKey, int]:
        """Return how many registrations that are not deleted each account and Region has."""
        return {key: sum(not each.is_deleted for each in lane.values()) for key, lane in self._lanes.items()}
