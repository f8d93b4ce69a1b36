"""What the emulator answers for many accounts is what the SDK's own parsers and our client understand."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from batch_upload.emulator import (
    EmulatedAccount,
    EmulatedOrganization,
    EmulatedUnit,
    EmulatorSettings,
    RunningEmulator,
    serving,
)
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.accounts import Accounts
from batch_upload.service.client import open_service

ACME, BETA, SOURCE = "111122223333", "444455556666", "999988887777"
UNIT = "ou-emul-customers"
SETTINGS = EmulatorSettings(
    rates={"*": None},
    external_ids={BETA: "of-beta"},
    organization=EmulatedOrganization(
        units=(EmulatedUnit(id=UNIT, name="Customers"),),
        accounts=(
            EmulatedAccount(id=ACME, name="Acme"),
            EmulatedAccount(id=BETA, name="Beta & Söhne", parent=UNIT),
        ),
    ),
)


@pytest.fixture
async def running() -> AsyncIterator[RunningEmulator]:
    async with serving(SETTINGS) as made:
        yield made


@pytest.fixture
async def sdk(running: RunningEmulator) -> AsyncIterator[Any]:
    """Open clients of aiobotocore by the name of their service."""
    async with AsyncExitStack() as stack:

        async def opened(service: str) -> Any:  # noqa: ANN401 - aiobotocore ships no types
            client = get_session().create_client(
                service,
                endpoint_url=running.url,
                region_name="us-east-1",
                aws_access_key_id=SOURCE,
                aws_secret_access_key="not-a-secret",
            )
            return await stack.enter_async_context(client)

        yield opened


def role_of(account: str) -> str:
    return f"arn:aws:iam::{account}:role/uploader"


async def test_the_keys_of_a_role_are_parsed(sdk: Any) -> None:  # noqa: ANN401
    sts = await sdk("sts")

    answer = await sts.assume_role(
        RoleArn=role_of(BETA), RoleSessionName="batch-upload", ExternalId="of-beta", DurationSeconds=900
    )

    keys = answer["Credentials"]
    assert set(keys) == {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{BETA}:assumed-role/uploader/batch-upload"
    assert timedelta(minutes=14) < keys["Expiration"] - datetime.now(UTC) <= timedelta(minutes=15)


async def test_a_refused_role_is_parsed(sdk: Any) -> None:  # noqa: ANN401
    sts = await sdk("sts")

    with pytest.raises(ClientError) as error:
        await sts.assume_role(RoleArn=role_of(BETA), RoleSessionName="batch-upload")

    answer = error.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDenied", 403)


async def test_the_listings_of_an_organization_are_parsed(sdk: Any) -> None:  # noqa: ANN401
    organizations = await sdk("organizations")

    every = await organizations.list_accounts()
    inside = await organizations.list_accounts_for_parent(ParentId=UNIT)
    units = await organizations.list_organizational_units_for_parent(ParentId="r-emul")

    assert [(each["Id"], each["Name"], each["State"]) for each in every["Accounts"]] == [
        (ACME, "Acme", "ACTIVE"),
        (BETA, "Beta & Söhne", "ACTIVE"),
    ]
    assert every["Accounts"][0]["JoinedTimestamp"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert [each["Id"] for each in inside["Accounts"]] == [BETA]
    assert [each["Id"] for each in units["OrganizationalUnits"]] == [UNIT]


async def test_an_unknown_parent_is_the_modeled_error(sdk: Any) -> None:  # noqa: ANN401
    organizations = await sdk("organizations")

    with pytest.raises(organizations.exceptions.ParentNotFoundException):
        await organizations.list_accounts_for_parent(ParentId="ou-emul-unknownone")


async def test_our_lanes_of_an_account_assume_its_role_once_and_create_in_their_region(
    running: RunningEmulator,
) -> None:
    keys = StaticKeys(SOURCE, "not-a-secret")
    external_ids = {ACME: None, BETA: "of-beta"}
    async with AsyncExitStack() as stack:
        accounts = await stack.enter_async_context(Accounts())
        for account, external_id in external_ids.items():
            for region in ("us-east-1", "us-west-2"):
                access = Access(
                    region=region,
                    endpoint_url=running.url,
                    keys=keys,
                    role_arn=role_of(account),
                    external_id=external_id,
                )
                service = await stack.enter_async_context(open_service(access, accounts=accounts))
                await service.capacity()

    stats = running.emulator.stats()
    assert stats["roles"] == {role_of(ACME): 1, role_of(BETA): 1}
    assert {lane: each["accepted"].get("DescribeAccountLimits") for lane, each in stats["lanes"].items()} == {
        f"{ACME}/us-east-1": 1,
        f"{ACME}/us-west-2": 1,
        f"{BETA}/us-east-1": 1,
        f"{BETA}/us-west-2": 1,
        f"{SOURCE}/us-east-1": None,
    }
