"""What is in a file: its type by content, its size and its digest. Blocking: call it in a thread."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from batch_upload.document import EXTENSIONS, Document, Fingerprint, Insight
from batch_upload.documents.refusals import (
    Refusal,
    RefusalCode,
    advice_on_missing,
    in_other_form,
    of_other_type,
    size_for_people,
    too_large,
)
from batch_upload.documents.sniff import EXPLAINED_BYTES, content_type_of
from batch_upload.escape import quoted
from batch_upload.model import ContentType
from batch_upload.shortage import shortage_of

HASHED_AT_ONCE_BYTES = 65_536

Folders = dict[str, str | None]
"""Resolved folders by path, None for one outside the root. Share it between files that are read in a row."""

LookInside = Callable[[bytes, str, ContentType], Insight]
"""Returns what is inside a document, given its bytes, their SHA-256 in hex and its type."""

OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NOFOLLOW: the path is resolved already, so a link was put there since. O_NONBLOCK: a FIFO must not block."""


class Examined(NamedTuple):
    """What is in a file. `fingerprint` is None if the file changed while it was read, or was refused."""

    found: Document | Refusal
    fingerprint: Fingerprint | None = None


def examine(
    path: Path,
    *,
    max_size_bytes: int,
    root: Path | None,
    source: str | None = None,
    key: str = "file",
    form: str | None = None,
    folders: Folders | None = None,
    look_inside: LookInside | None = None,
) -> Examined:
    """Read a file once, up to its limit, and return what is in it, or why it cannot be sent.

    `root` is the folder that must contain the file after all links are followed; None allows any. The file is in memory
    as a whole only for `look_inside`, which is called with what was hashed, if it can be sent. An OSError becomes a
    refusal, except that a lack of file descriptors or memory raises OutOfResources. Messages name the file as `source`,
    or relative to `root`. `key` is where it was named: `file` of a manifest, or `row` of a table or `folder` for a new
    manifest. `form` is the form whose size is the limit, if it is. With `folders` each folder is resolved once.
    """
    shown = _name_shown(path, root) if source is None else source
    try:
        with _opened(path, shown, root, folders) as (resolved, handle, before):
            found = _document(
                shown,
                resolved,
                handle,
                before.st_size,
                max_size_bytes,
                key=key,
                form=form,
                look_inside=look_inside,
            )
            fingerprint = fingerprint_of(before)
            is_same = not isinstance(found, Refusal) and fingerprint == fingerprint_of(os.fstat(handle))
            return Examined(found, fingerprint if is_same else None)
    except _RefusedError as error:
        return Examined(error.refusal)
    except (OSError, ValueError, RuntimeError) as error:
        return Examined(_refusal_of(path, shown, error, key=key))


def fingerprint_of(found: os.stat_result) -> Fingerprint:
    """Return what identifies the content of a file without reading it."""
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
    """Return the bytes of a file if they are still the planned ones: what is returned was hashed.

    Opens the file as `examine` and reads it once. Other bytes, or a file that is gone, too large or outside, are
    CHANGED_SINCE_PLAN, with the reason in the message. A file that exists and cannot be read is UNREADABLE. Raises
    OutOfResources if this process lacks file descriptors or memory.
    """
    shown, limit = _name_shown(path, root), max_size_bytes + 1
    try:
        with _opened(path, shown, root, folders) as (_, handle, _):
            # The expected size in one read, without a second copy. A buffer of the limit would cost more.
            body = os.read(handle, min(size_bytes, limit))
            rest = b"".join(_read_chunks(handle, limit - len(body)))
            body = body + rest if rest else body
    except _RefusedError as error:
        return _changed_since_plan(shown, error.refusal.message)
    except (OSError, ValueError, RuntimeError) as error:
        refusal = _refusal_of(path, shown, error, key="file")
        return refusal if refusal.code is RefusalCode.UNREADABLE else _changed_since_plan(shown, refusal.message)
    if len(body) > max_size_bytes:
        return _changed_since_plan(shown, f"it has more than {size_for_people(max_size_bytes)} now")
    if len(body) != size_bytes:
        return _changed_since_plan(shown, f"it had {size_for_people(size_bytes)}, now {size_for_people(len(body))}")
    if hashlib.sha256(body).hexdigest() != sha256:
        return _changed_since_plan(shown, "it has other bytes now; `--rehash` reads it anew")
    return body


def is_in(resolved: str, folder: str) -> bool:
    """Tell whether a resolved path is a resolved folder or below it. Compares texts: `pathlib` costs more than open."""
    return resolved == folder or resolved.startswith(os.path.join(folder, ""))


class _RefusedError(Exception):
    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)


def _name_shown(path: Path, root: Path | None) -> str:
    if root is None:
        return str(path)
    return "." if path == root else str(path).removeprefix(os.path.join(root, ""))


@contextmanager
def _opened(
    path: Path, shown: str, root: Path | None, folders: Folders | None
) -> Iterator[tuple[str, int, os.stat_result]]:
    """Open a regular file within `root`. Give its resolved path, the descriptor, and its status.

    A path that does not exist is looked for in the other Unicode form (`in_other_form`).
    """
    try:
        resolved = _resolved(path, shown, root, folders)
        handle = os.open(resolved, OPEN_FLAGS)
    except FileNotFoundError:
        other = in_other_form(str(path))
        if other is None:
            raise
        with _opened(Path(other), shown, root, folders) as found_so:
            yield found_so
        return
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device without a driver
            raise _RefusedError(RefusalCode.NOT_REGULAR, _not_regular(shown)) from error
        raise
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise _RefusedError(RefusalCode.FOLDER, f"{quoted(shown)} is a folder: name a file, or use a `glob`")
        if not stat.S_ISREG(found.st_mode):
            raise _RefusedError(RefusalCode.NOT_REGULAR, _not_regular(shown))
        yield resolved, handle, found
    finally:
        os.close(handle)


def _not_regular(shown: str) -> str:
    return f"{quoted(shown)} is not a regular file"


def _resolved(path: Path, shown: str, root: Path | None, folders: Folders | None) -> str:
    """Return a path without links, and within `root`."""

    def is_within(resolved: str) -> bool:
        # A resolved path that begins with the root's own text is within it, so that the root is seldom resolved.
        return root is None or is_in(resolved, str(root)) or is_in(resolved, os.path.realpath(root))

    parent, name = os.path.split(path)
    if folders is not None and name not in ("", ".", ".."):
        if parent not in folders:
            folder = os.path.realpath(parent, strict=True)
            folders[parent] = folder if is_within(folder) else None
        known = folders[parent]
        if known is not None and not os.path.islink(resolved := os.path.join(known, name)):
            return resolved
    resolved = os.path.realpath(path, strict=True)
    if not is_within(resolved):
        message = f"{quoted(shown)} is outside the manifest's folder: {quoted(resolved)}; use `--allow-outside`"
        raise _RefusedError(RefusalCode.OUTSIDE, message)
    return resolved


def _document(
    shown: str,
    resolved: str,
    handle: int,
    planned_size_bytes: int,
    max_size_bytes: int,
    *,
    key: str,
    form: str | None,
    look_inside: LookInside | None,
) -> Document | Refusal:
    if planned_size_bytes > max_size_bytes:
        return too_large(shown, planned_size_bytes, max_size_bytes, key=key, form=form)
    digest, head, size_bytes = hashlib.sha256(), b"", 0
    chunks: list[bytes] = []
    for chunk in _read_chunks(handle, max_size_bytes + 1):
        digest.update(chunk)
        size_bytes += len(chunk)
        if look_inside is not None:
            chunks.append(chunk)
        if len(head) < EXPLAINED_BYTES:
            head = chunk if not head else head + chunk[: EXPLAINED_BYTES - len(head)]
    if not size_bytes:
        return Refusal(RefusalCode.EMPTY, f"{quoted(shown)} is empty: copy or download it again")
    if size_bytes > max_size_bytes:
        return too_large(shown, size_bytes, max_size_bytes, key=key, form=form)
    content_type = content_type_of(head)
    if content_type is None:
        return of_other_type(shown, head)
    extensions = EXTENSIONS[content_type]
    if os.path.splitext(shown)[1].lower() not in extensions:
        names = " or ".join(f"`*{each}`" for each in extensions)
        message = f"{quoted(shown)} is {content_type} by its content: name it {names}"
        return Refusal(RefusalCode.WRONG_EXTENSION, message)
    sha256 = digest.hexdigest()
    insight = None if look_inside is None else look_inside(b"".join(chunks), sha256, content_type)
    return Document(resolved, sha256, size_bytes, content_type, insight)


def _read_chunks(handle: int, limit_bytes: int) -> Iterator[bytes]:
    """Yield at most `limit_bytes` of a file, in pieces."""
    left = limit_bytes
    while left > 0 and (chunk := os.read(handle, min(left, HASHED_AT_ONCE_BYTES))):
        left -= len(chunk)
        yield chunk


def _refusal_of(path: Path, shown: str, error: OSError | ValueError | RuntimeError, *, key: str) -> Refusal:
    if (short := shortage_of(error)) is not None:
        raise short from error
    if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR):
        if path.is_symlink():
            return Refusal(RefusalCode.MISSING, f"{quoted(shown)} does not exist (a link that leads nowhere)")
        advice = advice_on_missing(str(path), shown, key=key)
        return Refusal(RefusalCode.MISSING, f"{quoted(shown)} does not exist{advice and f': {advice}'}")
    # Links that go round raise RuntimeError before Python 3.13, and a path with NUL raises ValueError.
    if isinstance(error, RuntimeError) or getattr(error, "errno", None) == errno.ELOOP:
        reason = "its links go round in a circle"
    else:
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "no such path can be"
    return Refusal(RefusalCode.UNREADABLE, f"{quoted(shown)} cannot be read: {reason}")


def _changed_since_plan(shown: str, how: str) -> Refusal:
    message = f"{quoted(shown)} changed since it was planned, and was not sent: {how}"
    return Refusal(RefusalCode.CHANGED_SINCE_PLAN, message)
