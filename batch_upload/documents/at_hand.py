"""Documents that can be had without waiting for a disk: small ones, on this machine, that its kernel holds in memory.

That nothing waits is the kernel's word, not a guess: openat2(2) with RESOLVE_CACHED opens only what needs no disk, and
preadv2(2) with RWF_NOWAIT reads only what is in memory. Linux alone has both (since 5.12), and few file systems can;
elsewhere no document is at hand.

Nothing is refused here. Whatever is not plainly the document that was planned is left to `inspect.read_body`.
"""

import ctypes
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from batch_upload.documents.inspect import OPEN_FLAGS, is_in
from batch_upload.model import Item
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


class _How(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _How(OPEN_FLAGS, 0, _NO_MAGIC_LINKS | _NO_LINKS | _CACHED)


class _Folder(NamedTuple):
    """A folder without links in its path, within the root. `prefix` ends with a `/`."""

    prefix: str
    device: int


class AtHand:
    """Reads documents that are at hand. `root` is the folder that must hold them, as in `inspect`; None allows any.

    A folder is looked at once, by `look`, which may wait. From then on its path is known to lead into `root` without
    links, and stays so: a file is opened only if no part of its path is a link in that moment.
    """

    def __init__(self, root: Path | None, *, mounts: Path = MOUNTS) -> None:
        self._root = root
        self._mounts = mounts
        self._folders: dict[str, _Folder | None] = {}
        self._buffer = memoryview(bytearray(SMALL_BYTES + 1))

    def look(self, item: Item) -> None:
        """Get to know the folder of a small item, if it is not known. Blocking, and in any thread; raises nothing."""
        parent = _parted(item)[0]
        if parent in self._folders or not _is_small(item):
            return
        try:
            found = self._folder(parent)
        except (OSError, ValueError, RuntimeError):
            found = None
        if len(self._folders) >= FOLDERS_KNOWN:
            self._folders.clear()
        self._folders[parent] = found

    def read(self, item: Item) -> memoryview | None:
        """The bytes of an item's document, which are those that were planned; None where they are not at hand.

        They stand in one place for all: they are the caller's until the next call. Never waits.
        """
        parent, name = _parted(item)
        folder = self._folders.get(parent)
        if folder is None or not _is_small(item) or name in ("", ".", "..") or "\0" in name:
            return None
        try:
            return self._read(folder, name, item)
        except (OSError, ValueError):
            return None

    def _folder(self, parent: str) -> _Folder | None:
        real = os.path.realpath(parent or "/", strict=True)
        if self._root is not None and not is_in(real, os.path.realpath(self._root)):
            return None
        if file_system_of(Path(real), mounts=self._mounts) not in LOCAL_FILE_SYSTEMS:
            return None
        return _Folder(os.path.join(real, ""), os.stat(real).st_dev)

    def _read(self, folder: _Folder, name: str, item: Item) -> memoryview | None:
        handle = _open(folder.prefix + name)
        if handle is None:
            return None
        try:
            body = self._planned_bytes(handle, folder, item)
        finally:
            os.close(handle)
        return body if body is not None and hashlib.sha256(body).digest() == item.digest else None

    def _planned_bytes(self, handle: int, folder: _Folder, item: Item) -> memoryview | None:
        """All bytes of the file, if they are as many as were planned."""
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_dev != folder.device:
            return None
        size_bytes = os.preadv(handle, (self._buffer,), 0, os.RWF_NOWAIT)
        return self._buffer[:size_bytes] if size_bytes == item.size_bytes else None


def _is_small(item: Item) -> bool:
    return item.size_bytes is not None and item.size_bytes <= SMALL_BYTES


def _parted(item: Item) -> tuple[str, str]:
    """Folder and name of an item's file."""
    text = item.source if item.source.startswith("/") else f"{item.folder}/{item.source}"
    parent, _, name = text.rpartition("/")
    return parent, name


def _open(path: str) -> int | None:
    """A descriptor of a file that is reached without links and without a disk."""
    if _OPEN is None:
        return None
    handle = _OPEN(_OPENAT2, _FROM_ROOT, os.fsencode(path), ctypes.byref(_HOW), ctypes.sizeof(_How))
    return handle if handle >= 0 else None


def _syscall() -> Callable[..., int] | None:
    """syscall(2), called with the interpreter's lock kept: what never waits need not let others in."""
    if sys.platform != "linux" or os.uname().machine not in _SAME_NUMBER:
        return None
    function = ctypes.PyDLL(None).syscall
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
    function.restype = ctypes.c_long
    return function


_OPEN = _syscall()
