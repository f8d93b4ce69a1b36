"""Where the bytes of an item come from: the planned bytes from within the folder, or a refusal, read a few ahead."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from batch_upload.documents.bodies import AHEAD_BYTES, AHEAD_MAX, AHEAD_S, DocumentBodies, DocumentReader
from batch_upload.errors import ChangedSincePlan, OutOfResources
from batch_upload.model import Item
from batch_upload.ports import Body
from tests.support.resource_limits import no_descriptors

PDF = b"%PDF-1.7\n%%EOF\n"


def stopped_clock() -> float:
    """A clock that stands still, so that no document becomes too old."""
    return 0.0


def put(path: Path, document: bytes = PDF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document)
    return path


def item(folder: Path, source: str, document: bytes = PDF) -> Item:
    """The item of a file as it was planned."""
    digest = hashlib.sha256(document).digest()
    return Item("june", source, source, f"token-{source}", {}, digest=digest, folder=folder, size_bytes=len(document))


def some_items(folder: Path, count: int) -> list[Item]:
    """Items, each with a file of its own."""
    documents = {f"{number}.pdf": b"%%PDF-%d" % number for number in range(count)}
    for source, document in documents.items():
        put(folder / source, document)
    return [item(folder, source, document) for source, document in documents.items()]


async def number_read(bodies: DocumentBodies, items: Sequence[Item]) -> int:
    """How many of these are read as they were planned."""
    count = 0
    for each in items:
        with suppress(ChangedSincePlan):
            await bodies.read(each)
            count += 1
    return count


async def test_documents_that_are_expected_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    hop = AHEAD_MAX // 2
    items = some_items(tmp_path, 1 + 10 * hop)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items, at_once=8)
        read = [await bodies.read(each) for each in items]

        assert read == [Body.of(b"%%PDF-%d" % number) for number in range(len(items))]
        assert bodies.hops == 1 + 10


@pytest.mark.parametrize(("at_once", "ahead"), [(1, 4), (2, 8), (8, AHEAD_MAX), (100, AHEAD_MAX)])
async def test_four_times_as_many_as_may_be_under_way_are_in_memory_ahead_and_no_more_than_a_few(
    tmp_path: Path, at_once: int, ahead: int
) -> None:
    first, *others = some_items(tmp_path, 80)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect([first, *others], at_once=at_once)
        await bodies.read(first)
        last_of_each_hop = others[ahead // 2 - 1 : ahead : ahead // 2]
        assert await number_read(bodies, last_of_each_hop) == len(last_of_each_hop)  # hops have ended
        for each in others:
            put(tmp_path / each.source, b"other")

        rest = [each for each in others if each not in last_of_each_hop]
        assert await number_read(bodies, rest) == ahead - len(last_of_each_hop)


async def test_a_document_that_was_read_ahead_long_ago_is_read_again_for_its_slot(tmp_path: Path) -> None:
    first, second, third = some_items(tmp_path, 3)
    now_s = 0.0

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=lambda: now_s)
        bodies.expect([first, second, third], at_once=1)
        await bodies.read(first)
        now_s = AHEAD_S
        await bodies.read(second)  # with which the third was read
        put(tmp_path / third.source, b"other")
        now_s = AHEAD_S + 0.1

        with pytest.raises(ChangedSincePlan):
            await bodies.read(third)


async def test_large_documents_are_not_in_memory_ahead_but_one_at_a_time(tmp_path: Path) -> None:
    document = PDF.ljust(AHEAD_BYTES // 2 + 1)
    paths = [put(tmp_path / f"{number}.pdf", document) for number in range(5)]
    items = [item(tmp_path, path.name, document)._replace(max_size_bytes=len(document)) for path in paths]

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items, at_once=8)
        await bodies.read(items[0])
        await bodies.read(items[1])  # which was read ahead alone
        for path in paths[3:]:
            put(path, PDF)

        assert await number_read(bodies, items[2:]) == 1


async def test_what_is_read_in_another_order_or_was_not_expected_is_read_all_the_same(tmp_path: Path) -> None:
    items = some_items(tmp_path, 30)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items[:20], at_once=8)
        order = [*items[10:], *reversed(items[:10])]
        read = await asyncio.gather(*(bodies.read(each) for each in order))

    assert [each.size_bytes for each in read] == [each.size_bytes for each in order]


async def test_a_document_that_is_asked_for_again_is_read_again(tmp_path: Path) -> None:
    items = some_items(tmp_path, 20)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items, at_once=8)
        assert await number_read(bodies, items) == 20
        put(tmp_path / items[3].source, b"other")

        assert await number_read(bodies, items) == 19


async def test_who_is_cancelled_while_documents_are_read_takes_none_from_the_others(tmp_path: Path) -> None:
    items = some_items(tmp_path, 9)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items, at_once=8)
        await bodies.read(items[0])
        waiting = [asyncio.create_task(bodies.read(each)) for each in items[1:]]
        await asyncio.sleep(0)
        waiting[0].cancel()
        read = await asyncio.gather(*waiting, return_exceptions=True)

        assert [each for each in read[1:] if not isinstance(each, Body)] == []
        assert await bodies.read(items[1]) == Body.of(b"%PDF-1")


async def test_a_shortage_while_documents_were_read_ahead_is_not_believed_later(tmp_path: Path) -> None:
    items = some_items(tmp_path, 9)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect(items, at_once=8)
        with no_descriptors():
            for each in (items[0], items[1]):  # the hop has ended then
                with pytest.raises(OutOfResources) as raised:
                    await bodies.read(each)
                assert not raised.value.may_have_left

        assert await number_read(bodies, items) == 9


@pytest.mark.parametrize("size_bytes", [1, 20_000, 450_000, 5_000_000])
async def test_documents_of_any_size_are_read_whole(tmp_path: Path, size_bytes: int) -> None:
    document = os.urandom(size_bytes)
    put(tmp_path / "a.pdf", document)
    wanted = Item(
        "june",
        "a",
        "a.pdf",
        "token",
        {},
        digest=hashlib.sha256(document).digest(),
        folder=tmp_path,
        size_bytes=size_bytes,
        max_size_bytes=size_bytes,
    )

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        assert await bodies.read(wanted) == Body.of(document)


@pytest.mark.parametrize("now", [PDF.replace(b"1.7", b"1.4"), PDF + b"\n", PDF[:-1], b"", None])
@pytest.mark.parametrize("is_expected", [True, False])
async def test_a_document_that_changed_is_refused(
    tmp_path: Path,
    now: bytes | None,
    is_expected: bool,  # noqa: FBT001
) -> None:
    path, other = put(tmp_path / "a.pdf"), item(tmp_path, put(tmp_path / "b.pdf").name)
    changed = item(tmp_path, "a.pdf")
    path.unlink()
    if now is not None:
        put(path, now)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        bodies.expect([other, changed] if is_expected else [], at_once=8)
        await bodies.read(other)
        with pytest.raises(ChangedSincePlan, match="changed since it was planned"):
            await bodies.read(changed)


async def test_a_link_that_was_put_in_is_followed_within_the_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    path, inside, outside = put(folder / "a.pdf"), put(folder / "b.pdf"), put(tmp_path / "outside.pdf")

    with DocumentReader() as reader:
        bodies = reader.bodies(folder, monotonic=stopped_clock)
        path.unlink()
        path.symlink_to(inside)
        assert await bodies.read(item(folder, "a.pdf")) == Body.of(PDF)

        path.unlink()
        path.symlink_to(outside)
        with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
            await bodies.read(item(folder, "a.pdf"))


@pytest.mark.parametrize("moved", ["year", "year/june"])
async def test_a_folder_that_became_a_link_leads_out_of_no_other(tmp_path: Path, moved: str) -> None:
    folder, source = tmp_path / "letters", "year/june/a.pdf"
    put(folder / source)

    with DocumentReader() as reader:
        bodies = reader.bodies(folder, monotonic=stopped_clock)
        assert await bodies.read(item(folder, source)) == Body.of(PDF)
        (folder / moved).rename(tmp_path / "elsewhere")
        (folder / moved).symlink_to(tmp_path / "elsewhere")

        with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
            await bodies.read(item(folder, source))


@pytest.mark.parametrize("source", ["../outside.pdf", "linked/outside.pdf"])
async def test_what_is_outside_is_refused_and_read_where_it_is_allowed(tmp_path: Path, source: str) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    put(tmp_path / "outside.pdf")
    (folder / "linked").symlink_to(tmp_path)

    with DocumentReader() as reader:
        bodies = reader.bodies(folder, monotonic=stopped_clock)
        with pytest.raises(ChangedSincePlan, match="outside the manifest's folder"):
            await bodies.read(item(folder, source))
    with DocumentReader() as reader:
        bodies = reader.bodies(None)
        assert await bodies.read(item(folder, source)) == Body.of(PDF)


async def test_a_pipe_or_a_folder_in_a_documents_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        os.mkfifo(path)
        with pytest.raises(ChangedSincePlan, match="not a regular file"):
            await bodies.read(item(tmp_path, "a.pdf"))

        path.unlink()
        path.mkdir()
        with pytest.raises(ChangedSincePlan, match="is a folder"):
            await bodies.read(item(tmp_path, "a.pdf"))


async def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf")
    before = os.listdir("/proc/self/fd")

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path, monotonic=stopped_clock)
        assert await bodies.read(item(tmp_path, "a.pdf")) == Body.of(PDF)
        for source, document in (("a.pdf", b"other"), ("gone.pdf", PDF), (".", PDF), ("..", PDF), ("a\0.pdf", PDF)):
            with pytest.raises(ChangedSincePlan):
                await bodies.read(item(tmp_path, source, document))

    assert os.listdir("/proc/self/fd") == before


async def test_lanes_share_the_threads_and_what_is_read_ahead(tmp_path: Path) -> None:
    put(tmp_path / "a.pdf")
    items = [item(tmp_path, "a.pdf")]

    with DocumentReader(lanes=2) as reader:
        first, second = (reader.bodies(tmp_path, monotonic=stopped_clock) for _ in range(2))
        first.expect(items, at_once=1)  # what one lane expects is nothing to the other
        assert await second.read(items[0]) == Body.of(PDF)
        assert await first.read(items[0]) == Body.of(PDF)

    assert (first.hops, second.hops) == (1, 1)
