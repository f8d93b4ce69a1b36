"""A lane that another process works on, followed through the ledger alone: the same events, and the same summary."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from batch_upload.actions import ActionKind, Plan
from batch_upload.app.exits import exit_with_invalid
from batch_upload.app.plan_input import PlanInput
from batch_upload.app.rates import expected_create_rate
from batch_upload.engine.plan import LaneOutlook, Selection
from batch_upload.engine.rows import BatchRows, shown_row, state_of_row
from batch_upload.errors import ExitCode
from batch_upload.events import ItemChanged, RunStarted
from batch_upload.model import Known, Lane, OutcomeKind, State
from batch_upload.ports import LedgerReader
from batch_upload.records import Mark, RunRecord
from batch_upload.summary import Exit, Summary

RUNS_READ = 50
"""Runs of a lane that are searched for those that are followed."""
SUMMED = ("uploaded", "adopted", "bound", "throttled", "bytes")
"""Members of a summary's JSON that are added up over the attempts of a run."""


def run_id_of_attempt(run_id: str, number: int) -> str:
    """Return the id under which the ledger has an attempt of a lane's run; attempts count from 1."""
    return run_id if number == 1 else f"{run_id}.{number}"


@dataclass(frozen=True, slots=True)
class FollowedEnd:
    """How a followed lane ended. `rows`: of each item that is not simply complete, as `RunResult.known`."""

    summary: Summary
    rows: Sequence[Known]


class LaneFollower:
    """One lane of a run. `given` is what the ledger held before; every method is to be called in one thread."""

    def __init__(self, given: PlanInput, run_id: str) -> None:
        self.target = given.target
        self._given = given
        self._run_id = run_id
        self._batch = given.prepared.manifest.batch
        self._items = {item.item_id for item in given.unfinished.items}
        self._marks: dict[str, Mark] = {}
        self._attachments = {row.client_token for row in given.rows.by_token.values() if row.attachment_id}
        self._ended = {row.item_id for row in given.rows.current.values() if row.state is State.COMPLETE}
        """Items of which nothing is left to report; those with `bind` may become `binding` again."""
        self._has_begun = False

    def begin(self, reader: LedgerReader) -> None:
        """Take the ledger as it is now as known."""
        self._marks = {mark.client_token: mark for mark in reader.marks(self._batch)}

    def runs(self, reader: LedgerReader) -> list[RunRecord]:
        """Return the attempts of the run on this lane that the ledger has, the latest first."""
        found = reader.runs(self._batch, RUNS_READ)
        return [run for run in found if run.run_id == self._run_id or run.run_id.startswith(f"{self._run_id}.")]

    def look(self, reader: LedgerReader) -> Iterator[object]:
        """Yield the events of what was written since the last look."""
        if not self._has_begun:
            runs = self.runs(reader)
            if not runs:
                return
            self._has_begun = True
            yield self._started(reader, runs[-1])
            for row in self._given.invalid:
                yield ItemChanged(row, ended=True, created=False, at=datetime.now(UTC))
        marks = {mark.client_token: mark for mark in reader.marks(self._batch)}
        changed = [token for token, mark in marks.items() if self._marks.get(token) != mark]
        self._marks = marks
        for known in reader.known_of(self._batch, changed) if changed else ():
            if known.state is State.BINDING:  # its registration has a new version
                self._ended.discard(known.item_id)
            if known.current and known.item_id in self._items - self._ended:
                yield self._changed(known, ended=known.state is State.COMPLETE)

    def end(self, reader: LedgerReader, ending: Exit, notes: tuple[str, ...]) -> tuple[list[object], FollowedEnd]:
        """Return the last events, and how the lane ended: `ending`, with the counts of the ledger."""
        events = list(self.look(reader))
        rows = BatchRows.of(reader.known_of_ids(self._batch, sorted(self._items)) if self._items else ())
        shown = {item.item_id: shown_row(item, rows) for item in self._given.unfinished.items}
        left = [row for row in shown.values() if row is not None]
        if self._has_begun:
            events += [self._changed(row, ended=True) for row in left if row.item_id not in self._ended]
        states = Counter(state_of_row(row).value for row in shown.values())
        states[State.COMPLETE.value] += self._given.unfinished.complete
        states.update({state.value: count for state, count in self._given.left_out().items()})
        if ending.code is not ExitCode.ITEMS_FAILED:  # the worker has said so otherwise
            ending = exit_with_invalid(ending, len(self._given.invalid))
        runs, lane = self.runs(reader), reader.lane()
        sums, requests = self._sums(reader, runs)
        ready = {each for run in runs for each in (run.summary or {}).get("registrations_ready") or ()}
        summary = Summary(
            verb="upload",
            exit=ending,
            run_id=self._run_id,
            batch=self._batch,
            account=lane.account if lane else self.target.account,
            region=lane.region if lane else self.target.region,
            states=+states,
            items=self._given.items,
            uploaded=sums["uploaded"],
            adopted=sums["adopted"],
            bound=sums["bound"],
            unchanged=self._given.plan(LaneOutlook(datetime.now(UTC))).counts[ActionKind.UNCHANGED],
            requests=dict(requests),
            throttled=sums["throttled"],
            bytes_sent=sums["bytes"],
            registrations_ready=tuple(sorted(ready)),
            notes=notes,
        )
        not_complete = [row for row in left if row.state is not State.COMPLETE]
        return events, FollowedEnd(summary, [*not_complete, *self._given.invalid])

    def _sums(self, reader: LedgerReader, runs: Sequence[RunRecord]) -> tuple[Counter[str], Counter[str]]:
        """Return what the attempts of the run did together, and their requests by operation.

        Of an attempt without an end only the accepted creates are counted: the ledger has no summary of it.
        """
        sums, requests = Counter[str](), Counter[str]()
        cut_off = {run.run_id for run in runs if run.ended_at is None}
        for run in runs:
            sums.update({name: int((run.summary or {}).get(name) or 0) for name in SUMMED})
            requests.update((run.summary or {}).get("requests") or {})
        for tally in reader.tallies(self._batch) if cut_off else ():
            if tally.run_id in cut_off and tally.kind is OutcomeKind.ACCEPTED:
                sums["uploaded"] += tally.count
        return sums, requests

    def _started(self, reader: LedgerReader, run: RunRecord) -> RunStarted:
        given, settings = self._given, self._given.settings
        plan, chosen = given.plan(LaneOutlook(run.began_at)), Selection(settings.only_states, settings.only_ids)
        actions = tuple(each for each in plan.actions if chosen.takes(each.item_id, each.state))
        return RunStarted(
            run_id=self._run_id,
            batch=self._batch,
            lane=reader.lane() or Lane(self.target.account or "", self.target.region or ""),
            endpoint=reader.endpoint() or "",
            plan=Plan(actions, plan.complete, plan.more_orphans),
            rate=expected_create_rate(settings, given.rates, now=run.began_at),
            capacity=None,
            at=run.began_at,
            states={state.value: count for state, count in given.states().items()},
        )

    def _changed(self, known: Known, *, ended: bool) -> ItemChanged:
        is_new = known.attachment_id is not None and known.client_token not in self._attachments
        if is_new:
            self._attachments.add(known.client_token)
        if ended:
            self._ended.add(known.item_id)
        return ItemChanged(known, ended=ended, created=is_new, at=datetime.now(UTC))


def exit_in_ledger(run: RunRecord) -> Exit:
    """Return how a run ended, as the ledger has it. `run` has an end."""
    ending = (run.summary or {}).get("exit") or {}
    after = ending.get("resume_after")
    code = ExitCode(run.exit_code or 0)
    return Exit(code, str(ending.get("reason") or ""), datetime.fromisoformat(after) if after else None)
