"""Where requests go and in whose name: session, Region, endpoint. Decided once, before anything is sent."""

import ipaddress
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession, get_session
from botocore.utils import parse_timestamp

from batch_upload.errors import AccessFault
from batch_upload.service.assume import assume_role

AWS_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")
_NAME = re.compile(r"[a-z0-9.-]+")  # others' parsers end a host where this one does not, at a backslash for one
PROGRAM = "batch-upload"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
"""Silence after which an answer is given up. The token makes asking again safe, so long waits buy nothing."""


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
    connections: int = 10
    http_session: Callable[..., Any] = AIOHTTPSession
    """What makes the sessions that requests are sent through, as aiobotocore's `http_session_cls`."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_aws(host: str) -> bool:
    """Whether a host is AWS's, by its name."""
    return _NAME.fullmatch(host) is not None and host.endswith(AWS_SUFFIXES)


def check_endpoint(url: str, allowed_hosts: Collection[str]) -> None:
    """Raise AccessFault unless documents may be sent to this endpoint.

    AWS and loopback always; any other host only by name. Plain http is for loopback only.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not host:
        raise AccessFault(f"`{_shown(url)}` is not an endpoint", code="EndpointNotAllowed", hint="give http(s)://HOST")
    if parts.username is not None:
        raise AccessFault(
            f"the endpoint `{_shown(url)}` comes with a user name, which requests cannot carry; nothing was sent",
            code="EndpointNotAllowed",
            hint="give http(s)://HOST",
        )
    if is_loopback(host):
        return
    if not is_aws(host) and host not in {each.lower() for each in allowed_hosts}:
        raise AccessFault(
            f"the endpoint `{_shown(url)}` is neither AWS nor this machine, nothing was sent",
            code="EndpointNotAllowed",
            hint=f"if documents may go there: `--allow-endpoint {host}`",
        )
    if parts.scheme == "http":
        raise AccessFault(
            f"the endpoint `{_shown(url)}` is not encrypted, nothing was sent",
            code="EndpointNotAllowed",
            hint="use https://; plain http is for this machine only",
        )


def endpoint_for_sts(access: Access) -> str | None:
    """Where to ask for the identity: a stand-in for the service stands in for STS too, AWS's own endpoint does not."""
    if access.endpoint_url is None or access.sts_endpoint_configured:
        return None
    host = (urlsplit(access.endpoint_url).hostname or "").lower()
    return None if is_aws(host) else access.endpoint_url


async def open_session(access: Access) -> AioSession:
    """A session of the user's AWS configuration, or of the role in the manifest. Raises what the SDK raises."""
    session = get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    if access.profile is not None:
        session.set_config_variable("profile", access.profile)
    if access.role_arn is not None:
        await assume_role(session, access.role_arn)
    return session


def moment(value: str | float) -> datetime:
    """A timestamp of an answer. botocore's own parser gives the same moment in the machine's zone, which takes it five
    times as long; what is no plain number, or none of this calendar's, is left to it. Raises as it does."""
    if isinstance(value, int | float):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(value, UTC)
    parsed: datetime = parse_timestamp(value)
    return parsed


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
    """Who we are, said once: otherwise botocore puts its own sentence together twice a call, an eighth of its time.

    Whoever has given AWS a name for their application (`sdk_ua_app_id`) keeps that sentence, which holds it.
    """
    ours = {"user_agent_extra": PROGRAM}
    if session.get_config_variable("user_agent_appid"):
        return ours
    said = session.user_agent().removesuffix(f" {session.user_agent_extra}")  # each client says that part itself
    return {**ours, "user_agent": said}


def _shown(url: str) -> str:
    """An endpoint without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
