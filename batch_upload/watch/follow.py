"""A page that keeps up with a ledger which others write, however it comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import anyio

from batch_upload.app.ledger_view import LedgerView, holder, view_ledger
from batch_upload.errors import LedgerUnusable, ManifestInvalid
from batch_upload.ledger import find_reader
from batch_upload.ports import LedgerReader
from batch_upload.report.page.board import json_chunks
from batch_upload.report.page.document import document, policy
from batch_upload.settings import RunOptions
from batch_upload.watch.page import Page, now, title_of

T = TypeVar("T")

POLL_S = 1.0
"""How often the ledger is asked whether somebody has written: a question that reads one page of it."""
EASE = 4
"""A look that takes long is followed by a pause so many times as long: a large ledger is not read all the time."""
PATIENCE = 5
"""Looks in a row at which a ledger may be unusable: one that is being made is for a moment."""


class Follower:
    """The page of a manifest and its ledger as they are. To be made, used and closed in one thread.

    Raises ManifestInvalid, UsageError and LedgerUnusable where there is nothing to begin with.
    """

    def __init__(self, path: Path, options: RunOptions, *, repeated: Sequence[str] = ()) -> None:
        self._path = path
        self._options = options
        self._repeated = repeated
        self._reader: LedgerReader | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        self._run_id: str | None = None
        self._troubles = 0
        self.found: LedgerView = view_ledger(path, options)
        self.page = Page.of(self.found, repeated, None, at=now())
        self.look()

    def close(self) -> None:
        """May be called twice."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._version = None, None

    def look(self) -> bool:
        """Take in what was written since the last look. Whether there was anything.

        Raises LedgerUnusable when it was so for `PATIENCE` looks.
        """
        try:
            is_new = self._looked()
        except LedgerUnusable:
            self.close()
            self._troubles += 1
            if self._troubles >= PATIENCE:
                raise
            return False
        self._troubles = 0
        return is_new

    def html(self) -> str:
        """The page as it stands."""
        return "".join(document(json_chunks(self.page.board.since(0)), title=title_of(self.found), live=True))

    def since(self, revision: int) -> tuple[int, str]:
        """The revision now, and what has changed since the given one, as JSON on one line."""
        board = self.page.board
        return board.revision, "".join(json_chunks(board.since(revision)))

    def _looked(self) -> bool:
        if self._is_another_file() or (self._reader is not None and self._reader.is_overtaken()):
            was_there = self._reader is not None
            self.close()
            self._reader = find_reader(self.found.settings.ledger)
            if self._reader is None:
                return was_there and self._made_anew()
        reader = self._reader
        if reader is None:
            return False
        version = reader.version()
        if version == self._version and self.page.is_held == (holder(self.found.settings.ledger) is not None):
            return False
        self._version = version  # as of before the reading: what is written meanwhile is seen at the next look
        if self._is_another_run(reader) or not self.page.keep_up(reader, now()):
            return self._made_anew()
        return True

    def _is_another_file(self) -> bool:
        """A ledger may come, be moved away, and be replaced by a backup."""
        try:
            found = self.found.settings.ledger.stat()
        except OSError:
            file = None
        else:
            file = (found.st_dev, found.st_ino)
        before, self._file = self._file, file
        return file != before or (file is not None and self._reader is None)

    def _is_another_run(self, reader: LedgerReader) -> bool:
        runs = reader.runs(self.found.manifest.batch, limit=1)
        run_id = runs[0].run_id if runs else None
        before, self._run_id = self._run_id, run_id
        return run_id != before

    def _made_anew(self) -> bool:
        """A new run may have another manifest: all is read again. One that cannot be read now stays as it was."""
        reader = self._reader
        marks = [] if reader is None else reader.marks(self.found.manifest.batch)
        try:
            found = view_ledger(self._path, self._options)
        except ManifestInvalid:
            found = self._read_again(reader)
        if found.settings.ledger != self.found.settings.ledger:
            self.close()
            reader = None
        self.found = found
        self.page = Page.of(found, self._repeated, reader, after_revision=self.page.board.revision, at=now())
        self.page.knows(marks)
        return True

    def _read_again(self, reader: LedgerReader | None) -> LedgerView:
        """The same items; what the ledger knows of them is asked anew by whoever goes through them."""
        return replace(self.found, lane=None if reader is None else reader.lane())


class Live:
    """A follower for the event loop, which it keeps off: all its work is done in a thread of its own.

    Implements `watch.serve.Showing`.
    """

    def __init__(self, thread: ThreadPoolExecutor, follower: Follower) -> None:
        self._thread = thread
        self._follower = follower
        self._revision = follower.page.board.revision
        self._news = anyio.Event()
        self.policy = policy(live=True)

    @property
    def follower(self) -> Follower:
        """For when nobody follows any more."""
        return self._follower

    async def page(self) -> bytes:
        return (await _in(self._thread, self._follower.html)).encode()

    async def since(self, revision: int) -> tuple[int, str]:
        return await _in(self._thread, lambda: self._follower.since(revision))

    async def news(self, revision: int) -> None:
        while self._revision == revision:
            await self._news.wait()

    async def follow(self) -> None:
        """Look again and again, until cancelled. Raises LedgerUnusable."""
        while True:
            began = anyio.current_time()
            if await _in(self._thread, self._follower.look):
                self._revision = self._follower.page.board.revision
                self._news.set()
                self._news = anyio.Event()
            await anyio.sleep(max(POLL_S, EASE * (anyio.current_time() - began)))


@asynccontextmanager
async def following(path: Path, options: RunOptions, *, repeated: Sequence[str] = ()) -> AsyncIterator[Live]:
    """Follow a manifest's ledger. `repeated` are the flags that the page's commands repeat. Raises as `Follower`."""
    thread = ThreadPoolExecutor(1, "follow")
    try:
        follower = await _in(thread, lambda: Follower(path, options, repeated=repeated))
        try:
            yield Live(thread, follower)
        finally:
            thread.submit(follower.close)
    finally:
        thread.shutdown(wait=True)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
