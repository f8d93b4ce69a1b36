"""How long a look through a lane takes, and how far it is: it is listed, then the tags of what is new are read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from batch_upload.engine.groups import task_group
from batch_upload.engine.retry import Wire
from batch_upload.engine.settle import calls_by_listing
from batch_upload.events import Looking
from batch_upload.model import Attachment, AttachmentPage, Capacity
from batch_upload.operations import DESCRIBE, LIST_TAGS
from batch_upload.ports import Clock, Observer

TELL_EVERY_S = 4.0
"""How often a look reports how far it is, in seconds: less than the 5 s that people were promised a line in."""
TELL_FROM_S = 4.0
"""A look that is expected to take less is not announced."""


class Told(Protocol):
    """What it takes to report a look. `Surroundings` have it."""

    @property
    def wire(self) -> Wire: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def observer(self) -> Observer: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What a look takes at most: pages listed, tags read, seconds. None where the service does not tell."""

    pages: int | None
    tag_reads: int | None
    time_s: float | None


def cost_of(capacity: Capacity | None, known: int, *, describes_per_s: float, reads_per_s: float) -> Cost:
    """What it will take for a lane of so many attachments, of which the ledger knows `known`. Pure.

    What was deleted is listed, too, by a service that keeps it: then it is a page more.
    """
    if capacity is None:
        return Cost(None, None, None)
    pages = calls_by_listing(capacity.used)
    reads = max(0, capacity.used - known)
    return Cost(pages, reads, pages / describes_per_s + reads / reads_per_s)


@dataclass(slots=True)
class Progress:
    """Counts of one look. `attachments`: how many the account holds, None where that is not known.

    `to_read` is None until the listing has ended.
    """

    attachments: int | None = None
    listed: set[str] = field(default_factory=set)
    to_read: int | None = None
    read: int = 0

    def page(self, page: AttachmentPage) -> None:
        """A page was listed; one that is listed again changes nothing."""
        self.listed |= {each.attachment_id for each in page.attachments}

    def begin_reading(self, count: int) -> None:
        """The lane is listed, and the tags of so many attachments are read."""
        self.attachments, self.to_read = len(self.listed), count

    def one_read(self, attachment: Attachment) -> None:
        """The tags of one more were asked for."""
        self.listed.add(attachment.attachment_id)
        self.read += 1


@asynccontextmanager
async def reported(context: Told, capacity: Capacity | None, *, known: int) -> AsyncIterator[Progress]:
    """Report the look that is done within: before it, if it takes TELL_FROM_S or more, and every TELL_EVERY_S.

    `known`: how many attachments of the lane the ledger knows, whose tags are not read.
    """
    progress = Progress(None if capacity is None else capacity.used)
    rate = context.wire.rate
    cost = cost_of(capacity, known, describes_per_s=rate(DESCRIBE), reads_per_s=rate(LIST_TAGS))
    began = context.clock.monotonic()

    def left_s() -> float | None:
        if progress.to_read is not None:
            return max(0, progress.to_read - progress.read) / context.wire.rate(LIST_TAGS)
        return None if cost.time_s is None else max(0.0, cost.time_s - (context.clock.monotonic() - began))

    def tell() -> None:
        at = context.clock.now()
        context.observer.notify(
            Looking(progress.attachments, len(progress.listed), progress.to_read, progress.read, left_s(), at)
        )

    async def tell_again_and_again() -> None:
        while True:
            await context.clock.sleep(TELL_EVERY_S)
            tell()

    if cost.time_s is not None and cost.time_s >= TELL_FROM_S:
        tell()
    async with task_group() as group:
        group.start_soon(tell_again_and_again)
        yield progress
        group.cancel_scope.cancel()
