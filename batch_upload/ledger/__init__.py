"""What is known to have happened, durably. The only room that knows SQL.

`open_ledger` gives one that writes (`ports.Ledger`), `find_reader` one that only reads (`ports.LedgerReader`): of a
file, or of a database that several hosts share.
"""

from batch_upload.errors import BatchUploadError, LedgerUnusable
from batch_upload.ledger.reading import Reader, Source
from batch_upload.ledger.runs import ANSWERED
from batch_upload.ledger.sqlite.connection import open_for_reading, open_for_writing
from batch_upload.ledger.sqlite.files import check_place, files_of_ledger, make_file, real_path
from batch_upload.ledger.sqlite.health import damage_of, holder_of, is_ledger_file, place_of, rights_of, schema_of
from batch_upload.ledger.sqlite.lock import Note, take_lock
from batch_upload.ledger.sqlite.migrations import require_sqlite
from batch_upload.ledger.store import Store
from batch_upload.ledger.writer import Writer
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Lane
from batch_upload.ports import Clock, Ledger, LedgerReader


async def open_ledger(address: LedgerAddress, *, run_id: str, clock: Clock, wait_lock_s: float = 0.0) -> Ledger:
    """Open a ledger for writing; it is made if it is not there. Close it.

    A file is this process's alone from now on. Of a database, each lane is once a writer is pinned to it.
    Raises LedgerLocked if another run still holds it after `wait_lock_s` seconds, and LedgerUnusable where it is
    damaged, of a newer program, not a ledger, or cannot be written. Nothing is changed then but the lock's note.
    """
    if isinstance(address, PostgresUrl):
        raise not_built(address)
    require_sqlite()
    shown, real = str(address), real_path(address)
    check_place(real, shown=shown)
    lock = await take_lock(real, shown=shown, run_id=run_id, clock=clock, wait_s=wait_lock_s)
    try:
        make_file(real, shown=shown)
        opened = open_for_writing(real, shown=shown, at=clock.now())
        writer = Writer(opened, shown=shown, on_closed=lock.release)
    except BatchUploadError:
        lock.release()
        raise
    ledger = Store(writer, lock, shown=shown, clock=clock)
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
        raise not_built(address)
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


def not_built(address: PostgresUrl) -> LedgerUnusable:
    return LedgerUnusable(f"`{address}` cannot be used yet")


__all__ = [
    "ANSWERED",
    "Note",
    "damage_of",
    "files_of_ledger",
    "find_digests",
    "find_reader",
    "holder_of",
    "is_ledger_file",
    "open_ledger",
    "place_of",
    "rights_of",
    "schema_of",
]
