"""The operations on attachments and accounts but listing and tags, each as a function of the context and the call.

All raise ErrorResponse; then nothing has changed.
"""

import hashlib
import json
import math
import random
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from batch_upload.emulator.context import Call, CallResult, Members, ServiceContext
from batch_upload.emulator.errors import (
    ATTACHMENT_RESOURCE,
    FieldError,
    conflict,
    invalid_fields,
    quota_exceeded,
    resource_not_found,
    validation_error,
)
from batch_upload.emulator.limits import LONGEST_PAGE
from batch_upload.emulator.listing import decode_next_token, describe, encode_next_token
from batch_upload.emulator.model import service_model
from batch_upload.emulator.names import Operation, UploadStatus
from batch_upload.emulator.organizations import (
    OrganizationListing,
    listed_accounts,
    listed_units,
    organization_for,
    page_of,
)
from batch_upload.emulator.registrations import REGISTRATION_OPERATIONS, create_registration
from batch_upload.emulator.roles import assume_role, caller_identity
from batch_upload.emulator.settings import BoundDeletion, KnownToken, LaneSettings
from batch_upload.emulator.state import Created, Forgotten, LaneAttachments, StatusSet, StoredAttachment
from batch_upload.emulator.tags import check_tags, list_tags, tag, tag_list, tags_in, untag

ATTACHMENTS_LIMIT = "REGISTRATION_ATTACHMENTS"
REGISTRATIONS_LIMIT = "REGISTRATIONS"
UNLIMITED = 2**63 - 1
"""What DescribeAccountLimits says where there is no limit: the model wants a number."""
_URL = re.compile(r"s3://[^/\s]+/\S+")


def perform(context: ServiceContext, call: Call) -> CallResult:
    """Carry out a call of an operation that is emulated."""
    if call.operation == Operation.CREATE:
        return create(context, call)
    if call.operation == Operation.CREATE_REGISTRATION:
        return create_registration(context, call)
    return CallResult(_OTHERS[call.operation](context, call))


def create(context: ServiceContext, call: Call) -> CallResult:
    """Carry out one CreateRegistrationAttachment.

    Validation comes first, then the token, then the quotas: a replay costs no quota, and an invalid request uses no
    token up.
    """
    members, settings, now = call.members, call.settings, context.clock.now()
    content_type = _check_document(members, settings.max_size_bytes)
    check_tags(members)
    lane, tags, token = context.store.lane(call.account, call.region), tags_in(members), members.get("ClientToken")
    content = content_of(members)
    digest = hashlib.sha256(content).hexdigest()
    # A replay may list the same tags in another order.
    parameters = [content_type is None, digest, sorted(tags.items())]
    fingerprint = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()
    earlier = _made_by_token(context, call, lane)
    if earlier is not None:
        _check_replay(context, call, earlier, fingerprint)
        return CallResult({**context.summary(earlier), "Tags": tag_list(tags)}, is_replay=True)
    # Deleting an attachment makes room in the account, but not in the day.
    if settings.attachments_per_day is not None and lane.created_on[now.date()] >= settings.attachments_per_day:
        raise quota_exceeded("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY")
    if settings.attachments_per_account is not None and lane.used >= settings.attachments_per_account:
        raise quota_exceeded("REGISTRATION_ATTACHMENTS_PER_ACCOUNT")
    will_fail = call.ends_as_failed or any(text.encode() in content for text in settings.fails_containing)
    attachment = StoredAttachment(
        attachment_id=new_attachment_id(),
        account=call.account,
        region=call.region,
        created_at=now,
        ready_at=_ready_at(settings, content, digest, now),
        ends_as=UploadStatus.FAILED if will_fail else UploadStatus.COMPLETE,
        fingerprint=fingerprint,
        tags=tags,
        client_token=token,
        sha256=None if content_type is None else digest,
        size_bytes=None if content_type is None else len(content),
        content_type=content_type,
        url=members.get("AttachmentUrl"),
    )
    context.store.record(Created(attachment))
    if context.settings.keeps_bodies and content_type is not None:
        context.bodies[attachment.attachment_id] = content
    return CallResult({**context.summary(attachment), "Tags": tag_list(tags)})


def _ready_at(settings: LaneSettings, content: bytes, digest: str, now: datetime) -> datetime:
    """Return when the service will have finished with a document. The same document and seed take the same time."""
    if any(text.encode() in content for text in settings.hangs_containing):
        return datetime.max.replace(tzinfo=UTC)
    chance = random.Random(f"{settings.seed} {digest}")  # noqa: S311 - a time that can be repeated, not a secret
    return now + timedelta(seconds=settings.processing_s * math.exp(chance.gauss(0, settings.processing_spread)))


def _check_document(members: Members, max_size_bytes: int) -> str | None:
    """Return the media type of a body, None for a URL. Raises ErrorResponse."""
    body: bytes | None = members.get("AttachmentBody")
    url: str | None = members.get("AttachmentUrl")
    if body is not None and url is not None:
        message = "AttachmentBody and AttachmentUrl exclude each other"
        raise validation_error("PARAMETERS_CANNOT_BE_USED_TOGETHER", message)
    if body is None:
        if url is None:
            raise validation_error("MISSING_PARAMETER", "AttachmentBody or AttachmentUrl is required")
        if not (_URL.fullmatch(url) and url.isprintable()):
            raise invalid_fields([FieldError("AttachmentUrl", "must have the form s3://BucketName/FileName")])
        return None
    if len(body) > max_size_bytes:
        raise validation_error("MAXIMUM_SIZE_EXCEEDED", f"The attachment is larger than {max_size_bytes} bytes")
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    # Readers accept up to 1,024 bytes of anything before the header of a PDF.
    if b"%PDF-" in body[: 1_024 + len(b"%PDF-")]:
        return "application/pdf"
    raise validation_error("ATTACHMENT_TYPE_NOT_SUPPORTED", "The attachment is neither PDF, PNG nor JPEG")


def _made_by_token(context: ServiceContext, call: Call, lane: LaneAttachments) -> StoredAttachment | None:
    """Return what the token of a create made, unless that is longer ago than the service remembers."""
    token: str | None = call.members.get("ClientToken")
    if token is None or token not in lane.ids_by_token:
        return None
    attachment, memory_s = context.store.get(lane.ids_by_token[token]), call.settings.token_memory_s
    return attachment if memory_s is None or attachment.is_younger(memory_s, context.clock.now()) else None


def _check_replay(context: ServiceContext, call: Call, earlier: StoredAttachment, fingerprint: str) -> None:
    """Raise ErrorResponse unless a remembered token gets its attachment."""
    settings = call.settings
    if earlier.fingerprint != fingerprint:
        for counters in context.log.counters(call.lane):
            counters.token_mismatches += 1
        is_conflict, message = settings.is_mismatch_conflict, "The ClientToken was used with other parameters"
    elif settings.known_token is KnownToken.REPLAY:
        return
    else:
        is_conflict, message = settings.known_token is KnownToken.CONFLICT, "The ClientToken was used before"
    if is_conflict:
        raise conflict("RESOURCE_ALREADY_EXISTS", earlier.attachment_id, message)
    raise validation_error("INVALID_PARAMETER", message)


def delete(context: ServiceContext, call: Call) -> Members:
    attachment = context.attachment(call, call.members["RegistrationAttachmentId"])
    attachment_id = attachment.attachment_id
    if attachment.is_deleted:
        raise resource_not_found(attachment_id)
    if call.settings.delete_bound is BoundDeletion.REFUSE:
        for registration in context.store.registrations.of_lane(call.account, call.region).values():
            if registration.holds(attachment_id):
                message = f"The attachment is used by {registration.registration_id}"
                raise conflict("RESOURCE_DELETION_NOT_ALLOWED", attachment_id, message)
    context.bodies.pop(attachment_id, None)
    keeps = call.settings.keeps_deleted
    context.store.record(StatusSet(attachment_id, UploadStatus.DELETED) if keeps else Forgotten(attachment_id))
    return {**context.summary(attachment), "AttachmentStatus": UploadStatus.DELETED.value}


def describe_limits(context: ServiceContext, call: Call) -> Members:
    settings, store = call.settings, context.store
    lane = store.lane(call.account, call.region)
    used = lane.used if settings.limits_used is None else settings.limits_used
    if settings.limits_used is None and settings.limits_lag_s:
        attachments = [store.get(attachment_id) for _, attachment_id in lane.after(None)]
        used = sum(not (one.is_deleted or context.is_hidden(one, settings.limits_lag_s)) for one in attachments)
    registrations = store.registrations.of_lane(call.account, call.region).values()
    counted = {
        ATTACHMENTS_LIMIT: (used, settings.attachments_per_account),
        REGISTRATIONS_LIMIT: (sum(not each.is_deleted for each in registrations), settings.registrations_per_account),
    }
    limits = []
    for name in service_model().account_limits():
        number, maximum = counted.get(name, (0, 5))
        limits.append({"Name": name, "Used": number, "Max": UNLIMITED if maximum is None else maximum})
    given = call.members.get("NextToken")
    start = 0 if given is None else decode_next_token("limit", given, int)
    end = start + (call.members.get("MaxResults") or LONGEST_PAGE)
    following = {"NextToken": encode_next_token("limit", end)} if end < len(limits) else {}
    return {"AccountLimits": limits[start:end], **following}


def list_organization(context: ServiceContext, call: Call) -> Members:
    """Carry out one of the listings of AWS Organizations."""
    organization = organization_for(context.settings.organization, call.account)
    name, listed = _LISTINGS[call.operation]
    owner, parent = organization.management_account or call.account, call.members.get("ParentId")
    given, kind = call.members.get("NextToken"), f"{call.operation} {parent}"
    start = None if given is None else decode_next_token(kind, given, int)
    page, following = page_of(organization, listed(organization, owner, parent), start, call.members.get("MaxResults"))
    return {name: list(page), **({} if following is None else {"NextToken": encode_next_token(kind, following)})}


def new_attachment_id() -> str:
    """Return an id that cannot be guessed."""
    return f"{ATTACHMENT_RESOURCE}-{secrets.token_hex(16)}"


def content_of(members: Members) -> bytes:
    """Return the document of a request, or else its URL, or nothing. Takes requests that do not fit, too."""
    body, url = members.get("AttachmentBody"), members.get("AttachmentUrl")
    if isinstance(body, bytes):
        return body
    return url.encode(errors="replace") if isinstance(url, str) else b""


_LISTINGS: Mapping[str, tuple[str, OrganizationListing]] = {
    Operation.ACCOUNTS: ("Accounts", listed_accounts),
    Operation.ACCOUNTS_OF_PARENT: ("Accounts", listed_accounts),
    Operation.UNITS_OF_PARENT: ("OrganizationalUnits", listed_units),
}
"""The member of the answer that holds the page, and what it is a page of."""

_OTHERS: Mapping[str, Callable[[ServiceContext, Call], Members]] = {
    Operation.DESCRIBE: describe,
    Operation.LIST_TAGS: list_tags,
    Operation.TAG: tag,
    Operation.UNTAG: untag,
    Operation.DELETE: delete,
    Operation.LIMITS: describe_limits,
    **REGISTRATION_OPERATIONS,
    Operation.CALLER_IDENTITY: caller_identity,
    Operation.ASSUME_ROLE: assume_role,
    **dict.fromkeys(_LISTINGS, list_organization),
}
