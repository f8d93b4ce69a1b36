"""boto3 and the control plane over a wire, for registrations."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_upload.emulator import FieldDenial, VersionStatus, serving_in_thread
from batch_upload.emulator.settings import EmulatorSettings
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.unit.emulator.support import (
    ATTACHMENT_ID,
    CAMPAIGN,
    COMPANY,
    IMAGE,
    PNG,
    REGISTRATION_ID,
    TOLL_FREE,
    VOLUME,
    MakeBoto3,
)

SETTINGS = {"rates": {"*": None}, "processing_s": 0}


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with running_emulator(SETTINGS) as one:
        yield one


def values(client: Any, registration_id: str, **given: int) -> list[dict[str, Any]]:  # noqa: ANN401 - boto3 is untyped
    answer = client.describe_registration_field_values(RegistrationId=registration_id, **given)
    found: list[dict[str, Any]] = answer["RegistrationFieldValues"]
    return found


def test_a_registration_is_filled_in_denied_and_filled_in_again(
    emulator: EmulatorProcess, make_boto3: MakeBoto3
) -> None:
    client = make_boto3(emulator.url, region="eu-central-1")
    registration_id = client.create_registration(RegistrationType=TOLL_FREE)[REGISTRATION_ID]
    image = client.create_registration_attachment(AttachmentBody=PNG)[ATTACHMENT_ID]
    filled_in: dict[str, dict[str, Any]] = {
        COMPANY: {"TextValue": "Example Corp"},
        VOLUME: {"SelectChoices": ["10"]},
        IMAGE: {"RegistrationAttachmentId": image},
    }
    for path, value in filled_in.items():
        client.put_registration_field_value(RegistrationId=registration_id, FieldPath=path, **value)
    client.delete_registration_field_value(RegistrationId=registration_id, FieldPath=VOLUME)
    client.submit_registration_version(RegistrationId=registration_id)

    emulator.deny_registration(registration_id, {IMAGE: {"reason": "UNCLEAR", "feedback": "no frequency"}})
    renewed = client.create_registration_version(RegistrationId=registration_id)
    before, after = values(client, registration_id, VersionNumber=1), values(client, registration_id)
    bound = client.put_registration_field_value(
        RegistrationId=registration_id, FieldPath=IMAGE, RegistrationAttachmentId=image
    )
    [one] = client.describe_registrations(RegistrationIds=[registration_id])["Registrations"]

    assert [each["FieldPath"] for each in before] == [COMPANY, IMAGE]
    assert (before[1]["DeniedReason"], before[1]["Feedback"]) == ("UNCLEAR", "no frequency")
    assert (renewed["VersionNumber"], after, bound["VersionNumber"]) == (2, [], 2)
    assert (one["CurrentVersionNumber"], one["LatestDeniedVersionNumber"]) == (2, 1)
    assert one["CreatedTimestamp"].tzinfo is not None


def test_paginators_find_everything_once(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="eu-north-1")
    ids = [client.create_registration(RegistrationType=CAMPAIGN)[REGISTRATION_ID] for _ in range(5)]
    client.submit_registration_version(RegistrationId=ids[0])
    emulator.review_registration(ids[0], "APPROVED")
    client.create_registration_version(RegistrationId=ids[0])

    def paged(operation: str, name: str, **given: Any) -> list[Any]:  # noqa: ANN401 - any parameter
        pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **given)
        return [one for page in pages for one in page[name]]

    registrations = paged("describe_registrations", "Registrations")
    versions = paged("describe_registration_versions", "RegistrationVersions", RegistrationId=ids[0])
    fields = paged("describe_registration_field_definitions", "RegistrationFieldDefinitions", RegistrationType=CAMPAIGN)

    assert [one[REGISTRATION_ID] for one in registrations] == ids
    assert [one["RegistrationVersionStatus"] for one in versions] == ["APPROVED", "DRAFT"]
    attachments = [each["FieldPath"] for each in fields if each["FieldType"] == "ATTACHMENT"]
    assert attachments[-1] == "campaignInfo.optInScreenshot"


def test_refusals_are_modeled(emulator: EmulatorProcess, make_boto3: MakeBoto3) -> None:
    client = make_boto3(emulator.url, region="sa-east-1")
    registration_id = client.create_registration(RegistrationType=TOLL_FREE)[REGISTRATION_ID]
    image = client.create_registration_attachment(AttachmentBody=PNG)[ATTACHMENT_ID]
    given = {"RegistrationId": registration_id, "FieldPath": IMAGE}
    client.put_registration_field_value(**given, RegistrationAttachmentId=image)

    with pytest.raises(client.exceptions.ValidationException) as misfit:
        client.put_registration_field_value(**given, TextValue="a text")
    with pytest.raises(client.exceptions.ResourceNotFoundException) as missing:
        client.put_registration_field_value(**given, RegistrationAttachmentId="registration-attachment-0")
    with pytest.raises(client.exceptions.ConflictException) as bound:
        client.delete_registration_attachment(RegistrationAttachmentId=image)
    client.submit_registration_version(RegistrationId=registration_id)
    with pytest.raises(client.exceptions.ConflictException) as submitted:
        client.put_registration_field_value(**given, RegistrationAttachmentId=image)

    assert misfit.value.response["Fields"][0]["Name"] == "TextValue"
    assert missing.value.response["ResourceType"] == "registration-attachment"
    assert bound.value.response["Reason"] == "RESOURCE_DELETION_NOT_ALLOWED"
    assert submitted.value.response["Reason"] == "REGISTRATION_ALREADY_SUBMITTED"
    assert submitted.value.response["ResourceId"] == registration_id


def test_the_control_plane_plants_reviews_and_opens_versions_by_id_or_arn(emulator: EmulatorProcess) -> None:
    planted = emulator.plant_registration(
        TOLL_FREE, account="2" * 12, region="us-west-2", registration_id="registration-a"
    )
    emulator.plant_registration(TOLL_FREE, account="3" * 12, registration_id="registration-a")

    emulator.deny_registration(planted["arn"], {COMPANY: {"reason": "UNKNOWN"}}, version=1)
    opened = emulator.open_registration_version(planted["arn"])

    [held] = [one for one in emulator.registrations() if one["arn"] == planted["arn"]]
    assert (planted["status"], held["status"], held["denied_version"]) == ("CREATED", "REQUIRES_UPDATES", 1)
    assert (opened, held["current_version"]) == (2, 2)
    assert held["versions"][0]["denials"] == {COMPANY: {"reason": "UNKNOWN", "feedback": None}}


@pytest.mark.parametrize(
    ("route", "value", "status"),
    [
        ("registrations", {"registration_type": "MOON_REGISTRATION"}, 400),
        ("registrations", {"registration_type": TOLL_FREE, "colour": "red"}, 400),
        ("registrations", {"registration_type": TOLL_FREE, "registration_id": "registration-twice"}, 400),
        ("registrations/registration-nobody/review", {"status": "DENIED"}, 404),
        ("registrations/registration-nobody/versions", {}, 404),
        ("registrations/registration-twice/review", {"status": "GREEN"}, 400),
        ("registrations/registration-twice/review", {"status": "DENIED", "version": 2}, 400),
        ("registrations/registration-twice/review", {"status": "DENIED", "denials": {"a.b": {"reason": "x"}}}, 400),
    ],
)
def test_a_request_to_the_control_plane_that_cannot_be_changes_nothing(
    emulator: EmulatorProcess, route: str, value: object, status: int
) -> None:
    if all(one["id"] != "registration-twice" for one in emulator.registrations()):
        emulator.plant_registration(TOLL_FREE, registration_id="registration-twice")
    before = emulator.registrations()

    request = urllib.request.Request(f"{emulator.url}/_emulator/{route}", data=json.dumps(value).encode())  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request, timeout=10):  # noqa: S310
        pass

    assert refused.value.code == status
    refused.value.close()
    assert emulator.registrations() == before


def test_a_registration_survives_the_kill_of_its_emulator(tmp_path: Path, make_boto3: MakeBoto3) -> None:
    with running_emulator(SETTINGS, state_path=tmp_path / "state") as killed:
        client = make_boto3(killed.url)
        registration_id = client.create_registration(RegistrationType=TOLL_FREE)[REGISTRATION_ID]
        image = client.create_registration_attachment(AttachmentBody=PNG)[ATTACHMENT_ID]
        client.put_registration_field_value(
            RegistrationId=registration_id, FieldPath=IMAGE, RegistrationAttachmentId=image
        )
        killed.deny_registration(registration_id, {IMAGE: {"reason": "UNCLEAR"}})
        killed.kill()

    with running_emulator(SETTINGS, state_path=tmp_path / "state") as restarted:
        [value] = values(make_boto3(restarted.url), registration_id)

    assert (value["RegistrationAttachmentId"], value["DeniedReason"]) == (image, "UNCLEAR")


def test_a_test_in_the_same_process_reviews_without_a_wire(make_boto3: MakeBoto3) -> None:
    with serving_in_thread(EmulatorSettings(rates={"*": None})) as running:
        client = make_boto3(running.url)
        registration_id = client.create_registration(RegistrationType=TOLL_FREE)[REGISTRATION_ID]

        running.emulator.registrations.review(
            registration_id, VersionStatus.DENIED, denials={IMAGE: FieldDenial("MISSING_REQUIRED_FIELD")}
        )

        assert values(client, registration_id) == [{"FieldPath": IMAGE, "DeniedReason": "MISSING_REQUIRED_FIELD"}]
