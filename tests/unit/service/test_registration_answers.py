"""Odd answers about registrations: what is missing or of a wrong type is no answer, what may differ is put right."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from batch_upload.errors import NoAnswer
from batch_upload.registration import Bind, FieldContent, Registration, RegistrationField
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import AwsService, open_service
from batch_upload.service.registration_answers import REVIEWER_TEXT_MAX
from tests.support.answering import Answering, answering

ID, FIELD = "registration-0123abcd", "messagingUseCase.optInImage"
PREFIX = "arn:aws:sms-voice:us-east-1:123456789012"
ARN = f"{PREFIX}:registration/{ID}"
TYPE = "US_TOLL_FREE_REGISTRATION"
ATTACHMENT = "registration-attachment-0123"
BIND = Bind(ID, FIELD)


@pytest.fixture
async def peer() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


@pytest.fixture
async def service(peer: Answering) -> AsyncIterator[AwsService]:
    keys = StaticKeys("AKIDEXAMPLE", "not-a-secret")
    async with open_service(Access(region="us-east-1", endpoint_url=peer.url, keys=keys)) as made:
        yield made


def without(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The members with changes laid over them; what is changed to `...` is left out."""
    return {name: value for name, value in {**members, **changes}.items() if value is not ...}


def registrations(**changes: object) -> bytes:
    shown = {
        "RegistrationArn": ARN,
        "RegistrationId": ID,
        "RegistrationType": TYPE,
        "RegistrationStatus": "CREATED",
        "CurrentVersionNumber": 1,
        "CreatedTimestamp": 1_764_000_000.5,
    }
    return json.dumps({"Registrations": [without(shown, changes)]}).encode()


def definitions(**changes: object) -> bytes:
    shown = {"SectionPath": "s", "FieldPath": FIELD, "FieldType": "ATTACHMENT", "FieldRequirement": "REQUIRED"}
    return json.dumps({"RegistrationType": TYPE, "RegistrationFieldDefinitions": [without(shown, changes)]}).encode()


def contents(*entries: dict[str, Any], **changes: object) -> bytes:
    shown = {
        "RegistrationArn": ARN,
        "RegistrationId": ID,
        "VersionNumber": 1,
        "RegistrationFieldValues": list(entries),
    }
    return json.dumps(without(shown, changes)).encode()


def put(**changes: object) -> bytes:
    shown = {
        "RegistrationArn": ARN,
        "RegistrationId": ID,
        "VersionNumber": 2,
        "FieldPath": FIELD,
        "RegistrationAttachmentId": ATTACHMENT,
    }
    return json.dumps(without(shown, changes)).encode()


WRONG_VERSIONS: list[Any] = [..., None, "1", 1.5, True, 0, -1, [], {}]
WORDLESS: list[Any] = [5, True, [], {}]
WRONG_TEXTS: list[Any] = [..., None, "", 5, True, [], {}, "\ud800"]


@pytest.mark.parametrize(
    "members",
    [
        *({"CurrentVersionNumber": value} for value in WRONG_VERSIONS),
        *({"LatestDeniedVersionNumber": value} for value in WRONG_VERSIONS if value not in (..., None)),
        *({"RegistrationId": value} for value in WRONG_TEXTS),
        *({"RegistrationArn": value} for value in WRONG_TEXTS),
        *({"RegistrationType": value} for value in WRONG_TEXTS),
        *({"RegistrationStatus": value} for value in WRONG_TEXTS),
        {"RegistrationArn": ARN.replace("us-east-1", "eu-west-1")},
        {"RegistrationArn": f"{PREFIX}:registration-attachment/{ATTACHMENT}"},
    ],
)
async def test_a_registration_that_cannot_be_right_is_not_believed(
    peer: Answering, service: AwsService, members: dict[str, Any]
) -> None:
    peer.answer(200, registrations(**members))

    with pytest.raises(NoAnswer) as unanswered:
        await service.registrations(None)

    assert unanswered.value.code == "UnreadableAnswer"


async def test_a_registration_has_its_id_and_the_status_as_it_came(peer: Answering, service: AwsService) -> None:
    peer.answer(
        200, registrations(RegistrationId=ARN, RegistrationStatus="NEW\nSTATUS", LatestDeniedVersionNumber=None)
    )

    page = await service.registrations(None)

    assert page.registrations == (Registration(ID, TYPE, "NEW STATUS", 1, None),)
    assert not page.registrations[0].is_under_review


async def test_a_registration_of_another_account_is_not_believed(peer: Answering, service: AwsService) -> None:
    identity = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>"
    peer.answer(200, f"{identity}</GetCallerIdentityResult><ResponseMetadata/></GetCallerIdentityResponse>".encode())
    await service.account()
    peer.answer(200, registrations())

    with pytest.raises(NoAnswer, match="a registration of account 123456789012, not 111122223333"):
        await service.registrations(None)


@pytest.mark.parametrize("name", ["Registrations", "RegistrationFieldDefinitions"])
@pytest.mark.parametrize("entries", [None, 5, "a", [5], ["a"], [None]])
async def test_a_page_that_holds_no_list_of_entries_is_no_answer(
    peer: Answering, service: AwsService, name: str, entries: object
) -> None:
    peer.answer(200, json.dumps({name: entries}).encode())

    with pytest.raises(NoAnswer):
        await (service.registrations(None) if name == "Registrations" else service.field_definitions(TYPE, None))


@pytest.mark.parametrize("token", ["", 5, [], {}, "\ud800"])
async def test_a_next_token_that_is_no_text_is_no_answer(peer: Answering, service: AwsService, token: object) -> None:
    peer.answer(200, json.dumps({"Registrations": [], "NextToken": token}).encode())

    with pytest.raises(NoAnswer):
        await service.registrations(None)


@pytest.mark.parametrize(
    "members",
    [{name: value} for name in ("FieldPath", "FieldType", "FieldRequirement") for value in WRONG_TEXTS],
)
async def test_a_definition_that_cannot_be_right_is_not_believed(
    peer: Answering, service: AwsService, members: dict[str, Any]
) -> None:
    peer.answer(200, definitions(**members))

    with pytest.raises(NoAnswer):
        await service.field_definitions(TYPE, None)


async def test_the_fields_of_another_type_are_not_believed(peer: Answering, service: AwsService) -> None:
    peer.answer(200, definitions())

    with pytest.raises(NoAnswer, match=f"is `{TYPE}`, not `ANOTHER`"):
        await service.field_definitions("ANOTHER", None)


async def test_a_kind_of_field_that_is_not_known_takes_no_attachment(peer: Answering, service: AwsService) -> None:
    peer.answer(200, definitions(FieldType="VIDEO"))

    [field] = (await service.field_definitions(TYPE, None)).fields

    assert field == RegistrationField(FIELD, "VIDEO", "REQUIRED")
    assert not field.takes_attachment


@pytest.mark.parametrize("attachment", [ATTACHMENT, f"{PREFIX}:registration-attachment/{ATTACHMENT}"])
async def test_the_attachment_of_a_field_is_its_id_however_it_is_named(
    peer: Answering, service: AwsService, attachment: str
) -> None:
    peer.answer(200, contents({"FieldPath": FIELD, "RegistrationAttachmentId": attachment}, RegistrationId=ARN))

    assert await service.field_contents(ID, [FIELD]) == (FieldContent(FIELD, ATTACHMENT),)


async def test_a_field_without_an_attachment_holds_none(peer: Answering, service: AwsService) -> None:
    entries = {"FieldPath": FIELD, "DeniedReason": "", "Feedback": "\n "}, {"FieldPath": "not.asked", "TextValue": "a"}
    peer.answer(200, contents(*entries))

    assert await service.field_contents(ID, [FIELD]) == (FieldContent(FIELD, None, None, None),)


async def test_the_words_of_a_reviewer_are_fit_to_be_stored_and_shown(peer: Answering, service: AwsService) -> None:
    words = {"DeniedReason": "not\nlegible \x1b[31m", "Feedback": "\ud800" + "a" * 5_000}
    peer.answer(200, contents({"FieldPath": FIELD, "RegistrationAttachmentId": ATTACHMENT, **words}))

    [content] = await service.field_contents(ID, [FIELD])

    assert content.denied_reason == "not legible \\x1b[31m"
    assert content.feedback == "\\ud800" + "a" * (REVIEWER_TEXT_MAX - 1)


@pytest.mark.parametrize(
    "body",
    [
        contents(RegistrationFieldValues=...),
        contents(RegistrationFieldValues=5),
        contents("field"),  # type: ignore[arg-type]
        contents({"RegistrationAttachmentId": ATTACHMENT}),
        *(
            contents({"FieldPath": FIELD, "RegistrationAttachmentId": value})
            for value in WRONG_TEXTS
            if value not in (..., None)
        ),
        *(contents({"FieldPath": FIELD, "DeniedReason": value}) for value in WORDLESS),
        *(contents({"FieldPath": FIELD, "Feedback": value}) for value in WORDLESS),
        *(contents(VersionNumber=value) for value in WRONG_VERSIONS),
        contents(VersionNumber=2),
        contents(RegistrationId="registration-other"),
        contents(RegistrationId=5),
    ],
)
async def test_contents_that_cannot_be_right_are_not_taken_for_empty_fields(
    peer: Answering, service: AwsService, body: bytes
) -> None:
    peer.answer(200, body)

    with pytest.raises(NoAnswer):
        await service.field_contents(ID, [FIELD], version=1)


async def test_a_part_of_the_fields_is_not_taken_for_all_of_them(peer: Answering, service: AwsService) -> None:
    peer.answer(200, contents({"FieldPath": FIELD, "RegistrationAttachmentId": ATTACHMENT}, NextToken="more"))

    with pytest.raises(NoAnswer, match="not all of the fields"):
        await service.field_contents(ID, [FIELD, "other.field"])
    assert len(await service.field_contents(ID, [FIELD])) == 1


@pytest.mark.parametrize("attachment", [ATTACHMENT, f"{PREFIX}:registration-attachment/{ATTACHMENT}", ...])
async def test_what_was_put_says_the_version(peer: Answering, service: AwsService, attachment: object) -> None:
    peer.answer(200, put(RegistrationAttachmentId=attachment, RegistrationId=ARN))

    assert (await service.put_field(BIND, ATTACHMENT)).version == 2


@pytest.mark.parametrize(
    "members",
    [
        *({"VersionNumber": value} for value in WRONG_VERSIONS),
        {"RegistrationId": "registration-other"},
        {"FieldPath": "another.field"},
        {"RegistrationAttachmentId": "registration-attachment-other"},
        {"RegistrationAttachmentId": 5},
    ],
)
async def test_a_put_that_was_of_something_else_is_not_believed(
    peer: Answering, service: AwsService, members: dict[str, Any]
) -> None:
    peer.answer(200, put(**members))

    with pytest.raises(NoAnswer):
        await service.put_field(BIND, ATTACHMENT)
