"""The files that flags name as outputs: written whole or not at all, and never over a file of the run itself.

A file is written in the same folder and renamed in one step. Links are followed. What is no regular file (a device, a
pipe) is written through and never replaced.
"""

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from batch_upload.cli.flags import Flags, text_of, truth_of
from batch_upload.cli.streams import raising, reason_of
from batch_upload.document import DATABASE_HEADER
from batch_upload.errors import BatchUploadError, OutputUnwritable, UsageError
from batch_upload.ledger_address import LedgerAddress, ledger_address
from batch_upload.model import Listed
from batch_upload.settings import default_ledger, local_state_path

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EPIPE)
"""Errors that are the disk's fault and not the command line's."""
_NEVER_WRITTEN = {stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a disk"}
_LINKS_MAX = 40
"""As many links as Linux follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file of a run: what a sentence calls it, and its path, which need not exist."""

    name: str
    path: Path


STANDARD_OUTPUT = NamedFile("standard output", Path("/dev/fd/1"))
STANDARD_ERROR = NamedFile("standard error", Path("/dev/fd/2"))


def run_files(manifest: LedgerAddress, ledger: LedgerAddress) -> Iterator[NamedFile]:
    """Yield the manifest, the ledger with its side files, and the state of the embedded service.

    Where a ledger takes the place of the manifest, both are the same. A database is no file.
    """
    if manifest != ledger and isinstance(manifest, Path):
        yield NamedFile("the manifest", manifest)
    if isinstance(ledger, Path):
        from batch_upload.ledger import files_of_ledger  # heavy, and only needed if an output is a file

        yield from (NamedFile("a file of the ledger", path) for path in files_of_ledger(ledger))
    if isinstance(manifest, Path):
        yield NamedFile("the state of the local service", local_state_path(manifest, ledger))


def documents(listed: Iterable[Listed]) -> Iterator[NamedFile]:
    """Yield the documents that a manifest lists, and the tables that list them."""
    tables = set[str]()
    for each in listed:
        if each.path is not None:
            yield NamedFile("a document of the manifest", each.path)
        if each.at_file is not None and each.at_file not in tables:
            tables.add(each.at_file)
            yield NamedFile("a table of the manifest", Path(each.at_file))


def files_before_reading(manifest: Path, flags: Flags) -> Iterator[NamedFile]:
    """As `run_files`, before the verb reads the manifest: only its `ledger` is looked for."""
    from batch_upload.manifest.reader import ledger_named_in

    try:
        named = ledger_named_in(manifest)
        chosen = text_of(flags, "ledger")
        given = None if chosen is None else ledger_address(chosen, may_have_password=True)
        ledger = given or default_ledger(manifest, named, local=truth_of(flags, "local"))
    except BatchUploadError:  # the verb itself reports what is wrong with the manifest or the flag
        return iter([NamedFile("the manifest", manifest)])
    return run_files(manifest, ledger)


def refuse_own_files(flag: str, path: Path, own: Iterable[NamedFile]) -> None:
    """Raise UsageError if the output `path` is one of the run's own files, by any link, hard link or spelling.

    `flag` is how the output was asked for, such as `-o`. Devices and pipes may be named by several outputs.
    """
    there = _status_of(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        return
    real = resolved_path(path)
    for each in own:
        other = _status_of(each.path)
        is_same = resolved_path(each.path) == real if there is None or other is None else os.path.samestat(there, other)
        if is_same:
            raise UsageError(
                f"`{flag} {path}` is {each.name}, which it would overwrite; nothing was done", hint="name another file"
            )


def refuse_other_content(flag: str, path: Path, *, is_right: Callable[[bytes], bool]) -> None:
    """Raise UsageError if the output is a file with content, and `is_right` rejects its first 4,096 bytes.

    It protects documents and ledgers that this run does not know of.
    """
    head = b""
    with suppress(OSError):  # reported when it is opened for writing
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(4_096)
    if head and not is_right(head):
        raise UsageError(f"`{flag} {path}` holds something else, nothing was done", hint="name another file")


def is_no_document(head: bytes) -> bool:
    """Whether a file that begins so is neither a PDF, a PNG, a JPEG nor a database: a log can be appended to it."""
    from batch_upload.documents.sniff import content_type_of

    return content_type_of(head) is None and not head.startswith(DATABASE_HEADER)


def is_standard_output(path: Path) -> bool:
    """Whether the path is another name of our own standard output: `-`, `/dev/stdout`, `/dev/fd/1`, a link to them."""
    return str(path) == "-" or _own_descriptor(path) == 1


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output for a document: UTF-8, and line ends as they are written. Raises OSError as it fails, once."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    with raising(sys.stdout) as stream:
        yield stream


@contextmanager
def output_file(path: Path, *, replace: bool = True) -> Iterator[TextIO]:
    """A stream in UTF-8 that becomes the file when the block ends without an error; with one, nothing is left.

    A file that is replaced keeps its mode, and its owner if the system allows it; a new one has 0666 less the umask.
    Raises UsageError for a folder, a socket, a block device, a place that cannot be written, and an existing file if
    `replace` is false; OutputUnwritable if the disk takes no more.
    """
    try:
        number, there = _own_descriptor(path), None
        with suppress(FileNotFoundError):
            there = path.stat()
        refused = None if there is None else _NEVER_WRITTEN.get(stat.S_IFMT(there.st_mode))
        if refused is not None:
            raise UsageError(f"`{path}` is {refused}, nothing was written", hint="name a file")
        if number is not None:
            yield from _written_through(os.dup(number))
        elif there is not None and not stat.S_ISREG(there.st_mode):
            yield from _written_through(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY))
        elif there is not None and not replace:
            raise exists_already(path)
        else:
            yield from _written_whole(path, there, replace=replace)
    except OSError as error:
        kind = OutputUnwritable if error.errno in _DISK_FAULTS else UsageError
        raise kind(f"`{path}` cannot be written: {reason_of(error)}") from error


def replace_text(path: Path, text: str, *, new_mode: int) -> None:
    """Replace the file by the text in one step. Raises OSError, and then leaves nothing behind.

    A file that is replaced keeps its mode; a new one has `new_mode`, whatever the umask. Only a regular file is
    replaced.
    """
    there = _status_of(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise OSError("not a regular file")
    real = resolved_path(path)
    descriptor, part = _open_part(real, there)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            if there is None:
                os.fchmod(descriptor, new_mode)
        os.replace(part, real)
    finally:
        part.unlink(missing_ok=True)


def exists_already(path: Path) -> UsageError:
    """Return the error of an existing file that is not to be replaced."""
    return UsageError(f"`{path}` exists already, nothing was written", hint="`--force` replaces it, `-o` names another")


def resolved_path(path: Path) -> Path:
    """Return where a file written to the path ends up, links followed."""
    return Path(os.path.realpath(path))


def would_replace(path: Path) -> bool:
    """Whether writing to the path would replace a file. Devices and pipes are written through."""
    there = _status_of(path)
    return there is not None and stat.S_ISREG(there.st_mode) and _own_descriptor(path) is None


def _open_part(real: Path, replaced: os.stat_result | None) -> tuple[int, Path]:
    """Create a file in the same folder, with the owner and the mode of the one that it is to replace.

    Its name does not end in `.prom`, so that no exporter reads it, and is short even if the other is long.
    """
    part = real.with_name(f".batch-upload-{secrets.token_hex(8)}.part")
    mode = 0o666 if replaced is None else 0o600
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    if replaced is not None:
        with suppress(PermissionError):
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))
    return descriptor, part


def _written_whole(path: Path, there: os.stat_result | None, *, replace: bool) -> Iterator[TextIO]:
    real = resolved_path(path)
    descriptor, part = _open_part(real, there)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)  # some file systems report only now that they are full
        if replace:
            os.replace(part, real)
            return
        try:
            os.link(part, real)  # fails if the file exists: of two writers at once only one succeeds
        except FileExistsError as error:
            raise exists_already(path) from error
        except OSError:  # a file system without hard links
            if real.exists():
                raise exists_already(path) from None
            os.replace(part, real)
    finally:
        part.unlink(missing_ok=True)


def _written_through(descriptor: int) -> Iterator[TextIO]:
    with open(descriptor, "w", encoding="utf-8", newline="") as stream:
        yield stream


def _status_of(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _own_descriptor(path: Path) -> int | None:
    """Return the number of our own descriptor that the path names through its links, as `/dev/stdout` does, or None.

    Opened again by its name, a file to which the shell redirects would be written from its beginning.
    """
    current = os.path.abspath(path)
    for _ in range(_LINKS_MAX):
        folder, name = os.path.split(current)
        if name.isdigit() and os.path.realpath(folder) in (f"/proc/{os.getpid()}/fd", "/dev/fd"):
            return int(name)
        if not os.path.islink(current):
            return None
        current = os.path.join(folder, os.readlink(current))
    return None
