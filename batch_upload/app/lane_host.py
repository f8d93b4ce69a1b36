"""What the lanes of one process share, and the run of one of them on it.

A `Session` runs all lanes of a manifest side by side; a worker of a fleet runs the lanes that it is given.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import anyio

from batch_upload.app.interruption import Interruption
from batch_upload.app.items import LanePart
from batch_upload.app.lane_run import LANES_STARTING, LaneRun, RunEnd, RunScope
from batch_upload.app.lanes import OfTarget, SharedAccess, is_of_lane, shared_access
from batch_upload.app.listing import Listings
from batch_upload.clock import SystemClock
from batch_upload.documents.bodies import DocumentReader
from batch_upload.errors import BatchUploadError, ExitCode, LedgerOfAnotherLane, ManifestInvalid
from batch_upload.events import LaneEnded
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import LedgerAddress
from batch_upload.ports import Ledger
from batch_upload.summary import Exit, new_run_id

HINT = "hint: "
"""Begins the note of a summary that says what to do."""


@dataclass(slots=True)
class LaneHost:
    """What the lanes of one process share: a ledger and its writer, threads that read documents, access to accounts."""

    ledger: Ledger
    shared: SharedAccess = field(default_factory=SharedAccess)
    reader: DocumentReader = field(default_factory=DocumentReader)
    starting: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(LANES_STARTING))
    listings: Listings = field(default_factory=Listings)
    _running: list[Interruption] = field(default_factory=list)
    _interrupted: tuple[ExitCode, str] | None = None

    def scope(self, scope: RunScope) -> RunScope:
        """Return the scope of a run whose lanes run on this host."""
        return replace(
            scope, shared=self.shared, reader=self.reader, starting=self.starting, read_again=self.read_again
        )

    async def read_again(self, part: LanePart) -> LanePart:
        """Return what a lane gets of its manifest now, with its files read. Raises as `Listings.part_again`."""
        found = await self.listings.part_again(part)
        if found.prepared.fresh:
            await self.ledger.remember_digests(found.prepared.fresh)
        return found

    def interrupt(self, code: ExitCode, name: str) -> None:
        """End the work of all lanes that run, and of those that begin later. `name` says why, such as `SIGTERM`."""
        self._interrupted = code, name
        for each in tuple(self._running):
            each.interrupt(code, name)

    @contextmanager
    def interrupting(self, run: LaneRun[RunEnd]) -> Iterator[None]:
        """Hand `interrupt` on to a lane's run within the block."""
        self._running.append(run.interruption)
        if self._interrupted is not None:
            run.interruption.interrupt(*self._interrupted)
        try:
            yield
        finally:
            self._running.remove(run.interruption)

    async def run_lane(self, run: LaneRun[RunEnd]) -> RunEnd:
        """Do the work of one lane of several, and notify its listener of the end.

        An error that concerns this lane alone (`is_of_lane`) is its end, and so is a manifest that became invalid while
        the lane was waited for; any other error is raised.
        """
        label = run.part.target.label or ""
        writer = await self.ledger.writer(label)
        with self.interrupting(run):
            try:
                end = await run.run(writer)
            except BatchUploadError as error:
                if not (is_of_lane(error) or isinstance(error, ManifestInvalid)):
                    raise
                counted = run.counted(Exit(error.exit_code, error.message))
                if isinstance(error, LedgerOfAnotherLane):  # what the ledger has for the target is another lane's
                    counted = run.summed_up({}, counted.exit)
                if error.hint:
                    counted = replace(counted, notes=(f"{HINT}{error.hint}",))
                end = run.ended_early(counted)
            if end.summary.items != run.prepared.total:
                end = run.ended_early(await run.counted_by_ledger(writer, end.summary))
        ending, notes = end.summary.exit, end.summary.notes
        hint = next((note.removeprefix(HINT) for note in notes if note.startswith(HINT)), "")
        run.listener.notify(LaneEnded(int(ending.code), ending.reason, hint, run.clock.now()))
        return end


@asynccontextmanager
async def lane_host(ledger: Ledger, parts: Sequence[OfTarget]) -> AsyncIterator[LaneHost]:
    """Open what these lanes share. The ledger stays open at the end."""
    async with shared_access(parts, reads_only=False) as shared:
        with DocumentReader(lanes=len(parts)) as reader:
            yield LaneHost(ledger, shared, reader)


@asynccontextmanager
async def open_lane_host(address: LedgerAddress, *, lanes: int, wait_lock_s: float) -> AsyncIterator[LaneHost]:
    """Open a ledger, and what up to `lanes` lanes of one process share, whatever their manifests.

    `wait_lock_s`: how long to wait for another holder of the ledger, or of a lane. Raises as `open_ledger`.
    """
    from batch_upload.service.accounts import Accounts  # the SDK

    clock = SystemClock()
    ledger = await open_ledger(address, run_id=new_run_id(clock.now()), clock=clock, wait_lock_s=wait_lock_s)
    try:
        async with Accounts() as accounts:
            with DocumentReader(lanes=lanes) as reader:
                yield LaneHost(ledger, SharedAccess(accounts), reader)
    finally:
        await ledger.close()
