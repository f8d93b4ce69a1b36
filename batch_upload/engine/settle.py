"""Settling: wait until the service has finished with what was created, with as few describes as possible.

What the service does not find is not gone: it may show an attachment only a horizon after it was created. Only what is
still not found after a horizon of looking is called absent, and the next run looks at it again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from batch_upload.clock import sleep_or
from batch_upload.engine.context import LaneContext
from batch_upload.engine.lane import Withheld
from batch_upload.engine.listing import IDS_A_CALL, NOT_FOUND, Listing, describe_found, listing_of, read_pages
from batch_upload.errors import LaneFault, Refused, Transient
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Known, State
from batch_upload.operations import DESCRIBE

PAGE_SIZE = 100
"""Attachments on one page of a listing (botocore 1.43.117, `MaxResults`)."""
FIRST_LOOK_S = 1.0
"""Age at which a new attachment is asked for first."""
LOOKS_MAX_S = 30.0
"""The longest pause between two looks at the same attachment; pauses double from FIRST_LOOK_S."""
WORTH_A_CALL = 50
"""While creates go on, a look is taken when each of its calls tells of so many attachments that are due."""
TOGETHER_S = 1.0
"""What falls due within so long is looked at together."""


def calls_by_id(count: int) -> int:
    """Describes needed to ask for so many attachments by their ids."""
    return math.ceil(count / IDS_A_CALL)


def calls_by_listing(lane_size: int) -> int:
    """Describes needed to list a lane of so many attachments."""
    return max(1, math.ceil(lane_size / PAGE_SIZE))


def is_old(known: Known, *, now: datetime, horizon_s: float) -> bool:
    """Whether an attachment was certainly created a horizon ago, by the ledger's times. Of one that was not found, that
    says that it is gone."""
    horizon = timedelta(seconds=horizon_s)
    created_by = known.completed_at
    if created_by is None and known.attempts == 1 and known.first_sent_at is not None:
        created_by = known.first_sent_at + horizon  # the request may have been on its way so long
    return created_by is not None and now - created_by >= horizon


async def find_absent(context: LaneContext, absent: Iterable[Known]) -> bool:
    """Ask once more for the attachments that an earlier run did not find, and record those that are there after all.

    Whether there were any. Raises LaneFault, LedgerUnusable.
    """
    wanted = [row.attachment_id for row in absent if row.attachment_id is not None]
    if not wanted:
        return False
    try:
        found = await describe_found(context, wanted)
    except (Refused, Transient) as error:
        context.notice(f"what was not found could not be looked for: {error.message}")
        return False
    for known in await context.ledger.observe(found, at=context.now()):
        context.tell(known)
    return bool(found)


@dataclass(slots=True)
class _Watched:
    """An attachment that the service is at work on. Moments are monotonic seconds."""

    known: Known
    due_at: float
    pause_s: float
    since: float
    """From when on it was looked for; -inf where it is certainly old."""
    is_told: bool


class Settler:
    """Watches what was created until it is complete or failed. `lane_size` is what the lane held before the run."""

    def __init__(self, context: LaneContext, *, timeout_s: float, lane_size: int = 0) -> None:
        self._context = context
        self.lane_size = lane_size
        self._timeout_s = timeout_s
        self._due: dict[str, _Watched] = {}  # by attachment id
        self._ends_at = math.inf
        self._closed = anyio.Event()
        self.created = 0
        """How many attachments were created in this run."""
        self.last_listing: Listing | None = None
        """The last listing of the lane that began after `close`, if one was read."""

    @property
    def waiting(self) -> int:
        """How many attachments the service is still at work on."""
        return len(self._due)

    def add(self, known: Known) -> None:
        """Watch an attachment that was created in this run."""
        self.lane_size += 1
        self.created += 1
        self.watch(known)

    def watch(self, known: Known, *, is_told: bool = True) -> None:
        """Watch an attachment that the lane held before, unless the service has finished with it.

        `is_told`: whether it stands for an item of the manifest, so that what becomes of it is told.
        """
        if known.attachment_id is not None and known.state is State.PROCESSING:
            now = self._monotonic()
            old = is_old(known, now=self._now(), horizon_s=self._context.horizon_s)
            since = -math.inf if old else now
            self._due[known.attachment_id] = _Watched(known, now + FIRST_LOOK_S, FIRST_LOOK_S, since, is_told)

    def close(self) -> None:
        """There will be no more creates: from now on look as often as needed, until the time-out at most."""
        if not self._closed.is_set():
            self.end_within(self._timeout_s)
            self._closed.set()

    def end_within(self, seconds: float) -> None:
        """Once closed, watch no longer than so many seconds from now."""
        self._ends_at = min(self._ends_at, self._monotonic() + seconds)

    async def run(self) -> None:
        """Return when nothing is left to watch after `close`, when time is up, or when the lane was stopped."""
        try:
            while not self._finished():
                if not await self._wait_for_work():
                    continue
                await self._look(self._due_now())
        except Withheld:
            return
        except (Refused, Transient) as error:
            self._context.notice(f"statuses could not be asked for: {error.message}")
        except LaneFault as error:
            self._context.stop_for(error)

    def _finished(self) -> bool:
        return self._closed.is_set() and (not self._due or self._monotonic() >= self._ends_at)

    def _due_now(self) -> list[str]:
        now = self._monotonic()
        return [attachment_id for attachment_id, each in self._due.items() if each.due_at <= now]

    async def _wait_for_work(self) -> bool:
        """Whether a look is worth its calls now; otherwise wait until that may have changed."""
        if self._closed.is_set():
            return self._pause_s() <= 0 or await self._pause()
        if self._is_worth_a_look(len(self._due)):
            return self._is_worth_a_look(len(self._due_now())) or await self._pause()
        return await self._pause()

    def _is_worth_a_look(self, count: int) -> bool:
        calls = min(calls_by_id(count), calls_by_listing(self.lane_size))
        return count > 0 and count >= WORTH_A_CALL * calls

    async def _pause(self) -> bool:
        """Wait until there may be more to look at. Always False: nothing was looked at."""
        with self._context.lane.waiting(to_create=False):
            if self._closed.is_set():
                await self._context.clock.sleep(self._pause_s())
            else:
                await sleep_or(self._closed, FIRST_LOOK_S, self._context.clock)
        return False

    def _pause_s(self) -> float:
        looks = sorted(each.due_at for each in self._due.values())
        next_look = max(at for at in looks if at <= looks[0] + TOGETHER_S)
        return max(0.0, min(next_look, self._ends_at) - self._monotonic())

    async def _look(self, due: Sequence[str]) -> None:
        by_id, by_listing = calls_by_id(len(due)), calls_by_listing(self.lane_size)
        # at the same price a listing that comes after all creates tells more: see `last_listing`
        if by_id < by_listing or (by_id == by_listing and not (self._closed.is_set() and self.created)):
            await self._look_by_id(due)
        else:
            await self._look_by_listing(due)

    async def _look_by_listing(self, due: Sequence[str]) -> None:
        is_last, pages = self._closed.is_set(), list[AttachmentPage]()
        began, began_at = self._now(), self._monotonic()

        async def take(page: AttachmentPage) -> None:
            pages.append(page)
            await self._take_in(page.attachments)

        is_single = await read_pages(self._context, take)
        listing = listing_of(pages, began=began, began_at=began_at, is_complete=is_single)
        if is_last:
            self.last_listing = listing
        self.lane_size = len(listing.attachments)
        seen = {each.attachment_id for each in listing.attachments}
        await self._look_by_id([each for each in due if each not in seen])

    async def _look_by_id(self, due: Sequence[str]) -> None:
        for start in range(0, len(due), IDS_A_CALL):
            await self._take_in(await self._describe(due[start : start + IDS_A_CALL]))

    async def _describe(self, ids: Sequence[str]) -> Sequence[Attachment]:
        """Those of these attachments that are found; what the others are is recorded, or left for a later look."""
        try:
            return await self._context.wire.call(DESCRIBE, lambda: self._context.service.describe(ids))
        except Refused as error:
            if error.code != NOT_FOUND:
                self._postpone(ids)
                self._context.notice(f"a status was refused: {error.message}")
                return ()
            missing = error.resource_id if error.resource_id in ids else None
        if len(ids) == 1:
            missing = ids[0]
        if missing is None:
            return [found for each in ids for found in await self._describe([each])]
        await self._miss(missing)
        left = [each for each in ids if each != missing]
        return await self._describe(left) if left else ()

    async def _miss(self, attachment_id: str) -> None:
        """The service does not find one: not yet, or, after a horizon of looking, not any more."""
        watched = self._due[attachment_id]
        if self._monotonic() - watched.since < self._context.horizon_s:
            self._postpone([attachment_id])
            return
        del self._due[attachment_id]
        self._tell(await self._context.ledger.not_found([watched.known.client_token], at=self._now()), [watched])

    async def _take_in(self, attachments: Iterable[Attachment]) -> None:
        settled: list[Attachment] = []
        before: list[_Watched] = []
        for attachment in attachments:
            if attachment.attachment_id not in self._due:
                continue
            if attachment.status is AttachmentStatus.IN_PROGRESS:
                self._postpone([attachment.attachment_id])
                continue
            settled.append(attachment)
            before.append(self._due.pop(attachment.attachment_id))
        if settled:
            self._tell(await self._context.ledger.observe(settled, at=self._now()), before)

    def _tell(self, settled: Sequence[Known], watched: Sequence[_Watched]) -> None:
        untold = {each.known.attachment_id for each in watched if not each.is_told}
        for known in settled:
            if known.attachment_id not in untold:
                self._context.tell(known)

    def _postpone(self, ids: Iterable[str]) -> None:
        for attachment_id in ids:
            watched = self._due[attachment_id]
            watched.pause_s = min(LOOKS_MAX_S, watched.pause_s * 2)
            watched.due_at = self._monotonic() + watched.pause_s

    def _monotonic(self) -> float:
        return self._context.clock.monotonic()

    def _now(self) -> datetime:
        return self._context.clock.now()
