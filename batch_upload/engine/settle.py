"""The settle step: learn when the service has finished with what was created, with as few describes as possible.

It goes on while creates go on, so that what is finished is recorded and told at once. `pacing/settling.py` says when to
look and at what; this module asks the service.

What the service does not find is not gone: it may show an attachment only a horizon after it was created. Only what is
still not found after a horizon of looking is called absent, and the next run looks at it again.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from batch_upload.clock import sleep_or
from batch_upload.engine.context import LaneContext
from batch_upload.engine.groups import task_group
from batch_upload.engine.lane import Withheld
from batch_upload.engine.listing import (
    IDS_A_CALL,
    NOT_FOUND,
    PAGE_SIZE,
    Listing,
    calls_by_listing,
    describe_found,
    listing_of,
    read_pages,
)
from batch_upload.errors import LaneFault, Refused, Transient
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Known, State
from batch_upload.operations import CREATE, DESCRIBE
from batch_upload.pacing.settling import SettlingLook, SettlingSchedule

RECONSIDER_S = 1.0
"""Seconds after which the schedule is asked again at the latest, since more was created."""


def is_old(known: Known, *, now: datetime, horizon_s: float) -> bool:
    """Return whether an attachment was certainly created a horizon ago, by the ledger's times.

    If such an attachment is not found, it is gone.
    """
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


@dataclass(frozen=True, slots=True)
class _Watched:
    """An attachment that the service is processing. `since`: monotonic seconds from which on it was looked for, -inf
    where it is certainly old."""

    known: Known
    since: float
    is_told: bool
    is_bound: bool


class Settler:
    """Watches what was created until it is complete or failed. `lane_size`: attachments that the lane holds.

    `bind` is called with each item that the service has finished with and whose attachment belongs into a field.
    """

    def __init__(
        self,
        context: LaneContext,
        *,
        timeout_s: float,
        lane_size: int = 0,
        bind: Callable[[Known], None] = lambda _: None,
    ) -> None:
        self._context = context
        self._timeout_s = timeout_s
        self._bind = bind
        self.lane_size = lane_size
        self._schedule = SettlingSchedule(ids_a_call=IDS_A_CALL, page_size=PAGE_SIZE)
        self._watched: dict[str, _Watched] = {}  # by attachment id
        self._ends_at = math.inf
        self._closed = anyio.Event()
        self._changed = anyio.Event()
        self._calls = 0  # describes so far
        self._is_looking = False
        self._told_trouble = ""  # why the last look failed, as it was told; empty after one that succeeded
        self.created = 0
        """How many attachments were created in this run."""
        self.last_listing: Listing | None = None
        """The last listing of the lane that began after `close`, if one was read."""
        self.is_cut_off = False
        """Whether time was up while a look was still waiting for answers."""

    @property
    def waiting(self) -> int:
        """How many attachments the service is still processing."""
        return len(self._watched)

    @property
    def lists_at_end(self) -> bool:
        """Whether the lane is listed to see the end of what is watched: asking by id would not take fewer calls."""
        return math.ceil(len(self._watched) / IDS_A_CALL) >= calls_by_listing(self.lane_size)

    def add(self, known: Known, *, left: int = 0) -> None:
        """Watch an attachment that was created in this run, just now. `left`: how many are still to be created."""
        self.lane_size += 1
        self.created += 1
        now = self._monotonic()
        if self._watch(known, is_told=True, is_bound=True):
            self._schedule.sent(now, known.attachment_id or "")
        self._schedule.expect(left, now + left / self._context.wire.rate(CREATE))

    def watch(self, known: Known, *, is_told: bool = True, is_bound: bool = True) -> None:
        """Watch an attachment that the lane held before, unless the service has finished with it.

        `is_told`: whether it counts for an item of the manifest, so that what becomes of it is told. `is_bound`:
        whether the manifest lists it as it is, so that it may be put into the field of its `bind`.
        """
        if self._watch(known, is_told=is_told, is_bound=is_bound):
            self._schedule.watch(self._monotonic(), known.attachment_id or "")

    def close(self) -> None:
        """There will be no more creates: from now on look as often as needed, until the time-out at most."""
        if not self._closed.is_set():
            self.end_within(self._timeout_s)
            self._schedule.expect(0, self._monotonic())
            self._closed.set()
            self._changed.set()

    def end_within(self, seconds: float) -> None:
        """Once closed, watch no longer than so many seconds from now."""
        self._ends_at = min(self._ends_at, self._monotonic() + seconds)

    async def run(self) -> None:
        """Return when nothing is left to watch after `close`, when time is up, or when the lane was stopped."""
        async with task_group() as group:

            async def cut_off() -> None:
                await self._closed.wait()
                while (left_s := self._ends_at - self._monotonic()) > 0:
                    await self._context.clock.sleep(left_s)
                self.is_cut_off = self._is_looking
                group.cancel_scope.cancel()

            group.start_soon(cut_off)
            await self._look_until_done()
            group.cancel_scope.cancel()

    async def _look_until_done(self) -> None:
        try:
            while not (self._closed.is_set() and (not self._watched or self._monotonic() >= self._ends_at)):
                self._changed = anyio.Event()
                pages, call_s = calls_by_listing(self.lane_size), 1 / self._context.wire.rate(DESCRIBE)
                now = self._monotonic()
                # the least: a look that comes too early costs a call and the wait for its slot
                self._schedule.latency_s = self._context.wire.least_latency_s(DESCRIBE)
                wait_s = self._schedule.next_look(now, pages=pages, call_s=call_s) - now
                if self._closed.is_set():
                    wait_s = min(wait_s, self._ends_at - now)
                if wait_s <= 0:
                    await self._look(self._schedule.look(now, pages=pages, call_s=call_s))
                    continue
                with self._context.lane.waiting(to_create=False):
                    if math.isinf(wait_s):
                        await self._changed.wait()
                    else:
                        # each create may bring the next look forward, and none needs to be answered at once
                        await sleep_or(self._changed, min(wait_s, RECONSIDER_S), self._context.clock)
        except Withheld:
            return
        except (Refused, Transient) as error:
            self._context.notice(f"statuses could not be asked for: {error.message}")
        except LaneFault as error:
            self._context.stop_for(error)

    async def _look(self, look: SettlingLook) -> None:
        """Ask for what is due, and report to the schedule what that has shown."""
        began_calls = self._calls
        # a search for a faster pace would be throttled just when the end is near, and a look is only a few calls
        self._context.wire.expect(DESCRIBE, look.pages or math.ceil(len(look.ids) / IDS_A_CALL))
        self._is_looking = True
        try:
            left = look.ids if not look.pages else await self._list(look.ids)
            for start in range(0, len(left), IDS_A_CALL):
                await self._take_in(await self._describe(left[start : start + IDS_A_CALL]))
            self._told_trouble = ""
        except (Refused, Transient) as error:
            if self._closed.is_set():
                raise
            if self._told_trouble != error.message:
                self._told_trouble = error.message
                self._context.notice(f"statuses could not be asked for, the run looks again: {error.message}")
        finally:
            self._schedule.looked(self._monotonic(), self._calls - began_calls)
            self._is_looking = False

    async def _list(self, due: Sequence[str]) -> Sequence[str]:
        """List the lane. Return what is due and was not shown."""
        is_last, pages = self._closed.is_set(), list[AttachmentPage]()
        began, began_at = self._context.now(), self._monotonic()

        async def take(page: AttachmentPage) -> None:
            self._calls += 1
            pages.append(page)
            await self._take_in(page.attachments)

        is_single = await read_pages(self._context, take)
        listing = listing_of(pages, began=began, began_at=began_at, is_complete=is_single)
        if is_last:
            self.last_listing = listing
        self.lane_size = len(listing.attachments)
        shown = {each.attachment_id for each in listing.attachments}
        return [each for each in due if each not in shown]

    async def _describe(self, ids: Sequence[str]) -> Sequence[Attachment]:
        """Return those of these attachments that are found; of the others, record it or leave it for a later look."""
        self._calls += 1
        try:
            return await self._context.wire.call(DESCRIBE, lambda: self._context.service.describe(ids))
        except Refused as error:
            if error.code != NOT_FOUND:
                for each in ids:
                    self._schedule.seen_processing(self._monotonic(), each)
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
        watched, now = self._watched[attachment_id], self._monotonic()
        if now - watched.since < self._context.horizon_s:
            self._schedule.seen_processing(now, attachment_id)
            return
        self._schedule.forget(attachment_id)
        del self._watched[attachment_id]
        recorded = self._context.ledger.not_found([watched.known.client_token], at=self._context.now())
        for known in await self._context.recorded(recorded):
            if watched.is_told:
                self._context.tell(known)

    async def _take_in(self, attachments: Iterable[Attachment]) -> None:
        """Record and tell at once what is finished, and tell the schedule what is not."""
        now = self._monotonic()
        finished: list[Attachment] = []
        for each in attachments:
            if each.attachment_id not in self._watched:
                continue
            if each.status is AttachmentStatus.IN_PROGRESS:
                self._schedule.seen_processing(now, each.attachment_id)
            else:
                self._schedule.seen_finished(now, each.attachment_id)
                finished.append(each)
        if not finished:
            return
        watched = {each.attachment_id: self._watched.pop(each.attachment_id) for each in finished}
        for known in await self._context.recorded(self._context.ledger.observe(finished, at=self._context.now())):
            entry = watched[known.attachment_id or ""]
            if entry.is_told:
                self._context.tell(known)
            if entry.is_told and entry.is_bound:
                self._bind(known)

    def _watch(self, known: Known, *, is_told: bool, is_bound: bool) -> bool:
        """Watch an attachment; return False if the service has finished with it. Then it may have to be bound."""
        if known.attachment_id is None or known.state is not State.PROCESSING:
            if is_told and is_bound:
                self._bind(known)
            return False
        is_certainly_old = is_old(known, now=self._context.now(), horizon_s=self._context.horizon_s)
        since = -math.inf if is_certainly_old else self._monotonic()
        self._watched[known.attachment_id] = _Watched(known, since, is_told, is_bound)
        if len(self._watched) == 1:
            self._changed.set()
        return True

    def _monotonic(self) -> float:
        return self._context.clock.monotonic()
