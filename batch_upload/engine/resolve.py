"""Resolving: find out what became of requests whose answers never came, from what the service holds.

An attachment is recognised by its identity tag alone. Absence is proved only by a complete listing that began at least
one horizon after the last open attempt: until then the request may still be at work.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from batch_upload.engine.groups import for_each
from batch_upload.engine.job import Job
from batch_upload.engine.retry import DESCRIBE, LIST_TAGS, Wire
from batch_upload.engine.upload import Surroundings
from batch_upload.errors import Refused
from batch_upload.events import ItemChanged, OrphanSeen, Resolving
from batch_upload.model import Attachment, AttachmentStatus, Known, State
from batch_upload.moments import Stretch
from batch_upload.ports import AttachmentService, Clock
from batch_upload.token import IDENTITY_TAG

CLOCKS_APART = timedelta(minutes=15)
"""How far the service's clock and ours may differ: SigV4 refuses requests that are further off."""
READERS = 4
"""Tag reads in flight at once: at 10 a second and 100 ms each, more would only wait for slots."""


class Asking(Protocol):
    """What it takes to read from the lane. `Surroundings` are such."""

    @property
    def service(self) -> AttachmentService: ...

    @property
    def wire(self) -> Wire: ...

    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete listing of the lane. `began` is the wall's time, `began_at` the monotonic moment of its start."""

    attachments: tuple[Attachment, ...]
    began: datetime
    began_at: float


@dataclass(slots=True)
class Findings:
    """What one listing settled. Jobs that it could not settle yet are in `waiting`."""

    adopted: list[Job] = field(default_factory=list)
    absent: list[Job] = field(default_factory=list)
    undecided: list[Job] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)


async def list_lane(around: Asking) -> Listing:
    """List every attachment of the lane, page by page."""
    began, began_at = around.clock.now(), around.clock.monotonic()
    found: list[Attachment] = []
    token: str | None = None
    while True:
        page = await around.wire.call(DESCRIBE, lambda at=token: around.service.page(at))  # type: ignore[misc]
        found.extend(page.attachments)
        token = page.next_token
        if token is None:
            return Listing(tuple(found), began, began_at)


async def read_tokens(around: Surroundings, listing: Listing, known: Mapping[str, str | None]) -> dict[str, str | None]:
    """Read the identity tag of each listed attachment that the ledger does not know, once; remember what was read.

    However old it is: its age is by the service's clock, and ours may be wrong. Gives every known attachment's token,
    old and new.
    """
    strangers = [each for each in listing.attachments if each.attachment_id not in known]
    tokens = dict(known)

    async def read(stranger: Attachment) -> None:
        token = await identity_of(around, stranger)
        await around.ledger.remember([(stranger, token)], at=around.clock.now())
        tokens[stranger.attachment_id] = token

    await for_each(strangers, read, at_once=READERS)
    return tokens


async def identity_of(around: Asking, attachment: Attachment) -> str | None:
    """Read the identity tag of an attachment; None without one, or where the attachment is gone."""
    try:
        tags = await around.wire.call(LIST_TAGS, lambda: around.service.tags(attachment.attachment_arn))
    except Refused as error:
        if error.code == "ResourceNotFoundException":  # deleted between listing and reading
            return None
        raise
    return tags.get(IDENTITY_TAG)


def carriers(listing: Listing, tokens: Mapping[str, str | None]) -> dict[str, list[Attachment]]:
    """The attachments that stand at the service by the token they carry, oldest first."""
    found: dict[str, list[Attachment]] = {}
    for attachment in sorted(listing.attachments, key=lambda each: (each.created_at, each.attachment_id)):
        token = tokens.get(attachment.attachment_id)
        if token is not None and attachment.status is not AttachmentStatus.DELETED:
            found.setdefault(token, []).append(attachment)
    return found


async def adopt(around: Surroundings, token: str, found: Sequence[Attachment]) -> Known:
    """Take the oldest attachment that carries the token for what it made; report the others."""
    kept, *others = found
    known = await around.ledger.adopt(token, kept, at=around.clock.now())
    ended = known.state is not State.PROCESSING
    around.observer.notify(ItemChanged(known, ended=ended, created=False, at=around.clock.now(), adopted=True))
    for other in others:
        around.observer.notify(OrphanSeen(other.attachment_id, token, kept.attachment_id, around.clock.now()))
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
        """List the lane once and settle what can be settled. May be called again for those that must wait."""
        around = self._around
        around.observer.notify(Resolving(len(jobs), around.clock.now()))
        listing = await list_lane(around)
        known = await around.ledger.attachment_tokens()  # after the listing: what other workers made meanwhile is ours
        tokens = await read_tokens(around, listing, known)
        return await self.settle_by(listing, tokens, jobs)

    async def settle_by(self, listing: Listing, tokens: Mapping[str, str | None], jobs: Collection[Job]) -> Findings:
        """Settle what a listing can settle. `tokens` are of every attachment that may be one of the jobs'."""
        carried = carriers(listing, tokens)
        findings = Findings()
        for job in jobs:
            await self._settle_one(job, listing, tokens, carried, findings)
        await self._record(findings)
        return findings

    async def _settle_one(
        self,
        job: Job,
        listing: Listing,
        tokens: Mapping[str, str | None],
        carried: Mapping[str, Sequence[Attachment]],
        findings: Findings,
    ) -> None:
        found = carried.get(job.token, ())
        if found:
            job.known = await adopt(self._around, job.token, found)
            findings.adopted.append(job)
        elif listing.began_at < self.provable_at(job):
            findings.waiting.append(job)
        elif job.known.identity_tag or not _could_be(job, listing, tokens, self._around.ledger.stretch):
            findings.absent.append(job)
        else:
            findings.undecided.append(job)

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
