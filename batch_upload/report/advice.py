"""What to do about an item that is not simply done: one phrase for each cause. Pure."""

from collections.abc import Mapping

from batch_upload.model import Fault, State
from batch_upload.token import RETRIES_MAX

ROOM_IN_ACCOUNT = "raise the quota (Service Quotas), or delete with `prune`; then run again"
"""What to do about items that are parked because the account is full."""
AFTER_DENIAL = (
    "correct the document, make a new version of the registration (in the console, or with "
    "`aws pinpoint-sms-voice-v2 create-registration-version`), then run `upload` again"
)
"""What to do about an attachment that a reviewer denied."""
RETRIES_FIELD = "retries"
"""The field of an UPLOAD_FAILED fault that holds how many retries there were so far."""
_SAVE_AS_OURS = "save the document as PDF, PNG or JPEG, then run `upload` again"
_CORRECT_FIELDS = "correct what the service names, in the manifest or in the file, then run `upload` again"

_BY_NAME: Mapping[str, str] = {
    "MAXIMUM_SIZE_EXCEEDED": "make the file smaller (the service and `max_size` in the manifest say how small), then "
    "run `upload` again",
    "ATTACHMENT_TYPE_NOT_SUPPORTED": _SAVE_AS_OURS,
    "MEDIA_TYPE_NOT_SUPPORTED": _SAVE_AS_OURS,
    "FIELD_VALIDATION_FAILED": _CORRECT_FIELDS,
    "INVALID_PARAMETER": _CORRECT_FIELDS,
    "MISSING_PARAMETER": _CORRECT_FIELDS,
    "TAGS_PER_RESOURCE": "leave out tags: an attachment has at most 50, the identity tag counted",
    "RESOURCE_NOT_ACCESSIBLE": "let the service read what the URL names, then run `upload` again",
    "ConflictException": "another copy of this ledger has uploaded it: run `reconcile`, which takes the attachment "
    "over; raise `generation` only if `reconcile` does not find it",
    "ParamValidation": "the service does not know such a request: see its message, and look for a newer batch-upload",
    "UPLOAD_FAILED": "AWS could not process this file; run `upload` again, which tries it again, at most twice; then "
    "replace the file, or raise `generation`",
    "DELETED": "somebody deleted it at the service; raise `generation` in the manifest to upload it again",
    "NOT_FOUND": "run `upload` again, which looks for it once more and takes it over if it is there; only if it was "
    "deleted at the service, raise `generation` in the manifest to upload it again",
    "ResourceNotFoundException": "AWS does not find the attachment whose tags are to change: run `upload` again, which "
    "looks for it once more, and uploads the document again if it is gone",
    "changed_since_plan": "the file was changed while the run went on and was not sent; run `upload` again",
}
"""By the fault's reason, else by its code."""
_BIND_AGAIN = "then run `upload` again, which puts the attachment into the field without an upload"
_OF_BIND: Mapping[str, str] = {
    "UNKNOWN_REGISTRATION_FIELD": f"correct `bind` in the manifest, {_BIND_AGAIN}",
    "FIELD_VALIDATION_FAILED": f"correct what the service names in the registration or in the manifest, {_BIND_AGAIN}",
    "ResourceNotFoundException": f"correct `bind` in the manifest, or make the registration, {_BIND_AGAIN}",
}
"""The same for attachments that the service would not put into a field."""
_BIND_REFUSED = f"see the message; once the registration can be changed, {_BIND_AGAIN.removeprefix('then ')}"
_BY_STATE: Mapping[State, str] = {
    State.FAILED: "see the message; correct the cause and run `upload` again, which tries a refused item once a run",
    State.UNKNOWN: "nothing proves whether it was created, since it carries no identity tag; look at the service by "
    "hand, then run `reconcile`",
    State.PARKED: "run `upload` again once there is room: the day's quota is new at midnight UTC, the account's is "
    "raised by AWS",
    State.SENDING: "the next `upload` looks at the service for what became of it, and sends nothing twice",
    State.PENDING: "the next `upload` sends it",
    State.PROCESSING: "the next `upload` asks whether the service has finished with it",
    State.BINDING: "the next `upload` puts the attachment into the field of its registration",
    State.COMPLETE: "nothing is left to do",
    State.INVALID: "correct what the message names, in the manifest or in the file, then run `upload` again",
}


def advice(state: State, fault: Fault | None, *, is_bind: bool = False) -> str:
    """Return what a person does about an item in this state, for this reason. `is_bind`: its attachment is at the
    service, and was refused for the field of its registration."""
    if state is not State.FAILED or fault is None:
        return _BY_STATE[state]
    if fault.code == "UPLOAD_FAILED" and (retries := dict(fault.fields).get(RETRIES_FIELD)) is not None:
        count = int(retries)
        if count < RETRIES_MAX:
            return f"AWS could not process this file. The next run tries again ({count + 1} of {RETRIES_MAX})"
        return f"AWS could not process this file, after {RETRIES_MAX} retries: replace the file, or raise `generation`"
    names = (fault.reason or "", fault.code)
    if is_bind:
        return next((_OF_BIND[name] for name in names if name in _OF_BIND), _BIND_REFUSED)
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), _BY_STATE[state])
