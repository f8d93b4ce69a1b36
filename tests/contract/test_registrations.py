"""What every `ports.AttachmentService` keeps to of registrations, and what only a wire can do."""

import json
from collections.abc import Awaitable, Callable

import pytest

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.errors import AccessFault, NoAnswer, Refused, ServiceError, Throttled
from batch_upload.operations import FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from batch_upload.registration import Bind, FieldContent, FieldPage, Registration, RegistrationPage
from tests.support.lanes import EmulatedLane, LaneUnderTest

TYPE = "US_TOLL_FREE_REGISTRATION"
IMAGE = "messagingUseCase.optInImage"
UNKNOWN = "registration-" + "0" * 32
ID_TYPE = "ID_SENDER_ID_REGISTRATION"
LETTERS = [f"idSidSpecificInfo.letterOfAuthorization{number}" for number in range(1, 5)]
LICENSE = "idSidSpecificInfo.regulatoryAgencyLicense"


def planted(wire: EmulatedLane, registration_type: str = TYPE) -> str:
    """The id of a new registration."""
    return wire.running.emulator.registrations.plant(registration_type, region="us-east-1").registration_id


def request_of(lane: LaneUnderTest, operation: str) -> Callable[[], Awaitable[object]]:
    """A request of an operation that succeeds."""
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        REGISTRATIONS: lambda: lane.service.registrations(None),
        FIELD_DEFINITIONS: lambda: lane.service.field_definitions(TYPE, None),
        FIELD_VALUES: lambda: lane.service.field_contents(registration_id, [IMAGE]),
        PUT_FIELD: lambda: lane.service.put_field(Bind(registration_id, IMAGE), attachment_id),
    }
    return calls[operation]


async def test_a_registration_is_told_with_its_type_status_and_versions(lane: LaneUnderTest) -> None:
    registration_id = lane.plant_registration()
    new = await lane.service.registrations(None)
    lane.deny(registration_id, IMAGE, reason="Not legible")
    lane.open_version(registration_id)

    page = await lane.service.registrations(None)

    assert new == RegistrationPage((Registration(registration_id, TYPE, "CREATED", 1, None),))
    assert page == RegistrationPage((Registration(registration_id, TYPE, "REQUIRES_UPDATES", 2, 1),))


async def test_a_registration_under_review_is_known_as_such(lane: LaneUnderTest) -> None:
    submitted, approved = lane.plant_registration(), lane.plant_registration()
    lane.submit(submitted)
    lane.approve(approved)

    page = await lane.service.registrations(None)

    assert [each.is_under_review for each in page.registrations] == [True, False]


async def test_registrations_come_in_pages_of_a_hundred(lane: LaneUnderTest) -> None:
    made = [lane.plant_registration() for _ in range(205)]

    pages = [await lane.service.registrations(None)]
    while pages[-1].next_token is not None:
        pages.append(await lane.service.registrations(pages[-1].next_token))

    assert [len(page.registrations) for page in pages] == [100, 100, 5]
    assert [each.registration_id for page in pages for each in page.registrations] == made
    assert lane.requests(REGISTRATIONS) == 3


async def test_five_registrations_are_found_by_their_ids_and_one_that_is_missing_refuses_all(
    lane: LaneUnderTest,
) -> None:
    made = [lane.plant_registration() for _ in range(6)]

    found = await lane.service.registrations(None, ids=made[:5])
    with pytest.raises(Refused) as refused:
        await lane.service.registrations(None, ids=[made[0], UNKNOWN])

    assert ([each.registration_id for each in found.registrations], found.next_token) == (made[:5], None)
    assert (refused.value.code, refused.value.resource_id) == ("ResourceNotFoundException", UNKNOWN)


async def test_an_account_without_registrations_has_one_empty_page(lane: LaneUnderTest) -> None:
    assert await lane.service.registrations(None) == RegistrationPage(())


async def test_a_next_token_that_has_expired_is_refused(wire: EmulatedLane) -> None:
    for _ in range(101):
        planted(wire)
    page = await wire.service.registrations(None)
    wire.running.emulator.change_settings('{"next_token_life_s": 0}')

    with pytest.raises(Refused) as refused:
        await wire.service.registrations(page.next_token)

    assert (refused.value.code, refused.value.reason) == ("ValidationException", "INVALID_NEXT_TOKEN")


async def test_a_type_has_its_fields_and_says_which_take_attachments(wire: EmulatedLane) -> None:
    wire.running.emulator.change_settings('{"page_size": 4}')

    pages: list[FieldPage] = [await wire.service.field_definitions(ID_TYPE, None)]
    while (token := pages[-1].next_token) is not None:
        pages.append(await wire.service.field_definitions(ID_TYPE, token))

    fields = [field for page in pages for field in page.fields]
    assert [len(page.fields) for page in pages] == [4, 4, 4]
    taking = {field.path for field in fields if field.takes_attachment}
    assert taking == {*LETTERS, LICENSE, "senderIdInfo.proofOfSenderIdConnection"}
    assert {field.requirement for field in fields} == {"REQUIRED", "CONDITIONAL", "OPTIONAL"}


async def test_a_type_that_is_not_known_is_refused(lane: LaneUnderTest) -> None:
    with pytest.raises(Refused) as refused:
        await lane.service.field_definitions("NO_SUCH_REGISTRATION", None)

    assert (refused.value.code, refused.value.reason) == ("ValidationException", "UNKNOWN_REGISTRATION_TYPE")


async def test_what_is_put_into_a_field_is_in_it_and_again_does_no_more(lane: LaneUnderTest) -> None:
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})

    receipts = [await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id) for _ in range(2)]

    assert [each.version for each in receipts] == [1, 1]
    assert all(each.request_id for each in receipts)
    assert receipts[0].request_id != receipts[1].request_id
    assert await lane.service.field_contents(registration_id, [IMAGE]) == (FieldContent(IMAGE, attachment_id),)


async def test_an_attachment_that_is_named_by_its_arn_is_told_by_its_id(wire: EmulatedLane) -> None:
    registration_id, attachment_id = planted(wire), wire.plant({})
    wire.running.emulator.change_settings('{"fields_give_arns": true}')

    receipt = await wire.service.put_field(Bind(registration_id, IMAGE), attachment_id)

    assert receipt.version == 1
    assert await wire.service.field_contents(registration_id, [IMAGE]) == (FieldContent(IMAGE, attachment_id),)


async def test_what_is_put_takes_the_place_of_what_the_field_holds(lane: LaneUnderTest) -> None:
    registration_id, first, second = lane.plant_registration(), lane.plant({}), lane.plant({})

    await lane.service.put_field(Bind(registration_id, IMAGE), first)
    await lane.service.put_field(Bind(registration_id, IMAGE), second)

    assert await lane.service.field_contents(registration_id, [IMAGE]) == (FieldContent(IMAGE, second),)


async def test_five_fields_are_read_at_once_and_an_empty_one_is_left_out(wire: EmulatedLane) -> None:
    registration_id, attachment_id = planted(wire, ID_TYPE), wire.plant({})
    for path in LETTERS:
        await wire.service.put_field(Bind(registration_id, path), attachment_id)

    found = await wire.service.field_contents(registration_id, [*LETTERS, LICENSE])

    assert {each.path: each.attachment_id for each in found} == dict.fromkeys(LETTERS, attachment_id)
    assert wire.requests(FIELD_VALUES) == 1


async def test_a_page_that_is_too_small_for_the_fields_is_no_answer(wire: EmulatedLane) -> None:
    registration_id, attachment_id = planted(wire, ID_TYPE), wire.plant({})
    for path in LETTERS:
        await wire.service.put_field(Bind(registration_id, path), attachment_id)
    wire.running.emulator.change_settings('{"page_size": 2}')

    with pytest.raises(NoAnswer):
        await wire.service.field_contents(registration_id, LETTERS)


async def test_a_new_version_is_empty_and_the_denied_one_says_why(lane: LaneUnderTest) -> None:
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})
    await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id)
    lane.deny(registration_id, IMAGE, reason="Not legible", feedback="Send a sharper picture")
    lane.open_version(registration_id)

    now = await lane.service.field_contents(registration_id, [IMAGE])
    denied = await lane.service.field_contents(registration_id, [IMAGE], version=1)

    assert now == ()
    assert denied == (FieldContent(IMAGE, attachment_id, "Not legible", "Send a sharper picture"),)
    assert (await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id)).version == 2


async def test_a_version_that_is_no_draft_refuses_with_its_reason(lane: LaneUnderTest) -> None:
    attachment_id, reasons = lane.plant({}), []
    submitted, approved, denied = (lane.plant_registration() for _ in range(3))
    lane.submit(submitted)
    lane.approve(approved)
    lane.deny(denied, IMAGE, reason="Not legible")

    for registration_id in (submitted, approved, denied):
        with pytest.raises(Refused) as refused:
            await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id)
        assert (refused.value.code, refused.value.resource_id) == ("ConflictException", registration_id)
        assert "token" not in refused.value.hint
        reasons.append(refused.value.reason)

    decided = "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED"
    assert reasons == ["REGISTRATION_ALREADY_SUBMITTED", decided, decided]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("messagingUseCase.optInImages", "UNKNOWN_REGISTRATION_FIELD"),
        ("companyInfo.companyName", "FIELD_VALIDATION_FAILED"),
    ],
)
async def test_a_field_that_takes_no_attachment_refuses_it(lane: LaneUnderTest, path: str, reason: str) -> None:
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})

    with pytest.raises(Refused) as refused:
        await lane.service.put_field(Bind(registration_id, path), attachment_id)

    assert (refused.value.code, refused.value.reason) == ("ValidationException", reason)
    assert [name for name, _ in refused.value.fields] == (
        ["RegistrationAttachmentId"] if reason == "FIELD_VALIDATION_FAILED" else []
    )


async def test_a_registration_that_is_not_found_or_deleted_takes_nothing(lane: LaneUnderTest) -> None:
    attachment_id = lane.plant({})

    with pytest.raises(Refused) as refused:
        await lane.service.put_field(Bind(UNKNOWN, IMAGE), attachment_id)
    with pytest.raises(Refused) as unread:
        await lane.service.field_contents(UNKNOWN, [IMAGE])

    assert (refused.value.code, refused.value.resource_id) == ("ResourceNotFoundException", UNKNOWN)
    assert refused.value.resource_type == "registration"
    assert (unread.value.code, unread.value.resource_id) == ("ResourceNotFoundException", UNKNOWN)


async def test_an_attachment_that_is_not_found_is_told_from_a_registration(lane: LaneUnderTest) -> None:
    registration_id, missing = lane.plant_registration(), "registration-attachment-" + "0" * 32

    with pytest.raises(Refused) as refused:
        await lane.service.put_field(Bind(registration_id, IMAGE), missing)

    assert (refused.value.code, refused.value.resource_id) == ("ResourceNotFoundException", missing)
    assert refused.value.resource_type == "registration-attachment"


async def test_an_attachment_in_progress_is_not_put(lane: LaneUnderTest) -> None:
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})
    lane.begin(attachment_id)

    with pytest.raises(Refused) as refused:
        await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id)

    assert (refused.value.code, refused.value.reason) == ("ConflictException", "RESOURCE_NOT_ACTIVE")
    assert (refused.value.resource_id, refused.value.resource_type) == (attachment_id, "registration-attachment")


async def test_a_version_or_a_field_that_is_not_there_cannot_be_read(lane: LaneUnderTest) -> None:
    registration_id = lane.plant_registration()

    with pytest.raises(Refused) as no_version:
        await lane.service.field_contents(registration_id, [IMAGE], version=7)
    with pytest.raises(Refused) as no_field:
        await lane.service.field_contents(registration_id, ["no.such"])

    assert no_version.value.reason == "UNKNOWN_REGISTRATION_VERSION"
    assert no_field.value.reason == "UNKNOWN_REGISTRATION_FIELD"


@pytest.mark.parametrize("operation", [REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD])
@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Action.THROTTLE, Throttled),
        (Action.INTERNAL_ERROR, NoAnswer),
        (Action.DROP_BEFORE, NoAnswer),
        (Action.DROP_AFTER, NoAnswer),
        (Action.ACCESS_DENIED, AccessFault),
        (Action.EXPIRED_TOKEN, AccessFault),
        (Action.VALIDATION, Refused),
    ],
)
async def test_each_operation_fails_in_the_same_ways_after_one_request(
    lane: LaneUnderTest, operation: str, action: Action, error: type[ServiceError]
) -> None:
    ask = request_of(lane, operation)
    lane.trouble(action, operation=operation)

    with pytest.raises(error):
        await ask()

    assert lane.requests(operation) == 1


@pytest.mark.parametrize("operation", [REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD])
@pytest.mark.parametrize("action", [Action.GARBAGE, Action.TRUNCATED, Action.EMPTY_200, Action.UNAVAILABLE])
async def test_an_answer_that_cannot_be_read_is_no_answer(wire: EmulatedLane, operation: str, action: Action) -> None:
    ask = request_of(wire, operation)
    wire.trouble(action, operation=operation)

    with pytest.raises(NoAnswer):
        await ask()

    assert wire.requests(operation) == 1


@pytest.mark.parametrize("operation", [REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD])
async def test_a_permission_that_is_missing_is_named(wire: EmulatedLane, operation: str) -> None:
    ask = request_of(wire, operation)
    wire.running.emulator.change_settings(json.dumps({"deny": [operation]}))

    with pytest.raises(AccessFault) as denied:
        await ask()

    assert denied.value.hint == f"the identity needs `sms-voice:{operation}`"


async def test_a_put_whose_answer_is_lost_was_done(lane: LaneUnderTest) -> None:
    registration_id, attachment_id = lane.plant_registration(), lane.plant({})
    lane.trouble(Action.DROP_AFTER, operation=PUT_FIELD)

    with pytest.raises(NoAnswer):
        await lane.service.put_field(Bind(registration_id, IMAGE), attachment_id)

    assert await lane.service.field_contents(registration_id, [IMAGE]) == (FieldContent(IMAGE, attachment_id),)
