"""Where requests go and in whose name: session, Region, endpoint. Decided once, before anything is sent."""

import re
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

import anyio
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.loaders import Loader
from botocore.utils import ensure_boolean

from batch_upload.errors import AccessFault
from batch_upload.service.answers import CheckedParserFactory
from batch_upload.service.http import (
    CONNECT_TIMEOUT_S,
    ENDPOINT_NOT_ALLOWED,
    READ_TIMEOUT_S,
    BoundedSession,
    is_loopback,
)
from batch_upload.spelling import REGION_PATTERN

SERVICE = "pinpoint-sms-voice-v2"
TOKEN_SERVICE = "sts"  # noqa: S105 - the name of a service
PROGRAM = "batch-upload"
NO_REGION = "NoRegionError"
"""The code of the error of a lane whose Region is named nowhere: that of the SDK."""
_SIGN_IN = ("sso", "sso-oidc", "signin")
"""Services that the SDK asks for credentials, besides STS."""
DOCUMENT_HOSTS = "sms-voice|sts"
"""How the hosts of the services begin that documents and credentials are for, as alternatives of a pattern."""
_HOST = re.compile(r"[a-z0-9.-]+")  # other parsers end a host elsewhere, for example at a backslash
_NO_ADDRESS = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""Errors that say that a name has no address. All others say that the look-up failed (getaddrinfo(3))."""

Ask = Callable[[str], Awaitable[str]]
"""Asks a person a question, and returns the answer. May wait; raises EOFError if there is none."""


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """Keys for a stand-in of the service on this machine; never for AWS."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the lane. None leaves the choice to the AWS configuration."""

    profile: str | None = None
    region: str | None = None
    role_arn: str | None = None
    external_id: str | None = field(default=None, repr=False)
    """What the role's trust policy asks for besides the identity (`sts:ExternalId`)."""
    endpoint_url: str | None = None
    sts_endpoint_configured: bool = False
    """Whether the AWS configuration names an endpoint for STS of its own."""
    allowed_hosts: frozenset[str] = frozenset()
    keys: StaticKeys | None = None
    ask_code: Ask | None = None
    """Asks a person for the code of an MFA device. None if there is no terminal."""
    connections: int = 10
    http_session: Callable[..., Any] = BoundedSession
    """Makes the sessions that requests are sent through, as aiobotocore's `http_session_cls`."""


@lru_cache
def _aws_host(services: str) -> re.Pattern[str]:
    """Return the hosts of services, and of VPC endpoints of these, in all partitions that botocore knows."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    outputs = [each["outputs"] for each in loader.load_data("partitions")["partitions"]]
    suffixes = {output[name] for output in outputs for name in ("dnsSuffix", "dualStackDnsSuffix")}
    suffix = "|".join(re.escape(each) for each in sorted(suffixes))
    service, region = rf"({services})(-fips)?", r"[a-z0-9-]+"
    own = rf"{service}\.{region}\.({suffix})"
    global_sts = rf"sts(-fips)?\.({suffix})"
    vpc = rf"[a-z0-9-]+\.{service}\.{region}\.vpce\.({suffix})"
    return re.compile(f"{own}|{global_sts}|{vpc}")


def is_aws(host: str, *, services: str = DOCUMENT_HOSTS) -> bool:
    """Tell whether a host, in lower case, is one of these services.

    Other hosts under AWS's domains (API Gateway, load balancers, buckets, machines) may belong to anybody.
    """
    return _aws_host(services).fullmatch(host) is not None


def check_endpoint(url: str, allowed_hosts: Collection[str], *, services: str = DOCUMENT_HOSTS) -> None:
    """Raise AccessFault unless documents may be sent to this endpoint, or what else one of `services` is sent.

    AWS and loopback are allowed, any other host only by name, and plain http only for loopback. The message names only
    the host, and nothing of an endpoint that is no URL or has a user name: it may hold a password.
    """
    parts = _endpoint_parts(url)
    host = (parts.hostname or "").lower()
    if is_loopback(host):
        return
    if not is_aws(host, services=services) and host not in {each.lower() for each in allowed_hosts}:
        raise AccessFault(
            f"the endpoint `{parts.scheme}://{host}` is neither AWS nor this machine, nothing was sent",
            code=ENDPOINT_NOT_ALLOWED,
            hint=f"if documents may go there: `--allow-endpoint {host}`",
        )
    if parts.scheme == "http":
        raise AccessFault(
            f"the endpoint `http://{host}` is not encrypted, nothing was sent",
            code=ENDPOINT_NOT_ALLOWED,
            hint="use https://; plain http is for this machine only",
        )


def _endpoint_parts(url: str) -> SplitResult:
    """Return the parts of an endpoint. Raises AccessFault unless it is http(s)://HOST[:PORT][/PATH], without a user.

    Any `@` counts as a user name, and so does text in the place of the port (`http://user:password`).
    """
    hint = "give http(s)://HOST in `--endpoint-url`, `AWS_ENDPOINT_URL…` or the AWS configuration"
    if "@" in url:
        message = "the endpoint comes with a user name, which requests cannot carry; nothing was sent"
        raise AccessFault(message, code=ENDPOINT_NOT_ALLOWED, hint=hint)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        is_host = _HOST.fullmatch(host) or is_loopback(host) or ":" in host
        is_url = bool(is_host) and parts.scheme in ("http", "https") and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        message = "the endpoint is not a URL; it is not shown, since it may hold a password; nothing was sent"
        raise AccessFault(message, code=ENDPOINT_NOT_ALLOWED, hint=hint)
    return parts


def endpoint_for_sts(access: Access) -> str | None:
    """Return the endpoint for STS. A stand-in for the service also stands in for STS, AWS's own endpoint does not."""
    return None if access.sts_endpoint_configured else endpoint_for_others(access)


def endpoint_for_others(access: Access) -> str | None:
    """Return the endpoint for another service of AWS than this one: a stand-in's, or None for AWS's own."""
    if access.endpoint_url is None:
        return None
    host = (urlsplit(access.endpoint_url).hostname or "").lower()
    return None if is_aws(host) else access.endpoint_url


async def open_session(
    access: Access, *, make: Callable[[], AioSession] = get_session, services: Collection[str] = (SERVICE,)
) -> AioSession:
    """Return a session of the user's AWS configuration, without credentials. Raises what the SDK raises.

    All clients that are made of it, also those that fetch credentials, have our time-outs, retries and connections.
    Raises AccessFault if the endpoint of one of `services`, or of one that gives credentials, is no URL or has a user
    name, before the SDK reads it.
    """
    session = make()
    session.register_component("response_parser_factory", CheckedParserFactory())
    if access.profile is not None:
        session.set_config_variable("profile", access.profile)
    if not ensure_boolean(session.get_config_variable("ignore_configured_endpoint_urls")):
        for name in (*services, TOKEN_SERVICE, *_SIGN_IN):
            configured = ConfiguredEndpointProvider(
                full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=name
            )
            if (url := configured.provide()) is not None:
                _endpoint_parts(url)
    session.set_default_client_config(client_config(access, session, bypass_proxies=False))
    return session


def client_config(access: Access, session: AioSession, *, bypass_proxies: bool) -> AioConfig:
    """Return the configuration of a client: one request a call, since the engine alone retries.

    Parameters are not validated: what is sent was checked when the manifest was read.
    """
    user_agent = {"user_agent_extra": PROGRAM}
    if not session.get_config_variable("user_agent_appid"):
        # As a text: botocore builds its sentence twice a call, which is a quarter of the time of a small call. If the
        # user has named their application (`sdk_ua_app_id`), the sentence is kept, which holds that name. Each client
        # adds the extra part itself.
        user_agent["user_agent"] = session.user_agent().removesuffix(f" {session.user_agent_extra}")
    return AioConfig(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=access.connections,
        retries={"mode": "standard", "total_max_attempts": 1},
        proxies={} if bypass_proxies else None,
        parameter_validation=False,
        http_session_cls=access.http_session,
        **user_agent,
    )


def chosen_region(access: Access, session: AioSession) -> str:
    """Return the Region by flag, variable, manifest or AWS configuration. Raises AccessFault without a good one."""
    region = access.region or session.get_config_variable("region")
    if region is None:
        raise AccessFault("no Region is chosen", code=NO_REGION, hint="`--region us-east-1`, or `target: {region: …}`")
    check_region_name(region)
    return str(region)


def bypasses_proxies(access: Access) -> bool:
    """Tell whether an endpoint on this machine is chosen, which is reached without a proxy."""
    return access.endpoint_url is not None and is_loopback(urlsplit(access.endpoint_url).hostname or "")


async def open_client(name: str, access: Access, session: AioSession, region: str, stack: AsyncExitStack) -> Any:  # noqa: ANN401
    """Return a client of the service or of STS that `stack` closes. Raises AccessFault for its endpoint."""
    endpoint_url = access.endpoint_url if name == SERVICE else endpoint_for_sts(access)
    bypass_proxies = bypasses_proxies(access) and endpoint_url is not None
    config = client_config(access, session, bypass_proxies=bypass_proxies)
    made = session.create_client(name, region_name=region, endpoint_url=endpoint_url, config=config)
    client = await stack.enter_async_context(made)
    check_endpoint(client.meta.endpoint_url, access.allowed_hosts)
    return client


def check_region_name(region: str) -> None:
    """Raise AccessFault for what cannot be the name of a Region."""
    if re.fullmatch(REGION_PATTERN, region):
        return
    if zone := re.fullmatch(rf"({REGION_PATTERN})[a-z]", region):
        message = f"`{region}` is an Availability Zone, not a Region; nothing was sent"
        raise AccessFault(message, code="InvalidRegion", hint=f"did you mean `{zone[1]}`?")
    message = f"`{region}` is no name of a Region; nothing was sent"
    raise AccessFault(message, code="InvalidRegion", hint="such as `us-east-1`")


async def known_regions(session: AioSession, service: str) -> frozenset[str]:
    """Return the Regions of every partition in which botocore knows the service."""
    found = [
        await session.get_available_regions(service, partition_name=partition)
        for partition in session.get_available_partitions()
    ]
    return frozenset(region for regions in found for region in regions)


async def check_region(
    session: AioSession,
    service: str,
    region: str,
    endpoint: str,
    *,
    has_proxy: bool,
    look_up: Callable[[str, int], Awaitable[object]] = anyio.getaddrinfo,
) -> str | None:
    """Return a warning for a Region that botocore does not know. Raises AccessFault if its endpoint has no address.

    So a new Region stays usable. Behind a proxy the DNS of this machine proves nothing, nor does a name server that
    fails: then there is only the warning. `look_up` returns the addresses of a host and port, or raises gaierror.
    """
    known = await known_regions(session, service)
    if region in known:
        return None
    host = urlsplit(endpoint).hostname or ""
    warning = f"`{region}` is not among the Regions that this version knows for the service"
    if region not in host or has_proxy:
        return warning
    try:
        await look_up(host, 443)
    except (socket.gaierror, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno not in _NO_ADDRESS:
            return warning
        close = get_close_matches(region, sorted(known))
        meant = sorted(close, key=lambda each: sorted(each) != sorted(region))[:1]  # swapped letters first
        raise AccessFault(
            f"{warning}, and `{host}` has no address; nothing was sent",
            code="InvalidRegion",
            hint=f"did you mean `{meant[0]}`?" if meant else f"such as {', '.join(sorted(known)[:3])}",
        ) from error
    return warning
