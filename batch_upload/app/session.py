"""A use case on its lane: lock the ledger, reach the lane, do the work, and record how it ended.

`upload`, `reconcile` and `prune` share this. The caller passes an observer, a way to end the work from outside
(`Interruption`), and how to ask a person for the code of an MFA device.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import anyio
from anyio import to_thread

from batch_upload.app.exits import made_visible
from batch_upload.app.interruption import Interruption
from batch_upload.app.items import Prepared, ready
from batch_upload.app.lane import Reached, reach
from batch_upload.app.observers import Both
from batch_upload.app.rates import learned
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import time_limit
from batch_upload.engine.lane import Stop, StopKind, Withheld
from batch_upload.engine.rows import state_of_row
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
from batch_upload.ledger import open_ledger
from batch_upload.model import Fault, Known, Lane, Manifest
from batch_upload.ports import Ledger, LedgerWriter, Observer
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, exit_of, new_run_id

RunEnd = TypeVar("RunEnd")

UNREACHED_HINT = "look at the network, a proxy and AWS's health page; `batch-upload doctor` checks each step of the way"
DIGESTS_PER_WRITE = 10_000
"""Digests that are written to the ledger in one transaction."""


class Session(ABC, Generic[RunEnd]):
    """One run of a use case over one lane. To be made on the event loop and used once.

    `read` reads the manifest and its files again, after a wait for the ledger's lock. `started` is the moment of
    `counting_s()` from which the deadline and the elapsed time count: now unless it is given.
    """

    verb: ClassVar[str]

    def __init__(
        self,
        prepared: Prepared,
        settings: Settings,
        observer: Observer,
        *,
        read: Callable[[], tuple[Prepared, Settings]],
        run_id: str | None = None,
        interruption: Interruption | None = None,
        ask: Ask | None = None,
        started: float | None = None,
    ) -> None:
        self.prepared = prepared
        self.settings = settings
        self.clock = SystemClock()
        self.tally = Tally()
        self.listener = observer
        self.observer = Both(self.tally, observer)
        self.run_id = run_id or new_run_id(self.clock.now())
        self.interruption = interruption or Interruption()
        self._unreached_for_s: float | None = None
        self._started = counting_s() if started is None else started
        self._read = read
        self._ask = ask
        self._lane: Lane | None = None

    @abstractmethod
    async def work(self, ledger: LedgerWriter, reached: Reached) -> RunEnd:
        """Do the work on a lane whose account is known. May raise BatchUploadError."""

    @abstractmethod
    def ended_early(self, summary: Summary) -> RunEnd:
        """Return the result of a run that the deadline or an interruption cut off before its work was done."""

    async def run(self) -> RunEnd:
        """Do it from lock to result. Raises BatchUploadError, whose `summary` counts what was done until then."""
        with self.interruption.scope:
            try:
                return await self._locked_run()
            except BatchUploadError as error:
                error.summary = self.counted(exit_of(error.exit_code))
                raise
        return self.ended_early(self.counted(exit_of(self.interruption.code or ExitCode.OUR_FAULT)))

    @property
    def batch(self) -> str:
        """The manifest's batch."""
        return self.prepared.manifest.batch

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, time asleep included."""
        return counting_s() - self._started

    def deadline_s(self) -> float | None:
        """Return the seconds that are left of the deadline; None without one."""
        if self.settings.deadline_s is None:
            return None
        return max(0.0, self.settings.deadline_s - self.elapsed_s)

    def time_limit_s(self) -> float | None:
        """Return after how many seconds the work is cancelled: what is in flight at the deadline has DRAIN_S to end."""
        deadline_s = self.deadline_s()
        return None if deadline_s is None else deadline_s + DRAIN_S

    @contextmanager
    def draining(self, reached: Reached) -> Iterator[None]:
        """At an interruption in the block, send nothing new, let what is in flight end (DRAIN_S), and leave the block.

        The code after the block records and sums up what was done.
        """
        with anyio.CancelScope() as scope, suppress(Withheld):

            def drain(name: str) -> None:
                fault = Fault("Interrupted", f"stopped by {name}")
                if reached.control.stop_with(Stop(StopKind.SIGNAL, fault)):
                    event = LaneStopped(fault, draining=False, resume_after=None, at=self.clock.now())
                    self.listener.notify(event)
                scope.deadline = anyio.current_time() + DRAIN_S

            self.interruption.drain_with(drain)
            yield

    def counted(self, ending: Exit) -> Summary:
        """Return a summary of the requests so far, without counts of items."""
        return Summary(
            verb=self.verb,
            exit=ending,
            run_id=self.run_id,
            batch=self.batch,
            account=self._lane.account if self._lane else None,
            region=self._lane.region if self._lane else None,
            adopted=self.tally.adopted,
            requests=dict(self.tally.requests),
            throttled=self.tally.throttled,
            elapsed_s=self.elapsed_s,
            unreached_for_s=self._unreached_for_s,
        )

    def summed_up(self, rows: Mapping[str, Known], ending: Exit) -> Summary:
        """Return a summary that counts every item of the manifest by its row in the ledger, by item id."""
        states = Counter(state_of_row(rows.get(item.item_id)).value for item in self.prepared.items)
        return replace(self.counted(ending), states=states, items=len(self.prepared.items))

    async def visible(self, ledger: LedgerWriter, ending: Exit) -> Exit:
        """Return the exit as it is reported (`made_visible`), and note for how long no run has got an answer."""
        if ending.code is not ExitCode.TRANSIENT:
            return ending
        since = await ledger.failing_since()
        seen, self._unreached_for_s = made_visible(ending, failing_since=since, now=self.clock.now())
        return seen

    async def record_result(self, ledger: LedgerWriter, reached: Reached, summary: Summary) -> None:
        """Record the end of a run that `begin_run` began, and the rates that it learned. Raises LedgerUnusable."""
        now = self.clock.now()
        await ledger.learn(learned(reached.laws, self.tally, now=now))
        await ledger.end_run(self.run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=now)

    async def _locked_run(self) -> RunEnd:
        """Lock the ledger, reach the lane and do the work. An end without a result is recorded as a run."""
        async with AsyncExitStack() as stack:
            opened = await self._open_ledger()
            stack.push_async_callback(opened.close)
            ledger = await opened.writer()
            try:
                fresh = self.prepared.fresh
                while fresh:  # taken out, since the work needs the memory
                    some = dict(fresh.popitem() for _ in range(min(len(fresh), DIGESTS_PER_WRITE)))
                    await opened.remember_digests(some)
                remembered = await ledger.rates()
                reached: Reached | None = None
                async with time_limit(self.deadline_s(), self.clock):
                    reaching = reach(self.settings, self.observer, remembered=remembered, ask=self._ask)
                    reached = await stack.enter_async_context(reaching)
                if reached is not None:
                    self._lane = reached.lane
                    async with time_limit(self.time_limit_s(), self.clock):
                        return await self.work(ledger, reached)
            except BatchUploadError as error:
                reported, seen = error, await self.visible(ledger, Exit(error.exit_code, error.message))
                if seen.code is not error.exit_code:  # transient for a day
                    reported = AccessFault(seen.reason, code="Unreached", hint=error.hint or UNREACHED_HINT)
                await self._record_error(ledger, reported)
                raise reported from error
            except BaseException as error:
                await self._record_error(ledger, error)
                raise
            deadline = self.counted(exit_of(ExitCode.DEADLINE))
            await self._record_end(ledger, deadline)
            return self.ended_early(deadline)

    async def _open_ledger(self) -> Ledger:
        """Return the ledger, locked by this run.

        After a wait for its lock the manifest and its files are read again, since they may have changed meanwhile.
        Raises as `open_ledger`; and ManifestInvalid, which is recorded as a run.
        """
        while True:
            path, deadline_s = self.settings.ledger, self.deadline_s()
            wait_s = self.settings.wait_lock_s if deadline_s is None else min(self.settings.wait_lock_s, deadline_s)
            try:
                return await open_ledger(path, run_id=self.run_id, clock=self.clock)
            except LedgerLocked as error:
                if wait_s <= 0:
                    raise
                self.listener.notify(Notice(f"{error.message}; waiting for it to end", self.clock.now()))
            ledger = await open_ledger(path, run_id=self.run_id, clock=self.clock, wait_lock_s=wait_s)
            try:
                # at a signal the thread that reads is abandoned: it holds no lock
                self.prepared, self.settings = await to_thread.run_sync(self._read, abandon_on_cancel=True)
            except BaseException as error:
                await self._record_error(await ledger.writer(), error)
                await ledger.close()
                raise
            if self.settings.ledger == path:
                return ledger
            await ledger.close()  # the manifest names another one now

    async def _record_error(self, ledger: LedgerWriter, error: BaseException) -> None:
        """Record that an error ended the run, or the interruption that cancelled it. A usage error is no run."""
        match error:
            case UsageError():
                return
            case BatchUploadError():
                ending = Exit(error.exit_code, error.message)
            case _:
                ending = exit_of(self.interruption.code or ExitCode.OUR_FAULT)
        with anyio.move_on_after(DRAIN_S, shield=True):
            await self._record_end(ledger, self.counted(ending))

    async def _record_end(self, ledger: LedgerWriter, summary: Summary) -> None:
        """Record the end of the run. A ledger that cannot be written changes nothing of it."""
        now = self.clock.now()
        with suppress(LedgerUnusable):
            await ledger.record_end(
                self.run_id,
                verb=self.verb,
                batch=self.batch,
                began_at=now - timedelta(seconds=self.elapsed_s),
                exit_code=summary.exit.code,
                summary=summary.as_json(),
                at=now,
            )


def ready_or_recorded(verb: str, path: Path, options: RunOptions, *, run_id: str) -> tuple[Prepared, Settings]:
    """Read a manifest and its files (`items.ready`). An early end is recorded as a run, in a ledger that exists.

    Raises as `ready`; ManifestInvalid and KeyboardInterrupt are recorded. Blocking, and not for an event loop.
    """
    read: list[tuple[Manifest, Settings]] = []

    async def record(ending: Exit) -> None:
        manifest, settings = read[-1]
        clock = SystemClock()
        with suppress(LedgerUnusable, LedgerLocked):
            ledger = await open_ledger(settings.ledger, run_id=run_id, clock=clock)
            try:
                writer = await ledger.writer()
                await writer.record_end(
                    run_id,
                    verb=verb,
                    batch=manifest.batch,
                    began_at=clock.now(),
                    exit_code=ending.code,
                    summary=Summary(verb=verb, exit=ending, run_id=run_id, batch=manifest.batch).as_json(),
                    at=clock.now(),
                )
            finally:
                await ledger.close()

    try:
        return ready(path, options, on_manifest=lambda *each: read.append(each))
    except (ManifestInvalid, KeyboardInterrupt) as stopped:
        if isinstance(stopped, ManifestInvalid):
            ending = Exit(stopped.exit_code, stopped.message)
        else:
            code = getattr(stopped, "code", ExitCode.INTERRUPTED)
            ending = Exit(code, getattr(stopped, "message", "stopped by SIGINT"))
        if read and read[-1][1].ledger.exists():
            anyio.run(record, ending)
        raise
