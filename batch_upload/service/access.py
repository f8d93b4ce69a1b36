"""Where requests go and in whose name: session, Region, endpoint. Decided once, before anything is sent."""

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

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

SERVICE = "pinpoint-sms-voice-v2"
TOKEN_SERVICE = "sts"  # noqa: S105 - the name of a service
PROGRAM = "batch-upload"
_NAME = re.compile(r"[a-z0-9.-]+")  # others' parsers end a host where this one does not, at a backslash for one
Ask = Callable[[str], Awaitable[str]]
"""Puts a question to a person, and returns the answer. May wait; raises EOFError where none comes."""
_SIGN_IN = ("sso", "sso-oidc", "signin")
"""Services that the SDK asks for credentials by itself, beside STS."""


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
    endpoint_url: str | None = None
    sts_endpoint_configured: bool = False
    """Whether the AWS configuration names an endpoint for STS of its own."""
    allowed_hosts: frozenset[str] = frozenset()
    keys: StaticKeys | None = None
    ask_code: Ask | None = None
    """Asks a person for the code of an MFA device. None where nobody can be asked."""
    connections: int = 10
    http_session: Callable[..., Any] = BoundedSession
    """What makes the sessions that requests are sent through, as aiobotocore's `http_session_cls`."""


@lru_cache(maxsize=1)
def _aws_host() -> re.Pattern[str]:
    """The hosts of this service and of STS, and VPC endpoints of both, in every partition that botocore knows."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    outputs = [each["outputs"] for each in loader.load_data("partitions")["partitions"]]
    suffixes = {output[name] for output in outputs for name in ("dnsSuffix", "dualStackDnsSuffix")}
    suffix = "|".join(re.escape(each) for each in sorted(suffixes))
    service, region = r"(sms-voice|sts)(-fips)?", r"[a-z0-9-]+"
    own = rf"{service}\.{region}\.({suffix})"
    global_sts = rf"sts(-fips)?\.({suffix})"
    vpc = rf"[a-z0-9-]+\.{service}\.{region}\.vpce\.({suffix})"
    return re.compile(f"{own}|{global_sts}|{vpc}")


def is_aws(host: str) -> bool:
    """Whether a host is one of this service's or STS's own, by its name in lower case.

    Other hosts under AWS's domains (API Gateway, load balancers, buckets, machines) are anybody's.
    """
    return _aws_host().fullmatch(host) is not None


def check_endpoint(url: str, allowed_hosts: Collection[str]) -> None:
    """Raise AccessFault unless documents may be sent to this endpoint.

    AWS and loopback always; any other host only by name. Plain http is for loopback only. What is raised shows the
    host alone, and nothing of an endpoint that is no URL or has a user name: it may hold a password.
    """
    parts = _parts_of(url)
    host = (parts.hostname or "").lower()
    if is_loopback(host):
        return
    if not is_aws(host) and host not in {each.lower() for each in allowed_hosts}:
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


def _parts_of(url: str) -> SplitResult:
    """An endpoint's parts. Raises AccessFault unless it is http(s)://HOST[:PORT][/PATH] without a user name.

    An `@` anywhere counts as one, and so does text in the place of the port (`http://user:password`).
    """
    try:
        parts = urlsplit(url)
        host, is_url = (parts.hostname or "").lower(), parts.port is None or parts.port > 0
    except ValueError:
        parts, host, is_url = SplitResult("", "", "", "", ""), "", False
    is_url = is_url and parts.scheme in ("http", "https")
    if "@" in url:
        raise AccessFault(
            "the endpoint comes with a user name, which requests cannot carry; nothing was sent",
            code=ENDPOINT_NOT_ALLOWED,
            hint="give http(s)://HOST in `--endpoint-url`, `AWS_ENDPOINT_URL…` or the AWS configuration",
        )
    if not is_url or not (_NAME.fullmatch(host) or is_loopback(host) or ":" in host):
        raise AccessFault(
            "the endpoint is not a URL; it is not shown, since it may hold a password; nothing was sent",
            code=ENDPOINT_NOT_ALLOWED,
            hint="give http(s)://HOST in `--endpoint-url`, `AWS_ENDPOINT_URL…` or the AWS configuration",
        )
    return parts


def endpoint_for_sts(access: Access) -> str | None:
    """Where to ask for the identity: a stand-in for the service stands in for STS too, AWS's own endpoint does not."""
    if access.endpoint_url is None or access.sts_endpoint_configured:
        return None
    host = (urlsplit(access.endpoint_url).hostname or "").lower()
    return None if is_aws(host) else access.endpoint_url


async def open_session(access: Access) -> AioSession:
    """A session of the user's AWS configuration, without credentials. Raises what the SDK raises.

    Every client that is made of it, those that fetch credentials too, has our time-outs, retries and connections.
    Raises AccessFault for an endpoint that is no URL or has a user name, before the SDK sees it.
    """
    session = get_session()
    session.register_component("response_parser_factory", CheckedParserFactory())
    if access.profile is not None:
        session.set_config_variable("profile", access.profile)
    for name in (SERVICE, TOKEN_SERVICE, *_SIGN_IN):
        if (url := configured_endpoint(session, name)) is not None:
            _parts_of(url)
    session.set_default_client_config(client_config(access, session, bypass_proxies=False))
    return session


def configured_endpoint(session: AioSession, service: str) -> str | None:
    """The endpoint that variables or the configuration file give a service, or None."""
    if ensure_boolean(session.get_config_variable("ignore_configured_endpoint_urls")):
        return None
    provider = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
    )
    found: str | None = provider.provide()
    return found


def client_config(access: Access, session: AioSession, *, bypass_proxies: bool) -> AioConfig:
    """One request a call: retries are the engine's alone. What is sent was checked when the manifest was read."""
    return AioConfig(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=access.connections,
        retries={"mode": "standard", "total_max_attempts": 1},
        proxies={} if bypass_proxies else None,
        parameter_validation=False,
        http_session_cls=access.http_session,
        **_user_agent(session),
    )


def _user_agent(session: AioSession) -> dict[str, str]:
    """Who we are, as a text: otherwise botocore puts its sentence together twice a call, a quarter of a small one.

    Whoever has given AWS a name for their application (`sdk_ua_app_id`) keeps that sentence, which holds it.
    """
    ours = {"user_agent_extra": PROGRAM}
    if session.get_config_variable("user_agent_appid"):
        return ours
    text = session.user_agent().removesuffix(f" {session.user_agent_extra}")  # each client adds that part itself
    return {**ours, "user_agent": text}
