"""How a ledger comes to be and grows: forward only, one transaction a step.

A step that was released is never changed: the next one is added below it. The texts are SQL and not derived from
`tables.py`, so that a step does the same for ever.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.files import BEGIN_ANEW
from batch_upload.ledger.tables import utc_text

APPLICATION_ID = 0x62754C31
"""`buL1` in the file's header: what tells a ledger from any other SQLite file."""
SQLITE_NEEDED = (3, 37, 0)
"""The first SQLite with STRICT tables."""

_TIME = "GLOB '????-??-??T??:??:??.??????Z'"
_STATUS = "IN ('UPLOAD_IN_PROGRESS', 'UPLOAD_COMPLETE', 'UPLOAD_FAILED', 'DELETED')"

_VERSION_1 = (
    f"""
    CREATE TABLE migration (
      version    INTEGER PRIMARY KEY,
      program    TEXT NOT NULL,
      applied_at TEXT NOT NULL CHECK (applied_at {_TIME})
    ) STRICT
    """,
    f"""
    CREATE TABLE lane (
      lane_id   INTEGER PRIMARY KEY,
      account   TEXT NOT NULL CHECK (length(account) = 12 AND account NOT GLOB '*[^0-9]*'),
      region    TEXT NOT NULL CHECK (region <> ''),
      endpoint  TEXT NOT NULL,
      pinned_at TEXT NOT NULL CHECK (pinned_at {_TIME}),
      listed_at TEXT CHECK (listed_at {_TIME}),
      UNIQUE (account, region)
    ) STRICT
    """,
    f"""
    CREATE TABLE run (
      run_no    INTEGER PRIMARY KEY,
      run_id    TEXT NOT NULL UNIQUE,
      verb      TEXT NOT NULL,
      batch     TEXT NOT NULL,
      program   TEXT NOT NULL,
      began_at  TEXT NOT NULL CHECK (began_at {_TIME}),
      ended_at  TEXT CHECK (ended_at {_TIME}),
      exit_code INTEGER,
      summary   TEXT,
      CHECK ((ended_at IS NULL) = (exit_code IS NULL)),
      CHECK ((ended_at IS NULL) = (summary IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE item (
      item_no               INTEGER PRIMARY KEY,
      lane_id               INTEGER NOT NULL REFERENCES lane,
      client_token          TEXT NOT NULL CHECK (length(client_token) BETWEEN 1 AND 64),
      batch                 TEXT NOT NULL,
      item_id               TEXT NOT NULL,
      source                TEXT NOT NULL,
      content               TEXT NOT NULL CHECK (content GLOB 'sha256:?*' OR content GLOB 'url:?*'),
      tags                  TEXT NOT NULL,
      generation            INTEGER NOT NULL,
      identity_tag          INTEGER NOT NULL CHECK (identity_tag IN (0, 1)),
      size_bytes            INTEGER CHECK (size_bytes >= 0),
      content_type          TEXT,
      current               INTEGER NOT NULL CHECK (current IN (0, 1)),
      state                 TEXT NOT NULL CHECK (state IN
        ('pending', 'sending', 'processing', 'complete', 'failed', 'unknown', 'parked')),
      attachment_id         TEXT,
      attachment_arn        TEXT,
      attachment_status     TEXT CHECK (attachment_status {_STATUS}),
      attachment_created_at TEXT CHECK (attachment_created_at {_TIME}),
      fault_code            TEXT,
      fault_message         TEXT,
      fault_reason          TEXT,
      fault_fields          TEXT,
      fault_resource_id     TEXT,
      unknown_since         TEXT CHECK (unknown_since {_TIME}),
      last_open_at          TEXT CHECK (last_open_at {_TIME}),
      resume_after          TEXT CHECK (resume_after {_TIME}),
      completed_at          TEXT CHECK (completed_at {_TIME}),
      enlisted_at           TEXT NOT NULL CHECK (enlisted_at {_TIME}),
      changed_at            TEXT NOT NULL CHECK (changed_at {_TIME}),
      UNIQUE (lane_id, client_token),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_created_at IS NULL)),
      CHECK (state NOT IN ('processing', 'complete') OR attachment_id IS NOT NULL),
      CHECK (state NOT IN ('pending', 'sending', 'unknown') OR attachment_id IS NULL),
      CHECK ((state IN ('sending', 'unknown')) = (unknown_since IS NOT NULL)),
      CHECK ((unknown_since IS NULL) = (last_open_at IS NULL)),
      CHECK (state <> 'complete' OR completed_at IS NOT NULL),
      CHECK (state <> 'failed' OR fault_code IS NOT NULL),
      CHECK (state = 'parked' OR resume_after IS NULL),
      CHECK ((fault_code IS NULL) = (fault_message IS NULL)),
      CHECK ((fault_code IS NULL) = (fault_fields IS NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX item_current ON item (lane_id, batch, item_id) WHERE current = 1",
    "CREATE UNIQUE INDEX item_attachment ON item (lane_id, attachment_id) WHERE attachment_id IS NOT NULL",
    "CREATE INDEX item_batch ON item (lane_id, batch, state)",
    "CREATE INDEX item_open ON item (lane_id) WHERE state = 'sending'",
    f"""
    CREATE TABLE attempt (
      attempt_id       INTEGER PRIMARY KEY,
      lane_id          INTEGER NOT NULL,
      client_token     TEXT NOT NULL,
      number           INTEGER NOT NULL CHECK (number >= 1),
      run_id           TEXT NOT NULL REFERENCES run (run_id),
      started_at       TEXT NOT NULL CHECK (started_at {_TIME}),
      unknown_before   TEXT CHECK (unknown_before {_TIME}),
      last_open_before TEXT CHECK (last_open_before {_TIME}),
      UNIQUE (lane_id, client_token, number),
      FOREIGN KEY (lane_id, client_token) REFERENCES item (lane_id, client_token),
      CHECK ((unknown_before IS NULL) = (last_open_before IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE outcome (
      attempt_id        INTEGER PRIMARY KEY REFERENCES attempt,
      kind              TEXT NOT NULL CHECK (kind IN
        ('accepted', 'throttled', 'refused', 'no_capacity', 'denied', 'unknown', 'withdrawn')),
      ended_at          TEXT NOT NULL CHECK (ended_at {_TIME}),
      request_id        TEXT,
      status            INTEGER,
      code              TEXT,
      message           TEXT,
      reason            TEXT,
      fields            TEXT,
      resource_id       TEXT,
      resume_after      TEXT CHECK (resume_after {_TIME}),
      attachment_id     TEXT,
      attachment_arn    TEXT,
      attachment_status TEXT CHECK (attachment_status {_STATUS}),
      CHECK ((kind = 'accepted') = (attachment_id IS NOT NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_arn IS NULL)),
      CHECK ((attachment_id IS NULL) = (attachment_status IS NULL))
    ) STRICT
    """,
    f"""
    CREATE TABLE stranger (
      lane_id        INTEGER NOT NULL REFERENCES lane,
      attachment_id  TEXT NOT NULL,
      attachment_arn TEXT NOT NULL,
      status         TEXT NOT NULL CHECK (status {_STATUS}),
      identity_tag   TEXT,
      created_at     TEXT NOT NULL CHECK (created_at {_TIME}),
      seen_at        TEXT NOT NULL CHECK (seen_at {_TIME}),
      PRIMARY KEY (lane_id, attachment_id)
    ) STRICT
    """,
    *(
        f"CREATE TRIGGER {table}_never_{change.lower()} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE (ABORT, 'what happened is never changed'); END"
        for table in ("attempt", "outcome")
        for change in ("UPDATE", "DELETE")
    ),
    """
    CREATE VIEW known AS
    SELECT item.*,
      (SELECT count(*) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn') AS attempts,
      (SELECT outcome.request_id FROM attempt JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.request_id IS NOT NULL
        ORDER BY attempt.number DESC LIMIT 1) AS request_id,
      (SELECT min(attempt.started_at) FROM attempt LEFT JOIN outcome USING (attempt_id)
        WHERE attempt.lane_id = item.lane_id AND attempt.client_token = item.client_token
          AND outcome.kind IS NOT 'withdrawn') AS first_sent_at
    FROM item
    """,
)

_VERSION_2 = (
    f"""
    CREATE TABLE rate (
      lane_id    INTEGER NOT NULL REFERENCES lane,
      operation  TEXT NOT NULL,
      learned    TEXT NOT NULL,
      learned_at TEXT NOT NULL CHECK (learned_at {_TIME}),
      PRIMARY KEY (lane_id, operation)
    ) STRICT
    """,
)

_VERSION_3 = (
    """
    CREATE TABLE digest (
      path         TEXT PRIMARY KEY,
      device       INTEGER NOT NULL,
      inode        INTEGER NOT NULL,
      size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
      mtime_ns     INTEGER NOT NULL,
      sha256       TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
      content_type TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    # what is current is counted by state, and what was replaced is found by its id: each index holds only its own
    "DROP INDEX item_batch",
    "CREATE INDEX item_state ON item (lane_id, batch, state) WHERE current = 1",
    "CREATE INDEX item_replaced ON item (lane_id, batch, item_id) WHERE current = 0",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(MIGRATIONS)


def require_sqlite(found: tuple[int, int, int]) -> None:
    """Raise LedgerUnusable where the SQLite that Python brings is too old for a ledger."""
    if found < SQLITE_NEEDED:
        raise LedgerUnusable(
            f"Python here comes with SQLite {_dotted(found)}, a ledger needs {_dotted(SQLITE_NEEDED)} or newer",
            hint="use a newer Python or SQLite library",
        )


def schema_version(raw: sqlite3.Connection, *, shown: str, newest: int = SCHEMA_VERSION) -> int:
    """Which schema a file has; 0 where it is empty or was left half made. Changes nothing.

    Raises LedgerUnusable where it is no ledger, or one of a newer program.
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
    """Take the steps that a ledger, or what is to become one, has not taken. A step that fails leaves nothing behind.

    Raises LedgerUnusable as `schema_version` does, and sqlite3.Error.
    """
    for number in range(schema_version(raw, shown=shown, newest=len(steps)), len(steps)):
        _take(raw, steps[number], version_after=number + 1, at=at)


def check_whole(raw: sqlite3.Connection, *, shown: str) -> None:
    """Raise LedgerUnusable where a table is missing."""
    missing = _WHOLE - _tables(raw)
    if missing:
        raise LedgerUnusable(f"`{shown}` is damaged: it has no {', '.join(sorted(missing))}", hint=BEGIN_ANEW)


def check_pages(raw: sqlite3.Connection, *, shown: str) -> None:
    """Raise LedgerUnusable where a page of a ledger does not hold together. Changes nothing; takes time by size."""
    if schema_version(raw, shown=shown) >= 1 and raw.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise LedgerUnusable(f"`{shown}` is damaged", hint=BEGIN_ANEW)


def program_version() -> str:
    """The version of this program, or `0` where it runs without being installed."""
    try:
        return version("batch-upload")
    except PackageNotFoundError:
        return "0"


_WHOLE = frozenset({"migration", "lane", "run", "item", "attempt", "outcome", "stranger", "known", "rate", "digest"})


def _take(raw: sqlite3.Connection, step: Sequence[str], *, version_after: int, at: datetime) -> None:
    raw.execute("BEGIN IMMEDIATE")
    try:
        for statement in step:
            raw.execute(statement)
        raw.execute("INSERT INTO migration VALUES (?, ?, ?)", (version_after, program_version(), utc_text(at)))
        raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        raw.execute(f"PRAGMA user_version = {version_after}")
        raw.execute("COMMIT")
    finally:
        raw.rollback()


def _newer(raw: sqlite3.Connection, found: int, *, shown: str) -> LedgerUnusable:
    program = _newest_program(raw)
    return LedgerUnusable(
        f"`{shown}` was written by batch-upload {program} (schema {found}), "
        f"this is {program_version()} (schema {SCHEMA_VERSION})",
        hint=f"upgrade to batch-upload {program} or later",
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
