"""A live page: follows a ledger that other processes create, write, move away or replace."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import anyio

from batch_upload.app.lanes import of_target
from batch_upload.app.ledger_view import LedgerView, holder, view_lanes, view_ledger
from batch_upload.errors import LedgerUnusable, ManifestInvalid
from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Lane
from batch_upload.ports import LedgerReader
from batch_upload.report.page.board import json_chunks
from batch_upload.report.page.document import document, policy
from batch_upload.report.summary_text import Invocation
from batch_upload.settings import RunOptions
from batch_upload.watch.lanes_page import LanesPage, pages_of_lanes
from batch_upload.watch.page import Page, title_of

_Result = TypeVar("_Result")

NO_FLAGS = Invocation("")
LEDGER_POLL_S = 1.0
"""Between two looks at the ledger's version number: a query that reads one page of it."""
PAUSE_FACTOR = 4
"""A pause lasts at least so many times as long as the look before it: a large ledger is not read all the time."""
UNUSABLE_LOOKS_MAX = 5
"""Looks in a row at which a ledger may be unusable: that can happen for a moment while it is created."""


class Follower:
    """The page of a manifest and its ledger as they are. Create, use and close it in one thread.

    Raises ManifestInvalid, UsageError and LedgerUnusable where there is nothing to begin with.
    """

    def __init__(self, path: LedgerAddress, options: RunOptions, *, invocation: Invocation = NO_FLAGS) -> None:
        self._path = path
        self._options = options
        self._invocation = invocation
        self._reader: LedgerReader | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        self._run: tuple[str | None, bool] = (None, False)
        self._unusable_looks = 0
        self._parts: tuple[set[Lane], set[tuple[Lane | None, str]]] | None = None
        self.found: Sequence[LedgerView] = _views(path, options)
        self.page = self._made_page(None)
        self.look()

    def close(self) -> None:
        """Close the ledger. May be called twice."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._version = None, None

    def look(self) -> bool:
        """Take in what was written since the last look, and return whether there was anything.

        Raises LedgerUnusable at the `UNUSABLE_LOOKS_MAX`th look in a row at which it is unusable.
        """
        try:
            is_new = self._update()
        except LedgerUnusable:
            self.close()
            self._unusable_looks += 1
            if self._unusable_looks >= UNUSABLE_LOOKS_MAX:
                raise
            return False
        self._unusable_looks = 0
        return is_new

    def html(self) -> str:
        """Return the page as it is now."""
        return "".join(document(json_chunks(self.page.board.since(0)), title=title_of(self.found[0]), live=True))

    def since(self, revision: int) -> tuple[int, str]:
        """Return the revision now, and what has changed since the given one, as JSON on one line."""
        board = self.page.board
        return board.revision, "".join(json_chunks(board.since(revision)))

    def _update(self) -> bool:
        if self._is_another_file() or (self._reader is not None and self._reader.is_overtaken()):
            had_reader = self._reader is not None
            self.close()
            self._reader = find_reader(self.ledger)
            if self._reader is None and had_reader:
                self._rebuild()
                return True
        reader = self._reader
        if reader is None:
            return False
        version = reader.version()
        if version == self._version and self.page.is_held == (holder(self.ledger, reader.holds()) is not None):
            return False
        self._version = version  # as of before the reading: what is written meanwhile is seen at the next look
        latest = [
            run
            for view, each in zip(self.found, self._readers(reader), strict=True)
            for run in each.runs(view.manifest.batch, limit=1)
        ]
        last = max(latest, key=lambda run: run.began_at, default=None)
        before, self._run = self._run, (last.run_id if last else None, last is not None and last.ended_at is not None)
        is_new = self._run[0] != before[0]  # it may have another manifest, so everything is read again
        has_ended = self._run != before
        if (
            is_new
            or (has_ended and self._has_other_problems())
            or self._has_other_parts(reader)
            or not self._keep_up(reader)
        ):
            self._rebuild()
        return True

    def _has_other_problems(self) -> bool:
        """Return whether the run that has ended left out items that the page does not show as invalid."""
        try:
            found = _views(self._path, self._options)
        except ManifestInvalid:
            return False
        return [each.problems for each in found] != [each.problems for each in self.found]

    def _has_other_parts(self, reader: LedgerReader) -> bool:
        """Return whether a ledger in place of the manifest has a lane or batch that it had not before."""
        if not self.found[0].is_ledger_alone:
            return False
        before = self._parts
        batches = {(each.lane(), batch) for each in self._readers(reader) for batch in each.batches()}
        self._parts = ({lane for _, lane in reader.lanes()}, batches)
        return before is not None and before != self._parts

    def _is_another_file(self) -> bool:
        if isinstance(self.ledger, PostgresUrl):
            return self._reader is None
        try:
            found = self.ledger.stat()
        except OSError:
            file = None
        else:
            file = (found.st_dev, found.st_ino)
        before, self._file = self._file, file
        return file != before or (file is not None and self._reader is None)

    def _rebuild(self) -> None:
        """Read manifest and ledger again. A manifest that cannot be read now stays as it was."""
        reader = self._reader
        marks = {
            (view.target.label, view.manifest.batch): each.marks(view.manifest.batch)
            for view, each in zip(self.found, self._readers(reader), strict=reader is not None)
        }
        try:
            found: Sequence[LedgerView] = _views(self._path, self._options)
        except ManifestInvalid:
            # the same items; their rows read the ledger again
            lanes = [each.lane() for each in self._readers(reader)] or [None] * len(self.found)
            found = [replace(each, lane=lane) for each, lane in zip(self.found, lanes, strict=True)]
        if found[0].settings.ledger != self.ledger:
            self.close()
            reader = None
        after = self.page.board.revision
        self.found = found
        self.page = self._made_page(reader, after_revision=after)
        before = [marks.get((each.target.label, each.manifest.batch), []) for each in found]
        if isinstance(self.page, LanesPage):
            self.page.compare_with(before)
        else:
            self.page.compare_with(before[0])

    def _made_page(self, reader: LedgerReader | None, *, after_revision: int = 0) -> Page | LanesPage:
        """Return the page as manifest and ledger are now."""
        at, found = datetime.now(UTC), self.found
        if len(found) == 1 and found[0].target.label is None:
            return Page.of(found[0], self._invocation, reader, at=at, after_revision=after_revision)
        lanes = pages_of_lanes(found, reader)
        return LanesPage.of(lanes, self._invocation, at=at, after_revision=after_revision)

    def _keep_up(self, reader: LedgerReader) -> bool:
        """Show what has changed; return False where the page must be built again."""
        at = datetime.now(UTC)
        if isinstance(self.page, LanesPage):
            return self.page.keep_up(self._readers(reader), at)
        return self.page.keep_up(reader, at)

    @property
    def ledger(self) -> LedgerAddress:
        """The ledger, as manifest and options name it."""
        return self.found[0].settings.ledger

    def _readers(self, reader: LedgerReader | None) -> list[LedgerReader]:
        """Return the reader of each lane; none without a ledger."""
        return [] if reader is None else [of_target(reader, each.target) for each in self.found]


def _views(path: LedgerAddress, options: RunOptions) -> Sequence[LedgerView]:
    """Return the lanes of a manifest, or the batches of each lane of a database in its place.

    Of a lane whose last run has ended, look into the files of the items that it left out.
    """
    if isinstance(path, PostgresUrl):
        return view_ledger(path, options)
    found = view_lanes(path, options)
    return [each.looked_into() if each.last_run and each.last_run.ended_at else each for each in found]


class LivePage:
    """A follower for the event loop: all its work is done in a thread of its own. A `watch.serve.PageSource`."""

    def __init__(self, thread: ThreadPoolExecutor, follower: Follower) -> None:
        self._thread = thread
        self._follower = follower
        self._revision = follower.page.board.revision
        self._changed = anyio.Event()
        self.policy = policy(live=True)

    @property
    def follower(self) -> Follower:
        """The follower, to be read only after `follow` has ended."""
        return self._follower

    async def page(self) -> bytes:
        return (await _run_in(self._thread, self._follower.html)).encode()

    async def since(self, revision: int) -> tuple[int, str]:
        return await _run_in(self._thread, lambda: self._follower.since(revision))

    async def wait_for_change(self, revision: int) -> None:
        while self._revision == revision:
            await self._changed.wait()

    async def follow(self) -> None:
        """Look again and again, until cancelled. Raises LedgerUnusable."""
        while True:
            began = anyio.current_time()
            if await _run_in(self._thread, self._follower.look):
                self._revision = self._follower.page.board.revision
                self._changed.set()
                self._changed = anyio.Event()
            await anyio.sleep(max(LEDGER_POLL_S, PAUSE_FACTOR * (anyio.current_time() - began)))


@asynccontextmanager
async def live_page(
    path: LedgerAddress, options: RunOptions, *, invocation: Invocation = NO_FLAGS
) -> AsyncIterator[LivePage]:
    """Open the live page of a manifest, or of a database in its place. Raises as `Follower`.

    `invocation`: for the page's commands.
    """
    thread = ThreadPoolExecutor(1, "follow")
    try:
        follower = await _run_in(thread, lambda: Follower(path, options, invocation=invocation))
        try:
            yield LivePage(thread, follower)
        finally:
            thread.submit(follower.close)
    finally:
        thread.shutdown(wait=True)


async def _run_in(thread: ThreadPoolExecutor, work: Callable[[], _Result]) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
