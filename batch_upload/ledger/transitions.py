"""How an item changes: pure functions from what is known of it to what is known of it afterwards.

Each state change has one function here, and no other place changes the state of a single item. What changes many items
at once is a statement of `sets.py`.
"""

from datetime import datetime
from typing import Any

from batch_upload.model import OPEN, Attachment, AttachmentStatus, Fault, Known, Outcome, OutcomeKind, State
from batch_upload.ports import ABSENT, DELETING
from batch_upload.registration import Bind, BindState, Denial

EXISTING = frozenset({AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE})
"""Statuses of an attachment that is usable, or may become so."""

_STATUS_FAULTS = {
    AttachmentStatus.FAILED: Fault("UPLOAD_FAILED", "the service could not process the attachment"),
    AttachmentStatus.DELETED: Fault("DELETED", "the attachment was deleted at the service"),
}
_NOT_FOUND = Fault(ABSENT, "the service does not find the attachment, although it created it long ago")
_AFTER_REFUSAL = {OutcomeKind.REFUSED: State.FAILED, OutcomeKind.NO_CAPACITY: State.PARKED}
"""Where an attempt that made nothing leaves an item of which nothing else is unknown; `pending` otherwise."""
_AT_REST = frozenset({BindState.BOUND, BindState.REPLACED})
"""States of a binding in which nothing is left to do."""


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
    received: dict[str, Any] = {
        "attachment_id": attachment.attachment_id,
        "attachment_arn": attachment.attachment_arn,
        "attachment_created_at": attachment.created_at,
        "request_id": request_id or item.request_id,
    }
    if item.attachment_id != attachment.attachment_id:
        received |= {"completed_at": None, **_unbound(item)}
        item = item._replace(**received)
    return item._replace(**received | _of_status(item, attachment.status, at))


def seen(item: Known, status: AttachmentStatus, *, at: datetime) -> Known:
    """The service said this of the item's attachment. A late IN_PROGRESS takes back nothing that was complete, and a
    late UPLOAD_COMPLETE nothing that was bound or refused."""
    return item._replace(**_of_status(item, status, at))


def _of_status(item: Known, status: AttachmentStatus, at: datetime) -> dict[str, Any]:
    """What changes of an item whose attachment has this status."""
    if is_ready(item) and status in EXISTING:
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
        changes |= {"state": _state_when_ready(item), "completed_at": at}
    if fault is not None:
        changes |= _unbound(item)
    return changes


def not_found(item: Known) -> Known:
    """The service does not find the attachment. The item keeps it, in case it is found again."""
    return item._replace(state=State.FAILED, fault=_NOT_FOUND, **_unbound(item)) if item.is_live else item


def failed(item: Known, fault: Fault) -> Known:
    """Something failed here. What is open stays open, with the fault: that proves nothing about the service.

    What is `binding` keeps its attachment, as if the service had refused to bind it.
    """
    if item.state in OPEN:
        return item._replace(fault=fault)
    if item.state is State.BINDING:
        return item._replace(state=State.FAILED, fault=fault, bind_state=BindState.REFUSED)
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
        **_unbound(item),
    )


def given_away(item: Known) -> Known:
    """The attachment belongs to another token now."""
    return without_attachment(item)._replace(completed_at=None)


def retagged(item: Known, owner: Known) -> Known:
    """The attachment of `owner` carries the tags of this item, and belongs to it from now on.

    It stays in its field: if that is the one that this item is to be bound to, what is known of that goes with it.
    If another attachment was put there since, this item is to be bound anew.
    """
    heir = item._replace(
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
        **_unbound(item),
    )
    if item.bind is not None and item.bind == owner.bind and owner.bind_state is not BindState.REPLACED:
        return heir._replace(
            bind_state=owner.bind_state,
            bound_version=owner.bound_version,
            denial=owner.denial,
            fault=owner.fault if owner.bind_state is BindState.REFUSED else None,
        )
    return heir._replace(state=_state_when_ready(heir)) if is_ready(owner) else heir


def deletion_begun(item: Known, *, run_id: str, at: datetime) -> Known:
    """A request to delete the attachment is about to leave: it counts as deleted, whatever becomes of the request.

    What it is bound to is kept until then, for an attachment that turns out not to be gone.
    """
    if not item.is_live:
        return item
    fault = Fault(DELETING, f"run {run_id} asked the service to delete it, what came of that is not recorded")
    deleting = seen(item, AttachmentStatus.DELETED, at=at)._replace(fault=fault)
    # a refused binding would say that the attachment exists
    bind_state = BindState.WANTED if item.bind_state is BindState.REFUSED else item.bind_state
    return deleting._replace(bind_state=bind_state, bound_version=item.bound_version, denial=item.denial)


def deletion_ended(item: Known, *, is_gone: bool) -> Known:
    """The request to delete was answered. An attachment that is not gone is what it was before."""
    was_failed = item.attachment_status is AttachmentStatus.FAILED
    is_deleting = item.fault is not None and item.fault.code == DELETING
    if is_gone and (was_failed or is_deleting):
        deleted = AttachmentStatus.DELETED
        return item._replace(fault=_STATUS_FAULTS[deleted], attachment_status=deleted, **_unbound(item))
    if not is_deleting:
        return item
    if item.completed_at is not None:
        state = _state_when_ready(item)
        return item._replace(state=state, fault=None, attachment_status=AttachmentStatus.COMPLETE)
    return item._replace(state=State.PROCESSING, fault=None, attachment_status=AttachmentStatus.IN_PROGRESS)


def is_ready(item: Known) -> bool:
    """Return whether the service has finished with the attachment, which is there: all that may be left is binding."""
    return item.is_live and item.state is not State.PROCESSING


def is_refused(item: Known) -> bool:
    """Return whether no more than the binding failed: it can be tried again."""
    return item.state is State.FAILED and item.bind_state is BindState.REFUSED


def bind_wanted(item: Known, bind: Bind | None) -> Known:
    """The manifest says now where the attachment is to be put; None for nowhere.

    It is bound again if another attachment was put into the field since. What it is to be bound to no more is left as
    it is at the service.
    """
    if bind == item.bind and item.bind_state is not BindState.REPLACED:
        return item
    after = item._replace(
        bind=bind, bind_state=None if bind is None else BindState.WANTED, bound_version=None, denial=None
    )
    return after._replace(state=_state_when_ready(after), fault=None) if is_ready(item) else after


def bind_sent(item: Known) -> Known:
    """A request is about to leave that puts the attachment into its field."""
    return item._replace(state=State.BINDING, bind_state=BindState.SENT)


def bind_ended(item: Known, outcome: Outcome, *, version: int | None, was_sent: bool) -> Known:
    """A request to bind has ended. `was_sent`: whether an earlier one was never answered.

    What is no longer `binding` changes only if the service accepted it, and only if its attachment is still there.
    """
    if outcome.kind is OutcomeKind.ACCEPTED:
        bound = item._replace(state=State.COMPLETE, fault=None, bind_state=BindState.BOUND, bound_version=version)
        return bound if is_ready(item) else item
    if item.state is not State.BINDING:
        return item
    if outcome.kind is OutcomeKind.REFUSED:
        return item._replace(state=State.FAILED, fault=outcome.fault, bind_state=BindState.REFUSED)
    is_open = was_sent or outcome.kind is OutcomeKind.UNKNOWN
    return item._replace(fault=outcome.fault, bind_state=BindState.SENT if is_open else BindState.WANTED)


def reviewed(item: Known, denial: Denial) -> Known:
    """A review denied the registration with the attachment in its field."""
    return item if item.bind is None else item._replace(denial=denial)


def _state_when_ready(item: Known) -> State:
    """Return the state of an item whose attachment is ready."""
    return State.COMPLETE if item.bind is None or item.bind_state in _AT_REST else State.BINDING


def _unbound(item: Known) -> dict[str, Any]:
    """What changes of an item whose attachment is gone, or another one: nothing of it is in the field."""
    wanted = None if item.bind is None else BindState.WANTED
    return {"bind_state": wanted, "bound_version": None, "denial": None}
