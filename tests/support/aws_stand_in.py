"""A stand-in on loopback for STS and JSON services of several accounts, which keeps what it was sent.

Each access key belongs to an account. AssumeRole gives keys of the account in the role's ARN.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

BASE_ACCOUNT = "999999999999"
"""The account of every key that AssumeRole did not give."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request. `values` are its parameters; `head` is all of it before the body, in lower case."""

    operation: str
    values: Mapping[str, Any]
    access_key: str | None
    head: str

    @property
    def region(self) -> str | None:
        """The Region that it was signed for."""
        found = re.search(r"credential=[^/]+/\d+/([^/]+)/", self.head)
        return found[1] if found else None


@dataclass(slots=True)
class AwsStandIn:
    """What it answers, and what it received."""

    url: str = ""
    connections: int = 0
    """How many were opened."""
    received: list[Received] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Status and code for an operation, for one in a Region (`AssumeRole us-east-1`), or for the account of a role."""
    refusals_once: dict[str, tuple[int, str]] = field(default_factory=dict)
    """As `refusals`, for the next request alone."""
    lifetime_s: float = 3_600.0
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    members: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = field(default_factory=dict)
    """The answers of JSON operations, made of parameters and `Region`; others answer with an empty object."""
    headers: str = ""
    """More headers of every answer, each ending with CR and LF."""
    gate: asyncio.Event | None = None
    """AssumeRole waits for it."""
    assuming: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a role is to be assumed."""

    def count(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(each.operation for each in self.received)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                found = re.search(r"^content-length: *(\d+)", head, re.MULTILINE)
                body = (await reader.readexactly(int(found[1]) if found else 0)).decode()
                status, kind, said = await self._answer(_received(head, body))
                sent = said.encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{self.headers}"
                    f"Content-Length: {len(sent)}\r\n\r\n".encode()
                    + sent
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Received) -> tuple[int, str, str]:
        self.received.append(request)
        if request.operation == "AssumeRole":
            self.assuming.set()
        is_sts = "Action" in request.values
        account = str(request.values.get("RoleArn", ":::::")).split(":")[4]
        refusal = self.refusals_once.pop(request.operation, None)
        for refused in (request.operation, f"{request.operation} {request.region}", account):
            refusal = refusal or self.refusals.get(refused)
        if refusal is not None:
            status, code = refusal
            if is_sts:
                error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error>"
                return status, "text/xml", f"<ErrorResponse>{error}</ErrorResponse>"
            return status, "application/x-amz-json-1.1", json.dumps({"__type": code, "Message": "no"})
        if not is_sts:
            make = self.members.get(request.operation)
            return (
                200,
                "application/x-amz-json-1.1",
                json.dumps(make({**request.values, "Region": request.region}) if make else {}),
            )
        if request.operation.startswith("AssumeRole") and self.gate is not None:
            await self.gate.wait()
        return 200, "text/xml", self._sts_answer(request, account)

    def _sts_answer(self, request: Received, account: str) -> str:
        name = request.operation
        if name == "GetCallerIdentity":
            key = request.access_key or ""
            owner = key[4:16] if key.startswith("role") else BASE_ACCOUNT
            content = f"<Account>{owner}</Account><Arn>arn:aws:iam::{owner}:user/x</Arn>"
        else:
            expires = (self.now() + timedelta(seconds=self.lifetime_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
            number = self.count()[name]
            content = (
                f"<AssumedRoleUser><Arn>arn:aws:sts::{account}:assumed-role/x/batch-upload</Arn></AssumedRoleUser>"
                f"<Credentials><AccessKeyId>ROLE{account}N{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                f"<SessionToken>t</SessionToken><Expiration>{expires}</Expiration></Credentials>"
            )
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        return f'<{name}Response xmlns="{namespace}"><{name}Result>{content}</{name}Result></{name}Response>'


def _received(head: str, body: str) -> Received:
    key = re.search(r"credential=([^/]+)/", head)
    target = re.search(r"^x-amz-target: *\S*\.(\S+)", head, re.MULTILINE)
    if target is None:
        values: Mapping[str, Any] = {name: found[0] for name, found in parse_qs(body).items()}
        return Received(values["Action"], values, key[1] if key else None, head)
    names = {each.lower(): each for each in OPERATIONS}
    return Received(names[target[1]], json.loads(body), key[1] if key else None, head)


OPERATIONS = (
    "DescribeAccountLimits",
    "DescribeRegistrationAttachments",
    "ListAccounts",
    "ListAccountsForParent",
    "ListOrganizationalUnitsForParent",
)
"""The JSON operations that it knows."""


@asynccontextmanager
async def aws_stand_in() -> AsyncIterator[AwsStandIn]:
    """Serve until the context ends."""
    made = AwsStandIn()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(made.take(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
