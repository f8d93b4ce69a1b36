"""One table: what the service or the SDK answers, and which of our errors that is, with what to do about it.

Sources: the `errors` of each operation in botocore's service model (1.43.117), AWS's "Common errors", and what botocore
makes of answers without `__type`: the HTTP status as a string. An answer is judged by its code and Reason. The status
only decides for an unknown code of a server's fault: then it is unknown whether the request was carried out.
"""

import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as sdk

from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    NoAnswer,
    Refused,
    ServiceError,
    Throttled,
    UnknownRefusal,
    with_causes,
)
from batch_upload.operations import CREATE, IDENTITY, TAG
from batch_upload.service.answers import UnreadableAnswer, plain_text
from batch_upload.service.http import NoUsableAnswer
from batch_upload.service.network import transport_fault
from batch_upload.shortage import are_descriptors_free, out_of_descriptors, shortage_of

THROTTLED = frozenset({
    "ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "TooManyRequests",
    "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown", "429",
})  # fmt: skip
UNANSWERED = frozenset({
    "InternalServerException", "InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable",
    "ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "408", "500", "502", "503", "504",
})  # fmt: skip
REFUSALS = frozenset(
    {"ConflictException", "ResourceNotFoundException", "ServiceQuotaExceededException", "ValidationException", "413"}
)
"""What this service answers about one item (botocore's model). Any server answers 413 to a body that is too large."""
ORGANIZATION_OPERATIONS = frozenset({"ListAccounts", "ListAccountsForParent", "ListOrganizationalUnitsForParent"})
QUOTA = "ServiceQuotaExceededException"
DAY_QUOTA = "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"
ITEM_QUOTAS = frozenset({"TAGS_PER_RESOURCE"})
SKEW_CODES = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})

_FRESH_KEYS = "sign in again (`aws sso login`, or fresh keys), then run the same command"
_UNKNOWN_KEY = "the access key is unknown to AWS: another profile (`--profile NAME`), or fresh keys"
_WRONG_SECRET = "the secret key does not belong to the access key: copy both again"  # noqa: S105 - a hint
_OTHER_DENIALS = (
    "AccessDenied", "AccessDeniedException", "AuthFailure", "IncompleteSignature", "InvalidToken",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "NotAuthorized", "UnauthorizedException",
    "401", "403",
)  # fmt: skip
DENIED: dict[str, str] = {
    "AWSOrganizationsNotInUseException": "these credentials are of an account that belongs to no organization",
    "AccountProblem": "the account itself has a problem: see its billing page, or ask AWS Support",
    "ExpiredToken": _FRESH_KEYS,
    "ExpiredTokenException": _FRESH_KEYS,
    "IDPRejectedClaim": "the identity provider refuses the token: see the role's trust policy",
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "InvalidIdentityToken": (
        "the token file holds no valid token: see the role's trust policy and the token's audience"
    ),
    "InvalidSignatureException": _WRONG_SECRET,
    "NotSignedUp": "finish the sign-up of the account in the AWS console",
    "OptInRequired": "enable the Region or the service in the account: console, Account, AWS Regions",
    "RegionDisabledException": (
        "enable the Region, or STS in it, in the account's settings (IAM, Account settings); or choose another"
    ),
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "SubscriptionRequiredException": "subscribe the account to the service: finish its sign-up in the AWS console",
    "UnknownOperationException": "is this the endpoint of AWS End User Messaging SMS, in a Region that has it?",
    "UnrecognizedClientException": "the keys or their session token are not valid: `--profile NAME`, or fresh keys",
    **dict.fromkeys((*_OTHER_DENIALS, *SKEW_CODES), ""),
}
"""The codes that refuse access, and what to do about each; empty where `_access_hint` says more."""
CONFIGURATION_ERRORS: dict[type[Exception], str] = {
    sdk.ProfileNotFound: "`aws configure list-profiles` shows which there are; `--profile NAME` chooses one",
    sdk.ConfigParseError: "mend that file: a byte order mark, or a line that is neither `[section]` nor `key = value`",
    sdk.NoRegionError: "`--region us-east-1`, or `target: {region: …}`",
    sdk.PartialCredentialsError: "give both `aws_access_key_id` and `aws_secret_access_key`",
    sdk.NoCredentialsError: "`aws configure`, `aws sso login` or `--profile NAME`",
    **dict.fromkeys(
        (sdk.CredentialRetrievalError, sdk.TokenRetrievalError, sdk.SSOError, sdk.RefreshWithMFAUnsupportedError,
         sdk.ConfigNotFound, sdk.InvalidConfigError, sdk.InvalidRegionError),
        "mend the profile in `~/.aws/config`, or choose another with `--profile NAME`",
    ),
}  # fmt: skip
"""What botocore itself raises for a configuration or credentials that will not do, and what to do about each."""

SKEW_LIMIT_S = 300.0
"""How far a clock may be off: AWS accepts signatures that are at most 5 minutes off (SigV4)."""
_SKEW_HINT = "let this machine keep time by NTP (`timedatectl set-ntp true`), then run the same command"
_SKEW_MESSAGE = re.compile(r"Signature (?:expired|not yet current)\b")
_SIGNING_TIME = re.compile(r"\d{8}T\d{6}Z")


def sdk_fault(error: Exception) -> ServiceError:
    """Return our error for an exception of the SDK or its transport. Never raises."""
    if (short := _shortage_behind(error)) is not None:
        return short
    code, text = type(error).__name__, plain_line(error)
    match error:
        case sdk.ClientError():
            return _answered(error.response, error.operation_name)
        case NoUsableAnswer():
            return NoAnswer(text, code=code, status=error.status)
        case UnreadableAnswer():
            return NoAnswer(text, code=code, request_id=error.request_id, status=error.status)
        case sdk.ParamValidationError():
            return Refused(f"the request is not one the service knows: {text}", code="ParamValidation")
        case _ if kind := next((each for each in CONFIGURATION_ERRORS if isinstance(error, each)), None):
            return AccessFault(text, code=code, hint=CONFIGURATION_ERRORS[kind])
        case sdk.HTTPClientError() | sdk.ConnectionError():
            return transport_fault(error)
        case _:
            return NoAnswer(f"no answer: {text}", code=code)


def plain_line(error: Exception) -> str:
    """Return the message of an error as one line of at most 300 characters: some quote a whole body."""
    return plain_text(error)[:300] or type(error).__name__


def _shortage_behind(error: BaseException) -> ServiceError | None:
    """Return a lack of our own resources. A failed look-up of a name may be one: glibc's getaddrinfo(3) does not say
    that it could not open a socket or its files."""
    short = shortage_of(error)
    if short is not None:
        return short
    has_no_address = any(isinstance(each, socket.gaierror) for each in with_causes(error))
    return out_of_descriptors() if has_no_address and not are_descriptors_free(1) else None


def _answered(response: Mapping[str, Any], operation: str) -> ServiceError:
    """Return our error for an error answer. Modeled members are at the top of the response, not under `Error`."""
    error, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    headers = metadata.get("HTTPHeaders")
    headers = headers if isinstance(headers, Mapping) else {}
    code = plain_text(error.get("Code") or status or "unknown")
    reason = plain_text(response["Reason"]) if isinstance(response.get("Reason"), str) else None
    message = plain_text(error.get("Message") or response.get("Message") or "no message")
    text = f"{code}{f' ({reason})' if reason else ''}: {message}"
    common: dict[str, Any] = {
        "code": code, "reason": reason, "request_id": metadata.get("RequestId"), "status": status
    }  # fmt: skip
    if code in THROTTLED:
        wait = str(headers.get("retry-after", ""))
        wait_s = float(wait) if re.fullmatch(r"\d{1,4}(\.\d{1,3})?", wait) else None
        return Throttled(text, retry_after_s=wait_s, **common)
    if code in UNANSWERED:
        return NoAnswer(text, **common)
    if code in DENIED:
        if (skewed := skew_message(code, message, headers, now=datetime.now(UTC))) is not None:
            return AccessFault(skewed, hint=_SKEW_HINT, **common)
        return AccessFault(text, hint=_access_hint(code, reason, operation), **common)
    if code == QUOTA and reason == DAY_QUOTA:
        return CapacityExhausted(text, hint="the same command goes on after the next UTC midnight", **common)
    if code == QUOTA and reason not in ITEM_QUOTAS:
        hint = (
            "ask for more `Registration attachments` in the console's Service Quotas, or delete what is no longer"
            " needed: `prune` deletes what the manifest no longer lists"
        )
        return AccountFull(text, hint=hint, **common)
    if isinstance(status, int) and status >= 500:
        return NoAnswer(text, **common)
    return _refused(response, text, common, operation)


def _refused(response: Mapping[str, Any], text: str, common: Mapping[str, Any], operation: str) -> Refused:
    """Return the error of an answer that is about one item, or has a code that is not known."""
    fields = response.get("Fields")
    pairs = [each for each in fields if isinstance(each, dict)] if isinstance(fields, list) else []
    resource_id, resource_type = (
        plain_text(response[name]) if response.get(name) else None for name in ("ResourceId", "ResourceType")
    )
    hint = ""
    if common["code"] == "ConflictException" and operation == CREATE:
        hint = f"the token may be in use by `{resource_id}`" if resource_id else "the token may be in use already"
    kind = Refused if common["code"] in REFUSALS else UnknownRefusal
    return kind(
        text,
        fields=[(plain_text(each.get("Name", "")), plain_text(each.get("Message", ""))) for each in pairs],
        resource_id=resource_id,
        resource_type=resource_type,
        hint=hint,
        **common,
    )


def _access_hint(code: str, reason: str | None, operation: str) -> str:
    """Return what to do about an answer that refuses access."""
    if DENIED[code]:
        return DENIED[code]
    if reason == "ACCOUNT_DISABLED":
        return "the account is disabled for SMS: ask AWS Support"
    if not code.startswith("AccessDenied"):
        return "other credentials are needed: `--profile NAME`, or fresh keys"
    if operation == CREATE:
        return f"the identity needs `sms-voice:{CREATE}` and `sms-voice:{TAG}`"
    if operation.startswith("AssumeRole"):
        return f"the identity needs `sts:{operation}` on the role, and the role's trust policy must name the identity"
    if operation == "GetRoleCredentials":
        return "this SSO user may not use the account and role of the profile: `sso_account_id`, `sso_role_name`"
    if operation in ORGANIZATION_OPERATIONS:
        return (
            f"the identity needs `organizations:{operation}`, in the organization's management account or in one that"
            " administers it by delegation"
        )
    service = "sts" if operation == IDENTITY else "sms-voice"
    return f"the identity needs `{service}:{operation}`"


def skew_message(code: str, message: str, headers: Mapping[str, str], *, now: datetime) -> str | None:
    """Return why a refusal is the fault of this machine's clock, in words; None if it is not.

    Judged by the code, by the text that AWS puts into SignatureDoesNotMatch and InvalidSignatureException, or by the
    `Date` of the answer.
    """
    try:
        served_at = parsedate_to_datetime(headers.get("date") or "")
        ahead_s = (now - served_at).total_seconds() if served_at.tzinfo is not None else 0.0
    except (ValueError, TypeError):
        ahead_s = 0.0
    if abs(ahead_s) <= SKEW_LIMIT_S:
        if code not in SKEW_CODES and not _SKEW_MESSAGE.search(message):
            return None
        # "Signature expired: SIGNED is now earlier than LIMIT (SERVER - 5 min.)": the parenthesis may be missing.
        found = _SIGNING_TIME.findall(message)
        times = [datetime.strptime(each, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) for each in found]
        if len(times) < 2:
            return "this machine's clock is wrong, and AWS refuses what it signs"
        ahead_s = (times[0] - times[1]).total_seconds()
        ahead_s += SKEW_LIMIT_S if ahead_s > 0 else -SKEW_LIMIT_S
        if len(times) > 2:
            ahead_s = (times[0] - times[2]).total_seconds()
    minutes = max(1, round(abs(ahead_s) / 60))
    direction = "ahead" if ahead_s > 0 else "behind"
    return f"this machine's clock is {minutes:,} min {direction}, and AWS refuses what it signs"
