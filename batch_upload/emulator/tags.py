"""Tags of attachments and registrations: the operations on them, and those that a create brings along.

All raise ErrorResponse; then nothing has changed.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from batch_upload.emulator.context import Call, Members, ServiceContext
from batch_upload.emulator.errors import FieldError, conflict, invalid_fields, quota_exceeded, resource_not_found
from batch_upload.emulator.limits import MAX_TAGS
from batch_upload.emulator.registration_state import RegistrationSaved, StoredRegistration
from batch_upload.emulator.settings import LateTags
from batch_upload.emulator.state import Change, StoredAttachment, TagsSet


def list_tags(context: ServiceContext, call: Call) -> Members:
    registration = _registration_of_arn(context, call)
    if registration is not None:
        return {"ResourceArn": registration.arn, "Tags": tag_list(registration.tags)}
    attachment = _attachment_of_arn(context, call)
    if not context.is_hidden(attachment, call.settings.tags_lag_s):
        return {"ResourceArn": attachment.arn, "Tags": tag_list(attachment.tags)}
    if call.settings.tags_lag_answer is LateTags.NOT_FOUND:
        raise resource_not_found(attachment.arn)
    return {"ResourceArn": attachment.arn, "Tags": []}


def tag(context: ServiceContext, call: Call) -> Members:
    resource = _resource_to_tag(context, call)
    check_tags(call.members)
    tags = {**resource.tags, **tags_in(call.members)}
    if len(tags) > MAX_TAGS:
        raise quota_exceeded("TAGS_PER_RESOURCE")
    context.store.record(_tagged(resource, tags))
    return {}


def untag(context: ServiceContext, call: Call) -> Members:
    resource = _resource_to_tag(context, call)
    kept = {key: value for key, value in resource.tags.items() if key not in call.members["TagKeys"]}
    context.store.record(_tagged(resource, kept))
    return {}


def tags_in(members: Members) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in members.get("Tags") or ()}


def tag_list(tags: Members) -> list[Members]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def check_tags(members: Members) -> None:
    """Raise ErrorResponse unless the tags of a request keep the rules that the model does not hold."""
    tags = members.get("Tags") or ()
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, tag in enumerate(tags):
        if tag["Key"] in seen:
            errors.append(FieldError(f"Tags.{index}.Key", "must be unique"))
        seen.add(tag["Key"])
        if tag["Key"].lower().startswith("aws:"):
            errors.append(FieldError(f"Tags.{index}.Key", "must not begin with aws:, which is reserved"))
        for name in ("Key", "Value"):
            if not all(char in "_.:/=+-@" or unicodedata.category(char)[0] in "LZN" for char in tag[name]):
                message = "may hold letters, digits, white space and _ . : / = + - @"
                errors.append(FieldError(f"Tags.{index}.{name}", message))
    if errors:
        raise invalid_fields(errors)
    if len(tags) > MAX_TAGS:
        raise quota_exceeded("TAGS_PER_RESOURCE")


def _attachment_of_arn(context: ServiceContext, call: Call) -> StoredAttachment:
    arn: str = call.members["ResourceArn"]
    attachment = context.attachment(call, arn)
    if arn != attachment.arn:
        raise resource_not_found(arn)
    return attachment


def _registration_of_arn(context: ServiceContext, call: Call) -> StoredRegistration | None:
    """Return the registration whose ARN a call gives; None if it names none that is not deleted."""
    arn: str = call.members["ResourceArn"]
    registration = context.store.registrations.find(call.account, call.region, arn)
    return None if registration is None or registration.is_deleted or arn != registration.arn else registration


def _resource_to_tag(context: ServiceContext, call: Call) -> StoredAttachment | StoredRegistration:
    registration = _registration_of_arn(context, call)
    if registration is not None:
        return registration
    attachment = _attachment_of_arn(context, call)
    if attachment.is_deleted:
        raise conflict("RESOURCE_MODIFICATION_NOT_ALLOWED", attachment.attachment_id, "The resource is deleted")
    return attachment


def _tagged(resource: StoredAttachment | StoredRegistration, tags: Mapping[str, str]) -> Change:
    if isinstance(resource, StoredRegistration):
        return RegistrationSaved(replace(resource, tags=tags))
    return TagsSet(resource.attachment_id, tags)
