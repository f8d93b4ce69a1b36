"""One item on its way through a run, and the first that goes alone."""

import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Enum

import anyio

from batch_upload.engine.lane import LaneControl
from batch_upload.engine.retry import Tries
from batch_upload.model import Item, Known
from batch_upload.moments import Moment, Stretch

MARGIN_SHARE = 0.25
MARGIN_MAX_S = 5.0
"""A replay must arrive, not only leave, while its token is remembered: so much of the horizon is kept for the way."""


SAME_REFUSALS = 3
"""So many creates are spent to find out that a code nobody has heard of is the lane's fault, not that of its items."""


class Ending(Enum):
    """What is left to do for an item after `Uploader.upload`."""

    CREATED = "created"
    FAILED = "failed"
    OUT_OF_RESOURCES = "out of resources"
    """No file descriptor, memory or thread to be had: to be tried again when something was freed."""
    LEFT = "left"
    """Retries used up or run stopping: the next run goes on with it."""
    TO_RESOLVE = "to resolve"
    """Its outcome is unknown and may not be replayed."""


@dataclass(slots=True)
class Job:
    """An item to be created, or an open intent to be resolved.

    `item` is None where the manifest no longer has what was sent: then it can only be resolved.
    """

    known: Known
    item: Item | None
    open_since: Moment | None = None
    """Start of the first attempt of unknown outcome, at the earliest; LONG_AGO where it may be of any age."""
    last_open_s: float | None = None
    """Start of the last one, at the latest, in counting seconds."""
    tries: Tries = field(default_factory=Tries)
    successor: Item | None = None
    """What the manifest has now under this id, to be looked at once this intent is settled."""
    successor_known: Known | None = None
    """What stands for the successor already (`plan.row_of`), if anything."""

    @property
    def token(self) -> str:
        return self.known.client_token

    def follow(self, known: Known, *, attempt_started: Moment) -> None:
        """Take over what the ledger says after an attempt that started then."""
        before, self.known = self.known.last_open_at, known
        if known.unknown_since is None:
            self.open_since = self.last_open_s = None
        elif known.last_open_at != before:  # a throttle or a refusal leaves it as it was
            self.open_since = attempt_started if self.open_since is None else self.open_since
            self.last_open_s = attempt_started.counting_s

    def forget_attempts(self, known: Known) -> None:
        """Absence was proved: what was sent made nothing."""
        self.known = known
        self.open_since = self.last_open_s = None


def job_of(known: Known, item: Item | None, *, now: Moment, stretch: Stretch) -> Job:
    """A job as a run finds it. `stretch` tells what the ledger's times are worth."""
    since, last = known.unknown_since, known.last_open_at
    return Job(
        known=known,
        item=item,
        open_since=None if since is None else stretch.earliest(since, now),
        last_open_s=None if last is None else stretch.latest_s(last, now),
    )


def time_left_s(job: Job, *, now: Moment, horizon_s: float) -> float:
    """How long the job's token can still be trusted, in seconds, by the clock that says less; inf where nothing is
    open."""
    return math.inf if job.open_since is None else horizon_s - now.passed_at_most(job.open_since)


def may_replay(job: Job, *, now: Moment, horizon_s: float) -> bool:
    """Whether a request sent now still comes under the protection of its token (or needs none yet)."""
    return time_left_s(job, now=now, horizon_s=horizon_s) > min(MARGIN_MAX_S, horizon_s * MARGIN_SHARE)


class FirstAlone:
    """Until one create has succeeded, creates go one at a time: a fault of the lane costs one call."""

    def __init__(self) -> None:
        self._proven = False
        self._refused_with: list[str | None] = []
        self._turn = anyio.Lock()

    def prove(self) -> None:
        """The lane takes creates: from now on nobody waits for another."""
        self._proven = True

    def refuse(self, code: str | None) -> bool:
        """A create was refused with a code that says nothing about its item.

        Returns whether the lane is to blame: the first `SAME_REFUSALS` creates were all refused with this code.
        """
        self._refused_with.append(code)
        return not self._proven and self._refused_with[-SAME_REFUSALS:] == [code] * SAME_REFUSALS

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
