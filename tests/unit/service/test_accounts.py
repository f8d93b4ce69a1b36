"""What the lanes of one process share, and what they send: the real client against a stand-in on loopback."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import EndpointConnectionError

from batch_upload.errors import AccessFault, NoAnswer, Throttled
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.accounts import RENEWED_BEFORE_S, Accounts
from batch_upload.service.client import AwsService, open_service
from batch_upload.service.credentials import CredentialsUnreached
from batch_upload.service.diagnosis import Diagnosis
from batch_upload.service.http import BoundedSession, RequestLimits
from batch_upload.service.sharing import StartLimiter, Turns
from tests.support.answering import answering
from tests.support.aws_stand_in import BASE_ACCOUNT, AwsStandIn, aws_stand_in
from tests.support.stepped_clock import SteppedClock

REGIONS = ("us-east-1", "us-west-2")


class Unsent(AIOHTTPSession):  # type: ignore[misc]  # the library is untyped
    """Sends nothing: keeps where a request would have gone, and answers with no connection."""

    asked: list[str]

    async def send(self, request: Any) -> Any:  # noqa: ANN401 - as the library has it
        self.asked.append(request.url)
        raise EndpointConnectionError(endpoint_url=request.url)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment, with which roles are assumed."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def aws(clock: SteppedClock) -> AsyncIterator[AwsStandIn]:
    async with aws_stand_in() as made:
        made.now = clock.now
        yield made


@pytest.fixture
async def accounts(clock: SteppedClock) -> AsyncIterator[Accounts]:
    async with Accounts(clock=clock) as made:
        yield made


@pytest.fixture
async def lanes() -> AsyncIterator[AsyncExitStack]:
    """Closes the lanes of a test, before what they share."""
    async with AsyncExitStack() as stack:
        yield stack


def role(account: int, *, name: str = "uploader") -> str:
    return f"arn:aws:iam::{account:012d}:role/{name}"


async def opened(lanes: AsyncExitStack, accounts: Accounts, access: Access) -> tuple[AwsService, str]:
    """A lane, and its account as a run finds it out."""
    service = await lanes.enter_async_context(open_service(access, accounts=accounts))
    return service, await service.account_for_all(service.account)


@pytest.mark.usefixtures("keys")
async def test_80_lanes_of_40_accounts_assume_40_roles_and_nothing_else_is_sent_to_sts(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    access = [
        Access(region=region, role_arn=role(number), external_id="agreed", endpoint_url=aws.url)
        for number in range(40)
        for region in REGIONS
    ]

    found = await asyncio.gather(*(opened(lanes, accounts, each) for each in access))
    await asyncio.gather(*(service.capacity() for service, _ in found), return_exceptions=True)

    assert [account for _, account in found] == [f"{number:012d}" for number in range(40) for _ in REGIONS]
    assert aws.count() == {"AssumeRole": 40, "DescribeAccountLimits": 80}
    asked = [each for each in aws.received if each.operation == "AssumeRole"]
    assert {each.values["ExternalId"] for each in asked} == {"agreed"}
    assert {each.values["RoleSessionName"] for each in asked} == {"batch-upload"}
    signed = [each.access_key or "" for each in aws.received if each.operation == "DescribeAccountLimits"]
    assert sorted(key[4:16] for key in signed) == [f"{number:012d}" for number in range(40) for _ in REGIONS]


@pytest.mark.usefixtures("keys")
async def test_the_principal_of_a_role_is_its_session_and_that_of_keys_is_what_sts_says(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    own = [await opened(lanes, accounts, Access(region=region, endpoint_url=aws.url)) for region in REGIONS]
    of_role, _ = await opened(lanes, accounts, Access(region=REGIONS[0], role_arn=role(1), endpoint_url=aws.url))

    assert of_role.principal == "arn:aws:sts::000000000001:assumed-role/x/batch-upload"
    assert len({service.principal for service, _ in own}) == 1
    assert (own[0][0].principal or "").startswith("arn:aws:")
    assert aws.count() == {"GetCallerIdentity": 1, "AssumeRole": 1}


@pytest.mark.usefixtures("keys")
async def test_an_external_id_makes_other_credentials(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    for external_id in ("one", "two", "one", None):
        access = Access(region="us-east-1", role_arn=role(1), external_id=external_id, endpoint_url=aws.url)
        await opened(lanes, accounts, access)

    assert [each.values.get("ExternalId") for each in aws.received] == ["one", "two", None]


@pytest.mark.usefixtures("keys")
async def test_a_lane_without_a_role_asks_for_its_account_once_for_all_its_regions(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    found = await asyncio.gather(
        *(opened(lanes, accounts, Access(region=region, endpoint_url=aws.url)) for region in REGIONS * 3)
    )

    assert {account for _, account in found} == {BASE_ACCOUNT}
    assert aws.count() == {"GetCallerIdentity": 1}


async def test_static_keys_are_told_apart_and_may_assume_a_role(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    one, two = StaticKeys("KEYONE", "x"), StaticKeys("KEYTWO", "x")

    for region in REGIONS:
        await opened(lanes, accounts, Access(region=region, keys=one, endpoint_url=aws.url))
        await opened(lanes, accounts, Access(region=region, keys=two, endpoint_url=aws.url))
        await opened(lanes, accounts, Access(region=region, keys=two, role_arn=role(1), endpoint_url=aws.url))

    assert [(each.operation, each.access_key) for each in aws.received] == [
        ("GetCallerIdentity", "keyone"),
        ("GetCallerIdentity", "keytwo"),
        ("AssumeRole", "keytwo"),
    ]


async def test_the_keys_of_a_profile_are_found_once_for_all_roles(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A helper program, which would be started for each of 30 roles."""
    helper, calls = tmp_path / "helper", tmp_path / "calls"
    said = '{"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "not-a-secret"}'
    helper.write_text(f"#!/bin/sh\necho x >>{calls}\necho '{said}'\n")
    helper.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f"[profile base]\ncredential_process = {helper}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    access = [Access(profile="base", region="us-east-1", role_arn=role(n), endpoint_url=aws.url) for n in range(30)]

    await asyncio.gather(*(opened(lanes, accounts, each) for each in access))

    assert calls.read_text() == "x\n"
    assert aws.count() == {"AssumeRole": 30}


async def test_each_profile_has_its_own_keys_and_region_and_one_that_is_missing_harms_no_other(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    profiles = [f"p{number}" for number in range(5)]
    text = "".join(
        f"[profile {each}]\naws_access_key_id = KEY{each}\naws_secret_access_key = x\nregion = us-west-2\n"
        for each in profiles
    )
    config = tmp_path / "config"
    config.write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(AccessFault, match="nobody"):
        await opened(lanes, accounts, Access(profile="nobody", endpoint_url=aws.url))
    found = [await opened(lanes, accounts, Access(profile=each, endpoint_url=aws.url)) for each in profiles]

    assert {service.region for service, _ in found} == {"us-west-2"}
    assert [each.access_key for each in aws.received] == [f"key{each}" for each in profiles]


@pytest.mark.usefixtures("keys")
async def test_one_account_that_is_denied_fails_each_of_its_lanes_alike_and_no_other(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack, clock: SteppedClock
) -> None:
    aws.refusals[f"{2:012d}"] = (403, "AccessDenied")
    access = [
        Access(region=region, role_arn=role(number), endpoint_url=aws.url) for number in (1, 2, 3) for region in REGIONS
    ]

    ended = await asyncio.gather(*(opened(lanes, accounts, each) for each in access), return_exceptions=True)
    again = await asyncio.gather(opened(lanes, accounts, access[2]), return_exceptions=True)

    faults = [each for each in (*ended, *again) if isinstance(each, AccessFault)]
    assert [isinstance(each, AccessFault) for each in ended] == [False, False, True, True, False, False]
    assert {(each.message, each.code, each.status) for each in faults} == {("AccessDenied: no", "AccessDenied", 403)}
    assert all("`sts:AssumeRole` on the role" in each.hint for each in faults)
    assert len({id(each) for each in faults}) == 3
    assert aws.count() == {"AssumeRole": 3}

    clock.pass_time(61)
    del aws.refusals[f"{2:012d}"]
    _, account = await opened(lanes, accounts, access[2])
    assert account == f"{2:012d}"


async def test_no_credentials_are_told_by_every_lane_in_the_same_words(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    private = Access(region="us-east-1", role_arn=role(1), endpoint_url=aws.url)
    with pytest.raises(AccessFault) as alone:
        await lanes.enter_async_context(open_service(private))

    for region in REGIONS:
        with pytest.raises(AccessFault) as together:
            await opened(lanes, accounts, Access(region=region, role_arn=role(1), endpoint_url=aws.url))
        assert (together.value.message, together.value.hint) == (alone.value.message, alone.value.hint)

    assert aws.received == []


@pytest.mark.usefixtures("keys")
async def test_sts_that_is_too_busy_or_away_fails_the_first_request_that_may_be_tried_again(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    for status, code, kind in ((400, "Throttling", Throttled), (503, "503", CredentialsUnreached)):
        aws.refusals["AssumeRole"] = (status, code)
        access = Access(region="us-east-1", role_arn=role(status), endpoint_url=aws.url)
        service = await lanes.enter_async_context(open_service(access, accounts=accounts))
        with pytest.raises(kind) as refused:
            await service.account_for_all(service.account)

        assert refused.value.__cause__ is not refused.value
        del aws.refusals["AssumeRole"]

        assert await service.account_for_all(service.account) == f"{status:012d}"
    assert aws.count()["GetCallerIdentity"] == 0


@pytest.mark.usefixtures("keys")
async def test_keys_are_renewed_before_they_expire_once_for_all_lanes_and_not_all_at_the_same_time(
    aws: AwsStandIn, clock: SteppedClock, lanes: AsyncExitStack
) -> None:
    accounts = await lanes.enter_async_context(Accounts(clock=clock, chance=random.Random(7)))
    access = [
        Access(region=region, role_arn=role(number), endpoint_url=aws.url) for number in range(30) for region in REGIONS
    ]
    services = [service for service, _ in [await opened(lanes, accounts, each) for each in access]]
    renewed_after_min = []

    clock.pass_time(3_600 - RENEWED_BEFORE_S[1] - 60)
    for minute in range(39, 51):
        before = aws.count()["AssumeRole"]
        await asyncio.gather(*(service.capacity() for service in services), return_exceptions=True)
        renewed_after_min += [minute] * (aws.count()["AssumeRole"] - before)
        clock.pass_time(60)

    assert len(renewed_after_min) == 30
    assert set(renewed_after_min) <= set(range(40, 51))
    assert max(renewed_after_min.count(minute) for minute in renewed_after_min) <= 10
    await asyncio.gather(*(service.capacity() for service in services), return_exceptions=True)
    used = [each.access_key for each in aws.received if each.operation == "DescribeAccountLimits"][-60:]
    assert len(set(used)) == 30


@pytest.mark.usefixtures("keys")
async def test_a_renewal_that_fails_is_not_repeated_at_every_request_while_the_keys_are_good(
    aws: AwsStandIn, accounts: Accounts, clock: SteppedClock, lanes: AsyncExitStack
) -> None:
    service, _ = await opened(lanes, accounts, Access(region="us-east-1", role_arn=role(1), endpoint_url=aws.url))
    aws.refusals["AssumeRole"] = (403, "AccessDenied")
    clock.pass_time(3_600 - RENEWED_BEFORE_S[0] - 20)

    for _ in range(10):
        clock.pass_time(1)
        await asyncio.gather(service.capacity(), return_exceptions=True)
    assert aws.count() == {"AssumeRole": 2, "DescribeAccountLimits": 10}

    clock.pass_time(60)
    with pytest.raises(AccessFault, match="AccessDenied"):
        await service.capacity()
    assert aws.count() == {"AssumeRole": 3, "DescribeAccountLimits": 10}


@pytest.mark.usefixtures("keys")
async def test_a_lane_that_is_cancelled_while_it_fetches_leaves_the_fetch_to_another(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    aws.gate = asyncio.Event()
    access = [Access(region=region, role_arn=role(1), endpoint_url=aws.url) for region in REGIONS]
    first = asyncio.create_task(opened(lanes, accounts, access[0]))
    await aws.assuming.wait()
    second = asyncio.create_task(opened(lanes, accounts, access[1]))
    await asyncio.sleep(0)

    first.cancel()
    aws.gate.set()
    _, account = await second

    assert account == f"{1:012d}"
    assert aws.count() == {"AssumeRole": 2}


@pytest.mark.usefixtures("keys")
async def test_every_call_of_sts_takes_its_place_in_the_pace(
    aws: AwsStandIn, clock: SteppedClock, lanes: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AssumeRole and GetCallerIdentity of ours, and what the SDK sends for a profile."""
    aws.now = lambda: datetime.now(UTC)  # the SDK's own credentials go by the system's clock
    token, config = tmp_path / "token", tmp_path / "config"
    token.write_text("token")
    config.write_text(f"[profile pod]\nrole_arn = {role(7)}\nweb_identity_token_file = {token}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
    accounts = await lanes.enter_async_context(Accounts(clock=clock, sts_rate=1))

    await opened(lanes, accounts, Access(region="us-east-1", role_arn=role(1), endpoint_url=aws.url))
    await opened(lanes, accounts, Access(region="us-east-1", endpoint_url=aws.url))
    _, account = await opened(lanes, accounts, Access(profile="pod", region="us-east-1", endpoint_url=aws.url))

    assert aws.count() == {"AssumeRole": 1, "GetCallerIdentity": 1, "AssumeRoleWithWebIdentity": 1}
    assert account == f"{7:012d}"
    assert clock.slept_s == [1.0, 2.0]


async def test_no_more_than_the_rate_start_in_any_second(clock: SteppedClock) -> None:
    pace = StartLimiter(20, clock=clock)

    for _ in range(45):
        await pace.slot()
    clock.pass_time(2.5)
    for _ in range(16):
        await pace.slot()

    assert clock.slept_s == [1.0] * 20 + [2.0] * 5 + [0.5]


async def test_who_waited_for_a_turn_that_failed_fails_with_it_and_the_next_one_tries_again(
    clock: SteppedClock,
) -> None:
    turns, tried = Turns(clock=clock), 0
    under_way = asyncio.Event()

    async def attempt() -> None:
        nonlocal tried
        async with turns.turn():
            tried += 1
            await under_way.wait()
            raise Throttled("too fast", code="Throttling")

    waiting = [asyncio.create_task(attempt()) for _ in range(5)]
    await asyncio.sleep(0)
    under_way.set()
    ended = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in ended] == [Throttled] * 5
    assert tried == 1
    with pytest.raises(Throttled):
        await attempt()
    assert tried == 2


@pytest.mark.usefixtures("keys")
async def test_a_cookie_of_one_answer_is_not_sent_with_the_request_of_another_account(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    aws.headers = "Set-Cookie: canary=1; Path=/\r\n"

    for number in (1, 2):
        service, _ = await opened(
            lanes, accounts, Access(region="us-east-1", role_arn=role(number), endpoint_url=aws.url)
        )
        await asyncio.gather(service.capacity(), return_exceptions=True)

    assert len(aws.received) == 4
    assert not any("cookie" in each.head for each in aws.received)


@pytest.mark.usefixtures("keys")
async def test_lanes_that_send_in_turn_need_one_connection(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    for number in range(5):
        access = Access(region=REGIONS[number % 2], role_arn=role(number), endpoint_url=aws.url)
        service, _ = await opened(lanes, accounts, access)
        await asyncio.gather(service.capacity(), return_exceptions=True)

    assert (len(aws.received), aws.connections) == (10, 1)


@pytest.mark.usefixtures("keys")
async def test_a_shared_connection_has_the_limits_of_any_other(accounts: Accounts, lanes: AsyncExitStack) -> None:
    """No redirect is followed, and no answer is longer than the limit."""
    bounded = partial(BoundedSession, limits=RequestLimits(answer_bytes=100))
    async with answering() as peer, answering() as thief:
        access = Access(region="us-east-1", keys=StaticKeys("KEY", "x"), endpoint_url=peer.url, http_session=bounded)
        service = await lanes.enter_async_context(open_service(access, accounts=accounts))
        peer.redirect(307, thief.url)
        with pytest.raises(NoAnswer, match="not followed"):
            await service.account()
        with pytest.raises(NoAnswer, match="not followed"):
            await service.capacity()
        peer.answer(200, b"{" + b" " * 100 + b"}")
        with pytest.raises(NoAnswer, match="longer than 100 bytes"):
            await service.capacity()

    assert thief.requests == 0


@pytest.mark.usefixtures("keys")
async def test_lanes_are_closed_one_by_one_and_their_connections_at_the_end(
    aws: AwsStandIn, clock: SteppedClock
) -> None:
    async with Accounts(clock=clock) as accounts:
        async with AsyncExitStack() as first:
            await opened(first, accounts, Access(region="us-east-1", role_arn=role(1), endpoint_url=aws.url))
        async with AsyncExitStack() as second:
            service, _ = await opened(
                second, accounts, Access(region="us-west-2", role_arn=role(1), endpoint_url=aws.url)
            )
            await asyncio.gather(service.capacity(), return_exceptions=True)

    assert aws.count() == {"AssumeRole": 1, "DescribeAccountLimits": 1}


@pytest.mark.usefixtures("keys")
async def test_the_checks_of_a_lane_use_the_credentials_that_its_run_uses(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    access = [Access(region=region, role_arn=role(1), endpoint_url=aws.url) for region in REGIONS]

    for each in access:
        diagnosis = Diagnosis(each, accounts=accounts)
        assert await diagnosis.region() == (each.region, None)
        assert await diagnosis.endpoint() == aws.url
        assert (await diagnosis.credentials(each.region)).method == "assume-role"
        await opened(lanes, accounts, each)

    assert aws.count() == {"AssumeRole": 1}


@pytest.mark.usefixtures("keys")
async def test_each_account_is_assumed_in_the_region_of_its_lane(
    clock: SteppedClock, lanes: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that STS of one Region, which may be off in the account of the identity, is not every lane's STS."""
    asked: list[str] = []
    monkeypatch.setattr(Unsent, "asked", asked, raising=False)
    accounts = await lanes.enter_async_context(Accounts(clock=clock))

    for number, region in enumerate(("us-east-1", "eu-west-1", "us-east-1")):
        access = Access(region=region, role_arn=role(number), http_session=Unsent)
        service = await lanes.enter_async_context(open_service(access, accounts=accounts))
        with pytest.raises(CredentialsUnreached):
            await service.account()

    assert asked == [f"https://sts.{region}.amazonaws.com/" for region in ("us-east-1", "eu-west-1", "us-east-1")]


@pytest.mark.usefixtures("keys")
async def test_if_sts_of_one_region_is_away_the_role_is_assumed_in_another_region_of_the_account(
    aws: AwsStandIn, accounts: Accounts, lanes: AsyncExitStack
) -> None:
    access = [Access(region=region, role_arn=role(1), endpoint_url=aws.url) for region in REGIONS]
    aws.refusals_once["AssumeRole"] = (503, "503")

    services = await asyncio.gather(
        *(lanes.enter_async_context(open_service(each, accounts=accounts)) for each in access)
    )
    for service in services:
        with suppress(CredentialsUnreached):
            await service.account_for_all(service.account)

    assert [(each.operation, each.region) for each in aws.received] == [
        ("AssumeRole", "us-east-1"),
        ("AssumeRole", "us-west-2"),
    ]
