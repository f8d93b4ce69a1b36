"""Quotas, rates and permissions of an account, and what is done to attachments once they are there."""

from datetime import timedelta
from typing import Any

import pytest

from batch_upload.emulator.context import Caller
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.limits import Rate
from tests.unit.emulator.support import ATTACHMENT_ID, PDF, PNG, MakeClient, ManualClock


def test_an_account_is_full_at_its_quota_and_deleting_makes_room(make_client: MakeClient) -> None:
    client = make_client(attachments_per_account=2)
    first = client.create("a")
    client.create("b")

    full = client.create("c")
    replayed = client.create("a")
    client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=first.members[ATTACHMENT_ID])

    assert (full.code, full.members["Reason"]) == (
        "ServiceQuotaExceededException",
        "REGISTRATION_ATTACHMENTS_PER_ACCOUNT",
    )
    assert replayed.outcome == "replayed"
    assert client.create("c").code is None


def test_a_day_is_full_until_the_next_utc_midnight_whatever_is_deleted(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client(attachments_per_day=1)
    first = client.create("a")
    client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=first.members[ATTACHMENT_ID])

    full = client.create("b")
    clock.advance(timedelta(hours=12).total_seconds())

    assert full.members["Reason"] == "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY"
    assert client.create("b").code is None


def test_accounts_and_regions_have_attachments_tokens_quotas_and_rates_of_their_own(make_client: MakeClient) -> None:
    client = make_client(
        accounts={"AKIDOTHER": "210987654321"},
        attachments_per_account=1,
        rates={"*": None, "ListTagsForResource": Rate(1)},
    )
    callers = [Caller("AKID", "us-east-1"), Caller("AKID", "eu-west-1"), Caller("AKIDOTHER", "us-east-1")]

    arns = [client.create("token", caller=caller).members["RegistrationAttachmentArn"] for caller in callers]
    tags = [client.ask("ListTagsForResource", caller, ResourceArn=arns[0]).code for caller in callers]

    assert [arn.rpartition("/")[0] for arn in arns] == [
        "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment",
        "arn:aws:sms-voice:eu-west-1:123456789012:registration-attachment",
        "arn:aws:sms-voice:us-east-1:210987654321:registration-attachment",
    ]
    assert tags == [None, "ResourceNotFoundException", "ResourceNotFoundException"]


def test_each_operation_has_a_rate_of_its_own(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(rates={})

    codes = [client.create().code, client.create().code, client.ask("DescribeAccountLimits").code]
    clock.advance(1)
    codes.append(client.create().code)

    assert codes == [None, "ThrottlingException", None, None]
    assert client.emulator.stats()["throttled"] == {"CreateRegistrationAttachment": 1}


def test_checks_come_in_the_order_rate_permission_validation_replay_quota(
    make_client: MakeClient, clock: ManualClock
) -> None:
    create = "CreateRegistrationAttachment"
    client = make_client(rates={create: Rate(1)}, deny=frozenset({create}), attachments_per_account=1)

    denied = client.create("a", body=b"neither")
    throttled = client.create("a", body=b"neither")
    client.emulator.change_settings(b'{"deny": []}')
    codes = []
    for token, body in [("a", b"neither"), ("a", PDF), ("a", b"neither"), ("a", PNG), ("b", PDF)]:
        clock.advance(1)
        codes.append(client.create(token, body=body).code)

    assert (denied.code, throttled.code) == ("AccessDeniedException", "ThrottlingException")
    assert codes == [
        "ValidationException",
        None,
        "ValidationException",
        "ConflictException",
        "ServiceQuotaExceededException",
    ]


def test_tags_on_a_create_need_the_permission_to_tag(make_client: MakeClient) -> None:
    client = make_client(deny=frozenset({"TagResource"}))

    assert client.create().code is None
    assert client.create(tags={"a": "1"}).code == "AccessDeniedException"


def test_without_any_permission_everything_is_denied(make_client: MakeClient) -> None:
    client = make_client(deny=frozenset({"*"}))

    codes = [client.ask(operation).code for operation in ("GetCallerIdentity", "DescribeAccountLimits")]

    assert codes == ["AccessDeniedException"] * 2


def test_a_refused_request_uses_no_token_up(make_client: MakeClient) -> None:
    client = make_client()
    client.create("token", body=b"neither")

    assert client.create("token").outcome == "accepted"


def test_a_throttled_request_reaches_no_fault(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(rates={}, faults=(FaultRule(FaultAction.INTERNAL_ERROR, after=1, times=1),))

    outcomes = [client.create().outcome for _ in range(3)]
    clock.advance(1)
    outcomes.append(client.create().outcome)

    assert outcomes == ["accepted", "ThrottlingException", "ThrottlingException", "internal_error"]


def test_tags_are_read_changed_and_taken_away(make_client: MakeClient) -> None:
    client = make_client()
    arn = client.create(tags={"a": "1", "b": "2"}).members["RegistrationAttachmentArn"]

    client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}])
    client.ask("UntagResource", ResourceArn=arn, TagKeys=["a", "unknown"])

    tags = client.ask("ListTagsForResource", ResourceArn=arn).members["Tags"]
    assert tags == [{"Key": "b", "Value": "3"}, {"Key": "c", "Value": ""}]


def test_tagging_keeps_the_rules_of_tags(make_client: MakeClient) -> None:
    client = make_client()
    arn = client.create(tags={f"k{index}": "v" for index in range(50)}).members["RegistrationAttachmentArn"]

    many = client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "one more", "Value": "v"}])
    reserved = client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": "v"}])

    assert many.members["Reason"] == "TAGS_PER_RESOURCE"
    assert reserved.code == "ValidationException"


def test_what_is_deleted_is_described_as_deleted_and_cannot_be_changed(make_client: MakeClient) -> None:
    client = make_client()
    created = client.create("token", tags={"a": "1"}).members
    arn = created["RegistrationAttachmentArn"]

    deleted = client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=arn)
    again = client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=arn)
    tagged = client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "1"}])

    assert deleted.members["AttachmentStatus"] == "DELETED"
    assert (again.code, tagged.code) == ("ResourceNotFoundException", "ConflictException")
    assert client.status(created[ATTACHMENT_ID]) == "DELETED"
    assert client.create("token", tags={"a": "1"}).members["AttachmentStatus"] == "DELETED"


def test_what_is_deleted_may_be_forgotten_instead(make_client: MakeClient) -> None:
    client = make_client(keeps_deleted=False, attachments_per_account=1)
    created = client.create("token").members

    client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=created[ATTACHMENT_ID])

    reply = client.ask("DescribeRegistrationAttachments", RegistrationAttachmentIds=[created[ATTACHMENT_ID]])
    assert (reply.code, reply.members["ResourceId"]) == ("ResourceNotFoundException", created[ATTACHMENT_ID])
    assert client.create("token").outcome == "accepted"


def test_limits_tell_what_is_used_and_what_may_be(make_client: MakeClient) -> None:
    client = make_client()
    client.create()

    limits = client.ask("DescribeAccountLimits").members["AccountLimits"]

    assert {"Name": "REGISTRATION_ATTACHMENTS", "Used": 1, "Max": 25} in limits


def test_limits_come_in_pages(make_client: MakeClient) -> None:
    client = make_client()
    names: list[str] = []
    token: dict[str, Any] = {}

    for _ in range(3):
        members = client.ask("DescribeAccountLimits", MaxResults=3, **token).members
        names += [limit["Name"] for limit in members["AccountLimits"]]
        token = {"NextToken": members["NextToken"]} if "NextToken" in members else {}

    assert (len(names), len(set(names)), token) == (8, 8, {})


def test_bodies_are_kept_only_on_demand(make_client: MakeClient) -> None:
    forgetful, keeping = make_client(), make_client(keeps_bodies=True)
    forgotten, kept = (client.create().members[ATTACHMENT_ID] for client in (forgetful, keeping))

    assert keeping.emulator.body(kept) == PDF
    with pytest.raises(KeyError):
        forgetful.emulator.body(forgotten)


def test_ids_cannot_be_guessed_and_request_ids_differ(make_client: MakeClient) -> None:
    client = make_client(attachments_per_account=None)
    replies = [client.create() for _ in range(100)]

    assert len({reply.members[ATTACHMENT_ID] for reply in replies}) == 100
    assert len({reply.request_id for reply in replies}) == 100
    assert all(len(reply.members[ATTACHMENT_ID]) >= len("registration-attachment-") + 32 for reply in replies)
