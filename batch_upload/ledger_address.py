"""Where a ledger is: a file of SQLite, or a database of a PostgreSQL server that several hosts share."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from batch_upload.errors import UsageError

SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """The URL of a database, as libpq takes it. `str()` of it has no password."""

    shown: str
    secret: str = field(repr=False)
    """The URL with its password if it has one. Otherwise libpq looks for it (`PGPASSFILE`, `PGPASSWORD`, a service)."""

    def __str__(self) -> str:
        return self.shown


LedgerAddress = Path | PostgresUrl


def ledger_address(text: str, *, may_have_password: bool = False) -> LedgerAddress:
    """Return the path or URL that a flag, a variable or a manifest names.

    Raises UsageError for a URL of anything but PostgreSQL, one without a database, and one with a password unless
    `may_have_password`: where a flag or a manifest is read, others may read it, too.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Path(text)
    if scheme.lower() not in SCHEMES:
        raise UsageError(
            f"the ledger `{scheme}://…` cannot be used", hint="name a file, or `postgresql://HOST/DATABASE`"
        )
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError as error:
        raise UsageError(f"the URL of the ledger cannot be read: {error}") from error
    if password is None and "password=" in parts.query:
        password = ""
    if password is not None and not may_have_password:
        raise UsageError(
            "the URL of the ledger has a password, which others could read",
            hint="put it into `PGPASSFILE` or the variable `BATCH_UPLOAD_LEDGER`",
        )
    if not parts.path.strip("/"):
        raise UsageError(f"the URL of the ledger names no database: `{_without_password(text)}`")
    return PostgresUrl(_without_password(text), text)


def _without_password(text: str) -> str:
    parts = urlsplit(text)
    user, _, host = parts.netloc.rpartition("@")
    named = f"{user.partition(':')[0]}@{host}" if user else host
    query = "&".join(each for each in parts.query.split("&") if not each.startswith("password="))
    return urlunsplit(parts._replace(netloc=named, query=query))
