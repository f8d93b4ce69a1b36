"""Faults of an answer and of its way: redirects, text as it is, answers that trickle or never end, stalled requests."""

import asyncio
import io
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule, faults_from_json
from batch_upload.emulator.serve import RunningEmulator, serving
from batch_upload.emulator.settings import EmulatorSettings
from tests.unit.emulator.support import CREATE, DESCRIBE, UNLIMITED, ManualClock

SIGNED = "AWS4-HMAC-SHA256 Credential=AKID/20260630/us-east-1/sms-voice/aws4_request, SignedHeaders=host, Signature=0"
A_CREATE = b'{"AttachmentUrl": "s3://bucket/key", "ClientToken": "token"}'
FORM = {"Authorization": SIGNED, "Content-Type": "application/x-www-form-urlencoded"}
MANY_BYTES = 64 * 1024 * 1024


@pytest.fixture
async def running(clock: ManualClock) -> AsyncIterator[RunningEmulator]:
    async with serving(EmulatorSettings(rates=UNLIMITED), clock=clock) as emulator:
        yield emulator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def asking(
    http: aiohttp.ClientSession, running: RunningEmulator, operation: str = CREATE, body: bytes = A_CREATE
) -> "aiohttp.client._RequestContextManager":
    headers = {
        "Authorization": SIGNED,
        "X-Amz-Target": f"PinpointSMSVoiceV2.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
    }
    return http.post(f"{running.url}/", data=io.BytesIO(body), headers=headers, allow_redirects=False)


def held(running: RunningEmulator) -> int:
    return int(running.emulator.stats()["attachments"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_names_its_location_and_does_nothing(
    running: RunningEmulator, http: aiohttp.ClientSession, status: int
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.REDIRECT, status=status, location="http://other.example/x")])

    async with asking(http, running) as answer:
        assert (answer.status, answer.headers["Location"]) == (status, "http://other.example/x")
    assert held(running) == 0
    assert running.emulator.stats()["faults"] == {"redirect": 1}


async def test_a_raw_answer_comes_as_it_is_written_and_the_request_is_done(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    rule = FaultRule(FaultAction.RAW, status=502, body='"Bad Gateway \\ud800"', content_type="text/html; charset=utf-8")
    running.emulator.set_faults([rule])

    async with asking(http, running) as answer:
        assert answer.status == 502
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert await answer.read() == b'"Bad Gateway \\ud800"'
    assert held(running) == 1


async def test_a_raw_answer_is_a_200_of_json_unless_told(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.RAW, body="null")])

    async with asking(http, running) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-amz-json-1.0")
        assert await answer.read() == b"null"


async def test_a_raw_answer_can_come_from_the_token_service(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.RAW, operation="GetCallerIdentity", body="<html/>")])

    async with http.post(f"{running.url}/", data=b"Action=GetCallerIdentity", headers=FORM) as answer:
        assert await answer.read() == b"<html/>"


async def test_a_trickled_answer_takes_its_seconds_for_each_byte(
    running: RunningEmulator, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.TRICKLE, seconds=5)])
    before_s = clock.monotonic()

    async with asking(http, running) as answer:
        body = await answer.read()

    assert json.loads(body)["RegistrationAttachmentId"]
    assert clock.monotonic() - before_s == 5 * len(body)
    assert held(running) == 1


async def test_an_endless_answer_is_cut_off_after_its_bytes(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.ENDLESS, size_bytes=200_000)])

    async with asking(http, running) as answer:
        beginning = await answer.content.readexactly(200_000)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()

    assert beginning.startswith(b'{"Padding": "xxx')
    assert held(running) == 1


async def test_an_endless_answer_ends_when_the_client_goes_away(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.ENDLESS, times=1)])

    async with asking(http, running) as answer:
        await answer.content.read(1)
        answer.close()
    async with asking(http, running) as answer:
        assert answer.status == 200
    assert running.emulator.log.max_in_flight <= 2


async def test_the_body_of_a_stalled_request_is_never_read(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.STALL)])

    call = asyncio.ensure_future(_sent(http, running, bytes(MANY_BYTES)))
    while running.emulator.log.total.requests[CREATE] == 0 and not call.done():  # noqa: ASYNC110 - at the other end
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([call], timeout=0.2)

    assert not done
    assert (held(running), running.emulator.stats()["faults"]) == (0, {"stall": 1})
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def _sent(http: aiohttp.ClientSession, running: RunningEmulator, body: bytes) -> None:
    async with asking(http, running, body=body):
        pass


async def test_a_stalled_request_loses_its_connection_after_its_seconds(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.STALL, seconds=60)])

    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await _sent(http, running, bytes(MANY_BYTES))


async def test_only_the_operation_that_is_named_stalls(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.STALL, operation=DESCRIBE, seconds=0, after=1)])

    async with asking(http, running, DESCRIBE, b"{}") as answer:
        assert answer.status == 200
    async with asking(http, running) as answer:
        assert answer.status == 200
    with pytest.raises(aiohttp.ClientError):
        await asking(http, running, DESCRIBE, b"{}")


async def test_every_operation_stalls_the_token_services_too(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.STALL, operation="*", seconds=0)])

    with pytest.raises(aiohttp.ClientError):
        await http.post(f"{running.url}/", data=b"Action=GetCallerIdentity", headers=FORM)


@pytest.mark.parametrize(
    "rule",
    [
        '{"action": "redirect", "status": 307}',
        '{"action": "redirect", "location": "http://other.example"}',
        '{"action": "redirect", "status": 200, "location": "http://other.example"}',
        '{"action": "raw"}',
        '{"action": "raw", "body": "", "status": 600}',
        '{"action": "raw", "body": "", "location": "http://other.example"}',
        '{"action": "throttle", "status": 400}',
        '{"action": "throttle", "body": ""}',
        '{"action": "trickle"}',
        '{"action": "endless", "size_bytes": 0}',
        '{"action": "slow", "seconds": 1, "size_bytes": 9}',
        '{"action": "stall", "token": "t"}',
        '{"action": "stall", "body_contains": "t"}',
        '{"action": "stall", "operation": "GetCallerIdentity"}',
    ],
)
def test_a_rule_that_lacks_what_it_needs_or_has_what_it_cannot_use_is_refused(rule: str) -> None:
    with pytest.raises(ConfigurationError, match="fault rules"):
        faults_from_json(f"[{rule}]")


def test_rules_with_all_that_they_may_have_come_from_json() -> None:
    written = [
        {"action": "redirect", "status": 308, "location": "http://other.example"},
        {"action": "raw", "body": "[]", "status": 403, "content_type": "text/xml"},
        {"action": "trickle", "seconds": 0.5},
        {"action": "endless", "size_bytes": 1},
        {"action": "stall", "operation": "*", "seconds": 2},
    ]

    assert [rule.action for rule in faults_from_json(json.dumps(written))] == [each["action"] for each in written]
