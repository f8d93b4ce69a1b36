"""Resolving: find out what became of requests whose answers never came, from what the service holds.

An attachment is recognised by its identity tag alone. Absence is proved only by a complete listing that began at least
one horizon after the last open attempt: until then the request may still be at work. And only where nothing new in it
is without readable tags: that could be what the request made. Tags are at most a horizon behind their attachment, so
what is read two horizons after the attempt tells.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from batch_upload.engine.identity import Readings, carriers, read_tokens
from batch_upload.engine.job import Job
from batch_upload.engine.listing import Listing, list_completely, list_lane
from batch_upload.engine.upload import Surroundings
from batch_upload.events import ItemChanged, Resolving
from batch_upload.model import Attachment, Known, State
from batch_upload.moments import Stretch

CLOCKS_APART = timedelta(minutes=15)
"""How far the service's clock and ours may differ: SigV4 refuses requests that are further off."""
AGAIN_S = 1.0
"""The shortest time between two listings for the same job."""


@dataclass(slots=True)
class Findings:
    """What one listing settled."""

    adopted: list[Job] = field(default_factory=list)
    absent: list[Job] = field(default_factory=list)
    undecided: list[Job] = field(default_factory=list)
    waiting: list[tuple[Job, float]] = field(default_factory=list)
    """What could not be settled yet, and the monotonic moment of the next listing that may."""
    unproved: list[Job] = field(default_factory=list)
    """What was not found, by a listing of which nobody can say that it is complete."""


async def adopt(around: Surroundings, token: str, found: Sequence[Attachment], *, is_told: bool = True) -> Known:
    """Take the oldest attachment that carries the token for what it made. The others are duplicates (duplicates.py).

    `is_told`: whether the token stands for an item now; False for one that was sent again under another token since.
    """
    known = await around.ledger.adopt(token, found[0], at=around.clock.now())
    if not is_told:
        return known
    ended = known.state is not State.PROCESSING
    around.observer.notify(ItemChanged(known, ended=ended, created=False, at=around.clock.now(), adopted=True))
    return known


class Resolver:
    """Settles open intents by listing, one listing for all of them."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def provable_at(self, job: Job) -> float:
        """The moment from which a listing can prove that this job's attempts made nothing, in counting seconds.

        The counting clock alone decides: it says too little at worst, and the wall clock may say too much.
        """
        last_s = job.last_open_s
        return self._around.clock.monotonic() if last_s is None else last_s + self._around.horizon_s

    async def settle(self, jobs: Collection[Job]) -> Findings:
        """List the lane for these jobs and settle what can be settled. May be called again for those that must wait.

        Raises as `list_lane`, and as the ledger.
        """
        around = self._around
        around.observer.notify(Resolving(len(jobs), around.clock.now()))
        may_prove = any(around.clock.monotonic() >= self.provable_at(job) for job in jobs)
        listing = await list_completely(around) if may_prove else await list_lane(around)
        known = await around.ledger.attachment_tokens()  # after the listing: what other workers made meanwhile is ours
        readings = await read_tokens(around, listing, known)
        return await self.settle_by(listing, readings, jobs)

    async def settle_by(self, listing: Listing, readings: Readings, jobs: Collection[Job]) -> Findings:
        """Settle what a listing can settle. `readings` are of every attachment that may be one of the jobs'."""
        carried = carriers(listing, readings.tokens)
        findings = Findings()
        for job in jobs:
            await self._settle_one(job, listing, readings, carried, findings)
        await self._record(findings)
        return findings

    async def _settle_one(
        self,
        job: Job,
        listing: Listing,
        readings: Readings,
        carried: Mapping[str, Sequence[Attachment]],
        findings: Findings,
    ) -> None:
        found = carried.get(job.token, ())
        if found:
            job.known = await adopt(self._around, job.token, found)
            findings.adopted.append(job)
        elif (at := self._look_again_at(job, listing, readings)) is not None:
            findings.waiting.append((job, at))
        elif not listing.is_complete:
            findings.unproved.append(job)
        elif job.known.identity_tag or not _could_be(job, listing, readings.tokens, self._around.ledger.stretch):
            findings.absent.append(job)
        else:
            findings.undecided.append(job)

    def _look_again_at(self, job: Job, listing: Listing, readings: Readings) -> float | None:
        """When a later listing may settle a job that this one cannot settle; None where it can.

        A stranger without readable tags holds a job up until it is so old that they must be there, and no longer than
        until two horizons after the job's last open attempt: so strangers that keep coming hold up nothing for ever.
        """
        provable_at, horizon_s = self.provable_at(job), self._around.horizon_s
        if listing.began_at < provable_at:
            return provable_at
        tags_tell_at = provable_at + horizon_s
        blocking = [each for each in readings.untold.values() if each.read_at < tags_tell_at]
        if not blocking:
            return None
        told_at = max(each.certain_at(horizon_s) for each in blocking)
        return max(min(told_at, tags_tell_at), self._around.clock.monotonic() + AGAIN_S)

    async def _record(self, findings: Findings) -> None:
        ledger, now = self._around.ledger, self._around.clock.now()
        await ledger.absent([job.token for job in findings.absent], at=now)
        await ledger.undecided([job.token for job in findings.undecided], at=now)


def _could_be(job: Job, listing: Listing, tokens: Mapping[str, str | None], stretch: Stretch) -> bool:
    """Whether any attachment could be what a job without identity tag made: nobody's, untagged, and new enough.

    Of any age, where the wall clock was set since the job was sent first.
    """
    since = job.known.unknown_since
    since = since - CLOCKS_APART if since is not None and stretch.is_comparable(since) else None
    return any(
        tokens.get(each.attachment_id) is None and (since is None or each.created_at >= since)
        for each in listing.attachments
    )
