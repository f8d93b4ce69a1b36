"""What `reconcile` does once its flags are read."""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio

from batch_upload.cli.audience import Everybody, audience_of
from batch_upload.cli.compose import Reached, new_run_id, reach, surroundings
from batch_upload.cli.exit_codes import first_of
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.prepare import Prepared, prepare
from batch_upload.cli.rates import learned
from batch_upload.cli.recorded import state_of
from batch_upload.cli.signals import Interrupts
from batch_upload.clock import SystemClock
from batch_upload.engine.groups import task_group
from batch_upload.engine.reconcile import Cost, expected_cost, reconcile, stock_of
from batch_upload.engine.retry import LIST_TAGS
from batch_upload.engine.survey import ask_capacity
from batch_upload.engine.tally import Tally
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import ExitCode, LaneFault, ServiceError
from batch_upload.events import Notice
from batch_upload.ledger.store import SqliteLedger, open_ledger
from batch_upload.model import AttachmentStatus, Known, State
from batch_upload.ports import Observer
from batch_upload.report.summary import Exit, Summary, exit_of
from batch_upload.report.verification import cost_line, cost_words
from batch_upload.settings import Flags, Settings, resolve, truth_of

TICK_S = 1.0
TOLD_EVERY_S = 10
"""How often people are told how far the reading of tags is."""
NOT_STARTED = Exit(ExitCode.DONE, "not begun, as you wished")


def reconcile_manifest(path: Path, flags: Flags, output: Output, *, asks: bool) -> Ended:
    """Prepare, tell the cost, reconcile, and sum up. Raises BatchUploadError where nothing could begin."""
    started = time.monotonic()
    prepared = prepare(path, allow_outside=truth_of(flags, "allow_outside"))
    settings = resolve(flags, manifest=path, ledger=prepared.manifest.ledger, target=prepared.manifest.target)
    asking = asks and sys.stdin.isatty() and sys.stderr.isatty()
    ended = anyio.run(partial(_run, prepared, settings, output, started, asking=asking))
    return replace(ended, repeated=Repeated.of(flags, settings))


async def _run(prepared: Prepared, settings: Settings, output: Output, started: float, *, asking: bool) -> Ended:
    return await _Reconciling(prepared, settings, output, started, asking=asking).run()


class _Reconciling:
    """One run of the verb."""

    def __init__(self, prepared: Prepared, settings: Settings, output: Output, started: float, *, asking: bool) -> None:
        self._prepared = prepared
        self._settings = settings
        self._output = output
        self._started = started
        self._asking = asking
        self._clock = SystemClock()
        self._run_id = new_run_id(self._clock.now())
        self._tally = Tally()
        self._audience = audience_of(output)
        self._interrupts = Interrupts(at_once=self._audience.close)

    @property
    def _batch(self) -> str:
        return self._prepared.manifest.batch

    async def run(self) -> Ended:
        """The verb, with signals watched: one ends it, and what was written until then is right."""
        async with task_group() as group:
            await group.start(self._interrupts.watch)
            group.start_soon(self._tell_now_and_then)
            try:
                return await self._until_interrupted()
            finally:
                self._audience.close()
                group.cancel_scope.cancel()

    async def _tell_now_and_then(self) -> None:
        """A long reading of tags says every now and then how far it is."""
        told = 0
        while True:
            for _ in range(TOLD_EVERY_S):
                await anyio.sleep(TICK_S)
                self._audience.tick(self._clock.now())
            reads = self._tally.requests[LIST_TAGS]
            if reads > told:
                self._audience.notify(Notice(f"tags read: {reads:,}", self._clock.now()))
            told = reads

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
                remembered = await ledger.rates()
                reached = await stack.enter_async_context(
                    reach(self._settings, self._observer(), remembered=remembered, reads_only=True)
                )
                return await self._reconciled(ledger, reached)
        code = self._interrupts.code or ExitCode.OUR_FAULT
        return Ended(self._counted(Summary(verb="reconcile", exit=exit_of(code))))

    def _observer(self) -> Observer:
        return Everybody([self._tally], self._audience)

    async def _reconciled(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        around = surroundings(reached, self._settings, ledger, self._observer(), run_id=self._run_id, root=None)
        await ledger.pin(reached.lane, endpoint=reached.service.endpoint, at=self._clock.now())
        cost = await expected_cost(around, await ask_capacity(around))
        self._tell_cost(cost)
        if self._asking and not await self._is_agreed():
            return Ended(await self._summed_up(around, reached, NOT_STARTED))
        began = self._clock.now()
        failed = await self._worked(around)
        stock = await stock_of(around, self._batch, self._prepared.items)
        summary = await self._summed_up(around, reached, _exit(stock, failed))
        if _is_any_gone(stock):
            note = "hint: raise `generation` of what was deleted at the service to upload it again"
            summary = replace(summary, notes=(*summary.notes, note))
        await ledger.learn(learned(reached.laws, self._tally, now=self._clock.now()))
        if failed is None:
            await self._record(ledger, summary, began)
        return Ended(summary, known=tuple(stock.values()))

    async def _record(self, ledger: SqliteLedger, summary: Summary, began: datetime) -> None:
        """Record the run once it has seen the whole lane: until then an old copy must go on being taken for one."""
        now = self._clock.now()
        await ledger.begin_run(self._run_id, verb="reconcile", batch=self._batch, at=began)
        await ledger.end_run(self._run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=now)

    async def _worked(self, around: Surroundings) -> ServiceError | None:
        """Reconcile as far as the service lets; what stood in the way, or None."""
        try:
            await reconcile(around, self._batch, self._prepared.items)
        except ServiceError as error:
            code = f" ({error.code})" if error.code else ""
            self._audience.notify(
                Notice(f"the lane could not be read to its end{code}: {error.message}", self._clock.now())
            )
            return error
        return None

    def _tell_cost(self, cost: Cost) -> None:
        self._output.event(cost_line(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s))
        self._output.say(f"cost: {cost_words(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s)}")

    async def _is_agreed(self) -> bool:
        """Ask on the terminal. Anything but a yes is a no."""
        sys.stderr.write("reconcile? [y/N] ")
        sys.stderr.flush()
        await anyio.wait_readable(sys.stdin)  # a signal must be able to end this
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    async def _summed_up(self, around: Surroundings, reached: Reached, ending: Exit) -> Summary:
        stock = await stock_of(around, self._batch, self._prepared.items)
        states = Counter(state_of(stock.get(item.item_id)).value for item in self._prepared.items)
        summary = Summary(
            verb="reconcile",
            exit=ending,
            account=reached.lane.account,
            region=reached.lane.region,
            states=states,
            items=len(self._prepared.items),
        )
        return self._counted(summary)

    def _counted(self, summary: Summary) -> Summary:
        return replace(
            summary,
            run_id=self._run_id,
            batch=self._batch,
            adopted=self._tally.adopted,
            requests=dict(self._tally.requests),
            throttled=self._tally.throttled,
            elapsed_s=time.monotonic() - self._started,
        )


def _exit(stock: Mapping[str, Known], failed: ServiceError | None) -> Exit:
    """How it ended. What was never sent is for `upload`, and so is what the service refused."""
    codes = {code for row in stock.values() if (code := _code_of(row)) is not None}
    if failed is not None:
        codes.add(failed.exit_code)
    code = first_of(codes)
    if isinstance(failed, LaneFault) and failed.exit_code is code:
        return Exit(code, failed.message)
    return Exit(code, "done") if code is ExitCode.DONE else exit_of(code)


def _code_of(row: Known) -> ExitCode | None:
    match row.state:
        case State.UNKNOWN:
            return ExitCode.OUTCOMES_UNKNOWN
        case State.SENDING:
            return ExitCode.TRANSIENT
        case State.FAILED if row.attachment_status is not None:
            return ExitCode.ITEMS_FAILED
    return None


def _is_any_gone(stock: Mapping[str, Known]) -> bool:
    return any(row.attachment_status is AttachmentStatus.DELETED for row in stock.values())
