"""The thread that writes: durable when told, together when together, and never after the disk said no."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from batch_upload.errors import LedgerUnusable
from batch_upload.ledger.driver import Database
from batch_upload.ledger.sqlite.connection import SqliteDatabase, open_for_writing
from batch_upload.ledger.sqlite.files import make_file
from batch_upload.ledger.writer import GATHER_S, Writer
from batch_upload.model import State
from tests.support.one_lane import OneLane, Open, open_one_lane
from tests.unit.ledger.samples import BATCH, NO_ANSWER, RUN, T0, ManualClock, accepted, began, commits_of, item, rows

DISK_FULL = """
import asyncio, resource, sys
from pathlib import Path
from batch_upload.errors import LedgerUnusable
from tests.support.one_lane import open_one_lane
from tests.unit.ledger.samples import BATCH, RUN, T0, ManualClock, NO_ANSWER, began, item

async def refused(doing):
    try:
        await doing
    except LedgerUnusable as error:
        return error
    raise SystemExit("it was written")

async def main():
    path = Path(sys.argv[1])
    ledger = await open_one_lane(path, run_id=RUN, clock=ManualClock())
    await began(ledger, item("a"))
    size = Path(f"{path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    errors = await asyncio.gather(*(refused(ledger.fail("bu1-a-1", NO_ANSWER, at=T0)) for _ in range(5)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    errors.append(await refused(ledger.intend("bu1-a-1", run_id=RUN, at=T0)))
    assert len(set(map(id, errors))) == 6
    known = await ledger.known(BATCH)
    print(known[0].state, "|", errors[-1], "|", errors[-1].hint)
    await ledger.close()

asyncio.run(main())
"""

KILLED = """
import asyncio, sys
from pathlib import Path
from tests.support.one_lane import open_one_lane
from tests.unit.ledger.samples import RUN, T0, ManualClock, began, item

async def intend(ledger, number):
    await ledger.intend(f"bu1-{number}-1", run_id=RUN, at=T0)
    print(number, flush=True)

async def main():
    ledger = await open_one_lane(Path(sys.argv[1]), run_id=RUN, clock=ManualClock())
    await began(ledger, *(item(str(number)) for number in range(2_000)))
    for start in range(0, 2_000, 5):
        await asyncio.gather(*(intend(ledger, number) for number in range(start, start + 5)))

asyncio.run(main())
"""


def start(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def test_what_returned_is_seen_by_everybody(ledger: OneLane, path: Path) -> None:
    await began(ledger, item("a"))

    await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    assert rows(path, "SELECT state FROM item") == [("sending",)]


async def test_what_is_handed_over_together_is_committed_together(ledger: OneLane) -> None:
    await began(ledger, *(item(str(number)) for number in range(500)))
    before = commits_of(ledger)

    intents = [ledger.intend(f"bu1-{number}-1", run_id=RUN, at=T0) for number in range(500)]
    await asyncio.gather(*intents)

    assert commits_of(ledger) - before <= 5
    assert len(await ledger.open_intents()) == 500


async def test_where_several_came_together_the_next_is_held_up_for_others(path: Path) -> None:
    held, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def pause(_seconds: float) -> None:
        loop.call_soon_threadsafe(held.set)
        go_on.wait(10)

    async with written(path, pause=pause) as writer:
        await together(writer, 2)
        before = writer.commits
        first = asyncio.ensure_future(writer.write(lambda _: 1))
        await held.wait()
        second = asyncio.ensure_future(writer.write(lambda _: 2))
        await asyncio.sleep(0)
        go_on.set()

        assert [await first, await second] == [1, 2]
        assert writer.commits == before + 1


async def test_where_they_come_one_by_one_none_is_held_up(path: Path) -> None:
    pauses: list[float] = []

    async with written(path, pause=pauses.append) as writer:
        await together(writer, 2)
        for number in range(5):
            assert await writer.write(lambda _, number=number: number) == number  # type: ignore[misc]

    assert pauses == [GATHER_S]


@asynccontextmanager
async def written(path: Path, *, pause: Callable[[float], None]) -> AsyncIterator[Writer]:
    """A writer over a new ledger."""
    make_file(path, shown="june.ledger")
    writer = Writer(
        open_for_writing(path, shown="june.ledger", at=T0), shown="june.ledger", on_closed=lambda: None, pause=pause
    )
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


async def together(writer: Writer, count: int) -> None:
    """So many jobs in one group: what was handed over while the first held the thread."""
    loop, held, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(_db: Database) -> None:
        loop.call_soon_threadsafe(held.set)
        go_on.wait(10)

    holding = asyncio.ensure_future(writer.read(hold))
    await held.wait()
    others = [asyncio.ensure_future(writer.write(lambda _: None)) for _ in range(count)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(holding, *others)


async def test_one_that_fails_among_many_fails_alone(ledger: OneLane) -> None:
    await began(ledger, item("a"), item("b"))

    tokens = ("bu1-a-1", "bu1-nobody", "bu1-b-1")
    ended_ = await asyncio.gather(
        *(ledger.intend(token, run_id=RUN, at=T0) for token in tokens), return_exceptions=True
    )

    assert [isinstance(one, KeyError) for one in ended_] == [False, True, False]
    assert [row.state for row in await ledger.known(BATCH)] == [State.SENDING, State.SENDING]


async def test_a_write_goes_on_when_nobody_waits_for_it_any_more(ledger: OneLane) -> None:
    await began(ledger, item("a"))
    attempt = await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    waiting = asyncio.create_task(ledger.conclude(attempt, accepted()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert [row.state for row in await ledger.known(BATCH)] == [State.PROCESSING]


async def test_a_scope_that_is_cancelled_does_not_hold_the_writer_up(ledger: OneLane) -> None:
    await began(ledger, item("a"))

    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.intend("bu1-a-1", run_id=RUN, at=T0)

    assert scope.cancelled_caught
    assert (await ledger.fail("bu1-a-1", NO_ANSWER, at=T0)).fault == NO_ANSWER


async def test_closing_finishes_what_was_handed_over(ledger: OneLane, path: Path) -> None:
    await began(ledger, *(item(str(number)) for number in range(50)))

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(ledger.intend(f"bu1-{number}-1", run_id=RUN, at=T0))
        await asyncio.sleep(0)
        group.create_task(ledger.close())

    assert rows(path, "SELECT count(*) FROM attempt") == [(50,)]


async def test_a_closed_ledger_leaves_one_file_and_its_lock(ledger: OneLane, tmp_path: Path) -> None:
    await began(ledger, item("a"))

    await ledger.close()
    await ledger.close()

    assert sorted(os.listdir(tmp_path)) == ["june.ledger", "june.ledger.lock"]
    with pytest.raises(LedgerUnusable, match="closed"):
        await ledger.known(BATCH)


async def test_closing_works_while_everything_is_cancelled(opened: Open, path: Path, clock: ManualClock) -> None:
    ledger = await open_one_lane(path, run_id=RUN, clock=clock)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger.close()

    await began(await opened(), item("a"))


async def test_a_cancelled_opening_gives_the_lock_back(opened: Open, path: Path, clock: ManualClock) -> None:
    opening = asyncio.create_task(open_one_lane(path, run_id=RUN, clock=clock))
    await asyncio.sleep(0)
    assert "june.ledger.lock" in os.listdir(path.parent)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    await began(await opened(), item("a"))


def test_after_the_disk_said_no_nothing_is_tried_again(path: Path) -> None:
    with start(DISK_FULL, path) as process:
        said, _ = process.communicate()

    assert process.returncode == 0
    state, message, hint = said.strip().split(" | ")
    assert (state, message) == ("pending", f"I/O error on `{path}`")
    assert "ulimit" in hint
    assert rows(path, "SELECT state, fault_code FROM item") == [("pending", None)]
    assert rows(path, "SELECT count(*) FROM attempt") == [(0,)]


async def test_what_returned_before_the_process_was_killed_is_there(opened: Open, path: Path) -> None:
    with start(KILLED, path) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(40)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
        told = [line for line in told if line.endswith("\n")]  # the last may be torn

    ledger = await opened()

    known = {row.item_id for row in await ledger.open_intents()}
    assert {line.strip() for line in told} <= known
    assert len(known) >= 40


async def test_a_file_that_another_program_writes_to_is_given_up_at_once_and_for_good(
    ledger: OneLane, path: Path
) -> None:
    await began(ledger, item("a"))
    await ledger.close()
    closed: list[str] = []
    opened = open_for_writing(path, shown="june.ledger", at=T0, busy_timeout_s=0.0)
    writer = Writer(opened, shown="june.ledger", on_closed=lambda: closed.append("closed"))
    await writer.start()

    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnusable, match=r"another program is writing to `june\.ledger`"):
            await writer.write(lambda _: None)

    with pytest.raises(LedgerUnusable, match="another program is writing"):
        await writer.write(lambda _: None)
    assert await writer.read(lambda _: 7) == 7
    await writer.close()
    assert closed == ["closed"]


@pytest.mark.parametrize("kind", [MemoryError, RecursionError, SystemExit, KeyboardInterrupt, GeneratorExit])
async def test_a_job_that_the_thread_has_no_memory_or_stack_for_ends_all_writing(
    path: Path, kind: type[BaseException]
) -> None:
    def fail(db: Database) -> None:
        db.execute("UPDATE item SET state = 'failed'")
        raise kind("injected")

    released: list[str] = []
    make_file(path, shown="june.ledger")
    opened = open_for_writing(path, shown="june.ledger", at=T0)
    writer = Writer(opened, shown="june.ledger", on_closed=lambda: released.append("lock"))
    await writer.start()
    jobs: list[Callable[[Database], object]] = [lambda _: 1, fail, lambda _: 3]

    ended = await asyncio.gather(*map(writer.write, jobs), return_exceptions=True)

    assert [type(each) for each in ended] == [LedgerUnusable] * 3
    assert isinstance(ended[0], LedgerUnusable)
    assert isinstance(ended[0].__cause__, kind)
    with pytest.raises(LedgerUnusable):
        await writer.write(lambda _: 4)
    assert released == []
    await writer.close()
    assert released == ["lock"]


class _NoMemoryToCommit(sqlite3.Connection):
    """SQLite's own word for it: Python makes a MemoryError of SQLITE_NOMEM."""

    def commit(self) -> None:
        raise MemoryError


async def test_a_commit_that_there_is_no_memory_for_is_rolled_back_and_ends_the_run(path: Path) -> None:
    @contextmanager
    def opened() -> Iterator[Database]:
        with closing(sqlite3.connect(path, factory=_NoMemoryToCommit, isolation_level=None)) as raw:
            raw.execute("CREATE TABLE IF NOT EXISTS written (number INTEGER)")
            yield SqliteDatabase(raw, shown="june.ledger", begin="BEGIN IMMEDIATE")

    writer = Writer(opened(), shown="june.ledger", on_closed=lambda: None)
    await writer.start()

    def write(db: Database) -> None:
        db.execute("INSERT INTO written VALUES (1)")

    with pytest.raises(LedgerUnusable, match=r"`june\.ledger` could not be written: out of memory") as refused:
        await writer.write(write)
    await writer.close()

    assert "memory" in refused.value.hint
    assert rows(path, "SELECT count(*) FROM written") == [(0,)]


async def test_a_thread_that_dies_between_two_jobs_leaves_nobody_waiting_and_keeps_the_lock(path: Path) -> None:
    released: list[str] = []

    def die(_seconds: float) -> None:
        raise MemoryError

    make_file(path, shown="june.ledger")
    opened = open_for_writing(path, shown="june.ledger", at=T0)
    writer = Writer(opened, shown="june.ledger", on_closed=lambda: released.append("lock"), pause=die)
    await writer.start()
    await together(writer, 2)

    ended = await asyncio.gather(*(writer.write(lambda _: 1) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in ended] == [LedgerUnusable] * 3
    assert released == []
    await writer.close()
    assert released == ["lock"]
