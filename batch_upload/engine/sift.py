"""Which items need a closer look before it can be decided what to do for them: a pure function, for plans of any size.

Most items of most runs are complete, under the very token that the manifest asks for. Of them nothing is kept but their
number; for the others the ledger is asked for everything it knows, and `plan.plan` decides.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batch_upload.engine.plan import LaneOutlook, plan
from batch_upload.engine.rows import BatchRows
from batch_upload.model import Item, Plan
from batch_upload.records import Comparison


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


def tokens_of(items: Iterable[Item]) -> dict[str, str]:
    """Return the tokens of items by id, as a ledger compares them."""
    return {item.item_id: item.client_token for item in items}


def sift(items: Sequence[Item], compared: Comparison) -> Sifted:
    """Take the items out of a manifest that are complete, as its comparison with the ledger says."""
    unfinished = dict(compared.unfinished)
    # an id that is listed twice is compared under one of its tokens only: it is looked at closely
    times = Counter(item.item_id for item in items)
    unfinished |= {item_id: True for item_id, count in times.items() if count > 1 and item_id not in unfinished}
    rest = tuple(item for item in items if item.item_id in unfinished)
    return Sifted(
        rest=rest,
        ids=(*(item_id for item_id, is_known in unfinished.items() if is_known), *compared.parked),
        complete=len(items) - len(rest),
        unlisted=compared.unlisted,
    )


def plan_rest(sifted: Sifted, knowledge: BatchRows, outlook: LaneOutlook, *, is_part: bool = False) -> Plan:
    """The plan of what was left, with the number of what was taken out. `knowledge` is of `sifted.ids` at least; of the
    orphans actions are made where it is of theirs too, and otherwise they are only counted. `is_part` as of `plan`."""
    made = plan(sifted.rest, knowledge, outlook, is_part=is_part)
    if is_part:
        return replace(made, complete=sifted.complete)
    known = {row.item_id for row in knowledge.by_token.values()}
    orphans = sum(count for item_id, count in sifted.unlisted.items() if item_id not in known)
    return replace(made, complete=sifted.complete, more_orphans=orphans)
