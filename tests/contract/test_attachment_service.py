"""What every `ports.AttachmentService` keeps to."""

from dataclasses import replace

import pytest

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.errors import AccessFault, AccountFull, CapacityExhausted, NoAnswer, Refused, ServiceError, Throttled
from batch_upload.model import AttachmentStatus
from batch_upload.ports import Body, CreateRequest
from tests.support.lanes import LaneUnderTest

CREATE = "CreateRegistrationAttachment"
DESCRIBE = "DescribeRegistrationAttachments"
LIST_TAGS = "ListTagsForResource"
LIMITS = "DescribeAccountLimits"
DELETE = "DeleteRegistrationAttachment"
TAG = "TagResource"
REQUEST = CreateRequest(
    "bu1-token", {"Customer": "acme", "batch-upload:token": "bu1-token"}, body=Body.of(b"%PDF-1.7\n")
)


async def test_a_create_makes_one_attachment_and_says_which(lane: LaneUnderTest) -> None:
    receipt = await lane.service.create(REQUEST)

    assert lane.held() == 1
    assert receipt.attachment_id
    assert receipt.attachment_arn.endswith(receipt.attachment_id)
    assert receipt.created_at.tzinfo is not None
    assert receipt.request_id


async def test_the_same_request_again_is_the_same_attachment(lane: LaneUnderTest) -> None:
    first = await lane.service.create(REQUEST)
    second = await lane.service.create(REQUEST)

    assert (second.attachment_id, second.created_at) == (first.attachment_id, first.created_at)
    assert lane.held() == 1


async def test_the_same_token_with_another_body_is_refused_and_names_what_has_it(lane: LaneUnderTest) -> None:
    first = await lane.service.create(REQUEST)

    with pytest.raises(Refused) as refused:
        await lane.service.create(replace(REQUEST, body=Body.of(b"%PDF-1.4\n")))

    assert refused.value.code == "ConflictException"
    assert refused.value.resource_id == first.attachment_id
    assert lane.held() == 1


async def test_a_url_is_an_attachment_too(lane: LaneUnderTest) -> None:
    receipt = await lane.service.create(CreateRequest("bu1-url", {}, url="s3://bucket/terms.pdf"))

    assert [each.attachment_id for each in await lane.service.describe([receipt.attachment_id])] == [
        receipt.attachment_id
    ]


async def test_five_can_be_described_at_once(lane: LaneUnderTest) -> None:
    made = [lane.plant({}) for _ in range(5)]

    found = await lane.service.describe(made)

    assert sorted(each.attachment_id for each in found) == sorted(made)
    assert {each.status for each in found} == {AttachmentStatus.COMPLETE}
    assert lane.requests(DESCRIBE) == 1


async def test_one_that_is_not_there_refuses_the_describe(lane: LaneUnderTest) -> None:
    made = lane.plant({})

    with pytest.raises(Refused) as refused:
        await lane.service.describe([made, "registration-attachment-" + "0" * 32])

    assert refused.value.code == "ResourceNotFoundException"


async def test_a_listing_has_every_attachment_once_in_pages_of_a_hundred(lane: LaneUnderTest) -> None:
    made = [lane.plant({}) for _ in range(205)]

    pages = [await lane.service.page(None)]
    while pages[-1].next_token is not None:
        pages.append(await lane.service.page(pages[-1].next_token))

    assert [len(page.attachments) for page in pages] == [100, 100, 5]
    listed = [each.attachment_id for page in pages for each in page.attachments]
    assert sorted(listed) == sorted(made)


async def test_a_page_says_when_it_was_served_by_the_clock_that_dates_the_attachments(lane: LaneUnderTest) -> None:
    await lane.service.create(REQUEST)

    page = await lane.service.page(None)

    [shown] = page.attachments
    assert page.served_at is not None
    assert abs((page.served_at - shown.created_at).total_seconds()) < 60


async def test_an_empty_lane_has_one_empty_page(lane: LaneUnderTest) -> None:
    page = await lane.service.page(None)

    assert (page.attachments, page.next_token) == ((), None)


async def test_the_tags_are_those_it_was_created_with(lane: LaneUnderTest) -> None:
    receipt = await lane.service.create(REQUEST)

    assert await lane.service.tags(receipt.attachment_arn) == REQUEST.tags


async def test_the_tags_of_what_was_never_there_are_not_found(lane: LaneUnderTest) -> None:
    receipt = await lane.service.create(REQUEST)
    elsewhere = receipt.attachment_arn[:-4] + "0000"

    with pytest.raises(Refused) as refused:
        await lane.service.tags(elsewhere)

    assert refused.value.code == "ResourceNotFoundException"


async def test_what_is_deleted_does_not_stand_any_more_and_cannot_be_deleted_again(lane: LaneUnderTest) -> None:
    made = lane.plant({})

    await lane.service.delete(made)
    with pytest.raises(Refused) as refused:
        await lane.service.delete(made)

    assert lane.held() == 0
    assert refused.value.code == "ResourceNotFoundException"


async def test_what_a_registration_uses_is_not_deleted(lane: LaneUnderTest) -> None:
    made = lane.plant({})
    lane.trouble(Action.IN_USE, operation=DELETE)

    with pytest.raises(Refused) as refused:
        await lane.service.delete(made)

    assert (refused.value.code, lane.held()) == ("ConflictException", 1)


async def test_a_delete_whose_answer_is_lost_was_done(lane: LaneUnderTest) -> None:
    made = lane.plant({})
    lane.trouble(Action.DROP_AFTER, operation=DELETE)

    with pytest.raises(NoAnswer):
        await lane.service.delete(made)

    assert lane.held() == 0


async def test_tags_are_put_on_and_taken_off_and_again_does_no_more(lane: LaneUnderTest) -> None:
    receipt = await lane.service.create(replace(REQUEST, tags={"A": "1", "B": "2"}))

    for _ in range(2):
        await lane.service.untag(receipt.attachment_arn, ["A", "not there"])
        await lane.service.tag(receipt.attachment_arn, {"B": "3", "C": ""})

    assert await lane.service.tags(receipt.attachment_arn) == {"B": "3", "C": ""}


@pytest.mark.parametrize("action", [Action.DROP_AFTER, Action.THROTTLE, Action.ACCESS_DENIED])
async def test_tagging_fails_in_the_same_ways(lane: LaneUnderTest, action: Action) -> None:
    receipt = await lane.service.create(REQUEST)
    lane.trouble(action, operation=TAG)

    with pytest.raises(ServiceError):
        await lane.service.tag(receipt.attachment_arn, {"A": "1"})

    assert ("A" in await lane.service.tags(receipt.attachment_arn)) is (action is Action.DROP_AFTER)


async def test_the_capacity_is_what_is_held_and_what_may_be(lane: LaneUnderTest) -> None:
    lane.plant({})
    lane.delete(lane.plant({}))

    capacity = await lane.service.capacity()

    assert capacity is not None
    assert (capacity.used, capacity.maximum, capacity.left) == (1, capacity.maximum, capacity.maximum - 1)


async def test_a_full_lane_refuses_what_is_new_and_replays_what_is_not(lane: LaneUnderTest) -> None:
    await lane.service.create(REQUEST)
    lane.limit(1)

    with pytest.raises(CapacityExhausted) as full:
        await lane.service.create(replace(REQUEST, client_token="bu1-other"))
    await lane.service.create(REQUEST)

    assert isinstance(full.value, AccountFull)
    assert lane.held() == 1


@pytest.mark.parametrize(
    ("action", "error", "code"),
    [
        (Action.THROTTLE, Throttled, "ThrottlingException"),
        (Action.INTERNAL_ERROR, NoAnswer, None),
        (Action.DROP_BEFORE, NoAnswer, None),
        (Action.ACCESS_DENIED, AccessFault, "AccessDeniedException"),
        (Action.EXPIRED_TOKEN, AccessFault, "ExpiredTokenException"),
        (Action.QUOTA_DAY, CapacityExhausted, "ServiceQuotaExceededException"),
        (Action.QUOTA_ACCOUNT, AccountFull, "ServiceQuotaExceededException"),
        (Action.VALIDATION, Refused, "ValidationException"),
    ],
)
async def test_what_was_not_done_is_the_right_error_after_one_request(
    lane: LaneUnderTest, action: Action, error: type[ServiceError], code: str | None
) -> None:
    lane.trouble(action)

    with pytest.raises(error) as raised:
        await lane.service.create(REQUEST)

    assert code is None or raised.value.code == code
    assert (lane.requests(), lane.held()) == (1, 0)


async def test_an_answer_that_is_lost_was_done_and_the_same_request_finds_it(lane: LaneUnderTest) -> None:
    lane.trouble(Action.DROP_AFTER)
    with pytest.raises(NoAnswer):
        await lane.service.create(REQUEST)

    await lane.service.create(REQUEST)

    assert (lane.requests(), lane.held()) == (2, 1)


async def test_the_day_quota_is_told_from_the_account_quota(lane: LaneUnderTest) -> None:
    lane.trouble(Action.QUOTA_DAY)

    with pytest.raises(CapacityExhausted) as full:
        await lane.service.create(REQUEST)

    assert not isinstance(full.value, AccountFull)


async def test_how_long_to_wait_after_a_throttle_is_kept(lane: LaneUnderTest) -> None:
    lane.trouble(Action.RETRY_AFTER)

    with pytest.raises(Throttled) as throttled:
        await lane.service.create(REQUEST)

    assert throttled.value.retry_after_s == 7.0


@pytest.mark.parametrize("operation", [DESCRIBE, LIST_TAGS, LIMITS])
@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Action.THROTTLE, Throttled),
        (Action.INTERNAL_ERROR, NoAnswer),
        (Action.DROP_AFTER, NoAnswer),
        (Action.ACCESS_DENIED, AccessFault),
        (Action.VALIDATION, Refused),
    ],
)
async def test_reads_fail_in_the_same_ways(
    lane: LaneUnderTest, operation: str, action: Action, error: type[ServiceError]
) -> None:
    receipt = await lane.service.create(REQUEST)
    lane.trouble(action, operation=operation)
    reads = {
        DESCRIBE: lambda: lane.service.page(None),
        LIST_TAGS: lambda: lane.service.tags(receipt.attachment_arn),
        LIMITS: lane.service.capacity,
    }

    with pytest.raises(error):
        await reads[operation]()

    assert lane.requests(operation) == 1
