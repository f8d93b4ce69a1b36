"""How a ledger is: damage, rights, who holds it, and where it lies."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch_upload.clock import SystemClock
from batch_upload.errors import LedgerUnusable
from batch_upload.ledger import damage_of, holder_of, is_ledger_file, open_ledger, place_of, rights_of, schema_of
from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION
from tests.unit.ledger.samples import overwrite, rows


def open_once(path: Path) -> None:
    async def once() -> None:
        await (await open_ledger(path, run_id="run", clock=SystemClock(), wait_lock_s=0)).close()

    asyncio.run(once())


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "june.ledger"
    open_once(path)
    return path


def test_a_whole_ledger_has_no_damage_and_is_its_owners_alone(ledger: Path) -> None:
    assert damage_of(ledger) == []
    assert schema_of(ledger) == (SCHEMA_VERSION, SCHEMA_VERSION)
    assert (rights_of(ledger).mode, rights_of(ledger).is_mine, rights_of(ledger).are_private) == (0o600, True, True)


def test_a_page_that_was_overwritten_is_found(ledger: Path) -> None:
    ((root,),) = rows(ledger, "SELECT rootpage FROM sqlite_master WHERE name = 'item'")
    overwrite(ledger, 4096 * (root - 1), b"\xa5" * 4096)

    try:
        damage = damage_of(ledger)
    except LedgerUnusable as error:
        damage = [error.message]

    assert damage


@pytest.mark.parametrize(
    ("name", "content", "is_one"),
    [
        ("state.db", b"SQLite format 3\0" + b"\0" * 100, True),
        ("june.ledger", b"SQLite format 3\0" + b"\0" * 100, True),
        ("june.ledger", b"", True),
        ("june.ledger", b"damaged \xff\0\0\0", True),
        ("june.ledger", b"version: 1\n", False),
        ("june.yaml", b"", False),
        ("june.yaml", b"damaged \xff\0\0\0", False),
        ("june.yaml", b"version: 1\n", False),
    ],
)
def test_a_path_is_a_ledger_by_its_content(tmp_path: Path, name: str, content: bytes, *, is_one: bool) -> None:
    (tmp_path / name).write_bytes(content)

    assert is_ledger_file(tmp_path / name) is is_one


def test_what_cannot_be_read_as_a_file_is_no_ledger(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ledger")
    (tmp_path / "circle.ledger").symlink_to("circle.ledger")
    names = ("", "none.ledger", "pipe.ledger", "circle.ledger", "nul\0.ledger")

    assert [is_ledger_file(tmp_path / name) for name in names] == [False] * len(names)
    assert is_ledger_file(Path("/")) is False


async def test_a_ledger_that_is_written_to_is_known_without_being_opened(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    opened = await open_ledger(path, run_id="run", clock=SystemClock(), wait_lock_s=0)
    path.rename(tmp_path / "moved")

    assert is_ledger_file(path)
    (tmp_path / "moved").rename(path)
    await opened.close()
    assert is_ledger_file(path)


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "june.ledger"
    other.write_text("not a database, but long enough to look at: " * 40, encoding="utf-8")

    with pytest.raises(LedgerUnusable, match="damaged, or not a ledger"):
        schema_of(other)


def test_rights_that_are_too_wide_are_seen(ledger: Path) -> None:
    ledger.chmod(0o644)

    assert not rights_of(ledger).are_private


def test_who_holds_the_lock_is_told_while_it_is_held_and_nobody_is_stopped_by_asking(tmp_path: Path) -> None:
    path = tmp_path / "june.ledger"
    script = (
        "import asyncio, sys, pathlib; from batch_upload.ledger import open_ledger;"
        "from batch_upload.clock import SystemClock;"
        "asyncio.run(open_ledger(pathlib.Path(sys.argv[1]), run_id='run', clock=SystemClock(), wait_lock_s=0));"
        "print('held', flush=True); sys.stdin.read()"
    )
    assert holder_of(path) is None

    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        note = holder_of(path)
        other.communicate("")

    assert note is not None
    assert note.pid == other.pid
    assert holder_of(path) is None
    open_once(path)


def test_a_place_tells_whether_a_ledger_could_be_there(tmp_path: Path) -> None:
    place = place_of(tmp_path / "june.ledger")

    assert (place.exists, place.is_writable) == (False, True)
    assert place.free_bytes > 0
    with pytest.raises(LedgerUnusable, match="does not exist"):
        place_of(tmp_path / "no" / "june.ledger")


def test_a_lock_that_is_no_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    os.symlink("elsewhere", tmp_path / "june.ledger.lock")

    with pytest.raises(OSError, match=r"june\.ledger\.lock"):
        holder_of(tmp_path / "june.ledger")
