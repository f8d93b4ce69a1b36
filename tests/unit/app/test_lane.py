"""Opening lanes, alone and through what the lanes of one process share: the real client against a stand-in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batch_upload.app.lane import reach
from batch_upload.errors import AccessFault, NoAnswer
from batch_upload.events import Requested, Retrying
from batch_upload.model import Lane
from batch_upload.service.accounts import Accounts
from batch_upload.settings import RunOptions, Settings, settings_of, settings_of_lane
from batch_upload.targets import Target
from tests.support.aws_stand_in import BASE_ACCOUNT, AwsStandIn, aws_stand_in

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/uploader"
REGIONS = ("us-east-1", "us-west-2")


class Events(list[object]):
    """Implements `ports.Observer`."""

    def notify(self, event: object) -> None:
        self.append(event)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("EXTERNAL_ID", "agreed")


@pytest.fixture
async def aws() -> AsyncIterator[AwsStandIn]:
    async with aws_stand_in() as made:
        yield made


@pytest.fixture
async def accounts() -> AsyncIterator[Accounts]:
    async with Accounts() as made:
        yield made


@pytest.fixture
def settings(aws: AwsStandIn, tmp_path: Path) -> Settings:
    """The settings of a run."""
    return settings_of(RunOptions(endpoint_url=aws.url), manifest=tmp_path / "june.yaml")


def of_lane(settings: Settings, region: str, *, account: str = ACCOUNT, role_arn: str | None = ROLE) -> Settings:
    target = Target(name="acme", region=region, account=account, role_arn=role_arn, external_id="env:EXTERNAL_ID")
    return settings_of_lane(settings, target)


async def test_lanes_of_targets_share_one_role_which_names_their_account(
    aws: AwsStandIn, settings: Settings, accounts: Accounts
) -> None:
    events, found = Events(), []

    for region in REGIONS:
        async with reach(of_lane(settings, region), events, accounts=accounts) as reached:
            found.append(reached.lane)

    assert found == [Lane(ACCOUNT, region) for region in REGIONS]
    assert aws.count() == {"AssumeRole": 1}
    assert aws.received[0].values["ExternalId"] == "agreed"
    assert events == []


async def test_lanes_of_targets_without_a_role_ask_for_their_account_once(
    aws: AwsStandIn, settings: Settings, accounts: Accounts
) -> None:
    for region in REGIONS:
        own = of_lane(settings, region, account=BASE_ACCOUNT, role_arn=None)
        async with reach(own, Events(), accounts=accounts) as reached:
            assert reached.lane == Lane(BASE_ACCOUNT, region)

    assert aws.count() == {"GetCallerIdentity": 1}


async def test_the_only_lane_of_a_manifest_without_targets_sends_what_it_always_sent(
    aws: AwsStandIn, accounts: Accounts, tmp_path: Path
) -> None:
    options = RunOptions(endpoint_url=aws.url)
    alone = settings_of(options, manifest=tmp_path / "june.yaml", target=Target(role_arn=ROLE, external_id="agreed"))

    for shared in (None, accounts):
        async with reach(alone, Events(), accounts=shared) as reached:
            assert reached.lane == Lane(ACCOUNT, "us-east-1")

    assert [each.operation for each in aws.received] == ["AssumeRole", "GetCallerIdentity"] * 2
    assert aws.received[0].values["ExternalId"] == "agreed"


async def test_a_role_of_another_account_than_the_targets_is_refused(settings: Settings, accounts: Accounts) -> None:
    for region in REGIONS:
        with pytest.raises(AccessFault, match=f"these credentials are of account {ACCOUNT}") as refused:
            async with reach(of_lane(settings, region, account="444455556666"), Events(), accounts=accounts):
                pass

        assert refused.value.code == "WrongAccount"
        assert refused.value.hint == (
            "`role_arn` or `profile` of a target chooses its credentials; its `account` is the guard"
        )


async def test_a_throttle_of_sts_is_retried_while_the_lane_is_opened(
    aws: AwsStandIn, settings: Settings, accounts: Accounts
) -> None:
    aws.refusals_once["AssumeRole"] = (400, "Throttling")
    events = Events()

    async with reach(of_lane(settings, "us-east-1"), events, accounts=accounts) as reached:
        assert reached.lane == Lane(ACCOUNT, "us-east-1")

    assert [type(each) for each in events] == [Requested, Retrying, Requested]
    assert aws.count() == {"AssumeRole": 2}


async def test_without_sts_each_lane_takes_the_account_from_its_own_listing(
    aws: AwsStandIn, settings: Settings, accounts: Accounts
) -> None:
    aws.refusals["GetCallerIdentity"] = (503, "503")
    listed = {
        "RegistrationAttachmentId": "id",
        "AttachmentStatus": "UPLOAD_COMPLETE",
        "CreatedTimestamp": 1_764_000_000.5,
    }
    aws.members["DescribeRegistrationAttachments"] = lambda values: {
        "RegistrationAttachments": [
            {
                **listed,
                "RegistrationAttachmentArn": (
                    f"arn:aws:sms-voice:{values['Region']}:{BASE_ACCOUNT}:registration-attachment/id"
                ),
            }
        ]
    }

    async def reached_lane(region: str) -> Lane:
        async with reach(
            of_lane(settings, region, account=BASE_ACCOUNT, role_arn=None), Events(), accounts=accounts
        ) as reached:
            return reached.lane

    found = await asyncio.gather(*(reached_lane(region) for region in REGIONS))

    assert found == [Lane(BASE_ACCOUNT, region) for region in REGIONS]
    assert aws.count() == {"GetCallerIdentity": 6, "DescribeRegistrationAttachments": 2}


@pytest.mark.parametrize("refusal", [(503, "503"), (403, "InvalidClientTokenId")])
async def test_an_account_whose_sts_fails_in_one_region_is_found_out_in_another(
    aws: AwsStandIn, settings: Settings, accounts: Accounts, refusal: tuple[int, str]
) -> None:
    """STS of a Region that is not enabled in the account says InvalidClientTokenId."""
    aws.refusals[f"GetCallerIdentity {REGIONS[0]}"] = refusal
    aws.members["DescribeRegistrationAttachments"] = lambda _: {"RegistrationAttachments": []}

    async def reached_lane(region: str) -> Lane:
        lane = of_lane(settings, region, account=BASE_ACCOUNT, role_arn=None)
        async with reach(lane, Events(), accounts=accounts) as reached:
            return reached.lane

    found = await asyncio.gather(*(reached_lane(region) for region in REGIONS), return_exceptions=True)

    assert isinstance(found[0], NoAnswer | AccessFault)
    assert found[1] == Lane(BASE_ACCOUNT, REGIONS[1])
