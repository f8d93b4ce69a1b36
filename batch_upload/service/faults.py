"""One table: what the service or the SDK says, and which of our errors it is.

Sources: the `errors` of each operation in botocore's service model (1.43.117), AWS's "Common errors", and what botocore
makes of answers without `__type`: the HTTP status as a string. An answer is judged by its code and Reason; the status
only decides where the code is one that nobody has heard of and the fault is the server's: then nobody can know whether
the request was carried out.
"""

import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    NoAnswer,
    Refused,
    ServiceError,
    Throttled,
    UnknownRefusal,
)
from batch_upload.service.answers import UnreadableAnswer, plain_text
from batch_upload.service.clock_skew import HINT as SKEW_HINT
from batch_upload.service.clock_skew import skew_message
from batch_upload.service.hints import access_hint, sdk_hint
from batch_upload.service.http import NoUsableAnswer
from batch_upload.service.network import transport_fault
from batch_upload.shortage import are_descriptors_free, out_of_descriptors, shortage_of

THROTTLED = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "TooManyRequestsException",
        "TooManyRequests",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "429",
    }
)
UNANSWERED = frozenset(
    {
        "InternalServerException",
        "InternalServerError",
        "InternalFailure",
        "InternalError",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "RequestTimeoutException",
        "408",
        "500",
        "502",
        "503",
        "504",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IDPRejectedClaim",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidIdentityToken",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "NotSignedUp",
        "OptInRequired",
        "RegionDisabledException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "SubscriptionRequiredException",
        "UnauthorizedException",
        "UnknownOperationException",
        "UnrecognizedClientException",
        "401",
        "403",
    }
)
REFUSALS = frozenset(
    {"ConflictException", "ResourceNotFoundException", "ServiceQuotaExceededException", "ValidationException", "413"}
)
"""What this service says of one item (botocore's model); 413 is what any server says of a body that is too large."""
QUOTA = "ServiceQuotaExceededException"
DAY_QUOTA = "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"
ITEM_QUOTAS = frozenset({"TAGS_PER_RESOURCE"})

NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.SSOError,
    sdk.RefreshWithMFAUnsupportedError,
    sdk.ProfileNotFound,
    sdk.ConfigNotFound,
    sdk.ConfigParseError,
    sdk.InvalidConfigError,
    sdk.NoRegionError,
    sdk.InvalidRegionError,
)
NEVER_ANSWERED = (
    sdk.HTTPClientError,  # connections, proxies, TLS, read and connect time-outs
    sdk.ConnectionError,
    sdk.ResponseStreamingError,
    sdk.IncompleteReadError,
    ResponseParserError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    ValueError,  # an answer that is not what its headers say
    MemoryError,
    RuntimeError,  # no thread to be had for looking up a name
)


def fault_of(error: Exception) -> ServiceError:
    """The error of ours that an exception of the SDK or its transport means. Never raises."""
    if (short := _shortage_of(error)) is not None:
        return short
    match error:
        case sdk.ClientError():
            return _answered(error.response, error.operation_name)
        case NoUsableAnswer():
            return NoAnswer(_line(error), code=type(error).__name__, status=error.status)
        case UnreadableAnswer():
            return NoAnswer(_line(error), code=type(error).__name__, request_id=error.request_id, status=error.status)
        case sdk.ParamValidationError():
            return Refused(f"the request is not one the service knows: {_line(error)}", code="ParamValidation")
        case _ if isinstance(error, NO_CREDENTIALS):
            return AccessFault(_line(error), code=type(error).__name__, hint=sdk_hint(error))
        case sdk.HTTPClientError() | sdk.ConnectionError():
            return transport_fault(error)
        case _:
            return NoAnswer(f"no answer: {_line(error)}", code=type(error).__name__)


def _shortage_of(error: BaseException) -> ServiceError | None:
    """Our own want of resources. A name that cannot be looked up may be one: getaddrinfo(3) of glibc does not say that
    it could not open a socket or its files."""
    short = shortage_of(error)
    if short is not None:
        return short
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, socket.gaierror) and not are_descriptors_free(1):
            return out_of_descriptors()
        each = each.__cause__ or each.__context__
    return None


def _answered(response: Mapping[str, Any], operation: str) -> ServiceError:
    """The service answered with an error. Modeled members stand at the top of the response, not under `Error`."""
    said = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    code = plain_text(said.get("Code") or status or "unknown")
    reason = plain_text(response["Reason"]) if isinstance(response.get("Reason"), str) else None
    message = plain_text(said.get("Message") or response.get("Message") or "no message")
    text = f"{code}{f' ({reason})' if reason else ''}: {message}"
    request_id = metadata.get("RequestId")
    resource_id = plain_text(response["ResourceId"]) if response.get("ResourceId") else None
    if code in THROTTLED:
        wait_s = _retry_after_s(metadata)
        return Throttled(text, code=code, reason=reason, request_id=request_id, status=status, retry_after_s=wait_s)
    if code in UNANSWERED:
        return NoAnswer(text, code=code, reason=reason, request_id=request_id, status=status)
    if code in DENIED:
        skewed = skew_message(code, str(message), _headers(metadata), now=datetime.now(UTC))
        return AccessFault(
            skewed or text,
            code=code,
            reason=reason,
            request_id=request_id,
            status=status,
            hint=SKEW_HINT if skewed else access_hint(code, reason, operation),
        )
    if code == QUOTA and reason not in ITEM_QUOTAS:
        full = CapacityExhausted if reason == DAY_QUOTA else AccountFull
        return full(
            text,
            code=code,
            reason=reason,
            request_id=request_id,
            status=status,
            hint=_quota_hint(daily=reason == DAY_QUOTA),
        )
    if isinstance(status, int) and status >= 500:
        return NoAnswer(text, code=code, reason=reason, request_id=request_id, status=status)
    refused = Refused if code in REFUSALS else UnknownRefusal
    return refused(
        text,
        code=code,
        reason=reason,
        request_id=request_id,
        status=status,
        fields=_fields(response),
        resource_id=resource_id,
        hint=_refusal_hint(code, resource_id),
    )


def _headers(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    found = metadata.get("HTTPHeaders")
    return found if isinstance(found, Mapping) else {}


def _retry_after_s(metadata: Mapping[str, Any]) -> float | None:
    value = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
    return float(value) if re.fullmatch(r"\d{1,4}(\.\d{1,3})?", value) else None


def _fields(response: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = response.get("Fields")
    if not isinstance(found, list):
        return ()
    pairs = ((each.get("Name", ""), each.get("Message", "")) for each in found if isinstance(each, dict))
    return tuple((plain_text(name), plain_text(message)) for name, message in pairs)


def _quota_hint(*, daily: bool) -> str:
    if daily:
        return "the same command goes on after the next UTC midnight"
    return (
        "ask for more `Registration attachments` in the console's Service Quotas, or delete what is no longer needed:"
        " `prune` deletes what the manifest no longer lists"
    )


def _refusal_hint(code: str, resource_id: str | None) -> str:
    if code != "ConflictException":
        return ""
    return f"the token may be in use by `{resource_id}`" if resource_id else "the token may be in use already"


def _line(error: Exception) -> str:
    """An SDK message as one line, without the body that some of them quote."""
    return plain_text(error)[:300] or type(error).__name__
