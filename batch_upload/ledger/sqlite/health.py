"""Checks of a ledger for `doctor` and `status`. They change nothing and delay no run."""

import fcntl
import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from batch_upload.document import DATABASE_HEADER
from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.sqlite.connection import connect
from batch_upload.ledger.sqlite.files import real_path, unusable
from batch_upload.ledger.sqlite.lock import Note, note_of
from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION, check_whole, schema_version
from batch_upload.mounts import file_system_of
from batch_upload.settings import LEDGER_SUFFIX

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs", "fuse.glusterfs", "fuse.rclone",
        "fuse.s3fs", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs",
    }
)  # fmt: skip
"""File systems on which locks may not reach other machines, and SQLite's WAL has no shared memory."""

_HEAD_BYTES = 4_096
"""SQLite's usual page: no first page is without a zero byte."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is or would be. `file_system` is None where the system does not tell."""

    exists: bool
    is_writable: bool
    file_system: str | None
    free_bytes: int

    @property
    def is_on_network(self) -> bool:
        return self.file_system in NETWORK_FILE_SYSTEMS


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may read a ledger. `mode` is its permission bits."""

    mode: int
    is_mine: bool

    @property
    def are_private(self) -> bool:
        return not self.mode & 0o077


def place_of(path: Path) -> Place:
    """Return where the ledger is. Raises LedgerUnusable if its folder does not exist."""
    real = real_path(path)
    try:
        disk = os.statvfs(real.parent)
    except OSError as error:
        raise LedgerUnusable(f"the folder of `{path}` does not exist", hint="make it first") from error
    exists = real.exists()
    writable = os.access(real.parent, os.W_OK) and (not exists or os.access(real, os.W_OK))
    return Place(exists, writable, file_system_of(real), disk.f_bavail * disk.f_frsize)


def is_ledger_file(path: Path) -> bool:
    """Return whether a path is meant as a ledger: a SQLite file, or one named `.ledger` that is empty or damaged.

    False for what cannot be read. A text file is none, whatever its name.
    """
    try:
        if holder_of(path) is not None:
            # not opened here: closing any descriptor of a file releases the locks that this process holds on it
            return True
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            head = os.read(descriptor, _HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)
    except (OSError, ValueError, LedgerUnusable):  # ValueError: no name for a file
        return False
    if head is None:
        return False
    return head.startswith(DATABASE_HEADER) or (path.suffix == LEDGER_SUFFIX and (not head or b"\0" in head))


def rights_of(path: Path) -> Rights:
    """Return the permissions of the ledger. Raises OSError."""
    found = real_path(path).stat()
    return Rights(stat.S_IMODE(found.st_mode), found.st_uid == os.geteuid())


def damage_of(path: Path, *, most: int = 3) -> list[str]:
    """Return what SQLite finds wrong with any page, index or reference, in `most` lines at most; reads the whole file.

    Raises LedgerUnusable if it cannot be opened at all.
    """
    shown = str(path)
    try:
        with closing(connect(real_path(path), query="mode=ro")) as raw:
            check_whole(raw, shown=shown)
            lines = [str(line) for (line,) in raw.execute(f"PRAGMA integrity_check({most})")]
            broken = raw.execute("PRAGMA foreign_key_check").fetchmany(most)
    except sqlite3.Error as error:
        raise unusable(error, shown=shown) from error
    found = [] if lines == ["ok"] else lines
    return [*found, *(f"a row of `{row[0]}` refers to none of `{row[2]}`" for row in broken)][:most]


def schema_of(path: Path) -> tuple[int, int]:
    """Return the schema of the ledger, 0 for an empty one, and that of this program. Raises LedgerUnusable."""
    shown = str(path)
    try:
        with closing(connect(real_path(path), query="mode=ro")) as raw:
            return schema_version(raw, shown=shown), SCHEMA_VERSION
    except sqlite3.Error as error:
        raise unusable(error, shown=shown) from error


def holder_of(path: Path) -> Note | None:
    """Return who holds the ledger's lock now, or None. Raises OSError.

    It tries a shared lock, which it releases at once: a run that begins in that very moment finds the lock held.
    """
    real = real_path(path)
    try:
        descriptor = os.open(real.with_name(f"{real.name}.lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return note_of(descriptor)
    finally:
        os.close(descriptor)
    return None
