"""`--max-failures`: when too many items have failed, nothing more is created."""

from collections.abc import Iterable
from dataclasses import dataclass

from batch_upload.engine.lane import LaneControl, Stop, StopKind
from batch_upload.events import ItemChanged, LaneStopped
from batch_upload.model import Fault, State
from batch_upload.ports import Clock, Observer


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """`--max-failures`: an absolute number, or a share (0 to 1) of what this run sends or gives other tags."""

    count: int | None = None
    share: float | None = None

    def reached(self, failed: int, of: int) -> bool:
        """Whether so many failures of so many items are too many."""
        if self.count is not None:
            return failed >= self.count
        return self.share is not None and of > 0 and failed >= max(1.0, self.share * of)


class FailureWatch:
    """Stops creating when too many of the items that this run sends, or gives other tags, have failed.

    To be notified after those who show events, so that the stop is shown after the failure that caused it.
    """

    def __init__(self, limit: FailureLimit, lane: LaneControl, clock: Clock, observer: Observer) -> None:
        self._limit = limit
        self._lane = lane
        self._clock = clock
        self._observer = observer
        self._failed: set[str] = set()
        self._item_ids: set[str] = set()

    def count(self, item_ids: Iterable[str]) -> None:
        """From now on the failures of these items count, too."""
        if self._limit != FailureLimit():
            self._item_ids.update(item_ids)

    def notify(self, event: object) -> None:
        if not isinstance(event, ItemChanged) or not event.ended or event.known.state is not State.FAILED:
            return
        if event.known.item_id not in self._item_ids:
            return  # an earlier run created it, and only its end is seen now
        self._failed.add(event.known.item_id)
        if not self._limit.reached(len(self._failed), len(self._item_ids)):
            return
        fault = Fault("TooManyFailures", f"{len(self._failed)} items have failed")
        if self._lane.stop_with(Stop(StopKind.TOO_MANY_FAILURES, fault)):
            now = self._clock.now()
            self._observer.notify(LaneStopped(fault, draining=True, resume_after=None, at=now))
