"""How far the items of a manifest are, for a million of which all but a few are complete."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from batch_upload.model import Item, Known, State


class States(Mapping[str, State]):
    """A state for each item, by its id, of which only those are kept that are not simply complete."""

    def __init__(self, items: Sequence[Item], others: Mapping[str, State]) -> None:
        self._items = items
        self._others = others

    @cached_property
    def _ids(self) -> dict[str, None]:
        return dict.fromkeys(item.item_id for item in self._items)

    def __getitem__(self, item_id: str) -> State:
        found = self._others.get(item_id)
        if found is None and item_id not in self._ids:
            raise KeyError(item_id)
        return found or State.COMPLETE

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._items)

    def counted(self) -> Counter[State]:
        """How many items are in each state."""
        counts = Counter(self._others.values())
        counts[State.COMPLETE] += len(self._items) - len(self._others)
        return +counts


def state_of_row(row: Known | None) -> State:
    """Return the state of an item by its row in the ledger. What is not in the ledger is not sent yet."""
    return State.PENDING if row is None else row.state
