"""The listings of AWS Organizations, with the real boto3 client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batch_upload.emulator import EmulatorSettings, serving_in_thread
from batch_upload.emulator.errors import ConfigurationError
from tests.unit.emulator.support import MakeBoto3

ROOT, CUSTOMERS, SMALL = "r-emul", "ou-emul-customers", "ou-emul-smallones"
MANAGEMENT = "999988887777"
ORGANIZATION = {
    "management_account": MANAGEMENT,
    "units": [{"id": CUSTOMERS, "name": "Customers"}, {"id": SMALL, "name": "Small ones", "parent": CUSTOMERS}],
    "accounts": [
        {"id": MANAGEMENT, "name": "Management"},
        {"id": "111122223333", "name": "Acme", "parent": CUSTOMERS},
        {"id": "444455556666", "name": "Beta GmbH & Co", "parent": SMALL, "state": "SUSPENDED"},
        {"id": "777788889999", "name": "Gamma", "parent": SMALL},
    ],
}

Listing = Callable[..., dict[str, Any]]
Serve = Callable[..., Any]


@pytest.fixture
def serve(make_boto3: MakeBoto3) -> Iterator[Serve]:
    """Starts an emulator with an organization and gives a client of it."""
    started = []

    def served(organization: object = None, *, key: str = MANAGEMENT, **settings: Any) -> Any:  # noqa: ANN401
        chosen = {"rates": {"*": None}, "organization": organization, **settings}
        running = serving_in_thread(EmulatorSettings.model_validate(chosen))
        started.append(running)
        return make_boto3(running.__enter__().url, "organizations", key=key)

    yield served
    for each in started:
        each.__exit__(None, None, None)


def ids(answer: dict[str, Any], member: str = "Accounts") -> list[str]:
    return [each["Id"] for each in answer[member]]


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as error:
        call()
    code: str = error.value.response["Error"]["Code"]
    return code


def test_all_accounts_are_listed_and_those_of_a_parent_are_directly_in_it(serve: Serve) -> None:
    client = serve(ORGANIZATION)

    every = client.list_accounts()

    assert ids(every) == [MANAGEMENT, "111122223333", "444455556666", "777788889999"]
    assert [each["State"] for each in every["Accounts"]] == ["ACTIVE", "ACTIVE", "SUSPENDED", "ACTIVE"]
    assert every["Accounts"][2]["Name"] == "Beta GmbH & Co"
    assert "Status" not in every["Accounts"][0]
    assert ids(client.list_accounts_for_parent(ParentId=ROOT)) == [MANAGEMENT]
    assert ids(client.list_accounts_for_parent(ParentId=SMALL)) == ["444455556666", "777788889999"]


def test_units_are_listed_level_by_level(serve: Serve) -> None:
    client = serve(ORGANIZATION)

    levels = [
        ids(client.list_organizational_units_for_parent(ParentId=parent), "OrganizationalUnits")
        for parent in (ROOT, CUSTOMERS, SMALL)
    ]

    assert levels == [[CUSTOMERS], [SMALL], []]


@pytest.mark.parametrize("begins_with_empty_page", [False, True])
def test_a_paginator_finds_everything_once(serve: Serve, begins_with_empty_page: bool) -> None:  # noqa: FBT001
    accounts = [{"id": f"{number:012d}", "name": f"account {number}"} for number in range(47)]
    client = serve({"accounts": accounts, "begins_with_empty_page": begins_with_empty_page})

    pages = list(client.get_paginator("list_accounts").paginate())
    small = list(client.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 7}))

    assert [len(page["Accounts"]) for page in pages] == [0] * begins_with_empty_page + [20, 20, 7]
    assert [each for page in small for each in ids(page)] == [each["id"] for each in accounts]
    assert len(small) == 7 + begins_with_empty_page


def test_status_is_answered_as_it_was_before_it_was_retired(serve: Serve) -> None:
    accounts = [{"id": "111122223333", "name": "a"}, {"id": "444455556666", "name": "b", "state": "CLOSED"}]
    client = serve({"accounts": accounts, "answers_status": True})

    assert [each.get("Status") for each in client.list_accounts()["Accounts"]] == ["ACTIVE", None]


def test_listings_are_paced(serve: Serve) -> None:
    client = serve(ORGANIZATION, rates={})
    client.list_accounts()

    assert code_of(client.list_accounts) == "TooManyRequestsException"
    assert ids(client.list_accounts_for_parent(ParentId=ROOT)) == [MANAGEMENT]


def test_permissions_can_be_missing(serve: Serve) -> None:
    denied = serve(ORGANIZATION, deny=["ListAccounts"])
    member = serve(ORGANIZATION, key="111122223333")

    assert code_of(denied.list_accounts) == "AccessDeniedException"
    assert ids(denied.list_accounts_for_parent(ParentId=ROOT)) == [MANAGEMENT]
    assert code_of(member.list_accounts) == "AccessDeniedException"


def test_an_account_may_be_in_no_organization(serve: Serve) -> None:
    assert code_of(serve().list_accounts) == "AWSOrganizationsNotInUseException"


def test_requests_that_cannot_be_are_named(serve: Serve) -> None:
    client = serve(ORGANIZATION)

    assert code_of(lambda: client.list_accounts_for_parent(ParentId="ou-emul-unknownone")) == "ParentNotFoundException"
    assert code_of(lambda: client.list_accounts_for_parent(ParentId="customers")) == "InvalidInputException"
    with pytest.raises(ClientError) as error:
        client.list_accounts(NextToken="made up")
    assert error.value.response["Reason"] == "INVALID_NEXT_TOKEN"


def test_a_fault_has_the_names_of_this_service(serve: Serve) -> None:
    faults = [{"action": "internal_error", "operation": "ListAccounts", "times": 1}]
    client = serve(ORGANIZATION, faults=[*faults, {"action": "throttle", "operation": "ListAccounts"}])

    assert [code_of(client.list_accounts) for _ in range(2)] == ["ServiceException", "TooManyRequestsException"]


@pytest.mark.parametrize(
    ("organization", "named"),
    [
        ('{"accounts": [{"id": "12", "name": "a"}]}', "organization.accounts.0.id"),
        ('{"accounts": [{"id": "111122223333"}]}', "organization.accounts.0.name"),
        ('{"accounts": [{"id": "111122223333", "name": "a", "state": "NEW"}]}', "organization.accounts.0.state"),
        ('{"accounts": [{"id": "111122223333", "name": "a", "parent": "ou-emul-unknownone"}]}', "ou-emul-unknownone"),
        ('{"units": [{"id": "ou-emul-1", "name": "a"}]}', "organization.units.0.id"),
        ('{"page_size": 21}', "organization.page_size"),
        (
            '{"accounts": [{"id": "111122223333", "name": "a"}, {"id": "111122223333", "name": "b"}]}',
            "an account is listed twice",
        ),
    ],
)
def test_an_organization_that_cannot_be_is_refused_by_name(organization: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        EmulatorSettings.from_json(f'{{"organization": {organization}}}')

    assert named in str(error.value)
