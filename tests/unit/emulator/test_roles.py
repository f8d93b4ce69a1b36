"""Keys that AssumeRole gives, with the real boto3 client: whose they are, how long, and who gets none."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from batch_upload.emulator.context import Caller
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.unit.emulator.support import ARN, DESCRIBE, PDF, MakeBoto3, MakeClient, ManualClock

ACME, BETA, GAMMA = "111122223333", "444455556666", "777788889999"
NAME = "batch-upload"


def role_of(account: str, name: str = "uploader") -> str:
    return f"arn:aws:iam::{account}:role/path/{name}"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    settings = {
        "rates": {"*": None},
        "refused_roles": [GAMMA, role_of(BETA, "refused")],
        "external_ids": {BETA: "of-beta", role_of(ACME, "guarded"): "of-acme"},
    }
    with running_emulator(settings) as one:
        yield one


@pytest.fixture
def sts(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> Any:  # noqa: ANN401 - boto3 ships no types
    return make_boto3(emulator.url, "sts")


def test_a_role_acts_in_its_own_account(emulator: EmulatorProcess, make_boto3: MakeBoto3, sts: Any) -> None:  # noqa: ANN401
    answer = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME)
    keys = answer["Credentials"]
    key, token = keys["AccessKeyId"], keys["SessionToken"]

    identity = make_boto3(emulator.url, "sts", key=key, token=token).get_caller_identity()
    created = make_boto3(emulator.url, key=key, token=token).create_registration_attachment(AttachmentBody=PDF)

    arn = f"arn:aws:sts::{ACME}:assumed-role/uploader/{NAME}"
    assert (identity["Account"], identity["Arn"]) == (ACME, arn)
    assert answer["AssumedRoleUser"]["Arn"] == arn
    assert created[ARN].startswith(f"arn:aws:sms-voice:us-east-1:{ACME}:")
    assert timedelta(minutes=59) < keys["Expiration"] - datetime.now(UTC) <= timedelta(hours=1)


def test_a_session_lasts_as_long_as_was_asked_for(sts: Any) -> None:  # noqa: ANN401
    answer = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME, DurationSeconds=900)

    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RoleArn": "arn:aws:iam::3:role/uploader"}, "ValidationError"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"RoleArn": role_of(GAMMA)}, "AccessDenied"),
        ({"RoleArn": role_of(BETA, "refused"), "ExternalId": "of-beta"}, "AccessDenied"),
        ({"RoleArn": role_of(BETA)}, "AccessDenied"),
        ({"RoleArn": role_of(BETA), "ExternalId": "of-acme"}, "AccessDenied"),
        ({"RoleArn": role_of(ACME, "guarded")}, "AccessDenied"),
    ],
)
def test_a_role_that_cannot_be_assumed_is_refused(sts: Any, changes: dict[str, Any], code: str) -> None:  # noqa: ANN401
    with pytest.raises(ClientError) as error:
        sts.assume_role(**{"RoleArn": role_of(ACME), "RoleSessionName": NAME, **changes})

    assert error.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("arn", "external_id"), [(role_of(BETA), "of-beta"), (role_of(ACME, "guarded"), "of-acme"), (role_of(ACME), "any")]
)
def test_the_right_external_id_opens_the_role(sts: Any, arn: str, external_id: str) -> None:  # noqa: ANN401
    answer = sts.assume_role(RoleArn=arn, RoleSessionName=NAME, ExternalId=external_id)

    assert answer["Credentials"]["AccessKeyId"]


def test_a_refusal_names_the_caller_and_the_role(sts: Any) -> None:  # noqa: ANN401
    with pytest.raises(ClientError) as error:
        sts.assume_role(RoleArn=role_of(GAMMA), RoleSessionName=NAME)

    assert error.value.response["Error"]["Message"] == (
        "User: arn:aws:iam::123456789012:user/emulated is not authorized to perform: sts:AssumeRole on resource: "
        + role_of(GAMMA)
    )


def test_a_role_that_assumes_a_role_gets_an_hour_at_most(
    emulator: EmulatorProcess,
    make_boto3: MakeBoto3,
    sts: Any,  # noqa: ANN401
) -> None:
    keys = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME)["Credentials"]
    chained = make_boto3(emulator.url, "sts", key=keys["AccessKeyId"], token=keys["SessionToken"])

    with pytest.raises(ClientError, match="role chaining"):
        chained.assume_role(RoleArn=role_of(ACME, "second"), RoleSessionName=NAME, DurationSeconds=3_601)
    answer = chained.assume_role(RoleArn=role_of(ACME, "second"), RoleSessionName=NAME, DurationSeconds=3_600)

    assert answer["AssumedRoleUser"]["Arn"].endswith(f"assumed-role/second/{NAME}")


@pytest.mark.parametrize("service", ["sts", "pinpoint-sms-voice-v2"])
@pytest.mark.parametrize("token", [None, "not-a-token", "another"])
def test_the_keys_of_a_role_need_their_token(
    emulator: EmulatorProcess,
    make_boto3: MakeBoto3,
    sts: Any,  # noqa: ANN401
    service: str,
    token: str | None,
) -> None:
    keys = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME)["Credentials"]
    another = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME)["Credentials"]
    given = another["SessionToken"] if token == "another" else token
    client = make_boto3(emulator.url, service, key=keys["AccessKeyId"], token=given)

    with pytest.raises(ClientError) as error:
        client.get_caller_identity() if service == "sts" else client.describe_registration_attachments()

    expected = "InvalidClientTokenId" if service == "sts" else "UnrecognizedClientException"
    assert error.value.response["Error"]["Code"] == expected
    assert error.value.response["Error"]["Message"] == "The security token included in the request is invalid"


def test_keys_survive_a_restart(emulator: EmulatorProcess, make_boto3: MakeBoto3, sts: Any) -> None:  # noqa: ANN401
    keys = sts.assume_role(RoleArn=role_of(ACME), RoleSessionName=NAME)["Credentials"]

    with running_emulator({"rates": {"*": None}}) as after:
        again = make_boto3(after.url, "sts", key=keys["AccessKeyId"], token=keys["SessionToken"])
        assert again.get_caller_identity()["Account"] == ACME


def test_how_often_each_role_was_assumed_is_counted(emulator: EmulatorProcess, sts: Any) -> None:  # noqa: ANN401
    arn = role_of(ACME, "counted")
    for _ in range(2):
        sts.assume_role(RoleArn=arn, RoleSessionName=NAME)

    assert emulator.stats()["roles"][arn] == 2


def test_keys_expire_when_their_session_ends(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(role_session_s=2)
    answer = client.ask("AssumeRole", RoleArn=role_of(ACME), RoleSessionName=NAME).members["Credentials"]
    caller = Caller(answer["AccessKeyId"], "us-east-1", answer["SessionToken"])

    before = client.ask(DESCRIBE, caller)
    clock.advance(2)
    after = client.ask(DESCRIBE, caller)
    identity = client.ask("GetCallerIdentity", caller)

    assert answer["Expiration"] == "2026-06-30T12:00:02Z"
    assert (before.code, after.code, identity.code) == (None, "ExpiredTokenException", "ExpiredTokenException")
    assert after.members["Message"] == "The security token included in the request is expired"


def test_the_expiry_is_by_the_clock_of_the_answers(make_client: MakeClient) -> None:
    client = make_client(clock_ahead_s=600)

    answer = client.ask("AssumeRole", RoleArn=role_of(ACME), RoleSessionName=NAME)

    assert answer.members["Credentials"]["Expiration"] == "2026-06-30T13:10:00Z"
