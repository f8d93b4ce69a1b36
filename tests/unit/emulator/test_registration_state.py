"""Registrations in settings, in the state file, and under rates, permissions and faults."""

from pathlib import Path

import pytest

from batch_upload.emulator import FieldDenial, VersionStatus, preloaded_registration_id
from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.registration_types import PreloadedRegistrations
from batch_upload.emulator.settings import EmulatorSettings
from tests.unit.emulator.support import (
    CALLER,
    CAMPAIGN,
    ELSEWHERE,
    IMAGE,
    REGISTRATION_ID,
    TOLL_FREE,
    Client,
    MakeClient,
    ManualClock,
    described,
    put,
    registered,
    uploaded,
    values,
)


def test_rates_permissions_and_faults_hold_for_registrations_too(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(rates={}, deny=frozenset({"SubmitRegistrationVersion"}))
    registration_id = registered(client)
    client.emulator.set_faults([FaultRule(FaultAction.DROP_AFTER, operation="PutRegistrationFieldValue", times=1)])

    lost = put(client, registration_id)
    throttled = put(client, registration_id)
    denied = client.ask("SubmitRegistrationVersion", RegistrationId=registration_id)

    assert (lost.outcome, throttled.code, denied.code) == (
        "drop_after",
        "ThrottlingException",
        "AccessDeniedException",
    )
    assert [each["TextValue"] for each in values(client, registration_id)] == ["Example Corp"]
    stats = client.emulator.stats()
    assert stats["requests"]["PutRegistrationFieldValue"] == 2
    assert stats["registrations"] == stats["lanes"]["123456789012/us-east-1"]["registrations"] == 1


def test_preloaded_registrations_have_ids_that_are_known_beforehand_in_each_lane(make_client: MakeClient) -> None:
    group = PreloadedRegistrations(type=TOLL_FREE, count=2)
    single = PreloadedRegistrations(type=CAMPAIGN, id="registration-shared")
    client = make_client(registrations=(group, single), registrations_per_account=3)

    found = {
        caller.region: [
            one[REGISTRATION_ID] for one in client.ask("DescribeRegistrations", caller).members["Registrations"]
        ]
        for caller in (CALLER, ELSEWHERE)
    }

    assert found == {
        region: [
            *(preloaded_registration_id("123456789012", region, TOLL_FREE, number) for number in (1, 2)),
            "registration-shared",
        ]
        for region in ("us-east-1", "eu-west-1")
    }
    assert client.ask("CreateRegistration", RegistrationType=TOLL_FREE).code == "ServiceQuotaExceededException"
    with pytest.raises(ConfigurationError, match="give its ARN"):
        client.emulator.registrations.open_version("registration-shared")
    arn = described(client, "registration-shared")["RegistrationArn"]
    assert client.emulator.registrations.open_version(arn).region == "us-east-1"


def test_registrations_of_changed_settings_are_added_and_deleted_ones_stay_deleted(make_client: MakeClient) -> None:
    client = make_client(registrations=(PreloadedRegistrations(type=TOLL_FREE),))
    [first] = client.ask("DescribeRegistrations").members["Registrations"]
    client.ask("DeleteRegistration", RegistrationId=first[REGISTRATION_ID])

    client.emulator.change_settings(b'{"registrations": [{"type": "US_TOLL_FREE_REGISTRATION", "count": 2}]}')

    found = client.ask("DescribeRegistrations").members["Registrations"]
    assert [one["RegistrationStatus"] for one in found] == ["DELETED", "CREATED"]


@pytest.mark.parametrize(
    "registrations",
    [
        '[{"type": "MOON_REGISTRATION"}]',
        '[{"type": "US_TOLL_FREE_REGISTRATION", "count": 2, "id": "registration-1"}]',
        '[{"type": "US_TOLL_FREE_REGISTRATION", "id": "brand 1"}]',
        '[{"count": 2}]',
    ],
)
def test_preloaded_registrations_that_cannot_be_are_refused(registrations: str) -> None:
    with pytest.raises(ConfigurationError):
        EmulatorSettings.from_json(f'{{"registrations": {registrations}}}')


def test_everything_about_registrations_is_there_after_a_kill(
    make_client: MakeClient, tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "state"
    settings = {"processing_s": 0, "registrations": (PreloadedRegistrations(type=CAMPAIGN),)}
    client = make_client(state_path=path, **settings)
    registration_id = registered(client, Tags=[{"Key": "a", "Value": "ü"}], ClientToken="token")
    put(client, registration_id, TextValue="Zoë & Söhne")
    put(client, registration_id, IMAGE, RegistrationAttachmentId=uploaded(client))
    client.emulator.registrations.review(
        registration_id, VersionStatus.DENIED, denials={IMAGE: FieldDenial("UNCLEAR", "no frequency")}
    )
    clock.advance(1)
    client.ask("CreateRegistrationVersion", RegistrationId=registration_id)
    gone = registered(client)
    client.ask("DeleteRegistration", RegistrationId=gone)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())

    after = make_client(state_path=copy, **settings)

    assert after.emulator.registrations.all() == client.emulator.registrations.all()
    assert after.ask("DescribeRegistrations").members == client.ask("DescribeRegistrations").members
    assert after.ask(
        "CreateRegistration",
        RegistrationType=TOLL_FREE,
        ClientToken="token",
        Tags=[{"Key": "a", "Value": "ü"}],
    ).outcome == ("replayed")
    assert len(after.emulator.registrations.all()) == 3


LETTER = "idSidSpecificInfo.letterOfAuthorization1"
HERE = {"account": "123456789012", "region": "us-east-1"}


def type_of(client: Client, registration_id: str) -> str:
    registration_type: str = described(client, registration_id)["RegistrationType"]
    return registration_type


def test_registrations_are_made_of_the_type_that_has_their_fields(client: Client) -> None:
    fields = {
        "registration-a": [IMAGE],
        "registration-b": [LETTER, "idSidSpecificInfo.regulatoryAgencyLicense"],
        "registration-c": ["campaignInfo.optInScreenshot"],
        "registration-d": ["no.such.field"],
        "registration-e": [IMAGE, LETTER],
        "registration-f": ["companyInfo.companyName"],
        "registration-g": ["senderIdInfo.letterOfAuthorisation"],
        "strange_id": [],
    }

    client.emulator.registrations.ensure(fields, **HERE)

    assert {name: type_of(client, name) for name in fields} == {
        "registration-a": TOLL_FREE,
        "registration-b": "ID_SENDER_ID_REGISTRATION",
        "registration-c": CAMPAIGN,
        "registration-d": TOLL_FREE,
        "registration-e": TOLL_FREE,
        "registration-f": TOLL_FREE,
        "registration-g": "GB_SENDER_ID_REGISTRATION",
        "strange_id": TOLL_FREE,
    }
    assert client.ask("DescribeRegistrations", ELSEWHERE).members["Registrations"] == []


def test_a_registration_that_is_there_keeps_what_it_holds_and_gets_another_type_only_where_that_fits(
    client: Client,
) -> None:
    control, attachment_id = client.emulator.registrations, uploaded(client)
    control.ensure({"registration-a": ["no.such.field"], "registration-b": [IMAGE]}, **HERE)
    put(client, "registration-b", IMAGE, RegistrationAttachmentId=attachment_id)

    control.ensure({"registration-a": [LETTER], "registration-b": [LETTER]}, **HERE)
    before = control.all()
    control.ensure({"registration-a": [LETTER], "registration-b": [IMAGE]}, **HERE)

    assert type_of(client, "registration-a") == "ID_SENDER_ID_REGISTRATION"
    assert type_of(client, "registration-b") == TOLL_FREE
    assert [one["RegistrationAttachmentId"] for one in values(client, "registration-b")] == [attachment_id]
    assert control.all() == before
