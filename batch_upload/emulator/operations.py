"""The operations, each as a function of the desk and the call. All raise Refusal; then nothing has changed."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from batch_upload.emulator.attachment import Attachment, Forgotten, Status, StatusSet, TagsSet
from batch_upload.emulator.creation import check_tags, create
from batch_upload.emulator.desk import Call, Desk, Done, Members, tag_list, tags_of
from batch_upload.emulator.documents import MAX_TAGS
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
from batch_upload.emulator.refusals import Refusal, conflict, invalid, not_found, quota_exceeded
from batch_upload.emulator.roles import assume_role, caller_identity
from batch_upload.emulator.state import Place

Opened = TypeVar("Opened")

ATTACHMENTS_LIMIT = "REGISTRATION_ATTACHMENTS"
LONGEST_PAGE = 100
UNLIMITED = 2**63 - 1
"""What DescribeAccountLimits says where there is no limit: the model wants a number."""


def perform(desk: Desk, call: Call) -> Done:
    """Carry out a call of an operation that is emulated."""
    if call.operation == CREATE:
        return create(desk, call)
    return Done(_OTHERS[call.operation](desk, call))


def _describe(desk: Desk, call: Call) -> Members:
    ids = call.members.get("RegistrationAttachmentIds")
    if not ids:
        return _listing(desk, call)
    if any(call.members.get(name) is not None for name in ("Filters", "NextToken", "MaxResults")):
        message = "RegistrationAttachmentIds excludes Filters, NextToken and MaxResults"
        raise invalid("PARAMETERS_CANNOT_BE_USED_TOGETHER", message)
    return {"RegistrationAttachments": [desk.information(_found(desk, call, wanted)) for wanted in ids]}


def _listing(desk: Desk, call: Call) -> Members:
    size = min(call.members.get("MaxResults") or LONGEST_PAGE, desk.settings.page_size)
    wanted, now = _wanted_statuses(call.members), desk.clock.now()
    page: list[Members] = []
    last: Place | None = None
    for place, attachment_id in desk.state.shelf(call.account, call.region).after(_start(call.members)):
        attachment = desk.state.known(attachment_id)
        if attachment.status(now) not in wanted:
            continue
        if len(page) == size and last is not None:
            return {"RegistrationAttachments": page, "NextToken": _sealed("place", [last[0].isoformat(), last[1]])}
        page.append(desk.information(attachment))
        last = place
    return {"RegistrationAttachments": page}


def _list_tags(desk: Desk, call: Call) -> Members:
    attachment = _of_arn(desk, call)
    return {"ResourceArn": attachment.arn, "Tags": tag_list(attachment.tags)}


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
    attachment = _found(desk, call, call.members["RegistrationAttachmentId"])
    if attachment.is_deleted:
        raise not_found(attachment.attachment_id)
    attachment_id = attachment.attachment_id
    desk.bodies.pop(attachment_id, None)
    keeps = desk.settings.keeps_deleted
    desk.state.record(StatusSet(attachment_id, Status.DELETED) if keeps else Forgotten(attachment_id))
    return {**desk.summary(attachment), "AttachmentStatus": Status.DELETED.value}


def _limits(desk: Desk, call: Call) -> Members:
    names = service_model().enum("AccountLimitName")
    start = 0 if call.members.get("NextToken") is None else _opened("limit", call.members["NextToken"], int)
    end = start + (call.members.get("MaxResults") or LONGEST_PAGE)
    used = desk.state.shelf(call.account, call.region).used
    limits = [_limit(desk, name, used) for name in names[start:end]]
    if end >= len(names):
        return {"AccountLimits": limits}
    return {"AccountLimits": limits, "NextToken": _sealed("limit", end)}


def _limit(desk: Desk, name: str, used: int) -> Members:
    if name != ATTACHMENTS_LIMIT:
        return {"Name": name, "Used": 0, "Max": 5}
    most = desk.settings.attachments_per_account
    return {"Name": name, "Used": used, "Max": UNLIMITED if most is None else most}


def _of_arn(desk: Desk, call: Call) -> Attachment:
    arn: str = call.members["ResourceArn"]
    attachment = _found(desk, call, arn)
    if arn != attachment.arn:
        raise not_found(arn)
    return attachment


def _modifiable(desk: Desk, call: Call) -> Attachment:
    attachment = _of_arn(desk, call)
    if attachment.is_deleted:
        raise conflict("RESOURCE_MODIFICATION_NOT_ALLOWED", attachment.attachment_id, "The resource is deleted")
    return attachment


def _found(desk: Desk, call: Call, id_or_arn: str) -> Attachment:
    attachment = desk.state.find(call.account, call.region, id_or_arn)
    if attachment is None:
        raise not_found(id_or_arn)
    return attachment


def _wanted_statuses(members: Members) -> frozenset[Status]:
    wanted = frozenset(Status)
    for status_filter in members.get("Filters") or ():
        try:
            wanted &= {Status(value) for value in status_filter["Values"]}
        except ValueError as error:
            raise invalid("INVALID_FILTER_VALUES", f"Filters: {error}") from error
    return wanted


def _start(members: Members) -> Place | None:
    token = members.get("NextToken")
    return None if token is None else _opened("place", token, lambda value: (_moment(value[0]), int(value[1])))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment


def _sealed(kind: str, value: object) -> str:
    """A NextToken: opaque to clients, who must not compute one."""
    return base64.urlsafe_b64encode(json.dumps([kind, value]).encode()).decode()


def _opened(kind: str, token: str, read: Callable[[Any], Opened]) -> Opened:
    try:
        sealed_kind, value = json.loads(base64.urlsafe_b64decode(token))
        if sealed_kind != kind:
            raise _bad_next_token()
        return read(value)
    except (binascii.Error, ValueError, TypeError, KeyError, IndexError) as error:
        raise _bad_next_token() from error


def _bad_next_token() -> Refusal:
    return invalid("INVALID_NEXT_TOKEN", "The NextToken is not one of this operation's")


_OTHERS: Mapping[str, Callable[[Desk, Call], Members]] = {
    DESCRIBE: _describe,
    LIST_TAGS: _list_tags,
    TAG: _tag,
    UNTAG: _untag,
    DELETE: _delete,
    LIMITS: _limits,
    CALLER_IDENTITY: caller_identity,
    ASSUME_ROLE: assume_role,
}
