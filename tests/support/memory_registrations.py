"""Registrations of a lane in memory: forms, versions, and what fields hold. They refuse as the emulator does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batch_upload.errors import Refused
from batch_upload.registration import (
    UNDER_REVIEW,
    Bind,
    FieldContent,
    FieldPage,
    Registration,
    RegistrationField,
    RegistrationPage,
)

TOLL_FREE = "US_TOLL_FREE_REGISTRATION"
OPT_IN = "messagingUseCase.optInImage"
LETTER = "companyInfo.letterOfAuthorization"
FORMS: Mapping[str, Sequence[RegistrationField]] = {
    TOLL_FREE: (
        RegistrationField("companyInfo.companyName", "TEXT", "REQUIRED"),
        RegistrationField(LETTER, "ATTACHMENT", "OPTIONAL"),
        RegistrationField(OPT_IN, "ATTACHMENT", "REQUIRED"),
    ),
    "GB_SENDER_ID_REGISTRATION": (RegistrationField("senderIdInfo.letterOfAuthorization", "ATTACHMENT", "REQUIRED"),),
}
NOT_FOUND = "ResourceNotFoundException"


@dataclass(slots=True)
class HeldRegistration:
    """A registration. `versions`: what the fields of each hold, by path, the current one last."""

    registration_id: str
    type: str = TOLL_FREE
    status: str = "CREATED"
    versions: list[dict[str, FieldContent]] = field(default_factory=lambda: [{}])
    denied_version: int | None = None

    @property
    def is_draft(self) -> bool:
        return self.status == "CREATED" or (self.status == "REQUIRES_UPDATES" and self.denied_version != self.number)

    @property
    def number(self) -> int:
        """Of the current version."""
        return len(self.versions)

    def seen(self) -> Registration:
        return Registration(self.registration_id, self.type, self.status, self.number, self.denied_version)

    def deny(self, path: str = OPT_IN, reason: str | None = "too blurred", feedback: str | None = None) -> None:
        """A reviewer denies the current version because of one field."""
        self.status, self.denied_version = "REQUIRES_UPDATES", self.number
        held = self.versions[-1].get(path, FieldContent(path, None))
        self.versions[-1][path] = held._replace(denied_reason=reason, feedback=feedback)

    def begin_version(self) -> None:
        """A person makes a new version, which is empty."""
        self.versions.append({})


@dataclass(slots=True)
class MemoryRegistrations:
    """Every registration of a lane, by id."""

    held: dict[str, HeldRegistration] = field(default_factory=dict)
    page_size: int = 100
    hidden: set[str] = field(default_factory=set)
    """Ids that no page shows."""

    def add(self, *ids: str, kind: str = TOLL_FREE) -> None:
        """Make these registrations, each with an empty draft."""
        self.held |= {each: HeldRegistration(each, kind) for each in ids}

    def holds(self, bind: Bind) -> str | None:
        """The attachment in a field of the current version."""
        found = self.held[bind.registration].versions[-1].get(bind.field)
        return None if found is None else found.attachment_id

    def page(self, next_token: str | None, ids: Sequence[str]) -> RegistrationPage:
        if ids:
            return RegistrationPage(tuple(self.find(each).seen() for each in ids))
        start = int(next_token or 0)
        shown = [each.seen() for each in self.held.values() if each.registration_id not in self.hidden]
        end = start + self.page_size
        return RegistrationPage(tuple(shown[start:end]), str(end) if end < len(shown) else None)

    def definitions(self, kind: str, next_token: str | None) -> FieldPage:
        if kind not in FORMS:
            raise Refused("no such type", code="ValidationException", reason="UNKNOWN_REGISTRATION_TYPE")
        start = int(next_token or 0)
        fields = tuple(FORMS[kind])
        return FieldPage(fields[start : start + 2], str(start + 2) if start + 2 < len(fields) else None)

    def contents(self, registration_id: str, fields: Sequence[str], version: int | None) -> tuple[FieldContent, ...]:
        found = self.find(registration_id)
        if version is not None and not 1 <= version <= found.number:
            raise Refused("no such version", code="ValidationException", reason="UNKNOWN_REGISTRATION_VERSION")
        if not {each.path for each in FORMS[found.type]}.issuperset(fields):
            raise Refused("no such field", code="ValidationException", reason="UNKNOWN_REGISTRATION_FIELD")
        held = found.versions[(version or found.number) - 1]
        return tuple(held[each] for each in fields if each in held)

    def check(self, bind: Bind) -> HeldRegistration:
        """Return the registration if its field takes an attachment now. Raises Refused."""
        found = self.find(bind.registration)
        defined = next((each for each in FORMS[found.type] if each.path == bind.field), None)
        if defined is None:
            raise Refused("no such field", code="ValidationException", reason="UNKNOWN_REGISTRATION_FIELD")
        if not defined.takes_attachment:
            fields = [("RegistrationAttachmentId", "does not fit")]
            reason = "FIELD_VALIDATION_FAILED"
            raise Refused("takes text", code="ValidationException", reason=reason, fields=fields)
        if not found.is_draft:
            is_reviewed = found.status in UNDER_REVIEW
            reason = "REGISTRATION_ALREADY_SUBMITTED" if is_reviewed else "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"
            code, kind = "ConflictException", "registration"
            raise Refused("not now", code=code, reason=reason, resource_id=bind.registration, resource_type=kind)
        return found

    def put(self, bind: Bind, attachment_id: str) -> int:
        """Put an attachment that can be used into a field. Return the version."""
        found = self.check(bind)
        found.versions[-1][bind.field] = FieldContent(bind.field, attachment_id)
        return found.number

    def find(self, registration_id: str) -> HeldRegistration:
        found = self.held.get(registration_id)
        if found is None or found.status == "DELETED":
            raise Refused("not found", code=NOT_FOUND, resource_id=registration_id, resource_type="registration")
        return found
