"""Where the bytes of an item come from, once its slot has come."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from batch_upload.documents.at_hand import AtHand
from batch_upload.documents.inspect import read_body
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ChangedSincePlan
from batch_upload.model import Item
from batch_upload.mounts import MOUNTS
from batch_upload.ports import Body
from batch_upload.shortage import shortage_of

READERS = 32
"""Documents that are read at once, at most: on this machine's disk two would do, one far away has many on their way."""
LARGEST_FREED_BYTES = 16 * 1024 * 1024
"""glibc then keeps twice as much at most in each of its arenas; it takes no more than 32 MiB for a measure."""


class DocumentBodies:
    """Implements `ports.Bodies`: takes what is at hand, and reads all else in a thread, since a disk may make one wait.

    Where each document costs two hops between threads, those fight with the event loop for the interpreter's lock: a
    third of an upload of 20 KB. A pool of its own costs half of what `anyio.to_thread` does. To be used as a context
    manager: its threads end with it, once they have read what they are reading. `mounts` is the kernel's table.
    """

    def __init__(self, root: Path | None, *, mounts: Path = MOUNTS) -> None:
        self._root = root
        self._at_hand = AtHand(root, mounts=mounts)
        _keep_freed_memory()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self.hops = 0
        """Documents that a thread had to read so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def read(self, item: Item) -> Body:
        found = self._at_hand.planned(item)
        if found is not None:
            return Body.of(found)  # at once: the next reading takes its place
        self.hops += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, item)
        except (MemoryError, RuntimeError) as error:
            short = shortage_of(error)
            if short is None:
                raise
            short.may_have_left = False
            raise short from error

    def _read(self, item: Item) -> Body:
        self._at_hand.look(item)
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
