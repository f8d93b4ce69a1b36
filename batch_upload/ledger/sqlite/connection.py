"""Connections to the file: one that writes, and any number that only read."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.driver import Database, Upsert, Values
from batch_upload.ledger.history import step_number
from batch_upload.ledger.sqlite.files import PRIMARY, check_place, real_path, sqlite_uri, unusable
from batch_upload.ledger.sqlite.migrations import (
    SCHEMA_VERSION,
    check_pages,
    check_whole,
    migrate,
    require_sqlite,
    schema_version,
)

BUSY_TIMEOUT_S = 5.0
"""How long another program, such as a `sqlite3` shell, may hold the ledger up."""
DEEP_CHECK_MAX_BYTES = 64 * 1024 * 1024
"""Up to this size every page is checked when a ledger is opened for writing: below a second."""
_NEVER = datetime.min.replace(tzinfo=UTC)
"""The time noted in a copy that is brought up to date for reading: nothing reads it."""
_READ_ONLY_FOLDER = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite answers in a folder where it cannot make its -shm."""


class SqliteDatabase(Database):
    """A connection of Python's module without its implicit transactions. `begin` begins a transaction."""

    DIALECT: ClassVar[Dialect] = dialect(paramstyle="qmark")
    RULES = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
    FAILURES = (sqlite3.Error, OSError)

    def __init__(self, raw: sqlite3.Connection, *, shown: str, begin: str) -> None:
        self._raw = raw
        self._shown = shown
        self._begin = begin
        # in a file that SQLite makes for itself once it no longer fits its cache: a million ids would take 110 MB
        raw.execute("CREATE TEMPORARY TABLE wanted (key TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._raw.execute(sql, parameters)

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._raw.execute(sql, parameters)

    def run_many(self, statement: Upsert, values: Iterable[Values]) -> None:
        compiled = statement.compiled(self.DIALECT)
        self._raw.executemany(compiled.sql, map(compiled.parameters, values))

    def want(self, values: Mapping[str, str | None]) -> None:
        self._raw.execute("DELETE FROM wanted")
        self._raw.executemany("INSERT INTO wanted VALUES (?, ?)", values.items())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._raw.execute(self._begin)
        try:
            yield
            self._raw.commit()
        except BaseException:
            self._raw.rollback()
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._raw.execute("SAVEPOINT job")
        try:
            yield
        except BaseException:
            if self._raw.in_transaction:  # a failing disk may have undone the whole transaction already
                self._raw.execute("ROLLBACK TO job")
                self._raw.execute("RELEASE job")
            raise
        self._raw.execute("RELEASE job")

    def change_number(self) -> int:
        return int(self._raw.execute("PRAGMA data_version").fetchone()[0])

    def of_digests(self) -> AbstractContextManager["SqliteDatabase"]:
        return nullcontext(self)

    def unusable(self, error: Exception) -> LedgerUnusable:
        return unusable(error, shown=self._shown)


@compiles(step_number, "sqlite")
def _step_number_of_sqlite(element: FunctionElement[int], compiler: SQLCompiler, **options: object) -> str:
    # a Julian day as a double is exact to some 0.04 ms: half a millisecond more puts a step's edge behind it
    began, at, seconds = (compiler.process(each, **options) for each in element.clauses)
    passed = f"(julianday({at}) - julianday({began})) * 86400.0 + 0.0005"
    return f"max(0, CAST(({passed}) / {seconds} AS INTEGER))"


@contextmanager
def open_for_writing(
    real: Path, *, shown: str, at: datetime, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Iterator[SqliteDatabase]:
    """Yield the connection that writes, to a ledger that was brought up to date and found whole.

    To be opened, used and closed in one thread. Its transactions begin with the right to write, so that none fails
    half-way for want of it. Raises LedgerUnusable.
    """
    with _translated(shown), closing(connect(real, query="mode=rw", busy_timeout_s=busy_timeout_s)) as raw:
        if real.stat().st_size <= DEEP_CHECK_MAX_BYTES:
            check_pages(raw, shown=shown)  # first of all: a damaged ledger is left as it was found
        migrate(raw, shown=shown, at=at)
        _make_durable(raw, shown=shown)
        check_whole(raw, shown=shown)
        yield SqliteDatabase(raw, shown=shown, begin="BEGIN IMMEDIATE")
        # move what the -wal holds into the ledger, unless a reader is at work: it is safe where it is
        raw.execute("PRAGMA busy_timeout = 0")
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


@dataclass(frozen=True, slots=True)
class OpenedToRead:
    """A ledger opened for reading. `is_overtaken` tells whether it is a copy of what a run has brought up to date."""

    database: SqliteDatabase
    is_overtaken: Callable[[], bool]
    close: Callable[[], None]


def open_for_reading(path: Path) -> OpenedToRead | None:
    """Open the ledger at `path` without any right to write, or return None where there is none yet.

    It takes no lock that a run waits for, and never moves what the -wal holds. A ledger of an earlier version is left
    as it is, and read from a copy that was brought up to date. Raises LedgerUnusable for one that is damaged, of a
    newer version, or none.
    """
    require_sqlite()
    shown, real = str(path), real_path(path)
    if not real.parent.is_dir() or not check_place(real, shown=shown):
        return None
    with _translated(shown), ExitStack() as undo:
        raw = undo.enter_context(closing(_connect_to_read(real, shown=shown)))
        version = schema_version(raw, shown=shown)
        if version == 0:
            return None
        past, source = raw, raw
        if version < SCHEMA_VERSION:
            source = undo.enter_context(closing(_brought_up_to_date(past, shown=shown)))
        check_whole(source, shown=shown)
        database = SqliteDatabase(source, shown=shown, begin="BEGIN")

        def is_overtaken() -> bool:
            with _translated(shown):
                return source is not past and schema_version(past, shown=shown) >= SCHEMA_VERSION

        return OpenedToRead(database, is_overtaken, undo.pop_all().close)


def connect(real: Path, *, query: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Return SQLite's own connection, without the implicit transactions of Python's module. Raises sqlite3.Error."""
    raw = sqlite3.connect(sqlite_uri(real, query=query), uri=True, isolation_level=None, timeout=busy_timeout_s)
    raw.execute("PRAGMA trusted_schema = OFF")
    raw.execute("PRAGMA foreign_keys = ON")
    return raw


@contextmanager
def _translated(shown: str) -> Iterator[None]:
    try:
        yield
    except SqliteDatabase.FAILURES as error:
        raise unusable(error, shown=shown) from error


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


def _brought_up_to_date(past: sqlite3.Connection, *, shown: str) -> sqlite3.Connection:
    """Return a copy in the version of this program, which SQLite keeps in memory or in a file without a name."""
    copy = sqlite3.connect("", isolation_level=None)
    try:
        past.backup(copy)
        migrate(copy, shown=shown, at=_NEVER)
    except BaseException:
        copy.close()
        raise
    return copy


def _connect_to_read(real: Path, *, shown: str) -> sqlite3.Connection:
    """Connect read-only; as to a file that never changes only where its folder cannot be written either."""
    raw = connect(real, query="mode=ro")
    try:
        raw.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        raw.close()
        if error.sqlite_errorcode & PRIMARY not in _READ_ONLY_FOLDER:
            raise
        journal = real.with_name(f"{real.name}-journal")
        if journal.exists() and journal.stat().st_size > 0:  # a ledger has one only while it is made or migrated
            raise LedgerUnusable(
                f"`{shown}` cannot be read: the run that made it did not end by itself",
                hint="run the same `upload` again, which puts it right",
            ) from error
        wal = real.with_name(f"{real.name}-wal")
        if wal.exists() and wal.stat().st_size > 0:
            raise LedgerUnusable(
                f"`{shown}` cannot be read where nothing may be written: its last run did not end by itself",
                hint=f"copy it and `{wal.name}` to a folder of yours",
            ) from error
        return connect(real, query="mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        raw.close()
        raise
    return raw
