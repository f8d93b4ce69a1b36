"""What `upload`, `reconcile` and `prune` share: a ledger that is locked, a lane that is reached, signals, a summary."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from batch_upload.app.exits import made_visible
from batch_upload.app.items import Prepared, ready
from batch_upload.app.lane import Reached, reach
from batch_upload.cli.asking import asker
from batch_upload.cli.audience import Everybody, audience_of
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.interrupted import Stopped
from batch_upload.cli.output import Ended, Output, Repeated, failure
from batch_upload.cli.recorded import state_of
from batch_upload.cli.signals import Interrupts
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import task_group, time_limit
from batch_upload.engine.lane import Stop, StopKind, Withheld
from batch_upload.engine.run import DRAIN_S
from batch_upload.engine.tally import Tally
from batch_upload.errors import (
    AccessFault,
    BatchUploadError,
    ExitCode,
    LedgerLocked,
    LedgerUnusable,
    ManifestInvalid,
    UsageError,
)
from batch_upload.events import LaneStopped, Notice
from batch_upload.ledger.store import SqliteLedger, open_ledger
from batch_upload.model import Fault, Known, Lane, Manifest
from batch_upload.settings import Settings
from batch_upload.summary import Exit, Summary, exit_of

TICK_S = 1.0
UNREACHED_HINT = "look at the network, a proxy and AWS's health page; `batch-upload doctor` checks each step of the way"
REMEMBERED_AT_ONCE = 10_000
"""So many digests are handed to the ledger at a time."""


Read = Callable[[], tuple[Prepared, Settings]]


class OnLane(ABC):
    """One run of a verb over one lane. To be made on the event loop; used once.

    `read` reads the manifest and its files once more, and gives them with the settings.
    """

    verb: str

    def __init__(
        self,
        prepared: Prepared,
        settings: Settings,
        output: Output,
        repeated: Repeated,
        *,
        started: float,
        read: Read,
    ) -> None:
        self.prepared = prepared
        self.settings = settings
        self.output = output
        self.started = started
        self.clock = SystemClock()
        self.run_id = output.witnesses.run_id
        self.tally = Tally()
        self.audience = audience_of(output)
        self.interrupts = Interrupts(at_once=self.audience.close)
        self.unreached_for_s: float | None = None
        self._repeated = repeated
        self._read = read
        self._lane: Lane | None = None

    @abstractmethod
    async def work(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        """Do the verb's work on a lane that has said whose it is. May raise BatchUploadError."""

    async def run(self) -> Ended:
        """The verb from lock to summary. An error ends it with a summary that counts what was asked until then."""
        async with task_group() as group:
            await group.start(self.interrupts.watch)
            group.start_soon(self.beside)
            try:
                ended = await self._until_interrupted()
            finally:
                self.audience.close()
                group.cancel_scope.cancel()
        return replace(ended, repeated=self._repeated)

    async def beside(self) -> None:
        """A tick a second for who draws, until cancelled."""
        while True:
            await anyio.sleep(TICK_S)
            self.audience.tick(self.clock.now())

    @property
    def batch(self) -> str:
        return self.prepared.manifest.batch

    @property
    def observer(self) -> Everybody:
        """Counts, then tells."""
        return Everybody([self.tally], self.audience)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return counting_s() - self.started

    def deadline_s(self) -> float | None:
        """What is left of `--deadline`, which began with the command."""
        if self.settings.deadline_s is None:
            return None
        return max(0.0, self.settings.deadline_s - self.elapsed_s)

    def time_limit_s(self) -> float | None:
        """After so many seconds the work is cut off: what is in flight at the deadline has a while to end."""
        deadline_s = self.deadline_s()
        return None if deadline_s is None else deadline_s + DRAIN_S

    @contextmanager
    def draining(self, reached: Reached) -> Iterator[None]:
        """Until the end of the block, a signal lets what is in flight end, DRAIN_S at most, and leaves the block.

        Nothing new is sent from the signal on. What comes after the block records and sums up what was done.
        """
        with anyio.CancelScope() as scope, suppress(Withheld):

            def drain(signal_name: str) -> None:
                fault = Fault("Interrupted", f"stopped by {signal_name}")
                if reached.control.stop_with(Stop(StopKind.SIGNAL, fault)):
                    event = LaneStopped(fault, draining=False, resume_after=None, at=self.clock.now())
                    self.audience.notify(event)
                scope.deadline = anyio.current_time() + DRAIN_S

            self.interrupts.drain_with(drain)
            yield

    def counted(self, code: ExitCode) -> Summary:
        """A summary of what was asked so far, without a word about items."""
        return Summary(
            verb=self.verb,
            exit=exit_of(code),
            run_id=self.run_id,
            batch=self.batch,
            account=self._lane.account if self._lane else None,
            region=self._lane.region if self._lane else None,
            adopted=self.tally.adopted,
            requests=dict(self.tally.requests),
            throttled=self.tally.throttled,
            elapsed_s=self.elapsed_s,
            unreached_for_s=self.unreached_for_s,
        )

    def summed_up(self, stock: Mapping[str, Known], ending: Exit) -> Summary:
        """A summary that counts every item of the manifest by what the ledger knows of it, by item id."""
        states = Counter(state_of(stock.get(item.item_id)).value for item in self.prepared.items)
        return replace(self.counted(ending.code), exit=ending, states=states, items=len(self.prepared.items))

    async def _until_interrupted(self) -> Ended:
        with self.interrupts.scope:
            try:
                return await self._on_lane()
            except BatchUploadError as error:
                return failure(error, self.output, self.counted(error.exit_code))
        return Ended(self.counted(self.interrupts.code or ExitCode.OUR_FAULT))

    async def _on_lane(self) -> Ended:
        async with AsyncExitStack() as stack:
            ledger = await self._open_ledger()
            stack.push_async_callback(ledger.close)
            try:
                await self._remember(ledger)
                ended = await self._reached_and_worked(stack, ledger)
            except BatchUploadError as error:
                failed = await self._visible_error(ledger, error)
                await self._record_error(ledger, failed)
                raise failed from error
            except BaseException as error:
                await self._record_error(ledger, error)
                raise
            if ended is None:
                await self._record_end(ledger, exit_of(ExitCode.DEADLINE))
            return ended or Ended(self.counted(ExitCode.DEADLINE))

    async def _reached_and_worked(self, stack: AsyncExitStack, ledger: SqliteLedger) -> Ended | None:
        """How the verb's work on the lane ended; None where the deadline cut it off."""
        reached = await self._reach(stack, ledger)
        if reached is None:
            return None
        self._lane = reached.lane
        ended: Ended | None = None
        async with time_limit(self.time_limit_s(), self.clock):
            ended = await self.work(ledger, reached)
        return ended

    async def _open_ledger(self) -> SqliteLedger:
        """The ledger, held by this run.

        After a wait for its lock the manifest and its files are read again, since they may have changed meanwhile.
        Raises as `open_ledger`, and ManifestInvalid, which is recorded as a run, for what they have become.
        """
        while True:
            path, wait_s = self.settings.ledger, self._wait_lock_s()
            try:
                return await open_ledger(path, run_id=self.run_id, clock=self.clock)
            except LedgerLocked as error:
                if wait_s <= 0:
                    raise
                self.audience.notify(Notice(f"{error.message}; waiting for it to end", self.clock.now()))
            ledger = await open_ledger(path, run_id=self.run_id, clock=self.clock, wait_lock_s=wait_s)
            try:
                # a thread that reads on is left to itself at a signal: it holds no lock
                self.prepared, self.settings = await to_thread.run_sync(self._read, abandon_on_cancel=True)
            except BaseException as error:
                await self._record_error(ledger, error)
                await ledger.close()
                raise
            if self.settings.ledger == path:
                return ledger
            await ledger.close()  # the manifest names another one now

    async def visible(self, ledger: SqliteLedger, ending: Exit) -> Exit:
        """The exit as it is told (`made_visible`). Notes for the summary how long no run has got an answer."""
        if ending.code is not ExitCode.TRANSIENT:
            return ending
        since = await ledger.failing_since()
        seen, self.unreached_for_s = made_visible(ending, failing_since=since, now=self.clock.now())
        return seen

    async def _visible_error(self, ledger: SqliteLedger, error: BatchUploadError) -> BatchUploadError:
        """The error as it is told: what has passed for transient for a day is a fault of access."""
        seen = await self.visible(ledger, Exit(error.exit_code, error.message))
        if seen.code is error.exit_code:
            return error
        return AccessFault(seen.reason, code="Unreached", hint=error.hint or UNREACHED_HINT)

    async def _record_error(self, ledger: SqliteLedger, error: BaseException) -> None:
        """Record that an error ended the run, or the signal that cancelled it. A usage error is no run."""
        match error:
            case UsageError():
                return
            case BatchUploadError():
                ending = Exit(error.exit_code, error.message)
            case _:
                ending = exit_of(self.interrupts.code or ExitCode.OUR_FAULT)
        with anyio.move_on_after(DRAIN_S, shield=True):
            await self._record_end(ledger, ending)

    async def _record_end(self, ledger: SqliteLedger, ending: Exit) -> None:
        """Record the end of the run. A ledger that cannot be written does not change it."""
        summary = replace(self.counted(ending.code), exit=ending)
        now = self.clock.now()
        with suppress(LedgerUnusable):
            await ledger.record_end(
                self.run_id,
                verb=self.verb,
                batch=self.batch,
                began_at=now - timedelta(seconds=self.elapsed_s),
                exit_code=ending.code,
                summary=summary.as_json(),
                at=now,
            )

    async def _remember(self, ledger: SqliteLedger) -> None:
        """Hand what was read in files to the ledger, and let go of it: what comes now needs the room."""
        fresh = self.prepared.fresh
        while fresh:
            await ledger.remember_digests(dict(fresh.popitem() for _ in range(min(len(fresh), REMEMBERED_AT_ONCE))))

    def _wait_lock_s(self) -> float:
        deadline_s = self.deadline_s()
        return self.settings.wait_lock_s if deadline_s is None else min(self.settings.wait_lock_s, deadline_s)

    async def _reach(self, stack: AsyncExitStack, ledger: SqliteLedger) -> Reached | None:
        """The lane, or None if the deadline passes before it has said whose it is."""
        remembered = await ledger.rates()
        reached: Reached | None = None
        async with time_limit(self.deadline_s(), self.clock):
            reaching = reach(self.settings, self.observer, remembered=remembered, ask=asker())
            reached = await stack.enter_async_context(reaching)
        return reached


def ready_or_recorded(verb: str, path: Path, flags: Flags, output: Output) -> tuple[Prepared, Settings]:
    """`prepare.ready`. Invalid files and a signal are recorded as a run, in a ledger that is there already.

    Raises as `ready`, and Stopped at a signal.
    """
    read: list[tuple[Manifest, Settings]] = []

    def record(ending: Exit) -> None:
        if read and read[-1][1].ledger.exists():
            manifest, settings = read[-1]
            anyio.run(partial(_record_early_end, verb, manifest, settings, ending, run_id=output.witnesses.run_id))

    try:
        return ready(path, options_of(flags), on_manifest=lambda *each: read.append(each))
    except ManifestInvalid as error:
        record(Exit(error.exit_code, error.message))
        raise
    except Stopped as stopped:
        record(Exit(stopped.code, stopped.message))
        raise


async def _record_early_end(verb: str, manifest: Manifest, settings: Settings, ending: Exit, *, run_id: str) -> None:
    clock = SystemClock()
    now, summary = clock.now(), Summary(verb=verb, exit=ending, run_id=run_id, batch=manifest.batch)
    with suppress(LedgerUnusable, LedgerLocked):
        ledger = await open_ledger(settings.ledger, run_id=run_id, clock=clock)
        try:
            await ledger.record_end(
                run_id,
                verb=verb,
                batch=manifest.batch,
                began_at=now,
                exit_code=ending.code,
                summary=summary.as_json(),
                at=now,
            )
        finally:
            await ledger.close()
