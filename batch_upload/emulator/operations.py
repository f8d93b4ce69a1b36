"""The operations, each as a function of the context and the call. All raise ErrorResponse; then nothing has changed."""

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta

from batch_upload.emulator.context import Call, CallResult, Members, RoleSession, ServiceContext
from batch_upload.emulator.creation import check_tags, create, tag_list, tags_of
from batch_upload.emulator.errors import conflict, quota_exceeded, resource_not_found, validation_error
from batch_upload.emulator.limits import LONGEST_PAGE, MAX_TAGS
from batch_upload.emulator.listing import decode_next_token, describe, encode_next_token
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
    UploadStatus,
)
from batch_upload.emulator.settings import LateTags
from batch_upload.emulator.state import Forgotten, StatusSet, StoredAttachment, TagsSet

ATTACHMENTS_LIMIT = "REGISTRATION_ATTACHMENTS"
UNLIMITED = 2**63 - 1
"""What DescribeAccountLimits says where there is no limit: the model wants a number."""
ROLE_SESSION_S = 3_600
_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\w+=,.@/-]*/)?([\w+=,.@-]+)", re.ASCII)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


def perform(context: ServiceContext, call: Call) -> CallResult:
    """Carry out a call of an operation that is emulated."""
    return create(context, call) if call.operation == CREATE else CallResult(_OTHERS[call.operation](context, call))


def list_tags(context: ServiceContext, call: Call) -> Members:
    attachment = _attachment_of_arn(context, call)
    if not context.is_hidden(attachment, context.settings.tags_lag_s):
        return {"ResourceArn": attachment.arn, "Tags": tag_list(attachment.tags)}
    if context.settings.tags_lag_answer is LateTags.NOT_FOUND:
        raise resource_not_found(attachment.arn)
    return {"ResourceArn": attachment.arn, "Tags": []}


def tag(context: ServiceContext, call: Call) -> Members:
    attachment = _attachment_to_tag(context, call)
    check_tags(call.members)
    tags = {**attachment.tags, **tags_of(call.members)}
    if len(tags) > MAX_TAGS:
        raise quota_exceeded("TAGS_PER_RESOURCE")
    context.store.record(TagsSet(attachment.attachment_id, tags))
    return {}


def untag(context: ServiceContext, call: Call) -> Members:
    attachment = _attachment_to_tag(context, call)
    kept = {key: value for key, value in attachment.tags.items() if key not in call.members["TagKeys"]}
    context.store.record(TagsSet(attachment.attachment_id, kept))
    return {}


def delete(context: ServiceContext, call: Call) -> Members:
    attachment = context.attachment(call, call.members["RegistrationAttachmentId"])
    attachment_id = attachment.attachment_id
    if attachment.is_deleted:
        raise resource_not_found(attachment_id)
    context.bodies.pop(attachment_id, None)
    keeps = context.settings.keeps_deleted
    context.store.record(StatusSet(attachment_id, UploadStatus.DELETED) if keeps else Forgotten(attachment_id))
    return {**context.summary(attachment), "AttachmentStatus": UploadStatus.DELETED.value}


def describe_limits(context: ServiceContext, call: Call) -> Members:
    settings, store = context.settings, context.store
    lane = store.lane(call.account, call.region)
    used = lane.used if settings.limits_used is None else settings.limits_used
    if settings.limits_used is None and settings.limits_lag_s:
        attachments = [store.get(attachment_id) for _, attachment_id in lane.after(None)]
        used = sum(not (one.is_deleted or context.is_hidden(one, settings.limits_lag_s)) for one in attachments)
    maximum = UNLIMITED if settings.attachments_per_account is None else settings.attachments_per_account
    limits = [
        {"Name": name, "Used": used, "Max": maximum}
        if name == ATTACHMENTS_LIMIT
        else {"Name": name, "Used": 0, "Max": 5}
        for name in service_model().account_limits()
    ]
    given = call.members.get("NextToken")
    start = 0 if given is None else decode_next_token("limit", given, int)
    end = start + (call.members.get("MaxResults") or LONGEST_PAGE)
    following = {"NextToken": encode_next_token("limit", end)} if end < len(limits) else {}
    return {"AccountLimits": limits[start:end], **following}


def caller_identity(context: ServiceContext, call: Call) -> Members:
    session = context.role_sessions.get(call.access_key)
    if session is not None:
        return {"Arn": session.arn, "UserId": session.role_id, "Account": session.account}
    arn = f"arn:aws:iam::{call.account}:user/emulated"
    return {"Arn": arn, "UserId": "AIDAEMULATED00000000", "Account": call.account}


def assume_role(context: ServiceContext, call: Call) -> Members:
    """Assume any role of any account: who holds the key that is given acts in the role's account."""
    role = _ROLE_ARN.fullmatch(call.members.get("RoleArn", ""))
    name = call.members.get("RoleSessionName", "")
    if role is None or not _SESSION_NAME.fullmatch(name):
        raise validation_error("INVALID_PARAMETER", "RoleArn or RoleSessionName is missing or malformed")
    session = RoleSession(
        account=role[1],
        arn=f"arn:aws:sts::{role[1]}:assumed-role/{role[2]}/{name}",
        role_id=f"AROAEMULATED00000000:{name}",
    )
    access_key = f"ASIA{secrets.token_hex(8).upper()}"
    context.role_sessions[access_key] = session
    expires_at = context.clock.now() + timedelta(seconds=ROLE_SESSION_S)
    return {
        "AssumedRoleUser": {"AssumedRoleId": session.role_id, "Arn": session.arn},
        "Credentials": {
            "AccessKeyId": access_key,
            "SecretAccessKey": secrets.token_hex(20),
            "SessionToken": secrets.token_hex(32),
            "Expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }


def _attachment_of_arn(context: ServiceContext, call: Call) -> StoredAttachment:
    arn: str = call.members["ResourceArn"]
    attachment = context.attachment(call, arn)
    if arn != attachment.arn:
        raise resource_not_found(arn)
    return attachment


def _attachment_to_tag(context: ServiceContext, call: Call) -> StoredAttachment:
    attachment = _attachment_of_arn(context, call)
    if attachment.is_deleted:
        raise conflict("RESOURCE_MODIFICATION_NOT_ALLOWED", attachment.attachment_id, "The resource is deleted")
    return attachment


_OTHERS: Mapping[str, Callable[[ServiceContext, Call], Members]] = {
    DESCRIBE: describe,
    LIST_TAGS: list_tags,
    TAG: tag,
    UNTAG: untag,
    DELETE: delete,
    LIMITS: describe_limits,
    CALLER_IDENTITY: caller_identity,
    ASSUME_ROLE: assume_role,
}
