"""DescribeRegistrationAttachments, by ids and as a listing."""

from datetime import timedelta
from typing import Any

import pytest

from batch_upload.emulator.context import Caller
from batch_upload.emulator.names import UploadStatus
from tests.unit.emulator.support import ATTACHMENT_ID, DESCRIBE, Client, MakeClient, ManualClock


def ids_of(members: Any) -> list[str]:  # noqa: ANN401 - an answer
    return [attachment[ATTACHMENT_ID] for attachment in members["RegistrationAttachments"]]


def listed(client: Client, **members: Any) -> list[list[str]]:  # noqa: ANN401 - any JSON
    """The ids of each page."""
    pages: list[list[str]] = []
    token: dict[str, Any] = {}
    while True:
        reply = client.ask(DESCRIBE, **members, **token)
        pages.append(ids_of(reply.members))
        if "NextToken" not in reply.members:
            return pages
        token = {"NextToken": reply.members["NextToken"]}


def created(client: Client, count: int) -> list[str]:
    return [client.create().members[ATTACHMENT_ID] for _ in range(count)]


def test_up_to_five_ids_are_described_in_the_order_asked(make_client: MakeClient) -> None:
    client = make_client()
    ids = created(client, 5)

    reply = client.ask(DESCRIBE, RegistrationAttachmentIds=ids[::-1])

    assert ids_of(reply.members) == ids[::-1]


def test_an_arn_is_as_good_as_an_id(make_client: MakeClient) -> None:
    client = make_client()
    members = client.create().members

    reply = client.ask(DESCRIBE, RegistrationAttachmentIds=[members["RegistrationAttachmentArn"]])

    assert ids_of(reply.members) == [members[ATTACHMENT_ID]]


def test_one_unknown_id_is_not_found_and_named(make_client: MakeClient) -> None:
    client = make_client()

    reply = client.ask(DESCRIBE, RegistrationAttachmentIds=[*created(client, 1), "registration-attachment-0"])

    assert reply.code == "ResourceNotFoundException"
    assert reply.members["ResourceId"] == "registration-attachment-0"
    assert reply.members["ResourceType"] == "registration-attachment"


@pytest.mark.parametrize(
    "other",
    [{"MaxResults": 5}, {"Filters": [{"Name": "attachment-status", "Values": ["DELETED"]}]}, {"NextToken": "x"}],
)
def test_ids_and_a_listing_exclude_each_other(make_client: MakeClient, other: dict[str, Any]) -> None:
    client = make_client()

    reply = client.ask(DESCRIBE, RegistrationAttachmentIds=created(client, 1), **other)

    assert reply.members["Reason"] == "PARAMETERS_CANNOT_BE_USED_TOGETHER"


@pytest.mark.parametrize(("size", "lengths"), [(None, [100, 100, 5]), (100, [100, 100, 5]), (41, [41] * 5)])
def test_a_listing_gives_everything_once_in_the_order_of_creation(
    make_client: MakeClient, clock: ManualClock, size: int | None, lengths: list[int]
) -> None:
    client = make_client(attachments_per_account=None)
    ids = []
    for _ in range(205):
        ids += created(client, 1)
        clock.advance(0.01)

    pages = listed(client, MaxResults=size)

    assert [len(page) for page in pages] == lengths
    assert [attachment_id for page in pages for attachment_id in page] == ids


def test_an_empty_account_has_one_empty_page(make_client: MakeClient) -> None:
    assert listed(make_client()) == [[]]


def test_pages_may_be_shorter_than_asked_for(make_client: MakeClient) -> None:
    client = make_client(page_size=2)
    ids = created(client, 5)

    assert listed(client, MaxResults=100) == [ids[:2], ids[2:4], ids[4:]]


def test_what_is_created_while_a_listing_goes_on_neither_shifts_nor_repeats_it(
    make_client: MakeClient, clock: ManualClock
) -> None:
    client = make_client()
    ids = created(client, 4)
    first = client.ask(DESCRIBE, MaxResults=2).members
    client.emulator.plant(region="us-east-1", tags={}, created_at=clock.now() - timedelta(days=1))
    clock.advance(1)
    later = created(client, 1)

    rest = client.ask(DESCRIBE, MaxResults=100, NextToken=first["NextToken"]).members

    assert ids_of(first) + ids_of(rest) == ids + later


def test_what_was_created_earlier_is_listed_earlier(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client()
    [mine] = created(client, 1)

    planted = client.emulator.plant(region="us-east-1", tags={}, created_at=clock.now() - timedelta(days=1))

    assert listed(client) == [[planted.attachment_id, mine]]


def test_a_listing_is_filtered_by_status(make_client: MakeClient, clock: ManualClock) -> None:
    client = make_client()
    complete, failed = created(client, 2)
    client.emulator.set_status(failed, UploadStatus.FAILED)
    clock.advance(60)
    [fresh] = created(client, 1)

    def of(*statuses: str) -> list[list[str]]:
        return listed(client, Filters=[{"Name": "attachment-status", "Values": list(statuses)}])

    assert of("UPLOAD_COMPLETE") == [[complete]]
    assert of("UPLOAD_FAILED", "UPLOAD_IN_PROGRESS") == [[failed, fresh]]
    assert of("DELETED") == [[]]


def test_an_unknown_status_is_no_filter(make_client: MakeClient) -> None:
    reply = make_client().ask(DESCRIBE, Filters=[{"Name": "attachment-status", "Values": ["DONE"]}])

    assert reply.members["Reason"] == "INVALID_FILTER_VALUES"


@pytest.mark.parametrize("token", ["x", "!", "bnVsbA==", "WyJwbGFjZSIsIFsieCIsIDFdXQ==", "WyJsaW1pdCIsIDNd"])
def test_a_next_token_that_was_not_given_is_refused(make_client: MakeClient, token: str) -> None:
    reply = make_client().ask(DESCRIBE, NextToken=token)

    assert reply.members["Reason"] == "INVALID_NEXT_TOKEN"


def test_another_region_lists_nothing_of_this_one(make_client: MakeClient) -> None:
    client = make_client()
    [mine] = created(client, 1)
    elsewhere = Caller("AKID", "eu-west-1")

    listing = client.ask(DESCRIBE, elsewhere)
    by_id = client.ask(DESCRIBE, elsewhere, RegistrationAttachmentIds=[mine])

    assert listing.members["RegistrationAttachments"] == []
    assert by_id.code == "ResourceNotFoundException"
