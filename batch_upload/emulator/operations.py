"""The operations, each as a function of the desk and the call. All raise Refusal; then nothing has changed."""

from collections.abc import Callable, Mapping

from batch_upload.emulator.attachment import Attachment, Forgotten, Status, StatusSet, TagsSet
from batch_upload.emulator.creation import check_tags, create
from batch_upload.emulator.desk import Call, Desk, Done, Members, tag_list, tags_of
from batch_upload.emulator.documents import MAX_TAGS
from batch_upload.emulator.listing import LONGEST_PAGE, describe, found, is_younger, opened, sealed
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import (
    ASSUME_ROLE,
    CALLER_IDENTITY,
    CREATE,
    DELETE,
    DESCRIBE,
    LIMITS,
    LIST_TAGS,
    TAG,
    UNTAG,
)
from batch_upload.emulator.refusals import conflict, not_found, quota_exceeded
from batch_upload.emulator.roles import assume_role, caller_identity
from batch_upload.emulator.settings import LateTags

ATTACHMENTS_LIMIT = "REGISTRATION_ATTACHMENTS"
UNLIMITED = 2**63 - 1
"""What DescribeAccountLimits says where there is no limit: the model wants a number."""


def perform(desk: Desk, call: Call) -> Done:
    """Carry out a call of an operation that is emulated."""
    if call.operation == CREATE:
        return create(desk, call)
    return Done(_OTHERS[call.operation](desk, call))


def _list_tags(desk: Desk, call: Call) -> Members:
    attachment, settings = _of_arn(desk, call), desk.settings
    if not (settings.tags_lag_s and is_younger(desk, attachment, settings.tags_lag_s)):
        return {"ResourceArn": attachment.arn, "Tags": tag_list(attachment.tags)}
    if settings.tags_lag_answer is LateTags.NOT_FOUND:
        raise not_found(attachment.arn)
    return {"ResourceArn": attachment.arn, "Tags": []}


def _tag(desk: Desk, call: Call) -> Members:
    attachment = _modifiable(desk, call)
    check_tags(call.members)
    tags = {**attachment.tags, **tags_of(call.members)}
    if len(tags) > MAX_TAGS:
        raise quota_exceeded("TAGS_PER_RESOURCE")
    desk.state.record(TagsSet(attachment.attachment_id, tags))
    return {}


def _untag(desk: Desk, call: Call) -> Members:
    attachment = _modifiable(desk, call)
    gone = frozenset(call.members["TagKeys"])
    kept = {key: value for key, value in attachment.tags.items() if key not in gone}
    desk.state.record(TagsSet(attachment.attachment_id, kept))
    return {}


def _delete(desk: Desk, call: Call) -> Members:
    attachment = found(desk, call, call.members["RegistrationAttachmentId"])
    if attachment.is_deleted:
        raise not_found(attachment.attachment_id)
    attachment_id = attachment.attachment_id
    desk.bodies.pop(attachment_id, None)
    keeps = desk.settings.keeps_deleted
    desk.state.record(StatusSet(attachment_id, Status.DELETED) if keeps else Forgotten(attachment_id))
    return {**desk.summary(attachment), "AttachmentStatus": Status.DELETED.value}


def _limits(desk: Desk, call: Call) -> Members:
    names = service_model().enum("AccountLimitName")
    start = 0 if call.members.get("NextToken") is None else opened("limit", call.members["NextToken"], int)
    end = start + (call.members.get("MaxResults") or LONGEST_PAGE)
    used = _used(desk, call)
    limits = [_limit(desk, name, used) for name in names[start:end]]
    if end >= len(names):
        return {"AccountLimits": limits}
    return {"AccountLimits": limits, "NextToken": sealed("limit", end)}


def _used(desk: Desk, call: Call) -> int:
    """How many attachments the limits count: late, or a fixed number, where the settings say so."""
    settings, shelf = desk.settings, desk.state.shelf(call.account, call.region)
    if settings.limits_used is not None:
        return settings.limits_used
    if not settings.limits_lag_s:
        return shelf.used
    held = (desk.state.known(attachment_id) for _, attachment_id in shelf.after(None))
    return sum(not each.is_deleted and not is_younger(desk, each, settings.limits_lag_s) for each in held)


def _limit(desk: Desk, name: str, used: int) -> Members:
    if name != ATTACHMENTS_LIMIT:
        return {"Name": name, "Used": 0, "Max": 5}
    most = desk.settings.attachments_per_account
    return {"Name": name, "Used": used, "Max": UNLIMITED if most is None else most}


def _of_arn(desk: Desk, call: Call) -> Attachment:
    arn: str = call.members["ResourceArn"]
    attachment = found(desk, call, arn)
    if arn != attachment.arn:
        raise not_found(arn)
    return attachment


def _modifiable(desk: Desk, call: Call) -> Attachment:
    attachment = _of_arn(desk, call)
    if attachment.is_deleted:
        raise conflict("RESOURCE_MODIFICATION_NOT_ALLOWED", attachment.attachment_id, "The resource is deleted")
    return attachment


_OTHERS: Mapping[str, Callable[[Desk, Call], Members]] = {
    DESCRIBE: describe,
    LIST_TAGS: _list_tags,
    TAG: _tag,
    UNTAG: _untag,
    DELETE: _delete,
    LIMITS: _limits,
    CALLER_IDENTITY: caller_identity,
    ASSUME_ROLE: assume_role,
}
