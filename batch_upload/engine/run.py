"""A whole run on a pinned lane: plan, look, carry out the steps that are left, and read how everything ended."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import anyio

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.engine.bind import BindStep
from batch_upload.engine.binding import binds_of, must_follow
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
    must_enlist,
    parked_until,
    replaced_in_progress,
    tokens_of,
    unfinished_items,
)
from batch_upload.engine.planned import Planned, check_fields, look_at_lane, plan_again, plan_lane
from batch_upload.engine.retag import RetagStep
from batch_upload.engine.retry import fault_of
from batch_upload.engine.rows import BatchRows, States, row_of, shown_row, state_of_row, with_retries_counted
from batch_upload.engine.settle import Settler
from batch_upload.engine.survey import DuplicateWatch
from batch_upload.errors import LaneFault, LedgerFault, Refused, Transient
from batch_upload.events import RunStarted
from batch_upload.model import Capacity, Fault, Item, Known, Lane, State
from batch_upload.operations import CREATE, PUT_FIELD
from batch_upload.ports import Bodies, LaneMemory
from batch_upload.records import Comparison, Duplicate
from batch_upload.registration import Registration
from batch_upload.settings import NO_LIMIT, MaxFailures

DRAIN_S = 10.0
"""Seconds that what is in flight may take to end after a signal or the deadline."""
AFTER_DEADLINE_S = 50.0
"""Seconds that statuses are still waited for after the deadline. What is asked for then is cut off, so that a run ends
within a minute of its deadline, its summary included."""


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
    registrations: Mapping[str, Registration] = field(default_factory=dict)
    """By id, those that were asked for before the run."""


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
    binds_left: int = 0
    """How many of the chosen items are still to be put into their fields, and were not refused that."""
    registrations_ready: Sequence[str] = ()
    """Ids of the registrations whose fields hold every attachment that the manifest binds to them, the last one since
    this run."""
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
        self._bind = BindStep(context, options.registrations)
        self._settler = Settler(context, timeout_s=options.settle_timeout_s, bind=self._bind.add)
        self._duplicates = DuplicateWatch(context)
        self._whole = anyio.CancelScope()
        self._checking = anyio.CancelScope()
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
        self._bind.doubt_before(memory.doubted_before)
        await context.ledger.begin_run(context.run_id, verb="upload", batch=batch, at=context.now())
        selection = self._options.selection
        planned = Planned(
            Unfinished(tuple(items)),
            selection,
            LaneOutlook(context.now(), tries_parked=selection.tries_parked, registrations=self._options.registrations),
            batch=batch,
            is_part=self._options.is_part,
            later=self._options.later,
        )
        lost: LedgerFault | None = None
        try:
            with self._whole:
                async with task_group() as group:
                    began_at = context.clock.monotonic()
                    if self._options.deadline_s is not None:
                        group.start_soon(self._end_at_deadline, self._options.deadline_s)
                    await self._check_fields(planned, memory)
                    planned = await plan_lane(context, planned)
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
        self._checking.cancel()
        self._looking.cancel()
        self._duplicates.end()
        self._settler.end_within(AFTER_DEADLINE_S)
        await clock.sleep(DRAIN_S)
        self._changing.cancel()
        self._bind.end()
        await clock.sleep(AFTER_DEADLINE_S - DRAIN_S)
        self._whole.cancel()

    async def _check_fields(self, planned: Planned, memory: LaneMemory) -> None:
        """Hold what a copy of a ledger says of fields against the service. Raises Withheld at the deadline."""
        with self._checking:
            return await check_fields(self._context, planned, memory)
        raise Withheld

    async def _look(self, planned: Planned, memory: LaneMemory) -> Planned:
        """Look at the lane, and plan again. Raises Withheld at the deadline."""
        with self._looking:
            return await look_at_lane(self._context, planned, memory, self._duplicates)
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
        """Make the manifest's tokens and binds current, also those that it has gone back to; park for a full lane."""
        ledger, now = self._context.ledger, self._context.now()
        to_send, parked = planned.chosen(*TO_SEND), planned.chosen(ActionKind.PARKED)
        enlisted = [each for each in planned.chosen(*ActionKind) if must_enlist(each)]
        await ledger.enlist([each.item for each in enlisted if each.item], at=now)
        await self._tell_moved(enlisted)
        # where the manifest has turned the identity tag on or off since, what is sent must follow the ledger's new row
        if any(
            each.known and each.item and each.known.client_token == each.item.client_token
            and each.known.identity_tag != each.item.identity_tag
            for each in (*to_send, *parked)
        ):  # fmt: skip
            planned = await plan_again(self._context, planned)
        new = [action for action in parked if action.state is not State.PARKED]
        if new:
            until = parked_until(planned.rows, planned.outlook)
            tokens = [action.client_token for action in new]
            await ledger.park(tokens, Fault("NoCapacity", new[0].reason), resume_after=until)
        return planned

    async def _tell_moved(self, enlisted: Sequence[Action]) -> None:
        """Report what is in another state since its `bind` was changed, added or removed."""
        before = {
            each.client_token: each.known.state
            for each in enlisted
            if each.item and each.known and each.known.is_live and must_follow(each.item, each.known)
        }
        for row in await self._rows_of([each for each in enlisted if each.client_token in before]):
            if row.state is not before[row.client_token]:
                self._context.tell(row)

    async def _rows_of(self, actions: Sequence[Action]) -> list[Known]:
        """Return what the ledger knows now of the tokens of these actions."""
        tokens, ids = {each.client_token for each in actions}, [each.item_id for each in actions]
        rows = await self._context.ledger.known_of_ids(self._options.batch, ids) if ids else ()
        return [row for row in rows if row.client_token in tokens]

    async def _carry_out(self, planned: Planned) -> None:
        """Run the steps that are left. Settling and binding go on beside the others; tags change last: nothing new
        waits."""
        context, settler, bind, options = self._context, self._settler, self._bind, self._options
        create, retag = CreateStep(context, self._bodies, settler), RetagStep(context, settler)
        to_create, retags = planned.left(StepKind.CREATE), planned.left(StepKind.RETAG)
        to_bind = planned.chosen(ActionKind.BIND)
        context.failures.expect(each.item_id for each in (*to_create, *retags, *to_bind))
        self._watch_processing(planned)
        if calls := len(planned.left(StepKind.BIND)):
            context.wire.expect(PUT_FIELD, calls)
        for known in await self._rows_of(to_bind):
            bind.add(known)
        if planned.lane_size is not None:
            settler.lane_size = planned.lane_size
        elif to_create or settler.waiting:
            settler.lane_size = await context.ledger.standing_count()
        async with task_group() as binding:
            binding.start_soon(bind.run)
            async with task_group() as group:
                if options.wait:
                    group.start_soon(self._settle)
                with self._changing:
                    await create.run(create.jobs_of(to_create), workers=options.concurrency)
                    await retag.run([*retags, *create.retags])
                settler.close()
                must_look = settler.created or create.adopted or context.doubtful
                looks_meanwhile = must_look and not settler.lists_at_end
                if looks_meanwhile:  # the settler asks by ids, and the lane can be listed while the service still works
                    await self._duplicates.look(None)
            bind.close()
            if must_look and not looks_meanwhile:
                await self._duplicates.look(settler.last_listing)

    def _watch_processing(self, planned: Planned) -> None:
        """Hand over to the settler what the service was at work on before this run."""
        for known in replaced_in_progress(planned.rows, planned.plan) if planned.selected is None else ():
            self._settler.watch(known, is_told=False)
        for action in planned.chosen(ActionKind.UNCHANGED):
            if action.known is not None and action.known.state is State.PROCESSING:
                self._settler.watch(action.known)

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
                planned = await plan_lane(self._context, planned)
            if stop is not None and stop.kind is StopKind.CAPACITY:
                tokens = {action.client_token for action in planned.chosen(*TO_SEND)}
                ids = [action.item_id for action in planned.chosen(*TO_SEND)]
                sent = [row for row in await ledger.known_of_ids(batch, ids) if row.client_token in tokens]
                waiting = [row.client_token for row in sent if row.state in (State.PENDING, State.PARKED)]
                await ledger.park(waiting, stop.fault, resume_after=stop.resume_after)
            rest = planned.unfinished.items
            # comparing first means that what is complete by now is not read
            left = unfinished_items(rest, Comparison(await ledger.unfinished(batch, tokens_of(rest), binds_of(rest))))
            rows = BatchRows.of(await ledger.known_of_ids(batch, left.ids))
        shown = {item.item_id: shown_row(item, rows) for item in left.items}
        found = with_retries_counted([row for row in shown.values() if row], rows.by_token.values())
        selected = planned.selected
        decided = [action for item in left.items if (action := decide(item, rows)).state is not State.FAILED]
        kinds = Counter(each.kind for each in decided if selected is None or each.item_id in selected)
        return LaneResult(
            plan=planned.plan,
            states=States(items, {item_id: state_of_row(row) for item_id, row in shown.items()}),
            known={row.item_id: row for row in found},
            stop=self._context.lane.stop,
            capacity=planned.outlook.capacity,
            selected=selected,
            retags_left=kinds[ActionKind.RETAG],
            binds_left=kinds[ActionKind.BIND],
            registrations_ready=self._ready(items, left.items, rows),
            duplicates=tuple(self._duplicates.found),
        )

    def _ready(self, items: Sequence[Item], left: Sequence[Item], rows: BatchRows) -> list[str]:
        """Return the registrations in whose fields this run has put the last of what the manifest binds to them."""
        bound = {item.client_token for item in left if (row := row_of(item, rows)) and row.bound_to == item.bind}
        waiting = {item.bind.registration for item in left if item.bind and item.client_token not in bound}
        listed = {item.bind.registration for item in items if item.bind}
        return sorted((self._bind.registrations & listed) - waiting)

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
