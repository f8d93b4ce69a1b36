"""How a ledger is created and brought up to date: forward only, one transaction a step (`schema.py` has the steps)."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.runs import program_version
from batch_upload.ledger.sqlite.files import BEGIN_ANEW
from batch_upload.ledger.sqlite.schema import MIGRATIONS
from batch_upload.ledger.tables import METADATA, utc_text

APPLICATION_ID = 0x62754C31
"""`buL1` in the file's header, by which a ledger differs from any other SQLite file."""
SQLITE_NEEDED = (3, 37, 0)
"""The first SQLite with STRICT tables."""

SCHEMA_VERSION = len(MIGRATIONS)


def require_sqlite(found: tuple[int, int, int] = sqlite3.sqlite_version_info[:3]) -> None:
    """Raise LedgerUnusable if the SQLite of this Python is too old for a ledger."""
    if found < SQLITE_NEEDED:
        raise LedgerUnusable(
            f"Python here comes with SQLite {_dotted(found)}, a ledger needs {_dotted(SQLITE_NEEDED)} or newer",
            hint="use a newer Python or SQLite library",
        )


def schema_version(raw: sqlite3.Connection, *, shown: str, newest: int = SCHEMA_VERSION) -> int:
    """Return the schema version of a file, 0 for one that is empty or half made. Changes nothing.

    Raises LedgerUnusable if it is not a ledger, or one of a newer program.
    """
    application_id, found = _pragma(raw, "application_id"), _pragma(raw, "user_version")
    if application_id == 0 and found == 0 and not _tables(raw):
        return 0
    if application_id != APPLICATION_ID or found < 1:
        raise LedgerUnusable(f"`{shown}` is not a ledger", hint="name another file with `--ledger`")
    if found > newest:
        raise _newer(raw, found, shown=shown)
    return found


def migrate(raw: sqlite3.Connection, *, shown: str, at: datetime, steps: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Take the steps that a file has not taken. A step that fails leaves nothing behind.

    Raises LedgerUnusable as `schema_version` does, and sqlite3.Error.
    """
    for number in range(schema_version(raw, shown=shown, newest=len(steps)), len(steps)):
        _take(raw, steps[number], version_after=number + 1, at=at)


def check_whole(raw: sqlite3.Connection, *, shown: str) -> None:
    """Raise LedgerUnusable if a table is missing."""
    missing = _WHOLE - _tables(raw)
    if missing:
        raise LedgerUnusable(f"`{shown}` is damaged: it has no {', '.join(sorted(missing))}", hint=BEGIN_ANEW)


def check_pages(raw: sqlite3.Connection, *, shown: str) -> None:
    """Raise LedgerUnusable if a page of a ledger is damaged. Changes nothing; takes time in proportion to the size."""
    if schema_version(raw, shown=shown) >= 1 and raw.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise LedgerUnusable(f"`{shown}` is damaged", hint=BEGIN_ANEW)


_WHOLE = frozenset(METADATA.tables)


def _take(raw: sqlite3.Connection, step: Sequence[str], *, version_after: int, at: datetime) -> None:
    # a table that others refer to can be made anew only so; the references are checked before the commit
    raw.execute("PRAGMA foreign_keys = OFF")
    raw.execute("BEGIN IMMEDIATE")
    try:
        for statement in step:
            raw.execute(statement)
        if raw.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.IntegrityError("a row refers to none")
        raw.execute("INSERT INTO migration VALUES (?, ?, ?)", (version_after, program_version(), utc_text(at)))
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(f"PRAGMA user_version = {version_after}")
        raw.execute("COMMIT")
    finally:
        raw.rollback()
        raw.execute("PRAGMA foreign_keys = ON")


def _newer(raw: sqlite3.Connection, found: int, *, shown: str) -> LedgerUnusable:
    program = _newest_program(raw)
    needed = f"one that knows schema {found}" if program == program_version() else f"{program} or later"
    return LedgerUnusable(
        f"`{shown}` was written by batch-upload {program} (schema {found}), "
        f"this is {program_version()} (schema {SCHEMA_VERSION})",
        hint=f"install a newer batch-upload: {needed}",
    )


def _newest_program(raw: sqlite3.Connection) -> str:
    try:
        row = raw.execute("SELECT program FROM migration ORDER BY version DESC LIMIT 1").fetchone()
    except sqlite3.OperationalError:  # what a later schema looks like is not known here
        return "of a later version"
    return str(row[0]) if row else "of a later version"


def _pragma(raw: sqlite3.Connection, name: str) -> int:
    return int(raw.execute(f"PRAGMA {name}").fetchone()[0])


def _tables(raw: sqlite3.Connection) -> frozenset[str]:
    return frozenset(name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"))


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
