"""A service that lags: what was created is listed, described, tagged and counted later."""

from typing import Any

import pytest

from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.settings import KnownToken, LateTags, Paging
from tests.unit.emulator.support import ARN, ATTACHMENT_ID, DESCRIBE, Client, MakeClient, ManualClock
from tests.unit.emulator.test_listing import created, ids_of, listed

LIST_TAGS = "ListTagsForResource"
LIMITS = "DescribeAccountLimits"
DELETE = "DeleteRegistrationAttachment"
TAGS = {"batch-upload:token": "bu1-x"}


def used(client: Client) -> int:
    """How many attachments the limits count."""
    limits = client.ask(LIMITS).members["AccountLimits"]
    return int(next(each["Used"] for each in limits if each["Name"] == "REGISTRATION_ATTACHMENTS"))


def test_a_listing_shows_an_attachment_only_after_its_lag(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(listing_lag_s=5)
    ids = created(client, 1)

    clock.advance(4.9)
    early = listed(client)
    by_id = ids_of(client.ask(DESCRIBE, RegistrationAttachmentIds=ids).members)
    clock.advance(0.1)

    assert (early, by_id, listed(client)) == ([[]], ids, [ids])


def test_an_attachment_is_not_found_by_its_id_until_its_lag_is_over(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client(describe_lag_s=5)
    ids = created(client, 1)

    early = client.ask(DESCRIBE, RegistrationAttachmentIds=ids)
    shown = listed(client)
    clock.advance(5)

    assert early.code == "ResourceNotFoundException"
    assert shown == [ids]
    assert ids_of(client.ask(DESCRIBE, RegistrationAttachmentIds=ids).members) == ids


@pytest.mark.parametrize(
    ("answer", "code"), [(LateTags.EMPTY, None), (LateTags.NOT_FOUND, "ResourceNotFoundException")]
)
def test_tags_are_readable_only_after_their_lag(
    make_client: MakeClient, clock: ManualClock, answer: LateTags, code: str | None
) -> None:
    client = make_client(tags_lag_s=5, tags_lag_answer=answer)
    arn = client.create("token", tags=TAGS).members[ARN]

    early = client.ask(LIST_TAGS, ResourceArn=arn)
    clock.advance(5)
    late = client.ask(LIST_TAGS, ResourceArn=arn)

    assert early.code == code
    assert early.members.get("Tags", []) == []
    assert late.members["Tags"] == [{"Key": "batch-upload:token", "Value": "bu1-x"}]


def test_limits_count_only_after_their_lag_and_not_what_was_deleted(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client(limits_lag_s=5)
    first, _ = created(client, 2)
    clock.advance(5)
    created(client, 1)

    early = used(client)
    client.ask(DELETE, RegistrationAttachmentId=first)
    clock.advance(5)

    assert (early, used(client)) == (2, 2)


def test_limits_may_tell_a_number_that_is_wrong(make_client: MakeClient) -> None:
    client = make_client(limits_used=7)
    created(client, 1)

    assert used(client) == 7


def test_offset_pages_skip_what_moves_up_when_something_before_it_goes(make_client: MakeClient) -> None:
    client = make_client(paging=Paging.OFFSET, page_size=2, keeps_deleted=False)
    ids = created(client, 5)
    first = client.ask(DESCRIBE).members

    client.ask(DELETE, RegistrationAttachmentId=ids[0])
    second = client.ask(DESCRIBE, NextToken=first["NextToken"]).members

    assert (ids_of(first), ids_of(second)) == (ids[:2], ids[3:5])


def test_an_old_next_token_is_refused(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(next_token_life_s=2, page_size=1)
    created(client, 3)
    token = client.ask(DESCRIBE).members["NextToken"]

    clock.advance(2)
    in_time = client.ask(DESCRIBE, NextToken=token)
    clock.advance(0.1)
    late = client.ask(DESCRIBE, NextToken=token)

    assert in_time.code is None
    assert (late.code, late.members["Reason"]) == ("ValidationException", "INVALID_NEXT_TOKEN")


@pytest.mark.parametrize("page_size", [1, 100])
def test_a_page_that_repeats_leads_to_itself_for_ever(make_client: MakeClient, page_size: int) -> None:
    client = make_client(page_size=page_size, faults=[FaultRule(FaultAction.REPEAT_PAGE, operation=DESCRIBE)])
    created(client, 2)

    token, tokens = client.ask(DESCRIBE).members["NextToken"], []
    for _ in range(3):
        tokens.append(client.ask(DESCRIBE, NextToken=token).members["NextToken"])

    assert tokens == [token] * 3


@pytest.mark.parametrize(
    ("known_token", "code"),
    [
        (KnownToken.REPLAY, None),
        (KnownToken.CONFLICT, "ConflictException"),
        (KnownToken.VALIDATION, "ValidationException"),
    ],
)
def test_what_a_known_token_gets_is_chosen(make_client: MakeClient, known_token: KnownToken, code: str | None) -> None:
    client = make_client(known_token=known_token)
    made = client.create("token").members[ATTACHMENT_ID]

    again = client.create("token")

    assert again.code == code
    assert [each["id"] for each in client.emulator.attachments()] == [made]
    assert client.emulator.stats()["token_mismatches"] == 0


def test_the_clock_of_answers_tells_when_something_was_created(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client(clock_ahead_s=60)

    members: dict[str, Any] = dict(client.create().members)

    assert members["CreatedTimestamp"] == clock.now().timestamp() + 60
