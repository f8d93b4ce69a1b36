"""A whole run on a pinned lane: plan, look, carry out the steps that are left, and read how everything ended."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import anyio

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.engine.context import FailureCount, LaneContext
from batch_upload.engine.create_step import CreateStep
from batch_upload.engine.groups import task_group
from batch_upload.engine.lane import Stop, StopKind, Withheld
from batch_upload.engine.plan import (
    TO_SEND,
    LaneOutlook,
    Selection,
    StepKind,
    Unfinished,
    decide,
    new_contents,
    parked_until,
    plan_unfinished,
    replaced_in_progress,
    steps_left,
    tokens_of,
    twin_reasons,
    unfinished_items,
)
from batch_upload.engine.retag import RetagStep
from batch_upload.engine.retry import fault_of
from batch_upload.engine.rows import BatchRows, States, shown_row, state_of_row, with_retries_counted
from batch_upload.engine.settle import Settler, find_absent
from batch_upload.engine.survey import DuplicateWatch, ask_before_listing, owes_look, survey
from batch_upload.errors import LaneFault, LedgerFault, Refused, Transient
from batch_upload.escape import quoted
from batch_upload.events import RunStarted
from batch_upload.model import Capacity, Fault, Item, Known, Lane, State
from batch_upload.operations import CREATE
from batch_upload.ports import Bodies, LaneMemory
from batch_upload.records import Comparison, Duplicate
from batch_upload.settings import NO_LIMIT, MaxFailures

DRAIN_S = 10.0
"""Seconds that what is in flight may take to end after a signal or the deadline."""
AFTER_DEADLINE_S = 50.0
"""Seconds that statuses are still waited for after the deadline. What is asked for then is cut off, so that a run ends
within a minute of its deadline, its summary included."""
TWINS_SHOWN = 10
"""How many new items are named that have the bytes of what is at the service already."""


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How a run is to be done. Durations in seconds."""

    batch: str
    concurrency: int = 8
    deadline_s: float | None = None
    max_failures: MaxFailures = NO_LIMIT
    wait: bool = True
    settle_timeout_s: float = 900.0
    selection: Selection = field(default_factory=Selection)
    is_part: bool = False
    """Whether the manifest lists only a part of its batch."""
    later: Set[str] = frozenset()
    """Ids that the manifest lists, and for which nothing is done in this run."""


@dataclass(frozen=True, slots=True)
class LaneResult:
    """How a run went. `states` has one state for each item of the manifest, by its id."""

    plan: Plan = field(default_factory=lambda: Plan(()))
    states: Mapping[str, State] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    """By item id, what the ledger holds at the end for each item that is not simply complete."""
    stop: Stop | None = None
    ledger_error: LedgerFault | None = None
    capacity: Capacity | None = None
    selected: Set[str] | None = frozenset()
    """The ids that were chosen; None for all."""
    retags_left: int = 0
    """How many of the chosen items are still to get other tags, and were not refused them."""
    duplicates: Sequence[Duplicate] = ()
    """What the service holds with the token of an item beside the ledger's own attachment for it."""

    def counted(self) -> Counter[State]:
        """Return how many items are in each state."""
        return self.states.counted() if isinstance(self.states, States) else Counter(self.states.values())

    def chosen_states(self) -> set[State]:
        """Return the states in which any chosen item is."""
        if self.selected is None:
            return set(self.counted())
        return {self.states[item_id] for item_id in self.selected}


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made from. `lane_size`: attachments of the lane, None if it was not listed."""

    unfinished: Unfinished
    selection: Selection
    outlook: LaneOutlook
    rows: BatchRows = field(default_factory=BatchRows)
    plan: Plan = field(default_factory=lambda: Plan(()))
    lane_size: int | None = None

    def chosen(self, *kinds: ActionKind) -> list[Action]:
        """Return the actions of these kinds that `--only` chose, in order."""
        return [each for each in self.plan.of(*kinds) if self.selection.takes(each.item_id, each.state)]

    def left(self, step: StepKind) -> list[Action]:
        """Return the chosen actions for which a step is left.

        While the day's quota is known to be used up nothing is created, and no open intent is replayed.
        """
        if step is StepKind.CREATE and parked_until(self.rows, self.outlook) is not None:
            return []
        return [action for action in self.chosen(*ActionKind) if step in steps_left(action)]

    @property
    def selected(self) -> frozenset[str] | None:
        """The chosen ids, but for items that were complete before the run; None for all."""
        if self.selection == Selection():
            return None
        return frozenset(each.item_id for each in self.chosen(*ActionKind) if each.kind is not ActionKind.ORPHAN)


class Run:
    """One run over one lane. Used once; `interrupt` may be called at any time from the event loop."""

    def __init__(
        self, context: LaneContext, bodies: Bodies, *, lane: Lane, endpoint: str, options: LaneOptions
    ) -> None:
        self._context = context = replace(context, failures=FailureCount(options.max_failures))
        self._bodies = bodies
        self._lane = lane
        self._endpoint = endpoint
        self._options = options
        self._settler = Settler(context, timeout_s=options.settle_timeout_s)
        self._duplicates = DuplicateWatch(context)
        self._whole = anyio.CancelScope()
        self._looking = anyio.CancelScope()
        self._changing = anyio.CancelScope()

    def interrupt(self, signal_name: str) -> None:
        """Take no new work, let what is in flight end within DRAIN_S, then return from `run`."""
        self._context.stop(Stop(StopKind.SIGNAL, Fault("Interrupted", f"stopped by {signal_name}")))
        self._whole.deadline = anyio.current_time() + DRAIN_S

    async def run(self, items: Sequence[Item], memory: LaneMemory) -> LaneResult:
        """Do it all. `memory` is what `LedgerWriter.pin` returned. Raises LedgerFault where the run cannot be begun.

        Every other fault is in the result: what happened before it has happened.
        """
        context, batch = self._context, self._options.batch
        await context.ledger.begin_run(context.run_id, verb="upload", batch=batch, at=context.now())
        selection = self._options.selection
        planned = Planned(Unfinished(tuple(items)), selection, LaneOutlook(context.now(), None, selection.tries_parked))
        lost: LedgerFault | None = None
        try:
            with self._whole:
                async with task_group() as group:
                    began_at = context.clock.monotonic()
                    if self._options.deadline_s is not None:
                        group.start_soon(self._end_at_deadline, self._options.deadline_s)
                    planned = await self._plan(planned)
                    planned = await self._look(planned, memory)
                    self._tell_start(planned, elapsed_s=context.clock.monotonic() - began_at)
                    planned = await self._enlist(planned)
                    await self._carry_out(planned)
                    group.cancel_scope.cancel()
        except LedgerFault as error:
            lost = error
        except Withheld:
            pass
        except LaneFault as error:
            context.stop_for(error)
        except Refused as error:
            hint = "nothing is created before the lane can be listed"
            context.stop(Stop(StopKind.ACCESS, fault_of(error), hint=hint))
        except Transient as error:
            context.notice(f"what the account already holds could not be learned, nothing was sent: {error.message}")
        if lost is None:
            try:
                return await self._read_result(planned, items)
            except LedgerFault as error:
                lost = error
        context.stop(Stop(StopKind.LEDGER, Fault(type(lost).__name__, lost.message), hint=lost.hint))
        return self._planned_result(planned, items, lost)

    async def _end_at_deadline(self, seconds: float) -> None:
        """Create nothing after so many seconds, let what is in flight end within DRAIN_S, and then only wait."""
        clock = self._context.clock
        await clock.sleep(seconds)
        self._context.stop(Stop(StopKind.DEADLINE, Fault("Deadline", "the deadline has passed")))
        self._looking.cancel()
        self._duplicates.end()
        self._settler.end_within(AFTER_DEADLINE_S)
        await clock.sleep(DRAIN_S)
        self._changing.cancel()
        await clock.sleep(AFTER_DEADLINE_S - DRAIN_S)
        self._whole.cancel()

    # plan, look, and plan once more if that has found something

    async def _plan(self, nothing: Planned) -> Planned:
        """Plan what is not complete. What is stays so while this run holds the ledger, and is not looked at again."""
        items = nothing.unfinished.items
        compared = await self._context.ledger.compare(self._options.batch, tokens_of(items))
        unfinished = unfinished_items(items, compared)
        planned = await self._planned(replace(nothing, unfinished=unfinished), unfinished.ids)
        await self._warn_of_twins(planned, items)
        return planned

    async def _warn_of_twins(self, planned: Planned, items: Sequence[Item]) -> None:
        """Give notice of what is about to be created with bytes that are at the service already."""
        contents = new_contents(planned.plan)
        twins = await self._context.ledger.twins(contents) if contents else ()
        batch, is_part, later = self._options.batch, self._options.is_part, self._options.later
        reasons = twin_reasons(planned.plan, twins, items, batch=batch, is_part=is_part, later=later)
        if not reasons:
            return
        created = [each for each in planned.chosen(ActionKind.CREATE) if each.item_id in reasons]
        for each in created[:TWINS_SHOWN]:
            self._context.notice(f"warning: {quoted(each.item_id)} is {each.reason}, {reasons[each.item_id]}")
        if len(created) > TWINS_SHOWN:
            self._context.notice(f"warning: and {len(created) - TWINS_SHOWN:,} more; `plan -v` lists all of them")

    async def _plan_again(self, planned: Planned) -> Planned:
        """Plan with what the ledger knows now, also of ids that it did not know before."""
        unfinished = planned.unfinished
        ids = dict.fromkeys((*(item.item_id for item in unfinished.items), *unfinished.ids))
        return await self._planned(planned, [*ids])

    async def _planned(self, before: Planned, ids: Sequence[str]) -> Planned:
        rows = BatchRows.of(await self._context.ledger.known_of_ids(self._options.batch, ids))
        outlook = replace(before.outlook, now=self._context.now())
        plan = plan_unfinished(
            before.unfinished, rows, outlook, is_part=self._options.is_part, later=self._options.later
        )
        return replace(before, rows=rows, outlook=outlook, plan=plan)

    async def _look(self, planned: Planned, memory: LaneMemory) -> Planned:
        """Look at the lane, as far as what is to be done needs it, and plan again. Raises Withheld at the deadline."""
        context = self._context
        with self._looking:
            if await find_absent(context, planned.rows.absent):
                planned = await self._plan_again(planned)
            if parked_until(planned.rows, planned.outlook) is not None:
                return planned
            items, rows = planned.unfinished.items, planned.rows
            if planned.left(StepKind.CREATE) or planned.chosen(ActionKind.PARKED):
                capacity, first = await ask_before_listing(context, memory)
                lane_size, twice = await survey(context, memory, items, rows, capacity, first)
                self._duplicates.report(twice)
                outlook = replace(planned.outlook, capacity=capacity, is_capacity_untold=capacity is None)
                return await self._plan_again(replace(planned, outlook=outlook, lane_size=lane_size))
            if not owes_look(context, memory):
                return planned
            try:
                lane_size, twice = await survey(context, memory, items, rows, None)
            except Transient as error:
                context.notice(f"AWS did not say whether anything is there twice: {error.message}")
                return planned
            self._duplicates.report(twice)
            return replace(planned, lane_size=lane_size)
        raise Withheld

    def _tell_start(self, planned: Planned, *, elapsed_s: float) -> None:
        context, deadline_s = self._context, self._options.deadline_s
        states = Counter(each.state.value for each in planned.plan.actions if each.item is not None)
        states[State.COMPLETE.value] += planned.plan.complete
        context.observer.notify(
            RunStarted(
                run_id=context.run_id,
                batch=self._options.batch,
                lane=self._lane,
                endpoint=self._endpoint,
                plan=replace(planned.plan, actions=tuple(planned.chosen(*ActionKind))),
                rate=context.wire.rate(CREATE),
                capacity=planned.outlook.capacity,
                at=context.now(),
                deadline_s=None if deadline_s is None else max(0.0, deadline_s - elapsed_s),
                states=+states,
            )
        )

    # the steps

    async def _enlist(self, planned: Planned) -> Planned:
        """Make the manifest's tokens current, also those that the manifest has gone back to; park for a full lane."""
        ledger, now = self._context.ledger, self._context.now()
        to_send, parked = planned.chosen(*TO_SEND), planned.chosen(ActionKind.PARKED)
        returned = [each for each in planned.chosen(ActionKind.UNCHANGED) if each.known and not each.known.current]
        await ledger.enlist([each.item for each in (*to_send, *parked, *returned) if each.item], at=now)
        # where the manifest has turned the identity tag on or off since, what is sent must follow the ledger's new row
        if any(
            each.known and each.item and each.known.client_token == each.item.client_token
            and each.known.identity_tag != each.item.identity_tag
            for each in (*to_send, *parked)
        ):  # fmt: skip
            planned = await self._plan_again(planned)
        new = [action for action in parked if action.state is not State.PARKED]
        if new:
            until = parked_until(planned.rows, planned.outlook)
            tokens = [action.client_token for action in new]
            await ledger.park(tokens, Fault("NoCapacity", new[0].reason), resume_after=until)
        return planned

    async def _carry_out(self, planned: Planned) -> None:
        """Run the steps that are left. Settling goes on beside the others; tags change last: nothing new waits."""
        context, settler, options = self._context, self._settler, self._options
        create, retag = CreateStep(context, self._bodies, settler), RetagStep(context, settler)
        jobs, retags = create.jobs_of(planned.left(StepKind.CREATE)), planned.left(StepKind.RETAG)
        context.failures.expect([*(job.known.item_id for job in jobs), *(each.item_id for each in retags)])
        for known in replaced_in_progress(planned.rows, planned.plan) if planned.selected is None else ():
            settler.watch(known, is_told=False)
        for action in planned.chosen(ActionKind.UNCHANGED):
            if action.known is not None:
                settler.watch(action.known)
        if planned.lane_size is not None:
            settler.lane_size = planned.lane_size
        elif jobs or settler.waiting:
            settler.lane_size = await context.ledger.standing_count()
        async with task_group() as group:
            if options.wait:
                group.start_soon(self._settle)
            with self._changing:
                await create.run(jobs, workers=options.concurrency)
                await retag.run([*retags, *create.retags])
            settler.close()
            must_look = settler.created or create.adopted or context.doubtful
            looks_meanwhile = must_look and not settler.lists_at_end
            if looks_meanwhile:  # the settler asks by ids, and the lane can be listed while the service still works
                await self._duplicates.look(None)
        if must_look and not looks_meanwhile:
            await self._duplicates.look(settler.last_listing)

    async def _settle(self) -> None:
        """Settle. Where AWS does not answer until time is up, the look for duplicates is left to the next run, too."""
        await self._settler.run()
        if self._settler.is_cut_off:
            self._duplicates.end()

    # how everything ended

    async def _read_result(self, planned: Planned, items: Sequence[Item]) -> LaneResult:
        """Park what a full lane left, and read from the ledger how everything ended."""
        ledger, batch, stop = self._context.ledger, self._options.batch, self._context.lane.stop
        with anyio.CancelScope(shield=True):
            if not planned.plan.counts:  # the run was stopped before it had planned
                planned = await self._plan(planned)
            if stop is not None and stop.kind is StopKind.CAPACITY:
                tokens = {action.client_token for action in planned.chosen(*TO_SEND)}
                ids = [action.item_id for action in planned.chosen(*TO_SEND)]
                sent = [row for row in await ledger.known_of_ids(batch, ids) if row.client_token in tokens]
                waiting = [row.client_token for row in sent if row.state in (State.PENDING, State.PARKED)]
                await ledger.park(waiting, stop.fault, resume_after=stop.resume_after)
            rest = planned.unfinished.items
            # comparing first means that what is complete by now is not read
            left = unfinished_items(rest, Comparison(await ledger.unfinished(batch, tokens_of(rest))))
            rows = BatchRows.of(await ledger.known_of_ids(batch, left.ids))
        shown = {item.item_id: shown_row(item, rows) for item in left.items}
        found = with_retries_counted([row for row in shown.values() if row], rows.by_token.values())
        selected = planned.selected
        retags = [action for action in (decide(item, rows) for item in left.items) if action.kind is ActionKind.RETAG]
        retags = [each for each in retags if selected is None or each.item_id in selected]
        return LaneResult(
            plan=planned.plan,
            states=States(items, {item_id: state_of_row(row) for item_id, row in shown.items()}),
            known={row.item_id: row for row in found},
            stop=self._context.lane.stop,
            capacity=planned.outlook.capacity,
            selected=selected,
            retags_left=sum(action.state is not State.FAILED for action in retags),
            duplicates=tuple(self._duplicates.found),
        )

    def _planned_result(self, planned: Planned, items: Sequence[Item], error: LedgerFault) -> LaneResult:
        """Return the states as they were planned, since the ledger cannot be read."""
        states = {action.item_id: action.state for action in planned.plan.actions if action.item}
        if not planned.plan.counts:
            states = {item.item_id: State.PENDING for item in items}
        return LaneResult(
            plan=planned.plan,
            states=States(items, states),
            stop=self._context.lane.stop,
            ledger_error=error,
            capacity=planned.outlook.capacity,
            selected=frozenset(states),
            duplicates=tuple(self._duplicates.found),
        )
