"""How a ledger is made and brought up to date: forward only, one transaction a step (`schema.py` has the steps)."""

from collections.abc import Sequence
from datetime import datetime

from psycopg import Connection

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.driver import ResultRow
from batch_upload.ledger.postgres.earlier import tables_of
from batch_upload.ledger.postgres.schema import MIGRATIONS
from batch_upload.ledger.runs import program_version
from batch_upload.ledger.tables import utc_text

POSTGRES_NEEDED = 13
LEDGER_MARK = "ledger of batch-upload"
"""The comment of the table `migration`, by which a ledger differs from any other database."""
ADVISORY_LOCK = 0x62754C31
"""Key of the lock under which one program at a time takes a step: `buL1`."""
SCHEMA_VERSION = len(MIGRATIONS)
TABLES = tables_of(SCHEMA_VERSION)
_MUST_BE_ON = {
    "fsync": "a crash of the server's machine could damage the ledger",
    "full_page_writes": "a crash of the server's machine could damage the ledger",
    "synchronous_commit": "a crash of the server could lose what was recorded, and cause second uploads",
}


def check_server(raw: Connection[ResultRow], *, shown: str) -> None:
    """Raise LedgerUnusable for a server that is too old, a standby, not UTF-8, or may lose what it has committed."""
    names = ("server_version_num", "server_encoding", "transaction_read_only", *_MUST_BE_ON)
    columns = ", ".join(f"current_setting('{name}')" for name in names)
    found = dict(zip(names, raw.execute(f"SELECT {columns}".encode()).fetchall()[0], strict=True))
    if int(found["server_version_num"]) < POSTGRES_NEEDED * 10_000:
        raise LedgerUnusable(
            f"the server of `{shown}` is PostgreSQL {int(found['server_version_num']) // 10_000}, "
            f"a ledger needs {POSTGRES_NEEDED} or newer"
        )
    if found["server_encoding"] != "UTF8":
        raise LedgerUnusable(
            f"the database of `{shown}` is encoded in {found['server_encoding']}, a ledger needs UTF8",
            hint="make one with `createdb --encoding UTF8 --template template0`",
        )
    for name, danger in _MUST_BE_ON.items():
        if found[name] == "off":
            raise LedgerUnusable(f"`{shown}` is not safe: `{name}` is off, so that {danger}", hint="turn it on")
    if found["transaction_read_only"] == "on":
        raise LedgerUnusable(
            f"`{shown}` cannot be written: the server is a standby, or its transactions are read-only",
            hint="name the primary",
        )


def schema_version(raw: Connection[ResultRow], *, shown: str, newest: int = SCHEMA_VERSION) -> int:
    """Return the schema version of a database, 0 for one without a ledger. Changes nothing.

    Raises LedgerUnusable if its tables are not a ledger's, or those of a newer program, and psycopg.Error.
    """
    found = _tables(raw)
    if found.get("migration") != LEDGER_MARK:
        others = TABLES & found.keys()
        if others:
            raise LedgerUnusable(
                f"`{shown}` is not a ledger: it has other tables named {', '.join(sorted(others))}",
                hint="name another database with `--ledger`",
            )
        return 0
    rows = raw.execute("SELECT version, program FROM migration ORDER BY version DESC LIMIT 1").fetchall()
    version, program = rows[0] if rows else (0, "")
    if version > newest:
        needed = f"one that knows schema {version}" if program == program_version() else f"{program} or later"
        raise LedgerUnusable(
            f"`{shown}` was written by batch-upload {program} (schema {version}), "
            f"this is {program_version()} (schema {newest})",
            hint=f"install a newer batch-upload: {needed}",
        )
    return int(version)


def migrate(
    raw: Connection[ResultRow], *, shown: str, at: datetime, steps: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Take the steps that a database has not taken. A step that fails leaves nothing behind.

    Of programs that begin at the same time one takes a step, and the others wait for it. Raises LedgerUnusable as
    `schema_version` does, and psycopg.Error.
    """
    while schema_version(raw, shown=shown, newest=len(steps)) < len(steps):
        with raw.transaction():
            raw.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = '10min'")
            raw.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
            before = schema_version(raw, shown=shown, newest=len(steps))
            if before == len(steps):
                return
            for statement in steps[before]:
                raw.execute(statement.encode())
            raw.execute(f"COMMENT ON TABLE migration IS '{LEDGER_MARK}'".encode())
            raw.execute(
                "INSERT INTO migration (version, program, applied_at) VALUES (%s, %s, %s)",
                [before + 1, program_version(), utc_text(at)],
            )


def check_whole(raw: Connection[ResultRow], *, shown: str, version: int = SCHEMA_VERSION) -> None:
    """Raise LedgerUnusable if a table of this version is missing."""
    missing = tables_of(version) - _tables(raw).keys()
    if missing:
        raise LedgerUnusable(
            f"`{shown}` is damaged: it has no {', '.join(sorted(missing))}",
            hint="restore a backup, or use another database",
        )


def _tables(raw: Connection[ResultRow]) -> dict[str, str | None]:
    """Return the tables that a ledger may have with their comments, all of one moment.

    They are read from the catalog: `to_regclass` may answer from before another program has committed them.
    """
    query = """
    SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
    WHERE relname = ANY(%s::text[]) AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
    """
    return dict(raw.execute(query.encode(), [sorted(TABLES)]).fetchall())
