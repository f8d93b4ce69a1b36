"""What `upload` does once its flags are read: everything put together, run, and told."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio

from batch_upload.app.exits import exit_of_run
from batch_upload.app.items import Prepared, check_only, ready
from batch_upload.app.lane import Reached, surroundings
from batch_upload.app.rates import is_news, learned
from batch_upload.cli import messages
from batch_upload.cli.audience import Everybody
from batch_upload.cli.bodies import DocumentBodies
from batch_upload.cli.descriptors import fit
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.on_lane import UNREACHED_HINT, OnLane, ready_or_recorded
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.clock import counting_s
from batch_upload.engine.failures import FailureLimit, FailureWatch
from batch_upload.engine.groups import task_group
from batch_upload.engine.plan import Selection
from batch_upload.engine.result import RunResult
from batch_upload.engine.run import LaneOptions, Run
from batch_upload.errors import LedgerUnusable
from batch_upload.events import RunEnded
from batch_upload.ledger.store import SqliteLedger
from batch_upload.model import ActionKind, RateRecord
from batch_upload.settings import Settings
from batch_upload.summary import Exit, summary_of_run

LOOK_S = 1.0
"""How often it is looked whether a rate was learned that the next run should know of."""
REMEMBER_S = 30.0
"""How often what was learned of the rates is written down, news or not."""


def upload_manifest(path: Path, flags: Flags, output: Output) -> Ended:
    """Prepare, run, and sum up. Raises BatchUploadError where nothing could begin."""
    started = counting_s()

    def checked(found: tuple[Prepared, Settings]) -> tuple[Prepared, Settings]:
        prepared, settings = found
        check_only(settings, prepared)
        return prepared, fit(settings, output)

    def read() -> tuple[Prepared, Settings]:
        return checked(ready(path, options_of(flags)))

    prepared, settings = checked(ready_or_recorded("upload", path, flags, output))
    output.file_warnings(prepared.warnings, shown=messages.PROBLEMS_SHOWN)
    repeated = Repeated.of(flags, settings)

    async def run() -> Ended:
        return await _Upload(prepared, settings, output, repeated, started=started, read=read).run()

    return anyio.run(run)


class _Upload(OnLane):
    """One run of the verb."""

    verb = "upload"

    async def work(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        settings = self.settings
        root = None if settings.allow_outside else self.prepared.manifest.folder
        options = self._options()
        watch = FailureWatch(options.max_failures, reached.control, reached.clock, self.audience)
        observer = Everybody([self.tally, self.audience], watch)
        with DocumentBodies(root) as bodies:
            around = surroundings(reached, settings, ledger, observer, run_id=self.run_id, bodies=bodies)
            run = Run(around, lane=reached.lane, endpoint=reached.service.endpoint, options=options)
            self.interrupts.drain_with(run.interrupt)
            async with task_group() as group:
                group.start_soon(self._remember_now_and_then, ledger, reached)
                result = await run.run(self.prepared.items, watch=watch)
                group.cancel_scope.cancel()
        ended = self._ended(result, reached)
        if result.ledger_error is not None:
            return ended
        return await self._recorded(ledger, reached, await self._visible(ledger, ended))

    async def _visible(self, ledger: SqliteLedger, ended: Ended) -> Ended:
        """Transient errors that have been left for a day want a person: exit 22 instead of 10."""
        summary = ended.summary
        if summary.uploaded or summary.adopted:
            return ended
        ending = await self.visible(ledger, summary.exit)
        if ending is summary.exit:
            return ended
        notes = (*summary.notes, f"hint: {UNREACHED_HINT}")
        return replace(ended, summary=replace(summary, exit=ending, notes=notes, unreached_for_s=self.unreached_for_s))

    def time_limit_s(self) -> float | None:
        return None  # the run keeps to the deadline itself, and waits for statuses after it

    def _learned(self, reached: Reached) -> list[RateRecord]:
        return learned(reached.laws, self.tally, now=self.clock.now())

    async def _remember_now_and_then(self, ledger: SqliteLedger, reached: Reached) -> None:
        """What was learned outlives a kill. A ledger that cannot be written is the run's to find."""
        written, at = self._learned(reached), self.clock.monotonic()
        while True:
            await anyio.sleep(LOOK_S)
            found, now = self._learned(reached), self.clock.monotonic()
            if not is_news(found, written) and now - at < REMEMBER_S:
                continue
            written, at = found, now
            with suppress(LedgerUnusable):
                await ledger.learn(found)

    async def _recorded(self, ledger: SqliteLedger, reached: Reached, ended: Ended) -> Ended:
        summary = ended.summary
        try:
            await ledger.learn(self._learned(reached))
            await ledger.end_run(
                self.run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=self.clock.now()
            )
        except LedgerUnusable as error:
            notes = (*summary.notes, *messages.hint_lines(error.hint))
            return replace(ended, summary=replace(summary, exit=Exit(error.exit_code, error.message), notes=notes))
        return ended

    def _options(self) -> LaneOptions:
        settings = self.settings
        return LaneOptions(
            batch=self.prepared.manifest.batch,
            concurrency=settings.concurrency,
            deadline_s=self.deadline_s(),
            max_failures=FailureLimit(settings.max_failures.count, settings.max_failures.share),
            wait=settings.wait,
            settle_timeout_s=settings.settle_timeout_s,
            selection=Selection(settings.only_states, settings.only_ids),
            is_part=self.prepared.manifest.part_of is not None,
        )

    def _ended(self, result: RunResult, reached: Reached) -> Ended:
        told = self._told(result)
        self.audience.notify(told)
        summary = summary_of_run(
            told,
            verb="upload",
            run_id=self.run_id,
            batch=self.prepared.manifest.batch,
            lane=reached.lane,
            items=len(self.prepared.items),
            ending=exit_of_run(result, signalled=self.interrupts.code),
        )
        summary = replace(summary, warnings=len(self.prepared.warnings))
        return Ended(summary, known=tuple(result.known.values()))

    def _told(self, result: RunResult) -> RunEnded:
        states = result.counted()
        if result.ledger_error is not None:
            states = Counter({**result.states, **self.tally.states}.values())
        return RunEnded(
            states={state.value: count for state, count in states.items()},
            requests=dict(self.tally.requests),
            throttled=self.tally.throttled,
            uploaded=self.tally.uploaded,
            adopted=self.tally.adopted,
            unchanged=result.plan.counts[ActionKind.UNCHANGED],
            bytes_sent=self.tally.bytes_sent,
            elapsed_s=self.elapsed_s,
            at=self.clock.now(),
            notes=_hints(result),
        )


def _hints(result: RunResult) -> tuple[str, ...]:
    if result.stop is not None and result.stop.hint:
        return (f"hint: {result.stop.hint}",)
    if result.duplicates:
        return ("hint: `batch-upload verify` names what is there twice; delete what nothing uses at the service",)
    return ()
