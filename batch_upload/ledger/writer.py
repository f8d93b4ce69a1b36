"""The thread that owns the one connection that writes. Jobs that wait together are committed together.

A job is carried out even if its caller is cancelled while it waits. A job's own error undoes that job alone: the others
of its group are carried out again, so a job must do the same when it is repeated. An error of the disk undoes its whole
group, and every later write is refused without being tried. So does any other error that is not a job's own, such as a
MemoryError: all callers get LedgerUnusable, and `on_closed` is called only once the thread has ended.

A transaction begins with the fence of the lanes that its jobs write to (`Database.fence`). Jobs of a lane that another
process has taken over fail with LaneLost; the others of the group are carried out. If the connection to a database is
lost, the group is redone once it is back, unless it was committed. While there is nothing to write, the thread renews
the leases of the lanes (`Database.renew`), but only after the event loop has answered: a process whose loop stands
still does nothing with its lanes, and others may take them once the lease has lapsed.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from enum import Enum, auto
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Generic, NamedTuple

import anyio

from batch_upload.clock import counting_s
from batch_upload.errors import BatchUploadError, LedgerUnusable
from batch_upload.ledger.driver import Database, LostLanes, Returned

Work = Callable[[Database], Returned]

_OUR_OWN = (MemoryError, RecursionError)
"""Exceptions that say nothing of the job in which they are raised. SQLite's lack of memory is a MemoryError, too."""
GROUP_MAX = 1_000
"""Jobs in one commit at most, so that no caller waits for more than these."""
GATHER_S = 0.001
"""How long a group waits for more jobs, if the last one had several. A lone job is not delayed.

A commit costs as much as ten statements, waking the event loop as much as three. 0.5 to 1 ms costs the least; with 2 ms
a fifth fewer uploads a second go through where nothing else limits them (8 at once, 2 cores)."""


class _Done(NamedTuple, Generic[Returned]):
    value: Returned


class _Failed(NamedTuple):
    error: Exception


class _OneFailed(Exception):
    """One job of a group failed. Control flow; never leaves the group."""


class _Job(NamedTuple):
    work: Work[Any]
    writes: bool
    lane_id: int | None
    """The lane that it writes to, which is fenced."""
    answer: "asyncio.Future[_Done[Any] | _Failed]"


class _Sign(Enum):
    """What is handed over that is no job."""

    LOOP_LIVES = auto()
    """The event loop's answer to the thread, which asks it before each renewal of the leases."""


class EndingFlag(Event):
    """Whether what goes on is being ended: once it is set, or from a moment of `counting_s()` on."""

    def __init__(self) -> None:
        super().__init__()
        self._at_s = math.inf

    def set_at(self, at_s: float) -> None:
        """Count as set from this moment on."""
        self._at_s = at_s

    def is_set(self) -> bool:
        return super().is_set() or counting_s() >= self._at_s


class Writer:
    """Carries out work on the connection that `opened` gives, and calls `on_closed` after it was closed.

    `pause` blocks the thread for so many seconds. Make it on the event loop that will wait for it.
    """

    def __init__(
        self,
        opened: AbstractContextManager[Database],
        *,
        shown: str,
        on_closed: Callable[[], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.commits = 0
        self._open = opened
        self._shown = shown
        self._on_closed = on_closed
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | _Sign | None] = SimpleQueue()
        self._started: asyncio.Future[LedgerUnusable | None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._stopped = False
        self._is_ending = EndingFlag()
        self._broken: LedgerUnusable | None = None
        self._group: Sequence[_Job] = ()
        """Jobs that the thread has taken and has not answered yet."""
        self._loop_is_asked = self._loop_lives = False
        """Whether the thread waits for a sign of life of the event loop, and whether it got one since its last look."""
        self._thread = Thread(target=self._main, name="ledger", daemon=True)

    async def start(self) -> None:
        """Open the connection. Raises LedgerUnusable; then, or when cancelled, everything is or will be closed."""
        self._start_thread()
        try:
            failed = await self._started
        finally:
            if not self._started.done() or self._started.cancelled():
                self._stop()
        if failed is not None:
            self._stopped = True
            raise failed

    async def write(self, work: Work[Returned], lane_id: int | None = None) -> Returned:
        """Carry out `work`; what it changed is durable when its result is returned.

        `lane_id`: the lane that it writes to. If another process has that, it is not carried out: raises LaneLost.
        """
        return await self._hand_over(work, writes=True, lane_id=lane_id)

    async def read(self, work: Work[Returned]) -> Returned:
        """Carry out `work`, which changes nothing, after all that was handed over before it."""
        return await self._hand_over(work, writes=False)

    def hurry(self, after_s: float = 0.0) -> None:
        """Wait only some seconds for a database that does not answer, from now on or `after_s` seconds later."""
        if after_s > 0:
            self._is_ending.set_at(counting_s() + after_s)
        else:
            self._is_ending.set()

    def check(self) -> None:
        """Raise LedgerUnusable if nothing can be written any more."""
        if self._broken is not None:
            raise self._refusal().error

    async def close(self) -> None:
        """Finish what was handed over and close. May be called twice."""
        self._stop()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        if self._thread.ident is not None:
            self._thread.join()

    def _start_thread(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            self._stopped = True
            self._on_closed()
            self._ended.set()
            raise LedgerUnusable(f"`{self._shown}` cannot be opened: there is no thread to be had") from error

    async def _hand_over(self, work: Work[Returned], *, writes: bool, lane_id: int | None = None) -> Returned:
        if self._stopped:
            raise LedgerUnusable(f"`{self._shown}` was closed")
        answer: asyncio.Future[_Done[Returned] | _Failed] = self._loop.create_future()
        self._jobs.put(_Job(work, writes, lane_id, answer))
        done = await answer
        if isinstance(done, _Failed):
            raise done.error
        return done.value

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._jobs.put(None)

    # from here on: in the thread

    def _main(self) -> None:
        failed: LedgerUnusable | None = None
        is_open = False
        try:
            with self._open as db:
                self._tell(_settle, self._started, None)
                is_open = True
                self._serve(db)
        except LedgerUnusable as error:
            failed = error  # after serving this is of the checkpoint: what was committed is safe
        except BaseException as error:  # noqa: BLE001 - no caller is left waiting
            failed = self._ended_by(error)
        try:
            if is_open and failed is not None:
                self._refuse_the_rest(failed)
        finally:
            self._on_closed()
            self._tell(_settle, self._started, failed)
            self._tell(self._ended.set)

    def _serve(self, db: Database) -> None:
        while group := self._next_group(GATHER_S if len(self._group) > 1 else 0.0, db):
            self._tell(_settle_all, group, self._commit(db, group))

    def _refuse_the_rest(self, failed: LedgerUnusable) -> None:
        """Refuse the jobs that are not answered, and all that follow until the writer is closed."""
        self._broken = self._broken or failed
        group = self._group
        self._tell(_settle_all, group, [self._refusal() for _ in group])
        while group := self._next_group():
            self._tell(_settle_all, group, [self._refusal() for _ in group])

    def _next_group(self, gather_s: float = 0.0, db: Database | None = None) -> Sequence[_Job]:
        """Return the jobs that wait, `gather_s` after the first; none once the writer is closed.

        With `db` the leases of the lanes are renewed meanwhile.
        """
        group: list[_Job] = []
        self._group = group  # a job that was taken is answered, whatever happens
        job = self._first_job(db)
        while job is not None:
            group.append(job)
            if gather_s and len(group) == 1:
                self._pause(gather_s)
            if len(group) == GROUP_MAX:
                return group
            try:
                job = self._taken(0)
            except Empty:
                return group
        self._jobs.put(None)
        return group

    def _first_job(self, db: Database | None) -> _Job | None:
        """Wait for a job. With `db` renew the leases when it is time, once the event loop has given a sign of life."""
        while True:
            due_s = None if db is None or self._broken is not None else db.renewal_due_s()
            is_due = due_s is not None and due_s <= 0
            loop_lives, self._loop_lives = self._loop_lives, False
            if db is not None and is_due and loop_lives:
                self._renew(db)
                continue
            if is_due and not self._loop_is_asked:
                self._loop_is_asked = True
                self._tell(self._jobs.put, _Sign.LOOP_LIVES)
            with suppress(Empty):
                return self._taken(None if is_due else due_s)

    def _taken(self, timeout_s: float | None) -> _Job | None:
        """Return the next job, or None once the writer is closed.

        Raises Empty after `timeout_s` seconds, and when the event loop has answered instead.
        """
        taken = self._jobs.get(timeout_s != 0, timeout_s)
        if taken is _Sign.LOOP_LIVES:
            self._loop_is_asked, self._loop_lives = False, True
            raise Empty
        return taken

    def _renew(self, db: Database) -> None:
        try:
            db.renew()
        except db.FAILURES as error:
            try:
                db.recover(error, is_ending=self._is_ending)
            except LedgerUnusable as unusable:
                self._broken = unusable

    def _commit(self, db: Database, group: Sequence[_Job]) -> list[_Done[Any] | _Failed]:
        try:
            answers = self._committed(db, group)
        except LedgerUnusable as unusable:
            self._broken = unusable
            return [self._refusal() for _ in group]
        except BaseException as error:  # noqa: BLE001 - as an error of the disk: nothing more is written
            self._broken = self._ended_by(error)
            return [self._refusal() for _ in group]
        self.commits += 1
        return answers

    def _committed(self, db: Database, group: Sequence[_Job]) -> list[_Done[Any] | _Failed]:
        """Carry out the group until it is committed. Raises LedgerUnusable if it cannot be."""
        while True:
            answers: list[_Done[Any] | _Failed] = []
            try:
                if not self._together(db, group, answers):
                    answers.clear()
                    self._one_by_one(db, group, answers)
            except db.FAILURES as error:
                recovered = db.recover(error, is_ending=self._is_ending)
            else:
                return answers
            if recovered.was_committed:
                lost = db.lost_lanes()
                return [_lost(job, lost) or answer for job, answer in zip(group, answers, strict=True)]

    def _together(self, db: Database, group: Sequence[_Job], answers: list[_Done[Any] | _Failed]) -> bool:
        """Carry out and commit the whole group; or nothing, and return False, if one of it fails.

        Jobs seldom fail, and a savepoint costs each of them as much as a statement.
        """
        # RULES: a database may tell only at the commit, or in a later job, that a row broke one
        with suppress(_OneFailed, *db.RULES), db.transaction():
            lost = self._fence(db, group)
            for job in group:
                answer = _lost(job, lost) or self._carry_out(db, job)
                if isinstance(answer, _Failed) and job.lane_id not in lost:
                    raise _OneFailed
                answers.append(answer)
            return True
        return False

    def _one_by_one(self, db: Database, group: Sequence[_Job], answers: list[_Done[Any] | _Failed]) -> None:
        """Carry out the group, and commit the jobs that did not fail."""
        with db.transaction():
            lost = self._fence(db, group)
            answers.extend(_lost(job, lost) or self._carry_out(db, job, undoable=True) for job in group)

    def _fence(self, db: Database, group: Sequence[_Job]) -> LostLanes:
        lanes = {job.lane_id for job in group if job.lane_id is not None}
        return db.fence(lanes) if lanes and self._broken is None else {}

    def _carry_out(self, db: Database, job: _Job, *, undoable: bool = False) -> _Done[Any] | _Failed:
        if self._broken is not None and job.writes:
            return self._refusal()
        try:
            if not undoable:
                return _Done(job.work(db))
            with db.savepoint():
                return _Done(job.work(db))
        except db.RULES as error:
            rule = str(error).partition("\n")[0]  # the lines behind it show the row
            broken_rule = BatchUploadError(f"the ledger refused a row that breaks its rules: {rule}")
            broken_rule.__cause__ = error
            return _Failed(broken_rule)
        except db.FAILURES:
            raise
        except _OUR_OWN:
            raise
        except Exception as error:  # noqa: BLE001 - it is the caller's
            return _Failed(error)

    def _refusal(self) -> _Failed:
        broken = self._broken or LedgerUnusable(f"`{self._shown}` cannot be written")
        error = type(broken)(broken.message, hint=broken.hint)
        error.__cause__ = broken.__cause__
        return _Failed(error)

    def _ended_by(self, error: BaseException) -> LedgerUnusable:
        if isinstance(error, MemoryError):
            what, hint = (
                "out of memory",
                "free some memory or raise its limit (`ulimit -v`), then run the same command again",
            )
        else:
            what, hint = f"{type(error).__name__}: {error}", "run the same command again; if it stays so, report it"
        ended = LedgerUnusable(f"`{self._shown}` could not be written: {what}", hint=hint)
        ended.__cause__ = error
        return ended

    def _tell(self, what: Callable[..., None], *about: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it every caller
            self._loop.call_soon_threadsafe(what, *about)


def _settle(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _settle_all(group: Sequence[_Job], answers: Sequence[_Done[Any] | _Failed]) -> None:
    for job, answer in zip(group, answers, strict=True):
        _settle(job.answer, answer)


def _lost(job: _Job, lost: LostLanes) -> _Failed | None:
    """Return the answer to a job of a lane that another process has; None for any other."""
    if job.lane_id is None or job.lane_id not in lost:
        return None
    return _Failed(lost[job.lane_id]())
