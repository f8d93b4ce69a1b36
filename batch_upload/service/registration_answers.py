"""What answers about registrations hold. Each function raises NoAnswer for a member that is missing or of a wrong type.

An id may come as an ARN: the model allows both for an attachment in a field (`RegistrationAttachmentIdOrArn`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from batch_upload.registration import (
    FieldContent,
    FieldPage,
    PutReceipt,
    Registration,
    RegistrationField,
    RegistrationPage,
)
from batch_upload.service.answers import member, next_token_of, plain_text, request_id_of, text_member, unreadable

REVIEWER_TEXT_MAX = 4_000
"""Characters of a reviewer's words that are kept: more than a form would show, and no document."""


def id_of(id_or_arn: str) -> str:
    """Return the id of a resource that is named by its id or its ARN."""
    return id_or_arn.rpartition("/")[2]


def registration_page_of(answer: Mapping[str, Any]) -> RegistrationPage:
    """Return a page of registrations. A status that is not known is kept as it came."""
    found = tuple(
        Registration(
            registration_id=id_of(text_member(each, "RegistrationId")),
            type=text_member(each, "RegistrationType"),
            status=plain_text(text_member(each, "RegistrationStatus")),
            version=version_of(each, "CurrentVersionNumber"),
            denied_version=None
            if each.get("LatestDeniedVersionNumber") is None
            else version_of(each, "LatestDeniedVersionNumber"),
        )
        for each in member(answer, "Registrations")
    )
    return RegistrationPage(found, next_token_of(answer))


def field_page_of(answer: Mapping[str, Any], registration_type: str) -> FieldPage:
    """Return a page of the fields of a type of registration."""
    check_same(answer, "RegistrationType", registration_type)
    found = tuple(
        RegistrationField(
            path=text_member(each, "FieldPath"),
            kind=text_member(each, "FieldType"),
            requirement=text_member(each, "FieldRequirement"),
        )
        for each in member(answer, "RegistrationFieldDefinitions")
    )
    return FieldPage(found, next_token_of(answer))


def field_contents_of(
    answer: Mapping[str, Any], registration_id: str, fields: Sequence[str], version: int | None
) -> tuple[FieldContent, ...]:
    """Return what these fields of a version hold. An entry without an attachment is a field without one.

    Raises NoAnswer also for an answer about another registration or version, and for one that is only a part: a field
    that it leaves out would be taken for an empty one.
    """
    check_same(answer, "RegistrationId", registration_id)
    answered = version_of(answer, "VersionNumber")
    if version is not None and answered != version:
        raise unreadable(answer, f"the answer is about version {answered} of the registration, not {version}")
    found = [_field_content(each) for each in member(answer, "RegistrationFieldValues")]
    contents = {each.path: each for each in found if each.path in fields}
    if next_token_of(answer) is not None and len(contents) < len(set(fields)):
        raise unreadable(answer, "the answer has not all of the fields, though they fit on a page: it cannot be used")
    return tuple(contents.values())


def put_receipt_of(answer: Mapping[str, Any], registration_id: str, field: str, attachment_id: str) -> PutReceipt:
    """Return into which version's field an attachment was put. Raises NoAnswer if the answer names another."""
    check_same(answer, "RegistrationId", registration_id)
    check_same(answer, "FieldPath", field)
    check_same(answer, "RegistrationAttachmentId", attachment_id)
    return PutReceipt(version_of(answer, "VersionNumber"), request_id_of(answer))


def version_of(answer: Mapping[str, Any], name: str) -> int:
    """Return a member that is the number of a version: they count from 1."""
    value = member(answer, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise unreadable(answer, f"`{name}` of the answer is no number of a version: it could not be read")
    return value


def check_same(answer: Mapping[str, Any], name: str, expected: str) -> None:
    """Raise NoAnswer if a member that may be missing names something else, by its id or ARN."""
    if answer.get(name) is not None and (found := id_of(text_member(answer, name))) != expected:
        raise unreadable(answer, f"`{name}` of the answer is `{plain_text(found)}`, not `{expected}`")


def _field_content(answer: Mapping[str, Any]) -> FieldContent:
    is_empty = answer.get("RegistrationAttachmentId") is None
    return FieldContent(
        path=text_member(answer, "FieldPath"),
        attachment_id=None if is_empty else id_of(text_member(answer, "RegistrationAttachmentId")),
        denied_reason=_words(answer, "DeniedReason"),
        feedback=_words(answer, "Feedback"),
    )


def _words(answer: Mapping[str, Any], name: str) -> str | None:
    """Return what a reviewer wrote, on one line; None if it is missing or blank."""
    value = answer.get(name)
    if value is not None and not isinstance(value, str):
        raise unreadable(answer, f"`{name}` of the answer is not text: it could not be read")
    return plain_text(value or "", limit=REVIEWER_TEXT_MAX) or None
