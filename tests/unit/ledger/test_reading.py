"""Reading a file: of any version, damaged, and where nothing may be written."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.clock import SystemClock
from batch_upload.document import Fingerprint, Insight, RememberedDigest
from batch_upload.errors import LedgerUnusable
from batch_upload.ledger import find_digests, find_reader, open_ledger
from batch_upload.ledger.sqlite.migrations import SCHEMA_VERSION
from batch_upload.model import ContentType, Lane, State
from batch_upload.ports import LedgerReader
from tests.crash.make_ledgers import ACCOUNTS, KEPT, REGION
from tests.support.batches import BATCH as KEPT_BATCH
from tests.support.one_lane import OneLane, open_one_lane
from tests.unit.ledger.samples import (
    BATCH,
    RUN,
    T0,
    TOO_LARGE,
    accepted,
    began,
    item,
    overwrite,
)

TOKEN = "bu1-a-1"
IN_A_READ_ONLY_FOLDER = """
import os, sys
from pathlib import Path
from batch_upload.errors import LedgerUnusable
from batch_upload.ledger import find_reader
with find_reader(Path(sys.argv[2])) as reader:
    reader.known("june")  # whatever is imported late is imported now
if os.geteuid() == 0:
    os.setuid(65534)  # rights do not bind root
try:
    with find_reader(Path(sys.argv[1])) as reader:
        print(len(reader.known("june")), os.listdir(Path(sys.argv[1]).parent))
except LedgerUnusable as error:
    print(error)
"""


def reader_of(path: Path) -> LedgerReader:
    reader = find_reader(path)
    assert reader is not None
    return reader


async def test_a_reader_moves_nothing_and_holds_no_run_up(ledger: OneLane, path: Path) -> None:
    await began(ledger, item("a"))
    size = os.stat(f"{path}-wal").st_size

    with reader_of(path) as reader:
        reader.known(BATCH)
    kept = os.stat(f"{path}-wal").st_size
    await ledger.fail(TOKEN, TOO_LARGE, at=T0)

    assert size == kept > 0


async def test_where_there_is_no_ledger_there_is_no_reader(tmp_path: Path) -> None:
    assert find_reader(tmp_path / "june.ledger") is None
    assert find_reader(tmp_path / "nowhere" / "june.ledger") is None
    assert os.listdir(tmp_path) == []


async def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="is not a file"):
        find_reader(tmp_path)


async def test_a_ledger_can_be_read_where_nothing_may_be_written(ledger: OneLane, path: Path) -> None:
    await began(ledger, item("a"))
    await ledger.conclude(await ledger.intend(TOKEN, run_id=RUN, at=T0), accepted())
    await ledger.close()

    assert read_in_a_read_only_folder(path, "june.ledger") == "1 ['june.ledger']\n"


async def test_what_a_killed_run_left_is_not_passed_over_where_nothing_may_be_written(
    ledger: OneLane, path: Path
) -> None:
    await began(ledger, item("a"))

    said = read_in_a_read_only_folder(path, "june.ledger", "june.ledger-wal")

    assert "did not end by itself" in said


async def test_a_ledger_that_a_killed_run_has_half_changed_is_not_read(ledger: OneLane, path: Path) -> None:
    await began(ledger, item("a"))
    await ledger.close()
    copy = path.with_name("killed.ledger")
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in (
            "PRAGMA journal_mode = DELETE",
            "PRAGMA cache_size = 1",
            "BEGIN",
            "UPDATE item SET source = 'half.pdf'",
            "CREATE TABLE filler (page BLOB)",
            *["INSERT INTO filler VALUES (randomblob(4000))"] * 50,
        ):
            raw.execute(statement)
        for suffix in ("", "-journal"):
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")

    with pytest.raises(LedgerUnusable, match="did not end by itself"):
        find_reader(copy)
    assert find_digests(copy) is None
    await (await open_ledger(copy, run_id="run-2", clock=SystemClock())).close()
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT source FROM item").fetchall() == [("files/a.pdf",)]


def read_in_a_read_only_folder(path: Path, *names: str) -> str:
    folder = Path(tempfile.mkdtemp())
    try:
        for name in names:
            shutil.copy(path.with_name(name), folder)
            (folder / name).chmod(0o444)
        folder.chmod(0o555)
        return subprocess.run(
            [sys.executable, "-c", IN_A_READ_ONLY_FOLDER, str(folder / names[0]), str(path)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


async def test_damage_that_is_met_while_reading_is_said(ledger: OneLane, path: Path) -> None:
    await began(ledger, *(item(str(number)) for number in range(3_000)))
    await ledger.close()
    overwrite(path, 300_000, b"\xa5" * 400_000)

    with reader_of(path) as reader, pytest.raises(LedgerUnusable, match="damaged"):
        reader.known(BATCH)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_ledger_of_an_earlier_version_is_read_and_left_as_it_is(version: int, path: Path) -> None:
    shutil.copyfile(KEPT / f"version-{version}.ledger", path)

    with reader_of(path) as reader:
        assert reader.lane() == Lane(ACCOUNTS[version], REGION)
        assert [row.state for row in reader.known(KEPT_BATCH)] == [State.COMPLETE, State.SENDING, State.PENDING]
        assert reader.digests(["/anything"]) == {}
        assert not reader.is_overtaken()

    assert path.read_bytes() == (KEPT / f"version-{version}.ledger").read_bytes()


async def test_who_reads_a_ledger_of_an_earlier_version_can_tell_when_a_run_has_brought_it_up_to_date(
    path: Path,
) -> None:
    shutil.copyfile(KEPT / "version-1.ledger", path)

    with reader_of(path) as reader:
        ledger = await open_one_lane(path, run_id=RUN, clock=SystemClock())
        await ledger.close()

        assert reader.is_overtaken()


def test_a_damaged_ledger_of_an_earlier_version_is_refused(path: Path) -> None:
    shutil.copyfile(KEPT / "truncated.ledger", path)

    with pytest.raises(LedgerUnusable, match="damaged"):
        find_reader(path)


async def test_what_another_version_of_the_look_found_is_not_believed(ledger: OneLane, path: Path) -> None:
    fingerprint = Fingerprint(device=1, inode=2, size_bytes=3, mtime_ns=4)
    found = RememberedDigest(fingerprint, "0f" * 32, ContentType.PDF, Insight(pages=2))
    await began(ledger, item("a"))
    await ledger.remember_digests({"/files/a.pdf": found, "/files/b.pdf": found})
    await ledger.close()

    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("""UPDATE digest SET insight = '{"version":99,"letters":1}' WHERE path = '/files/a.pdf'""")

    with reader_of(path) as reader:
        assert reader.digests(["/files/a.pdf", "/files/b.pdf"]) == {
            "/files/a.pdf": found._replace(insight=None),
            "/files/b.pdf": found,
        }
