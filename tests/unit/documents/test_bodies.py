"""Where the bytes of an item come from: at once where the kernel has them, and otherwise by a thread that may wait.

What is handed out is the same either way: the planned bytes from within the folder, or a refusal.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch_upload.documents.at_hand import FOLDERS_KNOWN, SMALL_BYTES
from batch_upload.documents.bodies import DocumentBodies
from batch_upload.errors import ChangedSincePlan
from batch_upload.model import Item
from batch_upload.ports import Body
from tests.support.disks import demand_reading_without_waiting, evict, mount_table

PDF = b"%PDF-1.7\n%%EOF\n"


def put(path: Path, document: bytes = PDF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document)
    return path


def item(folder: Path, source: str, document: bytes = PDF) -> Item:
    """The item of a file as it was planned."""
    digest = hashlib.sha256(document).digest()
    return Item("june", source, source, f"token-{source}", {}, digest=digest, folder=folder, size_bytes=len(document))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder on whose file system the kernel can read without waiting."""
    folder = tmp_path / "letters"
    folder.mkdir()
    demand_reading_without_waiting(folder)
    return folder


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """A table that says that all is on a disk of this machine."""
    return mount_table(tmp_path, "ext4")


async def test_small_documents_that_are_in_memory_need_a_thread_once_a_folder(folder: Path, mounts: Path) -> None:
    documents = {f"{part}/{number}.pdf": b"%%PDF-%d" % number for part in ("a", "b/c") for number in range(20)}
    for source, document in documents.items():
        put(folder / source, document)

    with DocumentBodies(folder, mounts=mounts) as bodies:
        read = [await bodies.read(item(folder, source, document)) for source, document in documents.items()]

        assert read == [Body.of(document) for document in documents.values()]
        assert bodies.hops == 2


async def read_twice(bodies: DocumentBodies, folder: Path, source: str = "a.pdf") -> int:
    """Read a file, so that its folder is known, and again; how many threads were needed for the second time."""
    await bodies.read(item(folder, source))
    before = bodies.hops
    assert await bodies.read(item(folder, source)) == Body.of(PDF)
    return bodies.hops - before


@pytest.mark.parametrize(("size_bytes", "hops"), [(1, 1), (SMALL_BYTES, 1), (SMALL_BYTES + 1, 2), (450_000, 2)])
async def test_only_small_documents_are_read_at_once(folder: Path, mounts: Path, size_bytes: int, hops: int) -> None:
    document = os.urandom(size_bytes)
    put(folder / "a.pdf", document)

    with DocumentBodies(folder, mounts=mounts) as bodies:
        for _ in range(2):
            assert await bodies.read(item(folder, "a.pdf", document)) == Body.of(document)

        assert bodies.hops == hops


async def test_a_document_that_is_not_in_memory_is_read_by_a_thread(folder: Path, mounts: Path) -> None:
    path = put(folder / "a.pdf")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder) == 0
        evict(path)
        before = bodies.hops

        assert await bodies.read(item(folder, "a.pdf")) == Body.of(PDF)
        assert bodies.hops == before + 1
        assert await bodies.read(item(folder, "a.pdf")) == Body.of(PDF)
        assert bodies.hops == before + 1


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "fuse.somebodys", "overlay", "never-heard-of"])
async def test_where_opening_may_take_a_word_with_somebody_else_a_thread_does_it(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    put(folder / "a.pdf")

    with DocumentBodies(folder, mounts=mount_table(tmp_path, kind)) as bodies:
        assert await read_twice(bodies, folder) == 1


async def test_where_the_system_tells_nothing_of_its_disks_a_thread_reads(folder: Path, tmp_path: Path) -> None:
    put(folder / "a.pdf")

    with DocumentBodies(folder, mounts=tmp_path / "none") as bodies:
        assert await read_twice(bodies, folder) == 1


@pytest.mark.parametrize("now", [PDF.replace(b"1.7", b"1.4"), PDF + b"\n", PDF[:-1], b"", None])
async def test_a_document_that_changed_is_refused(folder: Path, mounts: Path, now: bytes | None) -> None:
    path = put(folder / "a.pdf")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder) == 0
        path.unlink()
        if now is not None:
            put(path, now)

        with pytest.raises(ChangedSincePlan, match="changed since it was planned"):
            await bodies.read(item(folder, "a.pdf"))


async def test_a_link_that_was_put_in_is_followed_within_the_folder_alone(
    folder: Path, tmp_path: Path, mounts: Path
) -> None:
    path, inside, outside = put(folder / "a.pdf"), put(folder / "b.pdf"), put(tmp_path / "outside.pdf")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder) == 0
        path.unlink()
        path.symlink_to(inside)
        assert await read_twice(bodies, folder) == 1

        path.unlink()
        path.symlink_to(outside)
        with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
            await bodies.read(item(folder, "a.pdf"))


@pytest.mark.parametrize("moved", ["year", "year/june"])
async def test_a_folder_that_became_a_link_leads_out_of_no_other(
    folder: Path, tmp_path: Path, mounts: Path, moved: str
) -> None:
    source = "year/june/a.pdf"
    put(folder / source)

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder, source) == 0
        (folder / moved).rename(tmp_path / "elsewhere")
        (folder / moved).symlink_to(tmp_path / "elsewhere")

        with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
            await bodies.read(item(folder, source))


@pytest.mark.parametrize("source", ["../outside.pdf", "linked/outside.pdf"])
async def test_what_is_outside_is_refused_and_read_at_once_where_it_is_allowed(
    folder: Path, tmp_path: Path, mounts: Path, source: str
) -> None:
    put(tmp_path / "outside.pdf")
    (folder / "linked").symlink_to(tmp_path)

    with DocumentBodies(folder, mounts=mounts) as bodies:
        for _ in range(2):
            with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
                await bodies.read(item(folder, source))
    with DocumentBodies(None, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder, source) == 0


async def test_a_folder_that_is_itself_reached_by_a_link_has_its_documents_at_hand(
    folder: Path, tmp_path: Path, mounts: Path
) -> None:
    put(folder / "a.pdf")
    (tmp_path / "alias").symlink_to(folder)

    with DocumentBodies(tmp_path / "alias", mounts=mounts) as bodies:
        assert await read_twice(bodies, tmp_path / "alias") == 0


async def test_a_pipe_or_a_folder_in_a_documents_place_is_refused_and_not_waited_for(
    folder: Path, mounts: Path
) -> None:
    path = put(folder / "a.pdf")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder) == 0
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ChangedSincePlan, match="not a regular file"):
            await bodies.read(item(folder, "a.pdf"))

        path.unlink()
        path.mkdir()
        with pytest.raises(ChangedSincePlan, match="is a folder"):
            await bodies.read(item(folder, "a.pdf"))


async def test_folders_are_known_a_thousand_at_a_time(folder: Path, mounts: Path) -> None:
    for number in range(FOLDERS_KNOWN + 1):
        put(folder / f"{number}/a.pdf")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        for number in range(FOLDERS_KNOWN + 1):
            await bodies.read(item(folder, f"{number}/a.pdf"))

        assert await read_twice(bodies, folder, "0/a.pdf") == 0
        assert bodies.hops == FOLDERS_KNOWN + 2


async def test_no_descriptor_stays_open(folder: Path, mounts: Path) -> None:
    put(folder / "a.pdf")
    before = os.listdir("/proc/self/fd")

    with DocumentBodies(folder, mounts=mounts) as bodies:
        assert await read_twice(bodies, folder) == 0
        for source, document in (("a.pdf", b"other"), ("gone.pdf", PDF), (".", PDF), ("..", PDF), ("a\0.pdf", PDF)):
            with pytest.raises(ChangedSincePlan):
                await bodies.read(item(folder, source, document))

    assert os.listdir("/proc/self/fd") == before


WITHOUT_FOREIGN_FUNCTIONS = """
import asyncio, sys
sys.modules["ctypes"] = None
from tests.unit.cli.test_bodies import hops
sys.stdout.write(str(asyncio.run(hops(*sys.argv[1:]))))
"""


def test_a_python_without_foreign_functions_reads_by_threads(folder: Path, mounts: Path) -> None:
    put(folder / "a.pdf")

    command = [sys.executable, "-c", WITHOUT_FOREIGN_FUNCTIONS, str(folder), str(mounts)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("1", "")


async def hops(folder: str, mounts: str) -> int:
    """How many threads a second reading needs."""
    with DocumentBodies(Path(folder), mounts=Path(mounts)) as bodies:
        return await read_twice(bodies, Path(folder))
