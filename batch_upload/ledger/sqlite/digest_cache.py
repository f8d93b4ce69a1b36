"""What was in files, remembered on this machine: for a ledger in a database that several machines share.

It is a convenience: where it cannot be used every file is read, and nothing else is different.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batch_upload.errors import BatchUploadError
from batch_upload.ledger.sqlite.connection import SqliteDatabase, connect
from batch_upload.ledger.sqlite.files import MODE
from batch_upload.ledger.sqlite.schema import DIGEST

FILE = "digests-2.sqlite"
"""Its name has the version of its table: an older program keeps its own."""
_BUSY_TIMEOUT_S = 1.0


class DigestCache:
    """A file in `folder`, opened at its first use, by the thread that uses it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._opened: tuple[sqlite3.Connection, SqliteDatabase] | None = None

    @contextmanager
    def transaction(self) -> Iterator[SqliteDatabase | None]:
        """Yield the database, or None where there can be none. What goes wrong with it within is passed over.

        Raises BatchUploadError for a row that breaks the rules of the table: that is our fault.
        """
        with suppress(*SqliteDatabase.FAILURES):
            self._opened = self._opened or self._open()
        if self._opened is None:
            yield None
            return
        try:
            with self._opened[1].transaction():
                yield self._opened[1]
        except SqliteDatabase.RULES as error:
            raise BatchUploadError(f"`{self._path}` refused a row that breaks its rules: {error}") from error
        except SqliteDatabase.FAILURES:
            return

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()

    def _open(self) -> tuple[sqlite3.Connection, SqliteDatabase]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # with the rights of a ledger: names of files can be private
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
        raw = connect(self._path, query="mode=rw", busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            # a power cut may cost what was remembered last, and damages nothing
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute("PRAGMA synchronous = NORMAL")
            raw.execute(DIGEST.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
            return raw, SqliteDatabase(raw, shown=str(self._path), begin="BEGIN")
        except BaseException:
            raw.close()
            raise
