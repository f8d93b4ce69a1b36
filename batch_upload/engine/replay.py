"""When a request may be sent again: how long the token of an item can be trusted. A job carries what decides it."""

import math
from dataclasses import dataclass, field

from batch_upload.engine.retry import Tries
from batch_upload.model import Item, Known
from batch_upload.moments import Moment, Stretch

MARGIN_SHARE = 0.25
MARGIN_MAX_S = 5.0
"""A replay must arrive, not only leave, while its token is remembered: so much of the horizon is kept for the way."""


@dataclass(slots=True)
class Job:
    """What the ledger knows of a token, and what the manifest wants under its id; None if it lists the id no more.

    Where the two have different tokens, `known` is an open intent that must be resolved first.
    """

    known: Known
    wanted: Item | None
    open_since: Moment | None = None
    """Start of the first attempt of unknown outcome, at the earliest; LONG_AGO where it may be of any age."""
    last_open_s: float | None = None
    """Start of the last one, at the latest, in counting seconds."""
    tries: Tries = field(default_factory=Tries)

    @property
    def token(self) -> str:
        return self.known.client_token

    @property
    def item(self) -> Item | None:
        """What may be sent under the token; None where the manifest wants something else."""
        return self.wanted if self.wanted is not None and self.wanted.client_token == self.token else None

    def follow(self, known: Known, *, attempt_started: Moment) -> None:
        """Take over what the ledger says after an attempt that started then."""
        before, self.known = self.known.last_open_at, known
        if known.unknown_since is None:
            self.open_since = self.last_open_s = None
        elif known.last_open_at != before:  # a throttle or a refusal leaves it as it was
            self.open_since = attempt_started if self.open_since is None else self.open_since
            self.last_open_s = attempt_started.counting_s

    def forget_attempts(self, known: Known) -> None:
        """Take over that the attempts made nothing, which was proved."""
        self.known = known
        self.open_since = self.last_open_s = None


def job_of(known: Known, wanted: Item | None, *, now: Moment, stretch: Stretch) -> Job:
    """Return a job as a run finds it. `stretch` tells what the ledger's times are worth."""
    since, last = known.unknown_since, known.last_open_at
    return Job(
        known=known,
        wanted=wanted,
        open_since=None if since is None else stretch.earliest(since, now),
        last_open_s=None if last is None else stretch.latest_s(last, now),
    )


def time_left_s(job: Job, *, now: Moment, horizon_s: float) -> float:
    """Return how long the job's token can still be trusted, in seconds, by the clock that says less; inf if nothing is
    open."""
    return math.inf if job.open_since is None else horizon_s - now.passed_at_most(job.open_since)


def may_replay(job: Job, *, now: Moment, horizon_s: float) -> bool:
    """Return whether a request sent now still comes under the protection of its token (or needs none yet)."""
    return time_left_s(job, now=now, horizon_s=horizon_s) > min(MARGIN_MAX_S, horizon_s * MARGIN_SHARE)
