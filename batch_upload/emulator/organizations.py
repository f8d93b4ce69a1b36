"""AWS Organizations: the accounts of an organization and its units, a page at a time.

As in AWS, `ListAccounts` gives all accounts, and a listing of a parent only what is directly in it.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from batch_upload.emulator.errors import ErrorResponse, access_denied
from batch_upload.emulator.limits import STRICT_JSON
from batch_upload.emulator.names import TWELVE_DIGITS

ROOT_ID = "r-emul"
LONGEST_PAGE_OF_ACCOUNTS = 20
"""The most that MaxResults may ask for, by botocore's model."""
_ORGANIZATION_ID = "o-emulated00"
_STATES_WITH_STATUS = ("ACTIVE", "SUSPENDED", "PENDING_CLOSURE")
_JOINED_AT = 1_577_836_800
"""2020-01-01, in UTC."""

ParentId = Annotated[str, Field(pattern="^(r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[0-9a-z]{8,32})$")]


class AccountState(StrEnum):
    """`State` of an account."""

    PENDING_ACTIVATION = "PENDING_ACTIVATION"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    PENDING_CLOSURE = "PENDING_CLOSURE"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True, config=STRICT_JSON)
class EmulatedAccount:
    """An account of the organization."""

    id: str = Field(pattern=f"^{TWELVE_DIGITS}$")
    """its 12 digits"""
    name: str = Field(min_length=1, max_length=128)
    """any text; two accounts may have the same"""
    state: AccountState = AccountState.ACTIVE
    """`PENDING_ACTIVATION`, `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE` or `CLOSED`"""
    parent: ParentId = ROOT_ID
    """the id of the unit that it is in, or of the root"""


@dataclass(frozen=True, slots=True, config=STRICT_JSON)
class EmulatedUnit:
    """A unit of the organization, which may hold accounts and units."""

    id: str = Field(pattern="^ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}$")
    """such as `ou-emul-00000001`"""
    name: str = Field(min_length=1, max_length=128)
    """any text"""
    parent: ParentId = ROOT_ID
    """the id of the unit that it is in, or of the root"""


@dataclass(frozen=True, slots=True, config=STRICT_JSON)
class EmulatedOrganization:
    """What the operations of AWS Organizations list. Raises ValueError for a parent that is no unit of it."""

    accounts: tuple[EmulatedAccount, ...] = ()
    """its accounts, in the order of the listings"""
    units: tuple[EmulatedUnit, ...] = ()
    """its organizational units, in the order of the listings"""
    management_account: str | None = Field(default=None, pattern=f"^{TWELVE_DIGITS}$")
    """the only account whose callers may list; others get an AccessDeniedException. null: every caller may"""
    page_size: int = Field(default=LONGEST_PAGE_OF_ACCOUNTS, ge=1, le=LONGEST_PAGE_OF_ACCOUNTS)
    """the longest page of a listing, whatever is asked for"""
    begins_with_empty_page: bool = False
    """the first page of a listing is empty and leads to the others, as AWS says may happen"""
    answers_status: bool = False
    """accounts have `Status`, too, which AWS was to retire on 2026-09-09 in favor of `State`"""

    def __post_init__(self) -> None:
        known = {ROOT_ID, *(unit.id for unit in self.units)}
        parents = [
            *((each.id, each.parent) for each in self.accounts),
            *((each.id, each.parent) for each in self.units),
        ]
        for child, parent in parents:
            if parent not in known:
                raise ValueError(f"`{parent}`, the parent of `{child}`, is no unit of the organization")
        if len({account.id for account in self.accounts}) < len(self.accounts):
            raise ValueError("an account is listed twice")


OrganizationListing = Callable[[EmulatedOrganization, str, str | None], list[Mapping[str, object]]]
"""Lists what is in a parent; takes the organization, its management account and the parent's id."""
OrganizationPage = tuple[Sequence[Mapping[str, object]], int | None]
"""What a page holds, and where the next begins."""


def listed_accounts(organization: EmulatedOrganization, owner: str, parent: str | None) -> list[Mapping[str, object]]:
    """Return the accounts in a unit or the root, or all for None. Raises ErrorResponse for an unknown parent."""
    _check_parent(organization, parent)
    return [
        {
            "Id": account.id,
            "Arn": f"arn:aws:organizations::{owner}:account/{_ORGANIZATION_ID}/{account.id}",
            "Email": f"{account.id}@example.com",
            "Name": account.name,
            "State": account.state.value,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": _JOINED_AT,
            **_status(organization, account),
        }
        for account in organization.accounts
        if parent in (None, account.parent)
    ]


def listed_units(organization: EmulatedOrganization, owner: str, parent: str | None) -> list[Mapping[str, object]]:
    """Return the units in a unit or the root. Raises ErrorResponse for an unknown parent."""
    _check_parent(organization, parent)
    return [
        {
            "Id": unit.id,
            "Arn": f"arn:aws:organizations::{owner}:ou/{_ORGANIZATION_ID}/{unit.id}",
            "Name": unit.name,
        }
        for unit in organization.units
        if unit.parent == parent
    ]


def page_of(
    organization: EmulatedOrganization,
    found: Sequence[Mapping[str, object]],
    start: int | None,
    max_results: int | None,
) -> OrganizationPage:
    """Return one page of a listing. `start` None: the first page."""
    if start is None and organization.begins_with_empty_page:
        return (), 0
    begin = start or 0
    end = begin + min(max_results or organization.page_size, organization.page_size)
    return found[begin:end], end if end < len(found) else None


def organization_for(organization: EmulatedOrganization | None, account: str) -> EmulatedOrganization:
    """Return the organization that callers of this account may list. Raises ErrorResponse."""
    if organization is None:
        message = "Your account is not a member of an organization."
        raise ErrorResponse("AWSOrganizationsNotInUseException", message)
    if organization.management_account not in (None, account):
        raise access_denied("You don't have permissions to access this resource.")
    return organization


def _check_parent(organization: EmulatedOrganization, parent: str | None) -> None:
    if parent not in (None, ROOT_ID, *(unit.id for unit in organization.units)):
        raise ErrorResponse("ParentNotFoundException", "You provided parent that does not exist.")


def _status(organization: EmulatedOrganization, account: EmulatedAccount) -> Mapping[str, object]:
    has_status = organization.answers_status and account.state in _STATES_WITH_STATUS
    return {"Status": account.state.value} if has_status else {}
