"""What is known at the end of a run."""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from batch_upload.engine.lane import Stop
from batch_upload.engine.retag import Result as RetagResult
from batch_upload.engine.rows import States
from batch_upload.errors import LedgerUnusable
from batch_upload.model import Capacity, Duplicate, Known, Plan, State


@dataclass(slots=True)
class LaneResult:
    """How a run went. `states` has one state for each item of the manifest, by its id."""

    plan: Plan = field(default_factory=lambda: Plan(()))
    states: Mapping[str, State] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    """By item id, what the ledger holds at the end for each item that is not simply complete."""
    stop: Stop | None = None
    ledger_error: LedgerUnusable | None = None
    capacity: Capacity | None = None
    selected: Set[str] | None = frozenset()
    """The ids that were chosen; None for all."""
    retag: RetagResult = field(default_factory=RetagResult)
    """What came of changed tags. An item whose tags the service would not change counts as failed."""
    duplicates: list[Duplicate] = field(default_factory=list)
    """What the service holds with the token of an item beside the ledger's own attachment for it."""

    def counted(self) -> Counter[State]:
        """How many items are in each state."""
        return self.states.counted() if isinstance(self.states, States) else Counter(self.states.values())

    def chosen_states(self) -> set[State]:
        """The states in which something is that was chosen."""
        if self.selected is None:
            return set(self.counted())
        return {self.states[item_id] for item_id in self.selected}
