"""What the ledger's wall times are worth: the lock's note tells since when the wall clock has gone steadily."""

import json
import shutil
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from batch_upload.moments import Stretch
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import BATCH, LANE, T0, ManualClock, after, began, commits_of, item


class SettableClock(ManualClock):
    """A clock whose wall time may be set, on a machine that may boot anew."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by_s = 0.0
        self.boot = "boot one"

    def now(self) -> datetime:
        return after(self.elapsed_s + self.set_by_s)

    def machine(self) -> str:
        return self.boot


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


async def run_of(path: Path, clock: SettableClock, run_id: str) -> OneLane:
    """A run that has found its lane, and begins."""
    ledger = await open_one_lane(path, run_id=run_id, clock=clock)
    await ledger.pin(LANE, endpoint="https://sms-voice.example", at=clock.now())
    await ledger.begin_run(run_id, verb="upload", batch=BATCH, at=clock.now())
    await ledger.enlist([item("a"), item("b")], at=clock.now())
    await ledger.listed(at=clock.now())
    return ledger


async def stretches(path: Path, clock: SettableClock, *, after_s: float, set_by_s: float = 0.0) -> list[Stretch]:
    """The stretch of a run that sends `a` and is killed, and that of the next one."""
    first = await run_of(path, clock, "run-1")
    clock.elapsed_s += 60
    await first.intend("bu1-a-1", run_id="run-1", at=clock.now())
    found = [first.stretch]
    await first.close()
    clock.elapsed_s += after_s
    clock.set_by_s += set_by_s
    second = await run_of(path, clock, "run-2")
    found.append(second.stretch)
    await second.close()
    return found


async def test_a_rerun_a_moment_after_a_kill_goes_on_in_the_same_stretch(path: Path, clock: SettableClock) -> None:
    first, second = await stretches(path, clock, after_s=2)

    assert first == second
    assert second.is_comparable(after(60))


@pytest.mark.parametrize("set_by_s", [3_600.0, -3_600.0, 2.0, -2.0])
async def test_a_wall_clock_that_was_set_between_two_runs_begins_a_new_stretch(
    path: Path, clock: SettableClock, set_by_s: float
) -> None:
    _, second = await stretches(path, clock, after_s=2, set_by_s=set_by_s)

    assert second.began.wall == clock.now()
    assert second.latest_before == after(60)
    assert not second.is_comparable(after(60))


async def test_a_stretch_outlives_any_number_of_runs(path: Path, clock: SettableClock) -> None:
    first, _ = await stretches(path, clock, after_s=2, set_by_s=-3_600)
    clock.elapsed_s += 90_000
    third = await run_of(path, clock, "run-3")
    await third.close()

    assert third.stretch.began.wall == after(62 - 3_600)
    assert first != third.stretch


async def test_another_boot_begins_a_new_stretch(path: Path, clock: SettableClock) -> None:
    first = await run_of(path, clock, "run-1")
    await first.close()
    clock.boot = "boot two"
    second = await run_of(path, clock, "run-2")
    await second.close()

    assert second.stretch.machine == "boot two"
    assert second.stretch.began.wall == clock.now()


@pytest.mark.parametrize("lost", ["deleted", "torn", "of an older version", "absurd", "copied"])
async def test_without_a_note_no_time_in_the_ledger_is_trusted(path: Path, clock: SettableClock, lost: str) -> None:
    lock = anyio.Path(f"{path}.lock")
    first = await run_of(path, clock, "run-1")
    await first.intend("bu1-a-1", run_id="run-1", at=clock.now())
    await first.close()
    note = json.loads(await lock.read_text())
    if lost == "deleted":
        await lock.unlink()
    elif lost == "torn":
        await lock.write_text('{"pid": 1')
    elif lost == "of an older version":
        kept = ("pid", "host", "since", "run_id", "began_run_id", "inode")
        await lock.write_text(json.dumps({name: note[name] for name in kept}))
    elif lost == "absurd":
        await lock.write_text(json.dumps({**note, "steady_since": "noon", "steady_since_counting_s": "x"}))
    else:
        await anyio.to_thread.run_sync(shutil.copy, f"{path}.lock", f"{path}.copy")
        await lock.unlink()
        await anyio.Path(f"{path}.copy").rename(lock)
    clock.elapsed_s += 2
    second = await run_of(path, clock, "run-2")
    third_starts_from = second.stretch
    await second.close()
    third = await run_of(path, clock, "run-3")
    await third.close()

    assert not second.stretch.is_comparable(T0)
    assert second.stretch.began.wall == after(2)
    assert third.stretch == third_starts_from


async def test_a_backup_put_back_over_the_ledger_is_not_trusted(path: Path, clock: SettableClock) -> None:
    first = await run_of(path, clock, "run-1")
    await first.intend("bu1-a-1", run_id="run-1", at=clock.now())
    await first.close()
    await anyio.to_thread.run_sync(shutil.copy, path, f"{path}.backup")
    clock.elapsed_s += 2
    await (await run_of(path, clock, "run-2")).close()
    await anyio.to_thread.run_sync(shutil.copy, f"{path}.backup", path)
    clock.elapsed_s += 2
    third = await run_of(path, clock, "run-3")
    await third.close()

    assert not third.stretch.is_comparable(T0)


@pytest.mark.parametrize("set_by_s", [3_600.0, -3_600.0])
async def test_a_wall_clock_that_is_set_and_set_right_again_in_one_run_is_noticed(
    path: Path, clock: SettableClock, set_by_s: float
) -> None:
    """Afterwards the two clocks are as they were: only who looks at each attempt sees it."""
    first = await run_of(path, clock, "run-1")
    clock.elapsed_s, clock.set_by_s = 10, set_by_s
    await first.intend("bu1-a-1", run_id="run-1", at=clock.now())
    sent_at = clock.now()
    clock.elapsed_s, clock.set_by_s = 20, 0
    await first.close()
    second = await run_of(path, clock, "run-2")
    await second.close()

    assert not second.stretch.is_comparable(sent_at)
    assert second.stretch.latest_s(sent_at, second.stretch.began) >= 10


async def test_a_wall_clock_that_was_ahead_leaves_times_that_are_never_taken_for_young(
    path: Path, clock: SettableClock
) -> None:
    clock.set_by_s = 3_600
    first = await run_of(path, clock, "run-1")
    await first.intend("bu1-a-1", run_id="run-1", at=clock.now())
    await first.close()
    clock.set_by_s = 0
    await (await run_of(path, clock, "run-2")).close()
    clock.elapsed_s = 3_601  # now it is what the wall clock showed then
    third = await run_of(path, clock, "run-3")
    await third.intend("bu1-b-1", run_id="run-3", at=clock.now())
    await third.close()

    assert not third.stretch.is_comparable(after(3_600))
    assert third.stretch.is_comparable(after(3_601))


async def test_a_steady_clock_costs_no_write_of_its_own(path: Path, clock: SettableClock) -> None:
    ledger = await open_one_lane(path, run_id="run-1", clock=clock)
    await began(ledger, item("a"), item("b"))
    before = commits_of(ledger)
    await ledger.intend("bu1-a-1", run_id="run-1", at=clock.now())
    await ledger.close()

    assert commits_of(ledger) == before + 1
