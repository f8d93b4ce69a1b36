"""One item on its way through a run, and the first that goes alone."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import anyio

from batch_upload.engine.lane import LaneControl
from batch_upload.engine.retry import Tries
from batch_upload.model import Item, Known

MARGIN_SHARE = 0.25
MARGIN_MAX_S = 5.0
"""A replay must arrive, not only leave, while its token is remembered: so much of the horizon is kept for the way."""


class Ending(Enum):
    """What is left to do for an item after `Uploader.upload`."""

    CREATED = "created"
    FAILED = "failed"
    LEFT = "left"
    """Retries used up or run stopping: the next run goes on with it."""
    TO_RESOLVE = "to resolve"
    """Its outcome is unknown and may not be replayed."""


@dataclass(slots=True)
class Job:
    """An item to be created, or an open intent to be resolved. Moments are monotonic seconds.

    `item` is None where the manifest no longer has what was sent: then it can only be resolved.
    """

    known: Known
    item: Item | None
    open_since: float | None = None
    """Start of the first attempt of unknown outcome; -inf where it cannot be trusted to be recent."""
    last_open: float | None = None
    """Start of the last one."""
    tries: Tries = field(default_factory=Tries)
    successor: Item | None = None
    """What the manifest has now under this id, to be looked at once this intent is settled."""
    successor_known: Known | None = None
    """What stands for the successor already (`plan.row_of`), if anything."""

    @property
    def token(self) -> str:
        return self.known.client_token

    def follow(self, known: Known, *, attempt_started: float) -> None:
        """Take over what the ledger says after an attempt that started then."""
        before, self.known = self.known.last_open_at, known
        if known.unknown_since is None:
            self.open_since = self.last_open = None
        elif known.last_open_at != before:  # a throttle or a refusal leaves it as it was
            self.open_since = attempt_started if self.open_since is None else self.open_since
            self.last_open = attempt_started

    def forget_attempts(self, known: Known) -> None:
        """Absence was proved: what was sent made nothing."""
        self.known = known
        self.open_since = self.last_open = None


def job_of(known: Known, item: Item | None, *, now: datetime, monotonic: float) -> Job:
    """A job as a run finds it, its wall times turned into monotonic ones."""
    return Job(
        known=known,
        item=item,
        open_since=_moment(known.unknown_since, now, monotonic),
        last_open=_moment(known.last_open_at, now, monotonic, trusted=True),
    )


def may_replay(job: Job, *, now: float, horizon_s: float) -> bool:
    """Whether a request sent now still comes under the protection of its token (or needs none yet)."""
    if job.open_since is None:
        return True
    return now - job.open_since < horizon_s - min(MARGIN_MAX_S, horizon_s * MARGIN_SHARE)


def _moment(at: datetime | None, now: datetime, monotonic: float, *, trusted: bool = False) -> float | None:
    if at is None:
        return None
    age_s = (now - at).total_seconds()
    if age_s < 0:  # the wall clock was put back: old enough not to be replayed, young enough not to be proved absent
        return monotonic if trusted else float("-inf")
    return monotonic - age_s


class FirstAlone:
    """Until one create has succeeded, creates go one at a time: a fault of the lane costs one call."""

    def __init__(self) -> None:
        self._proven = False
        self._turn = anyio.Lock()

    def prove(self) -> None:
        """The lane takes creates: from now on nobody waits for another."""
        self._proven = True

    def turn(self, lane: LaneControl) -> AbstractAsyncContextManager[None]:
        """Wait for the turn to send a create. Raises Withheld if the run stops meanwhile."""
        return nullcontext() if self._proven else self._one_by_one(lane)

    @asynccontextmanager
    async def _one_by_one(self, lane: LaneControl) -> AsyncIterator[None]:
        with lane.waiting(to_create=True):
            await self._turn.acquire()
        if not self._proven:
            try:
                yield
            finally:
                self._turn.release()
            return
        self._turn.release()
        yield
