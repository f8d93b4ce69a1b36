"""The files that flags name as outputs: the one place that replaces them.

A file is written beside its place and put there in one step, so that it is there whole or not at all. Links are
followed. What is no regular file (a device, a pipe) is written through and never replaced.
"""

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from batch_upload.cli.streams import raising, reason_of
from batch_upload.errors import OutputUnwritable, UsageError

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EPIPE)
"""What is wrong with these is not how the command was typed."""
_LINKS_MAX = 40
"""As many links as Linux follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file of a run: how it is called in a sentence, and its path, which need not exist."""

    name: str
    path: Path


def refuse_own_files(flag: str, path: Path, own: Iterable[NamedFile]) -> None:
    """Raise UsageError where the output `path` is one of the run's own files, by whatever link, hard link or spelling.

    `flag` is how the output was asked for, such as `-o`. Devices and pipes may be named by several outputs.
    """
    there = _status_of(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        return
    real = place_of(path)
    for each in own:
        other = _status_of(each.path)
        is_same = place_of(each.path) == real if there is None or other is None else os.path.samestat(there, other)
        if is_same:
            raise UsageError(
                f"`{flag} {path}` is {each.name}, which it would overwrite; nothing was done", hint="name another file"
            )


def is_standard_output(path: Path) -> bool:
    """Whether the path is another name of our own standard output: `/dev/stdout`, `/dev/fd/1`, a link to them."""
    return _own_descriptor(path) == 1


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

    A file that is replaced keeps its mode, and its owner where the system allows it; a new one has 0666 less the umask.
    Raises UsageError for a folder, a socket, a block device, a place that cannot be written, and a file that is there
    and is not to be replaced; OutputUnwritable where the disk takes no more.
    """
    try:
        number, there = _own_descriptor(path), _checked_status(path)
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
    """Put the text in the place of the file in one step. Raises OSError, and then leaves nothing behind.

    A file that is replaced keeps its mode; a new one has `new_mode`, whatever the umask. Only a regular file is
    replaced.
    """
    there = _status_of(path)
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise OSError("not a regular file")
    real = place_of(path)
    beside = _open_beside(real, there)
    try:
        with open(beside.descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            if there is None:
                os.fchmod(beside.descriptor, new_mode)
        os.replace(beside.path, real)
    finally:
        beside.path.unlink(missing_ok=True)


def exists_already(path: Path) -> UsageError:
    """The error of a file that is not to be replaced."""
    return UsageError(f"`{path}` exists already, nothing was written", hint="`--force` replaces it, `-o` names another")


def place_of(path: Path) -> Path:
    """Where a file written to the path comes to lie, links followed."""
    return Path(os.path.realpath(path))


def is_there(path: Path) -> bool:
    """Whether a file stands at the path that writing there would replace. Devices and pipes are written through."""
    there = _status_of(path)
    return there is not None and stat.S_ISREG(there.st_mode) and _own_descriptor(path) is None


@dataclass(frozen=True, slots=True)
class _Beside:
    descriptor: int
    path: Path


def _open_beside(real: Path, replaced: os.stat_result | None) -> _Beside:
    """A new file in the same folder, with the owner and the mode of the one that it is to replace.

    Its name does not end in `.prom`, so that no exporter reads it, and is as short for long names.
    """
    beside = real.with_name(f".batch-upload-{secrets.token_hex(8)}.part")
    mode = 0o666 if replaced is None else 0o600
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    if replaced is not None:
        with suppress(PermissionError):
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        with suppress(PermissionError):
            os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))
    return _Beside(descriptor, beside)


def _written_whole(path: Path, there: os.stat_result | None, *, replace: bool) -> Iterator[TextIO]:
    real = place_of(path)
    beside = _open_beside(real, there)
    try:
        with open(beside.descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(beside.descriptor)  # some file systems say only now that they are full
        if replace:
            os.replace(beside.path, real)
        else:
            _put_first(beside.path, real, shown=path)
    finally:
        beside.path.unlink(missing_ok=True)


def _put_first(beside: Path, real: Path, *, shown: Path) -> None:
    try:
        os.link(beside, real)  # as one step: two writers at once must not both believe that they were first
    except FileExistsError as error:
        raise exists_already(shown) from error
    except OSError:  # a file system without hard links
        if real.exists():
            raise exists_already(shown) from None
        os.replace(beside, real)


def _written_through(descriptor: int) -> Iterator[TextIO]:
    with open(descriptor, "w", encoding="utf-8", newline="") as stream:
        yield stream


def _checked_status(path: Path) -> os.stat_result | None:
    """What is at the path, links followed. Raises UsageError for what can neither be replaced nor written through."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    refused = {stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a disk"}.get(
        stat.S_IFMT(there.st_mode)
    )
    if refused is not None:
        raise UsageError(f"`{path}` is {refused}, nothing was written", hint="name a file")
    return there


def _status_of(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _own_descriptor(path: Path) -> int | None:
    """The number of our own descriptor that the path names through its links, as `/dev/stdout` does.

    Opened anew by its name, a file to which the shell redirects would be written from its beginning again.
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
