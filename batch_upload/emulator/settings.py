"""What the emulator imitates: rates, quotas, delays and faults, as one frozen value."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.limits import (
    ATTACHMENTS_PER_ACCOUNT,
    DEFAULT_RATES,
    LONGEST_PAGE,
    MAX_DOCUMENT_BYTES,
    REGISTRATIONS_PER_ACCOUNT,
    STRICT_JSON,
    NotNegative,
    Rate,
)
from batch_upload.emulator.names import (
    EVERY_OPERATION,
    ROLE_PATTERN,
    TWELVE_DIGITS,
    Operation,
    OperationName,
)
from batch_upload.emulator.organizations import EmulatedOrganization
from batch_upload.emulator.registration_types import PreloadedRegistrations


class LateTags(StrEnum):
    """What ListTagsForResource answers for an attachment whose tags cannot be read yet."""

    EMPTY = "empty"
    NOT_FOUND = "not_found"


class Paging(StrEnum):
    """What a NextToken stands for: the place of the last attachment, or how many attachments came before it."""

    PLACE = "place"
    OFFSET = "offset"


class KnownToken(StrEnum):
    """What a create gets whose token is remembered, with the same parameters: the attachment, or an error."""

    REPLAY = "replay"
    CONFLICT = "conflict"
    VALIDATION = "validation"


class BoundDeletion(StrEnum):
    """What DeleteRegistrationAttachment does with an attachment that a registration holds."""

    REFUSE = "refuse"
    ALLOW = "allow"


AccountId = Annotated[str, Field(pattern=f"^{TWELVE_DIGITS}$")]
LaneName = Annotated[str, Field(pattern=f"^{TWELVE_DIGITS}(/[a-z]{{2,}}(-[a-z0-9]+)+)?$")]
"""An account, or an account and a Region: `111122223333/us-east-1`."""
RoleOrAccount = Annotated[str, Field(pattern=f"^({TWELVE_DIGITS}|{ROLE_PATTERN})$")]
RateOrNumber = Annotated[
    Rate | None, BeforeValidator(lambda value: {"per_second": value} if isinstance(value, int | float) else value)
]
_STRICT_MODEL = ConfigDict(**STRICT_JSON, frozen=True)


class LaneSettings(BaseModel):
    """How the service treats one account in one Region. Durations are in seconds, sizes in bytes."""

    model_config = _STRICT_MODEL

    rates: Mapping[OperationName, RateOrNumber] = Field(default_factory=dict)
    """the rate of an operation, or of the others by `*`: a number, a rate as below, or null for no limit"""
    attachments_per_account: int | None = ATTACHMENTS_PER_ACCOUNT
    """the quota of attachments in an account and Region; null: none"""
    attachments_per_day: int | None = None
    """the quota of creates in a UTC day, in an account and Region; null: none"""
    max_size_bytes: int = MAX_DOCUMENT_BYTES
    """the largest document"""
    processing_s: NotNegative = 0.3
    """how long an attachment is UPLOAD_IN_PROGRESS; the median, with `processing_spread`"""
    processing_spread: NotNegative = 0.0
    """sigma of a log-normal distribution of that time, drawn by the document and `seed`; 0: the same for all"""
    latency_s: NotNegative = 0.0
    """how long every answer takes"""
    fails_containing: tuple[str, ...] = ()
    """documents or URLs with one of these texts end as UPLOAD_FAILED"""
    hangs_containing: tuple[str, ...] = ()
    """documents or URLs with one of these texts stay UPLOAD_IN_PROGRESS for good"""
    token_memory_s: NotNegative | None = None
    """how long after a create its ClientToken is remembered; null: for good"""
    is_mismatch_conflict: bool = True
    """a remembered token with other parameters is a ConflictException, or else a ValidationException"""
    keeps_deleted: bool = True
    """a deleted attachment or registration is still described, as DELETED"""
    page_size: int = Field(default=LONGEST_PAGE, ge=1, le=LONGEST_PAGE)
    """the longest page of a listing, whatever is asked for"""
    listing_lag_s: NotNegative = 0.0
    """how long after its creation an attachment appears in listings"""
    describe_lag_s: NotNegative = 0.0
    """how long after its creation an attachment is found by its id"""
    tags_lag_s: NotNegative = 0.0
    """how long after its creation the tags of an attachment can be read"""
    tags_lag_answer: LateTags = LateTags.EMPTY
    """what ListTagsForResource answers before: `empty` or `not_found`"""
    limits_lag_s: NotNegative = 0.0
    """how long after its creation an attachment counts as used in DescribeAccountLimits"""
    limits_used: int | None = None
    """the number that DescribeAccountLimits gives as used; null: the true one"""
    paging: Paging = Paging.PLACE
    """what a NextToken stands for: `place`, or `offset`, whose pages shift when attachments come or go"""
    next_token_life_s: NotNegative | None = None
    """how long a NextToken is accepted; null: for good"""
    known_token: KnownToken = KnownToken.REPLAY
    """what a create gets whose token is remembered, with the same parameters: `replay`, `conflict` or `validation`"""
    deny: frozenset[OperationName] = frozenset()
    """operations without permission, `*` for all; a create with tags needs TagResource, too"""
    registrations: tuple[PreloadedRegistrations, ...] = ()
    """registrations that an account and Region begins with, see below; they are made at its first request"""
    registrations_per_account: int | None = REGISTRATIONS_PER_ACCOUNT
    """the quota of registrations in an account and Region; null: none. Preloaded ones count, too"""
    delete_bound: BoundDeletion = BoundDeletion.REFUSE
    """whether an attachment that a registration holds can be deleted: `refuse` or `allow`"""
    fields_give_arns: bool = False
    """a field names its attachment by its ARN, as the model allows, instead of its id"""
    is_region_enabled: bool = True
    """whether the account has enabled the Region; if not, every request is an UnrecognizedClientException"""
    faults: tuple[FaultRule, ...] = ()
    """the fault rules, see below"""
    seed: int = 0
    """of the chances of the faults and of `processing_spread`: the same seed and requests give the same"""

    def rate_of(self, operation: str) -> Rate | None:
        """Return the rate of an operation; None for no limit."""
        if operation in self.rates:
            return self.rates[operation]
        return self.rates[EVERY_OPERATION] if EVERY_OPERATION in self.rates else DEFAULT_RATES[operation]


class LaneOverlay(LaneSettings):
    """Settings of one lane that differ from the common ones: only those that were given count."""

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if name in self.model_fields_set}


class EmulatorSettings(LaneSettings):
    """An account as AWS opens it, by default, and what some accounts and Regions have of their own."""

    account: AccountId = "123456789012"
    """the account of every caller whose access key id says nothing else"""
    accounts: Mapping[str, AccountId] = Field(default_factory=dict)
    """the account of a caller by its access key id"""
    lanes: Mapping[LaneName, LaneOverlay] = Field(default_factory=dict)
    """settings of an account (`111122223333`), or of one Region of it (`111122223333/us-east-1`), see below"""
    refused_roles: frozenset[RoleOrAccount] = frozenset()
    """roles that cannot be assumed, by their ARN, or all roles of an account: AccessDenied"""
    external_ids: Mapping[RoleOrAccount, str] = Field(default_factory=dict)
    """the ExternalId without which a role, by its ARN, or any role of an account cannot be assumed: AccessDenied"""
    role_session_s: NotNegative | None = None
    """how long the keys of an assumed role are valid; null: as long as DurationSeconds asks for, or else an hour"""
    organization: EmulatedOrganization | None = None
    """what AWS Organizations lists, see below; null: the accounts are in no organization"""
    keeps_bodies: bool = False
    """documents stay in memory for `Emulator.body`"""
    clock_ahead_s: float = 0.0
    """how far the clock of the answers (`Date`, times of creation) is ahead of this machine's"""

    @classmethod
    def from_json(cls, text: str | bytes) -> "EmulatorSettings":
        """Return the settings of a JSON object with these fields, all optional. Raises ConfigurationError."""
        try:
            return _SETTINGS.validate_json(text)
        except ValidationError as error:
            raise ConfigurationError(f"the emulator's settings cannot be used: {error}") from error

    @classmethod
    def from_argument(cls, argument: str | None) -> "EmulatorSettings":
        """Return the settings that a command was given: JSON that begins with a brace, a file's name, or None.

        Raises ConfigurationError.
        """
        if argument is None:
            return cls()
        if argument.lstrip().startswith("{"):
            return cls.from_json(argument)
        try:
            return cls.from_json(Path(argument).read_bytes())
        except OSError as error:
            raise ConfigurationError(f"the settings `{argument}` cannot be read: {error.strerror}") from error

    def changed(self, text: str | bytes) -> "EmulatorSettings":
        """Return these settings with those of a JSON object laid over them. Raises ConfigurationError.

        Each of the `rates` is laid over by itself.
        """
        present = self.to_json()
        try:
            changes = _OBJECT.validate_json(text)
            if isinstance(changes.get("rates"), dict):
                changes["rates"] = {**present["rates"], **changes["rates"]}
            return _SETTINGS.validate_python({**present, **changes})
        except ValidationError as error:
            raise ConfigurationError(f"the emulator's settings cannot be used: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Return these settings as `from_json` reads them, as Python values."""
        values: dict[str, Any] = _SETTINGS.dump_python(self, mode="json")
        return values

    def of_lane(self, account: str, region: str) -> LaneSettings:
        """Return what holds in an account and Region: its own settings, else its account's, else the common ones.

        Rates are looked up one by one in the same order; a `*` stands for all operations that the same place does not
        name.
        """
        values = {name: getattr(self, name) for name in LaneSettings.model_fields}
        for name in (account, f"{account}/{region}"):
            overlay = self.lanes.get(name)
            if overlay is None:
                continue
            below = values["rates"]
            values |= {key: getattr(overlay, key) for key in overlay.model_fields_set}
            if "rates" in overlay.model_fields_set and EVERY_OPERATION not in overlay.rates:
                values["rates"] = {**below, **overlay.rates}
        return LaneSettings.model_construct(**values)

    def account_of(self, access_key: str) -> str:
        """Return the account that an access key id belongs to.

        It is the one that `accounts` names, or the key itself if it is an account's 12 digits, or the common one. The
        key of an assumed role names its account: see `roles`.
        """
        if access_key in self.accounts:
            return self.accounts[access_key]
        return access_key if re.fullmatch(TWELVE_DIGITS, access_key) else self.account


_SETTINGS = TypeAdapter(EmulatorSettings)
_OBJECT = TypeAdapter(dict[str, Any])

LOCAL = EmulatorSettings(
    rates={
        EVERY_OPERATION: Rate(20, burst=20),
        Operation.LIST_TAGS: Rate(100, burst=20),
        Operation.CALLER_IDENTITY: None,
    },
    attachments_per_account=100_000,
    registrations_per_account=100_000,
)
"""What `--local` runs against: generous, so that a rehearsal shows the work and not the limits."""
