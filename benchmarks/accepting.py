"""A server that accepts every request at once, and costs as little as a server on asyncio can.

It replaces the emulator where the client's time is measured: on two cores a busy server would distort it. Prints its
URL and serves until its stdin closes; then prints what it has counted, as JSON.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "123456789012"
CREATE = "CreateRegistrationAttachment"
IDENTITY = "GetCallerIdentity"
JSON_TYPE = "application/x-amz-json-1.0"
_PREFIX = "PinpointSMSVoiceV2."
_WHO = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>AIDABENCH</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata>"
    "</GetCallerIdentityResponse>"
)


@dataclass(slots=True)
class Counted:
    """Requests that came."""

    requests: Counter[str] = field(default_factory=Counter)
    body_bytes: int = 0


class Accepting(asyncio.Protocol):
    """A persistent connection with requests one after another, each with its length in its head."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._transport: asyncio.WriteTransport | None = None
        self._head = bytearray()
        self._operation = ""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._take(len(data))
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        length = len(self._head) - end - 4
        self._begin(self._head[:end].decode())
        self._head.clear()
        self._take(length)

    def _begin(self, head: str) -> None:
        fields = (line.partition(":") for line in head.split("\r\n")[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        self._left = int(headers["content-length"])
        self._operation = headers.get("x-amz-target", _PREFIX + IDENTITY).removeprefix(_PREFIX)

    def _take(self, size_bytes: int) -> None:
        self._left -= size_bytes
        self._counted.body_bytes += size_bytes
        if self._left == 0 and self._transport is not None:
            self._counted.requests[self._operation] += 1
            self._transport.write(answer(self._operation, self._counted.requests))


def answer(operation: str, requests: Counter[str]) -> bytes:
    """Return the whole answer to the latest request of an operation."""
    kind, body = ("text/xml", _WHO) if operation == IDENTITY else (JSON_TYPE, json.dumps(_members(operation, requests)))
    head = (
        f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: {requests.total():08x}-0000-4000-8000-000000000000\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


def _members(operation: str, requests: Counter[str]) -> dict[str, Any]:
    number = f"{requests[operation]:032x}"
    match operation:
        case "CreateRegistrationAttachment":
            return {
                "RegistrationAttachmentArn": f"arn:aws:sms-voice:us-east-1:{ACCOUNT}:registration-attachment/{number}",
                "RegistrationAttachmentId": f"registration-attachment-{number}",
                "AttachmentStatus": "UPLOAD_COMPLETE",
                "CreatedTimestamp": time.time(),
            }
        case "DescribeAccountLimits":
            return {"AccountLimits": [{"Name": "REGISTRATION_ATTACHMENTS", "Used": 0, "Max": 10_000_000}]}
        case _:
            return {"RegistrationAttachments": []}


@contextmanager
def accepting() -> Iterator[tuple[str, Counted]]:
    """Serve in its own process. Yields the URL and the counts, which are filled in at the end."""
    counted = Counted()
    command = [sys.executable, "-m", "benchmarks.accepting"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server has no pipes")
        try:
            yield process.stdout.readline().strip(), counted
        finally:
            process.stdin.close()
        report = json.loads(process.stdout.read())
        counted.requests.update(report["requests"])
        counted.body_bytes = report["body_bytes"]


async def serve() -> None:
    """Serve on a free port of loopback until stdin is closed."""
    counted, loop = Counted(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Accepting(counted), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    print(json.dumps({"requests": counted.requests, "body_bytes": counted.body_bytes}))


if __name__ == "__main__":
    asyncio.run(serve())
