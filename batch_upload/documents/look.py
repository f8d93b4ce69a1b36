"""Looks into the files of a manifest. Only files that look different from when they were read before are read again."""

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
from batch_upload.documents.inspectors import NOT_STARTED, InspectorPool
from batch_upload.documents.refusals import Refusal, in_other_form
from batch_upload.documents.sniff import is_named_as
from batch_upload.form import limiting_form
from batch_upload.model import Listed
from batch_upload.shortage import shortage_of, through_shortages

LOOK_THREADS = 4
"""Files that are read at once: hashing releases the interpreter's lock, and disks are faster with a queue."""
FILES_PER_HOP = 16
"""Files that a thread reads before it returns its results: a hop costs more than reading a small file."""
RACY_NS = 2_000_000_000
"""A file written so shortly before it was read may be written again within the same tick of its clock, 2 s on the
coarsest file systems (FAT). Like git with its index, the next run reads it again."""
RECENT_MAX = 10_000
"""Digests that are kept for a run without a ledger, so that a file listed under several ids is rarely read twice."""

Recall = Callable[[Sequence[str]], Mapping[str, RememberedDigest]]
"""Returns the remembered digests of files by their resolved paths. A file without one is left out."""


def recall_nothing(_paths: Sequence[str]) -> Mapping[str, RememberedDigest]:
    """Remember no file: every file is read."""
    return {}


class Recent(dict[str, RememberedDigest]):
    """A bounded cache of digests by resolved path: it is emptied before it exceeds RECENT_MAX."""

    def __setitem__(self, path: str, found: RememberedDigest) -> None:
        if len(self) >= RECENT_MAX:
            self.clear()
        super().__setitem__(path, found)


class _RegularFile(NamedTuple):
    """A regular file within the root. `path` is resolved."""

    path: str
    status: os.stat_result


class Looker:
    """Looks into files, a batch at a time. Blocking; used once, as a context manager.

    A file with a remembered digest that looks the same (device, inode, size, modification time) is not opened. It is
    still checked that it exists, is regular and within `root`, and has a good size and extension. LOOK_THREADS threads
    read the others. `fresh` collects the digests that may be remembered, by resolved path; it may hold some already.
    `now_ns` is the wall time in nanoseconds since 1970. `pause` waits so many seconds while a file cannot be opened for
    lack of file descriptors or memory. `looks_inside`: look inside each content, too, once. The insight is remembered
    with the digest; a file whose digest is remembered without an insight is read again.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        recall: Recall,
        now_ns: Callable[[], int],
        fresh: dict[str, RememberedDigest] | None = None,
        pause: Callable[[float], None] = time.sleep,
        looks_inside: bool = False,
    ) -> None:
        self.fresh: dict[str, RememberedDigest] = {} if fresh is None else fresh
        self._root = root
        self._real_root = None if root is None else os.path.realpath(root)
        self._recall = recall
        self._now_ns = now_ns
        self._pause = pause
        self._folders: dict[str, str | None] = {}
        """Resolved folders with a `/` at the end, None for one outside the root: a folder has many files."""
        self._threads = ThreadPoolExecutor(LOOK_THREADS)
        self._inspectors = InspectorPool() if looks_inside else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        if self._inspectors is not None:
            self._inspectors.close()

    def look(self, listed: Sequence[Listed]) -> list[Document | Refusal | None]:
        """Return what is in the file of each, or why it cannot be sent; None for a URL. Raises OutOfResources."""
        files = [self._regular_file(each) for each in listed]
        remembered = self._recall([each.path for each in files if each is not None])
        found: list[Document | Refusal | None] = []
        for each, file in zip(listed, files, strict=True):
            document = None
            known = remembered.get(file.path) or self.fresh.get(file.path) if file is not None else None
            if file is not None and known is not None and known.fingerprint == fingerprint_of(file.status):
                size_bytes = file.status.st_size
                is_known_inside = self._inspectors is None or known.insight is not None
                if (
                    is_known_inside
                    and size_bytes <= each.max_size_bytes
                    and is_named_as(each.source, known.content_type)
                ):
                    insight = None if self._inspectors is None else known.insight
                    document = Document(file.path, known.sha256, size_bytes, known.content_type, insight)
            found.append(document)
        unread = [n for n, each in enumerate(listed) if found[n] is None and each.folder is not None]
        for n, (began_ns, examined) in zip(unread, self._examine([listed[n] for n in unread]), strict=True):
            read, fingerprint = examined
            found[n] = read
            if fingerprint is None or isinstance(read, Refusal) or began_ns - fingerprint.mtime_ns < RACY_NS:
                continue
            insight = None if read.insight is NOT_STARTED else read.insight
            self.fresh[read.path] = RememberedDigest(fingerprint, read.sha256, read.content_type, insight)
        return found

    def _regular_file(self, listed: Listed) -> _RegularFile | None:
        """Find the file of an attachment without opening it; None if it must be examined."""
        if listed.folder is None:
            return None
        text = listed.source if listed.source.startswith("/") else f"{listed.folder}/{listed.source}"
        parent, _, name = text.rpartition("/")
        if parent not in self._folders:
            real = os.path.realpath(parent or "/")
            self._folders[parent] = os.path.join(real, "") if self._is_within(real) else None
        folder = self._folders[parent]
        if folder is None or name in ("", ".", ".."):
            return None
        path = folder + name
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            other = in_other_form(path)
            return None if other is None else self._resolved_file(other)
        except (OSError, ValueError):
            return None
        if stat.S_ISLNK(status.st_mode):
            return self._resolved_file(path)
        return _RegularFile(path, status) if stat.S_ISREG(status.st_mode) else None

    def _resolved_file(self, path: str) -> _RegularFile | None:
        """Find a file by a path that may have links; None if it must be examined."""
        try:
            real = os.path.realpath(path, strict=True)
            status = os.lstat(real)
        except (OSError, ValueError):
            return None
        return _RegularFile(real, status) if self._is_within(real) and stat.S_ISREG(status.st_mode) else None

    def _is_within(self, real: str) -> bool:
        return self._real_root is None or is_in(real, self._real_root)

    def _examine(self, unread: Sequence[Listed]) -> Iterator[tuple[int, Examined]]:
        """Examine files in threads, or in this one if none can be started. Yields when each was begun, in ns, too."""

        look_inside = None if self._inspectors is None else self._inspectors.look_inside

        def examine_all(listed: Sequence[Listed]) -> list[tuple[int, Examined]]:
            folders: Folders = {}
            examined = []
            for each in listed:
                began_ns, path = self._now_ns(), each.path
                if path is None:
                    raise TypeError("a URL has no file")
                look = partial(
                    examine,
                    path,
                    max_size_bytes=each.max_size_bytes,
                    root=self._root,
                    source=each.source,
                    form=limiting_form(each.form, each.max_size_bytes),
                    folders=folders,
                    look_inside=look_inside,
                )
                examined.append((began_ns, through_shortages(look, pause=self._pause)))
            return examined

        size = max(1, min(FILES_PER_HOP, len(unread) // LOOK_THREADS))
        pieces = [unread[n : n + size] for n in range(0, len(unread), size)]
        try:
            found = self._threads.map(examine_all, pieces)
        except RuntimeError as error:
            if shortage_of(error) is None:
                raise
            found = map(examine_all, pieces)
        return chain.from_iterable(found)
