"""What to do for each item, and why: a pure function of the manifest's items and what the ledger knows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batch_upload.model import LIVE, OPEN, Action, ActionKind, AttachmentStatus, Capacity, Item, Known, Plan, State
from batch_upload.ports import ABSENT
from batch_upload.token import RETRIES_MAX, client_token


@dataclass(frozen=True, slots=True)
class Selection:
    """What `--only` chose. Empty sets choose everything. Choosing `parked` tries in spite of `resume_after`."""

    states: frozenset[State] = frozenset()
    ids: frozenset[str] = frozenset()

    def takes(self, item_id: str, state: State) -> bool:
        """Whether an item in this state is to be worked on."""
        if not self.states and not self.ids:
            return True
        return item_id in self.ids or state in self.states

    @property
    def tries_parked(self) -> bool:
        return State.PARKED in self.states


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the ledger knows of one batch, ready to be asked."""

    current: Mapping[str, Known] = field(default_factory=dict)
    """By item id: the token that stands for it now."""
    by_token: Mapping[str, Known] = field(default_factory=dict)
    """Every token that was ever enlisted, those that were replaced too."""
    live: Mapping[tuple[str, str, int], Known] = field(default_factory=dict)
    """By item id, content and generation: what stands at the service, under whatever tags it was sent."""
    counts: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """By item id, content and generation: how many tokens there are."""

    @staticmethod
    def of(known: Sequence[Known]) -> "Knowledge":
        """Arrange the rows that `LedgerWriter.known` gave."""
        return Knowledge(
            current={row.item_id: row for row in known if row.current},
            by_token={row.client_token: row for row in known},
            live={(row.item_id, row.content, row.generation): row for row in known if row.state in LIVE},
            counts=Counter((row.item_id, row.content, row.generation) for row in known),
        )

    @property
    def absent(self) -> list[Known]:
        """What an earlier run did not find, and is to be looked for again: it may still stand for its id."""
        return [row for row in self.by_token.values() if is_absent(row) and self._may_stand(row)]

    def _may_stand(self, row: Known) -> bool:
        current = self.current.get(row.item_id, row)
        return (current.content, current.generation) == (row.content, row.generation)


def has_failed_upload(known: Known) -> bool:
    """Whether the service created the attachment and then could not process it."""
    return known.state is State.FAILED and known.attachment_status is AttachmentStatus.FAILED


def with_retry(item: Item, retry: int) -> Item:
    """The item under the token of a retry, 1 to RETRIES_MAX."""
    token = client_token(
        batch=item.batch,
        item_id=item.item_id,
        content=item.content,
        generation=item.generation,
        tags=item.tags,
        retry=retry,
    )
    return item._replace(client_token=token)


def latest_try(item: Item, knowledge: Knowledge) -> Item:
    """The item under the token that stands for it now. Pure, and without effect on what it has returned.

    It is the token of the last retry that the ledger has, else the item's own. Where that has come to nothing and a
    higher generation with the same content and tags is at the service, it is the token and generation of that.
    """
    latest = _tried(item, knowledge)[0]
    row = knowledge.by_token.get(latest.client_token)
    if row is not None and (row.state in LIVE or _is_open(row)):
        return latest
    higher = knowledge.current.get(item.item_id)
    if higher is None or higher.state not in LIVE or higher.generation <= item.generation:
        return latest
    if higher.content != item.content or dict(higher.tags) != dict(item.tags):
        return latest
    return item._replace(client_token=higher.client_token, generation=higher.generation)


def next_try(item: Item, knowledge: Knowledge) -> Item:
    """The item under the token that the next run sends or looks for: after UPLOAD_FAILED that of the next retry."""
    latest = latest_try(item, knowledge)
    row = knowledge.by_token.get(latest.client_token)
    if row is None or not has_failed_upload(row):
        return latest
    retry = _tried(item, knowledge)[1] + 1
    return with_retry(item, retry) if retry <= RETRIES_MAX else latest


def _tried(item: Item, knowledge: Knowledge) -> tuple[Item, int]:
    """The item under the token of its last retry that the ledger has, and which one that is; 0 for its own token."""
    own = knowledge.by_token.get(item.client_token)
    count = knowledge.counts.get((item.item_id, item.content, item.generation), 0)
    if count > (own is not None) and (own is None or own.state not in (*LIVE, *OPEN)):
        for retry in range(RETRIES_MAX, 0, -1):
            again = with_retry(item, retry)
            if again.client_token in knowledge.by_token:
                return again, retry
    return item, 0


def is_absent(known: Known) -> bool:
    """Whether the service did not find the attachment, and did not say that it was deleted."""
    return known.state is State.FAILED and known.fault is not None and known.fault.code == ABSENT


@dataclass(frozen=True, slots=True)
class LaneOutlook:
    """What is known of the lane before anything is sent. `capacity` is None where it was not asked or not told.

    `is_capacity_untold`: it was asked and not told; then one create finds out whether there is room.
    """

    now: datetime
    capacity: Capacity | None = None
    tries_parked: bool = False
    is_capacity_untold: bool = False


def plan(items: Sequence[Item], knowledge: Knowledge, outlook: LaneOutlook, *, is_part: bool = False) -> Plan:
    """Decide for each item, in order; then name the orphans: what the ledger holds and the manifest does not list.

    The items of the actions carry the token that is sent next or looked for (`next_try`). `is_part`: `items` are only
    some of their batch, so that an id that is not listed is no orphan.
    """
    full = _lane_is_full(knowledge, outlook)
    actions = [_action(item, knowledge, outlook, full) for item in items]
    listed = {item.item_id for item in items}
    standing = (row_of(item, knowledge) for item in items)
    tokens = {action.client_token for action in actions} | {row.client_token for row in standing if row is not None}
    orphans = _orphans(knowledge, listed, tokens)
    return Plan(actions=(*actions, *(each for each in orphans if not is_part or each.item_id in listed)))


def row_of(item: Item, knowledge: Knowledge) -> Known | None:
    """What stands for an item: its latest try, or, where that made nothing that lasts, what was uploaded with other
    tags."""
    same = knowledge.by_token.get(latest_try(item, knowledge).client_token)
    if same is not None and (same.state in LIVE or _is_open(same)):
        return same
    return knowledge.live.get((item.item_id, item.content, item.generation)) or same


def shown_row(item: Item, knowledge: Knowledge) -> Known | None:
    """What is reported of an item: `row_of`, as `failed` while the service refuses the tags that it is to carry."""
    return _shown(row_of(item, knowledge), knowledge.current.get(item.item_id))


def shown_row_of_id(rows: Sequence[Known]) -> Known | None:
    """Return what is reported of an id by the ledger alone: as `shown_row`, for the tags that the ledger has last.

    `rows` are all tokens of the id. None where none of them stands for it.
    """
    current = next((row for row in rows if row.current), None)
    if current is None:
        return None
    return _shown(next((row for row in rows if is_half_retagged(row, current)), current), current)


def _shown(stands: Known | None, current: Known | None) -> Known | None:
    if stands is None or current is None or current.state is not State.FAILED:
        return stands
    return stands._replace(state=State.FAILED, fault=current.fault) if is_half_retagged(stands, current) else stands


def after_resolving(item: Item, settled: Known, stands: Known | None) -> Action:
    """What to do for an item whose id had an open intent under another token, now that it is settled.

    `stands` is what stood for the item before that (`row_of`), if anything.
    """
    if settled.state in LIVE and (settled.content, settled.generation) == (item.content, item.generation):
        return _retag(item, settled)
    return _settled(item, stands, settled)


def replaced_in_progress(knowledge: Knowledge, made: Plan) -> list[Known]:
    """What the service is still at work on, and what stands for no item any more: replaced before it was finished."""
    rows = {row.client_token: row for row in knowledge.by_token.values() if row.state is State.PROCESSING}
    for action in made.of(ActionKind.UNCHANGED, ActionKind.RETAG):
        if action.known is not None:
            rows.pop(action.known.client_token, None)
    return list(rows.values())


def fresh(item: Item) -> Known:
    """What the ledger knows of an item that it was just told of."""
    return Known(
        item_id=item.item_id,
        client_token=item.client_token,
        state=State.PENDING,
        content=item.content,
        tags=item.tags,
        generation=item.generation,
        identity_tag=item.identity_tag,
        source=item.source,
        size_bytes=item.size_bytes,
        content_type=item.content_type,
    )


def state_of(action: Action) -> State:
    """Where the item of an action is now, as far as anybody knows."""
    return action.state


def parked_until(knowledge: Knowledge, outlook: LaneOutlook) -> datetime | None:
    """Until when the day's quota is used up, as far as the ledger knows; None where it is not."""
    if outlook.tries_parked:
        return None
    parked = [row.resume_after for row in knowledge.current.values() if row.state is State.PARKED]
    later = [at for at in parked if at is not None and at > outlook.now]
    return max(later, default=None)


def _lane_is_full(knowledge: Knowledge, outlook: LaneOutlook) -> str | None:
    """Why nothing may be created now, or None. A full lane is full for every item, new ones too."""
    until = parked_until(knowledge, outlook)
    if until is not None:
        return f"the day's quota is used up until {until:%Y-%m-%dT%H:%M:%SZ}"
    if outlook.tries_parked:
        return None
    parked = [row for row in knowledge.current.values() if row.state is State.PARKED]
    by_account = any(row.resume_after is None for row in parked)
    if by_account and not outlook.is_capacity_untold and (outlook.capacity is None or outlook.capacity.left == 0):
        return "the account has no capacity left"
    return None


def _action(listed: Item, knowledge: Knowledge, outlook: LaneOutlook, full: str | None) -> Action:
    item = next_try(listed, knowledge)
    current = knowledge.current.get(item.item_id)
    if current is not None and _is_open(current) and current.client_token != item.client_token:
        action = _act(ActionKind.RESOLVE, item, current, f"{_open_reason(current)}; changed since")
    else:
        action = _settled(item, row_of(listed, knowledge), current)
    if full is not None and action.kind in (ActionKind.CREATE, ActionKind.REPLACE):
        return _act(ActionKind.PARKED, item, action.known, full)
    return action


def _settled(item: Item, stands: Known | None, current: Known | None) -> Action:
    """Nothing else is open under the item's id. `current` is the token that stands for the id now."""
    if stands is None:
        return _act(ActionKind.CREATE, item, None, "new") if current is None else _changed(item, current)
    if stands.client_token != item.client_token and has_failed_upload(stands):
        return _act(ActionKind.CREATE, item, stands, _retry_reason(item))
    if stands.client_token != item.client_token or is_half_retagged(stands, current):
        return _retag(item, _shown(stands, current) or stands)
    return _again(item, stands)


def is_half_retagged(stands: Known, current: Known | None) -> bool:
    """Whether a run was cut off, or refused, while it gave what stands the tags of another token: see `retag`."""
    if current is None or current.client_token == stands.client_token or stands.state not in LIVE:
        return False
    same = (current.content, current.generation) == (stands.content, stands.generation)
    return same and current.attachment_id is None and current.state in (State.PENDING, State.FAILED)


def _again(item: Item, known: Known) -> Action:
    """The ledger knows this very token."""
    match known.state:
        case State.COMPLETE:
            return _act(ActionKind.UNCHANGED, item, known, "uploaded")
        case State.PROCESSING:
            return _act(ActionKind.UNCHANGED, item, known, "created, the service is still at work")
        case State.SENDING | State.UNKNOWN:
            return _act(ActionKind.RESOLVE, item, known, _open_reason(known))
        case State.FAILED if is_absent(known):
            return _act(ActionKind.FAILED, item, known, _NOT_FOUND)
        case State.FAILED if known.attachment_status in (AttachmentStatus.FAILED, AttachmentStatus.DELETED):
            return _act(ActionKind.FAILED, item, known, _final_reason(known))
        case State.FAILED:
            code = known.fault.code if known.fault else "refused"
            return _act(ActionKind.CREATE, item, known, f"failed before ({code}), tried again")
        case State.PARKED:
            return _act(ActionKind.CREATE, item, known, "parked before, capacity may be there now")
        case _:
            return _act(ActionKind.CREATE, item, known, "not sent yet")


def _changed(item: Item, current: Known) -> Action:
    """The ledger knows the id, under another token and with another document, or with none that stands."""
    if current.attachment_id is None:
        return _act(ActionKind.CREATE, item, current, f"changed before it was uploaded ({current.state})")
    if item.generation != current.generation:
        why = f"generation {item.generation} instead of {current.generation}"
        return _act(ActionKind.REPLACE, item, current, why)
    if item.content != current.content:
        return _act(ActionKind.REPLACE, item, current, "content changed")
    return _act(ActionKind.REPLACE, item, current, "tags changed since the service failed it")


def _retag(item: Item, live: Known) -> Action:
    """The document stands at the service, with other tags."""
    if live.state is State.FAILED:
        code = live.fault.code if live.fault else "refused"
        return _act(ActionKind.RETAG, item, live, f"its tags were refused before ({code}), tried again")
    changed = ", ".join(sorted(_changed_keys(item.tags, live.tags)))
    if not changed:
        return _act(ActionKind.RETAG, item, live, "its tags were about to be changed, and were changed back")
    return _act(ActionKind.RETAG, item, live, f"only tags changed ({changed})")


def _orphans(knowledge: Knowledge, listed: Collection[str], tokens: Collection[str]) -> list[Action]:
    found = []
    for row in knowledge.by_token.values():
        if row.client_token in tokens or (row.current and row.item_id in listed):
            continue
        if row.state in LIVE:
            why = "replaced by a later upload" if row.item_id in listed else "no longer in the manifest"
            found.append(Action(ActionKind.ORPHAN, row.item_id, row.client_token, why, known=row))
        elif _is_open(row):
            why = f"{_open_reason(row)}; no longer in the manifest"
            found.append(Action(ActionKind.ORPHAN, row.item_id, row.client_token, why, known=row))
    return found


def _act(kind: ActionKind, item: Item, known: Known | None, reason: str) -> Action:
    return Action(kind, item.item_id, item.client_token, reason, item=item, known=known)


def _is_open(known: Known) -> bool:
    return known.state in OPEN


def _open_reason(known: Known) -> str:
    since = known.unknown_since or known.first_sent_at
    return f"sent at {since:%Y-%m-%dT%H:%M:%SZ}, outcome not known" if since else "sent, outcome not known"


def _final_reason(known: Known) -> str:
    if known.attachment_status is AttachmentStatus.DELETED:
        return "deleted at the service; raise `generation` to upload it again"
    return f"AWS could not process this file, after {RETRIES_MAX} retries; replace the file, or raise `generation`"


def _retry_reason(item: Item) -> str:
    """Of an item under the token of a retry."""
    retry = next(each for each in range(1, RETRIES_MAX + 1) if with_retry(item, each) == item)
    return f"AWS could not process this file; the next run tries again ({retry} of {RETRIES_MAX})"


_NOT_FOUND = (
    "the service does not find it; looked for again by each `upload`; if it was deleted there, raise `generation` to"
    " upload it again"
)


def _changed_keys(new: Mapping[str, str], old: Mapping[str, str]) -> set[str]:
    return {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
