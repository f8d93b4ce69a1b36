"""The second look: does anything at the service carry a token of this ledger beside the ledger's own attachment?

Where two machines use copies of one ledger at the same moment, both list the lane before either has created anything.
So a run that created something looks once more when it is done. A service may show the other attachment, or its tags,
only a horizon later: then the next run finds it, which looks too.
"""

from collections.abc import Sequence

import anyio

from batch_upload.engine.context import LaneContext
from batch_upload.engine.identity import read_tokens, wait_for_tags
from batch_upload.engine.lane import StopKind, Withheld
from batch_upload.engine.listing import Listing, list_completely, list_lane
from batch_upload.errors import LaneFault, Transient
from batch_upload.events import OrphanSeen
from batch_upload.model import AttachmentStatus, Duplicate

_STANDS = (AttachmentStatus.IN_PROGRESS, AttachmentStatus.COMPLETE)


async def find_duplicates(context: LaneContext, listing: Listing) -> list[Duplicate]:
    """The duplicates that a listing shows, of those whose tags were read."""
    there = {each.attachment_id for each in listing.attachments if each.status in _STANDS}
    return [each for each in await context.ledger.duplicates() if each.attachment_id in there]


def tell(context: LaneContext, duplicate: Duplicate) -> None:
    """Report one."""
    token, now = duplicate.client_token, context.now()
    context.observer.notify(OrphanSeen(duplicate.attachment_id, token, duplicate.kept_id, now))


class DuplicateWatch:
    """The duplicates that a run has seen, each told once. The run goes on: what is left is not made worse by them."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._looking = anyio.CancelScope()
        self.found: list[Duplicate] = []

    def end(self) -> None:
        """The time is up: a look that is under way is given up, and no other is begun."""
        self._looking.cancel()

    def report(self, duplicates: Sequence[Duplicate]) -> None:
        """Tell of those that are new."""
        told = {each.attachment_id for each in self.found}
        for each in duplicates:
            if each.attachment_id not in told:
                self.found.append(each)
                tell(self._context, each)

    async def look(self, listing: Listing | None) -> None:
        """Look after the last create, in a listing that began after it, if one was read already.

        Certain for the `doubtful` tokens of the run. Not where the run is told to end: then the next one looks.
        """
        stop = self._context.lane.stop
        if stop is not None and (stop.kind is StopKind.DEADLINE or not stop.kind.drains):
            return
        try:
            with self._looking:
                self.report(await self._read(listing))
        except Withheld:
            return
        except (Transient, LaneFault) as error:
            message = f"AWS did not say whether anything is there twice: {error.message}"
            self._context.notice(message)

    async def _read(self, listing: Listing | None) -> list[Duplicate]:
        context = self._context
        if context.doubtful:
            listing = await list_completely(context)
        elif listing is None:
            listing = await list_lane(context)
        readings = await read_tokens(context, listing, await context.ledger.attachment_tokens())
        if context.doubtful:
            await wait_for_tags(context, readings)
        return await find_duplicates(context, listing)
