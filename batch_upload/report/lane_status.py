"""How far each lane of a manifest is, as `status` and `doctor` show it: a line for each, those with problems first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batch_upload.escape import printable
from batch_upload.model import State
from batch_upload.report.ndjson import LaneRef
from batch_upload.summary import in_order_of_states
from batch_upload.words import aligned_lines, count_words, indented

LANES_LISTED = 20
"""Lanes in the table, unless all are wanted."""
_URGENT = (
    State.FAILED,
    State.INVALID,
    State.UNKNOWN,
    State.SENDING,
    State.PARKED,
    State.PENDING,
    State.PROCESSING,
    State.BINDING,
)
"""States in which a lane is not done, the most urgent first."""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """What the ledger has of a lane. `account` and `region` of `lane` are None where they were not found out.

    `note` is what else is to be said of it, such as why `upload` refuses it; empty for nothing.
    """

    lane: LaneRef
    states: Mapping[State, int]
    note: str = ""

    @property
    def urgency(self) -> int:
        """The place of its most urgent state; beyond all of them where everything is complete."""
        if self.note:
            return -1
        return next((place for place, state in enumerate(_URGENT) if self.states.get(state)), len(_URGENT))


def lane_status_lines(lanes: Sequence[LaneStatus], *, verbose: bool = False) -> list[str]:
    """Return the lanes that are not done in aligned columns, the most urgent first, at most LANES_LISTED of them.

    With `verbose` all lanes are there, in the order given.
    """
    done = sum(lane.urgency == len(_URGENT) for lane in lanes)
    chosen = [lane for lane in lanes if lane.urgency < len(_URGENT)]
    more = 0
    if verbose:
        chosen = list(lanes)
    else:
        chosen.sort(key=lambda lane: lane.urgency)
        more = max(0, len(chosen) - LANES_LISTED)
        chosen = chosen[:LANES_LISTED]
    rows = [("lane", "account/Region", "items")]
    for each in chosen:
        states = in_order_of_states({state.value: count for state, count in each.states.items()})
        counts = [f"{count:,} {name}" for name, count in states.items() if count]
        lane, words = each.lane, ", ".join([*counts, *([each.note] if each.note else [])])
        where = f"{lane.account or '?'}/{lane.region or '?'}"
        rows.append((printable(lane.target or where), printable(where), printable(words or "no item")))
    lines = [f"lanes: {len(lanes):,}, of which {done:,} complete", *(indented(aligned_lines(rows)) if chosen else [])]
    return [*lines, f"  and {count_words(more, 'more lane')} not complete; `-v` shows all"] if more else lines
