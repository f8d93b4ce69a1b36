"""The wire: protocols, spoilt answers, the control plane, and where it may listen."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from batch_upload.emulator.errors import ConfigurationError
from batch_upload.emulator.faults import FaultAction, FaultRule
from batch_upload.emulator.serve import RunningEmulator, serving
from batch_upload.emulator.settings import EmulatorSettings
from tests.unit.emulator.support import CREATE, DESCRIBE, UNLIMITED, ManualClock

SIGNED = "AWS4-HMAC-SHA256 Credential=AKID/20260630/us-east-1/sms-voice/aws4_request, SignedHeaders=host, Signature=0"
JSON_TYPE = "application/x-amz-json-1.0"
FORM_TYPE = "application/x-www-form-urlencoded"
A_CREATE = b'{"AttachmentUrl": "s3://bucket/key", "ClientToken": "token"}'


@pytest.fixture
async def running(clock: ManualClock) -> AsyncIterator[RunningEmulator]:
    async with serving(EmulatorSettings(rates=UNLIMITED), clock=clock) as emulator:
        yield emulator


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers_for(operation: str, **changes: str) -> dict[str, str]:
    headers = {"Authorization": SIGNED, "X-Amz-Target": f"PinpointSMSVoiceV2.{operation}", "Content-Type": JSON_TYPE}
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


async def asked(
    http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], bytes]:
    async with http.post(f"{url}/", data=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_an_answer_has_its_type_and_a_request_id_of_its_own(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    answers = [await asked(http, running.url, A_CREATE, headers_for(CREATE)) for _ in range(2)]

    assert [status for status, _, _ in answers] == [200, 200]
    assert all(headers["Content-Type"] == JSON_TYPE for _, headers, _ in answers)
    assert len({headers["x-amzn-RequestId"] for _, headers, _ in answers}) == 2


async def test_an_error_carries_its_code_and_members_at_the_top(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    status, headers, body = await asked(http, running.url, b"{}", headers_for(CREATE))

    members = json.loads(body)
    assert (status, members["__type"], members["Reason"]) == (400, "ValidationException", "MISSING_PARAMETER")
    assert headers["x-amzn-RequestId"]


@pytest.mark.parametrize(
    "target", ["PinpointSMSVoiceV2.SendTextMessage", "PinpointSMSVoiceV2.GetCallerIdentity", "Other." + CREATE, ""]
)
async def test_an_operation_that_is_not_emulated_is_unknown(
    running: RunningEmulator, http: aiohttp.ClientSession, target: str
) -> None:
    status, _, body = await asked(http, running.url, b"{}", {**headers_for(CREATE), "X-Amz-Target": target})

    assert (status, json.loads(body)["__type"]) == (404, "UnknownOperationException")


@pytest.mark.parametrize("authorization", ["", "Basic eDp5", "AWS4-HMAC-SHA256 Credential=AKID"])
async def test_a_request_without_a_signature_is_refused(
    running: RunningEmulator, http: aiohttp.ClientSession, authorization: str
) -> None:
    headers = headers_for(CREATE, Authorization=authorization)

    status, _, body = await asked(http, running.url, A_CREATE, headers)

    assert (status, json.loads(body)["__type"]) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_not_a_json_object_is_refused(
    running: RunningEmulator, http: aiohttp.ClientSession, body: bytes
) -> None:
    status, _, answer = await asked(http, running.url, body, headers_for(CREATE))

    assert (status, json.loads(answer)["__type"]) == (400, "SerializationException")


async def test_another_content_type_is_not_understood(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    status, _, _ = await asked(http, running.url, A_CREATE, headers_for(CREATE, Content_Type="application/json"))

    assert status == 415


async def test_the_region_is_the_signatures(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    headers = headers_for(CREATE, Authorization=SIGNED.replace("us-east-1", "eu-west-1"))

    _, _, body = await asked(http, running.url, A_CREATE, headers)

    assert json.loads(body)["RegistrationAttachmentArn"].startswith("arn:aws:sms-voice:eu-west-1:123456789012:")


async def test_the_caller_is_told_who_it_is_in_xml(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": SIGNED, "Content-Type": FORM_TYPE}

    status, answer_headers, body = await asked(http, running.url, b"Action=GetCallerIdentity", headers)

    assert (status, answer_headers["Content-Type"]) == (200, "text/xml")
    assert b"<Account>123456789012</Account>" in body


@pytest.mark.parametrize(
    ("action", "status", "code"),
    [
        (FaultAction.THROTTLE, 400, b"<Code>Throttling</Code>"),
        (FaultAction.EXPIRED_TOKEN, 403, b"<Code>ExpiredToken</Code>"),
        (FaultAction.UNRECOGNIZED_CLIENT, 403, b"<Code>InvalidClientTokenId</Code>"),
        (FaultAction.ACCESS_DENIED, 403, b"<Code>AccessDenied</Code>"),
        (FaultAction.INTERNAL_ERROR, 500, b"<Code>InternalFailure</Code>"),
    ],
)
async def test_the_token_service_has_codes_of_its_own(
    running: RunningEmulator, http: aiohttp.ClientSession, action: FaultAction, status: int, code: bytes
) -> None:
    running.emulator.set_faults([FaultRule(action, operation="GetCallerIdentity")])
    headers = {"Authorization": SIGNED, "Content-Type": FORM_TYPE}

    answered, _, body = await asked(http, running.url, b"Action=GetCallerIdentity", headers)

    assert answered == status
    assert code in body


async def test_another_action_of_the_token_service_is_unknown(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": SIGNED, "Content-Type": FORM_TYPE}

    status, _, body = await asked(http, running.url, b"Action=CreateRegistrationAttachment", headers)

    assert (status, b"<Code>InvalidAction</Code>" in body) == (400, True)


@pytest.mark.parametrize("rule", [FaultRule(FaultAction.DROP_BEFORE), FaultRule(FaultAction.DROP_AFTER)])
async def test_a_dropped_connection_answers_nothing(
    running: RunningEmulator, http: aiohttp.ClientSession, rule: FaultRule
) -> None:
    running.emulator.set_faults([rule])

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asked(http, running.url, A_CREATE, headers_for(CREATE))


async def test_an_answer_that_is_cut_short_ends_before_its_length(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.CUT_SHORT)])

    with pytest.raises(aiohttp.ClientPayloadError):
        await asked(http, running.url, A_CREATE, headers_for(CREATE))


@pytest.mark.parametrize("action", [FaultAction.GARBAGE, FaultAction.TRUNCATED])
async def test_a_spoilt_answer_is_a_200_that_is_not_json(
    running: RunningEmulator, http: aiohttp.ClientSession, action: FaultAction
) -> None:
    running.emulator.set_faults([FaultRule(action)])

    status, headers, body = await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


async def test_an_empty_answer_is_a_200_with_an_empty_object(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.EMPTY_200)])

    status, _, body = await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert (status, body) == (200, b"{}")


async def test_an_unavailable_service_answers_without_a_code(
    running: RunningEmulator, http: aiohttp.ClientSession
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.UNAVAILABLE)])

    status, headers, body = await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert (status, headers["Content-Type"]) == (503, "text/html")
    assert b"__type" not in body


async def test_retry_after_is_a_header_in_whole_seconds(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.RETRY_AFTER, seconds=1.2)])

    status, headers, _ = await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert (status, headers["Retry-After"]) == (400, "2")


async def test_a_slow_answer_takes_its_seconds(
    running: RunningEmulator, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.SLOW, seconds=90)])
    before_s = clock.monotonic()

    status, _, _ = await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert (status, clock.monotonic() - before_s) == (200, 90)


async def test_latency_is_added_to_every_answer(
    running: RunningEmulator, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    running.emulator.change_settings('{"latency_s": 0.05}')
    before_s = clock.monotonic()

    await asked(http, running.url, b"{}", headers_for(DESCRIBE))

    assert clock.monotonic() - before_s == pytest.approx(0.05)


async def test_what_hangs_for_a_while_is_closed_then(
    running: RunningEmulator, http: aiohttp.ClientSession, clock: ManualClock
) -> None:
    running.emulator.set_faults([FaultRule(FaultAction.HANG, seconds=600)])
    before_s = clock.monotonic()

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asked(http, running.url, A_CREATE, headers_for(CREATE))

    assert clock.monotonic() - before_s == 600


async def test_stopping_cuts_what_hangs_and_what_is_slow(http: aiohttp.ClientSession) -> None:
    rules = (FaultRule(FaultAction.HANG, done=True, times=2), FaultRule(FaultAction.SLOW, seconds=3_600))
    settings = EmulatorSettings(rates=UNLIMITED, faults=rules)
    async with serving(settings) as running:
        waiting = [asyncio.create_task(asked(http, running.url, A_CREATE, headers_for(CREATE))) for _ in range(4)]
        while running.emulator.log.in_flight < len(waiting):  # noqa: ASYNC110 - the emulator counts, it does not call
            await asyncio.sleep(0)

    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, aiohttp.ClientError) for end in ends)
    assert running.emulator.stats()["max_in_flight"] == 4
    assert running.emulator.stats()["attachments"] == 1


async def control(http: aiohttp.ClientSession, running: RunningEmulator, route: str, value: object = None) -> Any:  # noqa: ANN401
    method = "GET" if value is None else "POST"
    async with http.request(method, f"{running.url}/_emulator/{route}", json=value) as answer:
        return answer.status, await answer.json()


async def test_the_control_plane_counts_and_tells(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    for _ in range(2):
        await asked(http, running.url, A_CREATE, headers_for(CREATE))
    await asked(http, running.url, b'{"AttachmentUrl": "s3://b/k", "ClientToken": "token"}', headers_for(CREATE))

    _, stats = await control(http, running, "stats")
    _, [held] = await control(http, running, "attachments")
    _, log = await control(http, running, "log")

    counted = {
        "requests": {CREATE: 3},
        "accepted": {CREATE: 2},
        "throttled": {},
        "faults": {},
        "replays": 1,
        "token_mismatches": 1,
        "attachments": 1,
        "registrations": 0,
    }
    assert stats == {
        **counted,
        "max_in_flight": 1,
        "roles": {},
        "lanes": {"123456789012/us-east-1": counted},
    }
    assert (held["url"], held["client_token"], held["status"]) == ("s3://bucket/key", "token", "UPLOAD_IN_PROGRESS")
    assert [line[1:] for line in log] == [
        [CREATE, "accepted", "token", "123456789012", "us-east-1"],
        [CREATE, "replayed", "token", "123456789012", "us-east-1"],
        [CREATE, "ConflictException", "token", "123456789012", "us-east-1"],
    ]


async def test_the_control_plane_turns_everything(running: RunningEmulator, http: aiohttp.ClientSession) -> None:
    wanted = {"tags": {"a": "1"}, "created_at": "2026-01-01T00:00:00+00:00", "region": "eu-west-1"}
    _, planted = await control(http, running, "attachments", wanted)
    status, changed = await control(http, running, f"attachments/{planted['id']}/status", {"status": "DELETED"})
    await control(http, running, "faults", [{"action": "throttle"}])
    _, settings = await control(http, running, "settings", {"attachments_per_account": 7})

    assert (planted["tags"], planted["created_at"], planted["region"]) == tuple(wanted.values())
    assert (status, changed["status"]) == (200, "DELETED")
    assert (await asked(http, running.url, A_CREATE, headers_for(CREATE)))[0] == 400
    assert settings["attachments_per_account"] == 7
    assert (await control(http, running, "settings"))[1] == settings


@pytest.mark.parametrize(
    ("route", "value", "status"),
    [
        ("faults", [{"action": "explode"}], 400),
        ("faults", [{"action": "throttle", "operation": "CreateEverything"}], 400),
        ("settings", {"colour": "red"}, 400),
        ("attachments", {"colour": "red"}, 400),
        ("attachments", {"created_at": "2026-01-01T00:00:00"}, 400),
        ("attachments/registration-attachment-0/status", {"status": "DELETED"}, 404),
        ("attachments/registration-attachment-0/status", {"status": "DONE"}, 400),
    ],
)
async def test_what_the_control_plane_cannot_do_it_says(
    running: RunningEmulator, http: aiohttp.ClientSession, route: str, value: object, status: int
) -> None:
    answered, body = await control(http, running, route, value)

    assert answered == status
    assert body["error"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104 - refused, which is the point
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ConfigurationError, match="loopback only"):
        async with serving(EmulatorSettings(), host=host):
            pass


async def test_a_port_that_cannot_be_is_told() -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with serving(EmulatorSettings(), port=70_000):
            pass


async def test_a_port_that_is_taken_is_told(running: RunningEmulator) -> None:
    port = int(running.url.rpartition(":")[2])

    with pytest.raises(ConfigurationError, match="cannot listen"):
        async with serving(EmulatorSettings(), port=port):
            pass
