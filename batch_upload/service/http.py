"""How requests leave: no redirect is followed, and neither time nor memory is given without limit.

aiobotocore 3.10 calls aiohttp without `allow_redirects`, whose default is to follow; aiohttp then sends a 307 or 308
with its body and `X-Amz-Security-Token` to any host. botocore itself never follows. It also has no limit for a whole
request: its read time-out is silence after the body has left. `BoundedSession` is what all clients send through, those
that botocore makes to fetch credentials too. Extension point: `AioConfig(http_session_cls=…)`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.abc import AbstractResolver, ResolveResult
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import HTTPClientError
from botocore.httpsession import ProxyConfiguration

from batch_upload.errors import AccessFault, ServiceError
from batch_upload.service.answers import plain_text

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Silence after which an answer is given up. The token makes asking again safe, so long waits buy nothing."""

ENDPOINT_NOT_ALLOWED = "EndpointNotAllowed"
"""The code of an AccessFault for an endpoint to which nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost. Its time, from the look-up of the host to the last byte of the answer, is at most
    `base_s` + the size of its body / `slowest_bytes_per_s`.

    The slowest rate is 100 kbit/s: eight requests at once (the default) share an uplink of 1 Mbit/s and have a quarter
    to spare. A document of 5 MiB, 7 MB as base64, has 9.5 min; one of 500 KB 1.5 min. The largest real answer, a page
    of 100 attachments, has about 40 KB.
    """

    base_s: float = CONNECT_TIMEOUT_S + READ_TIMEOUT_S
    slowest_bytes_per_s: float = 12_500
    answer_bytes: int = 16 * 1024 * 1024

    def time_s(self, body_bytes: int) -> float:
        """How long a request with a body of this size may take."""
        return self.base_s + body_bytes / self.slowest_bytes_per_s


class NoUsableAnswer(HTTPClientError):  # type: ignore[misc]  # botocore ships no types
    """Base of what ends a request without an answer: whether it was carried out is unknown."""

    fmt = "{reason}"
    status: int | None = None


class RedirectNotFollowed(NoUsableAnswer):
    """The answer is a redirect."""


class AnswerTooLarge(NoUsableAnswer):
    """The answer is longer than any of the service's."""


class RequestTimeLimit(NoUsableAnswer):
    """The request took longer than one of its size may."""


def refuse_redirect(status: int, location: str | None) -> None:
    """Raise RedirectNotFollowed if a status is one of 3xx. `location` is the header as it came, or None."""
    if 300 <= status < 400:
        where = f" to {_host_of(location)}" if location else ""
        error = RedirectNotFollowed(
            reason=f"the endpoint answers with a redirect ({status}){where}, which is not followed"
        )
        error.status = status
        raise error


def _host_of(location: str) -> str:
    """The host of a Location in words, without what may be secret in the rest of it."""
    try:
        host = urlsplit(location).hostname
    except ValueError:
        host = None
    return "an address without a host" if host is None else f"`{plain_text(host[:253])}`"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: a loopback address, or a name that only this machine may have (RFC 6761).

    Such a name is resolved when a connection is made, and connected to only if all its addresses are loopback's.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackResolver(AbstractResolver):
    """Resolves as the system does, but gives `localhost` and `*.localhost` only loopback addresses.

    The connection is made to what this returns, without another look-up. Raises AccessFault.
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


class _Proxies(ProxyConfiguration):  # type: ignore[misc]  # botocore ships no types
    """Loopback is reached without a proxy, whatever the environment says."""

    def proxy_url_for(self, url: str) -> str | None:
        if is_loopback(urlsplit(url).hostname or ""):
            return None
        found: str | None = super().proxy_url_for(url)
        return found


class BoundedSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
    """aiobotocore's HTTP session with our limits. A request that is cut off closes its connection.

    `send` raises NoUsableAnswer where there is no answer, AccessFault where the host is not this machine after all,
    and otherwise what its base class raises.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - aiobotocore's own
        limits: Limits | None = None,
        resolver: AbstractResolver | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **options)
        given: dict[str, Any] = self._connector_args  # type: ignore[has-type]
        self._limits = Limits() if limits is None else limits
        self._connector_args = {**given, "resolver": LoopbackResolver(resolver)}
        self._proxy_config = _Proxies(proxies=options.get("proxies"), proxies_settings=options.get("proxies_config"))

    async def send(self, request: AWSPreparedRequest) -> AioAWSResponse:
        limit_s = self._limits.time_s(len(request.body or b""))
        try:
            async with asyncio.timeout(limit_s):
                return await super().send(request)
        except TimeoutError as error:
            reason = f"the request was not answered within {limit_s:.0f} s, the most that one of its size may take"
            raise RequestTimeLimit(reason=reason) from error
        except HTTPClientError as error:
            _raise_ours(error)

    async def _get_session(self, proxy_url: str | None) -> "_Requests":
        return _Requests(await super()._get_session(proxy_url), self._limits.answer_bytes)


def _raise_ours(error: HTTPClientError) -> NoReturn:
    """Raise what the base class has wrapped, if it is an error of ours."""
    wrapped = error.kwargs.get("error")
    if isinstance(wrapped, NoUsableAnswer | ServiceError):
        raise wrapped from None
    raise error


@dataclass(frozen=True, slots=True)
class _Requests:
    """The part of aiohttp's session that aiobotocore uses."""

    session: aiohttp.ClientSession
    answer_bytes: int

    async def request(self, method: str, **options: Any) -> "_Answer":  # noqa: ANN401
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
        """The body. Raises AnswerTooLarge. However this ends without a body, the connection is closed."""
        body = bytearray()
        is_read = False
        try:
            async for chunk in self.response.content.iter_any():
                body += chunk
                if len(body) > self.answer_bytes:
                    break
            else:
                is_read = True
        finally:
            if not is_read:
                self.response.close()
        if is_read:
            return bytes(body)
        error = AnswerTooLarge(reason=f"the answer is longer than {self.answer_bytes:,} bytes")
        error.status = self.response.status
        raise error
