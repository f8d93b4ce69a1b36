"""What `upload` does once its flags are read: everything put together, run, and told."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import anyio

from batch_upload.cli import messages
from batch_upload.cli.audience import Everybody, audience_of
from batch_upload.cli.compose import Reached, new_run_id, reach, surroundings
from batch_upload.cli.exit_codes import exit_of_run
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.prepare import Prepared, prepare
from batch_upload.cli.rates import learned
from batch_upload.cli.signals import Interrupts
from batch_upload.clock import SystemClock
from batch_upload.engine.groups import task_group
from batch_upload.engine.plan import Selection
from batch_upload.engine.run import FailureLimit, FailureWatch, Run, RunOptions, RunResult
from batch_upload.engine.tally import Tally
from batch_upload.errors import ExitCode, LedgerUnusable, UsageError
from batch_upload.events import RunEnded
from batch_upload.ledger.store import SqliteLedger, open_ledger
from batch_upload.model import ActionKind, RateRecord
from batch_upload.report.summary import Exit, Summary, exit_of, summary_of_run
from batch_upload.settings import Flags, Settings, resolve, truth_of

TICK_S = 1.0
REMEMBER_S = 30.0
"""How often what was learned of the rates is written down."""


def upload_manifest(path: Path, flags: Flags, output: Output) -> Ended:
    """Prepare, run, and sum up. Raises BatchUploadError where nothing could begin."""
    started = time.monotonic()
    prepared = prepare(path, allow_outside=truth_of(flags, "allow_outside"))
    settings = resolve(flags, manifest=path, ledger=prepared.manifest.ledger, target=prepared.manifest.target)
    check_only(settings, prepared)
    return anyio.run(_run, prepared, settings, output, Repeated.of(flags, settings), started)


def check_only(settings: Settings, prepared: Prepared) -> None:
    """Raise UsageError where `--only` names neither a state nor an id of the manifest."""
    strange = sorted(settings.only_ids - {item.item_id for item in prepared.items})
    if strange:
        raise UsageError(
            f"`--only {strange[0]}` is neither a state nor an id of the manifest",
            hint="states are `failed`, `pending`, `parked`, `unknown`, `sending`, `processing` and `complete`",
        )


async def _run(prepared: Prepared, settings: Settings, output: Output, repeated: Repeated, started: float) -> Ended:
    ended = await _Upload(prepared, settings, output, started).run()
    return replace(ended, repeated=repeated)


class _Upload:
    """One run of the verb."""

    def __init__(self, prepared: Prepared, settings: Settings, output: Output, started: float) -> None:
        self._prepared = prepared
        self._settings = settings
        self._started = started
        self._clock = SystemClock()
        self._run_id = new_run_id(self._clock.now())
        self._tally = Tally()
        self._audience = audience_of(output)
        self._interrupts = Interrupts(at_once=self._audience.close)

    async def run(self) -> Ended:
        """The verb, with signals watched and a tick a second for who draws."""
        async with task_group() as group:
            await group.start(self._interrupts.watch)
            group.start_soon(self._tick)
            try:
                return await self._until_interrupted()
            finally:
                self._audience.close()
                group.cancel_scope.cancel()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            self._audience.tick(self._clock.now())

    async def _until_interrupted(self) -> Ended:
        with self._interrupts.scope:
            async with AsyncExitStack() as stack:
                ledger = await open_ledger(
                    self._settings.ledger,
                    run_id=self._run_id,
                    clock=self._clock,
                    wait_lock_s=self._settings.wait_lock_s,
                )
                stack.push_async_callback(ledger.close)
                observer = Everybody([self._tally], self._audience)
                remembered = await ledger.rates()
                reached = await self._reached(stack, observer, remembered)
                if reached is None:
                    return self._nothing_begun(ExitCode.DEADLINE)
                return await self._uploaded(ledger, reached)
        return self._nothing_begun(self._interrupts.code or ExitCode.OUR_FAULT)

    async def _reached(
        self, stack: AsyncExitStack, observer: Everybody, remembered: Sequence[RateRecord]
    ) -> Reached | None:
        """The lane, or None if the deadline passes before it has said whose it is."""
        with anyio.move_on_after(self._deadline_s()):
            return await stack.enter_async_context(reach(self._settings, observer, remembered=remembered))
        return None

    def _nothing_begun(self, code: ExitCode) -> Ended:
        summary = Summary(
            verb="upload",
            exit=exit_of(code),
            batch=self._prepared.manifest.batch,
            requests=dict(self._tally.requests),
            throttled=self._tally.throttled,
            elapsed_s=time.monotonic() - self._started,
        )
        return Ended(summary)

    async def _uploaded(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        settings = self._settings
        root = None if settings.allow_outside else self._prepared.manifest.folder
        options = self._options()
        watch = FailureWatch(options.max_failures, reached.control, reached.clock, self._audience)
        observer = Everybody([self._tally, watch], self._audience)
        around = surroundings(reached, settings, ledger, observer, run_id=self._run_id, root=root)
        run = Run(around, lane=reached.lane, endpoint=reached.service.endpoint, options=options)
        self._interrupts.drain_with(run.interrupt)
        async with task_group() as group:
            group.start_soon(self._remember_now_and_then, ledger, reached)
            result = await run.run(self._prepared.items, watch=watch)
            group.cancel_scope.cancel()
        ended = self._ended(result, reached)
        if result.ledger_error is not None:
            return ended
        return await self._recorded(ledger, reached, ended)

    def _learned(self, reached: Reached) -> list[RateRecord]:
        return learned(reached.laws, self._tally, now=self._clock.now())

    async def _remember_now_and_then(self, ledger: SqliteLedger, reached: Reached) -> None:
        """What was learned outlives a kill. A ledger that cannot be written is the run's to find."""
        while True:
            await anyio.sleep(REMEMBER_S)
            with suppress(LedgerUnusable):
                await ledger.learn(self._learned(reached))

    async def _recorded(self, ledger: SqliteLedger, reached: Reached, ended: Ended) -> Ended:
        summary = ended.summary
        try:
            await ledger.learn(self._learned(reached))
            await ledger.end_run(
                self._run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=self._clock.now()
            )
        except LedgerUnusable as error:
            notes = (*summary.notes, *messages.hint_lines(error.hint))
            return replace(ended, summary=replace(summary, exit=Exit(error.exit_code, error.message), notes=notes))
        return ended

    def _options(self) -> RunOptions:
        settings = self._settings
        return RunOptions(
            batch=self._prepared.manifest.batch,
            concurrency=settings.concurrency,
            deadline_s=self._deadline_s(),
            max_failures=FailureLimit(settings.max_failures.count, settings.max_failures.share),
            wait=settings.wait,
            settle_timeout_s=settings.settle_timeout_s,
            selection=Selection(settings.only_states, settings.only_ids),
        )

    def _deadline_s(self) -> float | None:
        """What is left of `--deadline`, which began with the command."""
        if self._settings.deadline_s is None:
            return None
        return max(0.0, self._settings.deadline_s - (time.monotonic() - self._started))

    def _ended(self, result: RunResult, reached: Reached) -> Ended:
        told = self._told(result)
        self._audience.notify(told)
        summary = summary_of_run(
            told,
            verb="upload",
            run_id=self._run_id,
            batch=self._prepared.manifest.batch,
            lane=reached.lane,
            items=len(self._prepared.items),
            ending=exit_of_run(result, signalled=self._interrupts.code),
        )
        return Ended(summary, known=tuple(result.known.values()))

    def _told(self, result: RunResult) -> RunEnded:
        states = dict(result.states)
        if result.ledger_error is not None:
            states.update(self._tally.states)
        return RunEnded(
            states=Counter(state.value for state in states.values()),
            requests=dict(self._tally.requests),
            throttled=self._tally.throttled,
            uploaded=self._tally.uploaded,
            adopted=self._tally.adopted,
            unchanged=len(result.plan.of(ActionKind.UNCHANGED)),
            bytes_sent=self._tally.bytes_sent,
            elapsed_s=time.monotonic() - self._started,
            at=self._clock.now(),
            notes=(f"hint: {result.stop.hint}",) if result.stop and result.stop.hint else (),
        )
