"""The ledger as the engine uses it (`ports.Ledger`), on SQLite."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from sqlite3 import sqlite_version_info
from typing import Any, TypeVar

from sqlalchemy import Connection

from batch_upload.document import RememberedDigest
from batch_upload.errors import BatchUploadError, Disagreement
from batch_upload.ledger import attachments, attempts, items, rates, runs, strangers
from batch_upload.ledger.attempts import last_sent_at
from batch_upload.ledger.connecting import writing
from batch_upload.ledger.digests import remember_digests
from batch_upload.ledger.enlisting import enlist
from batch_upload.ledger.files import check_place, make_file, real_path
from batch_upload.ledger.lock import LedgerLock, take_lock
from batch_upload.ledger.migrations import require_sqlite
from batch_upload.ledger.rows import chunks, known_one
from batch_upload.ledger.writer import Writer
from batch_upload.model import Attachment, Duplicate, Fault, Item, Known, Lane, Outcome, RateRecord, Standing
from batch_upload.moments import Moment, Stretch
from batch_upload.ports import NOTHING_KNOWN, Attempt, Clock, LaneMemory, moment

T = TypeVar("T")


async def open_ledger(path: Path, *, run_id: str, clock: Clock, wait_lock_s: float = 0.0) -> "SqliteLedger":
    """The ledger at `path`, made if it is not there, for this process alone. Close it.

    Raises LedgerLocked if another run still holds it after `wait_lock_s` seconds, and LedgerUnusable where it is
    damaged, of a newer program, not a ledger, or cannot be written. Nothing is changed then but the lock's note.
    """
    require_sqlite(sqlite_version_info[:3])
    shown, real = str(path), real_path(path)
    check_place(real, shown=shown)
    lock = await take_lock(real, shown=shown, run_id=run_id, clock=clock, wait_s=wait_lock_s)
    try:
        make_file(real, shown=shown)
        opened = writing(real, shown=shown, at=clock.now())
        writer = Writer(opened, shown=shown, on_closed=lock.release)
    except BatchUploadError:
        lock.release()
        raise
    try:
        await writer.start()
        lane_id = await writer.read(runs.lane_id_of)
    except BaseException:
        await writer.close()
        raise
    return SqliteLedger(writer, lock, shown=shown, lane_id=lane_id, clock=clock)


class SqliteLedger:
    """A ledger that is open for writing. Whoever is cancelled while waiting does not learn the result; what was
    asked for is done nevertheless."""

    def __init__(self, writer: Writer, lock: LedgerLock, *, shown: str, lane_id: int | None, clock: Clock) -> None:
        self._writer = writer
        self._lock = lock
        self._shown = shown
        self._lane_id = lane_id
        self._clock = clock
        self._continuous = False
        self._run_id: str | None = None
        self._stretch = lock.before.stretch or Stretch(clock.machine(), moment(clock))

    @property
    def stretch(self) -> Stretch:
        return self._stretch

    @property
    def commits(self) -> int:
        """Transactions that were committed: fewer than calls where calls waited together."""
        return self._writer.commits

    async def pin(self, lane: Lane, *, endpoint: str, at: datetime) -> LaneMemory:
        goes_on, now = self._lock.before.stretch is not None and self._goes_on(), moment(self._clock)

        def work(connection: Connection) -> tuple[int, LaneMemory]:
            lane_id = runs.pin(connection, lane, shown=self._shown, endpoint=endpoint, at=at)
            began = self._lock.before.began_run_id
            continuous = began is not None and began == runs.last_run_id(connection)
            if not (goes_on and continuous):
                self._begin_stretch(connection, lane_id, now=now)
            listed_at, sent_at = runs.listed_at(connection, lane_id), last_sent_at(connection)
            return lane_id, LaneMemory(listed_at=listed_at, continuous=continuous, sent_at=sent_at)

        self._lane_id, memory = await self._writer.write(work)
        self._continuous = memory.continuous
        return memory

    async def begin_run(self, run_id: str, *, verb: str, batch: str, at: datetime) -> None:
        def work(connection: Connection) -> None:
            # the note before the commit: cut off in between, the next run finds two different last runs and lists
            # the lane, which is the safe mistake
            if self._continuous:
                self._lock.begin(run_id)
            runs.begin_run(connection, run_id, verb=verb, batch=batch, at=at)

        await self._writer.write(work)
        self._run_id = run_id

    async def end_run(self, run_id: str, *, exit_code: int, summary: Mapping[str, Any], at: datetime) -> None:
        await self._writer.write(partial(runs.end_run, run_id=run_id, exit_code=exit_code, summary=summary, at=at))

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
        """Record the end of a run, whether `begin_run` came before or not. May be called before `pin`."""

        def work(connection: Connection) -> None:
            if runs.last_run_id(connection) == run_id:
                runs.end_run(connection, run_id=run_id, exit_code=exit_code, summary=summary, at=at)
                return
            began = self._lock.before.began_run_id
            if began is not None and began == runs.last_run_id(connection):
                self._lock.begin(run_id)  # it has changed nothing: what was continuous stays so
            runs.begin_run(connection, run_id, verb=verb, batch=batch, at=began_at)
            runs.end_run(connection, run_id=run_id, exit_code=exit_code, summary=summary, at=at)

        await self._writer.write(work)

    async def failing_since(self) -> datetime | None:
        """When a run last got an answer of the service, if a run has ended with `transient` (10) since.

        The start of the first run where none ever got one; None where no run has ended with `transient`.
        """
        return await self._writer.read(runs.failing_since)

    async def known(self, batch: str) -> Sequence[Known]:
        return await self._read(partial(items.known_of_batch, batch=batch), nothing=[])

    async def sift(
        self, batch: str, take: Callable[[Iterable[Standing]], T], *, item_ids: Sequence[str] | None = None
    ) -> T:
        if self._lane_id is None:
            return take(())
        of_ids = None if item_ids is None else tuple(item_ids)
        work = partial(items.sift, lane_id=self._lane_id, batch=batch, take=take, item_ids=of_ids)
        return await self._writer.read(work)

    async def known_of_ids(self, batch: str, item_ids: Sequence[str]) -> Sequence[Known]:
        return await self._read(partial(items.known_of_ids, batch=batch, item_ids=tuple(item_ids)), nothing=[])

    async def known_of_token(self, client_token: str) -> Known:
        # as a change is asked for, not as a reading: where changes are refused, what was read might not be so
        return await self._write(partial(known_one, client_token=client_token))

    async def standing_count(self) -> int:
        return await self._read(attachments.standing_count, nothing=0)

    async def open_intents(self) -> Sequence[Known]:
        return await self._read(items.open_intents, nothing=[])

    async def enlist(self, items: Iterable[Item], *, at: datetime) -> None:
        await self._write(partial(enlist, items=tuple(items), at=at))

    async def intend(self, client_token: str, *, run_id: str, at: datetime) -> Attempt:
        if not self._goes_on():
            # before any time of the new stretch is in the ledger
            await self._write(partial(self._begin_stretch, now=moment(self._clock)))
        return await self._write(partial(attempts.intend, client_token=client_token, run_id=run_id, at=at))

    async def conclude(self, attempt: Attempt, outcome: Outcome, *, known: Known | None = None) -> Known:
        concluded = await self._write(partial(attempts.conclude, started=attempt, ended=outcome, known=known))
        if isinstance(concluded, Disagreement):
            raise concluded
        return concluded

    async def fail(self, client_token: str, fault: Fault, *, at: datetime) -> Known:
        return await self._write(partial(items.fail, client_token=client_token, fault=fault, at=at))

    async def park(self, client_tokens: Sequence[str], fault: Fault, *, resume_after: datetime | None) -> None:
        tokens, now = tuple(client_tokens), self._clock.now()
        await self._write(partial(items.park, client_tokens=tokens, fault=fault, resume_after=resume_after, at=now))

    async def observe(
        self, seen: Sequence[Attachment], *, at: datetime, known: Mapping[str, Known] = NOTHING_KNOWN
    ) -> Sequence[Known]:
        told: list[Known] = []
        for chunk in chunks(seen):
            told += await self._write(partial(attachments.observe, seen=tuple(chunk), at=at, known=known))
        return told

    async def not_found(self, client_tokens: Sequence[str], *, at: datetime) -> Sequence[Known]:
        return await self._write(partial(attachments.not_found, client_tokens=tuple(client_tokens), at=at))

    async def adopt(self, client_token: str, attachment: Attachment, *, at: datetime) -> Known:
        return await self._write(partial(attachments.adopt, client_token=client_token, attachment=attachment, at=at))

    async def retagged(self, from_token: str, to_token: str, *, identity_tag: bool, at: datetime) -> Known:
        work = partial(attachments.retagged, from_token=from_token, to_token=to_token, identity_tag=identity_tag, at=at)
        return await self._write(work)

    async def begin_deletion(self, client_token: str, *, run_id: str, at: datetime) -> Known:
        return await self._write(partial(attachments.begin_deletion, client_token=client_token, run_id=run_id, at=at))

    async def end_deletion(self, client_token: str, *, is_gone: bool, at: datetime) -> Known:
        return await self._write(partial(attachments.end_deletion, client_token=client_token, is_gone=is_gone, at=at))

    async def absent(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        await self._write(partial(items.absent, client_tokens=tuple(client_tokens), at=at))

    async def undecided(self, client_tokens: Sequence[str], *, at: datetime) -> None:
        await self._write(partial(items.undecided, client_tokens=tuple(client_tokens), at=at))

    async def attachment_tokens(self) -> Mapping[str, str | None]:
        return await self._read(attachments.attachment_tokens, nothing={})

    async def remember(self, seen: Sequence[tuple[Attachment, str | None]], *, at: datetime) -> None:
        await self._write(partial(strangers.remember, seen=tuple(seen), at=at))

    async def duplicates(self) -> Sequence[Duplicate]:
        return await self._read(attachments.duplicates, nothing=[])

    async def listed(self, *, at: datetime) -> None:
        await self._write(partial(runs.listed, at=at))
        run_id = self._run_id
        if run_id is not None and not self._continuous:
            # only now: a copy that was used without a look at its lane must not pass for the original afterwards
            await self._writer.write(lambda _: self._lock.begin(run_id))
            self._continuous = True

    async def rates(self) -> Sequence[RateRecord]:
        return await self._read(rates.rates, nothing=[])

    async def learn(self, learned: Sequence[RateRecord]) -> None:
        await self._write(partial(rates.learn, learned=tuple(learned)))

    async def remember_digests(self, remembered: Mapping[str, RememberedDigest]) -> None:
        """Remember what was in files, by their resolved paths, instead of what was known of these paths."""
        for chunk in chunks(tuple(remembered.items())):
            await self._writer.write(partial(remember_digests, remembered=chunk))

    async def close(self) -> None:
        await self._writer.close()

    def _goes_on(self) -> bool:
        """Whether the wall clock has not been set since the stretch began that the lock's note tells of."""
        return self._stretch.goes_on(moment(self._clock), self._clock.machine())

    def _begin_stretch(self, connection: Connection, lane_id: int, *, now: Moment) -> None:
        """The wall clock was set, or is another: what is in the ledger so far is from before."""
        self._stretch = Stretch(self._clock.machine(), now, latest_before=items.latest_open(connection, lane_id))
        self._lock.steady(self._stretch)

    async def _write(self, work: Callable[[Connection, int], T]) -> T:
        lane_id = self._lane_id
        if lane_id is None:
            raise BatchUploadError("the ledger was written to before it was pinned to its lane")
        return await self._writer.write(lambda connection: work(connection, lane_id))

    async def _read(self, work: Callable[[Connection, int], T], *, nothing: T) -> T:
        """What `work` reads, or `nothing` while the ledger has no lane and so no items."""
        lane_id = self._lane_id
        if lane_id is None:
            return nothing
        return await self._writer.read(lambda connection: work(connection, lane_id))
