"""The real boto3 client believes that this is the service."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.unit.emulator.support import ARN, ATTACHMENT_ID, PDF, MakeBoto3


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    with running_emulator(
        {"rates": {"*": None}, "attachments_per_account": None, "accounts": {"BOB": "2" * 12}}
    ) as one:
        yield one


@pytest.fixture
def emulator(process: EmulatorProcess) -> Iterator[EmulatorProcess]:
    yield process
    process.set_faults([])


def test_an_attachment_lives_its_life(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="eu-central-1")
    tags = [{"Key": "a", "Value": "1"}]

    created = client.create_registration_attachment(AttachmentBody=PDF, Tags=tags, ClientToken="life")
    replayed = client.create_registration_attachment(AttachmentBody=PDF, Tags=tags, ClientToken="life")
    client.tag_resource(ResourceArn=created[ARN], Tags=[{"Key": "b", "Value": "2"}])
    client.untag_resource(ResourceArn=created[ARN], TagKeys=["a"])
    tagged = client.list_tags_for_resource(ResourceArn=created[ARN])
    deleted = client.delete_registration_attachment(RegistrationAttachmentId=created[ATTACHMENT_ID])
    listed = client.describe_registration_attachments()["RegistrationAttachments"]

    assert created[ATTACHMENT_ID] == replayed[ATTACHMENT_ID]
    assert created["Tags"] == tags
    assert created["CreatedTimestamp"].tzinfo is not None
    assert tagged["Tags"] == [{"Key": "b", "Value": "2"}]
    assert deleted["AttachmentStatus"] == "DELETED"
    assert [(one[ATTACHMENT_ID], one["AttachmentStatus"]) for one in listed] == [(created[ATTACHMENT_ID], "DELETED")]


def test_a_paginator_finds_everything_once(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="eu-north-1")
    ids = [client.create_registration_attachment(AttachmentBody=PDF)[ATTACHMENT_ID] for _ in range(7)]

    pages = client.get_paginator("describe_registration_attachments").paginate(PaginationConfig={"PageSize": 3})

    found = [[one[ATTACHMENT_ID] for one in page["RegistrationAttachments"]] for page in pages]
    assert found == [ids[:3], ids[3:6], ids[6:]]


def test_limits_are_paginated_too(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="ap-south-1")
    client.create_registration_attachment(AttachmentUrl="s3://bucket/key")

    pages = client.get_paginator("describe_account_limits").paginate(PaginationConfig={"PageSize": 3})

    limits = {limit["Name"]: limit["Used"] for page in pages for limit in page["AccountLimits"]}
    assert (len(limits), limits["REGISTRATION_ATTACHMENTS"]) == (8, 1)


@pytest.mark.parametrize(("key", "account"), [("ALICE", "123456789012"), ("BOB", "2" * 12)])
def test_the_token_service_answers_on_the_same_port(
    emulator: EmulatorProcess, make_boto3: MakeBoto3, key: str, account: str
) -> None:
    identity = make_boto3(emulator.url, "sts", key=key).get_caller_identity()

    assert (identity["Account"], identity["Arn"]) == (account, f"arn:aws:iam::{account}:user/emulated")


def test_modeled_errors_are_modeled(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url)
    created = client.create_registration_attachment(AttachmentBody=PDF, ClientToken="modeled")

    with pytest.raises(client.exceptions.ConflictException) as conflict:
        client.create_registration_attachment(AttachmentBody=PDF + b"x", ClientToken="modeled")
    with pytest.raises(client.exceptions.ValidationException) as invalid:
        client.create_registration_attachment(AttachmentBody=b"plain text")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as missing:
        client.describe_registration_attachments(RegistrationAttachmentIds=["registration-attachment-0"])

    assert conflict.value.response["ResourceId"] == created[ATTACHMENT_ID]
    assert invalid.value.response["Reason"] == "ATTACHMENT_TYPE_NOT_SUPPORTED"
    assert missing.value.response["ResourceType"] == "registration-attachment"
    assert all(error.value.response["ResponseMetadata"]["RequestId"] for error in (conflict, invalid, missing))


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("throttle", "ThrottlingException"),
        ("internal_error", "InternalServerException"),
        ("error_after", "InternalServerException"),
        ("unavailable", "503"),
        ("access_denied", "AccessDeniedException"),
        ("expired_token", "ExpiredTokenException"),
        ("unrecognized_client", "UnrecognizedClientException"),
        ("unknown_code", "UnheardOfException"),
        ("quota_day", "ServiceQuotaExceededException"),
        ("quota_account", "ServiceQuotaExceededException"),
        ("validation", "ValidationException"),
    ],
)
def test_a_fault_is_an_error_of_the_client(
    emulator: EmulatorProcess, make_boto3: MakeBoto3, action: str, code: str
) -> None:
    client = make_boto3(emulator.url)
    emulator.set_faults([{"action": action}])

    with pytest.raises(ClientError) as error:
        client.create_registration_attachment(AttachmentBody=PDF)

    assert error.value.response["Error"]["Code"] == code


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_dropped_connection_is_an_error_without_an_answer(
    emulator: EmulatorProcess, make_boto3: MakeBoto3, action: str
) -> None:
    client = make_boto3(emulator.url)
    emulator.set_faults([{"action": action}])

    with pytest.raises(ConnectionClosedError):
        client.create_registration_attachment(AttachmentBody=PDF)


@pytest.mark.parametrize("action", ["garbage", "truncated", "empty_200", "cut_short"])
def test_a_spoilt_answer_is_an_answer_without_members(
    emulator: EmulatorProcess, make_boto3: MakeBoto3, action: str
) -> None:
    client = make_boto3(emulator.url)
    emulator.set_faults([{"action": action}])

    answer: dict[str, Any] = client.create_registration_attachment(AttachmentBody=PDF)

    assert ATTACHMENT_ID not in answer


def test_five_mebibytes_go_through(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="sa-east-1")
    client.create_registration_attachment(AttachmentBody=PDF.ljust(5 * 1024 * 1024))

    [held] = [one for one in emulator.attachments() if one["region"] == "sa-east-1"]
    assert held["size"] == 5 * 1024 * 1024
