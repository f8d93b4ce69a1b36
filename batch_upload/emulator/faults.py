"""Faults as data: which requests go wrong, and how. Rules are tried in order and the first that fires decides.

A rule counts the requests that reach it and match it, those of each account and Region by themselves; a request that an
earlier rule took never reaches a later one.
So `[FaultRule(FaultAction.DROP_AFTER, times=1), FaultRule(FaultAction.THROTTLE, times=2)]` is a script: the first
request loses its answer, the next two are throttled. Requests that the rate limit refuses reach no rule.

`stall` is decided before the body of a request is read, and so before the rate and before all other rules.
"""

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from batch_upload.emulator.errors import (
    ATTACHMENT_RESOURCE,
    ConfigurationError,
    ErrorResponse,
    access_denied,
    conflict,
    expired_token,
    internal_error,
    quota_exceeded,
    throttled,
    unrecognized_client,
    validation_error,
)
from batch_upload.emulator.limits import STRICT_JSON
from batch_upload.emulator.names import EVERY_OPERATION, STS_OPERATIONS, TWELVE_DIGITS, Operation, OperationName


class FaultAction(StrEnum):
    """What goes wrong. "Done" means that the request was carried out, whatever the client sees of it."""

    THROTTLE = "throttle"
    """not done; ThrottlingException"""
    RETRY_AFTER = "retry_after"
    """not done; ThrottlingException with `Retry-After: <seconds>`, rounded up"""
    INTERNAL_ERROR = "internal_error"
    """not done; 500 InternalServerException"""
    UNAVAILABLE = "unavailable"
    """not done; 503 with a page of HTML and no code, as a load balancer answers"""
    DROP_BEFORE = "drop_before"
    """not done; the connection is closed"""
    DROP_AFTER = "drop_after"
    """done; the connection is closed without an answer"""
    DROP_LATE = "drop_late"
    """the connection is closed at once, and the request is done `seconds` later"""
    ERROR_AFTER = "error_after"
    """done; 500 InternalServerException"""
    GARBAGE = "garbage"
    """done; 200 with a body that is not JSON"""
    TRUNCATED = "truncated"
    """done; 200 with the first half of the JSON as the whole body"""
    CUT_SHORT = "cut_short"
    """done; the connection is closed in the middle of the body"""
    EMPTY_200 = "empty_200"
    """done; 200 with `{}`"""
    HANG = "hang"
    """done or not, as `done` says; no answer, and the connection is closed after `seconds` (null: never)"""
    SLOW = "slow"
    """done; the answer comes `seconds` later"""
    ACCESS_DENIED = "access_denied"
    """not done; AccessDeniedException"""
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault
    """not done; ExpiredTokenException"""
    UNRECOGNIZED_CLIENT = "unrecognized_client"
    """not done; UnrecognizedClientException"""
    UNKNOWN_CODE = "unknown_code"
    """not done; an error code that no model holds"""
    QUOTA_DAY = "quota_day"
    """not done; ServiceQuotaExceededException: the day's quota"""
    QUOTA_ACCOUNT = "quota_account"
    """not done; ServiceQuotaExceededException: the account's quota"""
    VALIDATION = "validation"
    """not done; ValidationException"""
    IN_USE = "in_use"
    """not done; ConflictException: a registration holds the attachment, so that it cannot be deleted"""
    UPLOAD_FAILED = "upload_failed"
    """done; the attachment ends as UPLOAD_FAILED. For creates only"""
    REPEAT_PAGE = "repeat_page"
    """done; a page of a listing gives the NextToken that it was asked with. For listings only"""
    REDIRECT = "redirect"
    """not done; answers with `status` (301, 302, 303, 307 or 308) and `location`, a URL"""
    RAW = "raw"
    """done; answers with `status` (default 200) and the text `body` as it is, as `content_type` (default: JSON's)"""
    TRICKLE = "trickle"
    """done; the answer comes one byte each `seconds`"""
    ENDLESS = "endless"
    """done; an answer as fast as it is read; the connection is closed after `size_bytes` (default 64 MiB)"""
    STALL = "stall"
    """not done; the body of the request is never read, and the connection is closed after `seconds` (null: never).
    The operations of STS, whose names are in the body, stall only with `*`"""


FAULT_ERRORS: Mapping[FaultAction, ErrorResponse] = {
    FaultAction.THROTTLE: throttled(),
    FaultAction.RETRY_AFTER: throttled(),
    FaultAction.INTERNAL_ERROR: internal_error(),
    FaultAction.ACCESS_DENIED: access_denied(),
    FaultAction.EXPIRED_TOKEN: expired_token(),
    FaultAction.UNRECOGNIZED_CLIENT: unrecognized_client(),
    FaultAction.UNKNOWN_CODE: ErrorResponse("UnheardOfException", "Nobody has ever heard of this"),
    FaultAction.QUOTA_DAY: quota_exceeded("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"),
    FaultAction.QUOTA_ACCOUNT: quota_exceeded("REGISTRATION_ATTACHMENTS_PER_ACCOUNT"),
    FaultAction.VALIDATION: validation_error("OTHER", "The request was found to be invalid"),
    FaultAction.IN_USE: conflict(
        "RESOURCE_DELETION_NOT_ALLOWED", ATTACHMENT_RESOURCE, "The attachment is used by a registration"
    ),
}
"""Faults that are an error response and nothing else."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
ENDLESS_BYTES = 64 * 1024 * 1024
REQUIRED_PARAMETERS: Mapping[FaultAction, frozenset[str]] = {
    FaultAction.RETRY_AFTER: frozenset({"seconds"}),
    FaultAction.DROP_LATE: frozenset({"seconds"}),
    FaultAction.SLOW: frozenset({"seconds"}),
    FaultAction.TRICKLE: frozenset({"seconds"}),
    FaultAction.REDIRECT: frozenset({"status", "location"}),
    FaultAction.RAW: frozenset({"body"}),
}
OPTIONAL_PARAMETERS: Mapping[FaultAction, frozenset[str]] = {
    FaultAction.HANG: frozenset({"seconds", "done"}),
    FaultAction.STALL: frozenset({"seconds"}),
    FaultAction.RAW: frozenset({"status", "content_type"}),
    FaultAction.ENDLESS: frozenset({"size_bytes"}),
}
_PARAMETERS = ("seconds", "done", "status", "location", "body", "content_type", "size_bytes")
_ONLY_OPERATION: Mapping[FaultAction, str] = {
    FaultAction.UPLOAD_FAILED: Operation.CREATE,
    FaultAction.REPEAT_PAGE: Operation.DESCRIBE,
}


@dataclass(frozen=True, slots=True, config=STRICT_JSON)
class FaultRule:
    """Of the requests that match, the first `after` are left alone, then at most `times` go wrong."""

    action: FaultAction
    """what goes wrong"""
    operation: OperationName = Operation.CREATE
    """the operation that goes wrong, or `*` for every one"""
    times: int | None = Field(default=None, ge=0)
    """how many requests go wrong; null: all"""
    after: int = Field(default=0, ge=0)
    """how many matching requests are left alone first"""
    lasts_s: float | None = Field(default=None, ge=0)
    """how many seconds long requests go wrong, from the first that did; null: for good"""
    share: float = Field(default=1.0, ge=0, le=1)
    """the probability that a matching request goes wrong; `seed` decides which"""
    account: str | None = Field(default=None, pattern=f"^{TWELVE_DIGITS}$")
    """only requests to this account"""
    region: str | None = None
    """only requests to this Region"""
    token: str | None = None
    """only requests with this ClientToken"""
    body_contains: str | None = None
    """only requests whose document, or whose URL, contains this text"""
    seconds: float | None = Field(default=None, ge=0)
    """how long, where the action says so"""
    done: bool = False
    """whether the request that hangs is carried out"""
    status: int | None = Field(default=None, ge=200, le=599)
    """the HTTP status of the answer"""
    location: str | None = None
    """where a redirect leads"""
    body: str | None = None
    """the text of the answer"""
    content_type: str | None = None
    """the media type of the answer"""
    size_bytes: int | None = Field(default=None, ge=1)
    """how long an endless answer is in the end"""

    def __post_init__(self) -> None:
        required = REQUIRED_PARAMETERS.get(self.action, frozenset())
        allowed = required | OPTIONAL_PARAMETERS.get(self.action, frozenset())
        given = {name for name in _PARAMETERS if getattr(self, name) is not None and getattr(self, name) is not False}
        if required - given:
            raise ValueError(f"`{self.action}` needs `{min(required - given)}`")
        if given - allowed:
            raise ValueError(f"`{self.action}` takes no `{min(given - allowed)}`")
        if self.action is FaultAction.REDIRECT and self.status not in REDIRECT_STATUSES:
            raise ValueError("`status` of `redirect` must be 301, 302, 303, 307 or 308")
        if self.operation != _ONLY_OPERATION.get(self.action, self.operation):
            raise ValueError(f"`{self.action}` is for {_ONLY_OPERATION[self.action]} only")
        if self.action is FaultAction.STALL and (self.token, self.body_contains) != (None, None):
            raise ValueError("`stall` takes no `token` and no `body_contains`: the body is not read")
        if self.action is FaultAction.STALL and self.operation in STS_OPERATIONS:
            raise ValueError(f"`stall` cannot tell {self.operation} from others: its name is in the body")

    def is_for_lane(self, account: str, region: str) -> bool:
        return self.account in (None, account) and self.region in (None, region)

    def matches(self, operation: str, token: str | None, content: bytes) -> bool:
        """Return whether the rule is about this request; `content` is the document or the URL."""
        return (
            self.operation in (EVERY_OPERATION, operation)
            and self.token in (None, token)
            and (self.body_contains is None or self.body_contains.encode() in content)
        )


class FaultScript:
    """The rules at work in one account and Region: counts what matched and what fired.

    The same seed and requests give the same faults. Times are seconds since the start of the emulator.
    """

    def __init__(self, rules: Sequence[FaultRule], *, seed: int) -> None:
        self._rules = tuple(rules)
        self._matched = [0] * len(self._rules)
        self._fired = [0] * len(self._rules)
        self._began_s: list[float | None] = [None] * len(self._rules)
        self._random = random.Random(seed)  # noqa: S311 - faults that can be repeated, not secrets

    def next(self, operation: str, token: str | None, content: bytes, *, at_s: float) -> FaultRule | None:
        """Return the rule that decides this request, or None."""
        for index, rule in enumerate(self._rules):
            is_candidate = rule.action is not FaultAction.STALL and rule.matches(operation, token, content)
            if is_candidate and self._fires(index, rule, at_s):
                return rule
        return None

    def next_stall(self, operation: str | None, *, at_s: float) -> FaultRule | None:
        """Return the `stall` rule that takes a request before its body is read, or None.

        `operation` None: its name is in the body.
        """
        for index, rule in enumerate(self._rules):
            is_candidate = rule.action is FaultAction.STALL and rule.operation in (EVERY_OPERATION, operation)
            if is_candidate and self._fires(index, rule, at_s):
                return rule
        return None

    def _fires(self, index: int, rule: FaultRule, at_s: float) -> bool:
        self._matched[index] += 1
        if self._matched[index] <= rule.after:
            return False
        if rule.times is not None and self._fired[index] >= rule.times:
            return False
        began_s = self._began_s[index]
        if began_s is not None and rule.lasts_s is not None and at_s >= began_s + rule.lasts_s:
            return False
        # The draw comes last: a rule that cannot fire must not use up the seed's sequence.
        if rule.share < 1 and self._random.random() >= rule.share:
            return False
        self._fired[index] += 1
        self._began_s[index] = at_s if began_s is None else began_s
        return True


_RULES = TypeAdapter(tuple[FaultRule, ...])


def faults_from_json(text: str | bytes) -> tuple[FaultRule, ...]:
    """Return the rules of a JSON list of objects with the fields of FaultRule. Raises ConfigurationError."""
    try:
        return _RULES.validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(f"the fault rules cannot be used: {error}") from error
