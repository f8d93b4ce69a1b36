"""No redirect is followed, and a request has limits of time and memory: through real servers on loopback."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiobotocore.session import get_session
from aiohttp.abc import AbstractResolver, ResolveResult
from botocore.exceptions import ClientError

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.serve import RunningEmulator, serving
from batch_upload.emulator.settings import EmulatorSettings
from batch_upload.errors import AccessFault, NoAnswer
from batch_upload.ports import Body, CreateRequest
from batch_upload.service.access import Access, open_session
from batch_upload.service.client import AwsService, open_service
from batch_upload.service.http import BoundedSession, RedirectNotFollowed, RequestLimits, refuse_redirect
from tests.support.answering import Answering, answering

SESSION_TOKEN = "canary-of-the-session-token"
DOCUMENT = b"%PDF-canary"
ARN = "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/id"
CREATE = CreateRequest("bu1-token", {"Customer": "canary"}, body=Body.of(DOCUMENT))
OPERATIONS: Mapping[str, Callable[[AwsService], Awaitable[object]]] = {
    "GetCallerIdentity": lambda service: service.account(),
    "CreateRegistrationAttachment": lambda service: service.create(CREATE),
    "DescribeRegistrationAttachments": lambda service: service.describe(["id"]),
    "DescribeRegistrationAttachments, a page": lambda service: service.page(None),
    "ListTagsForResource": lambda service: service.tags(ARN),
    "TagResource": lambda service: service.tag(ARN, {"Customer": "canary"}),
    "UntagResource": lambda service: service.untag(ARN, ["Customer"]),
    "DeleteRegistrationAttachment": lambda service: service.delete("id"),
    "DescribeAccountLimits": lambda service: service.capacity(),
}
STATUSES = (300, 301, 302, 303, 307, 308)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)


@pytest.fixture
async def peer() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


@pytest.fixture
async def thief() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


@asynccontextmanager
async def reaching(url: str, **limits: float) -> AsyncIterator[AwsService]:
    """The real client, with limits of its own where they are given."""
    made = RequestLimits(**limits)  # type: ignore[arg-type]
    access = Access(region="us-east-1", endpoint_url=url, http_session=partial(BoundedSession, limits=made))
    async with open_service(access) as service:
        yield service


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_byte_of_any_request_goes_to_where_a_redirect_points(
    peer: Answering, thief: Answering, operation: str, status: int
) -> None:
    peer.redirect(status, f"{thief.url}/steal")

    async with reaching(peer.url) as service:
        with pytest.raises(NoAnswer) as unanswered:
            await OPERATIONS[operation](service)

    assert (unanswered.value.code, unanswered.value.status) == ("RedirectNotFollowed", status)
    assert f"redirect ({status}) to `127.0.0.1`, which is not followed" in unanswered.value.message
    assert (peer.requests, thief.requests, bytes(thief.received)) == (1, 0, b"")
    assert SESSION_TOKEN.encode() in peer.received


@pytest.mark.parametrize("status", STATUSES)
async def test_the_client_that_assumes_a_role_follows_no_redirect(
    peer: Answering, thief: Answering, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", peer.url)
    peer.redirect(status, thief.url)
    access = Access(region="us-east-1", role_arn="arn:aws:iam::999999999999:role/uploader")

    async with open_service(access) as service:
        with pytest.raises(NoAnswer, match=r"redirect \(3.*not followed"):
            await service.account()

    assert (peer.requests, thief.requests) == (1, 0)


async def test_a_web_identity_is_not_sent_to_where_a_redirect_points(
    peer: Answering, thief: Answering, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("canary-of-the-web-identity")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::999999999999:role/uploader")
    monkeypatch.setenv("AWS_ENDPOINT_URL", peer.url)
    peer.redirect(307, thief.url)

    async with open_service(Access(region="us-east-1")) as service:
        with pytest.raises(NoAnswer, match="not followed"):
            await service.account()

    assert b"canary-of-the-web-identity" in peer.received
    assert (thief.requests, bytes(thief.received)) == (0, b"")


async def test_every_client_of_a_session_sends_through_the_session_of_ours(peer: Answering, thief: Answering) -> None:
    session = await open_session(Access(region="us-east-1"))
    peer.redirect(307, thief.url)

    async with session.create_client("sso", region_name="us-east-1", endpoint_url=peer.url) as client:
        with pytest.raises(RedirectNotFollowed):
            await client.get_role_credentials(roleName="r", accountId="123456789012", accessToken="canary")

    assert thief.requests == 0


async def test_the_plain_client_would_have_followed(peer: Answering, thief: Answering) -> None:
    """If this fails, the SDK has mended it, and ours may go."""
    peer.redirect(307, thief.url)
    thief.answer(400, b'{"__type": "ValidationException"}')

    async with get_session().create_client(
        "pinpoint-sms-voice-v2", region_name="us-east-1", endpoint_url=peer.url
    ) as client:
        with pytest.raises(ClientError):
            await client.create_registration_attachment(AttachmentBody=DOCUMENT, ClientToken="t")

    assert SESSION_TOKEN.encode() in thief.received


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://user:secret@attacker.example:8443/path?key=secret", "`attacker.example`"),
        ("/elsewhere", "an address without a host"),
        ("http://[::1", "an address without a host"),
        ("http://\x1bred/", "`\\x1bred`"),
        ("http://\u202eelpmaxe.example/", "`\\u202eelpmaxe.example`"),
    ],
)
def test_only_the_host_of_a_location_is_named_and_nothing_that_a_terminal_obeys(location: str, named: str) -> None:
    with pytest.raises(RedirectNotFollowed) as refused:
        refuse_redirect(307, location)

    assert named in str(refused.value)
    assert "secret" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_redirect_without_a_location_is_one_all_the_same() -> None:
    with pytest.raises(RedirectNotFollowed, match=r"a redirect \(304\), which"):
        refuse_redirect(304, None)


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with serving(EmulatorSettings(rates={"*": None})) as running:
        yield running


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_an_upload_that_the_peer_does_not_read_ends(emulator: RunningEmulator) -> None:
    emulator.emulator.set_faults([FaultRule(Action.STALL)])
    large = CreateRequest("bu1-token", {}, body=Body.of(bytes(8 * 1024 * 1024)))

    async with reaching(emulator.url, base_s=0.2, slowest_bytes_per_s=1e9) as service:
        with pytest.raises(NoAnswer) as unanswered:
            await service.create(large)

    assert unanswered.value.code == "RequestTimeLimit"


async def test_an_answer_that_trickles_ends(emulator: RunningEmulator) -> None:
    emulator.emulator.set_faults([FaultRule(Action.TRICKLE, seconds=0.05, times=1)])

    async with reaching(emulator.url, base_s=0.4) as service:
        with pytest.raises(NoAnswer) as unanswered:
            await service.create(CREATE)
        again = await service.create(CREATE)

    assert unanswered.value.code == "RequestTimeLimit"
    assert again.attachment_id
    assert emulator.emulator.stats()["replays"] == 1


async def test_an_answer_without_end_is_read_to_its_limit_and_no_further(emulator: RunningEmulator) -> None:
    emulator.emulator.set_faults([FaultRule(Action.ENDLESS)])

    async with reaching(emulator.url, answer_bytes=100_000) as service:
        with pytest.raises(NoAnswer) as unanswered:
            await service.create(CREATE)

    assert (unanswered.value.code, unanswered.value.status) == ("AnswerTooLarge", 200)
    assert "longer than 100,000 bytes" in unanswered.value.message


async def test_an_answer_as_long_as_the_limit_is_read(peer: Answering) -> None:
    peer.answer(200, b"{}" + b" " * 998)

    async with reaching(peer.url, answer_bytes=1_000) as service:
        await service.tag(ARN, {"Customer": "acme"})
        peer.answer(200, b"{}" + b" " * 999)
        with pytest.raises(NoAnswer, match="longer"):
            await service.tag(ARN, {"Customer": "acme"})


async def test_a_compressed_answer_is_not_unpacked(peer: Answering) -> None:
    peer.head += b"\r\nContent-Encoding: gzip"
    peer.body = b"\x1f\x8b\x08\x00"

    async with reaching(peer.url) as service:
        with pytest.raises(NoAnswer):
            await service.tag(ARN, {"Customer": "acme"})


@pytest.mark.parametrize("rule", [FaultRule(Action.TRICKLE, seconds=5), FaultRule(Action.ENDLESS)])
async def test_a_connection_that_was_cut_off_is_closed_and_not_used_again(
    emulator: RunningEmulator, rule: FaultRule
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    emulator.emulator.set_faults([rule])

    async with reaching(emulator.url, base_s=0.3, answer_bytes=100_000) as service:
        for _ in range(5):
            with pytest.raises(NoAnswer):
                await service.create(CREATE)
        for _ in range(50):
            await asyncio.sleep(0)
        during = len(os.listdir("/proc/self/fd"))

    assert during - before <= 3


def test_a_request_has_time_for_its_size() -> None:
    limits = RequestLimits()

    assert limits.time_s(0) == 35
    assert limits.time_s(7_000_000) == 35 + 560
    assert limits.time_s(667_000) < 90


class Pretending(AbstractResolver):
    """A system on which every name has one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [ResolveResult(hostname=host, host=self.address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def resolving(url: str, resolver: Pretending) -> AsyncIterator[AwsService]:
    access = Access(region="us-east-1", endpoint_url=url, http_session=partial(BoundedSession, resolver=resolver))
    async with open_service(access) as service:
        yield service


@pytest.mark.parametrize("host", ["localhost", "anything.localhost"])
async def test_a_name_of_loopback_that_resolves_elsewhere_is_refused(host: str) -> None:
    async with resolving(f"http://{host}:9", Pretending("192.0.2.1")) as service:
        with pytest.raises(AccessFault, match="does not resolve to a loopback address"):
            await service.create(CREATE)


async def test_the_connection_is_made_to_the_address_that_was_checked(peer: Answering) -> None:
    resolver = Pretending("127.0.0.1")
    peer.answer(200, b"{}")

    async with resolving(peer.url.replace("127.0.0.1", "anything.localhost"), resolver) as service:
        await service.tag(ARN, {"Customer": "acme"})

    assert (resolver.asked, peer.requests) == (1, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "anything.localhost"])
async def test_loopback_is_reached_without_a_proxy_that_the_environment_names(
    peer: Answering, thief: Answering, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", thief.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", peer.url.replace("127.0.0.1", host))
    access = Access(region="us-east-1", http_session=partial(BoundedSession, resolver=Pretending("127.0.0.1")))

    async with open_service(access) as service:
        await service.tag(ARN, {"Customer": "acme"})

    assert (peer.requests, thief.requests) == (1, 0)
