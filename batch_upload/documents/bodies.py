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

BODY_THREADS = 32
"""Documents that are read at once, at most. A local disk needs two; a remote one has many reads on their way."""
AHEAD_BYTES = 1_000_000
"""Bytes that are read before they are asked for, at most; a larger document is read ahead alone."""
AHEAD_MAX = 32
"""Documents that are read before they are asked for, at most. Half of them are read together: a hop to a thread and
back costs more than reading a small document."""
AHEAD_S = 1.0
"""A document that was read longer ago is read again for its slot, in seconds. So a document that was replaced before a
late slot is noticed, and not sent as it was."""

BodyOrFault = Body | ChangedSincePlan | OutOfResources


class DocumentReader:
    """The threads that read documents for all lanes of a run. A context manager: they end after their current reads.

    `lanes` lanes together read AHEAD_BYTES ahead at most, but for a document each.
    """

    def __init__(self, *, lanes: int = 1) -> None:
        self._threads = ThreadPoolExecutor(BODY_THREADS, thread_name_prefix="reader")
        self._ahead_bytes = AHEAD_BYTES // max(1, lanes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def bodies(self, root: Path | None, *, monotonic: Callable[[], float] = time.monotonic) -> "DocumentBodies":
        """Return the documents of one lane, as `DocumentBodies` takes `root` and `monotonic`."""
        return DocumentBodies(root, self._threads, ahead_bytes=self._ahead_bytes, monotonic=monotonic)


class DocumentBodies:
    """Implements `ports.Bodies` for one lane. Made by `DocumentReader.bodies`.

    `hops` counts how often work was given to a thread. `root` is the folder that must contain the documents, as in
    `examine`. `monotonic` gives seconds of a clock that is never set back.
    """

    def __init__(
        self, root: Path | None, threads: ThreadPoolExecutor, *, ahead_bytes: int, monotonic: Callable[[], float]
    ) -> None:
        self._root = root
        self._monotonic = monotonic
        self._threads = threads
        self._ahead_bytes_max = ahead_bytes
        self._expected: dict[str, Item] = {}
        # by token: the hop, and when it began
        self._ahead: dict[str, tuple[asyncio.Future[dict[str, BodyOrFault]], float]] = {}
        self._ahead_max = self._ahead_bytes = 0
        self.hops = 0

    def expect(self, items: Iterable[Item], *, at_once: int) -> None:
        self._expected = {item.client_token: item for item in items if item.folder is not None}
        self._ahead_max = min(4 * at_once, AHEAD_MAX)

    async def read(self, item: Item) -> Body:
        token = item.client_token
        self._expected.pop(token, None)
        self._read_ahead()
        found: BodyOrFault | None = None
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
        """Start a hop for the next expected documents while less than half of what may be ahead is waiting."""
        most, most_bytes = self._ahead_max // 2, self._ahead_bytes_max // 2
        while self._expected and len(self._ahead) <= most and self._ahead_bytes <= most_bytes:
            items: list[Item] = []
            hop_bytes = 0
            for item in islice(self._expected.values(), max(1, most)):
                hop_bytes += item.size_bytes or 0
                if items and hop_bytes > most_bytes:
                    break
                items.append(item)
            try:
                hop, began_at = self._hop(items), self._monotonic()
            except OutOfResources:
                return  # raised again when one of them is asked for
            for item in items:
                self._ahead[item.client_token] = hop, began_at
                self._ahead_bytes += item.size_bytes or 0
                del self._expected[item.client_token]

    def _hop(self, items: Sequence[Item]) -> asyncio.Future[dict[str, BodyOrFault]]:
        self.hops += 1
        try:
            return asyncio.get_running_loop().run_in_executor(self._threads, self._read_all, items)
        except (MemoryError, RuntimeError) as error:
            raise _shortage_before_sending(error) from error

    def _read_all(self, items: Sequence[Item]) -> dict[str, BodyOrFault]:
        folders: Folders = {}
        read: dict[str, BodyOrFault] = {}
        for item in items:
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
                if isinstance(found, Refusal):
                    read[item.client_token] = ChangedSincePlan(found.message, code=found.code)
                else:
                    read[item.client_token] = Body.of(found)
            except (MemoryError, OutOfResources) as error:
                read[item.client_token] = _shortage_before_sending(error)
        return read


def _shortage_before_sending(error: Exception) -> OutOfResources:
    """Return the shortage that an error means, when nothing was sent. Raise the error if it means none."""
    short = shortage_of(error)
    if short is None:
        raise error
    short.may_have_left = False
    return short
