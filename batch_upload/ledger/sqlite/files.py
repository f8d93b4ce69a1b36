"""The ledger as a file: where it is, who may read it, and what an error of it means to a user."""

import errno
import os
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from batch_upload.errors import LedgerUnusable
from batch_upload.shortage import are_descriptors_free, out_of_descriptors

MODE = 0o600
"""Permissions of the ledger and its lock. SQLite gives -wal and -shm the ledger's."""
BEGIN_ANEW = "restore a backup, or move it away: `batch-upload reconcile` rebuilds it from the identity tags"
DESCRIPTORS = 4
"""What SQLite opens for a ledger: the file, its -wal and -shm, and a folder while it makes them."""
PRIMARY = 0xFF
"""The byte of a SQLite error code that names its kind; the others tell details."""
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
    """Return the ledger's files, whether they exist or not. Links are not followed."""
    return [path.with_name(f"{path.name}{suffix}") for suffix in ("", "-wal", "-shm", "-journal", ".lock")]


def real_path(path: Path) -> Path:
    """Return the absolute path behind all links. Raises LedgerUnusable if the links lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise LedgerUnusable(f"`{path}` cannot be found: its links lead in a circle") from error


def check_place(real: Path, *, shown: str) -> bool:
    """Return whether the file exists. Raises LedgerUnusable if there can be no ledger at this path."""
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
    """Create the file, readable by its owner alone; one that exists is left as it is. Raises LedgerUnusable."""
    # once it exists, only SQLite opens it: closing any descriptor of a file releases the locks that SQLite holds on it
    try:
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE))
        sync_folder(real.parent)
    except FileExistsError:
        return
    except OSError as error:
        raise file_unusable(error, shown=shown) from error


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sqlite_uri(real: Path, *, query: str) -> str:
    """Return a file's name as SQLite's URI, whatever characters it has."""
    return f"file://{quote(os.fsencode(real))}?{query}"


def unusable(error: Exception, *, shown: str) -> LedgerUnusable:
    """Return the error of a disk or of SQLite as a sentence that says what to do."""
    if isinstance(error, OSError):
        return file_unusable(error, shown=shown)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY
    if code == sqlite3.SQLITE_CANTOPEN and not are_descriptors_free(DESCRIPTORS):
        return _caused(_without_descriptors(shown), error)
    message, hint = _SENTENCES.get(code, (f"`{{}}` could not be used: {error}", BEGIN_ANEW))
    return _caused(LedgerUnusable(message.replace("{}", shown, 1), hint=hint), error)


def file_unusable(error: OSError, *, shown: str) -> LedgerUnusable:
    """Return an error of the file system as a sentence that says what to do."""
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
