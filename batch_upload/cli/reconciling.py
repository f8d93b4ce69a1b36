"""What `reconcile` does once its flags are read."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from batch_upload.app.exits import first_of
from batch_upload.app.items import ready
from batch_upload.app.lane import Reached, surroundings
from batch_upload.app.rates import learned
from batch_upload.cli.asking import can_ask, is_agreed
from batch_upload.cli.bodies import DocumentBodies
from batch_upload.cli.flags import Flags, options_of
from batch_upload.cli.on_lane import TICK_S, OnLane, ready_or_recorded
from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.clock import counting_s
from batch_upload.engine.looking import Cost
from batch_upload.engine.plan import is_absent
from batch_upload.engine.reconcile import expected_cost, reconcile, stock_of
from batch_upload.engine.retry import LIST_TAGS
from batch_upload.engine.survey import ask_capacity
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import ExitCode, LaneFault, ServiceError
from batch_upload.events import Notice
from batch_upload.ledger.store import SqliteLedger
from batch_upload.model import AttachmentStatus, Capacity, Known, State
from batch_upload.report.verification import cost_line, cost_words
from batch_upload.summary import Exit, exit_of

TOLD_EVERY_S = 10
"""How often people are told how far the reading of tags is."""
NOT_STARTED = Exit(ExitCode.DONE, "not begun, as you wished")


def reconcile_manifest(path: Path, flags: Flags, output: Output, *, asks: bool) -> Ended:
    """Prepare, tell the cost, reconcile, and sum up. Raises BatchUploadError where nothing could begin."""
    started = counting_s()
    prepared, settings = ready_or_recorded("reconcile", path, flags, output)
    repeated = Repeated.of(flags, settings)
    asking = asks and can_ask()

    async def run() -> Ended:
        read = partial(ready, path, options_of(flags))
        verb = _Reconciling(prepared, settings, output, repeated, started=started, read=read)
        verb.asking = asking
        return await verb.run()

    return anyio.run(run)


class _Reconciling(OnLane):
    """One run of the verb."""

    verb = "reconcile"
    asking = False
    _not_yet = 0

    async def beside(self) -> None:
        """A long reading of tags says every now and then how far it is."""
        told = 0
        while True:
            for _ in range(TOLD_EVERY_S):
                await anyio.sleep(TICK_S)
                self.audience.tick(self.clock.now())
            reads = self.tally.requests[LIST_TAGS]
            if reads > told:
                self.audience.notify(Notice(f"tags read: {reads:,}", self.clock.now()))
            told = reads

    async def work(self, ledger: SqliteLedger, reached: Reached) -> Ended:
        bodies = DocumentBodies(None)  # of which none is read
        around = surroundings(reached, self.settings, ledger, self.observer, run_id=self.run_id, bodies=bodies)
        await ledger.pin(reached.lane, endpoint=reached.service.endpoint, at=self.clock.now())
        capacity = await ask_capacity(around)
        cost = await expected_cost(around, capacity)
        self._tell_cost(cost)
        if self.asking and not await is_agreed("reconcile?"):
            return Ended(self.summed_up(await stock_of(around, self.batch, self.prepared.items), NOT_STARTED))
        await ledger.begin_run(self.run_id, verb=self.verb, batch=self.batch, at=self.clock.now())
        failed = None
        with self.draining(reached):
            failed = await self._worked(around, capacity)
        stock = await stock_of(around, self.batch, self.prepared.items)
        summary = self.summed_up(stock, _exit(stock, failed, not_yet=self._not_yet, signalled=self.interrupts.code))
        if _is_any_gone(stock):
            note = "hint: raise `generation` of what was deleted at the service to upload it again"
            summary = replace(summary, notes=(*summary.notes, note))
        now = self.clock.now()
        await ledger.learn(learned(reached.laws, self.tally, now=now))
        await ledger.end_run(self.run_id, exit_code=summary.exit.code, summary=summary.as_json(), at=now)
        return Ended(summary, known=tuple(stock.values()))

    async def _worked(self, around: Surroundings, capacity: Capacity | None) -> ServiceError | None:
        """Reconcile as far as the service lets; what stood in the way, or None."""
        try:
            self._not_yet = await reconcile(around, self.batch, self.prepared.items, capacity)
        except ServiceError as error:
            code = f" ({error.code})" if error.code else ""
            self.audience.notify(
                Notice(f"the lane could not be read to its end{code}: {error.message}", self.clock.now())
            )
            return error
        return None

    def _tell_cost(self, cost: Cost) -> None:
        self.output.event(cost_line(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s))
        self.output.say(f"cost: {cost_words(pages=cost.pages, tag_reads=cost.tag_reads, time_s=cost.time_s)}")


def _exit(stock: Mapping[str, Known], failed: ServiceError | None, *, not_yet: int, signalled: ExitCode | None) -> Exit:
    """How it ended. What was never sent is for `upload`, and so is what the service refused."""
    codes = {code for row in stock.values() if (code := _code_of(row)) is not None}
    if failed is not None:
        codes.add(failed.exit_code)
    if signalled is not None:
        codes.add(signalled)
    if not_yet:
        codes.add(ExitCode.STILL_PROCESSING)
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
        case State.FAILED if row.attachment_status in _LOST or is_absent(row):
            return ExitCode.ITEMS_FAILED
    return None


_LOST = (AttachmentStatus.FAILED, AttachmentStatus.DELETED)


def _is_any_gone(stock: Mapping[str, Known]) -> bool:
    return any(row.attachment_status is AttachmentStatus.DELETED for row in stock.values())
