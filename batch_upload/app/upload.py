"""`upload`: send a manifest's items to the service and wait until it has finished with them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from anyio import to_thread

from batch_upload.actions import ActionKind
from batch_upload.app.choice import check_only, ready_to_send
from batch_upload.app.exits import exit_of_run, exit_with_invalid
from batch_upload.app.interruption import Interruption
from batch_upload.app.items import LanePart
from batch_upload.app.lane import Reached, lane_context
from batch_upload.app.lane_run import UNREACHED_HINT, LaneRun, RunScope
from batch_upload.app.left_out import LeftOutItems, unchosen_states
from batch_upload.app.observers import Silent
from batch_upload.app.rates import is_news, learned
from batch_upload.app.registrations import (
    definitions_since,
    has_bind,
    items_to_look_at,
    look_at,
    registrations_invalid,
    with_all,
    without_problems,
)
from batch_upload.app.sendable import Prepared
from batch_upload.app.session import Session
from batch_upload.engine.binding import NO_REGISTRATIONS
from batch_upload.engine.groups import task_group, time_limit
from batch_upload.engine.plan import Selection
from batch_upload.engine.registrations import record_look
from batch_upload.engine.rows import BatchRows
from batch_upload.engine.run import LaneOptions, LaneResult, Run
from batch_upload.errors import ExitCode, LedgerFault
from batch_upload.events import Notice, RunEnded
from batch_upload.model import Known, Problem, State
from batch_upload.ports import LedgerWriter, Observer
from batch_upload.records import RateRecord
from batch_upload.registration import Registration
from batch_upload.service.access import Ask
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, Summary, run_ended, summary_of_run
from batch_upload.words import count_words

NEWS_CHECK_S = 1.0
"""Seconds between two checks whether a rate has changed enough to be recorded at once."""
REMEMBER_S = 30.0
"""Seconds after which the learned rates are recorded in any case."""
PROBLEMS_NOTICED = 10
"""Problems of one lane of several that are named; the table of lanes has their number."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `summary.exit` has the result, with the command's exit code."""

    summary: Summary
    known: Mapping[str, Known] = field(default_factory=dict)
    """By item id, the ledger's row at the end of each item that is not simply complete. Empty for several lanes."""
    invalid: Sequence[Known] = ()
    """With `skip_invalid` each item that cannot be sent, in the manifest's order: `fault` says why. Its state is
    `invalid`, whatever the ledger has of it. Empty for several lanes."""
    lanes: Mapping[str, "RunResult"] = field(default_factory=dict)
    """With `targets` in the manifest: how each lane ended, by its label (`acme/us-east-1`)."""
    problems: Sequence[Problem] = ()
    """Of one lane of several: what is wrong with the `bind` of its items, so that nothing was sent (exit 21)."""


async def upload(
    manifest: str | Path,
    options: RunOptions | None = None,
    *,
    observer: Observer | None = None,
    interruption: Interruption | None = None,
    ask: Ask | None = None,
) -> RunResult:
    """Upload what a manifest lists and is not at the service yet, and wait until the service has finished with it.

    The same call again goes on where this one ended, also after a kill. `observer` gets the events of `events.py`.
    `interruption` ends the run from outside; cancelling the task does too, and leaves a request in flight unanswered,
    which the next run resolves. `ask` is called where a profile needs the code of an MFA device.

    Returns a result also if items failed or are left: see `result.summary.exit`. Raises BatchUploadError if nothing
    could begin: ManifestInvalid, UsageError, LedgerLocked, LedgerUnusable, AccessFault, or NoAnswer.
    """
    path, wanted = Path(manifest), options or RunOptions()

    def read() -> tuple[Prepared, Settings]:
        prepared, settings = ready_to_send(path, wanted)
        check_only(settings, prepared)
        return prepared, settings

    prepared, settings = await to_thread.run_sync(read, abandon_on_cancel=True)
    session = UploadSession(prepared, settings, observer or Silent(), read=read, interruption=interruption, ask=ask)
    return await session.run()


class UploadSession(Session[RunResult]):
    """One run of `upload`."""

    verb = "upload"

    def lane_run(self, scope: RunScope, part: LanePart) -> "UploadLane":
        return UploadLane(scope, part)

    def of_lanes(self, summary: Summary, ends: Mapping[str, RunResult]) -> RunResult:
        return RunResult(summary, lanes=ends)

    def ended(self, summary: Summary) -> None:
        self.observer.notify(run_ended(summary, self.clock.now()))


class UploadLane(LaneRun[RunResult]):
    """One lane's part of a run of `upload`."""

    verb = "upload"
    ledger_error: LedgerFault | None = None
    """Why the ledger could not be written any more; None if it could to the end."""
    problems: Sequence[Problem] = ()
    """What is wrong with the `bind` of items, where nothing is sent for that reason."""

    def __init__(self, scope: RunScope, part: LanePart) -> None:
        super().__init__(scope, part)
        self.left_out = LeftOutItems(part, self.observer)

    async def work(self, ledger: LedgerWriter, reached: Reached) -> RunResult:
        memory = await self.take_lane(ledger, reached)
        settings, registrations = self.settings, NO_REGISTRATIONS
        if has_bind(self.prepared):
            async with time_limit(self.scope.left_s, self.clock) as limit:
                registrations = await self.look_at_registrations(ledger, reached)
            if limit.is_up:
                return await self.ended_by_deadline(ledger)
        self.left_out = LeftOutItems(self.part, self.observer)
        unchosen = await to_thread.run_sync(unchosen_states, self.part) if self.prepared.unchosen else {}
        await self.left_out.read(ledger, unchosen)
        root = None if settings.allow_outside else self.prepared.manifest.folder
        context = lane_context(reached, settings, ledger, self.left_out, run_id=self.scope.run_id)
        options, endpoint = replace(self.lane_options(), registrations=registrations), reached.service.endpoint
        bodies = self.scope.reader.bodies(root)
        run = Run(context, bodies, lane=reached.lane, endpoint=endpoint, options=options)
        self.interruption.drain_with(run.interrupt)
        async with task_group() as group:
            group.start_soon(self.remember_rates, ledger, reached)
            result = await run.run(self.prepared.items, memory)
            group.cancel_scope.cancel()
        self.ledger_error = result.ledger_error
        ended = self.summary_of(result, reached)
        if result.ledger_error is None:
            ended = await self.recorded(ledger, reached, ended)
        return RunResult(ended, result.known, invalid=tuple(self.left_out.rows))

    def ended_early(self, summary: Summary) -> RunResult:
        ending = summary.exit
        if ending.code is not ExitCode.ITEMS_FAILED:  # which says so already
            ending = exit_with_invalid(ending, len(self.prepared.unread))
        return RunResult(replace(summary, exit=ending), invalid=tuple(self.left_out.rows), problems=self.problems)

    async def look_at_registrations(self, ledger: LedgerWriter, reached: Reached) -> Mapping[str, Registration]:
        """Look at the registrations that the chosen items are bound to, record what was found, and return them by id.

        Items with a problem are left out with `skip_invalid`; otherwise raise ManifestInvalid. Raises AccessFault and
        Transient where the service does not tell.
        """
        settings, now, rows = self.settings, self.clock.now(), BatchRows()
        selection = Selection(settings.only_states, settings.only_ids)
        if selection != Selection():
            ids = [item.item_id for item in self.prepared.items if item.bind is not None]
            rows = BatchRows.of(await ledger.known_of_ids(self.batch, ids))
        items = items_to_look_at(self.prepared, selection, rows)
        if not items:
            return NO_REGISTRATIONS
        context = lane_context(reached, settings, ledger, self.observer, run_id=self.scope.run_id)
        known_definitions = await ledger.field_definitions(after=definitions_since(now))
        bound = await ledger.bound(self.batch)
        look = await look_at(reached, items, bound, known_definitions, notice=context.notice)
        await record_look(context, look)
        sendable = without_problems(self.prepared, look.problems)
        if sendable.stops:
            self.problems = sendable.problems
            self.report_problems()
            error = registrations_invalid(sendable.manifest.path, self.problems, is_skippable=bool(sendable.items))
            if self.part.target.label is not None:  # the lane ends with a reason alone
                first = ", the first" if len(self.problems) > 1 else ""
                error.message = f"{error.message}{first}: {self.problems[0]}"
            raise error
        self.prepared = sendable
        self.part = replace(self.part, prepared=sendable)
        return look.registrations

    def report_problems(self) -> None:
        """Give notice of the problems of one lane of several. Those of an only lane are in the error that it raises."""
        if self.part.target.label is None:
            return
        for problem in self.problems[:PROBLEMS_NOTICED]:
            self.listener.notify(Notice(str(problem), self.clock.now()))
        more = len(self.problems) - PROBLEMS_NOTICED
        if more > 0:
            words = f"and {count_words(more, 'problem')} more; `plan --json` has all of them"
            self.listener.notify(Notice(words, self.clock.now()))

    def summed_up(self, rows: Mapping[str, Known], ending: Exit) -> Summary:
        summary = super().summed_up(rows, ending)
        states = Counter(summary.states) + self.left_out.states
        return replace(summary, states=states, items=self.prepared.total)

    def time_limit_s(self) -> float | None:
        return None  # the run keeps to the deadline itself, and waits for statuses after it

    async def remember_rates(self, ledger: LedgerWriter, reached: Reached) -> None:
        """Record what is learned of the rates until cancelled, so that it survives a kill."""
        written, at = self.learned_rates(reached), self.clock.monotonic()
        while True:
            await anyio.sleep(NEWS_CHECK_S)
            found, now = self.learned_rates(reached), self.clock.monotonic()
            if is_news(found, written) or now - at >= REMEMBER_S:
                written, at = found, now
                with suppress(LedgerFault):  # the run itself stops at a ledger that cannot be written
                    await ledger.learn(found)

    def learned_rates(self, reached: Reached) -> list[RateRecord]:
        """Return the rates as they are learned so far."""
        return learned(reached.laws, self.tally, now=self.clock.now())

    async def recorded(self, ledger: LedgerWriter, reached: Reached, summary: Summary) -> Summary:
        """Record the end of the run. Return its summary: exit 22 for errors that were transient for a day."""
        if not summary.uploaded and not summary.adopted and not summary.bound:
            ending = await self.visible(ledger, summary.exit)
            if ending is not summary.exit:
                notes = (*summary.notes, f"hint: {UNREACHED_HINT}")
                unreached_for_s = self.counted(ending).unreached_for_s
                summary = replace(summary, exit=ending, notes=notes, unreached_for_s=unreached_for_s)
        try:
            await self.record_result(ledger, reached, summary)
        except LedgerFault as error:
            notes = (*summary.notes, *((f"hint: {error.hint}",) if error.hint else ()))
            return replace(summary, exit=Exit(error.exit_code, error.message), notes=notes)
        return summary

    def lane_options(self) -> LaneOptions:
        """Return the settings as the engine takes them."""
        settings = self.settings
        return LaneOptions(
            batch=self.batch,
            concurrency=settings.concurrency,
            deadline_s=self.scope.left_s,
            max_failures=settings.max_failures,
            wait=settings.wait,
            settle_timeout_s=settings.settle_timeout_s,
            selection=Selection(settings.only_states, settings.only_ids),
            is_part=self.prepared.is_part or bool(self.prepared.unread or self.prepared.unchosen),
            later=self.prepared.young_ids,
        )

    def summary_of(self, result: LaneResult, reached: Reached) -> Summary:
        """Return the summary of a run that reached its end, and notify the observer of it."""
        states, hint = result.counted(), ""
        if result.ledger_error is not None:
            moved = {item_id: state for item_id, state in self.tally.states.items() if state is not State.INVALID}
            states = Counter({**result.states, **moved}.values())
        if result.stop is not None and result.stop.hint:
            hint = result.stop.hint
        elif result.duplicates:
            hint = "`batch-upload verify` names what is there twice; delete what nothing uses at the service"
        self.left_out.report_invalid(self.clock.now())
        ended = RunEnded(
            states=Counter({state.value: count for state, count in states.items()}) + self.left_out.states,
            requests=dict(self.tally.requests),
            throttled=self.tally.throttled,
            uploaded=self.tally.uploaded,
            adopted=self.tally.adopted,
            unchanged=result.plan.counts[ActionKind.UNCHANGED],
            bytes_sent=self.tally.bytes_sent,
            elapsed_s=self.scope.elapsed_s,
            at=self.clock.now(),
            notes=(f"hint: {hint}",) if hint else (),
        )
        self.listener.notify(ended)
        summary = summary_of_run(
            ended,
            verb=self.verb,
            run_id=self.scope.run_id,
            batch=self.batch,
            lane=reached.lane,
            items=self.prepared.total,
            ending=exit_with_invalid(exit_of_run(result, signalled=self.interruption.code), len(self.prepared.unread)),
        )
        return replace(
            summary,
            bound=self.tally.bound,
            warnings=len(self.prepared.warnings),
            registrations_ready=with_all(result.registrations_ready, self.prepared),
        )
