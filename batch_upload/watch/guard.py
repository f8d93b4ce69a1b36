"""Who is let in: by the host that was asked, the method, and a secret in the path. Pure."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the path is the secret
    "Server": "batch-upload",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer."""
FRAMES = "frame-ancestors 'none'"
"""Beside the page's own policy: a page cannot say it of itself."""


class Place(StrEnum):
    """What there is behind the secret."""

    PAGE = ""
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody is let in: a status of HTTP, and a sentence that tells no secret."""

    status: int
    message: str


def admitted(*, method: str, host: str | None, path: str, token: str, port: int) -> Place | Refused:
    """Where a request may go. `host` is its Host header; `path` is as it was sent, without the query.

    A page elsewhere can make a name of its own mean 127.0.0.1 and let a browser ask here (DNS rebinding): the Host
    header then tells that other name. The secret is compared in constant time.
    """
    if host is None or host.lower() not in _own_hosts(port):
        return Refused(421, "this is served on loopback, under its own address only")
    if method != "GET":
        return Refused(405, "this can only be read")
    given, slash, place = unquote(path, errors="replace").removeprefix("/").partition("/")
    if not hmac.compare_digest(given.encode(), token.encode()) or not slash:
        return Refused(404, "nothing is here: open the address that `watch` has printed")
    if place not in set(Place):
        return Refused(404, "nothing is here")
    return Place(place)


def _own_hosts(port: int) -> frozenset[str]:
    named = frozenset(f"{host}:{port}" for host in HOSTS)
    return named | frozenset(HOSTS) if port == 80 else named
