"""Several lanes in one file: each goes on from its own last run, as the note in the lock has it."""

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support.lane_runs import (
    LANES,
    OTHER,
    pinned,
    run_on,
    two_of,
    worked,
)
from tests.support.one_lane import Open
from tests.unit.ledger.samples import (
    LANE,
    RUN,
    T0,
    after,
    contents,
    item,
    write,
)

KILLED = '''
import asyncio, os, signal, sys
from pathlib import Path
from batch_upload.ledger.sqlite.connection import open_for_writing
from batch_upload.ledger.sqlite.lock import take_lock
from batch_upload.ledger.store import Store
from batch_upload.ledger.writer import Writer
from batch_upload.model import Lane
from tests.unit.ledger.samples import BATCH, T0, ManualClock

class Lease:
    """The real one, until the process is to be killed."""
    def __init__(self, lease):
        self.lease, self.kills = lease, False
    def __getattr__(self, name):
        return getattr(self.lease, name)
    def sync(self):
        if self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        self.lease.sync()

async def main():
    path, clock = Path(sys.argv[1]), ManualClock()
    lease = Lease(await take_lock(path, shown="x", run_id="run-2", clock=clock, wait_s=0))
    thread = Writer(open_for_writing(path, shown="x", at=T0), shown="x", on_closed=lease.release)
    ledger = Store(thread, lease, shown="x", clock=clock)
    await ledger.start()
    writers = [await ledger.writer(f"t{number}/us-east-1") for number in range(3)]
    for number, writer in enumerate(writers):
        await writer.pin(Lane(f"{number:012}", "us-east-1"), endpoint="e", at=T0)
    await writers[0].begin_run("run-2", verb="upload", batch=BATCH, at=T0)
    if sys.argv[2] == "between the commit and the note":
        lease.kills = True
        await writers[1].begin_run("run-2", verb="upload", batch=BATCH, at=T0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
'''


async def test_a_restored_backup_is_trusted_for_no_lane_that_was_used_since(opened: Open, path: Path) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(one, LANE)
    await run_on(other, OTHER)
    await ledger.close()
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    ledger = await opened(path, "run-2")
    _, other = await two_of(ledger.ledger)
    await run_on(other, OTHER, run_id="run-2")
    await ledger.close()
    shutil.copy(backup, path)

    one, other = await two_of((await opened(path, "run-3")).ledger)
    assert (await run_on(one, LANE, run_id="run-3")).continuous

    assert not (await pinned(other, OTHER)).continuous


async def test_a_note_of_an_earlier_program_is_believed_where_it_names_the_lanes_last_run(
    opened: Open, path: Path
) -> None:
    ledger = await opened()
    one, other = await two_of(ledger.ledger)
    await run_on(other, OTHER)
    await run_on(one, LANE, run_id="run-2")
    await ledger.close()
    lock = path.with_name("june.ledger.lock")
    note = json.loads(contents(lock))
    del note["began"]
    write(lock, json.dumps(note).encode())

    one, other = await two_of((await opened(path, "run-3")).ledger)

    assert (await pinned(one, LANE)).continuous
    assert not (await pinned(other, OTHER)).continuous


async def test_a_new_lane_leaves_the_times_of_the_others_comparable(opened: Open, path: Path) -> None:
    ledger = await opened()
    one, _ = await two_of(ledger.ledger)
    await run_on(one, LANE)
    await one.enlist([item("open")], at=T0)
    await one.intend("bu1-open-1", run_id=RUN, at=after(1))
    before = one.stretch
    await ledger.close()

    one, other = await two_of((await opened(path, "run-2")).ledger)
    await pinned(other, OTHER)
    await pinned(one, LANE)

    assert one.stretch == other.stretch == before
    assert one.stretch.is_comparable(after(1))


async def test_two_hundred_lanes_that_begin_at_the_same_time_all_go_on_from_there(opened: Open, path: Path) -> None:
    for run_id, goes_on in (("run-1", False), ("run-2", True), ("run-3", True)):
        ledger = await opened(path, run_id)
        many = [await ledger.ledger.writer(f"t{number}/us-east-1") for number in range(LANES)]
        memories = await asyncio.gather(*(worked(writer, number, run_id) for number, writer in enumerate(many)))
        assert {memory.continuous for memory in memories} == {goes_on}
        await ledger.close()

    note = json.loads(contents(path.with_name("june.ledger.lock")))
    assert set(note["began"].values()) == {"run-3"}
    assert len(note["began"]) == LANES


@pytest.mark.parametrize("killed", ["between two lanes", "between the commit and the note"])
async def test_a_run_killed_between_its_lanes_beginnings_leaves_each_lane_what_it_was(
    opened: Open, path: Path, killed: str
) -> None:
    """The lane that was cut off in its beginning is listed anew, which is safe; the others go on."""
    ledger = await opened()
    for number in range(3):
        await worked(await ledger.ledger.writer(f"t{number}/us-east-1"), number, RUN)
    await ledger.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path), killed, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert await process.wait() == -signal.SIGKILL

    ledger = await opened(path, "run-3")
    many = [await ledger.ledger.writer(f"t{number}/us-east-1") for number in range(3)]
    memories = [await worked(writer, number, "run-3") for number, writer in enumerate(many)]

    assert [memory.continuous for memory in memories] == [True, killed == "between two lanes", True]
