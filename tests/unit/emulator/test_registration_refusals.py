"""What the service refuses about registrations, their fields and their attachments."""

from typing import Any

import pytest

from batch_upload.emulator import VersionStatus
from batch_upload.emulator.core import Reply
from batch_upload.emulator.settings import BoundDeletion
from tests.unit.emulator.support import (
    ATTACHMENT_ID,
    COMPANY,
    ELSEWHERE,
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


def delete_attachment(client: Client, attachment_id: str) -> Reply:
    return client.ask("DeleteRegistrationAttachment", RegistrationAttachmentId=attachment_id)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (IMAGE, {"TextValue": "a text"}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"RegistrationAttachmentId": "registration-attachment-0"}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"SelectChoices": ["10"]}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"TextValue": "x" * 101}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"TextValue": " \n"}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"TextValue": "half of a pair \ud800"}, "FIELD_VALIDATION_FAILED"),
        (VOLUME, {"SelectChoices": ["11"]}, "FIELD_VALIDATION_FAILED"),
        (VOLUME, {"SelectChoices": ["10", "100"]}, "FIELD_VALIDATION_FAILED"),
        (VOLUME, {"SelectChoices": []}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"TextValue": ""}, "FIELD_VALIDATION_FAILED"),
        (COMPANY, {"TextValue": "a", "SelectChoices": ["10"]}, "PARAMETERS_CANNOT_BE_USED_TOGETHER"),
        (COMPANY, {"TextValue": None}, "MISSING_PARAMETER"),
        ("companyInfo.colour", {"TextValue": "red"}, "UNKNOWN_REGISTRATION_FIELD"),
        ("campaignInfo.optInScreenshot", {"TextValue": "of another type"}, "UNKNOWN_REGISTRATION_FIELD"),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(
    client: Client, path: str, value: dict[str, Any], reason: str
) -> None:
    registration_id = registered(client)

    refused = put(client, registration_id, path, **value)

    assert (refused.code, refused.members["Reason"]) == ("ValidationException", reason)
    assert ("Fields" in refused.members) == (reason == "FIELD_VALIDATION_FAILED")
    assert values(client, registration_id) == []


@pytest.mark.parametrize(
    ("operation", "members", "reason"),
    [
        ("CreateRegistration", {"RegistrationType": "MOON_REGISTRATION"}, "UNKNOWN_REGISTRATION_TYPE"),
        ("CreateRegistration", {"RegistrationType": "a b"}, "FIELD_VALIDATION_FAILED"),
        ("CreateRegistration", {}, "FIELD_VALIDATION_FAILED"),
        (
            "CreateRegistration",
            {"RegistrationType": TOLL_FREE, "Tags": [{"Key": "aws:x", "Value": ""}]},
            "FIELD_VALIDATION_FAILED",
        ),
        ("DescribeRegistrations", {"RegistrationIds": ["registration-0"] * 6}, "FIELD_VALIDATION_FAILED"),
        (
            "DescribeRegistrations",
            {"RegistrationIds": ["registration-0"], "MaxResults": 5},
            "PARAMETERS_CANNOT_BE_USED_TOGETHER",
        ),
        (
            "DescribeRegistrations",
            {"Filters": [{"Name": "registration-status", "Values": ["GREEN"]}]},
            "INVALID_FILTER_VALUES",
        ),
        ("DescribeRegistrations", {"Filters": [{"Name": "colour", "Values": ["x"]}]}, "FIELD_VALIDATION_FAILED"),
        ("DescribeRegistrations", {"NextToken": "of somebody else"}, "INVALID_NEXT_TOKEN"),
        ("DescribeRegistrationFieldDefinitions", {"RegistrationType": "MOON"}, "UNKNOWN_REGISTRATION_TYPE"),
        (
            "DescribeRegistrationFieldDefinitions",
            {"RegistrationType": TOLL_FREE, "FieldPaths": ["companyInfo.colour"]},
            "UNKNOWN_REGISTRATION_FIELD",
        ),
        (
            "DescribeRegistrationFieldDefinitions",
            {"RegistrationType": TOLL_FREE, "FieldPaths": [COMPANY] * 6},
            "FIELD_VALIDATION_FAILED",
        ),
        (
            "DescribeRegistrationFieldDefinitions",
            {"RegistrationType": TOLL_FREE, "SectionPath": "campaignInfo"},
            "UNKNOWN_REGISTRATION_SECTION",
        ),
    ],
)
def test_a_request_about_what_does_not_exist_is_invalid(
    client: Client, operation: str, members: dict[str, Any], reason: str
) -> None:
    refused = client.ask(operation, **members)

    assert (refused.code, refused.members["Reason"]) == ("ValidationException", reason)


def test_a_version_that_does_not_exist_is_invalid(client: Client) -> None:
    registration_id = registered(client)

    refused = [
        client.ask("DescribeRegistrationFieldValues", RegistrationId=registration_id, VersionNumber=2),
        client.ask("DescribeRegistrationVersions", RegistrationId=registration_id, VersionNumbers=[1, 2]),
    ]

    assert [reply.members["Reason"] for reply in refused] == ["UNKNOWN_REGISTRATION_VERSION"] * 2


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("DescribeRegistrations", {"RegistrationIds": ["registration-0"]}),
        ("DescribeRegistrationVersions", {}),
        ("DescribeRegistrationFieldValues", {}),
        ("PutRegistrationFieldValue", {"FieldPath": COMPANY, "TextValue": "x"}),
        ("DeleteRegistrationFieldValue", {"FieldPath": COMPANY}),
        ("CreateRegistrationVersion", {}),
        ("SubmitRegistrationVersion", {}),
        ("DeleteRegistration", {}),
    ],
)
def test_a_registration_that_does_not_exist_is_not_found(
    client: Client, operation: str, members: dict[str, Any]
) -> None:
    given = members if "RegistrationIds" in members else {REGISTRATION_ID: "registration-0", **members}

    missing = client.ask(operation, **given)

    assert missing.code == "ResourceNotFoundException"
    assert (missing.members["ResourceType"], missing.members["ResourceId"]) == ("registration", "registration-0")


def test_each_account_and_region_has_its_own_registrations_and_attachments(client: Client) -> None:
    registration_id, abroad = registered(client), uploaded(client, ELSEWHERE)

    attachment = put(client, registration_id, IMAGE, RegistrationAttachmentId=abroad)
    registration = client.ask("DescribeRegistrations", ELSEWHERE, RegistrationIds=[registration_id])

    assert (attachment.code, attachment.members["ResourceType"]) == (
        "ResourceNotFoundException",
        "registration-attachment",
    )
    assert registration.code == "ResourceNotFoundException"
    assert client.ask("DescribeRegistrations", ELSEWHERE).members == {"Registrations": []}


def test_an_attachment_must_be_complete(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(processing_s=60, fails_containing=("broken",), describe_lag_s=5)
    registration_id, attachment_id = registered(client), uploaded(client)
    failed = client.create(url="s3://bucket/broken").members[ATTACHMENT_ID]
    unseen = put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id)
    clock.advance(30)

    processing = put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id)
    clock.advance(30)
    refused = put(client, registration_id, IMAGE, RegistrationAttachmentId=failed)

    assert unseen.code == "ResourceNotFoundException"
    for reply, named in ((processing, attachment_id), (refused, failed)):
        assert (reply.code, reply.members["Reason"]) == ("ConflictException", "RESOURCE_NOT_ACTIVE")
        assert (reply.members["ResourceType"], reply.members["ResourceId"]) == ("registration-attachment", named)
    assert put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id).code is None


@pytest.mark.parametrize("status", list(VersionStatus))
def test_only_a_draft_can_be_edited_and_submitted_and_only_what_is_decided_gets_a_new_version(
    client: Client, status: VersionStatus
) -> None:
    registration_id = registered(client)
    client.emulator.registrations.review(registration_id, status)

    edited = put(client, registration_id).members.get("Reason")
    deleted = client.ask("DeleteRegistrationFieldValue", RegistrationId=registration_id, FieldPath=COMPANY)
    submitted = client.ask("SubmitRegistrationVersion", RegistrationId=registration_id).members.get("Reason")
    renewed = client.ask("CreateRegistrationVersion", RegistrationId=registration_id).members.get("Reason")

    reasons = (edited, deleted.members.get("Reason"), submitted, renewed)
    if status is VersionStatus.DRAFT:
        assert reasons == (None, None, None, "CREATE_REGISTRATION_VERSION_NOT_ALLOWED")
    elif status in ("APPROVED", "DISCARDED", "DENIED", "REVOKED", "ARCHIVED"):
        refused = "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"
        assert reasons == (refused, refused, "SUBMIT_REGISTRATION_VERSION_NOT_ALLOWED", None)
    else:
        refused = "REGISTRATION_ALREADY_SUBMITTED"
        assert reasons == (refused, refused, refused, "CREATE_REGISTRATION_VERSION_NOT_ALLOWED")


def test_an_account_has_a_quota_of_registrations_and_deleting_makes_room(make_client: MakeClient) -> None:
    client = make_client(registrations_per_account=2)
    first = registered(client)
    registered(client)

    full = client.ask("CreateRegistration", RegistrationType=TOLL_FREE)
    limits = client.ask("DescribeAccountLimits").members["AccountLimits"]
    client.ask("DeleteRegistration", RegistrationId=first)

    assert (full.code, full.members["Reason"]) == ("ServiceQuotaExceededException", "REGISTRATIONS_PER_ACCOUNT")
    assert {"Name": "REGISTRATIONS", "Used": 2, "Max": 2} in limits
    assert client.ask("CreateRegistration", RegistrationType=TOLL_FREE).code is None


def test_a_registration_under_review_cannot_be_deleted_and_a_deleted_one_cannot_be_changed(client: Client) -> None:
    registration_id = registered(client)
    client.ask("SubmitRegistrationVersion", RegistrationId=registration_id)
    refused = client.ask("DeleteRegistration", RegistrationId=registration_id)
    client.emulator.registrations.review(registration_id, VersionStatus.APPROVED)

    deleted = client.ask("DeleteRegistration", RegistrationId=registration_id)

    assert refused.members["Reason"] == "RESOURCE_DELETION_NOT_ALLOWED"
    assert deleted.members["RegistrationStatus"] == "DELETED"
    assert described(client, registration_id)["RegistrationStatus"] == "DELETED"
    assert put(client, registration_id).code == "ResourceNotFoundException"
    client.emulator.change_settings(b'{"keeps_deleted": false}')
    assert client.ask("DescribeRegistrations").members["Registrations"] == []


def test_an_attachment_in_use_cannot_be_deleted_until_another_has_taken_its_place(client: Client) -> None:
    registration_id, before, after = registered(client), uploaded(client), uploaded(client)
    put(client, registration_id, IMAGE, RegistrationAttachmentId=before)

    refused = delete_attachment(client, before)
    put(client, registration_id, IMAGE, RegistrationAttachmentId=after)

    assert (refused.code, refused.members["Reason"]) == ("ConflictException", "RESOURCE_DELETION_NOT_ALLOWED")
    assert refused.members["ResourceId"] == before
    assert registration_id in refused.members["Message"]
    assert delete_attachment(client, before).code is None
    assert delete_attachment(client, after).code == "ConflictException"


def test_an_attachment_of_a_denied_version_or_a_deleted_registration_is_not_in_use(client: Client) -> None:
    first, second = registered(client), registered(client)
    denied, deleted = uploaded(client), uploaded(client)
    put(client, first, IMAGE, RegistrationAttachmentId=denied)
    put(client, second, IMAGE, RegistrationAttachmentId=deleted)

    client.emulator.registrations.review(first, VersionStatus.DENIED)
    client.ask("DeleteRegistration", RegistrationId=second)

    assert [delete_attachment(client, each).code for each in (denied, deleted)] == [None, None]


def test_a_setting_lets_attachments_in_use_be_deleted(make_client: MakeClient) -> None:
    client = make_client(processing_s=0, delete_bound=BoundDeletion.ALLOW)
    registration_id, attachment_id = registered(client), uploaded(client)
    put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id)

    assert delete_attachment(client, attachment_id).code is None
    assert values(client, registration_id) == [{"FieldPath": IMAGE, "RegistrationAttachmentId": attachment_id}]
    assert put(client, registration_id, IMAGE, RegistrationAttachmentId=attachment_id).code == (
        "ResourceNotFoundException"
    )
