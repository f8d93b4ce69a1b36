"""The ledger as a file: where it is, who may read it, and what its errors mean for people."""

import errno
import os
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

from batch_upload.errors import LedgerUnusable
from batch_upload.shortage import are_descriptors_free, out_of_descriptors

MODE = 0o600
"""Of the ledger and its lock; SQLite gives -wal and -shm the ledger's own."""
BEGIN_ANEW = "restore a backup, or move it away: `batch-upload reconcile` rebuilds it from the identity tags"
DESCRIPTORS = 4
"""What SQLite opens for a ledger: the file, its -wal and -shm, and a folder while it makes them."""
PRIMARY = 0xFF
"""The lower byte of a SQLite code; the rest tells details."""
_RIGHTS = "check the rights of the file and its folder, or name another with `--ledger`"
_SENTENCES: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: ("the disk of `{}` is full", "free at least 64 MB there, then run the same command again"),
    sqlite3.SQLITE_IOERR: (
        "I/O error on `{}`",
        "check the disk, its quota and `ulimit -f`, then run the same command again",
    ),
    sqlite3.SQLITE_READONLY: ("`{}` cannot be written", _RIGHTS),
    sqlite3.SQLITE_PERM: ("`{}` cannot be written", _RIGHTS),
    sqlite3.SQLITE_CANTOPEN: ("`{}` cannot be opened", _RIGHTS),
    sqlite3.SQLITE_CORRUPT: ("`{}` is damaged", BEGIN_ANEW),
    sqlite3.SQLITE_NOTADB: ("`{}` is damaged, or not a ledger", BEGIN_ANEW),
    sqlite3.SQLITE_BUSY: (
        "another program is writing to `{}`",
        "let it finish (an open `sqlite3` shell, a backup), then run the same command again",
    ),
}


def files_of_ledger(path: Path) -> list[Path]:
    """The ledger, what SQLite keeps beside it, and its lock, whether they are there or not. Links are not followed."""
    return [path.with_name(f"{path.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".lock")]


def real_path(path: Path) -> Path:
    """The absolute path behind all links. Raises LedgerUnusable where links go round in circles."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise LedgerUnusable(f"`{path}` cannot be found: its links lead in a circle") from error


def check_place(real: Path, *, shown: str) -> bool:
    """Whether the file is there. Raises LedgerUnusable where there can be no ledger."""
    try:
        found = real.stat()
    except FileNotFoundError:
        if real.parent.is_dir():
            return False
        raise LedgerUnusable(f"the folder of `{shown}` does not exist", hint="make it first") from None
    except OSError as error:
        raise file_unusable(error, shown=shown) from error
    if not stat.S_ISREG(found.st_mode):
        raise LedgerUnusable(f"`{shown}` is not a file", hint="name another with `--ledger`")
    return True


def make_file(real: Path, *, shown: str) -> None:
    """Make the file, readable by its owner alone, if it is not there; one that is there is left as it is.

    It is never opened by other means than SQLite's once it exists: closing a descriptor of a file gives back the
    locks that SQLite holds on it in the same process.
    """
    try:
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE))
        sync_folder(real.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise file_unusable(error, shown=shown) from error


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sqlite_uri(real: Path, *, query: str) -> str:
    """A file's name as SQLite's URI, whatever characters are in it."""
    return f"file://{quote(os.fsencode(real))}?{query}"


def unusable(error: sqlite3.Error | DBAPIError | OSError, *, shown: str) -> LedgerUnusable:
    """The error of a disk or of SQLite as a sentence that says what to do."""
    if isinstance(error, OSError):
        return file_unusable(error, shown=shown)
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY
    if code == sqlite3.SQLITE_CANTOPEN and not are_descriptors_free(DESCRIPTORS):
        return _caused(_without_descriptors(shown), origin)
    message, hint = _SENTENCES.get(code, (f"`{{}}` could not be used: {origin}", BEGIN_ANEW))
    return _caused(LedgerUnusable(message.replace("{}", shown, 1), hint=hint), origin)


def file_unusable(error: OSError, *, shown: str) -> LedgerUnusable:
    """The error of a file as a sentence that says what to do."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return _caused(_without_descriptors(shown), error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message, hint = _SENTENCES[sqlite3.SQLITE_FULL]
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        message, hint = _SENTENCES[sqlite3.SQLITE_READONLY]
    else:
        message, hint = f"`{{}}` cannot be opened: {os.strerror(error.errno or 0).lower()}", _RIGHTS
    return _caused(LedgerUnusable(message.replace("{}", shown, 1), hint=hint), error)


def _without_descriptors(shown: str) -> LedgerUnusable:
    short = out_of_descriptors()
    return LedgerUnusable(f"`{shown}` cannot be opened: {short.message}", hint=short.hint)


def _caused(unusable: LedgerUnusable, cause: BaseException | None) -> LedgerUnusable:
    unusable.__cause__ = cause
    return unusable
