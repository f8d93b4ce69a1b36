"""The real ledger in virtual time: the same SQL and the same group commit, with timers in the place of the thread.

A commit takes a moment of the simulated disk, so that what many workers hand over meanwhile is committed together. A
process that dies loses what was not committed, and its lock, as the operating system would have it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from random import Random

from batch_upload.ledger.driver import Database
from batch_upload.ledger.sqlite.connection import open_for_writing
from batch_upload.ledger.sqlite.files import check_place, make_file, real_path
from batch_upload.ledger.sqlite.lock import take_lock
from batch_upload.ledger.store import Store
from batch_upload.ledger.writer import Writer, _Job, _settle, _settle_all, _Sign
from batch_upload.ports import Clock, Ledger
from tests.support.virtual_time import Killed, Life

COMMIT_MAX_S = 0.004
"""The longest time that the simulated disk takes for a commit."""


_Item = _Job | _Sign | None


class _Handed(SimpleQueue[_Item]):
    """The writer's queue, which says when something was put in."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def put(self, item: _Item, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        super().put(item, block, timeout)
        self._arrived()


class SimulatedWriter(Writer):
    """Does on the event loop what the thread would do."""

    def __init__(
        self,
        opened: AbstractContextManager[Database],
        *,
        shown: str,
        on_closed: Callable[[], None],
        life: Life,
        chance: Random,
    ) -> None:
        super().__init__(opened, shown=shown, on_closed=on_closed)
        self._life = life
        self._chance = chance
        self._connection: Database | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._jobs = _Handed(self._arrived)

    def abandon(self) -> None:
        """The process has died: what was not committed never happened, and the lock is free."""
        if self._connection is not None:
            self._connection = None
            self._open.__exit__(Killed, Killed(), None)
        self._closed()

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            if self._life.dead and not self._ended.is_set():
                self.abandon()  # it died while it closed: nothing will be put in that would tell of it

    def _start_thread(self) -> None:
        try:
            self._connection = self._open.__enter__()
        except BaseException:
            self._closed()
            raise
        # a simulated death takes no power away: what was written is there, synchronised or not
        self._connection.execute("PRAGMA synchronous = OFF")
        _settle(self._started, None)

    def _arrived(self) -> None:
        if self._ended.is_set():
            return
        if self._life.dead:
            self.abandon()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._chance.random() * COMMIT_MAX_S, self._serve_once)

    def _serve_once(self) -> None:
        self._timer = None
        if not self._life.step() or self._connection is None:
            return
        group = self._next_group()
        if not group:
            self._finish()
            return
        answers = self._commit(self._connection, group)
        if self._life.step():
            _settle_all(group, answers)
        if not self._jobs.empty():
            self._arrived()

    def _finish(self) -> None:
        self._connection = None
        self._open.__exit__(None, None, None)
        self._closed()

    def _closed(self) -> None:
        self._stopped = True
        self._on_closed()
        self._ended.set()


async def open_simulated(path: Path, *, run_id: str, clock: Clock, life: Life, chance: Random) -> Ledger:
    """`ledger.open_ledger` with a simulated writer. Raises as it does. Close it."""
    shown, real = str(path), real_path(path)
    check_place(real, shown=shown)
    lock = await take_lock(real, shown=shown, run_id=run_id, clock=clock, wait_s=0.0)
    make_file(real, shown=shown)
    opened = open_for_writing(real, shown=shown, at=clock.now())
    writer = SimulatedWriter(opened, shown=shown, on_closed=lock.release, life=life, chance=chance)
    ledger = Store(writer, lock, shown=shown, clock=clock)
    try:
        await ledger.start()
    except BaseException:
        await ledger.close()
        raise
    return ledger
