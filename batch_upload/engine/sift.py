"""Which items need a closer look before it can be decided what to do for them: a pure function, for plans of any size.

Most items of most runs are complete, under the very token that the manifest asks for. Of them nothing is kept but their
number; for the others the ledger is asked for everything it knows, and `plan.plan` decides.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batch_upload.engine.plan import LIVE, OPEN, Knowledge, LaneOutlook, plan
from batch_upload.model import Item, Plan, Standing, State

_STANDS = frozenset({*LIVE, *OPEN})
"""States of what is an orphan where the manifest does not list it."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """What is left of a manifest when the items that are complete are taken out."""

    rest: tuple[Item, ...] = ()
    """In the manifest's order."""
    ids: tuple[str, ...] = ()
    """The ids of which everything must be known to plan `rest`: its own that the ledger has, and those that tell that
    the lane is full."""
    complete: int = 0
    unlisted: Mapping[str, int] = field(default_factory=dict)
    """By id that the manifest does not list: how many of its tokens stand at the service, or may."""


def sift(items: Sequence[Item], standings: Iterable[Standing]) -> Sifted:
    """Hold a manifest against every token of its batch, which come sorted by id.

    Beside the result an index a item is kept; `standings` are taken as they come.
    """
    order = sorted(range(len(items)), key=[item.item_id for item in items].__getitem__)
    sieve = _Sieve(standings)
    rest = [index for index in order if not sieve.takes(items[index])]
    sieve.finish()
    rest.sort()
    return Sifted(
        rest=tuple(items[index] for index in rest),
        ids=tuple(sieve.ids),
        complete=len(items) - len(rest),
        unlisted=sieve.unlisted,
    )


def plan_rest(sifted: Sifted, knowledge: Knowledge, outlook: LaneOutlook, *, is_part: bool = False) -> Plan:
    """The plan of what was left, with the number of what was taken out. `knowledge` is of `sifted.ids` at least; of the
    orphans actions are made where it is of theirs too, and otherwise they are only counted. `is_part` as of `plan`."""
    made = plan(sifted.rest, knowledge, outlook, is_part=is_part)
    if is_part:
        return replace(made, complete=sifted.complete)
    known = {row.item_id for row in knowledge.by_token.values()}
    orphans = sum(count for item_id, count in sifted.unlisted.items() if item_id not in known)
    return replace(made, complete=sifted.complete, more_orphans=orphans)


class _Sieve:
    """Goes through the ledger beside the manifest, both by id."""

    def __init__(self, standings: Iterable[Standing]) -> None:
        self._standings: Iterator[Standing] = iter(standings)
        self._next: Standing | None = next(self._standings, None)
        self._last = ""
        self.ids: list[str] = []
        self.unlisted: Counter[str] = Counter()

    def takes(self, item: Item) -> bool:
        """Whether an item is complete and nothing else is known under its id. Ids come in order."""
        item_id = item.item_id
        first = self._next
        while first is not None and first[0] < item_id:
            first = self._pass_over(first)
        if first is None or first[0] != item_id:
            if item_id == self._last:  # the same id twice: what it has was passed a moment ago
                self.ids.append(item_id)
            return False
        self._last = item_id
        self._next = second = next(self._standings, None)
        alone = second is None or second[0] != item_id
        if alone and first == (item_id, item.client_token, State.COMPLETE.value, 1):
            return True
        self.ids.append(item_id)
        while second is not None and second[0] == item_id:
            self._next = second = next(self._standings, None)
        return False

    def finish(self) -> None:
        """Take what comes behind the last item."""
        left = self._next
        while left is not None:
            left = self._pass_over(left)

    def _pass_over(self, unlisted: Standing) -> Standing | None:
        """Note a token of an id that the manifest does not list, and go on."""
        item_id, _, state, current = unlisted
        if state in _STANDS:
            self.unlisted[item_id] += 1
        elif current and state == State.PARKED.value:
            self.ids.append(item_id)
        self._next = following = next(self._standings, None)
        return following
