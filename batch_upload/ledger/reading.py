"""The ledger for those who only look: while a run writes, after it, and where nothing may be written.

A reader takes no lock that a run waits for, and never moves what the -wal holds.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import sqlite_version_info
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import DBAPIError

from batch_upload.document import RememberedDigest
from batch_upload.errors import LedgerUnusable
from batch_upload.ledger import items
from batch_upload.ledger.attachments import attachment_tokens
from batch_upload.ledger.connecting import connect, reading
from batch_upload.ledger.course import (
    AttemptRecord,
    Bucket,
    Mark,
    NumberedAttempt,
    RunTally,
    attempts_after,
    attempts_of,
    buckets,
    endpoint_of,
    known_of,
    marks,
    tallies,
)
from batch_upload.ledger.digests import digests
from batch_upload.ledger.files import PRIMARY, check_place, real_path, unusable
from batch_upload.ledger.migrations import SCHEMA_VERSION, check_whole, migrate, require_sqlite, schema_version
from batch_upload.ledger.rates import rates
from batch_upload.ledger.rows import is_of_token, known_all
from batch_upload.ledger.runs import lane_id_of, lane_of, listed_at
from batch_upload.ledger.stock import Stock, stock
from batch_upload.ledger.tables import item, run, stranger
from batch_upload.model import Attachment, Known, Lane, RateRecord, Standing, State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run. Without an end (`ended_at`, `exit_code`, `summary`) its process died, or it is under way."""

    run_id: str
    verb: str
    batch: str
    began_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    summary: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StrangerRecord:
    """An attachment of the lane that no item has. `identity_tag` is None where it carries none."""

    attachment: Attachment
    identity_tag: str | None
    seen_at: datetime


def find_reader(path: Path) -> "LedgerReader | None":
    """A reader of the ledger at `path`, or None where there is none yet: no file, or one without a table.

    One of an earlier version is left as it is, and read from a copy that was brought up to date (`is_overtaken`).
    Use it as a context manager. Raises LedgerUnusable where it is damaged, of a newer version, or not a ledger.
    """
    require_sqlite(sqlite_version_info[:3])
    shown, real = str(path), real_path(path)
    if not real.parent.is_dir() or not check_place(real, shown=shown):
        return None
    with _mapped(shown), ExitStack() as undo:
        raw = undo.enter_context(closing(_open(real, shown=shown)))
        found = schema_version(raw, shown=shown)
        if found == 0:
            return None
        if found < SCHEMA_VERSION:
            past, raw = raw, undo.enter_context(closing(_brought_up_to_date(raw, shown=shown)))
        else:
            past = None
        check_whole(raw, shown=shown)
        undo.pop_all()
        return LedgerReader(raw, shown=shown, past=past)


def find_digests(path: Path) -> "LedgerReader | None":
    """A reader to ask for digests, or None where none are to be had: without them every file is read, no more.

    Never raises for a ledger that cannot be used: who writes it, or asks it for more, finds out why.
    """
    try:
        return find_reader(path)
    except LedgerUnusable:
        return None


class LedgerReader:
    """Each answer is of one moment; two answers may be of two. `past` is what `raw` is an up-to-date copy of."""

    def __init__(self, raw: sqlite3.Connection, *, shown: str, past: sqlite3.Connection | None = None) -> None:
        self._shown = shown
        self._past = past
        self._closing = ExitStack()
        if past is not None:
            self._closing.enter_context(closing(past))
        self._connection = self._closing.enter_context(reading(raw))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """May be called twice."""
        self._closing.close()

    def is_overtaken(self) -> bool:
        """Whether this reads a copy of a ledger of an earlier version, which a run has brought up to date since."""
        if self._past is None:
            return False
        with _mapped(self._shown):
            return schema_version(self._past, shown=self._shown) >= SCHEMA_VERSION

    def lane(self) -> Lane | None:
        """The lane that the ledger is bound to, or None before its first run."""
        with self._moment() as connection:
            return lane_of(connection)

    def listed_at(self) -> datetime | None:
        """When the last listing of the lane began that was read to its end, or None: then the ledger is new here."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            return None if lane_id is None else listed_at(connection, lane_id)

    def known(self, batch: str) -> list[Known]:
        """Every token of a batch, current ones and those that were replaced, oldest first."""
        with self._moment() as connection:
            return known_all(connection, item.c.batch == batch)

    def sift(self, batch: str, take: Callable[[Iterable[Standing]], T]) -> T:
        """Hand every token of a batch to `take`, sorted by the item's id, as they are read, and give what it gives."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            return take(()) if lane_id is None else items.sift(connection, lane_id, batch, take)

    def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> list[Known]:
        """Every token of these ids of a batch, those of one id oldest first."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            return [] if lane_id is None else items.known_of_ids(connection, lane_id, batch, item_ids)

    def stock(self, batch: str, ids: Iterable[str], wanted: Sequence[State]) -> Stock:
        """How far the items of these ids are, all of one moment, and those of them in the states that are wanted."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            if lane_id is None:
                return Stock(+Counter({State.PENDING: sum(1 for _ in ids)}), ())
            return stock(connection, lane_id, batch, ids, wanted)

    def attempts(self, client_token: str) -> list[AttemptRecord]:
        """What was tried for a token, oldest first; empty for one that is not there."""
        with self._moment() as connection:
            return attempts_of(connection, client_token)

    def runs(self, batch: str, limit: int) -> list[RunRecord]:
        """The last runs of a batch, `limit` at most, latest first."""
        columns = (run.c.run_id, run.c.verb, run.c.batch, run.c.began_at, run.c.ended_at, run.c.exit_code)
        latest = select(*columns, run.c.summary).where(run.c.batch == batch).order_by(run.c.run_no.desc())
        with self._moment() as connection:
            return [RunRecord(*row) for row in connection.execute(latest.limit(limit))]

    def since(self, client_token: str) -> datetime | None:
        """When an item came to be as it is, or None for a token that is not there."""
        moment = select(item.c.changed_at).where(is_of_token(client_token))
        with self._moment() as connection:
            found: datetime | None = connection.execute(moment).scalar_one_or_none()
            return found

    def attachment_tokens(self) -> dict[str, str | None]:
        """Every attachment id the ledger knows, items' and strangers': its token, None for one without identity tag."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            return {} if lane_id is None else attachment_tokens(connection, lane_id)

    def strangers(self) -> list[StrangerRecord]:
        """The attachments of the lane that no item has, as they were last seen, by age."""
        everything = select(
            stranger.c.attachment_id,
            stranger.c.attachment_arn,
            stranger.c.status,
            stranger.c.created_at,
            stranger.c.identity_tag,
            stranger.c.seen_at,
        ).order_by(stranger.c.created_at, stranger.c.attachment_id)
        with self._moment() as connection:
            return [_stranger_record(row) for row in connection.execute(everything)]

    def digests(self, paths: Sequence[str]) -> dict[str, RememberedDigest]:
        """What was in the files at these resolved paths when they were last read; those never read are left out."""
        with self._moment() as connection:
            return digests(connection, paths)

    def rates(self) -> list[RateRecord]:
        """What was learned of the lane's operations."""
        with self._moment() as connection:
            lane_id = lane_id_of(connection)
            return [] if lane_id is None else rates(connection, lane_id)

    def version(self) -> int:
        """A number that changes whenever somebody else has written; it means nothing to another reader."""
        with self._moment() as connection:
            found: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            return found

    def endpoint(self) -> str | None:
        """Where the lane was last spoken to, or None before its first run."""
        with self._moment() as connection:
            return endpoint_of(connection)

    def tallies(self, batch: str) -> list[RunTally]:
        """Each run of a batch by the ends of its attempts, oldest run first."""
        with self._moment() as connection:
            return tallies(connection, batch)

    def buckets(self, widths_s: Mapping[str, float]) -> list[Bucket]:
        """The course of these runs: run id → how many seconds a step is long."""
        with self._moment() as connection:
            return buckets(connection, widths_s)

    def attempts_after(self, attempt_id: int, *, again: Collection[int] = ()) -> Iterator[NumberedAttempt]:
        """Every attempt of the ledger behind this one, and those of `again`, oldest first; all of them behind 0.

        Of one moment: do not ask for anything else before it is read to its end.
        """
        with self._moment() as connection:
            yield from attempts_after(connection, attempt_id, again=again)

    def marks(self, batch: str) -> list[Mark]:
        """A mark for each token of a batch, oldest first; a token whose mark is the same as before has not changed."""
        with self._moment() as connection:
            return marks(connection, batch)

    def known_of(self, batch: str, client_tokens: Sequence[str]) -> list[Known]:
        """What is known of these tokens of a batch."""
        with self._moment() as connection:
            return known_of(connection, batch, client_tokens)

    @contextmanager
    def _moment(self) -> Iterator[Connection]:
        with _mapped(self._shown), self._connection.begin():
            yield self._connection


_NO_BOOKS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
"""What SQLite says of a folder where it may not keep its books on who reads."""


NO_TIME = datetime.min.replace(tzinfo=UTC)
"""When a copy was brought up to date: nobody asks."""


def _brought_up_to_date(past: sqlite3.Connection, *, shown: str) -> sqlite3.Connection:
    """A copy in the version of this program, which SQLite keeps for itself: in memory, or in a file without a name."""
    copy = sqlite3.connect("", isolation_level=None)
    try:
        past.backup(copy)
        migrate(copy, shown=shown, at=NO_TIME)
    except BaseException:
        copy.close()
        raise
    return copy


def _open(real: Path, *, shown: str) -> sqlite3.Connection:
    """Read-only; as a file that nobody changes only where its folder lets nobody change it."""
    raw = connect(real, query="mode=ro")
    try:
        raw.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        raw.close()
        if error.sqlite_errorcode & PRIMARY not in _NO_BOOKS:
            raise
        _check_no_wal(real, shown=shown)
        return connect(real, query="mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        raw.close()
        raise
    return raw


def _check_no_wal(real: Path, *, shown: str) -> None:
    wal = real.with_name(f"{real.name}-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise LedgerUnusable(
            f"`{shown}` cannot be read where nothing may be written: its last run did not end by itself",
            hint=f"copy it and `{wal.name}` to a folder of yours",
        )


@contextmanager
def _mapped(shown: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        raise unusable(error, shown=shown) from error


def _stranger_record(row: Row[*tuple[Any, ...]]) -> StrangerRecord:
    *listed, identity_tag, seen_at = row
    return StrangerRecord(Attachment(*listed), identity_tag, seen_at)
