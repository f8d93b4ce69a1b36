"""The way to an endpoint: certificates, CA bundle and proxy. What bars it for good, and what may pass."""

import ssl
from collections.abc import Callable, Mapping
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
from batch_upload.service.certificates import issuer_of
from batch_upload.service.http import is_loopback
from batch_upload.settings import variable_naming
from batch_upload.shortage import shortage_of

ISSUER_LIMIT_S = 3.0
PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_NOT_YET_VALID, _EXPIRED = 9, 10
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


@dataclass(frozen=True, slots=True)
class Knock:
    """What an endpoint answered to a request that asks for nothing. `date` is its `Date` header."""

    status: int
    date: str | None


def check_ca_bundle(session: AioSession) -> str | None:
    """The file of certificates that the configuration names, or None. Raises AccessFault if it cannot be used."""
    path = session.get_config_variable("ca_bundle")
    if not path:
        return None
    named = variable_naming(path, ("AWS_CA_BUNDLE",))
    profile = session.get_config_variable("profile") or "default"
    source = f"`{named}`" if named else f"`ca_bundle` of profile `{profile}`"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        raise shortage_of(error) or AccessFault(
            f"{source} names `{path}`, which {_wrong_with_bundle(error)}; nothing was sent",
            code="CABundle",
            hint="name a file with your company's CA certificates in PEM form, or unset it",
        ) from error
    return str(path)


def _wrong_with_bundle(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, ssl.SSLError):
        return "holds no certificate in PEM form"
    return f"cannot be read: {error.strerror}"


def check_proxy(url: str) -> str | None:
    """The proxy on the way to this URL, without user and password, or None. Raises AccessFault if it cannot be used."""
    proxy = _proxy_for(url)
    if proxy is None:
        return None
    shown = without_user(proxy)
    variable = variable_naming(proxy, PROXY_VARIABLES) or "the proxy setting"
    wrong = _wrong_with_proxy(proxy if "://" in proxy else f"http://{proxy.removeprefix('//')}")
    if wrong is None:
        return shown
    raise AccessFault(
        f"`{variable}` names the proxy `{shown}`, {wrong}; nothing was sent",
        code="ProxyUnusable",
        hint="give `http://HOST:PORT`, or add the host of the endpoint to `NO_PROXY`",
    )


def without_user(proxy: str) -> str:
    """A proxy's address without the user and password in it."""
    scheme, separator, rest = proxy.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def transport_fault(error: sdk.BotoCoreError) -> ServiceError:
    """What an error between here and the endpoint means: barred for good (AccessFault), or no answer."""
    code, cause, url = type(error).__name__, error.kwargs.get("error"), str(error.kwargs.get("endpoint_url") or "")
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return _proxy_refused(cause, without_user(str(error.kwargs.get("proxy_url"))), code)
    if isinstance(error, sdk.ProxyConnectionError):
        proxy = without_user(str(error.kwargs.get("proxy_url")))
        message = f"no answer: the proxy `{proxy}` cannot be reached: {_reason(cause)}"
        return NoAnswer(message, code=code, hint="is `HTTPS_PROXY` right? `NO_PROXY` names hosts to reach without it")
    certificate = _verification_error(cause)
    if certificate is not None:
        return _not_verified(certificate, urlsplit(url).hostname or url, code)
    told = " ".join(str(error).split())[:300] or code
    proxy_on_way = _proxy_for(url) if url else None
    if proxy_on_way is None:
        return NoAnswer(f"no answer: {told}", code=code)
    return NoAnswer(f"no answer: {told} (through the proxy `{without_user(proxy_on_way)}`)", code=code)


async def with_issuer(fault: ServiceError, error: BaseException) -> ServiceError:
    """The same fault with who issued the certificate, if that can be found out in a moment."""
    url = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    if fault.code != "SSLError" or not isinstance(fault, AccessFault) or not url.hostname or _proxy_for(url.geturl()):
        return fault
    issuer = None
    with anyio.move_on_after(ISSUER_LIMIT_S), suppress(OSError, ValueError, anyio.BrokenResourceError):
        issuer = await _issuer(url.hostname, url.port or 443)
    if issuer is None:
        return fault
    return AccessFault(f"{fault.message}; it was issued by `{issuer}`", code=fault.code, hint=fault.hint)


async def knock(url: str, http_session: Callable[..., Any], *, ca_bundle: str | None, timeout_s: float) -> Knock:
    """Ask an endpoint for nothing, without credentials, through the proxy and with the certificates of a real request.

    `http_session` makes the session, as for a client. Raises AccessFault or NoAnswer as a request would.
    """
    request = AWSRequest(method="GET", url=url).prepare()
    try:
        async with http_session(
            verify=ca_bundle or True, proxies=get_environ_proxies(url), timeout=timeout_s
        ) as session:
            answer = await session.send(request)
            return Knock(int(answer.status_code), _header(answer.headers, "date"))
    except (sdk.HTTPClientError, sdk.ConnectionError) as error:
        raise await with_issuer(transport_fault(error), error) from error


def _header(headers: Mapping[str, Any], name: str) -> str | None:
    found = headers.get(name)
    return None if found is None else str(found)


def _proxy_for(url: str) -> str | None:
    """The environment's, unless `NO_PROXY` exempts the host, or the host is this machine."""
    parts = urlsplit(url)
    found = None if is_loopback(parts.hostname or "") else get_environ_proxies(url).get(parts.scheme)
    return str(found) if found else None


def _wrong_with_proxy(proxy: str) -> str | None:
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https"):
        return f"and `{parts.scheme}` proxies cannot be used"
    try:
        has_address = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_address = False
    return None if has_address else "which is no address"


def _proxy_refused(cause: aiohttp.ClientHttpProxyError, proxy: str, code: str) -> AccessFault:
    status = f"{cause.status} {cause.message}".strip()
    hint = "ask who runs the proxy to let the endpoint through, or name its host in `NO_PROXY`"
    if cause.status == 407:
        hint = "give user and password as the proxy wants them: `HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT`"
    return AccessFault(
        f"the proxy `{proxy}` refuses to connect: {status}", code=code, status=int(cause.status), hint=hint
    )


def _verification_error(cause: object) -> ssl.SSLCertVerificationError | None:
    found = getattr(cause, "certificate_error", cause)
    return found if isinstance(found, ssl.SSLCertVerificationError) else None


def _not_verified(certificate: ssl.SSLCertVerificationError, host: str, code: str) -> AccessFault:
    message = f"the certificate of `{host}` does not verify: {certificate.verify_message or certificate.reason}"
    if certificate.verify_code in (_NOT_YET_VALID, _EXPIRED):
        hint = "is this machine's clock right? otherwise something between here and AWS answers in its place"
    else:
        hint = (
            "something between here and AWS answers in its place;"
            " if it is your company's proxy, name a file with its CA certificate in `AWS_CA_BUNDLE`"
        )
    return AccessFault(message, code=code, hint=hint)


def _reason(cause: object) -> str:
    found = getattr(cause, "os_error", cause)
    return str(getattr(found, "strerror", None) or found)[:200]


async def _issuer(host: str, port: int) -> str | None:
    """Look at the certificate of who answers. Sends nothing but the handshake."""
    pem = await to_thread.run_sync(
        lambda: ssl.get_server_certificate((host, port), timeout=ISSUER_LIMIT_S), abandon_on_cancel=True
    )
    return issuer_of(ssl.PEM_cert_to_DER_cert(pem))
