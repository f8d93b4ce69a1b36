"""What leaves is what the plain client would send: held against botocore itself, and so failing when that changes."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from batch_upload.ports import Body, CreateRequest
from batch_upload.service.access import Access
from batch_upload.service.client import SERVICE, open_service

KEYS = Credentials("AKIDEXAMPLE", "not-a-secret", "a-session-token")
REGION = "us-east-1"
ANSWER = json.dumps({"RegistrationAttachmentId": "id", "RegistrationAttachmentArn": "arn"}).encode()
CBOR_ANSWER = b"\xa2\x78\x18RegistrationAttachmentId\x62id\x78\x19RegistrationAttachmentArn\x63arn"
EACH_TIME_ANOTHER = {"amz-sdk-invocation-id", "x-amz-date", "authorization"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire; names of headers in lower case, in their order."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

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
        names = self.signed[1].removeprefix("SignedHeaders=").split(";")
        request = AWSRequest(
            method=self.line.split()[0],
            url=f"http://{self.header('host')}{self.line.split()[1]}",
            data=self.body,
            headers={name: self.header(name) for name in names},
        )
        request.context["timestamp"] = self.header("x-amz-date")
        auth = SigV4Auth(KEYS, "sms-voice", REGION)
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
    name = recorder.requests[0].header("user-agent").partition(" botocore/")[0]
    config = AioConfig(user_agent=name, user_agent_extra="batch-upload", retries={"total_max_attempts": 1})
    asked: dict[str, Any] = {"ClientToken": token, "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
    async with get_session().create_client(
        SERVICE, region_name=REGION, endpoint_url=recorder.url, config=config
    ) as plain:
        await plain.create_registration_attachment(**asked, AttachmentBody=document)
    ours, theirs = recorder.requests
    return ours, theirs


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
