"""HTTP with limits: no redirect is followed, and no request takes unlimited time or memory.

aiobotocore 3.10 calls aiohttp without `allow_redirects`, whose default is to follow. aiohttp then sends a 307 or 308
with its body and `X-Amz-Security-Token` to any host. botocore itself never follows. aiobotocore also has no limit for a
whole request: its read time-out is silence after the body was sent. All clients send through `BoundedSession`, also
those that botocore makes to fetch credentials. Extension point: `AioConfig(http_session_cls=…)`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import ProxyConfiguration

from batch_upload.errors import AccessFault, ServiceError
from batch_upload.operations import CREATE
from batch_upload.ports import Body
from batch_upload.service.answers import plain_text

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Silence after which a request is given up. The token makes another try safe, so longer waits gain nothing."""

ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed"
"""The code of an AccessFault for an endpoint to which nothing may be sent."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits of one request.

    Its time, from the look-up of the host to the last byte of the answer, is at most `base_s` + the size of its body /
    `slowest_bytes_per_s`. That rate is 100 kbit/s: eight requests at once (the default) fit into an uplink of 1 Mbit/s
    with a quarter to spare. A document of 5 MiB, 7 MB as base64, has 9.5 min, one of 500 KB 1.5 min. The largest real
    answer, a page of 100 attachments, has about 40 KB.
    """

    base_s: float = CONNECT_TIMEOUT_S + READ_TIMEOUT_S
    slowest_bytes_per_s: float = 12_500
    answer_bytes: int = 16 * 1024 * 1024

    def time_s(self, body_bytes: int) -> float:
        """Return how long a request with a body of this size may take."""
        return self.base_s + body_bytes / self.slowest_bytes_per_s


class NoUsableAnswer(HTTPClientError):  # type: ignore[misc]  # botocore ships no types
    """A request ended without an answer: it is unknown whether it was carried out."""

    fmt = "{reason}"

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason=reason)
        self.status = status


class RedirectNotFollowed(NoUsableAnswer):
    """The answer is a redirect."""


class AnswerTooLarge(NoUsableAnswer):
    """The answer is longer than any of the service's."""


class RequestTimeLimit(NoUsableAnswer):
    """The request took longer than one of its size may."""


def refuse_redirect(status: int, location: str | None) -> None:
    """Raise RedirectNotFollowed if a status is one of 3xx. `location` is the header as it came, or None.

    The message names only the host: the rest of the address may be secret.
    """
    if not 300 <= status < 400:
        return
    where = ""
    if location:
        try:
            host = urlsplit(location).hostname
        except ValueError:
            host = None
        where = " to an address without a host" if host is None else f" to `{plain_text(host[:253])}`"
    reason = f"the endpoint answers with a redirect ({status}){where}, which is not followed"
    raise RedirectNotFollowed(reason, status=status)


@lru_cache(maxsize=64)  # called for every request: parsing an address takes 8 µs of an upload
def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: a loopback address, or a name that is reserved for it (RFC 6761).

    A connection to such a name is made only if it resolves to loopback addresses alone: see LoopbackResolver.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackResolver(AbstractResolver):
    """Resolves as the system does. Raises AccessFault if `localhost` or `*.localhost` has any other address.

    The connection is made to what this returns, without another look-up.
    """

    def __init__(self, system: AbstractResolver | None = None) -> None:
        self._system = aiohttp.ThreadedResolver() if system is None else system

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        if is_loopback(host.lower()) and not all(is_loopback(each["host"]) for each in found):
            raise AccessFault(
                f"`{host}` does not resolve to a loopback address on this machine, nothing was sent",
                code=ENDPOINT_NOT_ALLOWED,
                hint="use `127.0.0.1`, or mend the name in /etc/hosts",
            )
        return found

    async def close(self) -> None:
        await self._system.close()


class _NoProxyToLoopback(ProxyConfiguration):  # type: ignore[misc]  # botocore ships no types
    """Loopback is reached without a proxy, whatever the environment says."""

    def proxy_url_for(self, url: str) -> str | None:
        if is_loopback(urlsplit(url).hostname or ""):
            return None
        found: str | None = super().proxy_url_for(url)
        return found


class CheckedBody(aiohttp.BytesPayload):
    """The body of a request through BoundedSession; `check` is called right before the first byte leaves.

    If it raises, nothing is sent, and `send` raises the same. aiohttp writes headers and body together, in a task of
    its own: any time may pass until then.
    """

    def __init__(self, content: bytes, check: Callable[[], None]) -> None:
        super().__init__(content)
        self._check = check
        self.refusal: Exception | None = None
        """What the check raised. aiohttp itself raises an error of the connection then."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        try:
            self._check()
        except Exception as error:
            self.refusal = error
            raise
        await super().write_with_length(writer, content_length)


def carry_bodies(client: Any) -> bool:  # noqa: ANN401
    """Let a client of the service take a `Body` as AttachmentBody, which goes past the SDK's serializer.

    botocore makes base64 of the bytes, looks in that text for characters that JSON must escape, where there can be
    none, and encodes the whole once more. Here it serializes a request without its document, and the document's base64
    is put in as the last member. The request that leaves, and that botocore hashes and signs, is the same byte for
    byte: a test compares the two. Extension points: the events `provide-client-params` (documented) and `before-call`
    (used by botocore's own handlers). Returns False if the protocol is not JSON: then AttachmentBody is bytes.
    """
    if client.meta.service_model.resolved_protocol != "json":
        return False
    name, kept = "AttachmentBody", "batch-upload:body"

    def keep_back(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any] | None:
        if name not in params:
            return None
        context[kept] = params[name]
        return {each: value for each, value in params.items() if each != name}

    def put_in(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        body: Body | None = context.pop(kept, None)
        if body is not None:
            rest: bytes = params["body"]
            params["body"] = b"".join((rest[:-1], b', "', name.encode(), b'": "', body.base64, b'"}'))

    operation = f"{client.meta.service_model.service_id.hyphenize()}.{CREATE}"
    client.meta.events.register(f"provide-client-params.{operation}", keep_back)
    client.meta.events.register(f"before-call.{operation}", put_in)
    return True


class BoundedSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
    """aiobotocore's HTTP session with our limits. A request that is cut off closes its connection.

    `send` raises NoUsableAnswer if there is no answer, AccessFault if the host is not this machine after all, what the
    check of a CheckedBody raises, and otherwise what its base class raises.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - aiobotocore's own
        limits: RequestLimits | None = None,
        resolver: AbstractResolver | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        given: dict[str, Any] = self._connector_args  # type: ignore[has-type]
        self._limits = RequestLimits() if limits is None else limits
        self._connector_args = {**given, "resolver": LoopbackResolver(resolver)}
        self._proxy_config = _NoProxyToLoopback(
            proxies=options.get("proxies"), proxies_settings=options.get("proxies_config")
        )

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        body = request.body or b""
        limit_s = self._limits.time_s(body.size or 0 if isinstance(body, CheckedBody) else len(body))
        try:
            async with asyncio.timeout(limit_s):
                return await super().send(request)
        except TimeoutError as error:
            reason = f"the request was not answered within {limit_s:.0f} s, the most that one of its size may take"
            raise RequestTimeLimit(reason) from error
        except BotoCoreError as error:  # the base class may have wrapped an error of ours
            if isinstance(body, CheckedBody) and body.refusal is not None:
                raise body.refusal from None
            wrapped = error.kwargs.get("error")
            if isinstance(wrapped, NoUsableAnswer | ServiceError):
                raise wrapped from None
            raise

    async def _get_session(self, proxy_url: str | None) -> "_Requests":
        return _Requests(await super()._get_session(proxy_url), self._limits.answer_bytes)


class SharedHttp:
    """Sends the requests of several clients through one HTTP session, so that they share its connections and its TLS.

    A client is given it as aiobotocore's `http_session_cls`. Clients with other time-outs, proxies or certificates get
    another session. It opens a connection whenever no open one is free: callers limit how many requests are under way
    at once. `http_session` makes the sessions.
    """

    def __init__(self, http_session: Callable[..., Any] = BoundedSession) -> None:
        self._make = http_session
        self._lent: dict[str, _LentSession] = {}
        self._stack = AsyncExitStack()

    def __call__(self, **options: Any) -> "_LentSession":  # noqa: ANN401 - aiobotocore's own
        """Return the session for these options."""
        unlimited = {**options, "max_pool_connections": 0}
        kind = repr(sorted(unlimited.items()))
        if kind not in self._lent:
            self._lent[kind] = _LentSession(self._make(**unlimited), self._stack)
        return self._lent[kind]

    async def close(self) -> None:
        """Close all connections."""
        await self._stack.aclose()


class _LentSession:
    """A session that stays open when the client that sends through it is closed."""

    def __init__(self, session: Any, stack: AsyncExitStack) -> None:  # noqa: ANN401
        self._session = session
        self._stack = stack
        self._is_open = False

    async def __aenter__(self) -> "_LentSession":
        if not self._is_open:
            self._is_open = True
            await self._stack.enter_async_context(self._session)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Keep it open, for the other clients."""

    async def close(self) -> None:
        """Keep it open, for the other clients."""

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        return await self._session.send(request)


@dataclass(frozen=True, slots=True)
class _Requests:
    """The part of aiohttp's session that aiobotocore uses."""

    session: aiohttp.ClientSession
    answer_bytes: int

    async def request(self, method: str, **options: Any) -> "_Answer":  # noqa: ANN401
        self.session.cookie_jar.clear()  # botocore keeps no cookies, and several accounts may send through one session
        response = await self.session.request(method, allow_redirects=False, **options)
        try:
            refuse_redirect(response.status, response.headers.get("Location"))
        except RedirectNotFollowed:
            response.close()
            raise
        return _Answer(response, self.answer_bytes)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The part of aiohttp's response that aiobotocore uses, with a body of limited size."""

    response: aiohttp.ClientResponse
    answer_bytes: int

    @property
    def url(self) -> object:
        return self.response.url

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def raw_headers(self) -> object:
        return self.response.raw_headers

    @property
    def headers(self) -> Mapping[str, str]:
        return self.response.headers

    async def read(self) -> bytes:
        """Return the body. Raises AnswerTooLarge. Closes the connection if there is none, whatever the reason."""
        body = bytearray()
        try:
            async for chunk in self.response.content.iter_any():
                body += chunk
                if len(body) > self.answer_bytes:
                    reason = f"the answer is longer than {self.answer_bytes:,} bytes"
                    raise AnswerTooLarge(reason, status=self.response.status)  # noqa: TRY301 - closes the connection
        except BaseException:
            self.response.close()
            raise
        return bytes(body)
