"""From a manifest's path to items, or to every problem in the way."""

import gc
import os
from pathlib import Path

import pytest

from batch_upload.app.items import list_items, ready, ready_to_read
from batch_upload.app.listing import read_listing
from batch_upload.app.validate import check
from batch_upload.documents.bodies import DocumentReader
from batch_upload.errors import ChangedSincePlan, ManifestInvalid
from batch_upload.model import ContentType
from batch_upload.ports import Body
from batch_upload.settings import RunOptions
from batch_upload.token import client_token
from tests.support.real_documents import real_pdf
from tests.support.traced_memory import most_bytes_of

PDF = b"%PDF-1.7\n%%EOF\n"


def written(folder: Path, entries: str) -> Path:
    path = folder / "june.yaml"
    path.write_text(f"version: 1\nbatch: june\ndefaults:\n  tags: {{Customer: acme}}\nattachments:\n{entries}")
    return path


def test_an_item_has_the_token_of_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)

    item = ready(written(tmp_path, "  - file: a.pdf\n"), RunOptions())[0].items[0]

    assert (item.item_id, item.size_bytes, item.content_type) == ("a.pdf", len(PDF), ContentType.PDF)
    assert item.client_token == client_token(
        batch="june", item_id="a.pdf", content=item.content, generation=1, tags={"Customer": "acme"}
    )


def test_a_url_is_an_item_whose_bytes_nobody_here_has_seen(tmp_path: Path) -> None:
    item = ready(written(tmp_path, "  - url: s3://bucket/terms.pdf\n"), RunOptions())[0].items[0]

    assert (item.content, item.path, item.sha256) == ("url:s3://bucket/terms.pdf", None, None)


def test_the_problems_of_the_manifest_and_of_its_files_come_together_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "text.pdf").write_text("hello")
    path = written(tmp_path, "  - file: text.pdf\n  - file: gone.pdf\n  - fil: x.pdf\n  - file: empty.pdf\n")

    with pytest.raises(ManifestInvalid) as invalid:
        ready(path, RunOptions())[0]

    lines = [problem.at.line for problem in invalid.value.problems]
    assert lines == sorted(lines)
    assert set(lines) >= {6, 7, 8, 9}


def test_a_check_finds_what_preparing_finds(tmp_path: Path) -> None:
    (tmp_path / "empty.pdf").touch()
    path = written(tmp_path, "  - file: gone.pdf\n  - fil: x.pdf\n  - file: empty.pdf\n")

    with pytest.raises(ManifestInvalid) as prepared:
        ready(path, RunOptions())[0]
    with pytest.raises(ManifestInvalid) as checked:
        check(path, allow_outside=False)

    assert checked.value.problems == prepared.value.problems


def test_a_check_holds_ids_and_nothing_else_of_what_is_in_order(tmp_path: Path) -> None:
    count = 10_000
    (tmp_path / "a.pdf").write_bytes(real_pdf())
    os.utime(tmp_path / "a.pdf", (1_000_000_000, 1_000_000_000))
    path = written(tmp_path, "".join(f"  - id: a/{number}\n    file: a.pdf\n" for number in range(count)))

    most_bytes = most_bytes_of(
        "assert check(Path(arguments[0]), allow_outside=False).count == int(arguments[1])",
        path,
        str(count),
        imports="from pathlib import Path\nfrom batch_upload.app.validate import check",
    )

    assert most_bytes < 400 * count  # a dictionary of the ids, 200; each item would be 500, each digest 450


def test_listing_does_not_look_into_files(tmp_path: Path) -> None:
    (tmp_path / "text.pdf").write_text("hello")

    _, listed = list_items(written(tmp_path, "  - file: text.pdf\n"), allow_outside=False)

    assert [each.item_id for each in listed] == ["text.pdf"]


def test_reading_a_manifest_leaves_the_garbage_collector_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    path = written(tmp_path, "  - file: a.pdf\n")
    before = (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())

    ready(path, RunOptions())[0]
    list_items(path, allow_outside=False)

    assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == before


async def test_the_bytes_that_were_planned_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    item = ready(written(tmp_path, "  - file: a.pdf\n"), RunOptions())[0].items[0]

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path)
        assert await bodies.read(item) == Body.of(PDF)


@pytest.mark.parametrize("changed", [PDF.replace(b"1.7", b"1.4"), PDF + b"\n", b"", None])
async def test_bytes_that_are_not_those_that_were_planned_are_refused(tmp_path: Path, changed: bytes | None) -> None:
    document = tmp_path / "a.pdf"
    document.write_bytes(PDF)
    item = ready(written(tmp_path, "  - file: a.pdf\n"), RunOptions())[0].items[0]
    document.unlink()
    if changed is not None:
        document.write_bytes(changed)

    with DocumentReader() as reader:
        bodies = reader.bodies(tmp_path)
        with pytest.raises(ChangedSincePlan):
            await bodies.read(item)


def test_a_verb_that_only_reads_gets_what_is_in_order_beside_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    (tmp_path / "empty.pdf").touch()
    path = written(tmp_path, "  - file: gone.pdf\n  - file: a.pdf\n  - file: empty.pdf\n  - glob: none/*.pdf\n")

    prepared = ready_to_read(path, RunOptions())[0]

    assert [item.item_id for item in prepared.items] == ["a.pdf"]
    assert [(listed.item_id, problem.code) for listed, problem in prepared.unread] == [
        ("gone.pdf", "missing"),
        ("empty.pdf", "empty"),
    ]
    assert [problem.code for problem in prepared.unmatched] == ["no-match"]
    assert [problem.at.line for problem in prepared.problems] == [9, 6, 8]


def test_what_is_wrong_with_the_manifest_itself_stops_a_verb_that_only_reads_too(tmp_path: Path) -> None:
    path = written(tmp_path, "  - file: gone.pdf\n  - fil: x.pdf\n")
    path.write_text(path.read_text().replace("batch: june", "batch: June"))

    with pytest.raises(ManifestInvalid) as invalid:
        ready_to_read(path, RunOptions())[0]

    assert {problem.at.line for problem in invalid.value.problems} == {2, 6, 7}


def test_what_is_wrong_with_an_entry_does_not_stop_a_verb_that_only_reads(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    path = written(tmp_path, "  - file: a.pdf\n  - fil: x.pdf\n  - {file: a.pdf, id: b, tgas: {}}\n")

    prepared = ready_to_read(path, RunOptions())[0]

    assert [item.item_id for item in prepared.items] == ["a.pdf"]
    assert [listed.item_id for listed, _ in prepared.unread] == ["june.yaml:7:5", "b"]
    assert [problem.code for problem in prepared.problems] == ["unknown-key", "unknown-key"]


def test_the_digests_that_prove_a_manifest_the_same_are_also_those_of_its_tables(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file\na.pdf\n", encoding="utf-8")
    path = tmp_path / "june.yaml"
    entry = '  - {table: c.csv, file: "{col:file}"}\n'
    path.write_text(f"version: 1\nbatch: b\nattachments:\n{entry}", encoding="utf-8")

    before = read_listing(path, allow_outside=False).digests
    (tmp_path / "c.csv").write_text("file\nb.pdf\n", encoding="utf-8")
    after = read_listing(path, allow_outside=False).digests

    assert before.keys() == {"june.yaml", "c.csv"}
    assert (before["june.yaml"] == after["june.yaml"], before["c.csv"] == after["c.csv"]) == (True, False)
