"""The one table: what the service or the SDK says, and which of our errors it is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.errors import (
    AccessFault,
    AccountFull,
    CapacityExhausted,
    ExitCode,
    NoAnswer,
    Refused,
    ServiceError,
    Throttled,
    UnknownRefusal,
)
from batch_upload.operations import (
    CREATE,
    DELETE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    PUT_FIELD,
    REGISTRATIONS,
)
from batch_upload.service.faults import DENIED, THROTTLED, UNANSWERED, sdk_fault, skew_message

STATUSES = (200, 400, 403, 429, 500, 503)


def said(
    code: str,
    *,
    status: int = 400,
    reason: str | None = None,
    headers: Mapping[str, str] | None = None,
    operation: str = CREATE,
    **members: Any,  # noqa: ANN401
) -> sdk.ClientError:
    """An error answer as botocore hands it over."""
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "req-1", "HTTPHeaders": dict(headers or {})},
        **members,
    }
    return sdk.ClientError(response | ({"Reason": reason} if reason else {}), operation)


TABLE = [
    *((code, None, Throttled) for code in sorted(THROTTLED)),
    *((code, None, NoAnswer) for code in sorted(UNANSWERED)),
    *((code, None, AccessFault) for code in sorted(DENIED)),
    ("AccessDeniedException", "ACCOUNT_DISABLED", AccessFault),
    ("AccessDeniedException", "INSUFFICIENT_ACCOUNT_REPUTATION", AccessFault),
    ("ServiceQuotaExceededException", "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY", CapacityExhausted),
    ("ServiceQuotaExceededException", "REGISTRATION_ATTACHMENTS_PER_ACCOUNT", AccountFull),
    ("ServiceQuotaExceededException", None, AccountFull),
]
REFUSALS = [
    ("ServiceQuotaExceededException", "TAGS_PER_RESOURCE"),
    ("ValidationException", "ATTACHMENT_TYPE_NOT_SUPPORTED"),
    ("ValidationException", "MAXIMUM_SIZE_EXCEEDED"),
    ("ValidationException", "RESOURCE_NOT_ACCESSIBLE"),
    ("ConflictException", None),
    ("ResourceNotFoundException", None),
    ("413", None),
]
UNHEARD_OF = [("400", None), ("404", None), ("UnheardOfException", None), ("UnheardOfException", "NEW")]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(("code", "reason", "error"), TABLE)
def test_a_code_decides_whatever_the_status(
    code: str, reason: str | None, error: type[ServiceError], status: int
) -> None:
    assert type(sdk_fault(said(code, status=status, reason=reason))) is error


@pytest.mark.parametrize("status", [200, 400, 403, 404, 409, 413])
@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [*((*each, Refused) for each in REFUSALS), *((*each, UnknownRefusal) for each in UNHEARD_OF)],
)
def test_any_other_code_is_the_items_own_fault_and_kept_as_it_came(
    code: str, reason: str | None, kind: type[Refused], status: int
) -> None:
    fault = sdk_fault(said(code, status=status, reason=reason))

    assert type(fault) is kind
    assert (fault.code, fault.reason, fault.request_id, fault.status) == (code, reason, "req-1", status)


@pytest.mark.parametrize("status", [500, 501, 503, 599])
def test_an_unheard_of_code_of_a_server_that_failed_tells_nothing_of_what_was_done(status: int) -> None:
    assert type(sdk_fault(said("UnheardOfException", status=status))) is NoAnswer


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY", ExitCode.NO_CAPACITY),
        ("REGISTRATION_ATTACHMENTS_PER_ACCOUNT", ExitCode.ACCOUNT_FULL),
        ("SOMETHING_NEW", ExitCode.ACCOUNT_FULL),
    ],
)
def test_only_the_day_quota_ends_by_itself(reason: str, code: ExitCode) -> None:
    fault = sdk_fault(said("ServiceQuotaExceededException", reason=reason))

    assert isinstance(fault, CapacityExhausted)
    assert fault.exit_code is code


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("7", 7.0), ("0.5", 0.5), ("0", 0.0), ("soon", None), ("", None), ("-1", None), ("1e9", None), ("99999", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("nan", None)],
)  # fmt: skip
def test_retry_after_is_taken_where_it_is_a_sane_number_of_seconds(header: str, wait_s: float | None) -> None:
    fault = sdk_fault(said("ThrottlingException", headers={"retry-after": header}))

    assert isinstance(fault, Throttled)
    assert fault.retry_after_s == wait_s


def test_fields_and_the_resource_are_kept() -> None:
    fields = [{"Name": "AttachmentBody", "Message": "too large"}]
    fault = sdk_fault(said("ValidationException", Fields=fields, ResourceId="r", ResourceType="registration"))

    assert isinstance(fault, Refused)
    assert fault.fields == (("AttachmentBody", "too large"),)
    assert (fault.resource_id, fault.resource_type) == ("r", "registration")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ConflictException", "REGISTRATION_ALREADY_SUBMITTED"),
        ("ConflictException", "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"),
        ("ConflictException", "RESOURCE_NOT_ACTIVE"),
        ("ValidationException", "UNKNOWN_REGISTRATION_FIELD"),
        ("ValidationException", "UNKNOWN_REGISTRATION_TYPE"),
        ("ValidationException", "UNKNOWN_REGISTRATION_VERSION"),
        ("ValidationException", "FIELD_VALIDATION_FAILED"),
        ("ResourceNotFoundException", None),
    ],
)
@pytest.mark.parametrize("operation", [PUT_FIELD, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES])
def test_a_refusal_about_a_registration_keeps_its_reason_and_speaks_of_no_token(
    operation: str, code: str, reason: str | None
) -> None:
    fault = sdk_fault(said(code, reason=reason, operation=operation, ResourceId="registration-1"))

    assert isinstance(fault, Refused)
    assert not isinstance(fault, UnknownRefusal)
    assert (fault.code, fault.reason, fault.resource_id, fault.hint) == (code, reason, "registration-1", "")


@pytest.mark.parametrize(("operation", "speaks"), [(CREATE, True), (DELETE, False), (PUT_FIELD, False)])
def test_only_a_create_that_is_in_conflict_can_be_its_tokens_fault(operation: str, speaks: bool) -> None:  # noqa: FBT001
    assert ("token" in sdk_fault(said("ConflictException", operation=operation)).hint) is speaks


@pytest.mark.parametrize("operation", [PUT_FIELD, REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES])
def test_a_denial_names_the_permission_of_its_operation(operation: str) -> None:
    fault = sdk_fault(said("AccessDeniedException", operation=operation))

    assert isinstance(fault, AccessFault)
    assert fault.hint == f"the identity needs `sms-voice:{operation}`"


@pytest.mark.parametrize(
    "response",
    [{}, {"Error": {}}, {"Error": {"Code": None}}, {"Error": {"Code": ""}, "ResponseMetadata": {}},
     {"Error": {"Code": "X"}, "Fields": "no list", "Reason": ["no text"]},
     {"Error": {"Code": "X"}, "Fields": [1, None]}],
)  # fmt: skip
def test_an_answer_that_lacks_everything_is_still_an_error_of_ours(response: dict[str, Any]) -> None:
    assert isinstance(sdk_fault(sdk.ClientError(response, "Create")), ServiceError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sdk.NoCredentialsError(), AccessFault),
        (sdk.PartialCredentialsError(provider="env", cred_var="x"), AccessFault),
        (sdk.CredentialRetrievalError(provider="sso", error_msg="gone"), AccessFault),
        (sdk.SSOTokenLoadError(error_msg="gone"), AccessFault),
        (sdk.UnauthorizedSSOTokenError(), AccessFault),
        (sdk.TokenRetrievalError(provider="sso", error_msg="gone"), AccessFault),
        (sdk.ProfileNotFound(profile="acme"), AccessFault),
        (sdk.NoRegionError(), AccessFault),
        (sdk.ParamValidationError(report="wrong"), Refused),
        (sdk.EndpointConnectionError(endpoint_url="http://x"), NoAnswer),
        (sdk.ConnectionClosedError(endpoint_url="http://x"), NoAnswer),
        (sdk.ReadTimeoutError(endpoint_url="http://x"), NoAnswer),
        (sdk.ConnectTimeoutError(endpoint_url="http://x"), NoAnswer),
        (sdk.SSLError(endpoint_url="http://x", error="bad"), NoAnswer),
        (sdk.ProxyConnectionError(proxy_url="http://x"), NoAnswer),
        (ResponseParserError("no"), NoAnswer),
        (aiohttp.ClientPayloadError("cut"), NoAnswer),
        (TimeoutError(), NoAnswer),
        (ConnectionResetError("gone"), NoAnswer),
        (ValueError("no JSON"), NoAnswer),
    ],
)
def test_what_the_sdk_raises_by_itself_is_mapped(error: Exception, expected: type[ServiceError]) -> None:
    fault = sdk_fault(error)

    assert type(fault) is expected
    assert fault.code
    assert "\n" not in fault.message


def test_a_message_never_holds_a_whole_document() -> None:
    fault = sdk_fault(sdk.ParamValidationError(report="AttachmentBody: " + "A" * 700_000))

    assert len(fault.message) < 500


@given(st.text(max_size=30), st.integers(100, 599), st.text(max_size=30))
def test_nothing_that_a_service_can_say_is_retried_unless_it_is_known_to_pass(
    code: str, status: int, reason: str
) -> None:
    fault = sdk_fault(said(code, status=status, reason=reason))

    if isinstance(fault, Throttled):
        assert (code or str(status)) in THROTTLED
    if isinstance(fault, NoAnswer):
        assert status >= 500 or (code or str(status)) in UNANSWERED


NOW = datetime(2026, 11, 27, 3, 30, tzinfo=UTC)
EXPIRED = "Signature expired: 20261127T033000Z is now earlier than 20261127T034000Z"
EARLY = "Signature not yet current: 20261127T033000Z is still later than 20261127T032700Z"


@pytest.mark.parametrize(
    ("code", "message", "date", "told"),
    [
        ("SignatureDoesNotMatch", EXPIRED, None, "15 min behind"),
        ("InvalidSignatureException", f"{EXPIRED} (20261127T034500Z - 5 min.)", None, "15 min behind"),
        ("InvalidSignatureException", f"{EARLY} (20261127T032200Z + 5 min.)", None, "8 min ahead"),
        ("SignatureDoesNotMatch", EARLY, None, "8 min ahead"),
        ("RequestTimeTooSkewed", "no", None, "clock is wrong"),
        ("RequestExpired", "no", None, "clock is wrong"),
        ("RequestInTheFuture", "no", "Fri, 27 Nov 2026 02:30:00 GMT", "60 min ahead"),
        ("InvalidSignatureException", "no", "Fri, 27 Nov 2026 05:30:00 GMT", "120 min behind"),
        ("AccessDenied", "no", "Fri, 27 Nov 2026 03:20:00 GMT", "10 min ahead"),
    ],
)
def test_the_clock_is_told_with_how_far_it_is_off(code: str, message: str, date: str | None, told: str) -> None:
    headers = {} if date is None else {"date": date}

    assert told in (skew_message(code, message, headers, now=NOW) or "")


@pytest.mark.parametrize("date", [None, "", "soon", "Fri, 27 Nov 2026 03:31:00 GMT", "Fri, 27 Nov 2026 03:30:00"])
def test_any_other_refusal_is_not_the_clocks(date: str | None) -> None:
    headers = {} if date is None else {"date": date}

    assert skew_message("SignatureDoesNotMatch", "The request signature", headers, now=NOW) is None
