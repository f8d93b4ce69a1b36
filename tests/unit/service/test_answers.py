"""Whatever an answer holds, it ends in a value or in an error of ours: real servers on loopback, the real client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.errors import AccessFault, NoAnswer, Refused, ServiceError, Throttled, UnknownRefusal
from batch_upload.ports import Body, CreateRequest
from batch_upload.registration import Bind
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.answers import plain_text
from batch_upload.service.client import AwsService, open_service
from tests.support.answering import Answering, answering

ARN = "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/id"
CREATE = CreateRequest("bu1-token", {"Customer": "acme"}, body=Body.of(b"%PDF-1.7\n"))
KEYS = StaticKeys("AKIDEXAMPLE", "not-a-secret")
OPERATIONS: Mapping[str, Callable[[AwsService], Awaitable[object]]] = {
    "account": lambda service: service.account(),
    "create": lambda service: service.create(CREATE),
    "describe": lambda service: service.describe(["id"]),
    "page": lambda service: service.page(None),
    "tags": lambda service: service.tags(ARN),
    "tag": lambda service: service.tag(ARN, {"Customer": "acme"}),
    "untag": lambda service: service.untag(ARN, ["Customer"]),
    "delete": lambda service: service.delete("id"),
    "capacity": lambda service: service.capacity(),
    "registrations": lambda service: service.registrations(None),
    "registrations by id": lambda service: service.registrations(None, ids=["registration-1"]),
    "field definitions": lambda service: service.field_definitions("US_TOLL_FREE_REGISTRATION", None),
    "field contents": lambda service: service.field_contents("registration-1", ["messagingUseCase.optInImage"]),
    "put field": lambda service: service.put_field(Bind("registration-1", "messagingUseCase.optInImage"), "id"),
}
NO_OBJECTS = ['"Bad Gateway"', "null", "[]", "5", "true", '[{"RegistrationAttachmentId": "id"}]', "\x00garbage <"]
DEEP = '{"RegistrationAttachments": ' + "[" * 100_000
STATUSES = {400: UnknownRefusal, 403: AccessFault, 429: Throttled, 500: NoAnswer, 502: NoAnswer}
PAGE = "<!DOCTYPE html><html><head><title>Guest\n network &amp; more</title></head><body>Sign in</body></html>"
WRONG_ERRORS = ['{"__type": 5}', '{"__type": []}', '{"message": {"a": []}}', ""]
WRONG_XML = ["<a/>", "<a><b>", "<Error/>", "<ErrorResponse/>", "<ErrorResponse><Error/></ErrorResponse>", "<a>&b;</a>"]


@pytest.fixture
async def peer() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


@pytest.fixture
async def service(peer: Answering) -> AsyncIterator[AwsService]:
    async with open_service(Access(region="us-east-1", endpoint_url=peer.url, keys=KEYS)) as made:
        yield made


async def error_of(call: Awaitable[object]) -> ServiceError | None:
    """The error of ours that a call ends with, or None."""
    try:
        await call
    except ServiceError as error:
        return error
    return None


def receipt(**changes: object) -> bytes:
    """The answer to a create, with some of its members changed."""
    members = {
        "RegistrationAttachmentId": "id",
        "RegistrationAttachmentArn": ARN,
        "AttachmentStatus": "UPLOAD_IN_PROGRESS",
        "CreatedTimestamp": 1_764_000_000.5,
    }
    return json.dumps({**members, **changes}).encode()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_success_that_is_no_answer_is_no_answer(peer: Answering, service: AwsService, operation: str) -> None:
    for body in (*NO_OBJECTS, DEEP, *WRONG_XML):
        peer.answer(200, body.encode())

        with pytest.raises(NoAnswer) as unanswered:
            await OPERATIONS[operation](service)

        assert unanswered.value.code == "UnreadableAnswer", body
        assert "could not be read" in unanswered.value.message


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_error_that_cannot_be_read_is_judged_by_its_status(
    peer: Answering, service: AwsService, operation: str, status: int
) -> None:
    expected = AccessFault if (operation, status) == ("account", 400) else STATUSES[status]
    for body in (*NO_OBJECTS, DEEP, PAGE, *WRONG_XML, *WRONG_ERRORS):
        peer.answer(status, body.encode())

        with pytest.raises(ServiceError) as wrong:
            await OPERATIONS[operation](service)

        assert (type(wrong.value), wrong.value.status) == (expected, status), body
        assert wrong.value.message.isprintable()
        assert len(wrong.value.message) < 1_200


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_web_page_is_told_as_what_it_is(peer: Answering, service: AwsService, operation: str) -> None:
    peer.answer(200, PAGE.encode(), content_type="text/html")

    with pytest.raises(NoAnswer) as unanswered:
        await OPERATIONS[operation](service)

    assert unanswered.value.message == (
        "the answer is a web page (`Guest network & more`), not AWS's: a proxy or a network's login page stands between"
    )


@pytest.mark.parametrize(
    "members",
    [
        {"Fields": 5},
        {"Fields": [{"Name": 5}, 5, None]},
        {"Reason": 5},
        {"Reason": ["x"]},
        {"ResourceId": 5},
        {"Message": "\ud800"},
        {"Fields": [{"Name": "\ud800", "Message": "\udfff"}]},
    ],
)
async def test_a_code_decides_whatever_its_other_members_hold(
    peer: Answering, service: AwsService, members: dict[str, Any]
) -> None:
    peer.answer(400, json.dumps({"__type": "ValidationException", **members}).encode())

    with pytest.raises(Refused) as refused:
        await service.create(CREATE)

    assert refused.value.code == "ValidationException"
    for text in (refused.value.message, *(text for pair in refused.value.fields for text in pair)):
        assert text.encode()


async def test_a_code_with_lone_surrogates_is_kept_as_their_escapes(peer: Answering, service: AwsService) -> None:
    peer.answer(400, b'{"__type": "Bad\\ud800Code"}')

    with pytest.raises(Refused) as refused:
        await service.create(CREATE)

    assert refused.value.code == "Bad\\ud800Code"


@pytest.mark.parametrize("moment", ["1e300", "-1e18", "NaN", "Infinity", '"soon"', "true", "{}", "[]"])
async def test_an_absurd_moment_is_a_moment_or_no_answer(peer: Answering, service: AwsService, moment: str) -> None:
    peer.answer(200, receipt(CreatedTimestamp=0).replace(b": 0}", f": {moment}}}".encode()))

    made = await error_of(service.create(CREATE))

    assert made is None or made.code == "UnreadableAnswer"


@pytest.mark.parametrize(
    "members",
    [
        {"RegistrationAttachmentId": ""},
        {"RegistrationAttachmentId": 5},
        {"RegistrationAttachmentId": None},
        {"RegistrationAttachmentId": "\ud800"},
        {"RegistrationAttachmentArn": "\ud800"},
        {"RegistrationAttachmentArn": ""},
        {"RegistrationAttachmentArn": "arn"},
        {"RegistrationAttachmentArn": ARN.replace("us-east-1", "eu-west-1")},
        {"RegistrationAttachmentArn": ARN.replace("sms-voice", "s3")},
        {"Tags": True},
    ],
)
async def test_a_receipt_that_cannot_be_right_is_not_believed(
    peer: Answering, service: AwsService, members: dict[str, Any]
) -> None:
    peer.answer(200, receipt(**members))

    with pytest.raises(NoAnswer) as unanswered:
        await service.create(CREATE)

    assert unanswered.value.code == "UnreadableAnswer"


async def test_a_receipt_of_another_account_is_not_believed(peer: Answering, service: AwsService) -> None:
    identity = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>"
    peer.answer(200, f"{identity}</GetCallerIdentityResult><ResponseMetadata/></GetCallerIdentityResponse>".encode())
    assert await service.account() == "111122223333"
    peer.answer(200, receipt())

    with pytest.raises(NoAnswer, match="of account 123456789012, not 111122223333"):
        await service.create(CREATE)


@pytest.mark.parametrize(
    ("member", "principal"),
    [("<Arn>arn:aws:iam::111122223333:user/jane</Arn>", "arn:aws:iam::111122223333:user/jane"), ("", None)],
)
async def test_the_arn_of_the_credentials_is_kept_if_sts_names_it(
    peer: Answering, service: AwsService, member: str, principal: str | None
) -> None:
    identity = f"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>{member}"
    peer.answer(200, f"{identity}</GetCallerIdentityResult><ResponseMetadata/></GetCallerIdentityResponse>".encode())
    before = service.principal

    await service.account()

    assert (before, service.principal) == (None, principal)


@pytest.mark.parametrize("account", ["", "12345", "a23456789012", "１２３４５６７８９０１２"])
async def test_an_account_that_is_none_is_no_answer(peer: Answering, service: AwsService, account: str) -> None:
    identity = f"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{account}</Account>"
    peer.answer(200, f"{identity}</GetCallerIdentityResult><ResponseMetadata/></GetCallerIdentityResponse>".encode())

    with pytest.raises(NoAnswer):
        await service.account()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "RegistrationAttachmentId", "RegistrationAttachmentArn", "AttachmentStatus", "CreatedTimestamp", "Tags", "Key",
    "RegistrationAttachments", "NextToken", "AccountLimits", "Name", "Used", "Max", "__type", "message", "Message",
    "Reason", "Fields", "ResourceId", "Value", "Registrations", "RegistrationArn", "RegistrationId", "RegistrationType",
    "RegistrationStatus", "CurrentVersionNumber", "LatestDeniedVersionNumber", "RegistrationFieldDefinitions",
    "FieldPath", "FieldType", "FieldRequirement", "RegistrationFieldValues", "VersionNumber", "DeniedReason",
    "Feedback",
)  # fmt: skip
WORDS = st.sampled_from(("REGISTRATION_ATTACHMENTS", "ValidationException", "id", ARN, "\ud800", "a:b#c"))
ANSWERS = st.recursive(
    JSON | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=6),
    max_leaves=20,
)
BODIES = st.binary(max_size=200) | ANSWERS.map(lambda value: json.dumps(value).encode())


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from([200, 200, 200, 400, 403, 500]), BODIES), min_size=1, max_size=8))
def test_no_answer_raises_anything_but_an_error_of_ours(answers: list[tuple[int, bytes]]) -> None:
    """Each answer is given to every operation."""
    asyncio.run(_ask_everything(answers))


async def _ask_everything(answers: list[tuple[int, bytes]]) -> None:
    async with (
        answering() as peer,
        open_service(Access(region="us-east-1", endpoint_url=peer.url, keys=KEYS)) as service,
    ):
        for status, body in answers:
            peer.answer(status, body)
            errors = [await error_of(ask(service)) for ask in OPERATIONS.values()]
            assert all(each.message.encode() and (each.code or "").encode() for each in errors if each is not None)


@given(st.text())
def test_plain_text_can_be_written_and_shown(text: str) -> None:
    shown = plain_text(text)

    assert shown.encode().decode() == shown
    assert shown == "" or shown.isprintable()
