"""Where a ledger is: a file of SQLite, or a database of a PostgreSQL server that several hosts share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from batch_upload.errors import UsageError

SCHEMES = ("postgresql", "postgres")
SECRET_KEYS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
"""Keys of a URL's query whose values are secret."""
_SHAPE = "`postgresql://HOST/DATABASE`"


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """The URL of a database, as libpq takes it. `str()` of it has no password, and no other secret."""

    shown: str
    secret: str = field(repr=False)
    """The URL with its password if it has one. Otherwise libpq looks for it (`PGPASSFILE`, `PGPASSWORD`, a service)."""

    def __str__(self) -> str:
        return self.shown


LedgerAddress = Path | PostgresUrl

TokenSigner = Callable[[str, int, str, str], str]
"""Makes a token of AWS IAM for host, port, user and Region. Blocking. Raises LedgerUnusable without credentials."""
_signers: list[TokenSigner] = []


def sign_tokens_with(signer: TokenSigner) -> None:
    """Say how tokens of IAM are made for databases: the room of the ledger does not know AWS."""
    _signers[:] = [signer]


def token_signer() -> TokenSigner:
    """Return what `sign_tokens_with` was given. Raises UsageError without."""
    if not _signers:
        raise UsageError("tokens of IAM cannot be made here")
    return _signers[0]


def ledger_address(text: str, *, may_have_password: bool = False) -> LedgerAddress:
    """Return the path or URL that a flag, a variable or a manifest names.

    Raises UsageError for a URL of anything but PostgreSQL, one without a database, and one with a secret unless
    `may_have_password`: where a flag or a manifest is read, others may read it, too. No message has the secret.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        if text.lower().startswith(tuple(f"{each}:" for each in SCHEMES)):
            raise UsageError("the URL of the ledger has no `//`", hint=_SHAPE)
        return Path(text)
    if scheme.lower() not in SCHEMES:
        raise UsageError(f"the ledger `{scheme}://…` cannot be used", hint=f"name a file, or {_SHAPE}")
    try:
        parts = urlsplit(text)
        named = [unquote(name) for name, _, _ in (each.partition("=") for each in parts.query.split("&"))]
        has_secret = parts.password is not None or not SECRET_KEYS.isdisjoint(named)
        is_whole = "#" not in text and "@" not in parts.path and _has_ports(parts.netloc)
    except ValueError as error:  # its text may quote the password
        raise UsageError("the URL of the ledger cannot be read", hint=_SHAPE) from error
    if not is_whole:
        hint = "write `/`, `?`, `#`, `@` and `:` in user or password as `%2F`, `%3F`, `%23`, `%40` and `%3A`"
        raise UsageError("the URL of the ledger cannot be read", hint=hint)
    if has_secret and not may_have_password:
        raise UsageError(
            "the URL of the ledger has a password, which others could read",
            hint="put it into `PGPASSFILE` or the variable `BATCH_UPLOAD_LEDGER`",
        )
    if not parts.path.strip("/"):
        raise UsageError("the URL of the ledger names no database", hint=_SHAPE)
    return PostgresUrl(_without_secrets(text), text)


def named_address(named: "str | LedgerAddress") -> LedgerAddress:
    """Return what a caller of the library names: a manifest or ledger by its path, or a ledger by its URL."""
    return ledger_address(named, may_have_password=True) if isinstance(named, str) else named


def _has_ports(netloc: str) -> bool:
    """Return whether what follows each host is a port: else a password with a `/` or `?` has cut the URL short."""
    user, _, hosts = netloc.rpartition("@")
    ports = (host.rpartition("]")[2].partition(":")[2] for host in hosts.split(","))
    return "@" not in user and all(port == "" or port.isdecimal() for port in ports)


def _without_secrets(text: str) -> str:
    parts = urlsplit(text)
    user, _, host = parts.netloc.rpartition("@")
    named = f"{user.partition(':')[0]}@{host}" if user else host
    pairs = (each for each in parts.query.split("&") if unquote(each.partition("=")[0]) not in SECRET_KEYS)
    query = "&".join(pairs)
    return f"{parts.scheme}://{named}{parts.path}{'?' if query else ''}{query}"
