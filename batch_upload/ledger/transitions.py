"""How an item changes: pure functions from what is known of it to what is known of it afterwards.

Each state change has one function here, and no other place changes the state of a single item. What changes many items
at once is a statement of `sets.py`.
"""

from datetime import datetime
from typing import Any

from batch_upload.model import LIVE, OPEN, Attachment, AttachmentStatus, Fault, Known, Outcome, OutcomeKind, State
from batch_upload.ports import ABSENT, DELETING

EXISTING = frozenset({AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE})
"""Statuses of an attachment that is usable, or may become so."""

_STATUS_FAULTS = {
    AttachmentStatus.FAILED: Fault("UPLOAD_FAILED", "the service could not process the attachment"),
    AttachmentStatus.DELETED: Fault("DELETED", "the attachment was deleted at the service"),
}
_NOT_FOUND = Fault(ABSENT, "the service does not find the attachment, although it created it long ago")
_AFTER_REFUSAL = {OutcomeKind.REFUSED: State.FAILED, OutcomeKind.NO_CAPACITY: State.PARKED}
"""Where an attempt that made nothing leaves an item of which nothing else is unknown; `pending` otherwise."""


def sent(item: Known, *, at: datetime) -> Known:
    """A request is about to leave."""
    return item._replace(
        state=State.SENDING,
        attempts=item.attempts + 1,
        first_sent_at=item.first_sent_at or at,
        unknown_since=item.unknown_since or at,
        last_open_at=at,
        resume_after=None,
    )


def withdrawn(item: Known) -> Known:
    """An attempt was not sent after all, and does not count. It was the first only if there is no other."""
    first_sent_at = item.first_sent_at if item.attempts > 1 else None
    return item._replace(attempts=item.attempts - 1, first_sent_at=first_sent_at)


def unanswered(
    item: Known, outcome: Outcome, *, unknown_before: datetime | None, last_open_before: datetime | None
) -> Known:
    """An attempt has made nothing, or its outcome is unknown. The two times are the item's from before the attempt.

    An item that is no longer `sending` was found meanwhile: nothing of that is taken back.
    """
    request_id = outcome.request_id or item.request_id
    if item.state is not State.SENDING:
        return item._replace(request_id=request_id)
    if outcome.kind is OutcomeKind.UNKNOWN:
        return item._replace(request_id=request_id, fault=outcome.fault)
    state = State.SENDING if unknown_before else _AFTER_REFUSAL.get(outcome.kind, State.PENDING)
    return item._replace(
        state=state,
        fault=outcome.fault,
        request_id=request_id,
        unknown_since=unknown_before,
        last_open_at=last_open_before,
        resume_after=outcome.resume_after if state is State.PARKED else item.resume_after,
    )


def made(item: Known, attachment: Attachment, *, request_id: str | None = None, at: datetime) -> Known:
    """The item's token made this attachment; nothing is unknown of it any more. Another that it had came to nothing."""
    bound: dict[str, Any] = {
        "attachment_id": attachment.attachment_id,
        "attachment_arn": attachment.attachment_arn,
        "attachment_created_at": attachment.created_at,
        "request_id": request_id or item.request_id,
    }
    if item.attachment_id != attachment.attachment_id:
        bound["completed_at"] = None
    return item._replace(**bound | _of_status(item, attachment.status, at))


def seen(item: Known, status: AttachmentStatus, *, at: datetime) -> Known:
    """The service said this of the item's attachment. A late IN_PROGRESS takes back nothing that was complete."""
    return item._replace(**_of_status(item, status, at))


def _of_status(item: Known, status: AttachmentStatus, at: datetime) -> dict[str, Any]:
    """What changes of an item whose attachment has this status."""
    if item.state is State.COMPLETE and status in EXISTING:
        return {"attachment_status": AttachmentStatus.COMPLETE}
    fault = _STATUS_FAULTS.get(status)
    changes: dict[str, Any] = {
        "state": State.FAILED if fault else State.PROCESSING,
        "attachment_status": status,
        "fault": fault,
        "unknown_since": None,
        "last_open_at": None,
        "resume_after": None,
    }
    if status is AttachmentStatus.COMPLETE:
        changes |= {"state": State.COMPLETE, "completed_at": at}
    return changes


def not_found(item: Known) -> Known:
    """The service does not find the attachment. The item keeps it, in case it is found again."""
    return item._replace(state=State.FAILED, fault=_NOT_FOUND) if item.state in LIVE else item


def failed(item: Known, fault: Fault) -> Known:
    """Something failed here. What is open stays open, with the fault: that proves nothing about the service."""
    if item.state in OPEN:
        return item._replace(fault=fault)
    return item._replace(state=State.FAILED, fault=fault, resume_after=None)


def without_attachment(item: Known) -> Known:
    """The attachment came to nothing."""
    return item._replace(
        state=State.PENDING,
        attachment_id=None,
        attachment_arn=None,
        attachment_status=None,
        attachment_created_at=None,
        fault=None,
        resume_after=None,
    )


def given_away(item: Known) -> Known:
    """The attachment belongs to another token now."""
    return without_attachment(item)._replace(completed_at=None)


def retagged(item: Known, owner: Known) -> Known:
    """The attachment of `owner` carries the tags of this item, and belongs to it from now on."""
    return item._replace(
        state=owner.state,
        attachment_id=owner.attachment_id,
        attachment_arn=owner.attachment_arn,
        attachment_status=owner.attachment_status,
        attachment_created_at=owner.attachment_created_at,
        completed_at=owner.completed_at,
        fault=None,
        unknown_since=None,
        last_open_at=None,
        resume_after=None,
    )


def deletion_begun(item: Known, *, run_id: str, at: datetime) -> Known:
    """A request to delete the attachment is about to leave: it counts as deleted, whatever becomes of the request."""
    if item.state not in LIVE:
        return item
    fault = Fault(DELETING, f"run {run_id} asked the service to delete it, what came of that is not recorded")
    return seen(item, AttachmentStatus.DELETED, at=at)._replace(fault=fault)


def deletion_ended(item: Known, *, is_gone: bool) -> Known:
    """The request to delete was answered. An attachment that is not gone is what it was before."""
    was_failed = item.attachment_status is AttachmentStatus.FAILED
    is_deleting = item.fault is not None and item.fault.code == DELETING
    if is_gone and (was_failed or is_deleting):
        deleted = AttachmentStatus.DELETED
        return item._replace(fault=_STATUS_FAULTS[deleted], attachment_status=deleted)
    if not is_deleting:
        return item
    if item.completed_at is not None:
        return item._replace(state=State.COMPLETE, fault=None, attachment_status=AttachmentStatus.COMPLETE)
    return item._replace(state=State.PROCESSING, fault=None, attachment_status=AttachmentStatus.IN_PROGRESS)
