"""What goes wrong: errors of the emulator itself, and the error responses of the service that it plays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ATTACHMENT_RESOURCE = "registration-attachment"
"""`ResourceType` of an attachment, and the part of its ARN and id that says so."""
REGISTRATION_RESOURCE = "registration"
"""The same for a registration."""


class EmulatorError(Exception):
    """The root of the emulator's own errors. Raised itself for a state file that cannot be written and for an answer
    of the emulator that breaks the service's model."""


class ConfigurationError(EmulatorError):
    """Settings, fault rules, an address or a state file that cannot be used. The message says which and why."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A value that breaks a rule. `name` is its path from the top: `Tags.0.Key`."""

    name: str
    message: str


class ErrorResponse(Exception):
    """An error response of the service. `members` are the top level of its body, `Message` among them."""

    def __init__(self, code: str, message: str, **members: Any) -> None:  # noqa: ANN401 - any JSON
        super().__init__(message)
        self.code = code
        self.members: dict[str, Any] = {"Message": message, **members}


def throttled() -> ErrorResponse:
    return ErrorResponse("ThrottlingException", "Rate exceeded")


def access_denied(message: str = "User is not authorized to perform this operation") -> ErrorResponse:
    return ErrorResponse("AccessDeniedException", message)


def expired_token() -> ErrorResponse:
    return ErrorResponse("ExpiredTokenException", "The security token included in the request is expired")


def unrecognized_client() -> ErrorResponse:
    return ErrorResponse("UnrecognizedClientException", "The security token included in the request is invalid")


def internal_error() -> ErrorResponse:
    return ErrorResponse("InternalServerException", "The service failed; try again")


def validation_error(reason: str, message: str) -> ErrorResponse:
    """A ValidationException; `reason` is one of the model's."""
    return ErrorResponse("ValidationException", message, Reason=reason)


def invalid_fields(errors: Sequence[FieldError]) -> ErrorResponse:
    """A ValidationException that names every field that breaks a rule."""
    listed = "; ".join(f"{error.name or 'the request'} {error.message}" for error in errors)
    response = validation_error("FIELD_VALIDATION_FAILED", f"{len(errors)} validation error(s) detected: {listed}")
    response.members["Fields"] = [{"Name": error.name, "Message": error.message} for error in errors]
    return response


def quota_exceeded(reason: str) -> ErrorResponse:
    return ErrorResponse("ServiceQuotaExceededException", "The request would exceed a quota", Reason=reason)


def resource_not_found(id_or_arn: str, resource_type: str = ATTACHMENT_RESOURCE) -> ErrorResponse:
    return ErrorResponse(
        "ResourceNotFoundException",
        "The resource was not found",
        ResourceType=resource_type,
        ResourceId=id_or_arn,
    )


def conflict(reason: str, resource_id: str, message: str, resource_type: str = ATTACHMENT_RESOURCE) -> ErrorResponse:
    return ErrorResponse(
        "ConflictException", message, Reason=reason, ResourceType=resource_type, ResourceId=resource_id
    )
