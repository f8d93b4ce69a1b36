"""Registrations: their versions, and the values in their fields."""

from typing import Any

import pytest

from batch_upload.emulator import FieldDenial, VersionStatus
from batch_upload.emulator.registration_types import REGISTRATION_TYPES
from tests.unit.emulator.support import (
    ATTACHMENT_ID,
    CAMPAIGN,
    COMPANY,
    IMAGE,
    REGISTRATION_ID,
    TOLL_FREE,
    VOLUME,
    Client,
    MakeClient,
    ManualClock,
    described,
    put,
    registered,
    uploaded,
    values,
)


def test_a_registration_begins_with_an_empty_draft(client: Client, clock: ManualClock) -> None:
    created = client.ask("CreateRegistration", RegistrationType=TOLL_FREE, Tags=[{"Key": "a", "Value": "1"}]).members

    versions = client.ask("DescribeRegistrationVersions", RegistrationId=created[REGISTRATION_ID]).members[
        "RegistrationVersions"
    ]

    assert (
        created["RegistrationArn"]
        == f"arn:aws:sms-voice:us-east-1:123456789012:registration/{created[REGISTRATION_ID]}"
    )
    assert (created["RegistrationStatus"], created["CurrentVersionNumber"]) == ("CREATED", 1)
    assert created["Tags"] == [{"Key": "a", "Value": "1"}]
    now_s = clock.now().timestamp()
    assert versions == [
        {
            "VersionNumber": 1,
            "RegistrationVersionStatus": "DRAFT",
            "RegistrationVersionStatusHistory": {"DraftTimestamp": now_s},
        }
    ]
    assert values(client, created[REGISTRATION_ID]) == []


def test_a_field_holds_what_was_put_last(client: Client) -> None:
    registration_id, attachment_id = registered(client), uploaded(client)
    put(client, registration_id, TextValue="Before")
    put(client, registration_id, TextValue="After")
    put(client, registration_id, VOLUME, SelectChoices=["1,000"])

    answer = put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id).members

    assert (answer["VersionNumber"], answer["FieldPath"]) == (1, IMAGE)
    assert answer["RegistrationAttachmentId"] == attachment_id
    assert values(client, registration_id) == [
        {"FieldPath": COMPANY, "TextValue": "After"},
        {"FieldPath": VOLUME, "SelectChoices": ["1,000"]},
        {"FieldPath": IMAGE, "RegistrationAttachmentId": attachment_id},
    ]
    [one] = client.emulator.registrations.all()
    assert [each.get("TextValue") for each in one["versions"][0]["puts"]] == ["Before", "After", None, None]
    assert [one["FieldPath"] for one in values(client, registration_id, FieldPaths=[IMAGE])] == [IMAGE]
    assert [one["FieldPath"] for one in values(client, registration_id, SectionPath="companyInfo")] == [COMPANY]


def test_a_field_names_its_attachment_by_its_arn_where_the_settings_say_so(make_client: MakeClient) -> None:
    client = make_client(processing_s=0, fields_give_arns=True)
    registration_id, attachment = registered(client), client.create().members

    answer = put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment[ATTACHMENT_ID]).members

    [held] = values(client, registration_id)
    assert answer["RegistrationAttachmentId"] == attachment["RegistrationAttachmentArn"]
    assert held["RegistrationAttachmentId"] == attachment["RegistrationAttachmentArn"]


def test_registrations_and_attachments_can_be_named_by_their_arns(client: Client) -> None:
    registration_id, attachment = registered(client), client.create().members
    arn = described(client, registration_id)["RegistrationArn"]

    put(client, arn, IMAGE, RegistrationAttachmentId=attachment["RegistrationAttachmentArn"])

    [held] = values(client, arn)
    assert held["RegistrationAttachmentId"] == attachment[ATTACHMENT_ID]


def test_a_deleted_value_is_gone_and_deleting_it_again_changes_nothing(client: Client) -> None:
    registration_id = registered(client)
    put(client, registration_id)

    deleted = client.ask("DeleteRegistrationFieldValue", RegistrationId=registration_id, FieldPath=COMPANY)
    again = client.ask("DeleteRegistrationFieldValue", RegistrationId=registration_id, FieldPath=COMPANY)

    assert deleted.members["TextValue"] == "Example Corp"
    assert (again.code, "TextValue" in again.members) == (None, False)
    assert values(client, registration_id) == []


def test_a_denial_is_read_back_and_the_next_version_begins_empty(client: Client, clock: ManualClock) -> None:
    registration_id, attachment_id = registered(client), uploaded(client)
    put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id)
    submitted = client.ask("SubmitRegistrationVersion", RegistrationId=registration_id, AwsReview=True).members
    clock.advance(3_600)
    denials = {IMAGE: FieldDenial("UNCLEAR", "no frequency"), COMPANY: FieldDenial("MISSING_REQUIRED_FIELD")}

    client.emulator.registrations.review(registration_id, VersionStatus.DENIED, denials=denials, feedback="try again")
    opened = client.ask("CreateRegistrationVersion", RegistrationId=registration_id).members

    assert (submitted["RegistrationVersionStatus"], submitted["AwsReview"]) == ("SUBMITTED", True)
    assert (opened["VersionNumber"], opened["RegistrationVersionStatus"]) == (2, "DRAFT")
    assert values(client, registration_id) == []
    assert values(client, registration_id, VersionNumber=1) == [
        {"FieldPath": COMPANY, "DeniedReason": "MISSING_REQUIRED_FIELD"},
        {
            "FieldPath": IMAGE,
            "RegistrationAttachmentId": attachment_id,
            "DeniedReason": "UNCLEAR",
            "Feedback": "no frequency",
        },
    ]
    one = described(client, registration_id)
    assert (one["CurrentVersionNumber"], one["LatestDeniedVersionNumber"]) == (2, 1)
    assert one["RegistrationStatus"] == "REQUIRES_UPDATES"
    [denied] = client.ask("DescribeRegistrationVersions", RegistrationId=registration_id, VersionNumbers=[1]).members[
        "RegistrationVersions"
    ]
    assert [each["Reason"] for each in denied["DeniedReasons"]] == ["UNCLEAR", "MISSING_REQUIRED_FIELD"]
    assert denied["Feedback"] == "try again"
    history = denied["RegistrationVersionStatusHistory"]
    assert history["DeniedTimestamp"] - history["SubmittedTimestamp"] == 3_600


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["SUBMITTED"], "SUBMITTED"),
        (["REQUIRES_AUTHENTICATION"], "REQUIRES_AUTHENTICATION"),
        (["APPROVED"], "COMPLETE"),
        (["APPROVED", "DRAFT"], "COMPLETE"),
        (["APPROVED", "DENIED"], "REQUIRES_UPDATES"),
        (["DISCARDED", "DRAFT"], "CREATED"),
        (["REVOKED"], "CLOSED"),
    ],
)
def test_the_status_follows_from_the_versions(client: Client, statuses: list[str], expected: str) -> None:
    registration_id = registered(client)
    for number, status in enumerate(statuses, start=1):
        if number > 1:
            client.emulator.registrations.open_version(registration_id)
        client.emulator.registrations.review(registration_id, VersionStatus(status))

    one = described(client, registration_id)

    assert one["RegistrationStatus"] == expected
    assert one.get("ApprovedVersionNumber") == (1 if "APPROVED" in statuses else None)


def test_pages_hold_each_registration_once_in_the_order_of_creation(client: Client) -> None:
    ids = [registered(client, CAMPAIGN if number % 3 == 0 else TOLL_FREE) for number in range(7)]

    pages: list[list[str]] = []
    token: str | None = None
    while token or not pages:
        given: dict[str, Any] = {} if token is None else {"NextToken": token}
        answer = client.ask("DescribeRegistrations", MaxResults=3, **given).members
        pages.append([one[REGISTRATION_ID] for one in answer["Registrations"]])
        token = answer.get("NextToken")
        client.ask("DeleteRegistration", RegistrationId=pages[-1][0])
    of_type = client.ask("DescribeRegistrations", Filters=[{"Name": "registration-type", "Values": [CAMPAIGN]}])
    deleted = client.ask("DescribeRegistrations", Filters=[{"Name": "registration-status", "Values": ["DELETED"]}])

    assert pages == [ids[:3], ids[3:6], ids[6:]]
    assert [one[REGISTRATION_ID] for one in of_type.members["Registrations"]] == ids[::3]
    assert [one[REGISTRATION_ID] for one in deleted.members["Registrations"]] == ids[::3]


def test_a_token_of_a_page_expires_and_belongs_to_its_operation(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(next_token_life_s=60, page_size=2)
    answer = client.ask("DescribeRegistrationFieldDefinitions", RegistrationType=TOLL_FREE).members
    given = {"NextToken": answer["NextToken"]}

    followed = client.ask("DescribeRegistrationFieldDefinitions", RegistrationType=TOLL_FREE, **given)
    other = client.ask("DescribeRegistrationFieldDefinitions", RegistrationType=CAMPAIGN, **given)
    clock.advance(61)
    late = client.ask("DescribeRegistrationFieldDefinitions", RegistrationType=TOLL_FREE, **given)

    assert [len(each["RegistrationFieldDefinitions"]) for each in (answer, followed.members)] == [2, 2]
    assert [each.members["Reason"] for each in (other, late)] == ["INVALID_NEXT_TOKEN"] * 2


@pytest.mark.parametrize("registration_type", REGISTRATION_TYPES)
def test_definitions_fit_the_model_and_name_every_field(client: Client, registration_type: str) -> None:
    answer = client.ask("DescribeRegistrationFieldDefinitions", RegistrationType=registration_type)

    found = {each["FieldPath"]: each for each in answer.members["RegistrationFieldDefinitions"]}
    assert list(found) == list(REGISTRATION_TYPES[registration_type])
    assert {each["FieldType"] for each in found.values()} >= {"TEXT", "SELECT"}
    for each in found.values():
        assert ("TextValidation" in each) == (each["FieldType"] == "TEXT")
        assert ("SelectValidation" in each) == (each["FieldType"] == "SELECT")


def test_a_token_gives_the_registration_that_it_made(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(registrations_per_account=2, token_memory_s=60)
    given: dict[str, Any] = {"RegistrationType": TOLL_FREE, "ClientToken": "token"}
    made = client.ask("CreateRegistration", **given).members[REGISTRATION_ID]
    client.emulator.registrations.review(made, VersionStatus.APPROVED)

    replayed = client.ask("CreateRegistration", **given)
    other = client.ask("CreateRegistration", RegistrationType=CAMPAIGN, ClientToken="token")
    clock.advance(60)

    assert (replayed.outcome, replayed.members[REGISTRATION_ID]) == ("replayed", made)
    assert (other.code, other.members["Reason"]) == ("ConflictException", "RESOURCE_ALREADY_EXISTS")
    assert client.ask("CreateRegistration", **given).members[REGISTRATION_ID] != made


def test_tags_of_a_registration_are_read_and_changed_by_its_arn(make_client: MakeClient) -> None:
    client = make_client()
    registration_id = registered(client, Tags=[{"Key": "a", "Value": "1"}])
    arn = described(client, registration_id)["RegistrationArn"]

    client.ask("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    client.ask("UntagResource", ResourceArn=arn, TagKeys=["a"])

    assert client.ask("ListTagsForResource", ResourceArn=arn).members["Tags"] == [{"Key": "b", "Value": "2"}]
    client.emulator.change_settings(b'{"deny": ["TagResource"]}')
    tagged = client.ask("CreateRegistration", RegistrationType=TOLL_FREE, Tags=[{"Key": "a", "Value": "1"}])
    assert tagged.code == "AccessDeniedException"
