"""What the emulator is told to be: rates, quotas, delays and faults, as one frozen value."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.limits import Rate
from batch_upload.emulator.names import (
    ASSUME_ROLE,
    CALLER_IDENTITY,
    CREATE,
    DELETE,
    DESCRIBE,
    EVERY_OPERATION,
    LIMITS,
    LIST_TAGS,
    OPERATIONS,
    TAG,
    UNTAG,
)
from batch_upload.errors import UsageError

DEFAULT_RATES: Mapping[str, Rate] = {
    CREATE: Rate(1),
    DESCRIBE: Rate(1),
    LIST_TAGS: Rate(10),
    TAG: Rate(1),
    UNTAG: Rate(1),
    DELETE: Rate(1),
    LIMITS: Rate(1),
    CALLER_IDENTITY: Rate(100),
    ASSUME_ROLE: Rate(100),
}
"""The defaults of an account and Region, as AWS documents them. No burst is documented: 1."""
MAX_SIZE_BYTES = 5 * 1024 * 1024


class LateTags(StrEnum):
    """What ListTagsForResource answers for an attachment whose tags cannot be read yet."""

    EMPTY = "empty"
    NOT_FOUND = "not_found"


class Paging(StrEnum):
    """What a NextToken stands for: the place of the last attachment, or how many attachments came before it. Pages by
    `offset` shift when attachments come or go between two of them."""

    PLACE = "place"
    OFFSET = "offset"


class KnownToken(StrEnum):
    """What a create gets whose token is remembered, with the same parameters: the attachment, or an error."""

    REPLAY = "replay"
    CONFLICT = "conflict"
    VALIDATION = "validation"


def _rate_in_full(value: object) -> object:
    return {"per_second": value} if isinstance(value, int | float) else value


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """An account as AWS opens it, unless told otherwise. Durations are in seconds, sizes in bytes.

    `rates`: by operation, or `*` for the others; in JSON a number stands for a bucket with burst 1, null for no limit.
    `accounts`: access key id → account, for callers other than `account`. `deny`: operations without permission, `*`
    for all; a create with tags needs the permission of TagResource, too. `fails_containing`: documents or URLs with
    one of these texts end as UPLOAD_FAILED. `token_memory_s`: a token is forgotten that long after its attachment was
    created; None keeps it for good. `is_mismatch_conflict`: whether a token with other parameters is a
    ConflictException, or else a ValidationException. `keeps_deleted`: whether what was deleted is still described, as
    DELETED. `page_size`: the longest page of a listing, whatever is asked for. `clock_ahead_s`: how far the clock of
    its answers (`Date`, times of creation) is ahead of the clock here. `seed`: of the faults' chances.

    How a service lags: an attachment appears in listings only `listing_lag_s` after its creation, is described by its
    id only after `describe_lag_s`, and its tags are readable only after `tags_lag_s`; until then ListTagsForResource
    answers `tags_lag_answer`. The limits count what was created at least `limits_lag_s` ago; `limits_used`: they say
    this number instead. `next_token_life_s`: an older NextToken is refused; None keeps it for good.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    account: str = "123456789012"
    accounts: Mapping[str, str] = field(default_factory=dict)
    rates: Mapping[str, Annotated[Rate | None, BeforeValidator(_rate_in_full)]] = field(default_factory=dict)
    attachments_per_account: int | None = 25
    attachments_per_day: int | None = None
    max_size_bytes: int = MAX_SIZE_BYTES
    processing_s: float = 0.3
    latency_s: float = 0.0
    clock_ahead_s: float = 0.0
    fails_containing: tuple[str, ...] = ()
    token_memory_s: float | None = None
    is_mismatch_conflict: bool = True
    keeps_deleted: bool = True
    keeps_bodies: bool = False
    page_size: int = 100
    listing_lag_s: float = 0.0
    describe_lag_s: float = 0.0
    tags_lag_s: float = 0.0
    tags_lag_answer: LateTags = LateTags.EMPTY
    limits_lag_s: float = 0.0
    limits_used: int | None = None
    paging: Paging = Paging.PLACE
    next_token_life_s: float | None = None
    known_token: KnownToken = KnownToken.REPLAY
    deny: frozenset[str] = frozenset()
    faults: tuple[FaultRule, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        _check_operations("rates", self.rates)
        _check_operations("deny", self.deny)
        accounts = (self.account, *self.accounts.values())
        if not all(len(account) == 12 and account.isdecimal() for account in accounts):
            raise ValueError("an account has 12 digits")
        if not 1 <= self.page_size <= 100:
            raise ValueError("`page_size` must be from 1 to 100")
        durations_s = (self.processing_s, self.latency_s, self.token_memory_s or 0.0, self.next_token_life_s or 0.0)
        lags_s = (self.listing_lag_s, self.describe_lag_s, self.tags_lag_s, self.limits_lag_s)
        if min(*durations_s, *lags_s) < 0:
            raise ValueError("durations must not be negative")

    @classmethod
    def from_json(cls, text: str | bytes) -> "EmulatorSettings":
        """Settings from a JSON object with these fields, all optional. Raises UsageError, which names the fault."""
        try:
            return _SETTINGS.validate_json(text)
        except ValidationError as error:
            raise UsageError(f"the emulator's settings cannot be used: {error}") from error

    @classmethod
    def given(cls, argument: str | None) -> "EmulatorSettings":
        """Settings as a command takes them: JSON that begins with a brace, a file's name, or None for the defaults.

        Raises UsageError.
        """
        if argument is None:
            return cls()
        if argument.lstrip().startswith("{"):
            return cls.from_json(argument)
        try:
            return cls.from_json(Path(argument).read_bytes())
        except OSError as error:
            raise UsageError(f"the settings `{argument}` cannot be read: {error.strerror}") from error

    def changed(self, text: str | bytes) -> "EmulatorSettings":
        """These settings with those of a JSON object laid over them; `rates` are laid over each by itself."""
        try:
            changes = json.loads(text)
        except ValueError as error:
            raise UsageError(f"the emulator's settings cannot be used: {error}") from error
        if not isinstance(changes, dict):
            raise UsageError("the emulator's settings must be a JSON object")
        return EmulatorSettings.from_json(json.dumps(_laid_over(self.to_json(), changes)))

    def to_json(self) -> dict[str, Any]:
        """These settings as `from_json` reads them, not yet written out."""
        described: dict[str, Any] = _SETTINGS.dump_python(self, mode="json")
        return described

    def rate_of(self, operation: str) -> Rate | None:
        """The rate of an operation in each account and Region; None for no limit."""
        if operation in self.rates:
            return self.rates[operation]
        return self.rates[EVERY_OPERATION] if EVERY_OPERATION in self.rates else DEFAULT_RATES[operation]

    def account_of(self, access_key: str) -> str:
        """The account that an access key id belongs to."""
        return self.accounts.get(access_key, self.account)


def _check_operations(what: str, names: Iterable[str]) -> None:
    unknown = sorted(set(names) - OPERATIONS - {EVERY_OPERATION})
    if unknown:
        raise ValueError(f"`{what}` names operations that are not emulated: {', '.join(unknown)}")


def _laid_over(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    rates = changes.get("rates")
    if isinstance(rates, dict):
        changes = {**changes, "rates": {**settings["rates"], **rates}}
    return {**settings, **changes}


_SETTINGS = TypeAdapter(EmulatorSettings)

LOCAL = EmulatorSettings(
    rates={EVERY_OPERATION: Rate(20, burst=20), LIST_TAGS: Rate(100, burst=20), CALLER_IDENTITY: None},
    attachments_per_account=100_000,
)
"""What `--local` runs against: generous, so that a rehearsal shows the work and not the limits."""
