"""Whether a file is the one that its last run left: the note in its lock tells."""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from tests.support.one_lane import OneLane, Open
from tests.unit.ledger.samples import after, pin, run_without_listing, whole_run


async def test_a_copy_does_not_follow_on_even_with_its_lock(opened: Open, path: Path) -> None:
    await whole_run(opened, path, "run-1")
    copy, whole = path.with_name("copy.ledger"), path.with_name("whole.ledger")
    shutil.copy(path, copy)
    shutil.copy(path, whole)
    shutil.copy(f"{path}.lock", f"{whole}.lock")

    assert not (await pin(await opened(copy, "run-2"))).continuous
    assert not (await pin(await opened(whole, "run-2"))).continuous


async def test_a_restored_backup_does_not_follow_on(opened: Open, path: Path) -> None:
    await whole_run(opened, path, "run-1")
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    await whole_run(opened, path, "run-2")

    shutil.copy(backup, path)

    assert not (await pin(await opened(path, "run-3"))).continuous


async def test_a_restored_backup_is_not_trusted_before_its_lane_was_listed(opened: Open, path: Path) -> None:
    await whole_run(opened, path, "run-1")
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    await whole_run(opened, path, "run-2")
    shutil.copy(backup, path)

    await run_without_listing(opened, path, "run-3")
    assert not (await pin(await opened(path, "run-4"))).continuous


async def test_a_ledger_whose_lock_was_lost_or_torn_does_not_follow_on(opened: Open, path: Path) -> None:
    lock = anyio.Path(f"{path}.lock")
    await whole_run(opened, path, "run-1")
    await lock.write_text('{"pid": 12, "ho')
    ledger = await opened(path, "run-2")
    assert not (await pin(ledger)).continuous
    await ledger.close()

    await lock.unlink()

    assert not (await pin(await opened(path, "run-3"))).continuous


async def _ended(ledger: OneLane, number: int, code: int, **summary: int) -> None:
    """A run that began `number` hours after the first, and ended a minute later."""
    began = after(number * 3_600)
    await ledger.record_end(
        f"run-{number}",
        verb="upload",
        batch="june",
        began_at=began,
        exit_code=code,
        summary=summary,
        at=began + timedelta(minutes=1),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_a_name_is_a_number_as_in_a_container() -> None:
    script = "import os; from batch_upload.ledger import runs; os.setuid(54321); print(runs.user_of_process())"

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout == "54321\n"
