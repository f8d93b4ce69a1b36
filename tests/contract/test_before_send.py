"""What is checked before a request leaves is checked after it was signed, and nothing of a refused one is sent."""

import pytest

from batch_upload.errors import BatchUploadError, LaneLost, LedgerAway, NotSent
from batch_upload.ports import Body, CreateRequest
from tests.support.lanes import EmulatedLane

REQUEST = CreateRequest("token-1", {"Customer": "acme"}, body=Body.of(b"%PDF-1.4\n%%EOF\n"))
ERRORS = [
    NotSent("the lane's lease was not renewed in time"),
    LaneLost("another run has taken it over", pid=None, host=None, since=None),
    LedgerAway("the database does not answer"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_request_whose_check_fails_does_not_leave(wire: EmulatedLane, error: BatchUploadError) -> None:
    may_leave = True

    def check() -> None:
        if not may_leave:
            raise error

    wire.service.before_send(check)
    before = await wire.service.page(None)
    may_leave = False

    for call in (wire.service.create(REQUEST), wire.service.page(None), wire.service.delete("id")):
        with pytest.raises(type(error)) as raised:
            await call
        assert raised.value.message == error.message

    may_leave = True
    assert (await wire.service.page(None)).attachments == before.attachments == ()
    assert (await wire.service.create(REQUEST)).attachment_id


async def test_each_request_is_checked_once_and_with_its_signature(wire: EmulatedLane) -> None:
    signed: list[str] = []
    checks = 0

    def keep_signature(request: object, **_: object) -> None:
        signed.append(str(getattr(request, "headers", {}).get("Authorization")))

    def check() -> None:
        nonlocal checks
        checks += 1

    wire.service._sms.meta.events.register("before-send", keep_signature)
    wire.service.before_send(check)
    await wire.service.create(REQUEST)

    assert checks == 1
    assert len(signed) == 1
    assert "Signature=" in signed[0]


async def test_a_request_that_waits_behind_its_signature_is_checked_when_it_leaves(wire: EmulatedLane) -> None:
    """The event loop may stand still between the signature and the socket, for longer than a lease lasts."""
    may_leave = True

    def check() -> None:
        if not may_leave:
            raise NotSent("the lane's lease was not renewed in time")

    def lose_the_lane(**_: object) -> None:
        nonlocal may_leave
        may_leave = False

    wire.service.before_send(check)
    before = await wire.service.page(None)
    wire.service._sms.meta.events.register_last("before-send", lose_the_lane)

    with pytest.raises(NotSent):
        await wire.service.create(REQUEST)

    wire.service._sms.meta.events.unregister("before-send", lose_the_lane)
    may_leave = True
    assert (await wire.service.page(None)).attachments == before.attachments == ()
