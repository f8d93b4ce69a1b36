"""Registrations, and the attachments in the fields of their forms, as the service has them and as a ledger keeps them.

Members and statuses are those of botocore's model (1.43.117). AWS does not document what becomes of values after a
denial: scripts of people show that the old version becomes read-only and that the new one begins empty.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Bind(NamedTuple):
    """The field of a registration that an attachment is put into. In an entry both may hold templates."""

    registration: str
    """Its id, as `registration-0123abcd`; never its ARN."""
    field: str
    """The path of the field, as `messagingUseCase.optInImage`."""

    def __str__(self) -> str:
        return f"{self.registration}/{self.field}"

    @property
    def words(self) -> str:
        """The field for a message. Ids and paths have no character that needs an escape."""
        return f"`{self.field}` of `{self.registration}`"


class BindState(StrEnum):
    """How far the binding of an attachment is. NULL in a ledger for an item without `bind`."""

    WANTED = "wanted"  # the manifest asks for it
    SENT = "sent"  # the intent is durable, the outcome is not
    BOUND = "bound"  # the field of the version `bound_version` holds the attachment
    REFUSED = "refused"  # the item is `failed`, and keeps its attachment
    REPLACED = "replaced"  # a request to put another attachment into the field was made since


class Denial(NamedTuple):
    """What a reviewer said of the attachment in a field. Either text may be empty."""

    version: int
    """Of the registration that was denied."""
    reason: str
    """`DeniedReason` of the field."""
    feedback: str
    """`Feedback` of the field: words of a language model (botocore's model)."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration as DescribeRegistrations tells it."""

    registration_id: str
    type: str
    """As `US_TOLL_FREE_REGISTRATION`."""
    status: str
    version: int
    """`CurrentVersionNumber`."""
    denied_version: int | None = None
    """`LatestDeniedVersionNumber`."""

    @property
    def is_under_review(self) -> bool:
        """Whether its current version was submitted and is not decided yet: its fields cannot be changed."""
        return self.status in UNDER_REVIEW

    @property
    def is_denied(self) -> bool:
        """Whether its current version was denied: its fields can be changed once there is a new version."""
        return self.denied_version == self.version


UNDER_REVIEW = frozenset({"SUBMITTED", "AWS_REVIEWING", "REVIEWING", "REQUIRES_AUTHENTICATION", "PROVISIONING"})


@dataclass(frozen=True, slots=True)
class RegistrationPage:
    """A page of registrations, of at most 100. `next_token` is None on the last."""

    registrations: tuple[Registration, ...]
    next_token: str | None = None


class RegistrationField(NamedTuple):
    """A field of the form of a type of registration."""

    path: str
    kind: str
    """`FieldType`: SELECT, TEXT or ATTACHMENT."""
    requirement: str
    """`FieldRequirement`: REQUIRED, CONDITIONAL or OPTIONAL."""

    @property
    def takes_attachment(self) -> bool:
        return self.kind == "ATTACHMENT"


@dataclass(frozen=True, slots=True)
class FieldPage:
    """A page of the fields of a type of registration. `next_token` is None on the last."""

    fields: tuple[RegistrationField, ...]
    next_token: str | None = None


class PutReceipt(NamedTuple):
    """The answer of the service to an attachment that is put into a field."""

    version: int
    """Of the registration: the one in whose field it is now."""
    request_id: str | None = None


class FieldContent(NamedTuple):
    """What a field of one version of a registration holds. `attachment_id` is None if it holds none."""

    path: str
    attachment_id: str | None
    denied_reason: str | None = None
    feedback: str | None = None
