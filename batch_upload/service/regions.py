"""Whether a Region exists: by its spelling, by what botocore knows of this service, and in the end by DNS."""

import re
import socket
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from urllib.parse import urlsplit

import anyio
from aiobotocore.session import AioSession

from batch_upload.errors import AccessFault
from batch_upload.spelling import REGION_PATTERN

_NO_ADDRESS = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""What says that a name has no address; all else says that nobody could tell (getaddrinfo(3))."""
_ZONE = re.compile(rf"({REGION_PATTERN})[a-z]")


def check_spelling(region: str) -> None:
    """Raise AccessFault for what cannot be the name of a Region."""
    if re.fullmatch(REGION_PATTERN, region):
        return
    zone = _ZONE.fullmatch(region)
    if zone:
        message = f"`{region}` is an Availability Zone, not a Region; nothing was sent"
        raise AccessFault(message, code="InvalidRegion", hint=f"did you mean `{zone[1]}`?")
    raise AccessFault(
        f"`{region}` is no name of a Region; nothing was sent", code="InvalidRegion", hint="such as `us-east-1`"
    )


async def known_regions(session: AioSession, service: str) -> frozenset[str]:
    """The Regions of every partition in which botocore knows the service."""
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
    """A warning for a Region that botocore does not know, or None. Raises AccessFault if its endpoint has no address.

    A new Region stays usable. Behind a proxy this machine's DNS proves nothing, and neither does a name server that
    does not answer, so there is only the warning. `look_up` gives the addresses of a host and port, or raises gaierror.
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
        meant = _meant(region, known)
        raise AccessFault(
            f"{warning}, and `{host}` has no address; nothing was sent",
            code="InvalidRegion",
            hint=f"did you mean `{meant}`?" if meant else f"such as {', '.join(sorted(known)[:3])}",
        ) from error
    return warning


def _meant(region: str, known: frozenset[str]) -> str | None:
    close = get_close_matches(region, sorted(known))
    swapped = [each for each in close if sorted(each) == sorted(region)]
    return next(iter([*swapped, *close]), None)
