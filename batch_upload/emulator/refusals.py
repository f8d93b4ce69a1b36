"""Everything the service says instead of yes: codes, reasons and members, as its model names them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batch_upload.emulator.faults import Action
from batch_upload.emulator.model import Misfit, service_model

ATTACHMENT_RESOURCE = "registration-attachment"
_UNMODELED_STATUS = {
    "UnknownOperationException": 404,
    "MissingAuthenticationTokenException": 403,
    "UnsupportedMediaTypeException": 415,
}


class Refusal(Exception):
    """An error answer. `members` stand at the top level of its body, `Message` among them."""

    def __init__(self, code: str, message: str, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.members: dict[str, Any] = {"Message": message, **(members or {})}
        self.status = _UNMODELED_STATUS.get(code) or service_model().status_of(code)


def throttled() -> Refusal:
    return Refusal("ThrottlingException", "Rate exceeded")


def invalid(reason: str, message: str, fields: Sequence[Misfit] = ()) -> Refusal:
    """A ValidationException; the model knows its reasons."""
    named = [{"Name": field.name, "Message": field.message} for field in fields]
    members: dict[str, Any] = {"Reason": reason, "Fields": named} if named else {"Reason": reason}
    return Refusal("ValidationException", message, members)


def misfitting(misfits: Sequence[Misfit]) -> Refusal:
    """The request does not fit the model, or a rule about one of its fields."""
    listed = "; ".join(f"{misfit.name or 'the request'} {misfit.message}" for misfit in misfits)
    return invalid("FIELD_VALIDATION_FAILED", f"{len(misfits)} validation error(s) detected: {listed}", misfits)


def quota_exceeded(reason: str) -> Refusal:
    return Refusal("ServiceQuotaExceededException", "The request would exceed a quota", {"Reason": reason})


def not_found(attachment_id: str) -> Refusal:
    members = {"ResourceType": ATTACHMENT_RESOURCE, "ResourceId": attachment_id}
    return Refusal("ResourceNotFoundException", "The resource was not found", members)


def conflict(reason: str, attachment_id: str, message: str) -> Refusal:
    members = {"Reason": reason, "ResourceType": ATTACHMENT_RESOURCE, "ResourceId": attachment_id}
    return Refusal("ConflictException", message, members)


def access_denied() -> Refusal:
    return Refusal("AccessDeniedException", "User is not authorized to perform this operation")


def internal_error() -> Refusal:
    return Refusal("InternalServerException", "The service failed; try again")


def unknown_operation(operation: str) -> Refusal:
    return Refusal("UnknownOperationException", f"The operation {operation!r} is not known here")


def not_json() -> Refusal:
    return Refusal("SerializationException", "The request is not a JSON object")


def no_credentials() -> Refusal:
    return Refusal("MissingAuthenticationTokenException", "The request carries no SigV4 Authorization")


REFUSING: Mapping[Action, Callable[[], Refusal]] = {
    Action.THROTTLE: throttled,
    Action.RETRY_AFTER: throttled,
    Action.INTERNAL_ERROR: internal_error,
    Action.ACCESS_DENIED: access_denied,
    Action.EXPIRED_TOKEN: lambda: Refusal(
        "ExpiredTokenException", "The security token included in the request is expired"
    ),
    Action.UNRECOGNIZED_CLIENT: lambda: Refusal(
        "UnrecognizedClientException", "The security token included in the request is invalid"
    ),
    Action.UNKNOWN_CODE: lambda: Refusal("UnheardOfException", "Nobody has ever heard of this"),
    Action.QUOTA_DAY: lambda: quota_exceeded("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"),
    Action.QUOTA_ACCOUNT: lambda: quota_exceeded("REGISTRATION_ATTACHMENTS_PER_ACCOUNT"),
    Action.VALIDATION: lambda: invalid("OTHER", "The request was found to be invalid"),
    Action.IN_USE: lambda: conflict(
        "RESOURCE_DELETION_NOT_ALLOWED", "registration-attachment", "The attachment is used by a registration"
    ),
}
"""The faults that are an error answer and nothing else."""
