"""Settling: wait until the service has finished with what was created, with as few describes as possible."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

import anyio

from batch_upload.engine.lane import Withheld
from batch_upload.engine.pacing import sleep_or
from batch_upload.engine.retry import DESCRIBE
from batch_upload.engine.upload import Surroundings, stop_lane
from batch_upload.errors import LaneFault, Refused, Transient
from batch_upload.events import ItemChanged, Notice
from batch_upload.model import Attachment, AttachmentPage, AttachmentStatus, Known, State

IDS_A_CALL = 5
"""Ids that one describe takes (the service's documentation)."""
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


class Settler:
    """Watches what was created until it is complete or failed. `lane_size` is what the lane held before the run."""

    def __init__(self, around: Surroundings, *, lane_size: int, timeout_s: float) -> None:
        self._around = around
        self._lane_size = lane_size
        self._timeout_s = timeout_s
        self._due: dict[str, tuple[float, float, Known]] = {}  # id -> when to look, pause after that, item
        self._ends_at = math.inf
        self._closed = anyio.Event()

    @property
    def waiting(self) -> int:
        """How many attachments the service is still at work on."""
        return len(self._due)

    def add(self, known: Known) -> None:
        """Watch an attachment that was created in this run."""
        self._lane_size += 1
        self.watch(known)

    def watch(self, known: Known) -> None:
        """Watch an attachment that the lane held before, unless the service has finished with it."""
        if known.attachment_id is not None and known.state is State.PROCESSING:
            self._due[known.attachment_id] = (self._monotonic() + FIRST_LOOK_S, FIRST_LOOK_S, known)

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
            self._around.observer.notify(Notice(f"statuses could not be asked for: {error.message}", self._now()))
        except LaneFault as error:
            stop_lane(self._around, error)

    def _finished(self) -> bool:
        return self._closed.is_set() and (not self._due or self._monotonic() >= self._ends_at)

    def _due_now(self) -> list[str]:
        now = self._monotonic()
        return [attachment_id for attachment_id, (at, _, _) in self._due.items() if at <= now]

    async def _wait_for_work(self) -> bool:
        """Whether a look is worth its calls now; otherwise wait until that may have changed."""
        if self._closed.is_set():
            return self._pause_s() <= 0 or await self._pause()
        if self._is_worth_a_look(len(self._due)):
            return self._is_worth_a_look(len(self._due_now())) or await self._pause()
        return await self._pause()

    def _is_worth_a_look(self, count: int) -> bool:
        calls = min(calls_by_id(count), calls_by_listing(self._lane_size))
        return count > 0 and count >= WORTH_A_CALL * calls

    async def _pause(self) -> bool:
        """Wait until there may be more to look at. Always False: nothing was looked at."""
        with self._around.lane.waiting(to_create=False):
            if self._closed.is_set():
                await self._around.clock.sleep(self._pause_s())
            else:
                await sleep_or(self._closed, FIRST_LOOK_S, self._around.clock)
        return False

    def _pause_s(self) -> float:
        looks = sorted(at for at, _, _ in self._due.values())
        next_look = max(at for at in looks if at <= looks[0] + TOGETHER_S)
        return max(0.0, min(next_look, self._ends_at) - self._monotonic())

    async def _look(self, due: Sequence[str]) -> None:
        if calls_by_id(len(due)) <= calls_by_listing(self._lane_size):
            for start in range(0, len(due), IDS_A_CALL):
                await self._take_in(await self._describe(due[start : start + IDS_A_CALL]))
        else:
            await self._look_by_listing(due)

    async def _look_by_listing(self, due: Sequence[str]) -> None:
        seen: set[str] = set()
        size, token = 0, None
        while True:
            page = await self._page(token)
            size += len(page.attachments)
            ours = [each for each in page.attachments if each.attachment_id in self._due]
            seen.update(each.attachment_id for each in ours)
            await self._take_in(ours)
            token = page.next_token
            if token is None:
                break
        self._lane_size = size
        missing = [each for each in due if each not in seen]
        for start in range(0, len(missing), IDS_A_CALL):
            await self._take_in(await self._describe(missing[start : start + IDS_A_CALL]))

    async def _page(self, token: str | None) -> AttachmentPage:
        return await self._around.wire.call(DESCRIBE, lambda: self._around.service.page(token))

    async def _describe(self, ids: Sequence[str]) -> Sequence[Attachment]:
        """The attachments of these ids; one that the service no longer knows counts as deleted."""
        try:
            return await self._around.wire.call(DESCRIBE, lambda: self._around.service.describe(ids))
        except Refused as error:
            if error.code != "ResourceNotFoundException":
                self._postpone(ids)
                self._around.observer.notify(Notice(f"a status was refused: {error.message}", self._now()))
                return ()
        if len(ids) == 1:
            return (self._gone(ids[0]),)
        return [found for each in ids for found in await self._describe([each])]

    def _gone(self, attachment_id: str) -> Attachment:
        known = self._due[attachment_id][2]
        return Attachment(attachment_id, known.attachment_arn or "", AttachmentStatus.DELETED, self._now())

    async def _take_in(self, attachments: Iterable[Attachment]) -> None:
        settled: list[Attachment] = []
        before: dict[str, Known] = {}
        for attachment in attachments:
            if attachment.attachment_id not in self._due:
                continue
            if attachment.status is AttachmentStatus.IN_PROGRESS:
                self._postpone([attachment.attachment_id])
                continue
            settled.append(attachment)
            _, _, before[attachment.attachment_id] = self._due.pop(attachment.attachment_id)
        if settled:
            for known in await self._around.ledger.observe(settled, at=self._now(), known=before):
                self._around.observer.notify(ItemChanged(known, ended=True, created=False, at=self._now()))

    def _postpone(self, ids: Iterable[str]) -> None:
        for attachment_id in ids:
            _, pause_s, known = self._due[attachment_id]
            pause_s = min(LOOKS_MAX_S, pause_s * 2)
            self._due[attachment_id] = (self._monotonic() + pause_s, pause_s, known)

    def _monotonic(self) -> float:
        return self._around.clock.monotonic()

    def _now(self) -> datetime:
        return self._around.clock.now()
