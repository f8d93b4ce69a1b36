"""What is in a file: its type by content, its size and its digest. Blocking: callers run it in a thread."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batch_upload.document import Document, Fingerprint
from batch_upload.documents.missing import advice_on_missing
from batch_upload.documents.refusals import Refusal, RefusalCode, for_people, of_other_type, quoted, too_large
from batch_upload.documents.sniff import EXPLAINED_BYTES, content_type_of, extensions_of
from batch_upload.shortage import shortage_of

CHUNK_BYTES = 65_536

Folders = dict[str, str | None]
"""Folders by their resolved paths, None for those outside: for files that are read right after one another."""

OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NOFOLLOW: the path is resolved already, so a link here was put in since. O_NONBLOCK: a FIFO must not hold us."""


class Examined(NamedTuple):
    """What was found, and how the file looked all the while it was read: None if it changed, or was refused."""

    found: Document | Refusal
    fingerprint: Fingerprint | None = None


def inspect(
    path: Path, *, max_size_bytes: int, root: Path | None, source: str | None = None, key: str = "file"
) -> Document | Refusal:
    """What is in a file, or why it cannot be sent: `examine` without the fingerprint."""
    return examine(path, max_size_bytes=max_size_bytes, root=root, source=source, key=key).found


def examine(
    path: Path,
    *,
    max_size_bytes: int,
    root: Path | None,
    source: str | None = None,
    key: str = "file",
    folders: Folders | None = None,
) -> Examined:
    """Read a file once, up to its limit, and tell what is in it, or why it cannot be sent.

    `root` is the folder that must hold the file after all links are followed; None allows any. The whole file is never
    in memory. An `OSError` becomes a refusal, but for one that says nothing of the file: that this process may open no
    more files, or has no memory, raises OutOfResources. Messages name the file as `source` does, or from `root`. `key`
    is where it was named: `file` of a manifest, or `row` of a table or `folder` of which one is made. `folders` is
    handed from file to file where several are read right after one another, so that each folder is resolved once.
    """
    shown = _shown(path, root) if source is None else source
    try:
        with _opened(path, shown, root, folders) as (resolved, handle):
            return _examined(shown, resolved, handle, max_size_bytes, key=key)
    except _RefusedError as error:
        return Examined(error.refusal)
    except (OSError, ValueError, RuntimeError) as error:
        return Examined(_refusal_of(path, shown, error, key=key))


def fingerprint_of(found: os.stat_result) -> Fingerprint:
    """How a file looks from outside."""
    return Fingerprint(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def read_body(
    path: Path,
    *,
    sha256: str,
    size_bytes: int,
    max_size_bytes: int,
    root: Path | None,
    folders: Folders | None = None,
) -> bytes | Refusal:
    """The bytes of a file if they are still those that were planned: what is returned is what was hashed.

    Opens the file as `inspect` does and reads it once. Anything else than the planned bytes, a file that is gone, too
    large or outside included, is CHANGED_SINCE_PLAN, with the reason in its message. A file that is there and cannot
    be read is UNREADABLE. Raises OutOfResources where it could not be opened or read for want of our own resources.
    """
    shown = _shown(path, root)
    try:
        with _opened(path, shown, root, folders) as (_, handle):
            body = _whole(handle, size_bytes, max_size_bytes + 1)
    except _RefusedError as error:
        return _changed(shown, error.refusal.message)
    except (OSError, ValueError, RuntimeError) as error:
        refusal = _refusal_of(path, shown, error)
        return refusal if refusal.code is RefusalCode.UNREADABLE else _changed(shown, refusal.message)
    if len(body) > max_size_bytes:
        return _changed(shown, f"it has more than {for_people(max_size_bytes)} now")
    if len(body) != size_bytes:
        return _changed(shown, f"it had {for_people(size_bytes)}, now {for_people(len(body))}")
    if hashlib.sha256(body).hexdigest() != sha256:
        return _changed(shown, "it has other bytes now; `--rehash` reads it anew")
    return body


class _RefusedError(Exception):
    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)


def _shown(path: Path, root: Path | None) -> str:
    if root is None:
        return str(path)
    return "." if path == root else str(path).removeprefix(os.path.join(root, ""))


def _is_within(resolved: str, root: Path | None) -> bool:
    """Whether a resolved path is within `root`. One that begins with the root's own text is: that has no links then."""
    return root is None or _is_beneath(resolved, root) or is_in(resolved, os.path.realpath(root))


def _is_beneath(text: str, root: str | Path) -> bool:
    """Whether a path is beneath another, by their texts: `pathlib` would take both apart, which costs more than to
    open the file."""
    return text.startswith(os.path.join(root, ""))


def is_in(text: str, root: str) -> bool:
    """Whether a resolved path is a resolved folder or beneath it."""
    return text == root or _is_beneath(text, root)


def _resolved(path: Path, shown: str | Path, root: Path | None, folders: Folders | None) -> str:
    """A path without links, and within `root`."""
    parent, name = os.path.split(path)
    if folders is not None and name not in ("", ".", ".."):
        if parent not in folders:
            folder = os.path.realpath(parent, strict=True)
            folders[parent] = folder if _is_within(folder, root) else None
        known = folders[parent]
        if known is not None and not os.path.islink(resolved := os.path.join(known, name)):
            return resolved
    resolved = os.path.realpath(path, strict=True)
    if not _is_within(resolved, root):
        message = f"{quoted(shown)} is outside the manifest's folder: {quoted(resolved)}; use `--allow-outside`"
        raise _RefusedError(RefusalCode.OUTSIDE, message)
    return resolved


@contextmanager
def _opened(path: Path, shown: str | Path, root: Path | None, folders: Folders | None) -> Iterator[tuple[str, int]]:
    """The resolved path and a descriptor of a regular file within `root`."""
    resolved = _resolved(path, shown, root, folders)
    handle = _open(shown, resolved)
    try:
        _demand_regular(shown, os.fstat(handle).st_mode)
        yield resolved, handle
    finally:
        os.close(handle)


def _open(shown: str | Path, resolved: str) -> int:
    try:
        return os.open(resolved, OPEN_FLAGS)
    except OSError as error:
        # A socket, or a device without a driver: there is nothing to open.
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise _RefusedError(RefusalCode.NOT_REGULAR, f"{quoted(shown)} is not a regular file") from error
        raise


def _demand_regular(shown: str | Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise _RefusedError(RefusalCode.FOLDER, f"{quoted(shown)} is a folder: name a file, or use a `glob`")
    if not stat.S_ISREG(mode):
        raise _RefusedError(RefusalCode.NOT_REGULAR, f"{quoted(shown)} is not a regular file")


def _examined(shown: str | Path, resolved: str, handle: int, max_size_bytes: int, *, key: str) -> Examined:
    before = fingerprint_of(os.fstat(handle))
    found = _read(shown, resolved, handle, before.size_bytes, max_size_bytes, key=key)
    is_same = not isinstance(found, Refusal) and before == fingerprint_of(os.fstat(handle))
    return Examined(found, before if is_same else None)


def _read(
    shown: str | Path, resolved: str, handle: int, planned_size_bytes: int, max_size_bytes: int, *, key: str
) -> Document | Refusal:
    if planned_size_bytes > max_size_bytes:
        return too_large(shown, planned_size_bytes, max_size_bytes, key=key)
    digest, head, size_bytes = hashlib.sha256(), b"", 0
    for chunk in _chunks(handle, max_size_bytes + 1):
        digest.update(chunk)
        size_bytes += len(chunk)
        if len(head) < EXPLAINED_BYTES:
            head = chunk if not head else head + chunk[: EXPLAINED_BYTES - len(head)]
    if not size_bytes:
        return Refusal(RefusalCode.EMPTY, f"{quoted(shown)} is empty: copy or download it again")
    if size_bytes > max_size_bytes:
        return too_large(shown, size_bytes, max_size_bytes, key=key)
    content_type = content_type_of(head)
    if content_type is None:
        return of_other_type(shown, head)
    extensions = extensions_of(content_type)
    if Path(shown).suffix.lower() not in extensions:
        message = (
            f"{quoted(shown)} is {content_type} by its content: name it {' or '.join(f'`*{e}`' for e in extensions)}"
        )
        return Refusal(RefusalCode.WRONG_EXTENSION, message)
    return Document(resolved, digest.hexdigest(), size_bytes, content_type)


def _whole(handle: int, expected_bytes: int, limit_bytes: int) -> bytes:
    """At most `limit_bytes` of a file: what is expected of it in one piece, so that no second copy is made, where the
    system gives it so. Room for the limit would be asked of the system for each small file anew."""
    body = os.read(handle, min(expected_bytes, limit_bytes))
    rest = b"".join(_chunks(handle, limit_bytes - len(body)))
    return body + rest if rest else body


def _chunks(handle: int, limit_bytes: int) -> Iterator[bytes]:
    """At most `limit_bytes` of a file, in pieces."""
    left = limit_bytes
    while left > 0 and (chunk := os.read(handle, min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk


def _refusal_of(
    path: Path, shown: str | Path, error: OSError | ValueError | RuntimeError, *, key: str = "file"
) -> Refusal:
    if (short := shortage_of(error)) is not None:
        raise short from error
    # Paths with NUL raise ValueError; links that go round raise RuntimeError before Python 3.13.
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR):
        if path.is_symlink():
            return Refusal(RefusalCode.MISSING, f"{quoted(shown)} does not exist (a link that leads nowhere)")
        advice = advice_on_missing(str(path), str(shown), key=key)
        return Refusal(RefusalCode.MISSING, f"{quoted(shown)} does not exist{advice and f': {advice}'}")
    return Refusal(RefusalCode.UNREADABLE, f"{quoted(shown)} cannot be read: {_reason(error)}")


def _reason(error: OSError | ValueError | RuntimeError) -> str:
    if isinstance(error, RuntimeError) or getattr(error, "errno", None) == errno.ELOOP:
        return "its links go round in a circle"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "no such path can be"


def _changed(shown: str | Path, how: str) -> Refusal:
    message = f"{quoted(shown)} changed since it was planned, and was not sent: {how}"
    return Refusal(RefusalCode.CHANGED_SINCE_PLAN, message)
