"""Connections to the file: one that writes, and any number that only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, StaticPool, create_engine, event

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.files import sqlite_uri
from batch_upload.ledger.migrations import check_pages, check_whole, migrate
from batch_upload.ledger.prepared import knowing_driver

BUSY_TIMEOUT_S = 5.0
"""How long somebody's `sqlite3` shell may hold the ledger up."""
DEEP_CHECK_MAX_BYTES = 64 * 1024 * 1024
"""Up to this size every page is looked at when a ledger is opened: below a second."""


@contextmanager
def writing(real: Path, *, shown: str, at: datetime, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Iterator[Connection]:
    """The connection that writes, to a ledger that was brought up to date and found whole.

    To be opened, used and closed in one thread. Its transactions begin with the right to write, so that none fails
    half-way for want of it. Raises LedgerUnusable, sqlite3.Error.
    """
    with closing(connect(real, query="mode=rw", busy_timeout_s=busy_timeout_s)) as raw:
        if real.stat().st_size <= DEEP_CHECK_MAX_BYTES:
            check_pages(raw, shown=shown)  # first of all: what is damaged is left as it was found
        migrate(raw, shown=shown, at=at)
        _make_durable(raw, shown=shown)
        check_whole(raw, shown=shown)
        with _over(raw, begin="BEGIN IMMEDIATE") as connection:
            yield connection
        _checkpoint(raw)


@contextmanager
def reading(raw: sqlite3.Connection) -> Iterator[Connection]:
    """A connection that cannot write, over one that SQLite opened read-only. Closes it."""
    with closing(raw):
        raw.execute("PRAGMA query_only = ON")
        with _over(raw, begin="BEGIN") as connection:
            yield connection


def connect(real: Path, *, query: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """SQLite's own connection, without the implicit transactions of Python's module. Raises sqlite3.Error."""
    raw = sqlite3.connect(sqlite_uri(real, query=query), uri=True, isolation_level=None, timeout=busy_timeout_s)
    raw.execute("PRAGMA trusted_schema = OFF")
    raw.execute("PRAGMA foreign_keys = ON")
    return raw


@contextmanager
def _over(raw: sqlite3.Connection, *, begin: str) -> Iterator[Connection]:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

    def begin_explicitly(connection: Connection) -> None:
        if not raw.in_transaction:  # begun beneath SQLAlchemy, by `prepared.transaction`
            connection.exec_driver_sql(begin)

    with engine.connect() as connection:
        event.listen(connection, "begin", begin_explicitly)
        yield knowing_driver(connection, raw)


def _make_durable(raw: sqlite3.Connection, *, shown: str) -> None:
    mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != ("wal",):
        raise LedgerUnusable(
            f"the file system of `{shown}` cannot hold a ledger: it has no shared memory",
            hint="put the ledger on a local disk with `--ledger`",
        )
    raw.execute("PRAGMA synchronous = FULL")
    # without these macOS answers before the disk has it; elsewhere they do nothing
    raw.execute("PRAGMA fullfsync = ON")
    raw.execute("PRAGMA checkpoint_fullfsync = ON")


def _checkpoint(raw: sqlite3.Connection) -> None:
    """Move what the -wal holds into the ledger, unless a reader is at work: it is safe where it is."""
    raw.execute("PRAGMA busy_timeout = 0")
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
