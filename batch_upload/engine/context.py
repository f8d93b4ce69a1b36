"""The objects that all parts of a run share, and how they report what was recorded."""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import anyio

from batch_upload.engine.lane import LaneControl, Stop, StopKind
from batch_upload.engine.retry import Wire, fault_of, resume_after
from batch_upload.errors import CapacityExhausted, Disagreement, LaneFault, LedgerUnusable
from batch_upload.events import ItemChanged, LaneStopped, Notice
from batch_upload.model import Fault, Known, State
from batch_upload.ports import AttachmentService, Clock, LedgerWriter, Observer
from batch_upload.settings import NO_LIMIT, MaxFailures

T = TypeVar("T")

RECORD_S = 30.0
"""Seconds that the write of an outcome may take, cancelled or not: six times what SQLite waits for another program."""


class FailureCount:
    """Counts which of the items that a run works on have failed, for `--max-failures`.

    Items that were created by an earlier run, and whose end is only seen now, do not count.
    """

    def __init__(self, limit: MaxFailures = NO_LIMIT) -> None:
        self._limit = limit
        self._item_ids: set[str] = set()
        self._failed: set[str] = set()

    @property
    def has_limit(self) -> bool:
        """Whether any number of failures stops the run."""
        return self._limit != NO_LIMIT

    def expect(self, item_ids: Iterable[str]) -> None:
        """Count failures of these items from now on, too."""
        self._item_ids.update(item_ids)

    def add(self, item_id: str) -> Stop | None:
        """Count one more. Return the stop that this is a reason for, if any."""
        if item_id not in self._item_ids:
            return None
        self._failed.add(item_id)
        if not self._limit.is_reached(len(self._failed), of=len(self._item_ids)):
            return None
        return Stop(StopKind.TOO_MANY_FAILURES, Fault("TooManyFailures", f"{len(self._failed)} items have failed"))


@dataclass(frozen=True, slots=True)
class LaneContext:
    """The objects that all parts of a run share."""

    run_id: str
    service: AttachmentService
    ledger: LedgerWriter
    wire: Wire
    lane: LaneControl
    clock: Clock
    observer: Observer
    horizon_s: float
    record_s: float = RECORD_S
    """Seconds that the write of an outcome may take."""
    failures: FailureCount = field(default_factory=FailureCount)
    doubtful: set[str] = field(default_factory=set)
    """Tokens that may have made a second attachment in this run, since an answer came after its horizon. The look at
    the end of the run waits until tags must be readable for them."""

    def now(self) -> datetime:
        """Return the wall's time."""
        return self.clock.now()

    async def recorded(self, write: Awaitable[T]) -> T:
        """Finish a write of the ledger although the task is cancelled: what was answered must not be lost.

        The next wait of a cancelled task is where it ends. Raises LedgerUnusable if the write takes more than
        `record_s`.
        """
        with anyio.move_on_after(self.record_s, shield=True):
            return await write
        raise LedgerUnusable(
            f"the ledger was not written within {self.record_s:.0f} seconds",
            hint="check the disk, then run the same command again",
        )

    def tell(self, known: Known, *, created: bool = False, adopted: bool = False) -> None:
        """Report what was just recorded of an item, and stop creating if it is one failure too many."""
        ended = known.state not in (State.PROCESSING, State.BINDING)
        self.observer.notify(ItemChanged(known, ended=ended, created=created, at=self.now(), adopted=adopted))
        if known.state is State.FAILED and (stop := self.failures.add(known.item_id)) is not None:
            self.stop(stop)

    def notice(self, message: str, *, is_urgent: bool = False) -> None:
        """Tell people something that no other event holds; also with `--quiet` if it is urgent."""
        self.observer.notify(Notice(message, self.now(), is_urgent))

    def stop(self, stop: Stop) -> None:
        """Stop the lane, and say so if it is news."""
        if self.lane.stop_with(stop):
            self.observer.notify(LaneStopped(stop.fault, stop.kind.drains, stop.resume_after, self.now()))

    def stop_for(self, error: LaneFault) -> None:
        """Stop the lane for a fault of its own."""
        kind, at = StopKind.ACCESS, None
        if isinstance(error, CapacityExhausted):
            kind, at = StopKind.CAPACITY, resume_after(error, self.now())
        elif isinstance(error, Disagreement):
            kind = StopKind.DISAGREEMENT
        self.stop(Stop(kind, fault_of(error), at, error.hint))
