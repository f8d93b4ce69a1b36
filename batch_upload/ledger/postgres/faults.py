"""What an error of the database means to a user."""

from collections.abc import Mapping

import psycopg

from batch_upload.errors import LedgerUnusable

AGAIN = "then run the same command again"
_SENTENCES: Mapping[str, tuple[str, str]] = {
    "08": ("the connection to `{}` was lost", f"check that the server is up, {AGAIN}"),
    "25006": ("`{}` cannot be written: the server is a standby, or its transactions are read-only", "name the primary"),
    "28": ("`{}` cannot be opened: {error}", "check the user, `PGPASSFILE` and the server's `pg_hba.conf`"),
    "3D000": ("the database of `{}` does not exist", "make it with `createdb`"),
    "42501": (
        "`{}` cannot be used: {error}",
        "let the owner of the tables grant the role what is missing; to make or update them takes the owner's rights",
    ),
    "42P01": ("`{}` is damaged: {error}", "restore a backup, or use another database"),
    "53100": ("the disk of `{}` is full", f"free some of the server's disk, {AGAIN}"),
    "53300": ("`{}` cannot be opened: {error}", f"raise `max_connections` or use a pooler, {AGAIN}"),
    "55P03": ("another program holds a lock in `{}`", f"let it finish, {AGAIN}"),
    "57014": ("`{}` took too long: {error}", f"look for what holds the server up, {AGAIN}"),
    "57P": ("the server of `{}` is shutting down or starting", f"wait for it, {AGAIN}"),
}
"""By the code of an error (SQLSTATE), or by its first two or three letters, which name its kind."""
_UNREACHED = "check the host, the port and that the server is up, then run the same command again"


def unusable(error: Exception, *, shown: str) -> LedgerUnusable:
    """Return an error of the database as a sentence that says what to do."""
    code = error.sqlstate or "" if isinstance(error, psycopg.Error) else ""
    text = first_line(error)
    found = next((_SENTENCES[key] for key in (code, code[:3], code[:2]) if key in _SENTENCES), None)
    if found is None and not code and isinstance(error, psycopg.OperationalError | OSError):
        found = _of_a_refused_connection(text)
    if found is None:
        found = ("`{}` could not be used: {error}", "see the server's log")
    message, hint = found
    sentence = LedgerUnusable(message.replace("{error}", text).replace("{}", shown, 1), hint=hint)
    sentence.__cause__ = error
    return sentence


def first_line(error: Exception) -> str:
    """Return what the server or libpq says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].removeprefix("connection failed: ") if lines else type(error).__name__


def _of_a_refused_connection(text: str) -> tuple[str, str]:
    """Return the sentence for a connection that did not come about: libpq tells no code then, only a text."""
    for code, words in (
        ("3D000", ("does not exist", 'database "')),
        ("28", ("authentication failed",)),
        ("28", ("no pg_hba.conf entry",)),
        ("28", ("role ", "does not exist")),
        ("28", ("no password supplied",)),
        ("53300", ("too many",)),
        ("57P", ("the database system is",)),
    ):
        if all(word in text for word in words):
            return _SENTENCES[code]
    return "`{}` cannot be reached: {error}", _UNREACHED
