"""One run of a use case: lock the ledger, and do the work of all lanes of the manifest side by side.

`upload`, `reconcile` and `prune` share this. The caller passes an observer, a way to end the work from outside
(`Interruption`), and how to ask a person for the code of an MFA device. A manifest without `targets` has one lane.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Generic, Protocol

import anyio
from anyio import to_thread

from batch_upload.app.exits import summary_of_lanes
from batch_upload.app.interruption import Interruption
from batch_upload.app.items import LanePart, lane_parts, ready
from batch_upload.app.lane import access_of
from batch_upload.app.lane_host import lane_host
from batch_upload.app.lane_run import LaneRun, RunEnd, RunScope, record_end, record_error
from batch_upload.app.lanes import one_at_a_time
from batch_upload.app.sendable import Prepared
from batch_upload.clock import SystemClock, counting_s
from batch_upload.engine.groups import task_group
from batch_upload.errors import (
    BatchUploadError,
    ExitCode,
    LedgerFault,
    LedgerLocked,
    ManifestInvalid,
)
from batch_upload.events import LanesChosen, Notice
from batch_upload.ledger import open_ledger
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Manifest
from batch_upload.ports import Ledger, Observer
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, exit_of, new_run_id
from batch_upload.targets import Shard

DIGESTS_PER_WRITE = 10_000
"""Digests that are written to the ledger in one transaction."""


class Session(ABC, Generic[RunEnd]):
    """One run of a use case over the lanes of a manifest. To be made on the event loop and used once.

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
        self.observer = observer
        self.run_id = run_id or new_run_id(self.clock.now())
        self.interruption = interruption or Interruption()
        self._started = counting_s() if started is None else started
        self._read = read
        self._ask = one_at_a_time(ask)

    @abstractmethod
    def lane_run(self, scope: RunScope, part: LanePart) -> LaneRun[RunEnd]:
        """Return the work on one lane."""

    @abstractmethod
    def of_lanes(self, summary: Summary, ends: Mapping[str, RunEnd]) -> RunEnd:
        """Return the result of a run over several lanes. `ends` has the result of each by its label."""

    def ended(self, summary: Summary) -> None:
        """Report the end of a run over several lanes."""

    def lane_ended(self, label: str) -> None:
        """Go on without a lane of several that has ended."""

    def chosen(self, parts: Sequence[LanePart]) -> Sequence[LanePart]:
        """Return the lanes to work on: those for which the manifest has items, also invalid ones, or its only lane."""
        return [part for part in parts if part.prepared.items or part.prepared.unread or part.target.label is None]

    async def run(self) -> RunEnd:
        """Do it from lock to result. Raises BatchUploadError, whose `summary` counts what was done until then.

        With `targets` in the manifest an error that concerns one lane alone (`is_of_lane`) is not raised: it is the end
        of that lane.
        """
        with self.interruption.scope:
            try:
                return await self._locked_run()
            except BatchUploadError as error:
                if error.summary is None:
                    error.summary = self._counted(exit_of(error.exit_code))
                raise
        code = self.interruption.code or ExitCode.OUR_FAULT
        return self._early_end(exit_of(code))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, time asleep included."""
        return counting_s() - self._started

    async def _locked_run(self) -> RunEnd:
        async with AsyncExitStack() as stack:
            ledger = await self._open_ledger()
            stack.push_async_callback(ledger.close)
            if self.settings.deadline_s is not None:
                ledger.hurry(max(0.0, self.settings.deadline_s - self.elapsed_s))
            fresh = self.prepared.fresh
            while fresh:  # taken out, since the work needs the memory
                some = dict(fresh.popitem() for _ in range(min(len(fresh), DIGESTS_PER_WRITE)))
                await ledger.remember_digests(some)
            return await self._run_lanes(ledger)

    async def _run_lanes(self, ledger: Ledger) -> RunEnd:
        """Do the work of all lanes side by side, and hand an interruption on to each."""
        parts = self.chosen(lane_parts(self.prepared, self.settings))
        has_targets = bool(self.prepared.manifest.targets)
        if has_targets and not self.settings.local:
            for part in parts:
                access_of(part.settings)  # raises for a variable that is not set, before anything is sent in any lane
        async with lane_host(ledger, parts) as host:
            scope = host.scope(self._scope)
            runs = [self.lane_run(scope, part) for part in parts]

            def interrupt_all(name: str) -> None:
                ledger.hurry()
                host.interrupt(self.interruption.code or ExitCode.OUR_FAULT, name)

            self.interruption.drain_with(interrupt_all)
            if not has_targets:
                with host.interrupting(runs[0]):
                    return await runs[0].run(await ledger.writer())
            ends: dict[str, RunEnd] = {}

            async def run_lane(run: LaneRun[RunEnd]) -> None:
                label = run.part.target.label or ""
                ends[label] = await host.run_lane(run)
                self.lane_ended(label)

            labels = tuple(part.target.label or "" for part in parts)
            total = len(self.prepared.manifest.targets if not self.settings.lanes.is_all else labels)
            items = tuple(part.prepared.total for part in parts)
            batch, now = self.prepared.manifest.batch, self.clock.now()
            self.observer.notify(LanesChosen(batch, labels, total, now, items))
            try:
                async with task_group() as group:
                    for run in runs:
                        group.start_soon(run_lane, run)
            except BatchUploadError as error:
                cut_off = exit_of(error.exit_code)
                for run in runs:
                    ends.setdefault(run.part.target.label or "", run.ended_early(run.counted(cut_off)))
                error.summary = self._summary_of_all(parts, ends)
                raise
            summary = self._summary_of_all(parts, ends)
            self.ended(summary)
            return self.of_lanes(summary, ends)

    def _summary_of_all(self, parts: Sequence[LanePart], ends: Mapping[str, RunEnd]) -> Summary:
        """Return the summary of all lanes together."""
        lanes = [(part.target, ends[part.target.label or ""].summary) for part in parts]
        batch, elapsed_s = self.prepared.manifest.batch, self.elapsed_s
        summary = summary_of_lanes(self.verb, lanes, batch=batch, elapsed_s=elapsed_s, run_id=self.run_id)
        return replace(summary, warnings=len(self.prepared.warnings))

    def _early_end(self, ending: Exit) -> RunEnd:
        """Return the result of a run that was interrupted before any lane had begun."""
        parts = self.chosen(lane_parts(self.prepared, self.settings))
        runs = [self.lane_run(self._scope, part) for part in parts]
        ends = {run.part.target.label or "": run.ended_early(run.counted(ending)) for run in runs}
        if not self.prepared.manifest.targets:
            return ends[""]
        summary = self._summary_of_all(parts, ends)
        self.ended(summary)
        return self.of_lanes(summary, ends)

    @property
    def _scope(self) -> RunScope:
        return RunScope(
            run_id=self.run_id,
            observer=self.observer,
            started=self._started,
            deadline_s=self.settings.deadline_s,
            ask=self._ask,
        )

    def _counted(self, ending: Exit) -> Summary:
        """Return a summary without counts, of a run that has not come to its lanes."""
        batch = self.prepared.manifest.batch
        return Summary(verb=self.verb, exit=ending, run_id=self.run_id, batch=batch, elapsed_s=self.elapsed_s)

    async def _open_ledger(self) -> Ledger:
        """Return the ledger, locked by this run.

        After a wait for its lock the manifest and its files are read again, since they may have changed meanwhile.
        Raises as `open_ledger`; and ManifestInvalid, which is recorded as a run.
        """
        while True:
            path, wait_s = self.settings.ledger, self.settings.wait_lock_s
            if self.settings.deadline_s is not None:
                wait_s = min(wait_s, max(0.0, self.settings.deadline_s - self.elapsed_s))
            if isinstance(path, PostgresUrl):  # each lane is waited for by itself, when a writer is pinned to it
                return await open_ledger(path, run_id=self.run_id, clock=self.clock, wait_lock_s=wait_s)
            try:
                return await open_ledger(path, run_id=self.run_id, clock=self.clock)
            except LedgerLocked as error:
                if wait_s <= 0:
                    if self.settings.shard is not None and not isinstance(path, PostgresUrl):
                        error.hint = file_of_shard_hint(path, self.settings.shard)
                    raise
                self.observer.notify(Notice(f"{error.message}; waiting for it to end", self.clock.now()))
            ledger = await open_ledger(path, run_id=self.run_id, clock=self.clock, wait_lock_s=wait_s)
            try:
                # at a signal the thread that reads is abandoned: it holds no lock
                self.prepared, self.settings = await to_thread.run_sync(self._read, abandon_on_cancel=True)
            except BaseException as error:
                code = self.interruption.code or ExitCode.OUR_FAULT
                elapsed_s = self.elapsed_s
                writer = await ledger.writer()
                await record_error(writer, error, self._counted, interrupted=code, elapsed_s=elapsed_s)
                await ledger.close()
                raise
            if self.settings.ledger == path:
                return ledger
            await ledger.close()  # the manifest names another one now


class ReadManifest(Protocol):
    """`items.ready`, or `choice.ready_to_send`."""

    def __call__(
        self, path: Path, options: RunOptions, *, on_manifest: Callable[[Manifest, Settings], None]
    ) -> tuple[Prepared, Settings]: ...


def ready_or_recorded(
    verb: str, path: Path, options: RunOptions, *, run_id: str, read_manifest: ReadManifest = ready
) -> tuple[Prepared, Settings]:
    """Read a manifest and its files. An early end is recorded as a run, in a ledger that exists.

    Raises as `read_manifest`; ManifestInvalid and KeyboardInterrupt are recorded. Blocking, and not for an event loop.
    """
    read: list[tuple[Manifest, Settings]] = []

    async def record(ending: Exit) -> None:
        manifest, settings = read[-1]
        with suppress(LedgerFault):
            ledger = await open_ledger(settings.ledger, run_id=run_id, clock=SystemClock())
            try:
                summary = Summary(verb=verb, exit=ending, run_id=run_id, batch=manifest.batch)
                await record_end(await ledger.writer(), summary)
            finally:
                await ledger.close()

    try:
        return read_manifest(path, options, on_manifest=lambda *each: read.append(each))
    except (ManifestInvalid, KeyboardInterrupt) as stopped:
        if isinstance(stopped, ManifestInvalid):
            ending = Exit(stopped.exit_code, stopped.message)
        else:
            code = getattr(stopped, "code", ExitCode.INTERRUPTED)
            ending = Exit(code, getattr(stopped, "message", "stopped by SIGINT"))
        if read and _exists(read[-1][1].ledger):
            anyio.run(record, ending)
        raise


def file_of_shard_hint(ledger: Path, shard: Shard) -> str:
    """Return what to do if a shard finds a ledger file locked, probably by another shard."""
    own = ledger.with_suffix(f".{shard.index}-of-{shard.count}{ledger.suffix}")
    return (
        "shards that run at the same time need a shared ledger, `--ledger postgresql://HOST/DATABASE`, or a file each, "
        f"such as `--ledger {own}`"
    )


def _exists(ledger: LedgerAddress) -> bool:
    return isinstance(ledger, PostgresUrl) or ledger.exists()
