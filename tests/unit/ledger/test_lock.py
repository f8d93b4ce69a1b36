"""One run at a time."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from batch_upload.errors import ExitCode, LedgerLocked, LedgerUnusable
from batch_upload.ledger import open_ledger
from batch_upload.ledger.sqlite.lock import take_lock
from tests.support.one_lane import OneLane, Open
from tests.unit.ledger.samples import RUN, T0, ManualClock, after

HOLDER = """
import asyncio, sys
from pathlib import Path
from batch_upload.ledger import open_ledger
from tests.unit.ledger.samples import ManualClock

async def main():
    await open_ledger(Path(sys.argv[1]), run_id="run-of-holder", clock=ManualClock())
    print("held", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


class Holder:
    """Another process that holds a ledger until it is killed."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


async def test_another_run_is_named_and_its_lock_dies_with_it(opened: Open, path: Path) -> None:
    holder = Holder(path)
    try:
        with pytest.raises(LedgerLocked, match="another run holds") as caught:
            await opened()
    finally:
        holder.kill()

    assert (caught.value.pid, caught.value.since) == (holder.process.pid, T0)
    who = f": process {holder.process.pid} on {caught.value.host} since {T0:%Y-%m-%d %H:%M:%SZ}"
    assert caught.value.message.endswith(who)
    assert "`--wait-lock 30m`" in caught.value.hint
    assert caught.value.exit_code is ExitCode.LOCKED
    await opened()


async def test_a_run_can_wait_for_the_lock(ledger: OneLane, path: Path) -> None:
    class FreeingClock(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.elapsed_s >= 3:
                await ledger.close()

    waiting = FreeingClock()

    second = await open_ledger(path, run_id="run-2", clock=waiting, wait_lock_s=30)

    assert 3 <= waiting.elapsed_s < 4
    await second.close()


@pytest.mark.usefixtures("ledger")
async def test_waiting_for_the_lock_ends_when_it_was_said(path: Path) -> None:
    waiting = ManualClock()

    with pytest.raises(LedgerLocked):
        await open_ledger(path, run_id="run-2", clock=waiting, wait_lock_s=1.1)

    assert waiting.elapsed_s == pytest.approx(1.1)


@pytest.mark.parametrize("note", ["", '{"pid": 1', "[]", '{"pid": "x", "since": 3}', '{"pid": 7, "since": "noon"}'])
async def test_a_torn_note_names_nobody_and_holds_nobody_up(
    ledger: OneLane, path: Path, note: str, clock: ManualClock
) -> None:
    await anyio.Path(f"{path}.lock").write_text(note)

    with pytest.raises(LedgerLocked) as caught:
        await open_ledger(path, run_id="run-2", clock=clock)

    assert caught.value.since is None
    await ledger.close()
    await (await open_ledger(path, run_id="run-2", clock=clock)).close()


@pytest.mark.usefixtures("ledger")
async def test_the_lock_is_taken_on_the_real_ledger_whatever_it_is_called(
    path: Path, tmp_path: Path, clock: ManualClock
) -> None:
    await anyio.Path(tmp_path / "link").symlink_to(path)

    with pytest.raises(LedgerLocked):
        await open_ledger(tmp_path / "link", run_id="run-2", clock=clock)

    assert "link.lock" not in os.listdir(tmp_path)


async def test_the_note_says_who_and_when_and_stays_when_the_lock_is_given_back(ledger: OneLane, path: Path) -> None:
    await ledger.close()

    note = json.loads(await anyio.Path(f"{path}.lock").read_text())

    assert (note["pid"], note["run_id"]) == (os.getpid(), RUN)
    assert datetime.fromisoformat(note["since"]) == T0


async def test_a_lock_that_somebody_removed_while_it_was_taken_is_taken_anew(path: Path) -> None:
    class RemovingClock(ManualClock):
        """Removes the lock's file while somebody waits for it."""

        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            await anyio.Path(f"{path}.lock").unlink()

    first = await take_lock(path, shown="x", run_id=RUN, clock=ManualClock(), wait_s=0)
    second = await take_lock(path, shown="x", run_id=RUN, clock=RemovingClock(), wait_s=9)
    try:
        with pytest.raises(LedgerLocked):
            await take_lock(path, shown="x", run_id=RUN, clock=ManualClock(), wait_s=0)
    finally:
        first.release()
        second.release()


@pytest.mark.parametrize("made", ["link", "folder", "fifo"])
async def test_what_is_no_file_is_no_lock(path: Path, tmp_path: Path, made: str, clock: ManualClock) -> None:
    lock = f"{path}.lock"
    if made == "link":
        os.symlink(tmp_path / "elsewhere", lock)
    elif made == "folder":
        os.mkdir(lock)
    else:
        os.mkfifo(lock)

    with pytest.raises(LedgerUnusable, match=r"june\.ledger\.lock"):
        await open_ledger(path, run_id=RUN, clock=clock)

    assert "elsewhere" not in os.listdir(tmp_path)


async def test_the_times_of_a_note_are_those_of_the_clock(path: Path) -> None:
    clock = ManualClock()
    clock.elapsed_s = 60
    lock = await take_lock(path, shown="x", run_id=RUN, clock=clock, wait_s=0)
    try:
        with pytest.raises(LedgerLocked) as caught:
            await take_lock(path, shown="x", run_id=RUN, clock=clock, wait_s=0)
    finally:
        lock.release()
        lock.release()

    assert caught.value.since == after(60)
