"""The network path to an endpoint: certificates, CA bundle and proxy. What blocks it for good, and what may pass."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiobotocore.session import AioSession
from anyio import to_thread
from botocore import exceptions as sdk
from botocore.awsrequest import AWSRequest
from botocore.utils import get_environ_proxies

from batch_upload.errors import AccessFault, NoAnswer, ServiceError
from batch_upload.service.http import is_loopback
from batch_upload.settings import variable_naming
from batch_upload.shortage import shortage_of

ISSUER_LIMIT_S = 3.0
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_NOT_YET_VALID, _EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_COMMON_NAME, _ORGANIZATION = bytes.fromhex("550403"), bytes.fromhex("55040a")
_VERSION, _OBJECT_ID = 0xA0, 0x06
"""Tags of DER: the version of a certificate, which may be missing, and an object identifier."""


@dataclass(frozen=True, slots=True)
class Knock:
    """The answer of an endpoint to a request that asks for nothing. `date` is its `Date` header."""

    status: int
    date: str | None


def check_ca_bundle(session: AioSession) -> str | None:
    """Return the file of certificates that the configuration names, or None. Raises AccessFault if it is unusable."""
    path = session.get_config_variable("ca_bundle")
    if not path:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        if (short := shortage_of(error)) is not None:
            raise short from error
        wrong = f"cannot be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            wrong = "does not exist"
        elif isinstance(error, ssl.SSLError):
            wrong = "holds no certificate in PEM form"
        variable = variable_naming(path, ("AWS_CA_BUNDLE",))
        profile = session.get_config_variable("profile") or "default"
        source = f"`{variable}`" if variable else f"`ca_bundle` of profile `{profile}`"
        raise AccessFault(
            f"{source} names `{path}`, which {wrong}; nothing was sent",
            code="CABundle",
            hint="name a file with your company's CA certificates in PEM form, or unset it",
        ) from error
    return str(path)


def check_proxy(url: str) -> str | None:
    """Return the proxy for a URL without user and password, or None. Raises AccessFault if it is unusable."""
    proxy = _proxy_for(url)
    if proxy is None:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy.removeprefix('//')}")
    wrong = "which is no address"
    if parts.scheme not in ("http", "https"):
        wrong = f"and `{parts.scheme}` proxies cannot be used"
    else:
        with suppress(ValueError):  # text in the place of the port
            if parts.hostname and (parts.port is None or parts.port > 0):
                return without_user(proxy)
    variable = variable_naming(proxy, PROXY_VARIABLES) or "the proxy setting"
    raise AccessFault(
        f"`{variable}` names the proxy `{without_user(proxy)}`, {wrong}; nothing was sent",
        code="ProxyUnusable",
        hint="give `http://HOST:PORT`, or add the host of the endpoint to `NO_PROXY`",
    )


def without_user(proxy: str) -> str:
    """Return the address of a proxy without user and password."""
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _proxy_for(url: str) -> str | None:
    """Return the environment's proxy, unless `NO_PROXY` exempts the host, or the host is this machine."""
    parts = urlsplit(url)
    found = None if is_loopback(parts.hostname or "") else get_environ_proxies(url).get(parts.scheme)
    return str(found) if found else None


def transport_fault(error: sdk.BotoCoreError) -> ServiceError:
    """Return our error for an error on the way to the endpoint: AccessFault if it is blocked for good, or NoAnswer."""
    code, cause, url = type(error).__name__, error.kwargs.get("error"), str(error.kwargs.get("endpoint_url") or "")
    proxy = without_user(str(error.kwargs.get("proxy_url")))
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        answer = f"{cause.status} {cause.message}".strip()
        hint = "ask who runs the proxy to let the endpoint through, or name its host in `NO_PROXY`"
        if cause.status == 407:
            hint = "give user and password as the proxy wants them: `HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT`"
        message = f"the proxy `{proxy}` refuses to connect: {answer}"
        return AccessFault(message, code=code, status=int(cause.status), hint=hint)
    if isinstance(error, sdk.ProxyConnectionError):
        reason = getattr(cause, "os_error", cause)
        reason = str(getattr(reason, "strerror", None) or reason)[:200]
        message = f"no answer: the proxy `{proxy}` cannot be reached: {reason}"
        return NoAnswer(message, code=code, hint="is `HTTPS_PROXY` right? `NO_PROXY` names hosts to reach without it")
    certificate = getattr(cause, "certificate_error", cause)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        why = certificate.verify_message or certificate.reason
        message = f"the certificate of `{urlsplit(url).hostname or url}` does not verify: {why}"
        hint = (
            "something between here and AWS answers in its place;"
            " if it is your company's proxy, name a file with its CA certificate in `AWS_CA_BUNDLE`"
        )
        if certificate.verify_code in (_NOT_YET_VALID, _EXPIRED):
            hint = "is this machine's clock right? otherwise something between here and AWS answers in its place"
        return AccessFault(message, code=code, hint=hint)
    message = " ".join(str(error).split())[:300] or code
    if url and (on_the_way := _proxy_for(url)) is not None:
        message = f"{message} (through the proxy `{without_user(on_the_way)}`)"
    return NoAnswer(f"no answer: {message}", code=code)


async def with_issuer(fault: ServiceError, error: BaseException) -> ServiceError:
    """Return the same fault with the issuer of the certificate, if that is the cause and can be found out quickly.

    Connects to the endpoint for that, for ISSUER_LIMIT_S at most, and sends nothing but the handshake.
    """
    url = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    if fault.code != "SSLError" or not isinstance(fault, AccessFault) or not url.hostname or _proxy_for(url.geturl()):
        return fault
    issuer = None
    with anyio.move_on_after(ISSUER_LIMIT_S), suppress(OSError, ValueError, anyio.BrokenResourceError):
        address = url.hostname, url.port or 443
        pem = await to_thread.run_sync(
            lambda: ssl.get_server_certificate(address, timeout=ISSUER_LIMIT_S), abandon_on_cancel=True
        )
        issuer = issuer_of(ssl.PEM_cert_to_DER_cert(pem))
    if issuer is None:
        return fault
    return AccessFault(f"{fault.message}; it was issued by `{issuer}`", code=fault.code, hint=fault.hint)


def issuer_of(der: bytes) -> str | None:
    """Return the common name of a certificate's issuer, or its organization; None if it has neither.

    Python's `ssl` does not parse a certificate that did not verify. Raises ValueError for what is no DER.
    Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version?, serial, algorithm, issuer Name, … } … } (RFC 5280, 4.1)
    """
    _, certificate = next(_der_elements(der))
    _, body = next(_der_elements(certificate))
    fields = [content for tag, content in _der_elements(body) if tag != _VERSION]
    if len(fields) < 3:
        raise ValueError("no certificate")
    names = {}
    for _, relative in _der_elements(fields[2]):
        for _, pair in _der_elements(relative):
            (tag, kind), (_, value) = list(_der_elements(pair))[:2]
            if tag == _OBJECT_ID:
                names[kind] = value.decode("utf-8", "replace")
    return names.get(_COMMON_NAME) or names.get(_ORGANIZATION)


def _der_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element in these bytes."""
    at = 0
    while at + 2 <= len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("no DER")
        yield tag, data[at : at + length]
        at += length


async def knock(url: str, http_session: Callable[..., Any], *, ca_bundle: str | None, timeout_s: float) -> Knock:
    """Send a request for nothing without credentials, through the proxy and with the certificates of a real request.

    `http_session` makes the session, as for a client. Raises AccessFault or NoAnswer as a request would.
    """
    request = AWSRequest(method="GET", url=url).prepare()
    try:
        async with http_session(
            verify=ca_bundle or True, proxies=get_environ_proxies(url), timeout=timeout_s
        ) as session:
            answer = await session.send(request)
            date = answer.headers.get("date")
            return Knock(int(answer.status_code), None if date is None else str(date))
    except (sdk.HTTPClientError, sdk.ConnectionError) as error:
        raise await with_issuer(transport_fault(error), error) from error
