"""Connections to the database: one that writes, and any number that only read.

Nothing outlives a transaction: settings are those of each transaction, sets are sent along with the statement that uses
them, and cursors end with their transaction. So a pooler that gives every transaction another connection (pgbouncer in
transaction mode) does no harm.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, ClassVar

import psycopg
import psycopg.waiting
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.types.string import TextLoader
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.base import PGDialect

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.driver import Database, ResultRow, Upsert, Values
from batch_upload.ledger.postgres.earlier import expressions_of, sql_type_of
from batch_upload.ledger.postgres.faults import unusable
from batch_upload.ledger.postgres.migrations import check_server, check_whole, migrate, schema_version
from batch_upload.ledger.postgres.parameters import PostgresParameters, parameters_of
from batch_upload.ledger.sqlite.digest_cache import DigestCache
from batch_upload.ledger_address import PostgresUrl
from batch_upload.model import Lane
from batch_upload.records import LaneHold
from batch_upload.settings import cache_folder

Raw = psycopg.Connection[ResultRow]

WAKE_S = 0.1
"""Pause between two looks at the time while a statement is carried out."""
SILENCE_S = 20.0
"""How long the server may say nothing while a statement is carried out. It ends a statement that writes after 15 s, so
that after 20 the wire is dead. Keepalives do not show that a pooler, or a host between, has lost the other side."""

WRITING_LIMITS = (
    b"SELECT set_config('statement_timeout', '15s', true), set_config('lock_timeout', '5s', true), "
    b"set_config('idle_in_transaction_session_timeout', '15s', true), set_config('cursor_tuple_fraction', '1', true)"
)
"""A statement that writes takes milliseconds; one that a lock holds up ends before the lane's lease does. Set for one
transaction: a pooler lends the connection to other clients after it, and refuses `options`."""
BEGIN_WRITING = (b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", WRITING_LIMITS)
BEGIN_READING = (
    b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    b"SELECT set_config('statement_timeout', '5min', true), set_config('lock_timeout', '5s', true), "
    b"set_config('idle_in_transaction_session_timeout', '1h', true), set_config('cursor_tuple_fraction', '1', true)",
)
"""A report on a terminal may be read slowly. Cursors are read to their end, so a plan for the first rows is no help."""
ROWS_A_FETCH = 2_000
"""Rows of a large result that are in memory at once: below 2 MB."""
_HOLDS = b"""
SELECT account, region, run_id, host, pid, since, lease_until, coalesce(lease_until > clock_timestamp(), false), fence
  FROM lane WHERE fence > 0 ORDER BY account, region
"""
ANALYZED_AFTER = 1_000
"""Rows that were inserted before the statistics of their table are made, for the first time; then after four times as
many each time."""
_CHANGES = b"""
SELECT hashtextextended(
  concat_ws(',', sum(commit_no), sum(fence), count(lease_until), (SELECT max(run_no) FROM run)), 0) FROM lane
"""
"""Each write to a lane raises its `commit_no`, a take its `fence`; a run that reaches no lane is a new one."""
WANTED = "wanted (key, value) AS (SELECT * FROM unnest(%s::text[], %s::text[]))"
"""The table `wanted` of a statement."""


class ImpatientConnection(psycopg.Connection[ResultRow]):
    """If `is_impatient`, closes itself, with OperationalError, if the server is silent for SILENCE_S in a statement."""

    is_impatient = False

    def wait(self, gen: PQGen[RV], interval: float = WAKE_S, timeout: float | None = None) -> RV:
        return super().wait(until_silent(gen, self.pgconn) if self.is_impatient else gen, interval, timeout)


def until_silent(gen: PQGen[RV], pgconn: PGconn) -> PQGen[RV]:
    """Wait as `gen` does. After SILENCE_S of silence in a statement close the connection and raise OperationalError."""
    heard_s = monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready != psycopg.waiting.READY_NONE or pgconn.transaction_status != TransactionStatus.ACTIVE:
                heard_s = monotonic()
            elif monotonic() - heard_s > SILENCE_S:
                pgconn.finish()
                raise psycopg.OperationalError(f"the server has not answered for {SILENCE_S:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as ended:
        found: RV = ended.value
        return found


class PostgresDatabase(Database):
    """A connection of psycopg in which the statements of `begin` begin a transaction.

    One that was lost is made anew by `connect` when the next transaction begins. `is_pipelined`: a statement is sent
    without waiting for the answer to the last one, unless that has rows that are asked for. An error is then raised
    where rows are asked for next, at the end of a savepoint, or at the commit. `expressions`: common table expressions
    of each statement, which stand for tables of an earlier version (`earlier.py`).
    """

    DIALECT: ClassVar[Dialect] = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]
    RULES = (psycopg.IntegrityError, psycopg.DataError)
    FAILURES = (psycopg.Error, OSError)

    def __init__(
        self,
        raw: Raw,
        connect: Callable[[], Raw],
        *,
        shown: str,
        begin: Sequence[bytes],
        is_pipelined: bool = False,
        expressions: Sequence[str] = (),
    ) -> None:
        self.raw = raw
        self._expressions = expressions
        self._connect = connect
        self._shown = shown
        self._begin = begin
        self._is_pipelined = is_pipelined
        self._pipelines = ExitStack()
        """The pipeline of the transaction that is under way, if it has one: left, it waits for all answers."""
        self._pipeline: psycopg.Pipeline
        self._wanted: tuple[list[str], list[str | None]] = ([], [])
        self._cursors = 0
        self.is_committing = False
        """Whether the last transaction had come to its COMMIT: if it failed then, it may have been committed."""
        self._inserted = 0
        self._analyzed_at = ANALYZED_AFTER
        self._digests = DigestCache(cache_folder())

    def close(self) -> None:
        self._digests.close()
        self.raw.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[ResultRow]:
        return self.raw.execute(*self._with_wanted(sql, parameters))

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[ResultRow]:
        # a cursor of the server's, closed by the end of the transaction: libpq would hold the whole result in memory
        self._cursors += 1
        name = f"rows_{self._cursors}"
        text, values = self._with_wanted(sql, parameters)
        self.raw.execute(f"DECLARE {name} NO SCROLL CURSOR FOR ".encode() + text, values)
        return self._fetched(name)

    def run_many(self, statement: Upsert, values: Iterable[Values]) -> None:
        rows = {tuple(row[name] for name in statement.key): row for row in values}
        if not rows:
            return
        compiled, count = statement.compiled(self.DIALECT), len(statement.columns)
        parameters = [compiled.parameters(row) for row in rows.values()]
        # one statement with an array for each column takes the server a fifth of what a statement for each row does
        arrays = [list(column) for column in zip(*parameters, strict=True)][:count]
        kinds = (statement.table.c[name].type for name in compiled.names[:count])
        unnested = ", ".join(f"%s::{sql_type_of(kind)}[]" for kind in kinds)
        head, _, values_and_tail = compiled.sql.partition(" VALUES (")
        sql = f"{head} SELECT * FROM unnest({unnested}){values_and_tail.partition(')')[2]}"  # noqa: S608 - our own names
        self.raw.execute(sql.encode(), [*arrays, *parameters[0][count:]])
        self._inserted += len(rows)
        if self._inserted >= self._analyzed_at:
            self._analyzed_at *= 4
            # before the server does so by itself, a minute later, it would read all items to find some. A role that is
            # not the owner is warned and passed over
            self.raw.execute(f"ANALYZE (SKIP_LOCKED) {statement.table.name}".encode())

    def want(self, values: Mapping[str, str | None]) -> None:
        self._wanted = (list(values), list(values.values()))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self._begin_transaction()
            yield
            self._commit()
        except BaseException:
            with suppress(psycopg.Error):  # of what was sent, and the first of them has left already
                self._pipelines.close()
            with suppress(psycopg.Error):  # the server rolls back what lost its connection
                self.raw.execute("ROLLBACK")
            raise

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self.raw.execute("SAVEPOINT job")
        try:
            yield
            self._wait()  # an error of what was not waited for yet is raised here, and not in what follows
        except BaseException:
            with suppress(psycopg.Error):
                self._wait()  # after an error the server passes over everything that comes before this
            with suppress(psycopg.Error):
                self.raw.execute("ROLLBACK TO job")
                self.raw.execute("RELEASE job")
            raise
        self.raw.execute("RELEASE job")

    def holds(self) -> list[LaneHold]:
        rows = self.raw.execute(_HOLDS).fetchall()
        return [
            LaneHold(Lane(account, region), run_id, host, pid, _in_utc(since), _in_utc(until), held, fence)
            for account, region, run_id, host, pid, since, until, held, fence in rows
        ]

    def change_number(self) -> int:
        row = self.raw.execute(_CHANGES).fetchone()
        return int(row[0]) if row is not None else 0

    def of_digests(self) -> AbstractContextManager[Database | None]:
        return self._digests.transaction()

    def unusable(self, error: Exception) -> LedgerUnusable:
        return unusable(error, shown=self._shown)

    def _begin_transaction(self) -> None:
        self.is_committing = False
        if self._is_pipelined:
            if self.raw.closed:
                self.raw = self._connect()
            self._pipeline = self._pipelines.enter_context(self.raw.pipeline())
            for statement in self._begin:
                self.raw.execute(statement)
            return
        begin = b"; ".join(self._begin)
        try:
            if not self.raw.closed:
                self.raw.execute(begin)
                return
        except psycopg.OperationalError:
            if not self.raw.closed:
                raise
        self.raw = self._connect()
        self.raw.execute(begin)

    def _commit(self) -> None:
        """Commit. Raises InFailedSqlTransaction if a statement had failed: the server itself reports no error then."""
        self.is_committing = True
        done = self.raw.execute("COMMIT")
        self._pipelines.close()
        if done.statusmessage != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction(f"the transaction ended with {done.statusmessage}")

    def _wait(self) -> None:
        """Wait until everything that was sent is carried out. Raises its first error."""
        if self._is_pipelined:
            self._pipeline.sync()

    def _with_wanted(self, sql: str, parameters: Sequence[Any]) -> tuple[bytes, Sequence[Any]]:
        has_wanted = "wanted.key" in sql
        expressions = (WANTED, *self._expressions) if has_wanted else self._expressions
        if expressions:
            sql = f"WITH {', '.join(expressions)} {sql}"
        return sql.encode(), (*self._wanted, *parameters) if has_wanted else parameters

    def _fetched(self, name: str) -> Iterator[ResultRow]:
        fetch = f"FETCH {ROWS_A_FETCH} FROM {name}".encode()
        while rows := self.raw.execute(fetch).fetchall():
            yield from rows
            if len(rows) < ROWS_A_FETCH:
                return


def _in_utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


@contextmanager
def open_for_writing(
    parameters: PostgresParameters, *, at: datetime, make: Callable[[Raw, Callable[[], Raw]], PostgresDatabase]
) -> Iterator[PostgresDatabase]:
    """Yield the connection that writes, to a ledger that was made or brought up to date. For one thread.

    `make` makes it of psycopg's connection, and of what connects again.

    Raises LedgerUnusable for a server that may lose what it has committed, or is too old; for a database that is not a
    ledger or one of a newer program; and where rights are missing.
    """
    shown = parameters.shown
    with database_errors(parameters):
        raw = connect(parameters)
        database = make(raw, partial(connect, parameters, is_impatient=True))
        try:
            check_server(raw, shown=shown)
            migrate(raw, shown=shown, at=at)
            check_whole(raw, shown=shown)
            raw.is_impatient = True  # tables may take long to be brought up to date
            yield database
        finally:
            database.close()


def open_for_reading(url: PostgresUrl) -> PostgresDatabase | None:
    """Open the ledger without any right to write, or return None where the database has none yet.

    Raises LedgerUnusable for a database that is not a ledger, or one of another version, and where rights are missing.
    """
    shown, parameters = str(url), parameters_of(url, writes=False)
    with database_errors(parameters):
        raw = connect(parameters)
        try:
            version = schema_version(raw, shown=shown)
            if version == 0:
                raw.close()
                return None
            check_whole(raw, shown=shown, version=version)
        except BaseException:
            raw.close()
            raise
    earlier = expressions_of(version)
    return PostgresDatabase(raw, partial(connect, parameters), shown=shown, begin=BEGIN_READING, expressions=earlier)


def connect(parameters: PostgresParameters, *, is_impatient: bool = False) -> ImpatientConnection:
    """Return a new connection. Raises LedgerUnusable as `PostgresParameters.keywords`, and psycopg.Error."""
    # no statement is prepared: a pooler may carry out the next one on another connection
    raw = ImpatientConnection.connect(autocommit=True, prepare_threshold=None, **parameters.keywords())
    raw.is_impatient = is_impatient
    raw.adapters.register_loader("json", TextLoader)  # `tables.JsonText` reads it
    return raw


@contextmanager
def database_errors(parameters: PostgresParameters) -> Iterator[None]:
    """Raise LedgerUnusable for an error of the database."""
    try:
        yield
    except PostgresDatabase.FAILURES as error:
        raise unusable(error, shown=parameters.shown, parameters=parameters) from error
