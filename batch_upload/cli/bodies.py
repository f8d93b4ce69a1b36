"""Where the bytes of an item come from, once its slot has come."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from batch_upload.documents.inspect import read_body
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ChangedSincePlan
from batch_upload.model import Item
from batch_upload.ports import Body

READERS = 32
"""Documents that are read at once, at most: on this machine's disk two would do, one far away has many on their way."""
LARGEST_FREED_BYTES = 16 * 1024 * 1024
"""glibc then keeps twice as much at most in each of its arenas; it takes no more than 32 MiB for a measure."""


class DocumentBodies:
    """Implements `ports.Bodies`: reads and encodes in a thread, since a disk may make one wait.

    A pool of its own costs half of what `anyio.to_thread` does. To be used as a context manager: its threads end with
    it, once they have read what they are reading.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        _keep_freed_memory()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def read(self, item: Item) -> Body:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, item)

    def _read(self, item: Item) -> Body:
        if item.path is None or item.sha256 is None or item.size_bytes is None:
            raise TypeError("a URL has no body")
        found = read_body(
            item.path,
            sha256=item.sha256,
            size_bytes=item.size_bytes,
            max_size_bytes=item.max_size_bytes,
            root=self._root,
        )
        if isinstance(found, Refusal):
            raise ChangedSincePlan(found.message, code=found.code)
        return Body.of(found)


def _keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next document, instead of giving it back to the system and asking for it
    anew: with 450 KB that is a fifth of an upload's time. It takes the largest piece that was ever freed for the
    measure of what it keeps (mallopt(3), M_MMAP_THRESHOLD); this one is never touched and so never takes memory.
    """
    bytes(LARGEST_FREED_BYTES)
