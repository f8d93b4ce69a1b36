"""What leaves is what the plain client would send: held against botocore itself, and so failing when that changes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import botocore
import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from batch_upload.ports import Body, CreateRequest
from batch_upload.service.access import SERVICE, Access
from batch_upload.service.client import open_service

KEYS = Credentials("AKIDEXAMPLE", "not-a-secret", "a-session-token")
REGION = "us-east-1"
ARN = "arn:aws:sms-voice:us-east-1:123456789012:registration-attachment/id"
ANSWER = json.dumps({"RegistrationAttachmentId": "id", "RegistrationAttachmentArn": ARN}).encode()
CBOR_ANSWER = b"\xa2\x78\x18RegistrationAttachmentId\x62id\x78\x19RegistrationAttachmentArn\x78\x43" + ARN.encode()
EACH_TIME_ANOTHER = {"amz-sdk-invocation-id", "x-amz-date", "authorization"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire; names of headers in lower case, in their order."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    url: str = ""

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    @property
    def constant(self) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
        """All of it but what is of the moment."""
        return self.line, tuple(pair for pair in self.headers if pair[0] not in EACH_TIME_ANOTHER), self.body

    @property
    def signed(self) -> tuple[str, str]:
        """The scope without its date, and the names of the headers that are signed."""
        credential, names, _ = self.header("authorization").removeprefix("AWS4-HMAC-SHA256 ").split(", ")
        key, _, *scope = credential.split("/")
        return "/".join((key, *scope)), names

    def signature_as_it_should_be(self) -> str:
        """By botocore's signer, of what was sent; the Host header is the transport's, made of the URL."""
        headers = (
            {"host": URL(self.url).host_port_subcomponent, **dict(self.headers)} if self.url else dict(self.headers)
        )
        names = self.signed[1].removeprefix("SignedHeaders=").split(";")
        request = AWSRequest(
            method=self.line.split()[0],
            url=f"http://{headers['host']}{self.line.split()[1]}",
            data=self.body,
            headers={name: headers[name] for name in names},
        )
        request.context["timestamp"] = self.header("x-amz-date")
        auth = SigV4Auth(KEYS, "sms-voice", self.signed[0].split("/")[1])
        signature: str = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return signature


@dataclass(slots=True)
class Recorder:
    """Writes down every request and says yes."""

    url: str = ""
    answer: bytes = ANSWER
    requests: list[Request] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = tuple((name.lower(), value) for name, value in (each.split(": ", 1) for each in lines))
        body = await reader.readexactly(int(dict(headers)["content-length"]))
        self.requests.append(Request(line, headers, body))
        writer.write(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(self.answer), self.answer)
        )
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def recorder(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorder]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", KEYS.token)
    made = Recorder()
    async with await asyncio.start_server(made.take, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


async def both(recorder: Recorder, token: str, tags: dict[str, str], document: bytes) -> tuple[Request, Request]:
    """The same create by our client and by the plain one, which is told our name and nothing else."""
    async with open_service(Access(region=REGION, endpoint_url=recorder.url)) as service:
        await service.create(CreateRequest(token, tags, body=Body.of(document)))
    await _plainly(recorder.requests[0], token, tags, document, region=REGION, endpoint_url=recorder.url)
    ours, theirs = recorder.requests
    return ours, theirs


async def _plainly(
    ours: Request,
    token: str,
    tags: dict[str, str],
    document: bytes,
    *,
    region: str,
    endpoint_url: str | None,
    **transport: object,
) -> None:
    """A create by the plain client, under the name that was given before."""
    name = ours.header("user-agent").partition(" botocore/")[0]
    config = AioConfig(user_agent=name, user_agent_extra="batch-upload", retries={"total_max_attempts": 1}, **transport)
    asked: dict[str, Any] = {"ClientToken": token, "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
    async with get_session().create_client(
        SERVICE, region_name=region, endpoint_url=endpoint_url, config=config
    ) as plain:
        await plain.create_registration_attachment(**asked, AttachmentBody=document)


PDF = b"%PDF-1.7\n"
TAGS = {"Name": '"Zürich" \\ \U0001f4c4', "{}": ""}


@pytest.mark.parametrize(
    ("tags", "document"),
    [({}, b"%"), (TAGS, b"%P"), (TAGS, b"%PD"), (TAGS, bytes(range(256)) * 2_000)],
    ids=["1 byte, no tags", "2 bytes", "3 bytes", "512,000 bytes"],
)
async def test_a_create_is_the_plain_clients_byte_for_byte(
    recorder: Recorder, document: bytes, tags: dict[str, str]
) -> None:
    ours, theirs = await both(recorder, "bu1-token", tags, document)

    assert ours.constant == theirs.constant
    assert ours.signed == theirs.signed
    for request in (ours, theirs):
        assert request.header("authorization").endswith(f"Signature={request.signature_as_it_should_be()}")


class Unsent:
    """A session that sends nothing: what it was given is written down, and answered."""

    given: ClassVar[list[Request]] = []
    region: ClassVar[str] = REGION

    def __init__(self, **_: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def close(self) -> None: ...

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        headers = tuple((name.lower(), _text(value)) for name, value in request.headers.items())
        path = urlsplit(request.url).path
        self.given.append(Request(f"{request.method} {path}", headers, request.body, request.url))
        return AioAWSResponse(request.url, 200, {}, Answered(self.region))


class Answered:
    """The raw answer, about an attachment in a Region."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def read(self) -> bytes:
        return ANSWER.replace(REGION.encode(), self._region.encode())


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def unsent(monkeypatch: pytest.MonkeyPatch) -> type[Unsent]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", KEYS.token)
    Unsent.given.clear()
    return Unsent


@pytest.mark.parametrize(
    ("region", "endpoint_url", "environment"),
    [
        ("us-east-1", None, {}),
        ("cn-north-1", None, {"HTTPS_PROXY": "http://127.0.0.1:9"}),  # whose DNS decides whether the host exists
        ("us-gov-west-1", None, {"AWS_USE_FIPS_ENDPOINT": "true"}),
        ("us-east-1", None, {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"}),
        ("eu-west-1", None, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
        ("us-east-1", None, {"AWS_ENDPOINT_URL": "https://vpce-1.sms-voice.us-east-1.vpce.amazonaws.com"}),
        ("us-east-1", "https://sms-voice.us-east-1.amazonaws.com:443", {}),
        ("us-east-1", "https://localhost:8443/", {}),
        ("us-east-1", "http://LocalHost:80", {}),
        ("us-east-1", "http://[::1]:8080", {}),
    ],
)
async def test_wherever_it_goes_what_is_signed_and_sent_is_the_plain_clients(
    unsent: type[Unsent],
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    endpoint_url: str | None,
    environment: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(unsent, "region", region)

    async with open_service(Access(region=region, endpoint_url=endpoint_url, http_session=unsent)) as service:
        await service.create(CreateRequest("bu1-token", TAGS, body=Body.of(PDF)))
    ours = unsent.given[0]
    await _plainly(ours, "bu1-token", TAGS, PDF, region=region, endpoint_url=endpoint_url, http_session_cls=unsent)
    theirs = unsent.given[1]

    assert ours.constant == theirs.constant
    assert (ours.url, ours.signed) == (theirs.url, theirs.signed)
    assert ours.header("authorization").endswith(f"Signature={ours.signature_as_it_should_be()}")


async def test_another_protocol_is_left_to_the_sdk(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A release of botocore can move the service to CBOR: then nothing is put into a JSON text that is not there."""
    _write_model(tmp_path, protocols=["smithy-rpc-v2-cbor"])
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    recorder.answer = CBOR_ANSWER

    ours, theirs = await both(recorder, "bu1-token", {"Customer": "acme"}, b"%PDF-1.7\n")

    assert b"%PDF-1.7\n" in ours.body
    assert ours.constant == theirs.constant


async def test_a_name_given_to_aws_for_the_application_is_sent(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "our-letters")

    async with open_service(Access(region=REGION, endpoint_url=recorder.url)) as service:
        await service.create(CreateRequest("bu1-token", {}, body=Body.of(b"%PDF-1.7\n")))

    assert "app/our-letters" in recorder.requests[0].header("user-agent").split()
    assert "batch-upload" in recorder.requests[0].header("user-agent").split()


def _write_model(folder: Path, *, protocols: list[str]) -> None:
    """A service model of botocore's, changed: what stands in AWS_DATA_PATH comes first."""
    data = Path(botocore.__file__).parent / "data" / SERVICE
    [version] = [path for path in data.iterdir() if path.is_dir()]
    model = json.loads(gzip.decompress((version / "service-2.json.gz").read_bytes()))
    model["metadata"] |= {"protocols": protocols}
    written = folder / SERVICE / version.name
    written.mkdir(parents=True)
    (written / "service-2.json").write_text(json.dumps(model))
