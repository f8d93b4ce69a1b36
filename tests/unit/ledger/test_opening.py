"""Opening: what is a ledger, what becomes one, and what is left alone."""

import os
import random
import sqlite3
import stat
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from batch_upload.errors import ExitCode, LedgerUnusable
from batch_upload.ledger import find_reader
from batch_upload.ledger.sqlite.migrations import APPLICATION_ID, SCHEMA_VERSION, require_sqlite
from batch_upload.model import State
from tests.support.one_lane import Open, open_one_lane
from tests.unit.ledger.samples import BATCH, RUN, ManualClock, began, contents, item, overwrite, rows, write

NEWER = SCHEMA_VERSION + 1


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        for statement in statements:
            other.execute(statement)
        other.commit()


async def _whole(opened: Open, path: Path, *, count: int = 1) -> None:
    ledger = await opened(path)
    await began(ledger, *(item(str(number)) for number in range(count)))
    await ledger.close()


async def _refused(path: Path) -> LedgerUnusable:
    with pytest.raises(LedgerUnusable) as caught:
        await open_one_lane(path, run_id=RUN, clock=ManualClock())
    assert caught.value.exit_code is ExitCode.LEDGER
    return caught.value


def _mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


async def test_all_its_files_are_the_owners_alone(opened: Open, path: Path) -> None:
    before = os.umask(0)
    try:
        await began(await opened(), item("a"))
    finally:
        os.umask(before)

    assert {name: _mode(f"{path}{name}") for name in ("", "-wal", "-shm", ".lock")} == {
        "": 0o600,
        "-wal": 0o600,
        "-shm": 0o600,
        ".lock": 0o600,
    }


async def test_the_rights_of_a_ledger_that_is_there_are_its_owners_business(opened: Open, path: Path) -> None:
    await _whole(opened, path)
    os.chmod(path, 0o644)

    await _whole_again(opened, path)

    assert _mode(path) == 0o644


async def _whole_again(opened: Open, path: Path) -> None:
    ledger = await opened(path)
    assert [row.item_id for row in await ledger.known(BATCH)] == ["0"]
    await ledger.close()


async def test_it_says_of_itself_what_it_is_and_survives_a_power_cut(opened: Open, path: Path) -> None:
    await _whole(opened, path)

    assert rows(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "SELECT max(version) FROM migration") == [(SCHEMA_VERSION,)]


@pytest.mark.parametrize(
    "name", ["a?b.ledger", "a#b", "50%25.ledger", 'it\'s "so".ledger', "Ø 中.ledger", "-x", "a&b=c"]
)
async def test_any_name_a_file_can_have_will_do(opened: Open, tmp_path: Path, name: str) -> None:
    await _whole(opened, tmp_path / name)

    await _whole_again(opened, tmp_path / name)
    reader = find_reader(tmp_path / name)

    assert reader is not None
    with reader:
        assert len(reader.known(BATCH)) == 1
    assert {entry.removeprefix(name) for entry in os.listdir(tmp_path)} <= {"", ".lock", "-wal", "-shm"}


async def test_a_ledger_half_made_by_a_killed_process_is_finished(opened: Open, tmp_path: Path) -> None:
    empty, only_header = tmp_path / "empty", tmp_path / "only-header"
    empty.touch()
    with closing(sqlite3.connect(only_header)) as other:
        other.execute("PRAGMA journal_mode = WAL")
    assert only_header.stat().st_size > 0

    for path in (empty, only_header):
        assert find_reader(path) is None
        await _whole(opened, path)
        await _whole_again(opened, path)


async def test_a_newer_ledger_is_left_alone_and_says_what_reads_it(opened: Open, path: Path) -> None:
    await _whole(opened, path)
    change(
        path,
        f"PRAGMA user_version = {NEWER}",
        f"INSERT INTO migration VALUES ({NEWER}, '3.1.0', '2027-01-01T00:00:00.000000Z')",  # noqa: S608
    )
    before = contents(path)

    error = await _refused(path)

    assert f"written by batch-upload 3.1.0 (schema {NEWER})" in error.message
    assert error.hint == "install a newer batch-upload: 3.1.0 or later"
    assert contents(path) == before
    with pytest.raises(LedgerUnusable, match=r"3\.1\.0"):
        find_reader(path)


async def test_a_newer_schema_of_the_same_version_is_not_told_to_install_what_it_has(opened: Open, path: Path) -> None:
    await _whole(opened, path)
    with closing(sqlite3.connect(path)) as other:
        stamp = (NEWER, version("batch-upload"), "2027-01-01T00:00:00.000000Z")
        other.execute("INSERT INTO migration VALUES (?, ?, ?)", stamp)
        other.execute(f"PRAGMA user_version = {NEWER}")
        other.commit()

    error = await _refused(path)

    assert error.hint == f"install a newer batch-upload: one that knows schema {NEWER}"


async def test_a_newer_ledger_without_its_history_is_refused_too(opened: Open, path: Path) -> None:
    await _whole(opened, path)
    change(path, f"PRAGMA user_version = {NEWER}", "DROP TABLE migration")

    assert f"schema {NEWER}" in (await _refused(path)).message


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE holiday (day TEXT)",),
        ("PRAGMA application_id = 1",),
        ("PRAGMA user_version = 3",),
        ("CREATE TABLE item (id TEXT)", f"PRAGMA application_id = {APPLICATION_ID}"),
    ],
)
async def test_somebody_elses_database_is_left_as_it_is(path: Path, statements: tuple[str, ...]) -> None:
    change(path, *statements)
    before = contents(path)

    assert "is not a ledger" in (await _refused(path)).message

    assert contents(path) == before
    with pytest.raises(LedgerUnusable, match="is not a ledger"):
        find_reader(path)


async def test_a_file_that_is_no_database_is_left_as_it_is(path: Path) -> None:
    write(path, b"id,token\n" * 1_000)

    assert "not a ledger" in (await _refused(path)).message

    assert contents(path) == b"id,token\n" * 1_000
    with pytest.raises(LedgerUnusable, match="not a ledger"):
        find_reader(path)


@pytest.mark.parametrize("offset", [0, 16, 100, 4_096, 40_000])
async def test_a_damaged_ledger_is_found_out_when_it_is_opened(opened: Open, path: Path, offset: int) -> None:
    await _whole(opened, path, count=300)
    overwrite(path, offset, random.Random(7).randbytes(4_096))

    error = await _refused(path)

    assert "damaged" in error.message or "not a ledger" in error.message
    assert error.hint


async def test_what_is_damaged_is_left_as_it_was_found(opened: Open, path: Path) -> None:
    await _whole(opened, path, count=300)
    change(path, "PRAGMA journal_mode = DELETE")
    overwrite(path, 5 * 4_096, random.Random(7).randbytes(4_096))
    before = contents(path)

    assert "damaged" in (await _refused(path)).message
    assert contents(path) == before


async def test_a_ledger_that_was_cut_off_is_found_out(opened: Open, path: Path) -> None:
    await _whole(opened, path, count=300)
    os.truncate(path, len(contents(path)) // 2)

    assert "damaged" in (await _refused(path)).message


async def test_a_ledger_without_one_of_its_tables_is_damaged(opened: Open, path: Path) -> None:
    await _whole(opened, path)
    change(path, "DROP TABLE outcome")

    assert "it has no outcome" in (await _refused(path)).message
    with pytest.raises(LedgerUnusable, match="it has no outcome"):
        find_reader(path)


@pytest.mark.parametrize("place", ["nowhere/june.ledger", "file/june.ledger", ".", "link", "fifo", "x" * 300])
async def test_where_no_ledger_can_be_a_sentence_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    before = sorted(os.listdir(tmp_path))

    error = await _refused(tmp_path / place)

    assert str(tmp_path / place) in error.message
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_device_is_no_ledger() -> None:
    assert "is not a file" in (await _refused(Path("/dev/null"))).message


async def test_a_folder_that_takes_no_file_is_said(tmp_path: Path) -> None:
    error = await _refused(Path("/proc/june.ledger"))

    assert "/proc/june.ledger.lock" in error.message


async def test_a_refused_ledger_gives_its_lock_back(opened: Open, path: Path) -> None:
    change(path, "CREATE TABLE holiday (day TEXT)")
    await _refused(path)
    os.unlink(path)

    ledger = await opened(path)

    await began(ledger, item("a"))
    assert [row.state for row in await ledger.known(BATCH)] == [State.PENDING]


def test_an_old_sqlite_is_refused_in_a_sentence() -> None:
    require_sqlite((3, 37, 0))
    with pytest.raises(LedgerUnusable, match=r"SQLite 3\.36\.1, a ledger needs 3\.37\.0"):
        require_sqlite((3, 36, 1))
