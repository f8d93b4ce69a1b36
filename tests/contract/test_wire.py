"""What only a real wire can do to the client: answers that cannot be read, and requests that are counted."""

import asyncio
import logging

import pytest

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.emulator.faults import FaultRule
from batch_upload.errors import AccessFault, NoAnswer, Refused, Throttled
from batch_upload.ports import Body, CreateRequest
from batch_upload.service.access import Access, StaticKeys
from batch_upload.service.client import open_service
from tests.support.lanes import EmulatedLane

CREATE = "CreateRegistrationAttachment"
REQUEST = CreateRequest("bu1-token", {"Customer": "acme"}, body=Body.of(b"%PDF-1.7\n"))
KEYS = StaticKeys("AKIDEXAMPLE", "not-a-secret")


@pytest.mark.parametrize(
    "action", [Action.GARBAGE, Action.TRUNCATED, Action.CUT_SHORT, Action.EMPTY_200, Action.ERROR_AFTER]
)
async def test_an_answer_that_cannot_be_read_is_no_answer(wire: EmulatedLane, action: Action) -> None:
    wire.trouble(action)

    with pytest.raises(NoAnswer):
        await wire.service.create(REQUEST)

    assert (wire.requests(), wire.held()) == (1, 1)


@pytest.mark.parametrize(
    "operation", ["DescribeRegistrationAttachments", "ListTagsForResource", "DescribeAccountLimits"]
)
@pytest.mark.parametrize("action", [Action.GARBAGE, Action.TRUNCATED, Action.CUT_SHORT, Action.EMPTY_200])
async def test_a_read_that_cannot_be_read_is_no_answer_and_never_an_empty_one(
    wire: EmulatedLane, operation: str, action: Action
) -> None:
    made = await wire.service.create(REQUEST)
    wire.trouble(action, operation=operation)
    reads = {
        "DescribeRegistrationAttachments": lambda: wire.service.page(None),
        "ListTagsForResource": lambda: wire.service.tags(made.attachment_arn),
        "DescribeAccountLimits": wire.service.capacity,
    }

    with pytest.raises(NoAnswer):
        await reads[operation]()


async def test_a_page_of_html_from_a_load_balancer_is_no_answer(wire: EmulatedLane) -> None:
    wire.trouble(Action.UNAVAILABLE)

    with pytest.raises(NoAnswer) as unanswered:
        await wire.service.create(REQUEST)

    assert unanswered.value.status == 503
    assert (wire.requests(), wire.held()) == (1, 0)


async def test_an_unheard_of_code_is_a_refusal_with_the_code_as_it_came(wire: EmulatedLane) -> None:
    wire.trouble(Action.UNKNOWN_CODE)

    with pytest.raises(Refused) as refused:
        await wire.service.create(REQUEST)

    assert refused.value.code == "UnheardOfException"
    assert refused.value.request_id


async def test_a_refusal_names_its_reason_its_fields_and_its_request(wire: EmulatedLane) -> None:
    with pytest.raises(Refused) as refused:
        await wire.service.create(CreateRequest("bu1-token", {"aws:own": "x"}, body=Body.of(b"%PDF-1.7\n")))

    assert refused.value.code == "ValidationException"
    assert refused.value.reason
    assert refused.value.request_id
    assert refused.value.status == 400


async def test_what_a_request_may_hold_is_judged_by_the_service_alone(wire: EmulatedLane) -> None:
    with pytest.raises(Refused) as refused:
        await wire.service.describe(["" for _ in range(3)])

    assert refused.value.code == "ValidationException"
    assert wire.requests("DescribeRegistrationAttachments") == 1


async def test_a_throttle_by_the_rate_limit_is_one_request(wire: EmulatedLane) -> None:
    wire.running.emulator.change_settings('{"rates": {"CreateRegistrationAttachment": 0.001}}')
    await wire.service.create(REQUEST)

    with pytest.raises(Throttled) as throttled:
        await wire.service.create(REQUEST)

    assert throttled.value.request_id
    assert throttled.value.retry_after_s is None
    assert wire.requests() == 2


async def test_a_refused_connection_is_no_answer() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    access = Access(region="us-east-1", endpoint_url=f"http://127.0.0.1:{port}", keys=KEYS)

    async with open_service(access) as service:
        with pytest.raises(NoAnswer):
            await service.create(REQUEST)


async def test_a_cancelled_call_was_sent_and_may_have_been_done(wire: EmulatedLane) -> None:
    wire.running.emulator.set_faults([FaultRule(Action.HANG, done=True)])
    call = asyncio.ensure_future(wire.service.create(REQUEST))
    while wire.requests() == 0:  # noqa: ASYNC110 - what is waited for happens on the other side of the wire
        await asyncio.sleep(0)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert wire.held() == 1


async def test_the_account_is_asked_of_the_same_stand_in(wire: EmulatedLane) -> None:
    assert await wire.service.account() == "123456789012"
    assert wire.service.endpoint.startswith(wire.running.url)


async def test_an_identity_that_is_denied_is_a_fault_of_access(wire: EmulatedLane) -> None:
    wire.running.emulator.change_settings('{"deny": ["GetCallerIdentity"]}')

    with pytest.raises(AccessFault):
        await wire.service.account()


async def test_nothing_that_is_secret_is_logged(wire: EmulatedLane, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    await wire.service.create(CreateRequest("bu1-token", {}, body=Body.of(b"%PDF-canary")))

    assert "canary" not in caplog.text
    assert KEYS.secret_key not in caplog.text
    assert KEYS.secret_key not in repr(KEYS)
