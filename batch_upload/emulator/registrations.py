"""The operations that change registrations, each as a function of the context and the call.

All raise ErrorResponse; then nothing has changed. Where AWS does not document what the service does, this is a guess,
which docs/emulator.md names.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from batch_upload.emulator.context import Call, CallResult, Members, ServiceContext
from batch_upload.emulator.errors import (
    REGISTRATION_RESOURCE,
    ErrorResponse,
    FieldError,
    conflict,
    invalid_fields,
    quota_exceeded,
    resource_not_found,
    validation_error,
)
from batch_upload.emulator.names import Operation, UploadStatus
from batch_upload.emulator.registration_listing import (
    creation_members,
    definition_of,
    definitions_of,
    describe_field_definitions,
    describe_field_values,
    describe_registrations,
    describe_versions,
    find_registration,
    registration_members,
    registration_names,
    value_members,
    version_members,
)
from batch_upload.emulator.registration_state import (
    IN_REVIEW,
    FieldValue,
    RegistrationSaved,
    StoredRegistration,
    VersionStatus,
    draft,
)
from batch_upload.emulator.registration_types import FieldDefinition, FieldKind
from batch_upload.emulator.settings import LaneSettings
from batch_upload.emulator.tags import check_tags, tag_list, tags_in

_VALUE_MEMBERS: Mapping[FieldKind, str] = {
    FieldKind.TEXT: "TextValue",
    FieldKind.SELECT: "SelectChoices",
    FieldKind.ATTACHMENT: "RegistrationAttachmentId",
}


def new_registration_id() -> str:
    """Return an id that cannot be guessed."""
    return f"{REGISTRATION_RESOURCE}-{secrets.token_hex(16)}"


def preload(context: ServiceContext, account: str, region: str, settings: LaneSettings) -> None:
    """Make the registrations of the settings that an account and Region does not have yet."""
    present = context.store.registrations.of_lane(account, region)
    for group in settings.registrations:
        for registration_id in group.ids(account, region):
            if registration_id not in present:
                add_registration(context, registration_id, account, region, group.type)


def add_registration(
    context: ServiceContext,
    registration_id: str,
    account: str,
    region: str,
    registration_type: str,
    *,
    tags: Mapping[str, str] | None = None,
    client_token: str | None = None,
) -> StoredRegistration:
    """Make a registration with an empty draft and return it. The quota is the caller's to check."""
    now = context.clock.now()
    registration = StoredRegistration(
        registration_id=registration_id,
        account=account,
        region=region,
        registration_type=registration_type,
        created_at=now,
        versions=(draft(1, now),),
        tags=tags or {},
        client_token=client_token,
    )
    context.store.record(RegistrationSaved(registration))
    return registration


def create_registration(context: ServiceContext, call: Call) -> CallResult:
    """Carry out one CreateRegistration."""
    check_tags(call.members)
    registration_type, token = call.members["RegistrationType"], call.members.get("ClientToken")
    tags = tags_in(call.members)
    definitions_of(registration_type)
    present = context.store.registrations.of_lane(call.account, call.region).values()
    earlier = next((each for each in present if token is not None and each.client_token == token), None)
    memory_s, now = call.settings.token_memory_s, context.clock.now()
    if earlier is not None and (memory_s is None or now < earlier.created_at + timedelta(seconds=memory_s)):
        if (earlier.registration_type, earlier.tags) != (registration_type, tags):
            message = "The ClientToken was used with other parameters"
            raise _conflict("RESOURCE_ALREADY_EXISTS", earlier, message)
        return CallResult({**creation_members(context, earlier), "Tags": tag_list(tags)}, is_replay=True)
    used, limit = sum(not each.is_deleted for each in present), call.settings.registrations_per_account
    if limit is not None and used >= limit:
        raise quota_exceeded("REGISTRATIONS_PER_ACCOUNT")
    registration = add_registration(
        context, new_registration_id(), call.account, call.region, registration_type, tags=tags, client_token=token
    )
    return CallResult({**creation_members(context, registration), "Tags": tag_list(tags)})


def delete_registration(context: ServiceContext, call: Call) -> Members:
    registration = _registration_to_change(context, call)
    if registration.current.status in IN_REVIEW:
        raise _conflict("RESOURCE_DELETION_NOT_ALLOWED", registration, "The registration is under review")
    deleted = replace(registration, is_deleted=True)
    context.store.record(RegistrationSaved(deleted))
    return registration_members(context, deleted)


def create_version(context: ServiceContext, call: Call) -> Members:
    """Carry out one CreateRegistrationVersion: an empty draft, where no other version is one or under review."""
    registration = _registration_to_change(context, call)
    if registration.current.status is VersionStatus.DRAFT or registration.current.status in IN_REVIEW:
        message = f"Version {registration.current.number} is {registration.current.status}"
        raise _conflict("CREATE_REGISTRATION_VERSION_NOT_ALLOWED", registration, message)
    version = draft(registration.current.number + 1, context.clock.now())
    context.store.record(RegistrationSaved(registration.with_version(version)))
    return {**registration_names(registration), **version_members(context, version)}


def submit_version(context: ServiceContext, call: Call) -> Members:
    """Carry out one SubmitRegistrationVersion. Whether the form is complete is a reviewer's to check."""
    registration = _registration_to_change(context, call)
    _check_draft(registration, "SUBMIT_REGISTRATION_VERSION_NOT_ALLOWED")
    version = registration.current.in_status(VersionStatus.SUBMITTED, context.clock.now())
    context.store.record(RegistrationSaved(registration.with_version(version)))
    is_aws_review = bool(call.members.get("AwsReview"))
    return {**registration_names(registration), **version_members(context, version), "AwsReview": is_aws_review}


def put_field_value(context: ServiceContext, call: Call) -> Members:
    """Carry out one PutRegistrationFieldValue."""
    registration = _registration_to_change(context, call)
    definition = definition_of(registration.registration_type, call.members["FieldPath"])
    value = _value_for(definition, call.members)
    _check_draft(registration, "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED")
    if value.attachment_id is not None:
        value = FieldValue(attachment_id=_usable_attachment_id(context, call, value.attachment_id))
    version = registration.current.with_value(definition.path, value)
    context.store.record(RegistrationSaved(registration.with_version(version)))
    return _field_answer(context, call, registration, definition, value)


def delete_field_value(context: ServiceContext, call: Call) -> Members:
    """Carry out one DeleteRegistrationFieldValue. A field that holds nothing stays as it is."""
    registration = _registration_to_change(context, call)
    definition = definition_of(registration.registration_type, call.members["FieldPath"])
    _check_draft(registration, "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED")
    values = dict(registration.current.values)
    value = values.pop(definition.path, FieldValue())
    version = replace(registration.current, values=values)
    context.store.record(RegistrationSaved(registration.with_version(version)))
    return _field_answer(context, call, registration, definition, value)


REGISTRATION_OPERATIONS: Mapping[str, Callable[[ServiceContext, Call], Members]] = {
    Operation.DESCRIBE_REGISTRATIONS: describe_registrations,
    Operation.DELETE_REGISTRATION: delete_registration,
    Operation.CREATE_VERSION: create_version,
    Operation.DESCRIBE_VERSIONS: describe_versions,
    Operation.SUBMIT_VERSION: submit_version,
    Operation.FIELD_DEFINITIONS: describe_field_definitions,
    Operation.FIELD_VALUES: describe_field_values,
    Operation.PUT_FIELD_VALUE: put_field_value,
    Operation.DELETE_FIELD_VALUE: delete_field_value,
}
"""All but the create, which can be a replay."""


def _registration_to_change(context: ServiceContext, call: Call) -> StoredRegistration:
    registration = find_registration(context, call, call.members["RegistrationId"])
    if registration.is_deleted:
        raise resource_not_found(registration.registration_id, REGISTRATION_RESOURCE)
    return registration


def _check_draft(registration: StoredRegistration, reason: str) -> None:
    """Raise ErrorResponse unless the current version is a draft: with `reason` once it was decided."""
    status = registration.current.status
    if status is not VersionStatus.DRAFT:
        message = f"Version {registration.current.number} is {status}"
        raise _conflict("REGISTRATION_ALREADY_SUBMITTED" if status in IN_REVIEW else reason, registration, message)


def _conflict(reason: str, registration: StoredRegistration, message: str) -> ErrorResponse:
    return conflict(reason, registration.registration_id, message, REGISTRATION_RESOURCE)


def _value_for(definition: FieldDefinition, members: Members) -> FieldValue:
    """Return the value that a call gives, if the field can hold it. Whether an attachment exists is not checked."""
    given = [name for name in _VALUE_MEMBERS.values() if members.get(name) is not None]
    if not given:
        raise validation_error("MISSING_PARAMETER", f"One of {', '.join(_VALUE_MEMBERS.values())} is required")
    if len(given) > 1:
        raise validation_error("PARAMETERS_CANNOT_BE_USED_TOGETHER", f"{' and '.join(given)} exclude each other")
    wanted, content = _VALUE_MEMBERS[definition.kind], members[given[0]]
    if given != [wanted]:
        raise invalid_fields([FieldError(given[0], f"does not fit {definition.path}, which takes {wanted}")])
    match definition.kind:
        case FieldKind.TEXT:
            value, problem = FieldValue(text=content), definition.text_error(content)
        case FieldKind.SELECT:
            value, problem = FieldValue(choices=tuple(content)), definition.choices_error(tuple(content))
        case FieldKind.ATTACHMENT:
            value, problem = FieldValue(attachment_id=content), None
    if problem is not None:
        raise invalid_fields([FieldError(wanted, problem)])
    return value


def _usable_attachment_id(context: ServiceContext, call: Call, id_or_arn: str) -> str:
    """Return the id of an attachment that a field can hold: the service has finished with it. Raises ErrorResponse."""
    attachment = context.attachment(call, id_or_arn)
    if attachment.is_deleted or context.is_hidden(attachment, call.settings.describe_lag_s):
        raise resource_not_found(id_or_arn)
    status = attachment.status(context.clock.now())
    if status is not UploadStatus.COMPLETE:
        raise conflict("RESOURCE_NOT_ACTIVE", attachment.attachment_id, f"The attachment is {status}")
    return attachment.attachment_id


def _field_answer(
    context: ServiceContext,
    call: Call,
    registration: StoredRegistration,
    definition: FieldDefinition,
    value: FieldValue,
) -> Members:
    place = {"VersionNumber": registration.current.number, "FieldPath": definition.path}
    return {**registration_names(registration), **place, **value_members(context, call, value)}
