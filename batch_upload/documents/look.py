"""Looks into many files, and reads only those that do not look as they did when they were read before."""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

from batch_upload.document import Document, RememberedDigest
from batch_upload.documents.inspect import Examined, Folders, examine, fingerprint_of, is_in
from batch_upload.documents.refusals import Refusal
from batch_upload.documents.sniff import is_named_as
from batch_upload.model import Listed
from batch_upload.shortage import shortage_of, through_shortages

READERS = 4
"""Files that are read at once: hashing releases the interpreter's lock, and disks like a queue."""
HOP = 16
"""Files that a reader reads before it hands over what it found: each time costs more than to read a small one."""
RACY_NS = 2_000_000_000
"""A file that was written so short a time before it was read may be written again within the same tick of its clock,
2 s on the coarsest file systems (FAT). As git does with its index, it is read again the next time."""

RECENT = 10_000
"""So many files are kept in mind by who remembers none: a file that stands under many ids is then seldom read twice."""

Recall = Callable[[Sequence[str]], Mapping[str, RememberedDigest]]
"""What is remembered of files, by their resolved paths; what nothing is remembered of is left out."""


def recall_nothing(_paths: Sequence[str]) -> Mapping[str, RememberedDigest]:
    """The memory of who trusts none."""
    return {}


class Recent(dict[str, RememberedDigest]):
    """What was read last, by resolved path: of RECENT files at most, and then of none."""

    def __setitem__(self, path: str, found: RememberedDigest) -> None:
        if len(self) >= RECENT:
            self.clear()
        super().__setitem__(path, found)


class _Standing(NamedTuple):
    """A regular file within the root, at its resolved path."""

    path: str
    found: os.stat_result


class Looker:
    """Looks into the files of a manifest, a batch of them at a time. Blocking; used once, as a context.

    A file that is remembered and looks the same (device, inode, size, time of its last change) is not opened: that it
    is there, regular and within `root` is still seen, and so are its size and its extension.
    Others are read by READERS, a few at a time.
    `fresh` gathers what was read and may be remembered, by resolved path, beside what another one gathered before.
    `now_ns` is the wall's time in nanoseconds since 1970. `pause` waits so many seconds while a file cannot be opened
    for want of file descriptors or memory.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        recall: Recall,
        now_ns: Callable[[], int],
        fresh: dict[str, RememberedDigest] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.fresh: dict[str, RememberedDigest] = {} if fresh is None else fresh
        self._root = root
        self._root_text = None if root is None else os.path.realpath(root)
        self._recall = recall
        self._now_ns = now_ns
        self._pause = pause
        self._folders: dict[str, str | None] = {}
        self._readers = ThreadPoolExecutor(READERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.shutdown(cancel_futures=True)

    def look(self, listed: Sequence[Listed]) -> list[Document | Refusal | None]:
        """What is in the file of each, or why it cannot be sent; None for a URL. Raises OutOfResources."""
        standing = [self._standing(each) for each in listed]
        remembered = self._recall([each.path for each in standing if each is not None])
        found: list[Document | Refusal | None] = [
            None if at is None else self._recalled(each, at, remembered)
            for each, at in zip(listed, standing, strict=True)
        ]
        unread = [n for n, each in enumerate(listed) if found[n] is None and each.folder is not None]
        for n, (began_ns, examined) in zip(unread, self._read([listed[n] for n in unread]), strict=True):
            found[n] = examined.found
            self._note(began_ns, examined)
        return found

    def _read(self, unread: Sequence[Listed]) -> Iterator[tuple[int, Examined]]:
        """What the readers find, or this thread itself where none can be started."""
        size = max(1, min(HOP, len(unread) // READERS))
        pieces = [unread[n : n + size] for n in range(0, len(unread), size)]
        try:
            found = self._readers.map(self._examine_all, pieces)
        except RuntimeError as error:
            if shortage_of(error) is None:
                raise
            found = map(self._examine_all, pieces)
        return chain.from_iterable(found)

    def _examine_all(self, listed: Sequence[Listed]) -> list[tuple[int, Examined]]:
        folders: Folders = {}
        return [self._examine(each, folders) for each in listed]

    def _standing(self, listed: Listed) -> _Standing | None:
        """Where the file of an attachment stands; None where only a closer look can tell."""
        if listed.folder is None:
            return None
        text = listed.source if listed.source.startswith("/") else f"{listed.folder}/{listed.source}"
        parent, _, name = text.rpartition("/")
        within = self._folders[parent] if parent in self._folders else self._resolve(parent)
        if within is None or name in ("", ".", ".."):
            return None
        try:
            return self._regular(within + name)
        except (OSError, ValueError):
            return None

    def _resolve(self, folder: str) -> str | None:
        """A folder's resolved path with a `/` at its end, or None where it is not within the root. Asked for once:
        a folder has many files, and a link may stand for each part of its path."""
        real = os.path.realpath(folder or "/")
        self._folders[folder] = os.path.join(real, "") if self._is_within(real) else None
        return self._folders[folder]

    def _is_within(self, real: str) -> bool:
        return self._root_text is None or is_in(real, self._root_text)

    def _regular(self, path: str) -> _Standing | None:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            path = os.path.realpath(path, strict=True)
            if not self._is_within(path):
                return None
            found = os.lstat(path)
        return _Standing(path, found) if stat.S_ISREG(found.st_mode) else None

    def _recalled(self, listed: Listed, at: _Standing, remembered: Mapping[str, RememberedDigest]) -> Document | None:
        """The document as it was read before, if its file looks the same and may still be sent."""
        known = remembered.get(at.path) or self.fresh.get(at.path)
        if known is None or known.fingerprint != fingerprint_of(at.found):
            return None
        size_bytes = at.found.st_size
        if size_bytes > listed.max_size_bytes or not is_named_as(listed.source, known.content_type):
            return None
        return Document(at.path, known.sha256, size_bytes, known.content_type)

    def _examine(self, listed: Listed, folders: Folders) -> tuple[int, Examined]:
        began_ns = self._now_ns()
        path = listed.path
        if path is None:
            raise TypeError("a URL has no file")
        look = partial(
            examine,
            path,
            max_size_bytes=listed.max_size_bytes,
            root=self._root,
            source=listed.source,
            folders=folders,
        )
        return began_ns, through_shortages(look, pause=self._pause)

    def _note(self, began_ns: int, examined: Examined) -> None:
        document, look = examined
        if look is None or isinstance(document, Refusal) or began_ns - look.mtime_ns < RACY_NS:
            return
        self.fresh[document.path] = RememberedDigest(look, document.sha256, document.content_type)
