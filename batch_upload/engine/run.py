"""A whole run: from the plan to the last status, with everything that can stop it on the way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import anyio

from batch_upload.engine.duplicates import DuplicateWatch
from batch_upload.engine.failures import FailureLimit, FailureWatch
from batch_upload.engine.flow import Flow
from batch_upload.engine.groups import task_group
from batch_upload.engine.job import Job, job_of
from batch_upload.engine.lane import Stop, StopKind, Withheld
from batch_upload.engine.outcome import fault_of
from batch_upload.engine.plan import (
    LaneOutlook,
    Selection,
    Unfinished,
    parked_until,
    plan_unfinished,
    replaced_in_progress,
    tokens_of,
    unfinished_items,
)
from batch_upload.engine.result import LaneResult
from batch_upload.engine.retag import pairs_of, retag, retags_of
from batch_upload.engine.rows import BatchRows, States, new_row, row_of, shown_row, with_retries_counted
from batch_upload.engine.settle import Settler, find_absent
from batch_upload.engine.survey import ask_capacity, owes_look, survey
from batch_upload.engine.upload import Surroundings, stop_lane
from batch_upload.errors import LaneFault, LedgerUnusable, Refused, Transient
from batch_upload.events import LaneStopped, Notice, RunStarted
from batch_upload.model import Action, ActionKind, Fault, Item, Known, Lane, Plan, State
from batch_upload.operations import CREATE
from batch_upload.ports import LaneMemory, moment
from batch_upload.records import Comparison

TO_SEND = (ActionKind.CREATE, ActionKind.REPLACE)
TO_WORK = (*TO_SEND, ActionKind.RESOLVE)
DRAIN_S = 10.0
"""How long what is in flight may take to end after a signal or the deadline."""
AFTER_DEADLINE_S = 50.0
"""How long statuses are still waited for after the deadline. What is asked for then is cut off, so that a run ends
within a minute of its deadline, its summary included."""


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How a run is to be done. Durations in seconds."""

    batch: str
    concurrency: int = 8
    deadline_s: float | None = None
    max_failures: FailureLimit = field(default_factory=FailureLimit)
    wait: bool = True
    settle_timeout_s: float = 900.0
    selection: Selection = field(default_factory=Selection)
    is_part: bool = False
    """Whether the manifest lists only a part of its batch."""


class Run:
    """One run over one lane. Used once; `interrupt` may be called at any time from the event loop."""

    def __init__(self, around: Surroundings, *, lane: Lane, endpoint: str, options: LaneOptions) -> None:
        self._around = around
        self._lane = lane
        self._endpoint = endpoint
        self._options = options
        self._result = LaneResult()
        self._memory: LaneMemory | None = None
        self._sifted: Unfinished | None = None
        self._knowledge = BatchRows()
        self._lane_size: int | None = None
        self._is_capacity_untold = False
        self._settler: Settler | None = None
        self._parked_until: datetime | None = None
        self._scope = anyio.CancelScope()
        self._deciding = anyio.CancelScope()
        self._duplicates = DuplicateWatch(around)
        self._result.duplicates = self._duplicates.found
        self._changing = anyio.CancelScope()

    def interrupt(self, signal_name: str) -> None:
        """Take no new work, let what is in flight end within DRAIN_S, then return from `run`."""
        self._stop(Stop(StopKind.SIGNAL, Fault("Interrupted", f"stopped by {signal_name}")))
        self._scope.deadline = anyio.current_time() + DRAIN_S

    async def run(self, items: Sequence[Item], *, watch: FailureWatch) -> LaneResult:
        """Do it all. Raises LedgerOfAnotherLane, and LedgerUnusable where nothing at all could be read.

        Every other fault is in the result: what happened before it has happened.
        """
        around = self._around
        self._memory = await around.ledger.pin(self._lane, endpoint=self._endpoint, at=around.clock.now())
        await around.ledger.begin_run(around.run_id, verb="upload", batch=self._options.batch, at=around.clock.now())
        try:
            with self._scope:
                await self._go(items, watch)
        except LedgerUnusable as error:
            self._lose_ledger(error)
        except Withheld:
            pass
        except LaneFault as error:
            stop_lane(around, error)
        except Refused as error:
            self._stop(Stop(StopKind.ACCESS, fault_of(error), hint="nothing is created before the lane can be listed"))
        except Transient as error:
            self._notice(f"what the account already holds could not be learned, nothing was sent: {error.message}")
        await self._sum_up(items)
        return self._result

    async def _sum_up(self, items: Sequence[Item]) -> None:
        try:
            if self._result.ledger_error is None:
                await self._take_stock(items)
        except LedgerUnusable as error:
            self._lose_ledger(error)
        if self._result.ledger_error is not None:
            self._take_stock_of_plan(items)
        self._result.stop = self._around.lane.stop

    def _lose_ledger(self, error: LedgerUnusable) -> None:
        self._result.ledger_error = error
        self._stop(Stop(StopKind.LEDGER, Fault("LedgerUnusable", error.message), hint=error.hint))

    async def _go(self, items: Sequence[Item], watch: FailureWatch) -> None:
        async with task_group() as group:
            if self._options.deadline_s is not None:
                group.start_soon(self._deadline, self._options.deadline_s)
            await self._decide(items)
            await self._enlist()
            await self._carry_out(watch)
            group.cancel_scope.cancel()

    async def _deadline(self, seconds: float) -> None:
        """Create nothing after so many seconds, let what is in flight end within DRAIN_S, and then only wait."""
        await self._around.clock.sleep(seconds)
        self._stop(Stop(StopKind.DEADLINE, Fault("Deadline", "the deadline has passed")))
        self._deciding.cancel()
        self._duplicates.end()
        if self._settler is not None:
            self._settler.end_within(AFTER_DEADLINE_S)
        await self._around.clock.sleep(DRAIN_S)
        self._changing.cancel()
        await self._around.clock.sleep(AFTER_DEADLINE_S - DRAIN_S)
        self._scope.cancel()

    async def _decide(self, items: Sequence[Item]) -> None:
        """Plan; if anything is to be sent, look at the lane first, and plan again with what was found."""
        around, deadline_s = self._around, self._options.deadline_s
        began_at = around.clock.monotonic()
        knowledge, outlook = await self._plan(items)
        self._parked_until = parked_until(knowledge, outlook)
        with self._deciding:
            await self._look(knowledge)
        if self._deciding.cancelled_caught:
            raise Withheld
        if deadline_s is not None:
            deadline_s = max(0.0, deadline_s - (around.clock.monotonic() - began_at))
        around.observer.notify(
            RunStarted(
                run_id=around.run_id,
                batch=self._options.batch,
                lane=self._lane,
                endpoint=self._endpoint,
                plan=self._chosen_plan(),
                rate=around.wire.rate(CREATE),
                capacity=self._result.capacity,
                at=around.clock.now(),
                deadline_s=deadline_s,
                states=_states_of(self._result.plan),
            )
        )

    async def _look(self, knowledge: BatchRows) -> None:
        """Look at the lane, as far as what is to be done needs it, and plan again."""
        if await find_absent(self._around, knowledge.absent):
            await self._plan_again()
            knowledge = self._knowledge
        if self._parked_until is not None:
            return
        if self._chosen(*TO_WORK, ActionKind.PARKED):
            self._result.capacity = await ask_capacity(self._around)
            self._is_capacity_untold = self._result.capacity is None
            await self._survey(knowledge)
            await self._plan_again()
        elif self._memory is not None and owes_look(self._around, self._memory):
            try:
                await self._survey(knowledge)
            except Transient as error:
                self._notice(f"AWS did not say whether anything is there twice: {error.message}")

    async def _plan(self, items: Sequence[Item]) -> tuple[BatchRows, LaneOutlook]:
        """Plan what is not complete. What is stays so while this run holds the ledger, and is not looked at again."""
        compared = await self._around.ledger.compare(self._options.batch, tokens_of(items))
        sifted = self._sifted = unfinished_items(items, compared)
        return await self._plan_rest(sifted, sifted.ids)

    async def _plan_again(self) -> None:
        """Plan with what the ledger knows now, also of ids that it did not know before."""
        sifted = self._sifted
        if sifted is not None:
            await self._plan_rest(sifted, _ids_of(sifted))

    async def _plan_rest(self, sifted: Unfinished, ids: Sequence[str]) -> tuple[BatchRows, LaneOutlook]:
        knowledge = self._knowledge = await self._known_of(ids)
        tries_parked = self._options.selection.tries_parked
        outlook = LaneOutlook(self._around.clock.now(), self._result.capacity, tries_parked, self._is_capacity_untold)
        self._result.plan = plan_unfinished(sifted, knowledge, outlook, is_part=self._options.is_part)
        return knowledge, outlook

    async def _known_of(self, ids: Sequence[str]) -> BatchRows:
        return BatchRows.of(await self._around.ledger.known_of_ids(self._options.batch, ids))

    async def _survey(self, knowledge: BatchRows) -> None:
        memory, sifted, capacity = self._memory, self._sifted, self._result.capacity
        if memory is not None and sifted is not None:
            self._lane_size, twice = await survey(self._around, memory, sifted.items, knowledge, capacity)
            self._duplicates.report(twice)

    async def _enlist(self) -> None:
        """Make the manifest's tokens stand for its ids, those that the manifest has gone back to, too."""
        parked = self._chosen(ActionKind.PARKED)
        to_send = [*self._chosen(*TO_SEND), *parked]
        returned = [each for each in self._chosen(ActionKind.UNCHANGED) if each.known and not each.known.current]
        wanted = [action.item for action in (*to_send, *returned) if action.item]
        await self._around.ledger.enlist(wanted, at=self._around.clock.now())
        if any(_is_retagged(action) for action in to_send):
            await self._plan_again()  # what is sent carries the tag that the ledger says it carries
        await self._keep_parked(parked)

    async def _carry_out(self, watch: FailureWatch) -> None:
        options, jobs = self._options, self._jobs()
        watch.count(job.known.item_id for job in jobs)
        watch.count(action.item_id for action in self._chosen(ActionKind.RETAG))
        settler = self._settler = await self._new_settler(jobs)
        flow = Flow(self._around, settler)
        async with task_group() as group:
            if options.wait:
                group.start_soon(settler.run)
            with self._changing:
                await flow.run(jobs, workers=options.concurrency)
                await self._retag(flow.retags, settler)
            settler.close()
        if settler.created or flow.adopted or self._around.doubtful:
            await self._duplicates.look(settler.last_listing)

    async def _retag(self, late: Sequence[tuple[Item, Known]], settler: Settler) -> None:
        """Change tags last: nothing new waits for it. `late` are items that were found to want it meanwhile."""
        retags = retags_of([*pairs_of(self._chosen(ActionKind.RETAG)), *late], self._knowledge)
        if retags:
            await retag(self._around, retags, self._result.retag)
        for known in self._result.retag.done:
            settler.watch(known)

    async def _new_settler(self, jobs: Sequence[Job]) -> Settler:
        """A settler that watches what earlier runs have created."""
        unfinished = [each.known for each in self._chosen(ActionKind.UNCHANGED) if each.known is not None]
        unfinished = [known for known in unfinished if known.state is State.PROCESSING]
        replaced = replaced_in_progress(self._knowledge, self._result.plan) if self._takes_all() else []
        if self._lane_size is None and (jobs or unfinished or replaced):
            self._lane_size = await self._around.ledger.standing_count()
        settler = Settler(self._around, lane_size=self._lane_size or 0, timeout_s=self._options.settle_timeout_s)
        for known in replaced:
            settler.watch(known, is_told=False)
        for known in unfinished:
            settler.watch(known)
        if self._is_past_deadline():
            settler.end_within(AFTER_DEADLINE_S)
        return settler

    async def _keep_parked(self, parked: Sequence[Action]) -> None:
        """A full lane is full for what is new, too."""
        new = [action for action in parked if action.state is not State.PARKED]
        if new:
            fault = Fault("NoCapacity", new[0].reason)
            tokens = [action.client_token for action in new]
            await self._around.ledger.park(tokens, fault, resume_after=self._parked_until)

    def _is_past_deadline(self) -> bool:
        stop = self._around.lane.stop
        return stop is not None and stop.kind is StopKind.DEADLINE

    def _takes_all(self) -> bool:
        return self._options.selection == Selection()

    def _chosen(self, *kinds: ActionKind) -> list[Action]:
        selection = self._options.selection
        return [action for action in self._result.plan.of(*kinds) if selection.takes(action.item_id, action.state)]

    def _chosen_plan(self) -> Plan:
        return replace(self._result.plan, actions=tuple(self._chosen(*ActionKind)))

    def _jobs(self) -> list[Job]:
        """Open intents first, since their horizon is running, then what is new, in the manifest's order.

        While the day's quota is known to be used up nothing is sent, open intents neither.
        """
        if self._parked_until is not None:
            return []
        resolving = [self._job_to_resolve(action) for action in self._chosen(ActionKind.RESOLVE)]
        creating = [self._job_to_create(action) for action in self._chosen(*TO_SEND)]
        return [*resolving, *creating]

    def _job_to_resolve(self, action: Action) -> Job:
        known, item = action.known, action.item
        if known is None or item is None:
            raise TypeError("a resolve has both, what was sent and what is wanted")
        same = known.client_token == item.client_token
        job = self._job(known, item if same else None)
        if not same:
            job.successor, job.successor_known = item, row_of(item, self._knowledge)
        return job

    def _job_to_create(self, action: Action) -> Job:
        item, known = action.item, action.known
        if item is None:
            raise TypeError("a create has an item")
        same = known is not None and known.client_token == item.client_token
        return self._job(known if same and known is not None else new_row(item), item)

    def _job(self, known: Known, item: Item | None) -> Job:
        around = self._around
        return job_of(known, item, now=moment(around.clock), stretch=around.ledger.stretch)

    async def _take_stock(self, items: Sequence[Item]) -> None:
        """Park what a full lane left, and read from the ledger how everything stands."""
        with anyio.CancelScope(shield=True):
            stop = self._around.lane.stop
            if stop is not None and stop.kind is StopKind.CAPACITY:
                await self._park(stop)
            if self._sifted is None:
                await self._plan(items)
            rest = self._sifted.items if self._sifted else ()
            unfinished = await self._around.ledger.unfinished(self._options.batch, tokens_of(rest))
            left = unfinished_items(
                rest, Comparison(unfinished)
            )  # what is complete costs a comparison, and no row that is read
            knowledge = await self._known_of(left.ids)
        rows = {**{item.item_id: shown_row(item, knowledge) for item in left.items}, **self._result.retag.failed}
        found = with_retries_counted([row for row in rows.values() if row], knowledge.by_token.values())
        self._result.known = {row.item_id: row for row in found}
        states = {item_id: State.PENDING if row is None else row.state for item_id, row in rows.items()}
        self._result.states = States(items, states)
        self._result.selected = self._selected()

    def _selected(self) -> frozenset[str] | None:
        """What was chosen, but for items that were complete before: nothing was to be done for them anyway."""
        if self._takes_all():
            return None
        chosen = self._chosen(*(kind for kind in ActionKind if kind is not ActionKind.ORPHAN))
        return frozenset(action.item_id for action in chosen)

    def _take_stock_of_plan(self, items: Sequence[Item]) -> None:
        """The ledger cannot be asked: what it said when the run was planned."""
        planned = {action.item_id: action.state for action in self._result.plan.actions if action.item}
        if self._sifted is None or not self._result.plan.counts:
            planned = {item.item_id: State.PENDING for item in items}
        self._result.states = States(items, planned)
        self._result.selected = frozenset(planned)

    async def _park(self, stop: Stop) -> None:
        to_send = self._chosen(*TO_SEND)
        tokens = [action.client_token for action in to_send]
        knowledge = await self._known_of([action.item_id for action in to_send])
        rows = [knowledge.by_token[token] for token in tokens if token in knowledge.by_token]
        waiting = [row.client_token for row in rows if row.state in (State.PENDING, State.PARKED)]
        await self._around.ledger.park(waiting, stop.fault, resume_after=stop.resume_after)

    def _stop(self, stop: Stop) -> None:
        if self._around.lane.stop_with(stop):
            now = self._around.clock.now()
            self._around.observer.notify(LaneStopped(stop.fault, stop.kind.drains, stop.resume_after, now))

    def _notice(self, message: str) -> None:
        self._around.observer.notify(Notice(message, self._around.clock.now()))


def _ids_of(sifted: Unfinished) -> list[str]:
    """The ids of which everything must be known once the ledger was written to."""
    return [*dict.fromkeys((*(item.item_id for item in sifted.items), *sifted.ids))]


def _states_of(plan: Plan) -> Counter[str]:
    states = Counter(each.state.value for each in plan.actions if each.item is not None)
    states[State.COMPLETE.value] += plan.complete
    return +states


def _is_retagged(action: Action) -> bool:
    """Whether the manifest has turned the identity tag of a token on or off since it was enlisted."""
    known, item = action.known, action.item
    if known is None or item is None or known.client_token != item.client_token:
        return False
    return known.identity_tag != item.identity_tag
