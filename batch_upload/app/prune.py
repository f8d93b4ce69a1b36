"""`prune`: delete attachments that are proved ours and that the manifest no longer lists."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batch_upload.app.exits import first_of
from batch_upload.app.items import LanePart
from batch_upload.app.joint_decision import JointDecision
from batch_upload.app.lane import Reached, lane_context
from batch_upload.app.lane_run import LaneRun, RunScope
from batch_upload.app.session import Session
from batch_upload.engine.prune import Pruning, Result, look_at_unfinished, prune, pruning, spare_bound
from batch_upload.errors import ExitCode, ServiceError, UsageError
from batch_upload.events import PruneOutcome
from batch_upload.model import Manifest
from batch_upload.ports import LedgerWriter
from batch_upload.summary import Exit, Summary, exit_of

DELETERS = 4
"""Deletes in flight at once: at one a second more would only wait for slots."""
NOT_AGREED = Exit(ExitCode.DONE, "nothing was deleted, as you wished")
NOTHING_TO_DELETE = Exit(ExitCode.DONE, "nothing to delete")


@dataclass(frozen=True, slots=True)
class PruneResult:
    """How it ended. `counts` by outcome; `left`: attachments that were not looked at, since the run stopped before."""

    summary: Summary
    counts: Mapping[PruneOutcome, int] = field(default_factory=dict)
    left: int = 0
    was_cut_off: bool = False
    """Whether the deadline or an interruption came before the work."""


class PruneSession(Session[PruneResult]):
    """One run of `prune`. `decide` gets what would be deleted in each lane, and returns whether it may be."""

    verb = "prune"

    def __init__(
        self,
        *given: Any,  # noqa: ANN401 - what Session takes
        decide: Callable[[Mapping[str | None, Pruning]], Awaitable[bool]],
        **named: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*given, **named)
        self._decision = JointDecision(decide)

    def chosen(self, parts: Sequence[LanePart]) -> Sequence[LanePart]:
        return parts  # a lane for which the manifest lists nothing any more may hold attachments

    def lane_run(self, scope: RunScope, part: LanePart) -> "PruneLane":
        self._decision.expect(part.target.label)
        return PruneLane(scope, part, self._decision)

    def lane_ended(self, label: str) -> None:
        self._decision.leave(label)

    def of_lanes(self, summary: Summary, ends: Mapping[str, PruneResult]) -> PruneResult:
        counts = Counter[PruneOutcome]()
        for end in ends.values():
            counts.update(end.counts)
        was_cut_off = all(end.was_cut_off for end in ends.values())
        if summary.exit.code is ExitCode.DONE and any(end.summary.exit == NOT_AGREED for end in ends.values()):
            summary = replace(summary, exit=NOT_AGREED)  # other lanes may have had nothing to delete
        return PruneResult(summary, counts, sum(end.left for end in ends.values()), was_cut_off)


class PruneLane(LaneRun[PruneResult]):
    """One lane's part of a run of `prune`."""

    verb = "prune"

    def __init__(self, scope: RunScope, part: LanePart, decision: JointDecision[Pruning]) -> None:
        super().__init__(scope, part)
        self._decision = decision

    async def work(self, ledger: LedgerWriter, reached: Reached) -> PruneResult:
        await self.take_lane(ledger, reached)
        demand_whole(self.prepared.manifest)  # it may have been read again
        context = lane_context(reached, self.settings, ledger, self.observer, run_id=self.scope.run_id)
        rows = await ledger.known(self.batch)
        found = pruning(self.prepared.items, rows, later=self.prepared.young_ids)
        if await look_at_unfinished(context, found):
            rows = await ledger.known(self.batch)
            found = pruning(self.prepared.items, rows, later=self.prepared.young_ids)
        found = await spare_bound(context, found)
        may_begin = await self._decision.of(self.part.target.label, found)
        if not found.candidates or not may_begin:
            ending = NOT_AGREED if found.candidates else NOTHING_TO_DELETE
            return PruneResult(self.summed_up(self.rows_by_id(rows), ending))
        await ledger.begin_run(self.scope.run_id, verb=self.verb, batch=self.batch, at=self.clock.now())
        result, failed = Result(), None
        try:
            with self.draining(reached):
                await prune(context, found.candidates, result, at_once=min(DELETERS, self.settings.concurrency))
        except ServiceError as error:
            failed = error
        left = len(found.candidates) - sum(result.counts.values())
        ending = exit_of_pruning(result, failed, signalled=self.interruption.code)
        summary = self.summed_up(self.rows_by_id(await ledger.known(self.batch)), ending)
        await self.record_result(ledger, reached, summary)
        return PruneResult(summary, result.counts, left)

    def ended_early(self, summary: Summary) -> PruneResult:
        return PruneResult(summary, was_cut_off=True)


def demand_whole(manifest: Manifest) -> None:
    """Raise UsageError for a part of a manifest."""
    if manifest.part_of is not None:
        raise UsageError(
            f"`{manifest.path}` lists only a part of `{manifest.part_of}`: `prune` would delete the attachments of"
            " everything else",
            hint=f"run `prune` on `{manifest.folder / manifest.part_of}`",
        )


def exit_of_pruning(result: Result, failed: ServiceError | None, *, signalled: ExitCode | None) -> Exit:
    codes = set() if signalled is None else {signalled}
    if failed is not None:
        codes.add(failed.exit_code)
    if result.unproved:
        codes.add(ExitCode.DISAGREEMENT)
    if result.refused:
        codes.add(ExitCode.ITEMS_FAILED)
    if result.counts[PruneOutcome.OPEN]:
        codes.add(ExitCode.TRANSIENT)
    code = first_of(codes)
    if failed is not None and failed.exit_code is code:
        return Exit(code, failed.message)
    return Exit(code, "done") if code is ExitCode.DONE else exit_of(code)
