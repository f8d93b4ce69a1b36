"""The operations that describe registrations, and what all operations on registrations look up and answer.

All raise ErrorResponse.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batch_upload.emulator.context import Call, Members, ServiceContext
from batch_upload.emulator.errors import REGISTRATION_RESOURCE, resource_not_found, validation_error
from batch_upload.emulator.listing import PageToken, ids_asked_for, page_size, page_start
from batch_upload.emulator.registration_state import (
    REGISTRATION_STATUSES,
    FieldValue,
    RegistrationVersion,
    StoredRegistration,
    VersionStatus,
)
from batch_upload.emulator.registration_types import REGISTRATION_TYPES, FieldDefinition


def describe_registrations(context: ServiceContext, call: Call) -> Members:
    """Carry out one DescribeRegistrations: up to 5 by id, or a page in the order of creation."""
    ids = ids_asked_for(call, "RegistrationIds")
    if ids:
        found = [find_registration(context, call, id_or_arn) for id_or_arn in ids]
        return {"Registrations": [registration_members(context, registration) for registration in found]}
    statuses = _filter_values(call, "registration-status", REGISTRATION_STATUSES)
    types = _filter_values(call, "registration-type", REGISTRATION_TYPES)
    registrations = context.store.registrations.of_lane(call.account, call.region).values()
    entries = [
        (place, registration_members(context, registration))
        for place, registration in enumerate(registrations)
        if registration.status in statuses
        and registration.registration_type in types
        and (call.settings.keeps_deleted or not registration.is_deleted)
    ]
    return _page(context, call, "Registrations", entries)


def describe_versions(context: ServiceContext, call: Call) -> Members:
    """Carry out one DescribeRegistrationVersions: up to 5 by number, or a page from the first on."""
    registration = find_registration(context, call, call.members["RegistrationId"])
    numbers = call.members.get("VersionNumbers")
    if numbers:
        versions = [find_version(registration, number) for number in numbers]
        return {
            **registration_names(registration),
            "RegistrationVersions": [_full_version(context, each) for each in versions],
        }
    statuses = _filter_values(call, "registration-version-status", frozenset(VersionStatus))
    entries = [
        (version.number, _full_version(context, version))
        for version in registration.versions
        if version.status in statuses
    ]
    return {**registration_names(registration), **_page(context, call, "RegistrationVersions", entries)}


def describe_field_definitions(context: ServiceContext, call: Call) -> Members:
    """Carry out one DescribeRegistrationFieldDefinitions."""
    registration_type = call.members["RegistrationType"]
    entries = [(place, definition.to_members()) for place, definition in _asked_fields(call, registration_type)]
    page = _page(context, call, "RegistrationFieldDefinitions", entries)
    return {"RegistrationType": registration_type, **page}


def describe_field_values(context: ServiceContext, call: Call) -> Members:
    """Carry out one DescribeRegistrationFieldValues: fields that hold a value or were denied, of the current version
    unless the call names another."""
    registration = find_registration(context, call, call.members["RegistrationId"])
    number = call.members.get("VersionNumber")
    version = registration.current if number is None else find_version(registration, number)
    entries: list[tuple[int, Members]] = []
    for place, definition in _asked_fields(call, registration.registration_type):
        value, denial = version.values.get(definition.path), version.denials.get(definition.path)
        if value is None and denial is None:
            continue
        held = {} if value is None else value_members(context, call, value)
        members: dict[str, Any] = {"FieldPath": definition.path, **held}
        if denial is not None:
            feedback = {} if denial.feedback is None else {"Feedback": denial.feedback}
            members |= {"DeniedReason": denial.reason, **feedback}
        entries.append((place, members))
    page = _page(context, call, "RegistrationFieldValues", entries)
    return {**registration_names(registration), "VersionNumber": version.number, **page}


def value_members(context: ServiceContext, call: Call, value: FieldValue) -> dict[str, Any]:
    """Return what a field holds, its attachment by its id or its ARN as the settings say."""
    members = value.to_members()
    if call.settings.fields_give_arns and value.attachment_id is not None:
        attachment = context.store.find(call.account, call.region, value.attachment_id)
        if attachment is not None:  # it may have been deleted and forgotten
            members["RegistrationAttachmentId"] = attachment.arn
    return members


def find_registration(context: ServiceContext, call: Call, id_or_arn: str) -> StoredRegistration:
    registration = context.store.registrations.find(call.account, call.region, id_or_arn)
    if registration is None or (registration.is_deleted and not call.settings.keeps_deleted):
        raise resource_not_found(id_or_arn, REGISTRATION_RESOURCE)
    return registration


def find_version(registration: StoredRegistration, number: int) -> RegistrationVersion:
    version = registration.version(number)
    if version is None:
        raise validation_error("UNKNOWN_REGISTRATION_VERSION", f"The registration has no version {number}")
    return version


def definitions_of(registration_type: str) -> Mapping[str, FieldDefinition]:
    if registration_type not in REGISTRATION_TYPES:
        raise validation_error("UNKNOWN_REGISTRATION_TYPE", f"{registration_type} is not a type of registration")
    return REGISTRATION_TYPES[registration_type]


def definition_of(registration_type: str, path: str) -> FieldDefinition:
    definition = definitions_of(registration_type).get(path)
    if definition is None:
        raise validation_error("UNKNOWN_REGISTRATION_FIELD", f"{registration_type} has no field {path}")
    return definition


def _asked_fields(call: Call, registration_type: str) -> list[tuple[int, FieldDefinition]]:
    """Return the fields that a call asks for and their places in the form: all, some by path, or those of a section."""
    definitions = definitions_of(registration_type)
    section, paths = call.members.get("SectionPath"), call.members.get("FieldPaths")
    if section is not None and not any(definition.section == section for definition in definitions.values()):
        raise validation_error("UNKNOWN_REGISTRATION_SECTION", f"{registration_type} has no section {section}")
    asked = [definition_of(registration_type, path) for path in paths] if paths else list(definitions.values())
    return [
        (place, definition)
        for place, definition in enumerate(definitions.values())
        if definition in asked and section in (None, definition.section)
    ]


def registration_names(registration: StoredRegistration) -> dict[str, Any]:
    return {"RegistrationArn": registration.arn, "RegistrationId": registration.registration_id}


def creation_members(context: ServiceContext, registration: StoredRegistration) -> dict[str, Any]:
    return {
        **registration_names(registration),
        "RegistrationType": registration.registration_type,
        "RegistrationStatus": registration.status,
        "CurrentVersionNumber": registration.current.number,
        "CreatedTimestamp": context.timestamp(registration.created_at),
    }


def registration_members(context: ServiceContext, registration: StoredRegistration) -> Members:
    numbers = {
        "ApprovedVersionNumber": registration.latest(VersionStatus.APPROVED),
        "LatestDeniedVersionNumber": registration.latest(VersionStatus.DENIED),
    }
    known = {name: number for name, number in numbers.items() if number is not None}
    return {**creation_members(context, registration), **known}


def version_members(context: ServiceContext, version: RegistrationVersion) -> dict[str, Any]:
    # The model has no time for REQUIRES_OFFLINE_REVIEW.
    history = {
        f"{status.title().replace('_', '')}Timestamp": context.timestamp(at)
        for status, at in version.history.items()
        if status is not VersionStatus.REQUIRES_OFFLINE_REVIEW
    }
    return {
        "VersionNumber": version.number,
        "RegistrationVersionStatus": version.status.value,
        "RegistrationVersionStatusHistory": history,
    }


def _full_version(context: ServiceContext, version: RegistrationVersion) -> Members:
    reasons = dict.fromkeys(denial.reason for denial in version.denials.values())
    denied = {"DeniedReasons": [{"Reason": reason, "ShortDescription": reason} for reason in reasons]}
    feedback = {} if version.feedback is None else {"Feedback": version.feedback}
    return {**version_members(context, version), **(denied if reasons else {}), **feedback}


def _filter_values(call: Call, name: str, known: Iterable[str]) -> frozenset[str]:
    """Return the values that all filters of a name let pass. Raises ErrorResponse for one that is not known."""
    passing = every = frozenset(known)
    for each in call.members.get("Filters") or ():
        if each["Name"] == name:
            unknown = [value for value in each["Values"] if value not in every]
            if unknown:
                raise validation_error("INVALID_FILTER_VALUES", f"Filters: {unknown[0]!r} is not a valid {name}")
            passing &= frozenset(each["Values"])
    return passing


def _page(context: ServiceContext, call: Call, name: str, entries: Sequence[tuple[int, Members]]) -> Members:
    """Return a page of entries, each with its place. Places never change, so that pages neither skip nor repeat."""
    about = call.members.get("RegistrationId") or call.members.get("RegistrationType")
    kind, now, size = f"{call.operation} {about}", context.clock.now(), page_size(call)
    first = page_start(call, kind, now).offset
    left = [(place, members) for place, members in entries if place >= first]
    following = {"NextToken": PageToken(now, offset=left[size][0]).encode(kind)} if len(left) > size else {}
    return {name: [members for _, members in left[:size]], **following}
