"""From the URL of a ledger to what libpq is given for each connection: TLS, time limits, the password.

What the URL leaves out, libpq takes from its own variables and files (`PGUSER`, `PGPASSFILE`, a service). Only what a
ledger must not do without is set here, so that no variable and no service file turns it off.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from socket import getaddrinfo
from typing import Any
from urllib.parse import unquote

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict

from batch_upload.errors import LedgerUnusable, UsageError
from batch_upload.ledger.runs import program_version
from batch_upload.ledger_address import PostgresUrl, token_signer

VERIFY_FULL = "verify-full"
WITHOUT_SSLMODE = "prefer"
"""The `sslmode` of libpq where nothing names one."""
IAM_KEY = "aws_iam"
"""The key of a URL's query that asks for tokens of AWS IAM in place of a password. Its value is the Region."""
NOT_TAKEN = frozenset({"client_encoding", "fallback_application_name", "gssencmode", "replication", "sslkeylogfile"})
"""Keys of libpq that would break the ledger's text, or replace or record its TLS."""
TIME_LIMITS: Mapping[str, str] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""Seconds, but milliseconds for the last: a lease of 30 s must outlast a connection that is found dead. The URL may
name others."""
PORT = "5432"


@dataclass(frozen=True, slots=True)
class PostgresParameters:
    """How a database is reached. `keywords` gives what one connection takes."""

    shown: str
    """The URL without secrets."""
    has_tls: bool
    """Whether TLS is demanded: for every server that is not reached over loopback or a Unix socket."""
    fixed: Mapping[str, str] = field(repr=False)
    """The keywords that are the same for every connection."""
    token: Callable[[], str] | None = field(default=None, repr=False)
    """Makes a token that takes the place of the password. It is good for 15 minutes, for connecting only."""

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of libpq for one connection that is made now. Raises as `token`."""
        return dict(self.fixed) if self.token is None else {**self.fixed, "password": self.token()}


def parameters_of(url: PostgresUrl, *, writes: bool = True) -> PostgresParameters:
    """Return how the database of a URL is reached.

    One that `writes` reaches the server that takes writes, of several that the URL names; else a standby will do where
    it is the only one. Raises UsageError for a URL that libpq does not take, and LedgerUnusable where TLS is weaker
    than it must be.
    """
    shown, usual = str(url), _defaults()
    given, region = _read(url)
    hosts = _hosts(given, usual)
    has_tls = not all(map(is_here, hosts))
    fixed = {
        "application_name": f"batch-upload/{program_version()}",
        "client_encoding": "UTF8",
        "gssencmode": "disable",  # it would be tried first, in place of TLS
        "target_session_attrs": "read-write" if writes else "primary" if len(hosts) > 1 else "any",
        **TIME_LIMITS,
        **given,
    }
    if has_tls:
        mode = given.get("sslmode") or usual.get("sslmode", WITHOUT_SSLMODE)
        if mode != VERIFY_FULL and ("sslmode" in given or mode != WITHOUT_SSLMODE):
            raise LedgerUnusable(
                f"`sslmode={mode}` is too weak for `{shown}`: a server on another machine must prove who it is",
                hint=f"leave it out, or write `sslmode={VERIFY_FULL}`; `sslrootcert=FILE` names whom to trust",
            )
        fixed["sslmode"] = VERIFY_FULL
        if "sslrootcert" not in given and "sslrootcert" not in usual:
            fixed["sslrootcert"] = trusted_certificates()
    if region is None:
        return PostgresParameters(shown, has_tls, fixed)
    token = _token_of({**usual, **given}, hosts, given.get("user"), region, shown=shown)
    return PostgresParameters(shown, has_tls, fixed, token)


def is_here(host: str) -> bool:
    """Return whether a host is this machine: a loopback address, a Unix socket, or `localhost`, unless the name means
    any other address here."""
    if host.startswith(("/", "@")):  # `@`: an abstract socket of Linux
        return True
    try:
        addresses = [found[4][0] for found in getaddrinfo(host, None)] if host == "localhost" else [host]
        return all(ip_address(each).is_loopback for each in addresses)
    except (OSError, ValueError):  # ValueError: any other name
        return False


def trusted_certificates() -> str:
    """Return the file of certificates that servers are checked with if nothing names one.

    That is libpq's own (`~/.postgresql/root.crt`), else that of this system. The libpq of psycopg's wheels does not
    know where the system has it; Python does.
    """
    own = Path.home() / ".postgresql" / "root.crt"
    return str(own) if own.exists() else ssl.get_default_verify_paths().cafile or "system"


def _read(url: PostgresUrl) -> tuple[dict[str, str], str | None]:
    """Return the keywords of a URL, and the Region if tokens of IAM are wanted. Raises UsageError, without a secret."""
    known = {each.keyword.decode() for each in pq.Conninfo.parse(b"")}
    base, _, query = url.secret.partition("?")
    region, pairs = None, []
    for pair in filter(None, query.split("&")):
        key = unquote(pair.partition("=")[0])
        if key == IAM_KEY:
            region = unquote(pair.partition("=")[2])
            continue
        if key not in known or key in NOT_TAKEN:
            raise UsageError(
                f"the URL of the ledger has `{key}`, which cannot be used",
                hint=f"the keys of libpq, such as `sslrootcert` or `connect_timeout`, and `{IAM_KEY}`",
            )
        pairs.append(pair)
    try:
        given = conninfo_to_dict(f"{base}?{'&'.join(pairs)}" if pairs else base)
    except Error as error:  # its text may quote the password
        raise UsageError(f"the URL of the ledger cannot be read: `{url}`") from error
    if region == "":
        raise UsageError(f"`{IAM_KEY}` of the ledger's URL names no Region", hint=f"such as `{IAM_KEY}=eu-central-1`")
    return {key: str(value) for key, value in given.items() if value is not None}, region


def _defaults() -> dict[str, str]:
    """Return what libpq takes from its variables, and from the service that `PGSERVICE` names."""
    return {each.keyword.decode(): each.val.decode() for each in pq.Conninfo.get_defaults() if each.val}


def _hosts(given: Mapping[str, str], usual: Mapping[str, str]) -> list[str]:
    """Return where connections go. A host that only a service file of the URL names counts as one elsewhere."""
    if "service" in given and not given.keys() & {"host", "hostaddr"}:
        return [f"the service {given['service']}"]
    addresses = given.get("hostaddr") or usual.get("hostaddr")
    names = given.get("host") or usual.get("host")
    return (addresses or names or "/").split(",")


def _token_of(
    keywords: Mapping[str, str], hosts: list[str], user: str | None, region: str, *, shown: str
) -> Callable[[], str]:
    host = keywords.get("host", "")
    if len(hosts) > 1 or host in ("", "/"):
        raise UsageError(f"`{IAM_KEY}` needs one host: `{shown}`", hint="name the endpoint of the cluster")
    if "password" in keywords:
        raise UsageError(f"`{IAM_KEY}` and a password are both given: `{shown}`", hint="leave one of them out")
    if not user:
        raise UsageError(f"`{IAM_KEY}` needs the user: `{shown}`", hint="`postgresql://USER@HOST/DATABASE`")
    return partial(token_signer(), host, int(keywords.get("port") or PORT), user, region)
