"""The open ledger (`ports.Ledger`) and its writers, one a lane (`ports.LedgerWriter`), on any database."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from batch_upload.document import RememberedDigest
from batch_upload.errors import BatchUploadError, Disagreement, LedgerOfAnotherLane
from batch_upload.ledger import attachments, attempts, items, memory, runs, sets, transitions
from batch_upload.ledger.driver import Database, Returned
from batch_upload.ledger.writer import Writer
from batch_upload.model import Attachment, Duplicate, Fault, Item, Known, Lane, Outcome, RateRecord
from batch_upload.moments import Moment, Stretch
from batch_upload.ports import Attempt, Clock, LaneLease, LaneMemory, moment
from batch_upload.records import Comparison

ROWS_A_JOB = 500
"""Rows that one job of the writer changes at most, where there are many."""


class Store:
    """`ports.Ledger` over the thread that writes."""

    def __init__(self, writer: Writer, lease: LaneLease, *, shown: str, clock: Clock) -> None:
        self.lease = lease
        self.shown = shown
        self.clock = clock
        self.thread = writer
        self.stretch = lease.stretch or Stretch(clock.machine(), moment(clock))
        self.lanes: dict[str | None, int] = {}
        """The lane of every target that was pinned, by label; that of None is the ledger's only lane."""
        self.at_work: dict[int, str | None] = {}
        """The target of every lane that a writer was pinned to."""
        self._began_here = False
        """Whether the stretch began in this process: then every time that was in the ledger is from before it."""

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
        for some in _chunks(tuple(remembered.items())):
            await self.thread.write(partial(memory.remember_digests, remembered=some))

    async def close(self) -> None:
        await self.thread.close()

    async def sync_notes(self) -> None:
        """Make durable what the lease was told of runs that begin."""
        await self.thread.write(lambda _: self.lease.sync())

    def goes_on(self, now: Moment) -> bool:
        """Tell whether the wall clock has not been set since the stretch began."""
        return self.stretch.goes_on(now, self.clock.machine())

    def check_times(self, db: Database, *, now: Moment, is_copy: bool = False) -> None:
        """Begin a new stretch if the wall clock was set, or if it is unknown what the times in the ledger are worth.

        `is_copy`: whether the last run of a lane is not the one that the lease noted. In the writing thread.
        """
        is_unknown = not self._began_here and (self.lease.stretch is None or is_copy)
        if is_unknown or not self.goes_on(now):
            self.stretch = Stretch(self.clock.machine(), now, latest_before=items.latest_open(db))
            self.lease.steady(self.stretch)
            self._began_here = True


class LaneWriter:
    """`ports.LedgerWriter` of one lane. A caller that is cancelled while it waits does not learn the result; what it
    asked for is done nevertheless."""

    def __init__(self, ledger: Store, target: str | None = None) -> None:
        self._ledger = ledger
        self._target = target
        self._lane_id = ledger.lanes.get(target)
        self._continuous = False
        self._run_id: str | None = None

    @property
    def stretch(self) -> Stretch:
        return self._ledger.stretch

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        ledger, now = self._ledger, moment(self._ledger.clock)

        def work(db: Database) -> tuple[int, LaneMemory]:
            lane_id = runs.pin(db, lane, label=self._target, shown=ledger.shown, endpoint=endpoint, at=at)
            other = ledger.at_work.setdefault(lane_id, self._target)
            if other != self._target:
                raise LedgerOfAnotherLane(
                    f"`{self._target}` is the same lane as `{other}`: {lane}",
                    hint="remove one of the two targets, or correct its credentials",
                )
            noted, last_run_id = ledger.lease.last_run_id(lane_id), runs.last_run_id(db, lane_id)
            ledger.check_times(db, now=now, is_copy=noted != last_run_id)
            continuous = noted is not None and noted == last_run_id
            listed_at, sent_at = runs.listed_at(db, lane_id), attempts.last_sent_at(db, lane_id)
            return lane_id, LaneMemory(listed_at=listed_at, continuous=continuous, sent_at=sent_at)

        lane_id, memory = await ledger.thread.write(work)
        self._lane_id = ledger.lanes[self._target] = lane_id
        self._continuous, self._run_id = memory.continuous, None
        return memory

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        def work(db: Database, lane_id: int) -> None:
            if self._continuous:
                self._ledger.lease.begin(lane_id, run_id)
            runs.begin_run(db, lane_id, run_id, label=self._target, verb=verb, batch=batch, at=at)

        await self._write(work)
        # a job of its own, so that lanes that begin together are noted together. Cut off before it, the next run finds
        # two different last runs and lists the lane, which is the safe mistake
        await self._ledger.sync_notes()
        self._run_id = run_id

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        work = partial(runs.end_run, run_id=run_id, label=self._target, exit_code=exit_code, summary=summary, at=at)
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
        lane_id, label = self._lane_id, self._target

        def work(db: Database) -> None:
            has_begun = lane_id is not None and runs.last_run_id(db, lane_id) == run_id
            if not has_begun:
                # of no lane: it has changed nothing of any, so that what was continuous stays so
                runs.begin_run(db, None, run_id, label=label, verb=verb, batch=batch, at=began_at)
            of_lane = lane_id if has_begun else None
            runs.end_run(db, of_lane, run_id=run_id, label=label, exit_code=exit_code, summary=summary, at=at)

        await self._ledger.thread.write(work)

    async def failing_since(self) -> datetime | None:
        return await self._ledger.thread.read(partial(runs.failing_since, lane_id=self._lane_id, label=self._target))

    async def known(self, batch: str) -> Sequence[Known]:
        return await self._read(partial(items.known_of_batch, batch=batch), nothing=[])

    async def compare(self, batch: str, tokens: Mapping[str, str]) -> Comparison:
        nothing = Comparison(dict.fromkeys(tokens, False))
        return await self._read(partial(sets.compare, batch=batch, tokens=tokens), nothing=nothing)

    async def unfinished(self, batch: str, tokens: Mapping[str, str]) -> Mapping[str, bool]:
        nothing = dict.fromkeys(tokens, False)
        return await self._read(partial(sets.unfinished, batch=batch, tokens=tokens), nothing=nothing)

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        return await self._read(partial(items.known_of_ids, batch=batch, item_ids=tuple(item_ids)), nothing=[])

    async def standing_count(self) -> int:
        return await self._read(attachments.standing_count, nothing=0)

    async def open_intents(self) -> Sequence[Known]:
        return await self._read(items.open_intents, nothing=[])

    async def enlist(self, wanted: Iterable[Item], *, at: datetime) -> None:
        await self._write(partial(sets.enlist, items=tuple(wanted), at=at))

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        now = moment(self._ledger.clock)
        if not self._ledger.goes_on(now):
            # before any time of the new stretch is in the ledger
            await self._ledger.thread.write(partial(self._ledger.check_times, now=now))
        return await self._write(partial(attempts.intend, client_token=client_token, run_id=run_id, at=at))

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Known:
        concluded = await self._write(partial(attempts.conclude, started=attempt, ended=outcome))
        if isinstance(concluded, Disagreement):
            raise concluded
        return concluded

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        def work(db: Database, lane_id: int) -> Known:
            before = items.stored(db, lane_id, client_token)
            return items.write(db, before, transitions.failed(before.known, fault), at=at)

        return await self._write(work)

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        tokens, now = tuple(client_tokens), self._ledger.clock.now()
        await self._write(partial(sets.park, client_tokens=tokens, fault=fault, resume_after=resume_after, at=now))

    async def observe(self, seen: Sequence[Attachment], *, at: datetime) -> Sequence[Known]:
        found: list[Known] = []
        for some in _chunks(seen):
            found += await self._write(partial(attachments.observe, seen=some, at=at))
        return found

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        return await self._write(partial(attachments.mark_not_found, client_tokens=tuple(client_tokens), at=at))

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        return await self._write(
            partial(attachments.bind_adopted, client_token=client_token, attachment=attachment, at=at)
        )

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
            await self._write(lambda _, lane_id: self._ledger.lease.begin(lane_id, run_id))
            await self._ledger.sync_notes()
            self._continuous = True

    async def rates(self) -> Sequence[RateRecord]:
        return await self._read(memory.rates, nothing=[])

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        await self._write(partial(memory.learn, learned=tuple(learned)))

    async def _write(self, work: Callable[[Database, int], Returned]) -> Returned:
        lane_id = self._lane_id
        if lane_id is None:
            raise BatchUploadError("the ledger was written to before it was pinned to its lane")
        return await self._ledger.thread.write(lambda db: work(db, lane_id))

    async def _read(self, work: Callable[[Database, int], Returned], *, nothing: Returned) -> Returned:
        """Return what `work` reads, or `nothing` while the ledger has no lane and so no items."""
        lane_id = self._lane_id
        if lane_id is None:
            return nothing
        return await self._ledger.thread.read(lambda db: work(db, lane_id))


def _chunks(values: Sequence[Returned]) -> Iterator[tuple[Returned, ...]]:
    """Some at a time, so that other jobs of the writer come in between."""
    return (tuple(values[start : start + ROWS_A_JOB]) for start in range(0, len(values), ROWS_A_JOB))
