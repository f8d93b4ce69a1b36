"""CreateRegistrationAttachment: its rules, in the order in which they are checked, and the attachment it makes."""

import hashlib
import secrets
from datetime import datetime, timedelta

from batch_upload.emulator.attachment import Attachment, Created, Status
from batch_upload.emulator.desk import Call, Desk, Done, Members, content_of, tag_list, tags_of
from batch_upload.emulator.documents import MAX_TAGS, URL_FORM, content_type_of, fingerprint, tag_misfits
from batch_upload.emulator.model import Misfit
from batch_upload.emulator.refusals import Refusal, conflict, invalid, misfitting, quota_exceeded
from batch_upload.emulator.settings import KnownToken
from batch_upload.emulator.state import Shelf


def create(desk: Desk, call: Call) -> Done:
    """Validation, then the token, then the quotas: a replay costs no quota, and an invalid request uses no token up."""
    content_type = _checked_content(call.members, desk.settings.max_size_bytes)
    check_tags(call.members)
    shelf, now, tags = desk.state.shelf(call.account, call.region), desk.clock.now(), tags_of(call.members)
    token, memory_s = call.members.get("ClientToken"), desk.settings.token_memory_s
    earlier = desk.state.of_token(shelf, token, memory_s=memory_s, now=now)
    if earlier is not None:
        return _replayed(desk, earlier, call.members)
    _check_quotas(desk, shelf, now)
    attachment = _attachment(desk, call, content_type, now)
    desk.state.record(Created(attachment))
    _keep_body(desk, attachment, call.members)
    return Done({**desk.summary(attachment), "Tags": tag_list(tags)})


def new_attachment_id() -> str:
    """An id nobody can guess."""
    return f"registration-attachment-{secrets.token_hex(16)}"


def check_tags(members: Members) -> None:
    """Raise Refusal unless the tags of a request keep the rules that the model does not hold."""
    tags = members.get("Tags") or ()
    misfits = tuple(tag_misfits([tag["Key"] for tag in tags], [tag["Value"] for tag in tags]))
    if misfits:
        raise misfitting(misfits)
    if len(tags) > MAX_TAGS:
        raise quota_exceeded("TAGS_PER_RESOURCE")


def _checked_content(members: Members, max_size_bytes: int) -> str | None:
    """The media type of a body, None for a URL."""
    body, url = members.get("AttachmentBody"), members.get("AttachmentUrl")
    if body is not None and url is not None:
        raise invalid("PARAMETERS_CANNOT_BE_USED_TOGETHER", "AttachmentBody and AttachmentUrl exclude each other")
    if body is not None:
        return _checked_body(body, max_size_bytes)
    if url is None:
        raise invalid("MISSING_PARAMETER", "AttachmentBody or AttachmentUrl is required")
    _check_url(url)
    return None


def _check_url(url: str) -> None:
    if not (URL_FORM.fullmatch(url) and url.isprintable()):
        raise misfitting([Misfit("AttachmentUrl", "must have the form s3://BucketName/FileName")])


def _checked_body(body: bytes, max_size_bytes: int) -> str:
    if len(body) > max_size_bytes:
        raise invalid("MAXIMUM_SIZE_EXCEEDED", f"The attachment is larger than {max_size_bytes} bytes")
    content_type = content_type_of(body)
    if content_type is None:
        raise invalid("ATTACHMENT_TYPE_NOT_SUPPORTED", "The attachment is neither PDF, PNG nor JPEG")
    return content_type


def _replayed(desk: Desk, earlier: Attachment, members: Members) -> Done:
    if earlier.fingerprint != _fingerprint(members):
        desk.token_mismatches += 1
        message = "The ClientToken was used with other parameters"
        raise _known_token(earlier, message, is_conflict=desk.settings.is_mismatch_conflict)
    if desk.settings.known_token is KnownToken.REPLAY:
        return Done({**desk.summary(earlier), "Tags": tag_list(tags_of(members))}, is_replay=True)
    is_conflict = desk.settings.known_token is KnownToken.CONFLICT
    raise _known_token(earlier, "The ClientToken was used before", is_conflict=is_conflict)


def _known_token(earlier: Attachment, message: str, *, is_conflict: bool) -> Refusal:
    if is_conflict:
        return conflict("RESOURCE_ALREADY_EXISTS", earlier.attachment_id, message)
    return invalid("INVALID_PARAMETER", message)


def _check_quotas(desk: Desk, shelf: Shelf, now: datetime) -> None:
    a_day, in_all = desk.settings.attachments_per_day, desk.settings.attachments_per_account
    if a_day is not None and shelf.created_on[now.date()] >= a_day:
        raise quota_exceeded("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY")
    if in_all is not None and shelf.used >= in_all:
        raise quota_exceeded("REGISTRATION_ATTACHMENTS_PER_ACCOUNT")


def _attachment(desk: Desk, call: Call, content_type: str | None, now: datetime) -> Attachment:
    body = call.members.get("AttachmentBody")
    is_doomed = call.ends_as_failed or _is_doomed(desk, call.members)
    return Attachment(
        attachment_id=new_attachment_id(),
        account=call.account,
        region=call.region,
        created_at=now,
        ready_at=now + timedelta(seconds=desk.settings.processing_s),
        ends_as=Status.FAILED if is_doomed else Status.COMPLETE,
        fingerprint=_fingerprint(call.members),
        tags=tags_of(call.members),
        client_token=call.members.get("ClientToken"),
        sha256=None if body is None else hashlib.sha256(body).hexdigest(),
        size_bytes=None if body is None else len(body),
        content_type=content_type,
        url=call.members.get("AttachmentUrl"),
    )


def _is_doomed(desk: Desk, members: Members) -> bool:
    content = content_of(members)
    return any(text.encode() in content for text in desk.settings.fails_containing)


def _fingerprint(members: Members) -> str:
    return fingerprint(content_of(members), tags_of(members), is_url=members.get("AttachmentUrl") is not None)


def _keep_body(desk: Desk, attachment: Attachment, members: Members) -> None:
    if desk.settings.keeps_bodies and attachment.sha256 is not None:
        desk.bodies[attachment.attachment_id] = members["AttachmentBody"]
