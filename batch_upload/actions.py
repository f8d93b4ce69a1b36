"""What a plan decides for each item, as values. All frozen."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from batch_upload.model import Item, Known, State


class ActionKind(StrEnum):
    """What `upload` would do for one item."""

    CREATE = "create"
    UNCHANGED = "unchanged"
    RETAG = "retag"
    REPLACE = "replace"
    BIND = "bind"
    RESOLVE = "resolve"
    ORPHAN = "orphan"
    PARKED = "parked"
    FAILED = "failed"
    INVALID = "invalid"  # left out; its item has no token


@dataclass(frozen=True, slots=True)
class Action:
    """One decision of the plan, with its reason in words. `item` is None for an orphan, `known` for what is new."""

    kind: ActionKind
    item_id: str
    client_token: str
    reason: str
    item: Item | None = None
    known: Known | None = None

    @property
    def state(self) -> State:
        """The item's state as far as it is known. That of another token counts only if it was an earlier try."""
        item, known = self.item, self.known
        if self.kind is ActionKind.INVALID:
            return State.INVALID
        if known is None:
            return State.PENDING
        if known.client_token == self.client_token or self.kind is ActionKind.RETAG:
            return known.state
        wanted = None if item is None else (item.generation, item.content, dict(item.tags))
        return known.state if wanted == (known.generation, known.content, dict(known.tags)) else State.PENDING


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in the manifest's order, orphans last. Of some there is only the number."""

    actions: tuple[Action, ...]
    complete: int = 0
    """Items that are complete and need nothing."""
    more_orphans: int = 0

    @property
    def counts(self) -> Counter[ActionKind]:
        """How many actions of each kind."""
        counts = Counter(action.kind for action in self.actions)
        counts[ActionKind.UNCHANGED] += self.complete
        counts[ActionKind.ORPHAN] += self.more_orphans
        return +counts

    def of(self, *kinds: ActionKind) -> tuple[Action, ...]:
        """The actions of these kinds, in order."""
        return tuple(action for action in self.actions if action.kind in kinds)
