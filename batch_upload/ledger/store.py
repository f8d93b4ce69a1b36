"""The open ledger (`ports.Ledger`) and its writers, one a lane (`ports.LedgerWriter`), on any database."""

import math
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import anyio

from batch_upload.document import RememberedDigest
from batch_upload.errors import BatchUploadError, Disagreement, LedgerFault, LedgerLocked, LedgerOfAnotherLane
from batch_upload.ledger import attachments, attempts, bindings, items, memory, runs, sets
from batch_upload.ledger.binding_writer import BindingWriter
from batch_upload.ledger.driver import Database, Returned, chunks
from batch_upload.ledger.leases import LaneTimes, Leases
from batch_upload.ledger.writer import Writer
from batch_upload.model import Attachment, Fault, Known, Lane, Outcome
from batch_upload.moments import Moment, Stretch
from batch_upload.ports import Attempt, Clock, LaneMemory, moment
from batch_upload.ports.ledger import NO_BINDS
from batch_upload.records import Comparison, Duplicate, RateRecord, Twin
from batch_upload.registration import Bind

TAKE_POLL_S = 0.5
"""Pause between two tries to take a lane that another process holds."""


class Store:
    """`ports.Ledger` over the thread that writes. `wait_lane_s`: how long `pin` waits for a lane of another process."""

    def __init__(self, writer: Writer, leases: Leases, *, shown: str, clock: Clock, wait_lane_s: float = 0.0) -> None:
        self.leases = leases
        self.shown = shown
        self.clock = clock
        self.thread = writer
        self.wait_lane_s = wait_lane_s
        self.lanes: dict[str | None, int] = {}
        """The lane of every target that was pinned, by label; that of None is the ledger's only lane."""
        self.at_work: dict[int, str | None] = {}
        """The target of every lane that a writer was pinned to."""
        self.holders: dict[Lane, LaneWriter] = {}
        """The writer of this process that has a lane, where each lane has a lease of its own."""
        self._times: dict[int | None, LaneTimes] = {}
        """What the times of each lane are worth; those of None are of all lanes that share a note."""

    @property
    def commits(self) -> int:
        """Transactions that were committed: fewer than calls where calls waited together."""
        return self.thread.commits

    async def start(self) -> None:
        """Open the connection, and read which lanes there are. Raises LedgerUnusable."""
        await self.thread.start()
        self.lanes.update(await self.thread.read(runs.targets))
        every_lane = await self.thread.read(runs.lanes)
        if len(every_lane) == 1:
            self.lanes[None] = next(iter(every_lane.values()))

    async def writer(self, target: str | None = None) -> "LaneWriter":
        # without a wait: a caller that is cancelled still gets a writer to record the end of its run with
        return LaneWriter(self, target)

    async def remember_digests(self, remembered: Mapping[str, RememberedDigest]) -> None:
        for some in chunks(tuple(remembered.items())):
            await self.thread.write(partial(memory.remember_digests, remembered=some))

    async def close(self) -> None:
        self.hurry()
        if self.leases.of_each_lane:
            held = tuple(self.at_work)

            def give_back(db: Database) -> None:
                for lane_id in held:
                    self.leases.give_back(db, lane_id)

            with suppress(LedgerFault), anyio.CancelScope(shield=True):
                await self.thread.write(give_back)
        await self.thread.close()

    def hurry(self, after_s: float = 0.0) -> None:
        self.thread.hurry(after_s)

    async def sync_notes(self) -> None:
        """Make durable what was noted of runs that begin."""
        await self.thread.write(lambda _: self.leases.sync())

    def hold(self, lane: Lane, writer: "LaneWriter") -> None:
        """Let one writer of this process have a lane: its lease is the process's. Raises LedgerLocked."""
        holder = self.holders.setdefault(lane, writer) if self.leases.of_each_lane else writer
        if holder is not writer and holder.target == writer.target:  # of two targets `pin` says what is wrong
            raise LedgerLocked(
                f"another run of this process holds lane {lane} of `{self.shown}`",
                pid=os.getpid(),
                host=socket.gethostname(),
                since=None,
                hint="wait for it to end, or let this one wait with `--wait-lock 30m`",
            )

    def let_go(self, writer: "LaneWriter") -> None:
        """Let another writer of this process have the lane of this one."""
        self.holders = {lane: each for lane, each in self.holders.items() if each is not writer}

    def take(self, db: Database, lane_id: int) -> int | None:
        """Take a lane, and return as `Leases.take`. Raises LedgerLocked. In the writing thread."""
        fence = self.leases.take(db, lane_id)
        if self.leases.of_each_lane:  # another machine may have written its times since this process had it last
            self._times.pop(lane_id, None)
        return fence

    def times(self, lane_id: int | None, now: Moment) -> LaneTimes:
        """Return what the times of a lane are worth, as far as its last holder noted it."""
        shared_by = lane_id if self.leases.of_each_lane else None
        found = self._times.get(shared_by)
        if found is None:
            found = self._times[shared_by] = LaneTimes(
                self.leases.stretch(shared_by), machine=self.clock.machine(), now=now
            )
        return found

    def check_times(self, db: Database, lane_id: int, *, now: Moment, is_copy: bool = False) -> None:
        """Begin a new stretch if the wall clock was set, or if it is unknown what the times in the ledger are worth.

        `is_copy`: whether the ledger is not the one that the lane's last holder left. In the writing thread.
        """
        times, of_lane = self.times(lane_id, now), lane_id if self.leases.of_each_lane else None
        if times.is_over(now, is_copy=is_copy):
            times.begin(now, latest_before=items.latest_open(db, of_lane))
        if times.began_here and self.leases.stretch(of_lane) != times.stretch:  # also if this was undone, and is redone
            self.leases.note_stretch(db, of_lane, times.stretch)


class LaneWriter(BindingWriter):
    """`ports.LedgerWriter` of one lane. A caller that is cancelled while it waits does not learn the result; what it
    asked for is done nevertheless."""

    def __init__(self, ledger: Store, target: str | None = None) -> None:
        self._ledger = ledger
        self.target = target
        self._lane_id = ledger.lanes.get(target)
        self._is_pinned = self._was_pinned = False
        self._is_cut_off = False
        """Whether the caller of `pin` was cancelled while it waited for the thread, which may have taken the lane."""
        self._taken: int | None = None
        """The lane that the thread has taken."""
        self._continuous = False
        self._run_id: str | None = None
        self._tell_waiting: Callable[[LedgerLocked], None] = lambda _: None
        self._principal: str | None = None

    @property
    def stretch(self) -> Stretch:
        return self._ledger.times(self._lane_id, moment(self._ledger.clock)).stretch

    def may_send_until(self) -> float:
        lane_id, ledger = self._lane_id, self._ledger
        if not ledger.leases.of_each_lane or not self._was_pinned or lane_id is None:
            return math.inf
        ledger.thread.check()
        return ledger.leases.may_send_until(lane_id)

    def on_wait(self, tell: Callable[[LedgerLocked], None]) -> None:
        self._tell_waiting = tell

    def act_as(self, principal: str | None) -> None:
        self._principal = principal

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        ledger, now = self._ledger, moment(self._ledger.clock)

        def work(db: Database) -> tuple[int, LaneMemory]:
            lane_id = runs.pin(db, lane, label=self.target, shown=ledger.shown, endpoint=endpoint, at=at)
            other = ledger.at_work.get(lane_id, self.target)
            if other != self.target:
                raise LedgerOfAnotherLane(
                    f"`{self.target}` is the same lane as `{other}`: {lane}",
                    hint="remove one of the two targets, or correct its credentials",
                )
            fence = ledger.take(db, lane_id)
            ledger.at_work[lane_id] = self.target
            self._taken = lane_id
            self._has_binds = bindings.has_binds(db, lane_id)
            is_as_left = ledger.leases.is_as_left(lane_id, runs.last_run_id(db, lane_id))
            ledger.check_times(db, lane_id, now=now, is_copy=is_as_left is False)
            if is_as_left is not True:
                runs.doubt(db, lane_id, before=now.wall)
            return lane_id, LaneMemory(
                listed_at=runs.listed_at(db, lane_id),
                continuous=is_as_left is True,
                sent_at=attempts.last_sent_at(db, lane_id),
                doubted_before=runs.doubted_before(db, lane_id),
                has_waited=is_told,
                fence=fence,
            )

        give_up_at, is_told = ledger.clock.monotonic() + ledger.wait_lane_s, False
        while True:
            try:
                ledger.hold(lane, self)
                lane_id, memory = await ledger.thread.write(work)
                break
            except LedgerLocked as error:
                ledger.let_go(self)
                left_s = give_up_at - ledger.clock.monotonic()
                if left_s <= 0:
                    raise
                if not is_told:
                    self._tell_waiting(error)
                    is_told = True
            except anyio.get_cancelled_exc_class():
                self._is_cut_off = True  # `release` gives back what the thread takes nevertheless
                raise
            except BaseException:
                ledger.let_go(self)
                raise
            await ledger.clock.sleep(min(left_s, TAKE_POLL_S))
            now = moment(ledger.clock)
        self._lane_id = ledger.lanes[self.target] = lane_id
        self._is_pinned = self._was_pinned = True
        self._continuous, self._run_id = memory.continuous, None
        return memory

    async def release(self) -> None:
        ledger = self._ledger
        if not ledger.leases.of_each_lane or not (self._is_pinned or self._is_cut_off):
            return

        def work(db: Database) -> None:
            lane_id = self._taken
            if lane_id is None:
                return
            ledger.leases.give_back(db, lane_id)
            if ledger.at_work.get(lane_id) == self.target:
                del ledger.at_work[lane_id]

        self._is_pinned = self._is_cut_off = False
        try:
            await ledger.thread.write(work)
        finally:
            ledger.let_go(self)

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        label, principal = self.target, self._principal

        def work(db: Database, lane_id: int) -> None:
            self._ledger.leases.note_run(db, lane_id, run_id, is_trusted=self._continuous)
            runs.begin_run(db, lane_id, run_id, label=label, verb=verb, batch=batch, at=at, principal=principal)

        await self._write(work)
        # a job of its own, so that lanes that begin together are noted together. Cut off before it, the next run finds
        # two different last runs and lists the lane, which is the safe mistake
        await self._ledger.sync_notes()
        self._run_id = run_id

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        work = partial(runs.end_run, run_id=run_id, label=self.target, exit_code=exit_code, summary=summary, at=at)
        await self._write(work)

    async def record_end(
        self,
        run_id: str,
        *,
        verb: str,
        batch: str,
        began_at: datetime,
        exit_code: int,
        summary: Mapping[str, Any],
        at: datetime,
    ) -> None:
        lane_id, label, principal = self._lane_id, self.target, self._principal

        def work(db: Database) -> None:
            has_begun = lane_id is not None and runs.last_run_id(db, lane_id) == run_id
            if not has_begun:
                # of no lane: it has changed nothing of any, so that what was continuous stays so
                runs.begin_run(db, None, run_id, label=label, verb=verb, batch=batch, at=began_at, principal=principal)
            of_lane = lane_id if has_begun else None
            runs.end_run(db, of_lane, run_id=run_id, label=label, exit_code=exit_code, summary=summary, at=at)

        await self._ledger.thread.write(work, lane_id if self._is_pinned else None)

    async def failing_since(self) -> datetime | None:
        return await self._ledger.thread.read(partial(runs.failing_since, lane_id=self._lane_id, label=self.target))

    async def known(self, batch: str) -> Sequence[Known]:
        return await self._read(partial(items.known_of_batch, batch=batch), nothing=[])

    async def compare(self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS) -> Comparison:
        work = partial(sets.compare, batch=batch, tokens=tokens, binds=binds)
        return await self._read(work, nothing=Comparison(dict.fromkeys(tokens, False)))

    async def unfinished(
        self, batch: str, tokens: Mapping[str, str], binds: Mapping[str, Bind] = NO_BINDS
    ) -> Mapping[str, bool]:
        work = partial(sets.unfinished, batch=batch, tokens=tokens, binds=binds)
        return await self._read(work, nothing=dict.fromkeys(tokens, False))

    async def twins(self, contents: Collection[str]) -> Sequence[Twin]:
        return await self._read(partial(sets.twins, contents=contents), nothing=[])

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        return await self._read(partial(items.known_of_ids, batch=batch, item_ids=tuple(item_ids)), nothing=[])

    async def standing_count(self) -> int:
        return await self._read(attachments.standing_count, nothing=0)

    async def open_intents(self) -> Sequence[Known]:
        return await self._read(items.open_intents, nothing=[])

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        now = moment(self._ledger.clock)
        if not self._ledger.times(self._lane_id, now).goes_on(now):
            # before any time of the new stretch is in the ledger
            await self._write(partial(self._ledger.check_times, now=now))
        return await self._write(partial(attempts.intend, client_token=client_token, run_id=run_id, at=at))

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        concluded = await self._write(partial(attempts.conclude, started=attempt, ended=outcome))
        if isinstance(concluded, Disagreement):
            raise concluded
        return concluded

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        return await self._write(partial(attachments.mark_failed, client_token=client_token, fault=fault, at=at))

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        tokens, now = tuple(client_tokens), self._ledger.clock.now()
        await self._write(partial(sets.park, client_tokens=tokens, fault=fault, resume_after=resume_after, at=now))

    async def observe(self, seen: Sequence[Attachment], *, at: datetime) -> Sequence[Known]:
        found: list[Known] = []
        for some in chunks(seen):
            found += await self._write(partial(attachments.observe, seen=some, at=at))
        return found

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        return await self._write(partial(attachments.mark_not_found, client_tokens=tuple(client_tokens), at=at))

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        work = partial(attachments.record_adopted, client_token=client_token, attachment=attachment, at=at)
        return await self._write(work)

    async def retagged(self, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
        work = partial(attachments.retag, from_token=from_token, to_token=to_token, identity_tag=identity_tag, at=at)
        return await self._write(work)

    async def begin_deletion(self, client_token: str, *, run_id: str, at: datetime) -> Known:
        return await self._write(partial(attachments.begin_deletion, client_token=client_token, run_id=run_id, at=at))

    async def end_deletion(self, client_token: str, *, is_gone: bool, at: datetime) -> Known:
        return await self._write(partial(attachments.end_deletion, client_token=client_token, is_gone=is_gone, at=at))

    async def absent(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        await self._write(partial(sets.absent, client_tokens=tuple(client_tokens), at=at))

    async def undecided(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        await self._write(partial(sets.undecided, client_tokens=tuple(client_tokens), at=at))

    async def attachment_tokens(self) -> Mapping[str, str | None]:
        return await self._read(attachments.attachment_tokens, nothing={})

    async def remember(self, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
        await self._write(partial(attachments.remember, seen=tuple(seen), at=at))

    async def duplicates(self) -> Sequence[Duplicate]:
        return await self._read(attachments.duplicates, nothing=[])

    async def listed(self, *, at: datetime) -> None:
        await self._write(partial(runs.listed, at=at))
        run_id = self._run_id
        if run_id is not None and not self._continuous:
            # only now: a copy that was used without a look at its lane must not pass for the original afterwards
            await self._write(partial(self._ledger.leases.note_run, run_id=run_id, is_trusted=True))
            await self._ledger.sync_notes()
            self._continuous = True

    async def rates(self) -> Sequence[RateRecord]:
        return await self._read(memory.rates, nothing=[])

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        if not self._was_pinned:  # a run that waits for its lane may not write to it
            return
        await self._write(partial(memory.learn, learned=tuple(learned)))

    async def _write(self, work: Callable[[Database, int], Returned]) -> Returned:
        lane_id = self._lane_id
        if lane_id is None:
            raise BatchUploadError("the ledger was written to before it was pinned to its lane")
        return await self._ledger.thread.write(lambda db: work(db, lane_id), lane_id)

    async def _read(self, work: Callable[[Database, int], Returned], *, nothing: Returned) -> Returned:
        """Return what `work` reads, or `nothing` while the ledger has no lane and so no items."""
        lane_id = self._lane_id
        if lane_id is None:
            return nothing
        return await self._ledger.thread.read(lambda db: work(db, lane_id))
