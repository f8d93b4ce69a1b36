"""`reconcile`: write into the ledger what the service proves. Only reads at the service."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from batch_upload.app.exits import first_of
from batch_upload.app.items import LanePart
from batch_upload.app.joint_decision import JointDecision
from batch_upload.app.lane import Reached, lane_context
from batch_upload.app.lane_run import LaneRun, RunScope
from batch_upload.app.session import Session
from batch_upload.engine.groups import task_group
from batch_upload.engine.listing import Cost
from batch_upload.engine.reconcile import expected_cost, reconcile, stock_of
from batch_upload.engine.rows import is_absent
from batch_upload.engine.survey import ask_capacity
from batch_upload.errors import ExitCode, LaneFault, ServiceError
from batch_upload.events import Notice
from batch_upload.model import AttachmentStatus, Known, State
from batch_upload.operations import LIST_TAGS
from batch_upload.ports import LedgerWriter
from batch_upload.summary import NOT_BEGUN, Exit, Summary, exit_of

REPORT_S = 10.0
"""Seconds between two notices of how many tags were read."""
LOST = (AttachmentStatus.FAILED, AttachmentStatus.DELETED)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """How it ended, and what the ledger holds for each item, by item id."""

    summary: Summary
    known: Mapping[str, Known] = field(default_factory=dict)
    lanes: Mapping[str, "ReconcileResult"] = field(default_factory=dict)
    """With `targets` in the manifest: how each lane ended, by its label (`acme/us-east-1`)."""


async def agree(_costs: Mapping[str | None, Cost]) -> bool:
    """Let it begin, whatever it costs."""
    return True


class ReconcileSession(Session[ReconcileResult]):
    """One run of `reconcile`. `may_begin` is asked once the expected cost of every lane is known."""

    verb = "reconcile"

    def __init__(
        self,
        *given: Any,  # noqa: ANN401 - what Session takes
        may_begin: Callable[[Mapping[str | None, Cost]], Awaitable[bool]] = agree,
        **named: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*given, **named)
        self._decision = JointDecision(may_begin)

    def lane_run(self, scope: RunScope, part: LanePart) -> "ReconcileLane":
        self._decision.expect(part.target.label)
        return ReconcileLane(scope, part, self._decision)

    def lane_ended(self, label: str) -> None:
        self._decision.leave(label)

    def of_lanes(self, summary: Summary, ends: Mapping[str, ReconcileResult]) -> ReconcileResult:
        return ReconcileResult(summary, lanes=ends)


class ReconcileLane(LaneRun[ReconcileResult]):
    """One lane's part of a run of `reconcile`."""

    verb = "reconcile"

    def __init__(self, scope: RunScope, part: LanePart, decision: JointDecision[Cost]) -> None:
        super().__init__(scope, part)
        self._decision = decision

    async def work(self, ledger: LedgerWriter, reached: Reached) -> ReconcileResult:
        await self.take_lane(ledger, reached)
        items = self.prepared.items
        context = lane_context(reached, self.settings, ledger, self.observer, run_id=self.scope.run_id)
        capacity = await ask_capacity(context)
        if not await self._decision.of(self.part.target.label, await expected_cost(context, capacity)):
            return ReconcileResult(self.summed_up(await stock_of(context, self.batch, items), NOT_BEGUN))
        await ledger.begin_run(self.scope.run_id, verb=self.verb, batch=self.batch, at=self.clock.now())
        failed: ServiceError | None = None
        not_yet = 0

        async def report_reads() -> None:
            reported = 0
            while True:
                await anyio.sleep(REPORT_S)
                reads = self.tally.requests[LIST_TAGS]
                if reads > reported:
                    self.listener.notify(Notice(f"tags read: {reads:,}", self.clock.now()))
                reported = reads

        with self.draining(reached):
            async with task_group() as group:
                group.start_soon(report_reads)
                try:
                    not_yet = await reconcile(context, self.batch, items, capacity)
                except ServiceError as error:
                    failed = error
                    code = f" ({error.code})" if error.code else ""
                    message = f"the lane could not be read to its end{code}: {error.message}"
                    self.listener.notify(Notice(message, self.clock.now()))
                group.cancel_scope.cancel()
        rows = await stock_of(context, self.batch, items)
        ending = exit_of_reconcile(rows, failed, not_yet=not_yet, signalled=self.interruption.code)
        summary = self.summed_up(rows, ending)
        if any(row.attachment_status is AttachmentStatus.DELETED for row in rows.values()):
            note = "hint: raise `generation` of what was deleted at the service to upload it again"
            summary = replace(summary, notes=(*summary.notes, note))
        await self.record_result(ledger, reached, summary)
        return ReconcileResult(summary, rows)

    def ended_early(self, summary: Summary) -> ReconcileResult:
        return ReconcileResult(summary)


def exit_of_reconcile(
    rows: Mapping[str, Known], failed: ServiceError | None, *, not_yet: int, signalled: ExitCode | None
) -> Exit:
    """Return how it ended. What was never sent or was refused is for `upload`, and does not count."""
    codes: set[ExitCode] = set()
    for row in rows.values():
        match row.state:
            case State.UNKNOWN:
                codes.add(ExitCode.OUTCOMES_UNKNOWN)
            case State.SENDING:
                codes.add(ExitCode.TRANSIENT)
            case State.FAILED if row.attachment_status in LOST or is_absent(row):
                codes.add(ExitCode.ITEMS_FAILED)
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
