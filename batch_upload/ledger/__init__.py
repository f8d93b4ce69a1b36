"""What is known to have happened, durably. The only room that knows SQL.

`open_ledger` gives one that writes (`ports.Ledger`), `find_reader` one that only reads (`ports.LedgerReader`): of a
file, or of a database that several hosts share.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from batch_upload.errors import BatchUploadError, LedgerUnusable
from batch_upload.ledger.leases import Leases
from batch_upload.ledger.reading import Reader, Source
from batch_upload.ledger.runs import ANSWERED
from batch_upload.ledger.sqlite.connection import open_for_reading, open_for_writing
from batch_upload.ledger.sqlite.files import check_place, files_of_ledger, make_file, real_path
from batch_upload.ledger.sqlite.health import damage_of, holder_of, is_ledger_file, place_of, rights_of, schema_of
from batch_upload.ledger.sqlite.lock import Note, take_lock
from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION, require_sqlite
from batch_upload.ledger.store import Store
from batch_upload.ledger.writer import Writer
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Lane
from batch_upload.ports import Clock, Ledger, LedgerReader
from batch_upload.records import DatabaseHealth


async def open_ledger(address: LedgerAddress, *, run_id: str, clock: Clock, wait_lock_s: float = 0.0) -> Ledger:
    """Open a ledger for writing; it is made if it is not there. Close it.

    A file is this process's alone from now on: raises LedgerLocked if another run still holds it after `wait_lock_s`
    seconds. Of a database, each lane is once a writer is pinned to it; `pin` waits so long.
    Raises LedgerUnusable where it is damaged, of a newer program, not a ledger, or cannot be written. Nothing is
    changed then but the lock's note. Raises LedgerAway for a database that does not answer, and UsageError for a
    URL that cannot be used.
    """
    shown = str(address)
    leases: Leases
    if isinstance(address, PostgresUrl):
        with _driver_needed(address):
            from batch_upload.ledger import postgres
        leases = postgres.PostgresLeases(run_id=run_id, shown=shown, now_s=clock.monotonic)
        fenced = postgres.open_fenced(address, at=clock.now(), leases=leases, now_s=clock.monotonic)
        writer = Writer(fenced, shown=shown, on_closed=lambda: None)
    else:
        require_sqlite()
        real = real_path(address)
        check_place(real, shown=shown)
        leases = lock = await take_lock(real, shown=shown, run_id=run_id, clock=clock, wait_s=wait_lock_s)
        try:
            make_file(real, shown=shown)
            opened = open_for_writing(real, shown=shown, at=clock.now())
            writer = Writer(opened, shown=shown, on_closed=lock.release)
        except BatchUploadError:
            lock.release()
            raise
    ledger = Store(writer, leases, shown=shown, clock=clock, wait_lane_s=wait_lock_s)
    try:
        await ledger.start()
    except BaseException:
        await ledger.close()
        raise
    return ledger


def find_reader(address: LedgerAddress, *, lane: Lane | None = None) -> LedgerReader | None:
    """Open a ledger for reading, or return None where there is none yet.

    It reads `lane`, or the only lane; `LedgerReader.of` and `of_target` read others through it. A ledger of an earlier
    version is left as it is. Use the reader as a context manager. Raises LedgerUnusable where it is damaged, of a newer
    version, or not a ledger.
    """
    if isinstance(address, PostgresUrl):
        with _driver_needed(address):
            from batch_upload.ledger import postgres
        shared = postgres.open_for_reading(address)
        if shared is None:
            return None
        source = Source(shared, shown=str(address), is_overtaken=lambda: False, close=shared.close)
        return Reader(source, wanted=lane, owns=True)
    opened = open_for_reading(address)
    if opened is None:
        return None
    source = Source(opened.database, shown=str(address), is_overtaken=opened.is_overtaken, close=opened.close)
    return Reader(source, wanted=lane, owns=True)


def find_digests(address: LedgerAddress) -> LedgerReader | None:
    """Open the ledger to ask for digests, or return None where none are to be had: then every file is read, no more.

    Never raises for a ledger that cannot be used: who writes to it, or asks it for more, finds out why.
    """
    try:
        return find_reader(address)
    except LedgerUnusable:
        return None


def newest_schema(address: LedgerAddress) -> int:
    """Return the version of the tables that this program writes. It has one for files, and another for databases."""
    if isinstance(address, PostgresUrl):
        with _driver_needed(address):
            from batch_upload.ledger import postgres
        return postgres.SCHEMA_VERSION
    return SCHEMA_VERSION


def connection_pool(address: PostgresUrl, *, writes: bool = True) -> Callable[..., Any]:
    """Connect once, and return a factory of pools: psycopg's AsyncConnectionPool, connected to a ledger's database.

    For other tables in the same database, such as those of a queue. A query fails if it takes 15 s, waits 5 s for a
    lock, or has had no answer for 20 s. Blocking. Raises LedgerUnusable without a driver, if TLS is weak and if the
    database cannot be used; LedgerAway if it does not answer now; UsageError for the URL.
    """
    with _driver_needed(address):
        from batch_upload.ledger import postgres
    return postgres.reach_pool(address, writes=writes)


def fault_of_database(error: Exception, address: PostgresUrl) -> LedgerUnusable:
    """Return an error of a ledger's database as a sentence: LedgerAway if it may pass by itself."""
    with _driver_needed(address):
        from batch_upload.ledger import postgres
    return postgres.unusable(error, shown=str(address))


def health_of_database(address: PostgresUrl) -> DatabaseHealth:
    """Return how the database of a ledger is. Raises LedgerUnusable where it cannot be reached, and UsageError."""
    with _driver_needed(address):
        from batch_upload.ledger import postgres
    return postgres.health_of(address)


@contextmanager
def _driver_needed(address: PostgresUrl) -> Iterator[None]:
    """Raise LedgerUnusable where what is within cannot be imported: the driver comes with an extra."""
    try:
        yield
    except ImportError as error:
        raise LedgerUnusable(
            f"`{address}` cannot be opened: the driver of PostgreSQL is not installed ({error})",
            hint="install it with `pip install 'batch-upload[fleet]'`",
        ) from error


__all__ = [
    "ANSWERED",
    "Note",
    "connection_pool",
    "damage_of",
    "fault_of_database",
    "files_of_ledger",
    "find_digests",
    "find_reader",
    "health_of_database",
    "holder_of",
    "is_ledger_file",
    "newest_schema",
    "open_ledger",
    "place_of",
    "rights_of",
    "schema_of",
]
