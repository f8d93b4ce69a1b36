"""Resolving: find out what became of requests whose answers never came, from what the service holds.

An attachment is recognised by its identity tag alone. Absence is proved only by a complete listing that began at least
one horizon after the last open attempt: until then the request may still be at work. And only where nothing new in it
is without readable tags: that could be what the request made. Tags are at most a horizon behind their attachment, so
what is read two horizons after the attempt tells.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from batch_upload.engine.context import LaneContext
from batch_upload.engine.identity import Readings, carriers, read_tokens
from batch_upload.engine.listing import Listing, list_completely, list_lane
from batch_upload.engine.replay import Job
from batch_upload.events import Resolving
from batch_upload.model import Attachment, Known

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
    """What was not found, by a listing that may be incomplete."""


async def adopt(context: LaneContext, token: str, found: Sequence[Attachment], *, is_told: bool = True) -> Known:
    """Record the oldest attachment that carries the token as what it made. The others are duplicates.

    `is_told`: whether the token counts for an item; False for one that was sent again under another token since.
    """
    known = await context.ledger.adopt(token, found[0], at=context.now())
    if is_told:
        context.tell(known, adopted=True)
    return known


def provable_at(context: LaneContext, job: Job) -> float:
    """Return the moment from which a listing can prove that a job's attempts made nothing, in counting seconds.

    The counting clock alone decides: it says too little at worst, and the wall clock may say too much.
    """
    return context.clock.monotonic() if job.last_open_s is None else job.last_open_s + context.horizon_s


async def look_up(context: LaneContext, jobs: Collection[Job]) -> Findings:
    """List the lane for these jobs and settle what can be settled. May be called again for those that must wait.

    Raises as `list_lane`, and as the ledger.
    """
    context.observer.notify(Resolving(len(jobs), context.now()))
    may_prove = any(context.clock.monotonic() >= provable_at(context, job) for job in jobs)
    listing = await list_completely(context) if may_prove else await list_lane(context)
    known = await context.ledger.attachment_tokens()  # after the listing: what other workers made meanwhile is ours
    return await settle_open(context, listing, await read_tokens(context, listing, known), jobs)


async def settle_open(context: LaneContext, listing: Listing, readings: Readings, jobs: Collection[Job]) -> Findings:
    """Settle what a listing can settle, and record it. `readings` are of all attachments that may be the jobs'."""
    carried = carriers(listing, readings.tokens)
    findings = Findings()
    for job in jobs:
        if found := carried.get(job.token):
            job.known = await adopt(context, job.token, found)
            findings.adopted.append(job)
        elif (at := _look_again_at(context, job, listing, readings)) is not None:
            findings.waiting.append((job, at))
        elif not listing.is_complete:
            findings.unproved.append(job)
        elif job.known.identity_tag or not _could_be(context, job, listing, readings):
            findings.absent.append(job)
        else:
            findings.undecided.append(job)
    await context.ledger.absent([job.token for job in findings.absent], at=context.now())
    await context.ledger.undecided([job.token for job in findings.undecided], at=context.now())
    return findings


def _look_again_at(context: LaneContext, job: Job, listing: Listing, readings: Readings) -> float | None:
    """Return when a later listing may settle a job that this one cannot settle; None where it can.

    An attachment without readable tags holds a job up until it is so old that they must be there, and no longer than
    until two horizons after the job's last open attempt: so ones that keep coming hold up nothing for ever.
    """
    provable, horizon_s = provable_at(context, job), context.horizon_s
    if listing.began_at < provable:
        return provable
    tags_tell_at = provable + horizon_s
    blocking = [each for each in readings.untold.values() if each.read_at < tags_tell_at]
    if not blocking:
        return None
    told_at = max(each.certain_at(horizon_s) for each in blocking)
    return max(min(told_at, tags_tell_at), context.clock.monotonic() + AGAIN_S)


def _could_be(context: LaneContext, job: Job, listing: Listing, readings: Readings) -> bool:
    """Return whether any attachment could be what a job without identity tag made: untagged, and new enough.

    Of any age, where the wall clock was set since the job was sent first.
    """
    since = job.known.unknown_since
    since = since - CLOCKS_APART if since is not None and context.ledger.stretch.is_comparable(since) else None
    return any(
        readings.tokens.get(each.attachment_id) is None and (since is None or each.created_at >= since)
        for each in listing.attachments
    )
