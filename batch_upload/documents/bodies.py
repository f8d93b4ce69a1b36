"""The bytes of documents, read by threads a little ahead of the slots that they are sent in."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from batch_upload.documents.inspect import Folders, read_body
from batch_upload.documents.refusals import Refusal
from batch_upload.errors import ChangedSincePlan, OutOfResources
from batch_upload.model import Item
from batch_upload.ports import Body
from batch_upload.shortage import shortage_of

READERS = 32
"""Documents that are read at once, at most: on this machine's disk two would do, one far away has many on their way."""
AHEAD_BYTES = 1_000_000
"""Of documents that are read before they are asked for, at most; a larger one alone."""
AHEAD_MAX = 32
"""Documents that are read before they are asked for, at most. Half of them are read together: a hop to a thread and
back costs more than to read a small document."""

AHEAD_S = 1.0
"""A document that was read longer ago is read again for its slot, in seconds: where slots are rare, a document that is
replaced meanwhile is noticed, and not sent as it was."""

Found = Body | ChangedSincePlan | OutOfResources


class DocumentBodies:
    """Implements `ports.Bodies`. A context manager: its threads end with it, once they have read what they are reading.

    `hops` counts how often a thread was asked. `root` is the folder that must hold the documents, as in `inspect`.
    `monotonic` gives seconds of a clock that is never set back.
    """

    def __init__(self, root: Path | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._monotonic = monotonic
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self._expected: dict[str, Item] = {}
        self._ahead: dict[str, tuple[asyncio.Future[dict[str, Found]], float]] = {}  # token -> hop, and its beginning
        self._ahead_max = self._ahead_bytes = 0
        self.hops = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        self._expected = {item.client_token: item for item in items if item.folder is not None}
        self._ahead_max = min(4 * at_once, AHEAD_MAX)

    async def read(self, item: Item) -> Body:
        token = item.client_token
        self._expected.pop(token, None)
        self._read_ahead()
        found: Found | None = None
        if token in self._ahead:
            hop, began_at = self._ahead[token]
            found = (hop.result() if hop.done() else await asyncio.shield(hop)).pop(token)
            del self._ahead[token]
            self._ahead_bytes -= item.size_bytes or 0
            if isinstance(found, OutOfResources) or self._monotonic() - began_at > AHEAD_S:
                found = None  # a shortage may be over by now
        if found is None:
            found = (await self._hop([item]))[token]
        if isinstance(found, Body):
            return found
        raise found

    def _read_ahead(self) -> None:
        """Begin to read what is expected next, as soon as there is room for a whole hop of it."""
        while items := self._next_hop():
            try:
                hop, began_at = self._hop(items), self._monotonic()
            except OutOfResources:
                return  # whoever asks for one of them hears of it
            for item in items:
                self._ahead[item.client_token] = hop, began_at
                self._ahead_bytes += item.size_bytes or 0
                del self._expected[item.client_token]

    def _next_hop(self) -> list[Item]:
        """What to read together now; nothing as long as half of what may wait is waiting."""
        items: list[Item] = []
        hop_bytes, most, most_bytes = 0, self._ahead_max // 2, AHEAD_BYTES // 2
        if len(self._ahead) > most or self._ahead_bytes > most_bytes:
            return items
        for item in islice(self._expected.values(), most):
            hop_bytes += item.size_bytes or 0
            if items and hop_bytes > most_bytes:
                break
            items.append(item)
        return items

    def _hop(self, items: Sequence[Item]) -> asyncio.Future[dict[str, Found]]:
        self.hops += 1
        try:
            return asyncio.get_running_loop().run_in_executor(self._readers, self._read_all, items)
        except (MemoryError, RuntimeError) as error:
            raise _short(error) from error

    def _read_all(self, items: Sequence[Item]) -> dict[str, Found]:
        folders: Folders = {}
        return {item.client_token: self._read(item, folders) for item in items}

    def _read(self, item: Item, folders: Folders) -> Found:
        path, sha256 = item.path, item.sha256
        if path is None or sha256 is None or item.size_bytes is None:
            raise TypeError("a URL has no body")
        try:
            found = read_body(
                path,
                sha256=sha256,
                size_bytes=item.size_bytes,
                max_size_bytes=item.max_size_bytes,
                root=self._root,
                folders=folders,
            )
            return ChangedSincePlan(found.message, code=found.code) if isinstance(found, Refusal) else Body.of(found)
        except (MemoryError, OutOfResources) as error:
            return _short(error)


def _short(error: Exception) -> OutOfResources:
    """The shortage that an error means: before anything was sent. Raises the error where it means none."""
    short = shortage_of(error)
    if short is None:
        raise error
    short.may_have_left = False
    return short
