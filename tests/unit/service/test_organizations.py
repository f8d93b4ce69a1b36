"""Listing the accounts of an organization: the real client against a stand-in on loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from batch_upload.errors import AccessFault, NoAnswer, ServiceError, Throttled, UsageError
from batch_upload.service.access import Access, check_endpoint
from batch_upload.service.organizations import Organization, OrganizationAccount, open_organization
from tests.support.aws_stand_in import AwsStandIn, aws_stand_in
from tests.support.stepped_clock import SteppedClock


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def aws() -> AsyncIterator[AwsStandIn]:
    async with aws_stand_in() as made:
        yield made


@pytest.fixture
async def organization(aws: AwsStandIn, clock: SteppedClock) -> AsyncIterator[Organization]:
    async with open_organization(Access(endpoint_url=aws.url), clock=clock) as made:
        yield made


def account(number: int, **state: str) -> dict[str, str]:
    return {"Id": f"{number:012d}", "Name": f"n{number}", **(state or {"State": "ACTIVE", "Status": "ACTIVE"})}


def paged(name: str, pages: list[list[dict[str, str]]]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Answers with one page after another; the token is the number of the next."""

    def answer(values: Mapping[str, Any]) -> Mapping[str, Any]:
        number = int(values.get("NextToken", 0))
        following = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        return {name: pages[number], **following}

    return answer


async def test_all_pages_are_listed_one_a_second_and_an_empty_one_is_not_the_last(
    aws: AwsStandIn, organization: Organization, clock: SteppedClock
) -> None:
    aws.members["ListAccounts"] = paged("Accounts", [[account(3)], [], [account(1), account(3)]])

    found = await organization.accounts()

    assert found == (OrganizationAccount(f"{1:012d}", "n1"), OrganizationAccount(f"{3:012d}", "n3"))
    assert [each.values for each in aws.received] == [
        {"MaxResults": 20},
        {"MaxResults": 20, "NextToken": "1"},
        {"MaxResults": 20, "NextToken": "2"},
    ]
    assert clock.slept_s == [1.0, 2.0]


@pytest.mark.parametrize(
    ("state", "is_listed"),
    [
        ({"Status": "ACTIVE"}, True),
        ({"State": "ACTIVE"}, True),
        ({"State": "ACTIVE", "Status": "ACTIVE"}, True),
        ({"Status": "SUSPENDED"}, False),
        ({"State": "PENDING_ACTIVATION", "Status": "ACTIVE"}, False),
        ({"State": "CLOSED", "Status": "SUSPENDED"}, False),
        ({"State": "BRAND_NEW"}, False),
    ],
)
async def test_only_active_accounts_are_listed_by_state_or_by_the_status_it_replaces(
    aws: AwsStandIn, organization: Organization, state: dict[str, str], *, is_listed: bool
) -> None:
    aws.members["ListAccounts"] = paged("Accounts", [[account(1, **state)]])

    assert bool(await organization.accounts()) is is_listed


async def test_the_accounts_of_a_unit_are_those_of_all_units_below_it(
    aws: AwsStandIn, organization: Organization
) -> None:
    units = {"ou-root-aaaaaaaa": ["ou-root-bbbbbbbb", "ou-root-cccccccc"], "ou-root-bbbbbbbb": ["ou-root-dddddddd"]}
    numbers = {"ou-root-aaaaaaaa": 1, "ou-root-cccccccc": 3, "ou-root-dddddddd": 4}

    def accounts_of(values: Mapping[str, Any]) -> Mapping[str, Any]:
        number = numbers.get(values["ParentId"])
        return {"Accounts": [] if number is None else [account(number)]}

    aws.members["ListAccountsForParent"] = accounts_of
    aws.members["ListOrganizationalUnitsForParent"] = lambda values: {
        "OrganizationalUnits": [{"Id": each} for each in units.get(values["ParentId"], [])]
    }

    found = await organization.accounts_below("ou-root-aaaaaaaa")

    assert [each.name for each in found] == ["n1", "n3", "n4"]
    assert aws.count() == {"ListAccountsForParent": 4, "ListOrganizationalUnitsForParent": 4}


@pytest.mark.parametrize(
    ("refusal", "kind", "hint"),
    [
        ((400, "AccessDeniedException"), AccessFault, "`organizations:ListAccounts`"),
        ((400, "AWSOrganizationsNotInUseException"), AccessFault, "belongs to no organization"),
        ((400, "TooManyRequestsException"), Throttled, ""),
        ((500, "ServiceException"), NoAnswer, ""),
    ],
)
async def test_a_refusal_says_what_is_missing(
    aws: AwsStandIn, organization: Organization, refusal: tuple[int, str], kind: type[ServiceError], hint: str
) -> None:
    aws.refusals["ListAccounts"] = refusal

    with pytest.raises(kind) as refused:
        await organization.accounts()

    assert type(refused.value) is kind
    assert hint in refused.value.hint


@pytest.mark.parametrize("code", ["ParentNotFoundException", "InvalidInputException"])
async def test_a_unit_that_does_not_exist_is_a_wrong_argument(
    aws: AwsStandIn, organization: Organization, code: str
) -> None:
    aws.refusals["ListAccountsForParent"] = (400, code)

    with pytest.raises(UsageError, match="no unit `ou-nowhere`"):
        await organization.accounts_below("ou-nowhere")


async def test_pages_without_an_end_are_given_up(aws: AwsStandIn, organization: Organization) -> None:
    aws.members["ListAccounts"] = lambda _: {"Accounts": [], "NextToken": "again"}

    with pytest.raises(NoAnswer, match="no end"):
        await organization.accounts()

    assert len(aws.received) == 2


@pytest.mark.parametrize("members", [{}, {"Accounts": [{"Id": "1"}]}, {"Accounts": [{"State": "ACTIVE"}]}])
async def test_an_answer_without_what_it_must_have_is_no_answer(
    aws: AwsStandIn, organization: Organization, members: Mapping[str, Any]
) -> None:
    aws.members["ListAccounts"] = lambda _: members

    with pytest.raises(NoAnswer, match="could not be read"):
        await organization.accounts()


async def test_the_caller_may_send_a_page_again(aws: AwsStandIn, clock: SteppedClock) -> None:
    aws.members["ListAccounts"] = paged("Accounts", [[account(1)]])
    aws.refusals["ListAccounts"] = (400, "TooManyRequestsException")
    operations = []

    async def twice(operation: str, send: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        operations.append(operation)
        with pytest.raises(Throttled):
            await send()
        del aws.refusals["ListAccounts"]
        return await send()

    async with open_organization(Access(endpoint_url=aws.url), clock=clock, retry=twice) as organization:
        found = await organization.accounts()

    assert [each.name for each in found] == ["n1"]
    assert operations == ["ListAccounts"]
    assert clock.slept_s == [1.0]


async def test_without_credentials_nothing_is_sent(aws: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(AccessFault, match="no AWS credentials were found"):
        async with open_organization(Access(endpoint_url=aws.url)):
            pass

    assert aws.received == []


@pytest.mark.parametrize(
    ("region", "host"),
    [
        (None, "organizations.us-east-1.amazonaws.com"),
        ("eu-west-1", "organizations.us-east-1.amazonaws.com"),
        ("cn-north-1", "organizations.cn-northwest-1.amazonaws.com.cn"),
        ("us-gov-east-1", "organizations.us-gov-west-1.amazonaws.com"),
    ],
)
async def test_the_region_decides_the_partition_alone(
    monkeypatch: pytest.MonkeyPatch, region: str | None, host: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    async with open_organization(Access(region=region)) as organization:
        assert organization.endpoint == f"https://{host}"


def test_documents_may_not_go_to_the_hosts_of_organizations() -> None:
    url = "https://organizations.us-east-1.amazonaws.com"

    check_endpoint(url, (), services="organizations")
    with pytest.raises(AccessFault):
        check_endpoint(url, ())
    with pytest.raises(AccessFault):
        check_endpoint("https://organizations.us-east-1.amazonaws.com.example", (), services="organizations")
