"""Documents that would hang, crash or fill the process that looks into them: said in time, and the others go on."""

import hashlib
import os
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch_upload.document import FlawCode, Insight
from batch_upload.documents.inside import CPU_S, MEMORY_BYTES
from batch_upload.documents.inspectors import InspectorPool
from batch_upload.documents.sniff import content_type_of
from tests.support.real_documents import pdf_of, picture, png_of, real_pdf, stream

MB = 1_000_000
PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
OURS = "batch_upload.documents.inside"


@pytest.fixture
def pool() -> Iterator[InspectorPool]:
    made = InspectorPool()
    yield made
    made.close()


def look(pool: InspectorPool, content: bytes) -> Insight:
    content_type = content_type_of(content)
    assert content_type is not None
    insight = pool.look_inside(content, hashlib.sha256(content).hexdigest(), content_type)
    assert insight is not None
    return insight


def children() -> list[int]:
    """The processes that look into documents for this one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = status.with_name("cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and OURS in command:
            found.append(int(status.parent.name))
    return found


def packed_zeros(size_bytes: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join([packer.compress(bytes(MB)) for _ in range(size_bytes // MB)]) + packer.flush()


def objects_in_a_bomb() -> bytes:
    """A PDF whose pages are in an object stream that unpacks to half a gigabyte."""
    packed = packed_zeros(500 * MB)
    header = b"<</Type/ObjStm/N 2/First 10/Filter/FlateDecode/Length %d>>stream\n" % len(packed)
    objects: list[str | bytes] = ["<</Type/Catalog/Pages 4 0 R>>", header + packed + b"\nendstream"]
    rows = b"".join(
        bytes(row) for row in ((0, 0, 0, 0, 0), (1, 0, 0, 0, 10), (1, 0, 0, 0, 60), (0,) * 5, (2, 0, 0, 2, 0))
    )
    return pdf_of([*objects, stream(rows, "/Type/XRef/Size 5/W[1 3 1]/Root 1 0 R")])


CATALOG = "<</Type/Catalog/Pages 2 0 R>>"
BOMBS: Mapping[str, Callable[[], bytes]] = {
    "a PNG of 65,000 x 65,000": lambda: png_of(65_000, 65_000, packed_zeros(50 * MB)),
    "a PNG with more data than pixels": lambda: png_of(100, 100, packed_zeros(500 * MB)),
    "a PNG of 178 million pixels": lambda: png_of(13_377, 13_377, packed_zeros(100 * MB)),
    "an object stream that is huge": objects_in_a_bomb,
    "arrays in arrays": lambda: pdf_of(["<</Type/Catalog/Pages " + "[" * 400_000 + "]" * 400_000 + ">>"]),
    "a billion pages": lambda: pdf_of([CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 999999999>>", PAGE]),
    "pages that hold themselves": lambda: pdf_of([CATALOG, "<</Type/Pages/Kids[2 0 R 2 0 R]/Count 9>>"]),
    "a million references": lambda: pdf_of([CATALOG, f"<</Type/Pages/Kids[{'3 0 R ' * 700_000}]/Count 700000>>", PAGE]),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_no_more_than_the_limits_and_the_next_document_is_looked_into(
    pool: InspectorPool, name: str
) -> None:
    bomb = BOMBS[name]()
    assert len(bomb) < 5 * 1_024 * 1_024
    before = os.times()

    insight = look(pool, bomb)
    peaks = [status.read_text() for pid in children() if (status := Path(f"/proc/{pid}/status")).exists()]
    after_it = look(pool, real_pdf(name))
    pool.close()

    after = os.times()
    assert isinstance(insight, Insight)
    assert after_it == Insight(pages=1)
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert used_s < CPU_S + 1.5  # and the start of two processes
    for peak in peaks:
        peak_kb = int(peak.partition("VmPeak:")[2].split()[0])
        assert peak_kb * 1_024 <= MEMORY_BYTES


@pytest.mark.parametrize("name", ["a PNG of 65,000 x 65,000", "an object stream that is huge"])
def test_a_bomb_is_warned_of(pool: InspectorPool, name: str) -> None:
    assert {flaw.code for flaw in look(pool, BOMBS[name]()).flaws} & {
        FlawCode.NOT_CHECKED,
        FlawCode.DAMAGED,
        FlawCode.NO_PAGE,
    }


def test_the_same_bytes_are_looked_into_once(pool: InspectorPool) -> None:
    first = look(pool, real_pdf(pages=7))
    for pid in children():
        os.kill(pid, signal.SIGKILL)

    assert look(pool, real_pdf(pages=7)) is first


def test_a_process_that_was_ended_from_outside_is_started_again(pool: InspectorPool) -> None:
    look(pool, real_pdf("one"))
    for pid in children():
        os.kill(pid, signal.SIGKILL)
        _wait_for_end(pid)

    assert look(pool, real_pdf("two", pages=2)) == Insight(pages=2)
    assert look(pool, real_pdf("three", pages=3)) == Insight(pages=3)


def test_many_threads_get_each_its_own_answer(pool: InspectorPool) -> None:
    contents = [picture("PNG", (number, 3)) for number in range(2, 42)]

    with ThreadPoolExecutor(8) as threads:
        insights = list(threads.map(lambda content: look(pool, content), contents))

    assert insights == [Insight(pixels=(number, 3)) for number in range(2, 42)]


def test_processes_are_started_when_they_are_needed_and_end_with_the_pool(pool: InspectorPool) -> None:
    assert children() == []

    look(pool, real_pdf())
    assert len(children()) == 1

    pool.close()
    assert children() == []


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
    pytest.fail(f"process {pid} does not end")
