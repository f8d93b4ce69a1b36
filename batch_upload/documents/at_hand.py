"""Documents that can be had without waiting for a disk: small ones, on this machine, that its kernel holds in memory.

That nothing waits is the kernel's word, not a guess: openat2(2) with RESOLVE_CACHED opens only what needs no disk, and
preadv2(2) with RWF_NOWAIT reads only what is in memory. Linux alone has both (since 5.12), and few file systems can;
elsewhere no document is at hand.

Nothing is refused here. Whatever is not plainly a document that may be sent, or the one that was planned, is left to
`inspect`.
"""

import hashlib
import os
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from batch_upload.document import Document, Fingerprint
from batch_upload.documents.inspect import OPEN_FLAGS, Examined, fingerprint_of, is_in
from batch_upload.documents.sniff import SNIFFED_BYTES, content_type_of, is_named_as
from batch_upload.model import Item, Listed
from batch_upload.mounts import MOUNTS, file_system_of

SMALL_BYTES = 65_536
"""A document of this size is read, hashed and encoded in some 0.1 ms, which everybody on an event loop waits for."""
LOCAL_FILE_SYSTEMS = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs"})
"""Those that can read without waiting. To open a file of another may take a word with another machine or a daemon."""
FOLDERS_KNOWN = 1_000
"""So many folders are remembered; where documents lie in more, they are asked for again."""

_NO_MAGIC_LINKS, _NO_LINKS, _CACHED = 0x02, 0x04, 0x20  # RESOLVE_* in linux/openat2.h
_OPENAT2 = 437
_SAME_NUMBER = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le", "s390x"})
_FROM_ROOT = -1  # no directory: paths here are absolute
_HOW = struct.pack("=QQQ", OPEN_FLAGS, 0, _NO_MAGIC_LINKS | _NO_LINKS | _CACHED)
"""`struct open_how` of linux/openat2.h: flags, mode, resolve."""


class _Folder(NamedTuple):
    """A folder without links in its path, within the root. `prefix` ends with a `/`."""

    prefix: str
    device: int


class _Held(NamedTuple):
    """The bytes of a file, and how it looked all the while they were read."""

    path: str
    look: Fingerprint
    body: memoryview


class AtHand:
    """Reads documents that are at hand. `root` is the folder that must hold them, as in `inspect`; None allows any.

    A folder is looked at once, by `look`, which may wait. From then on its path is known to lead into `root` without
    links, and stays so: a file is opened only if no part of its path is a link in that moment. Of documents in folders
    that were not looked at none is at hand.
    """

    def __init__(self, root: Path | None, *, mounts: Path = MOUNTS) -> None:
        self._root = root
        self._mounts = mounts
        self._folders: dict[str, _Folder | None] = {}
        self._buffer = memoryview(bytearray(SMALL_BYTES + 1))

    def look(self, each: Item | Listed) -> None:
        """Get to know the folder of an item, if it is not known. Blocking, and in any thread; raises nothing."""
        parent = _parted(each)[0]
        if parent in self._folders:
            return
        try:
            found = self._folder(parent)
        except (OSError, ValueError, RuntimeError):
            found = None
        if len(self._folders) >= FOLDERS_KNOWN:
            self._folders.clear()
        self._folders[parent] = found

    def planned(self, item: Item) -> memoryview | None:
        """The bytes of an item's document, which are those that were planned; None where they are not at hand.

        They stand in one place for all: they are the caller's until the next call. Never waits.
        """
        if item.size_bytes is None or item.size_bytes > SMALL_BYTES:
            return None
        held = self._held(item)
        return held.body if held is not None and hashlib.sha256(held.body).digest() == item.digest else None

    def examined(self, listed: Listed) -> Examined | None:
        """What `inspect.examine` finds in a document that may be sent; None where it is not at hand. Never waits."""
        held = self._held(listed)
        if held is None or not 0 < len(held.body) <= listed.max_size_bytes:
            return None
        content_type = content_type_of(bytes(held.body[:SNIFFED_BYTES]))
        if content_type is None or not is_named_as(listed.source, content_type):
            return None
        digest = hashlib.sha256(held.body).hexdigest()
        return Examined(Document(held.path, digest, len(held.body), content_type), held.look)

    def _folder(self, parent: str) -> _Folder | None:
        real = os.path.realpath(parent or "/", strict=True)
        if self._root is not None and not is_in(real, os.path.realpath(self._root)):
            return None
        if file_system_of(Path(real), mounts=self._mounts) not in LOCAL_FILE_SYSTEMS:
            return None
        return _Folder(os.path.join(real, ""), os.stat(real).st_dev)

    def _held(self, each: Item | Listed) -> _Held | None:
        parent, name = _parted(each)
        folder = self._folders.get(parent)
        if folder is None or name in ("", ".", "..") or "\0" in name:
            return None
        path = folder.prefix + name
        try:
            handle = _open(path)
            if handle is None:
                return None
            try:
                return self._whole(path, handle, folder)
            finally:
                os.close(handle)
        except (OSError, ValueError):
            return None

    def _whole(self, path: str, handle: int, folder: _Folder) -> _Held | None:
        """All bytes of a regular file on the folder's device."""
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_dev != folder.device or found.st_size > SMALL_BYTES:
            return None
        look = fingerprint_of(found)
        size_bytes = os.preadv(handle, (self._buffer,), 0, os.RWF_NOWAIT)
        if size_bytes != look.size_bytes or look != fingerprint_of(os.fstat(handle)):
            return None
        return _Held(path, look, self._buffer[:size_bytes])


def _parted(each: Item | Listed) -> tuple[str, str]:
    """Folder and name of an item's file."""
    text = each.source if each.source.startswith("/") else f"{each.folder}/{each.source}"
    parent, _, name = text.rpartition("/")
    return parent, name


def _open(path: str) -> int | None:
    """A descriptor of a file that is reached without links and without a disk."""
    if _OPEN is None:
        return None
    handle = _OPEN(_OPENAT2, _FROM_ROOT, os.fsencode(path), _HOW, len(_HOW))
    return handle if handle >= 0 else None


def _syscall() -> Callable[..., int] | None:
    """syscall(2), called with the interpreter's lock kept: what never waits need not let others in."""
    if sys.platform != "linux" or os.uname().machine not in _SAME_NUMBER:
        return None
    try:
        import ctypes
    except ImportError:  # a Python that was built without libffi
        return None
    function = ctypes.PyDLL(None).syscall
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    function.restype = ctypes.c_long
    return function


_OPEN = _syscall()
