"""What to do for each item, and why: pure functions of the manifest's items and the ledger's rows.

Most items of most runs are complete, under the very token that the manifest asks for. The ledger compares tokens and
returns the others (`unfinished_items`); only for those are all rows read and a decision made.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.engine.binding import (
    NO_REGISTRATIONS,
    bind_reason,
    is_bound,
    must_bind,
    must_follow,
    place,
    then_bound,
    whereabouts,
    with_obstacle,
)
from batch_upload.engine.rows import (
    BatchRows,
    has_failed_upload,
    is_absent,
    is_half_retagged,
    is_to_be_bound,
    next_try,
    row_of,
    with_refused_tags,
    with_retry,
)
from batch_upload.escape import quoted
from batch_upload.model import OPEN, AttachmentStatus, Capacity, Item, Known, State
from batch_upload.records import Comparison, Twin
from batch_upload.registration import Registration
from batch_upload.token import RETRIES_MAX


class StepKind(StrEnum):
    """A step on the way of an item. An item for which none is left is complete."""

    CREATE = "create"
    """Make the attachment, or find out whether an earlier request made it."""
    SETTLE = "settle"
    """Wait until the service has finished with the attachment."""
    RETAG = "retag"
    """Give the attachment other tags."""
    BIND = "bind"
    """Put the attachment into the field of its registration."""


TO_SEND = (ActionKind.CREATE, ActionKind.REPLACE)
_CREATED = frozenset({*TO_SEND, ActionKind.RESOLVE})
_WITH_STEPS = frozenset({*_CREATED, ActionKind.UNCHANGED, ActionKind.RETAG, ActionKind.BIND})


def steps_left(action: Action) -> frozenset[StepKind]:
    """Return the steps that a decision leaves for this run. None for what is complete, parked, failed or orphaned."""
    item, known = action.item, action.known
    if item is None or action.kind not in _WITH_STEPS:
        return frozenset()
    if known is None or action.kind in _CREATED:
        made = {StepKind.CREATE, StepKind.SETTLE}
        return frozenset(made if item.bind is None else {*made, StepKind.BIND})
    steps = {StepKind.RETAG} if action.kind is ActionKind.RETAG else set[StepKind]()
    if known.state is State.PROCESSING:
        steps.add(StepKind.SETTLE)
    if must_bind(item, known) or (known.state is State.PROCESSING and not is_bound(item, known)):
        steps.add(StepKind.BIND)
    return frozenset(steps)


def must_enlist(action: Action) -> bool:
    """Return whether the ledger must be told of an item's token or `bind` before the steps that are left."""
    item, known = action.item, action.known
    if action.kind in TO_SEND or action.kind is ActionKind.PARKED:
        return True
    if item is None or known is None:
        return False
    if action.kind in (ActionKind.UNCHANGED, ActionKind.BIND):
        return not known.current or must_follow(item, known)
    # the attachment that an open intent may have made is bound once it is found
    is_own = action.kind is ActionKind.RESOLVE and known.client_token == item.client_token
    return is_own and must_follow(item, known)


@dataclass(frozen=True, slots=True)
class Selection:
    """What `--only` chose. Empty sets choose everything. Choosing `parked` ignores `resume_after`."""

    states: frozenset[State] = frozenset()
    ids: frozenset[str] = frozenset()

    def takes(self, item_id: str, state: State) -> bool:
        """Return whether an item in this state was chosen."""
        if not self.states and not self.ids:
            return True
        return item_id in self.ids or state in self.states

    @property
    def tries_parked(self) -> bool:
        return State.PARKED in self.states


@dataclass(frozen=True, slots=True)
class LaneOutlook:
    """What is known of the lane before anything is sent. `capacity` is None if it was not asked or not answered.

    `is_capacity_untold`: not answered, so one create finds out. `registrations`: those that were asked for, by id."""

    now: datetime
    capacity: Capacity | None = None
    tries_parked: bool = False
    is_capacity_untold: bool = False
    registrations: Mapping[str, Registration] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is left of a manifest without the items that are complete."""

    items: tuple[Item, ...] = ()
    """In the manifest's order."""
    ids: tuple[str, ...] = ()
    """The ids whose rows are needed to plan `items`: their own, and those that say that the lane is full."""
    complete: int = 0
    unlisted: Mapping[str, int] = field(default_factory=dict)
    """By id that the manifest does not list: how many of its tokens have an attachment at the service, or may."""


def tokens_of(items: Iterable[Item]) -> dict[str, str]:
    """Return the tokens of items by id, as a ledger compares them."""
    return {item.item_id: item.client_token for item in items}


def unfinished_items(items: Sequence[Item], compared: Comparison) -> Unfinished:
    """Return what is left of a manifest after its comparison with the ledger."""
    unfinished = dict(compared.unfinished)
    # an id that is listed twice is compared under one of its tokens only, so it is always planned
    times = Counter(item.item_id for item in items)
    unfinished |= {item_id: True for item_id, count in times.items() if count > 1 and item_id not in unfinished}
    left = tuple(item for item in items if item.item_id in unfinished)
    return Unfinished(
        items=left,
        ids=(*(item_id for item_id, is_known in unfinished.items() if is_known), *compared.parked),
        complete=len(items) - len(left),
        unlisted=compared.unlisted,
    )


def plan_unfinished(
    unfinished: Unfinished,
    rows: BatchRows,
    outlook: LaneOutlook,
    *,
    is_part: bool = False,
    later: Set[str] = frozenset(),
) -> Plan:
    """Plan what is unfinished, and count what is complete. `rows` are of `unfinished.ids` at least; orphans outside of
    them are only counted. `is_part` and `later` as of `plan_items`."""
    made = plan_items(unfinished.items, rows, outlook, is_part=is_part, later=later)
    if is_part:
        return replace(made, complete=unfinished.complete)
    counted = {row.item_id for row in rows.by_token.values()} | later
    orphans = sum(count for item_id, count in unfinished.unlisted.items() if item_id not in counted)
    return replace(made, complete=unfinished.complete, more_orphans=orphans)


def plan_items(
    items: Sequence[Item],
    rows: BatchRows,
    outlook: LaneOutlook,
    *,
    is_part: bool = False,
    later: Set[str] = frozenset(),
) -> Plan:
    """Decide for each item, in order; then name the orphans: what the ledger holds and the manifest does not list.

    `is_part`: `items` are only some of their batch, so that an id that is not listed is no orphan. `later`: ids that
    are listed, and for which nothing is done in this run.
    """
    full = _why_lane_is_full(rows, outlook)
    asked = outlook.registrations
    actions = [with_obstacle(decide(item, rows, asked), asked) for item in items]
    if full is not None:
        actions = [replace(each, kind=ActionKind.PARKED, reason=full) if each.kind in TO_SEND else each
                   for each in actions]  # fmt: skip
    listed = {item.item_id for item in items}
    counting = (row_of(item, rows) for item in items)
    tokens = {action.client_token for action in actions} | {row.client_token for row in counting if row is not None}
    orphans = _orphans(rows, listed, tokens)
    kept = (each for each in orphans if each.item_id not in later and (not is_part or each.item_id in listed))
    return Plan(actions=(*actions, *kept))


def new_contents(made: Plan) -> set[str]:
    """Return the contents of what is created under an id that the ledger does not know."""
    new = (each.item for each in made.of(ActionKind.CREATE) if each.known is None)
    return {item.content for item in new if item is not None}


def twin_reasons(
    made: Plan, twins: Sequence[Twin], items: Iterable[Item], *, batch: str, is_part: bool, later: Set[str]
) -> dict[str, str]:
    """Return, for each new item whose bytes are at the service already, what says so, by item id.

    `items` are all of the manifest's; `is_part` and `later` as of `plan_items`.
    """
    if not twins:
        return {}
    listed = {twin.item_id for twin in twins} if is_part else {item.item_id for item in items} | later
    by_content: dict[str, Twin] = {}
    for each in twins:  # an orphan of this batch was probably renamed; else the latest
        before = by_content.get(each.content)
        if before is None or before.batch != batch or before.item_id in listed:
            by_content[each.content] = each
    reasons: dict[str, str] = {}
    for action in made.of(ActionKind.CREATE):
        twin = None if action.item is None else by_content.get(action.item.content)
        if action.known is not None or twin is None:
            continue
        named = quoted(twin.item_id)
        if twin.batch != batch:
            why = f"has the same bytes as {named} of the batch `{twin.batch}`, uploaded on {twin.sent_at:%Y-%m-%d}"
        elif twin.item_id in listed:
            why = f"has the same bytes as {named}, uploaded on {twin.sent_at:%Y-%m-%d}"
        else:
            why = f"has the same bytes as the orphan {named}: if it was renamed, `id: {twin.item_id}` keeps that"
        reasons[action.item_id] = why
    return reasons


def with_twins(
    made: Plan, twins: Sequence[Twin], items: Iterable[Item], *, batch: str, is_part: bool, later: Set[str]
) -> Plan:
    """Return the plan with `twin_reasons` behind the reasons of what is created."""
    reasons = twin_reasons(made, twins, items, batch=batch, is_part=is_part, later=later)
    if not reasons:
        return made
    return replace(
        made,
        actions=tuple(
            replace(each, reason=f"{each.reason}, {reasons[each.item_id]}")
            if each.kind is ActionKind.CREATE and each.item_id in reasons
            else each
            for each in made.actions
        ),
    )


def decide(listed: Item, rows: BatchRows, registrations: Mapping[str, Registration] = NO_REGISTRATIONS) -> Action:
    """Decide for one item, by the rows of its id. The action's item carries the token that is sent next or looked up
    (`next_try`). `registrations` are those that were asked for, by id."""
    item = next_try(listed, rows)
    current = rows.current.get(item.item_id)
    if current is not None and current.state in OPEN and current.client_token != item.client_token:
        return _act(ActionKind.RESOLVE, item, current, f"{_open_reason(current)}; changed since")
    known = row_of(listed, rows)
    if known is None:
        action = _act(ActionKind.CREATE, item, None, "new") if current is None else _changed(item, current)
        return replace(action, reason=action.reason + then_bound(item))
    if known.client_token != item.client_token and has_failed_upload(known):
        return _act(ActionKind.CREATE, item, known, _retry_reason(item) + then_bound(item))
    if known.client_token != item.client_token or is_half_retagged(known, current):
        return _retag(item, known, current)
    return _decide_by_state(item, known, registrations)


def parked_until(rows: BatchRows, outlook: LaneOutlook) -> datetime | None:
    """Return until when the day's quota is used up, as far as the ledger knows; None if it is not."""
    if outlook.tries_parked:
        return None
    parked = [row.resume_after for row in rows.current.values() if row.state is State.PARKED]
    later = [at for at in parked if at is not None and at > outlook.now]
    return max(later, default=None)


def replaced_in_progress(rows: BatchRows, made: Plan) -> list[Known]:
    """Return the rows that the service is still processing and that count for no item any more."""
    processing = {row.client_token: row for row in rows.by_token.values() if row.state is State.PROCESSING}
    for action in made.of(ActionKind.UNCHANGED, ActionKind.RETAG):
        if action.known is not None:
            processing.pop(action.known.client_token, None)
    return list(processing.values())


def _why_lane_is_full(rows: BatchRows, outlook: LaneOutlook) -> str | None:
    """Return why nothing may be created now, or None. A full lane is full for every item, new ones too."""
    until = parked_until(rows, outlook)
    if until is not None:
        return f"the day's quota is used up until {until:%Y-%m-%dT%H:%M:%SZ}"
    by_account = any(row.state is State.PARKED and row.resume_after is None for row in rows.current.values())
    if outlook.tries_parked or not by_account or outlook.is_capacity_untold:
        return None
    has_room = outlook.capacity is not None and outlook.capacity.left > 0
    return None if has_room else "the account has no capacity left"


def _decide_by_state(item: Item, known: Known, registrations: Mapping[str, Registration]) -> Action:
    """Decide for an item whose very token the ledger knows."""
    if known.state is State.COMPLETE or is_to_be_bound(known):
        return _decide_uploaded(item, known, registrations)
    match known.state:
        case State.PROCESSING:
            why = "created, the service is still at work" + whereabouts(item, known)
            return _act(ActionKind.UNCHANGED, item, known, why)
        case State.SENDING | State.UNKNOWN:
            return _act(ActionKind.RESOLVE, item, known, _open_reason(known))
        case State.FAILED if is_absent(known):
            return _act(ActionKind.FAILED, item, known, _NOT_FOUND)
        case State.FAILED if known.attachment_status is AttachmentStatus.DELETED:
            reason = "deleted at the service; raise `generation` to upload it again"
            return _act(ActionKind.FAILED, item, known, reason)
        case State.FAILED if known.attachment_status is AttachmentStatus.FAILED:
            what = f"AWS could not process this file, after {RETRIES_MAX} retries"
            return _act(ActionKind.FAILED, item, known, f"{what}; replace the file, or raise `generation`")
        case State.FAILED:
            code = known.fault.code if known.fault else "refused"
            return _act(ActionKind.CREATE, item, known, f"failed before ({code}), tried again{then_bound(item)}")
        case State.PARKED:
            return _act(ActionKind.CREATE, item, known, f"parked before, capacity may be there now{then_bound(item)}")
        case _:
            return _act(ActionKind.CREATE, item, known, f"not sent yet{then_bound(item)}")


def _decide_uploaded(item: Item, known: Known, registrations: Mapping[str, Registration]) -> Action:
    """Decide for an item whose attachment the service has finished with."""
    if item.bind is None:
        return _act(ActionKind.UNCHANGED, item, known, "uploaded" + whereabouts(item, known))
    if is_bound(item, known):
        return _act(ActionKind.UNCHANGED, item, known, f"uploaded, in {place(item.bind)}")
    return _act(ActionKind.BIND, item, known, bind_reason(item.bind, known, registrations))


def _changed(item: Item, current: Known) -> Action:
    """Decide for an id that the ledger knows under another token, with another document or no live attachment."""
    if current.attachment_id is None:
        return _act(ActionKind.CREATE, item, current, f"changed before it was uploaded ({current.state})")
    if item.generation != current.generation:
        why = f"generation {item.generation} instead of {current.generation}"
        return _act(ActionKind.REPLACE, item, current, why)
    if item.content != current.content:
        return _act(ActionKind.REPLACE, item, current, "content changed")
    return _act(ActionKind.REPLACE, item, current, "tags changed since the service failed it")


def _retag(item: Item, live: Known, current: Known | None) -> Action:
    """Decide for an item whose document is at the service with other tags."""
    shown = with_refused_tags(live, current)
    keys = item.tags.keys() | live.tags.keys()
    changed = ", ".join(sorted(key for key in keys if item.tags.get(key) != live.tags.get(key)))
    if shown is not live:
        code = shown.fault.code if shown.fault else "refused"
        why = f"its tags were refused before ({code}), tried again"
    elif changed:
        why = f"only tags changed ({changed})"
    else:
        why = "its tags were about to be changed, and were changed back"
    return _act(ActionKind.RETAG, item, shown, why + whereabouts(item, live))


def _orphans(rows: BatchRows, listed: Collection[str], tokens: Collection[str]) -> list[Action]:
    found = []
    for row in rows.by_token.values():
        if row.client_token in tokens or (row.current and row.item_id in listed):
            continue
        if row.is_live:
            why = "replaced by a later upload" if row.item_id in listed else "no longer in the manifest"
            why = why if row.bound_to is None else f"{why}; in {place(row.bound_to)}"
        elif row.state in OPEN:
            why = f"{_open_reason(row)}; no longer in the manifest"
        else:
            continue
        found.append(Action(ActionKind.ORPHAN, row.item_id, row.client_token, why, known=row))
    return found


def _act(kind: ActionKind, item: Item, known: Known | None, reason: str) -> Action:
    return Action(kind, item.item_id, item.client_token, reason, item=item, known=known)


def _open_reason(row: Known) -> str:
    since = row.unknown_since or row.first_sent_at
    return f"sent at {since:%Y-%m-%dT%H:%M:%SZ}, outcome not known" if since else "sent, outcome not known"


def _retry_reason(item: Item) -> str:
    """Of an item under the token of a retry."""
    retry = next(each for each in range(1, RETRIES_MAX + 1) if with_retry(item, each) == item)
    return f"AWS could not process this file; the next run tries again ({retry} of {RETRIES_MAX})"


_NOT_FOUND = (
    "the service does not find it; looked for again by each `upload`; if it was deleted there, raise `generation` to"
    " upload it again"
)
