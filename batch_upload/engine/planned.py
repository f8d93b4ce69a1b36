"""Planning a run: plan, look at the lane as far as that needs it, and plan once more if something was found."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.engine.binding import binds_of
from batch_upload.engine.context import LaneContext
from batch_upload.engine.fields import rebind_misplaced
from batch_upload.engine.plan import (
    LaneOutlook,
    Selection,
    StepKind,
    Unfinished,
    new_contents,
    parked_until,
    plan_unfinished,
    steps_left,
    tokens_of,
    twin_reasons,
    unfinished_items,
)
from batch_upload.engine.retry import NOT_ALLOWED
from batch_upload.engine.rows import BatchRows
from batch_upload.engine.settle import find_absent
from batch_upload.engine.survey import DuplicateWatch, ask_before_listing, owes_look, survey
from batch_upload.errors import AccessFault, Refused, Transient
from batch_upload.escape import quoted
from batch_upload.model import Item
from batch_upload.ports import LaneMemory

TWINS_SHOWN = 10
"""How many new items are named that have the bytes of what is at the service already."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what it was made from. `lane_size`: attachments of the lane, None if it was not listed.

    `is_part` and `later` as of `plan_items`.
    """

    unfinished: Unfinished
    selection: Selection
    outlook: LaneOutlook
    batch: str
    is_part: bool = False
    later: Set[str] = frozenset()
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


async def plan_lane(context: LaneContext, nothing: Planned) -> Planned:
    """Plan what is not complete. What is stays so while this run holds the ledger, and is not looked at again."""
    items = nothing.unfinished.items
    compared = await context.ledger.compare(nothing.batch, tokens_of(items), binds_of(items))
    unfinished = unfinished_items(items, compared)
    planned = await _planned(context, replace(nothing, unfinished=unfinished), unfinished.ids)
    await _warn_of_twins(context, planned, items)
    return planned


async def plan_again(context: LaneContext, planned: Planned) -> Planned:
    """Plan with what the ledger knows now, also of ids that it did not know before."""
    unfinished = planned.unfinished
    ids = dict.fromkeys((*(item.item_id for item in unfinished.items), *unfinished.ids))
    return await _planned(context, planned, [*ids])


async def check_fields(context: LaneContext, planned: Planned, memory: LaneMemory) -> None:
    """Have what is not in its field any more bound again, of what a copy or a restored backup has as bound.

    Such a ledger does not know what was put into fields since. What is found in its field is not looked at again.
    Raises LaneFault and LedgerFault, and Withheld.
    """
    binds, since = binds_of(planned.unfinished.items), memory.doubted_before
    if not binds or since is None:
        return
    doubtful = await context.ledger.unconfirmed(planned.batch, since=since)
    bound = [each for each in doubtful if binds.get(each.item_id) == each.bind]
    try:
        misplaced = set(await rebind_misplaced(context, bound))
        found = [each for each in bound if each not in misplaced]
        await context.ledger.confirm(found, run_id=context.run_id, at=context.now())
    except (Refused, Transient, AccessFault) as error:
        if isinstance(error, AccessFault) and error.code not in NOT_ALLOWED:
            raise
        context.notice(f"whether fields still hold what the ledger says could not be read: {error.message}")


async def look_at_lane(
    context: LaneContext, planned: Planned, memory: LaneMemory, duplicates: DuplicateWatch
) -> Planned:
    """Look at the lane, as far as what is to be done needs it, and plan again. Raises as `survey`."""
    if await find_absent(context, planned.rows.absent):
        planned = await plan_again(context, planned)
    if parked_until(planned.rows, planned.outlook) is not None:
        return planned
    items, rows = planned.unfinished.items, planned.rows
    if planned.left(StepKind.CREATE) or planned.chosen(ActionKind.PARKED):
        capacity, first = await ask_before_listing(context, memory)
        lane_size, twice = await survey(context, memory, items, rows, capacity, first)
        duplicates.report(twice)
        outlook = replace(planned.outlook, capacity=capacity, is_capacity_untold=capacity is None)
        return await plan_again(context, replace(planned, outlook=outlook, lane_size=lane_size))
    if not owes_look(context, memory):
        return planned
    try:
        lane_size, twice = await survey(context, memory, items, rows, None)
    except Transient as error:
        context.notice(f"AWS did not say whether anything is there twice: {error.message}")
        return planned
    duplicates.report(twice)
    return replace(planned, lane_size=lane_size)


async def _planned(context: LaneContext, before: Planned, ids: Sequence[str]) -> Planned:
    rows = BatchRows.of(await context.ledger.known_of_ids(before.batch, ids))
    outlook = replace(before.outlook, now=context.now())
    plan = plan_unfinished(before.unfinished, rows, outlook, is_part=before.is_part, later=before.later)
    return replace(before, rows=rows, outlook=outlook, plan=plan)


async def _warn_of_twins(context: LaneContext, planned: Planned, items: Sequence[Item]) -> None:
    """Give notice of what is about to be created with bytes that are at the service already."""
    contents = new_contents(planned.plan)
    twins = await context.ledger.twins(contents) if contents else ()
    reasons = twin_reasons(
        planned.plan, twins, items, batch=planned.batch, is_part=planned.is_part, later=planned.later
    )
    if not reasons:
        return
    created = [each for each in planned.chosen(ActionKind.CREATE) if each.item_id in reasons]
    for each in created[:TWINS_SHOWN]:
        context.notice(f"warning: {quoted(each.item_id)} is {each.reason}, {reasons[each.item_id]}")
    if len(created) > TWINS_SHOWN:
        context.notice(f"warning: and {len(created) - TWINS_SHOWN:,} more; `plan -v` lists all of them")
