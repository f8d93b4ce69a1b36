"""CreateRegistrationAttachment: its rules, in the order in which they are checked, and the attachment it makes."""

import hashlib
import json
import re
import secrets
import unicodedata
from datetime import timedelta

from batch_upload.emulator.context import Call, CallResult, Members, ServiceContext
from batch_upload.emulator.errors import (
    ATTACHMENT_RESOURCE,
    FieldError,
    conflict,
    invalid_fields,
    quota_exceeded,
    validation_error,
)
from batch_upload.emulator.limits import MAX_TAGS
from batch_upload.emulator.names import UploadStatus
from batch_upload.emulator.settings import KnownToken
from batch_upload.emulator.state import Created, LaneAttachments, StoredAttachment

_URL = re.compile(r"s3://[^/\s]+/\S+")


def create(context: ServiceContext, call: Call) -> CallResult:
    """Carry out one CreateRegistrationAttachment.

    Validation comes first, then the token, then the quotas: a replay costs no quota, and an invalid request uses no
    token up.
    """
    members, settings, now = call.members, context.settings, context.clock.now()
    content_type = _check_document(members, settings.max_size_bytes)
    check_tags(members)
    lane, tags, token = context.store.lane(call.account, call.region), tags_of(members), members.get("ClientToken")
    content = content_of(members)
    digest = hashlib.sha256(content).hexdigest()
    parameters = [content_type is None, digest, sorted(tags.items())]
    fingerprint = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()
    earlier = _made_by_token(context, lane, token)
    if earlier is not None:
        _check_replay(context, earlier, fingerprint)
        return CallResult({**context.summary(earlier), "Tags": tag_list(tags)}, is_replay=True)
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
        ready_at=now + timedelta(seconds=settings.processing_s),
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
    if settings.keeps_bodies and content_type is not None:
        context.bodies[attachment.attachment_id] = content
    return CallResult({**context.summary(attachment), "Tags": tag_list(tags)})


def new_attachment_id() -> str:
    """Return an id that cannot be guessed."""
    return f"{ATTACHMENT_RESOURCE}-{secrets.token_hex(16)}"


def content_of(members: Members) -> bytes:
    """Return the document of a request, or else its URL, or nothing. Takes requests that do not fit, too."""
    body, url = members.get("AttachmentBody"), members.get("AttachmentUrl")
    if isinstance(body, bytes):
        return body
    return url.encode(errors="replace") if isinstance(url, str) else b""


def tags_of(members: Members) -> dict[str, str]:
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


def _made_by_token(context: ServiceContext, lane: LaneAttachments, token: str | None) -> StoredAttachment | None:
    """Return what a token made, unless that is longer ago than the service remembers."""
    if token is None or token not in lane.ids_by_token:
        return None
    attachment, memory_s = context.store.get(lane.ids_by_token[token]), context.settings.token_memory_s
    return attachment if memory_s is None or attachment.is_younger(memory_s, context.clock.now()) else None


def _check_replay(context: ServiceContext, earlier: StoredAttachment, fingerprint: str) -> None:
    """Raise ErrorResponse unless a remembered token gets its attachment."""
    settings = context.settings
    if earlier.fingerprint != fingerprint:
        context.token_mismatches += 1
        is_conflict, message = settings.is_mismatch_conflict, "The ClientToken was used with other parameters"
    elif settings.known_token is KnownToken.REPLAY:
        return
    else:
        is_conflict, message = settings.known_token is KnownToken.CONFLICT, "The ClientToken was used before"
    if is_conflict:
        raise conflict("RESOURCE_ALREADY_EXISTS", earlier.attachment_id, message)
    raise validation_error("INVALID_PARAMETER", message)
