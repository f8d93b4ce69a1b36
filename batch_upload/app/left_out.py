"""What a lane's run does nothing for: attachments that cannot be sent, and those that `--only` leaves out.

They are counted and reported with the others, so that every item of the manifest is in one state.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from batch_upload.app.items import LanePart
from batch_upload.app.lanes import lane_reader
from batch_upload.app.ledger_view import rows_of_listed
from batch_upload.app.plan_input import invalid_actions
from batch_upload.app.sendable import known_invalid
from batch_upload.engine.plan import Selection
from batch_upload.errors import LedgerUnusable
from batch_upload.events import ItemChanged, RunStarted
from batch_upload.model import Known, State
from batch_upload.ports import LedgerWriter, Observer


def unchosen_states(part: LanePart) -> Counter[State]:
    """Count what `--only` leaves out by its state in the ledger. Blocking.

    Where the ledger cannot be read they count as pending: the run itself says why.
    """
    ids = [listed.item_id for listed in part.prepared.unchosen]
    states = Counter({State.PENDING: len(ids)})
    with suppress(LedgerUnusable), lane_reader(part.settings.ledger, part.target) as reader:
        if ids and reader is not None:
            states = Counter(reader.stock(part.prepared.manifest.batch, set(ids), ()).states)
            states[State.PENDING] += len(ids) - states.total()  # an id that is listed twice is counted once
    return +states


class LeftOutItems:
    """Adds to the events of one lane's run what the engine does not know of. It is an observer before another one."""

    def __init__(self, part: LanePart, observer: Observer) -> None:
        self._prepared = part.prepared
        self._selection = Selection(part.settings.only_states, part.settings.only_ids)
        self._observer = observer
        self._unchosen: Mapping[State, int] = {State.PENDING: len(part.prepared.unchosen)}
        self._rows: Sequence[Known | None] = [None] * len(part.prepared.unread)
        self._is_reported = False

    async def read(self, ledger: LedgerWriter, unchosen: Mapping[State, int]) -> None:
        """Read what the ledger has of what cannot be sent. `unchosen`: `unchosen_states`. Raises LedgerUnusable."""
        self._unchosen = unchosen
        listed = [listed for listed, _ in self._prepared.unread]
        if listed:
            ids = [*dict.fromkeys(each.item_id for each in listed)]
            self._rows = rows_of_listed(listed, await ledger.known_of_ids(self._prepared.manifest.batch, ids))

    @property
    def states(self) -> Counter[str]:
        """Count what is left out by state."""
        states = Counter({state.value: count for state, count in self._unchosen.items()})
        states[State.INVALID.value] += len(self._prepared.unread)
        return +states

    @property
    def rows(self) -> list[Known]:
        """Return each attachment that cannot be sent as it is reported."""
        return [known_invalid(*each) for each in zip(self._prepared.unread, self._rows, strict=True)]

    def notify(self, event: object) -> None:
        """Pass an event on; a run's start with what is left out, and followed by the end of each invalid item."""
        if not isinstance(event, RunStarted):
            self._observer.notify(event)
            return
        invalid = invalid_actions(self._prepared.unread, self._rows)
        chosen = [each for each in invalid if self._selection.takes(each.item_id, each.state)]
        plan = replace(event.plan, actions=(*event.plan.actions, *chosen))
        self._observer.notify(replace(event, plan=plan, states=Counter(event.states) + self.states))
        self.report_invalid(event.at)

    def report_invalid(self, at: datetime) -> None:
        """Report the end of each invalid item, once."""
        for row in () if self._is_reported else self.rows:
            self._observer.notify(ItemChanged(row, ended=True, created=False, at=at))
        self._is_reported = True
