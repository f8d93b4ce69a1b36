"""The thread that owns the one connection that writes, and commits together what was handed over together.

A job that was handed over is carried out, whether or not somebody still waits for it: who is cancelled while waiting
does not learn the result. A job's own error undoes that job alone: the others of its group are carried out anew, so a
job must do the same when it is done again. An error of the disk undoes all that were to be committed with it, and every
later one is refused without being tried. So does anything else that goes wrong in the thread and is no job's own error,
such as a MemoryError: whoever waits gets LedgerUnusable, and `on_closed` is called only once the thread has ended.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, NamedTuple, TypeVar

import anyio
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from batch_upload.errors import BatchUploadError, LedgerUnusable
from batch_upload.ledger.files import unusable
from batch_upload.ledger.prepared import driver_of, transaction

T = TypeVar("T")
Work = Callable[[Connection], T]

_BROKEN_RULES = (
    IntegrityError,
    ProgrammingError,
    DataError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)
_OUR_OWN = (MemoryError, RecursionError)
"""Exceptions that say nothing of the job in which they are raised. SQLite's own lack of memory is a MemoryError too."""
GROUP_MAX = 1_000
"""Jobs in one commit at most: what waits for longer than they take is better told."""
GATHER_S = 0.001
"""How long others are waited for, where several came together the last time: a commit costs as much as ten statements,
and waking the event loop for its answers as much as three. Where jobs come one by one none is held up. 0.5 to 1 ms
costs the least; with 2 ms a fifth fewer uploads a second go through where nothing else binds (8 at once, 2 cores)."""


class _Done(NamedTuple, Generic[T]):
    value: T


class _Failed(NamedTuple):
    error: Exception


class _OneFailed(Exception):
    """One job of a group failed. Control flow; never leaves the group."""


class _Job(NamedTuple):
    work: Work[Any]
    writes: bool
    answer: "asyncio.Future[_Done[Any] | _Failed]"


class Writer:
    """Carries out work on the connection that `opened` gives; `on_closed` is called after it was closed. `pause` holds
    the thread up for so many seconds.

    To be made on the event loop that will wait for it.
    """

    def __init__(
        self,
        opened: AbstractContextManager[Connection],
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
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started: asyncio.Future[LedgerUnusable | None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._stopped = False
        self._broken: LedgerUnusable | None = None
        self._group: Sequence[_Job] = ()
        """Jobs that the thread has taken and not answered."""
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

    async def write(self, work: Work[T]) -> T:
        """Carry out `work`; what it changed is durable when its result is returned."""
        return await self._hand_over(work, writes=True)

    async def read(self, work: Work[T]) -> T:
        """Carry out `work`, which changes nothing, after all that was handed over before it."""
        return await self._hand_over(work, writes=False)

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

    async def _hand_over(self, work: Work[T], *, writes: bool) -> T:
        if self._stopped:
            raise LedgerUnusable(f"`{self._shown}` was closed")
        answer: asyncio.Future[_Done[T] | _Failed] = self._loop.create_future()
        self._jobs.put(_Job(work, writes, answer))
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
            with self._open as connection:
                self._tell(_settle, self._started, None)
                is_open = True
                self._serve(connection)
        except LedgerUnusable as error:
            failed = error
        except (sqlite3.Error, DBAPIError, OSError) as error:
            # after serving this is the checkpoint: what was committed is safe in the -wal
            failed = unusable(error, shown=self._shown)
        except BaseException as error:  # noqa: BLE001 - nobody is left waiting, whatever it is
            failed = self._ended_by(error)
        try:
            if is_open and failed is not None:
                self._refuse_the_rest(failed)
        finally:
            self._on_closed()
            self._tell(_settle, self._started, failed)
            self._tell(self._ended.set)

    def _serve(self, connection: Connection) -> None:
        while group := self._next_group(GATHER_S if len(self._group) > 1 else 0.0):
            self._tell(_settle_all, group, self._commit(connection, group))

    def _refuse_the_rest(self, failed: LedgerUnusable) -> None:
        """Refuse what is not answered, and all that comes until the writer is closed: then nothing is left."""
        self._broken = self._broken or failed
        group = self._group
        self._tell(_settle_all, group, [self._refusal() for _ in group])
        while group := self._next_group():
            self._tell(_settle_all, group, [self._refusal() for _ in group])

    def _next_group(self, gather_s: float = 0.0) -> Sequence[_Job]:
        """All that waits, so long after something does; empty when there will be nothing more."""
        group: list[_Job] = []
        self._group = group  # from here on: what is taken is answered, whatever happens
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if gather_s and len(group) == 1:
                self._pause(gather_s)
            if len(group) == GROUP_MAX:
                return group
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return group
        self._jobs.put(None)
        return group

    def _commit(self, connection: Connection, group: Sequence[_Job]) -> list[_Done[Any] | _Failed]:
        try:
            answers = self._together(connection, group) or self._one_by_one(connection, group)
        except (DBAPIError, sqlite3.Error, OSError) as error:
            self._broken = unusable(error, shown=self._shown)
            return [self._refusal() for _ in group]
        except BaseException as error:  # noqa: BLE001 - as an error of the disk: nothing more is written
            self._broken = self._ended_by(error)
            return [self._refusal() for _ in group]
        self.commits += 1
        return answers

    def _together(self, connection: Connection, group: Sequence[_Job]) -> list[_Done[Any] | _Failed] | None:
        """Carry out and commit the whole group; or nothing, and give None, where one of it fails. They seldom do, and
        a point to go back to costs each job as much as a statement."""
        answers = []
        with suppress(_OneFailed), transaction(connection):
            for job in group:
                answer = self._carry_out(connection, job)
                if isinstance(answer, _Failed) and job.writes:
                    raise _OneFailed
                answers.append(answer)
            return answers
        return None

    def _one_by_one(self, connection: Connection, group: Sequence[_Job]) -> list[_Done[Any] | _Failed]:
        """Carry out the group and commit what of it did not fail."""
        with transaction(connection):
            return [self._carry_out(connection, job, undoable=True) for job in group]

    def _carry_out(self, connection: Connection, job: _Job, *, undoable: bool = False) -> _Done[Any] | _Failed:
        if self._broken is not None and job.writes:
            return self._refusal()
        try:
            if not undoable:
                return _Done(job.work(connection))
            with _undoable(connection):
                return _Done(job.work(connection))
        except _BROKEN_RULES as error:
            return _Failed(_our_fault(error))
        except (DBAPIError, sqlite3.Error, OSError, *_OUR_OWN):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to who waits
            return _Failed(error)

    def _refusal(self) -> _Failed:
        broken = self._broken or LedgerUnusable(f"`{self._shown}` cannot be written")
        error = LedgerUnusable(broken.message, hint=broken.hint)
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
        with suppress(RuntimeError):  # the loop is closed, and with it everybody who waited
            self._loop.call_soon_threadsafe(what, *about)


@contextmanager
def _undoable(connection: Connection) -> Iterator[None]:
    """What goes wrong within is undone alone; a disk that fails may have undone the whole transaction already."""
    driver = driver_of(connection)
    driver.execute("SAVEPOINT job")
    try:
        yield
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK TO job")
            driver.execute("RELEASE job")
        raise
    driver.execute("RELEASE job")


def _our_fault(error: DBAPIError | sqlite3.Error) -> BatchUploadError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    failed = BatchUploadError(f"the ledger refused a row that breaks its rules: {cause}")
    failed.__cause__ = cause
    return failed


def _settle(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _settle_all(group: Sequence[_Job], answers: Sequence[_Done[Any] | _Failed]) -> None:
    for job, answer in zip(group, answers, strict=True):
        _settle(job.answer, answer)
