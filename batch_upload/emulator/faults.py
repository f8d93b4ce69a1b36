"""Faults as data: which requests go wrong, and how. Rules are tried in order and the first that fires decides.

A rule counts the requests that reach it and match it; a request that an earlier rule took never reaches a later one.
So `[FaultRule(Action.DROP_AFTER, times=1), FaultRule(Action.THROTTLE, times=2)]` is a script: the first request loses
its answer, the next two are throttled. Requests that the rate limit refuses reach no rule.

`stall` is decided before the body of a request is read, and so before the rate and before all other rules.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from batch_upload.emulator.names import CREATE, DESCRIBE, EVERY_OPERATION, OPERATIONS, TOKEN_SERVICE
from batch_upload.errors import UsageError


class Action(StrEnum):
    """What goes wrong."""

    THROTTLE = "throttle"
    RETRY_AFTER = "retry_after"
    """Throttled, with `Retry-After: <seconds>`."""
    INTERNAL_ERROR = "internal_error"
    """500 InternalServerException; not done."""
    UNAVAILABLE = "unavailable"
    """503 with a page of HTML and no code, as a load balancer answers; not done."""
    DROP_BEFORE = "drop_before"
    """The connection is closed; not done."""
    DROP_AFTER = "drop_after"
    """Done; the connection is closed without an answer."""
    DROP_LATE = "drop_late"
    """The connection is closed at once, and the request is done `seconds` later: it was still at work."""
    ERROR_AFTER = "error_after"
    """Done; answers 500 InternalServerException."""
    GARBAGE = "garbage"
    """Done; 200 with a body that is not JSON."""
    TRUNCATED = "truncated"
    """Done; 200 with the first half of the JSON as the whole body."""
    CUT_SHORT = "cut_short"
    """Done; the connection is closed in the middle of the body."""
    EMPTY_200 = "empty_200"
    """Done; 200 with `{}`."""
    HANG = "hang"
    """Done or not, as `done` says; no answer until `seconds` have passed (None: until the emulator stops)."""
    SLOW = "slow"
    """Done; the answer comes `seconds` later."""
    ACCESS_DENIED = "access_denied"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - the name of a fault
    UNRECOGNIZED_CLIENT = "unrecognized_client"
    UNKNOWN_CODE = "unknown_code"
    """An error code that no model holds."""
    QUOTA_DAY = "quota_day"
    QUOTA_ACCOUNT = "quota_account"
    VALIDATION = "validation"
    IN_USE = "in_use"
    """A ConflictException: a registration holds the attachment, so that it cannot be deleted."""
    UPLOAD_FAILED = "upload_failed"
    """Done; the attachment ends as UPLOAD_FAILED."""
    REPEAT_PAGE = "repeat_page"
    """Done; a page of a listing gives the NextToken that it was asked with. The first page leads to itself or to the
    second."""
    REDIRECT = "redirect"
    """Answers with `status` (301, 302, 303, 307 or 308) and `location`, a URL; not done."""
    RAW = "raw"
    """Done; answers with `status` (default 200) and the text `body` as it is, as `content_type` (default: JSON's)."""
    TRICKLE = "trickle"
    """Done; the answer comes one byte each `seconds`."""
    ENDLESS = "endless"
    """Done; an answer without end, as fast as it is read, until `size_bytes` (default 64 MiB) were sent; then the
    connection is closed."""
    STALL = "stall"
    """The body of the request is never read; after `seconds` (None: when the emulator stops) the connection is closed.
    Not done. The operations of the token service, whose names are in the body, stall only with `*`."""


REDIRECTS = frozenset({301, 302, 303, 307, 308})
ENDLESS_BYTES = 64 * 1024 * 1024
_NEEDS: Mapping[str, frozenset[Action]] = {
    "seconds": frozenset({Action.RETRY_AFTER, Action.DROP_LATE, Action.SLOW, Action.TRICKLE}),
    "status": frozenset({Action.REDIRECT}),
    "location": frozenset({Action.REDIRECT}),
    "body": frozenset({Action.RAW}),
}
_MAY_HAVE: Mapping[str, frozenset[Action]] = {
    "seconds": frozenset({Action.HANG, Action.STALL}),
    "status": frozenset({Action.RAW}),
    "content_type": frozenset({Action.RAW}),
    "size_bytes": frozenset({Action.ENDLESS}),
}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """Of the requests that match, the first `after` are left alone, then at most `times` go wrong (None: all), each
    with the probability `share`. `token` and `body_contains` match the ClientToken, and the document or its URL."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    action: Action
    operation: str = CREATE
    times: int | None = None
    after: int = 0
    share: float = 1.0
    token: str | None = None
    body_contains: str | None = None
    seconds: float | None = None
    done: bool = False
    status: int | None = None
    location: str | None = None
    body: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS | {EVERY_OPERATION}:
            raise ValueError(f"`{self.operation}` is not an operation that is emulated")
        if self.after < 0 or (self.times is not None and self.times < 0):
            raise ValueError("`after` and `times` must not be negative")
        if not 0 <= self.share <= 1:
            raise ValueError("`share` must be from 0 to 1")
        self._check_parameters()
        if self.done and self.action is not Action.HANG:
            raise ValueError("`done` is for `hang` only")
        if self.action is Action.UPLOAD_FAILED and self.operation != CREATE:
            raise ValueError(f"`upload_failed` is for {CREATE} only")
        if self.action is Action.REPEAT_PAGE and self.operation != DESCRIBE:
            raise ValueError(f"`repeat_page` is for {DESCRIBE} only")
        if self.action is Action.STALL and (self.token, self.body_contains) != (None, None):
            raise ValueError("`stall` takes no `token` and no `body_contains`: the body is not read")
        if self.action is Action.STALL and self.operation in TOKEN_SERVICE:
            raise ValueError(f"`stall` cannot tell {self.operation} from others: its name is in the body")

    def _check_parameters(self) -> None:
        for name in ("seconds", "status", "location", "body", "content_type", "size_bytes"):
            given, needed = getattr(self, name) is not None, self.action in _NEEDS.get(name, ())
            if needed and not given:
                raise ValueError(f"`{self.action}` needs `{name}`")
            if given and not needed and self.action not in _MAY_HAVE.get(name, ()):
                raise ValueError(f"`{self.action}` takes no `{name}`")
        if self.seconds is not None and self.seconds < 0:
            raise ValueError("`seconds` must not be negative")
        if self.action is Action.REDIRECT and self.status not in REDIRECTS:
            raise ValueError("`status` of `redirect` must be 301, 302, 303, 307 or 308")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("`status` must be from 200 to 599")
        if self.size_bytes is not None and self.size_bytes < 1:
            raise ValueError("`size_bytes` must be positive")

    def matches(self, operation: str, token: str | None, content: bytes) -> bool:
        """Whether the rule is about this request; `content` is the document or the URL."""
        if self.operation not in (EVERY_OPERATION, operation):
            return False
        if self.token is not None and self.token != token:
            return False
        return self.body_contains is None or self.body_contains.encode() in content


class FaultScript:
    """The rules at work: counts what matched and what fired. The same seed and requests give the same faults."""

    def __init__(self, rules: Sequence[FaultRule], *, seed: int) -> None:
        self._rules = tuple(rules)
        self._matched = [0] * len(self._rules)
        self._fired = [0] * len(self._rules)
        self._random = random.Random(seed)  # noqa: S311 - faults that can be repeated, not secrets

    def next(self, operation: str, token: str | None, content: bytes) -> FaultRule | None:
        """The rule that decides this request, or None where it goes as it should."""
        for index, rule in enumerate(self._rules):
            if rule.action is Action.STALL:
                continue
            if rule.matches(operation, token, content) and self._fires(index, rule):
                return rule
        return None

    def next_stall(self, operation: str | None) -> FaultRule | None:
        """The `stall` that takes a request whose body was not read; `operation` None: it is named in the body."""
        for index, rule in enumerate(self._rules):
            if rule.action is not Action.STALL or rule.operation not in (EVERY_OPERATION, operation):
                continue
            if self._fires(index, rule):
                return rule
        return None

    def _fires(self, index: int, rule: FaultRule) -> bool:
        self._matched[index] += 1
        if self._matched[index] <= rule.after:
            return False
        if rule.times is not None and self._fired[index] >= rule.times:
            return False
        if rule.share < 1 and self._random.random() >= rule.share:
            return False
        self._fired[index] += 1
        return True


_RULES = TypeAdapter(tuple[FaultRule, ...])


def faults_from_json(text: str | bytes) -> tuple[FaultRule, ...]:
    """Rules from a JSON list of objects with the fields of FaultRule. Raises UsageError, which names what is wrong."""
    try:
        return _RULES.validate_json(text)
    except ValidationError as error:
        raise UsageError(f"the fault rules cannot be used: {error}") from error
