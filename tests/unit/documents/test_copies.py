"""Which attachments are the same file under several ids, and which files have the same bytes."""

import unicodedata
from hashlib import sha256
from pathlib import Path

import pytest

from batch_upload.document import Document
from batch_upload.documents.copies import Copies
from batch_upload.model import ContentType, Listed, Position


def listed(item_id: str, line: int, *, source: str | None = None) -> Listed:
    source = source or item_id
    folder = None if source.startswith("s3://") else Path("/letters")
    return Listed("june", item_id, source, folder, {}, 1, 500_000, True, Position(line, 11))  # noqa: FBT003


def document(path: str, content: bytes) -> Document:
    return Document(f"/letters/{path}", sha256(content).hexdigest(), len(content), ContentType.PDF)


def told(copies: Copies) -> list[tuple[int, str, str]]:
    return [(each.at.line, each.code, each.message) for each in copies.warnings("m.yaml")]


def test_files_that_differ_are_worth_no_warning() -> None:
    copies = Copies()
    for number in range(100):
        copies.add(listed(f"{number}.pdf", number + 1), document(f"{number}.pdf", b"%d" % number))

    assert told(copies) == []


def test_another_spelling_of_a_path_is_the_same_file() -> None:
    copies = Copies()
    for line, name in enumerate(("sub/a.pdf", "./sub/a.pdf", "sub//a.pdf", "b.pdf"), 4):
        copies.add(listed(name, line), document("b.pdf" if name == "b.pdf" else "sub/a.pdf", name[-5:].encode()))

    assert told(copies) == [
        (
            5,
            "same-file",
            "`./sub/a.pdf` is the same file as `sub/a.pdf` in line 4, and so is 1 more: each is uploaded; "
            "leave out what is not needed",
        )
    ]


@pytest.mark.parametrize(("count", "more"), [(2, ""), (3, ", and so has 1 more"), (1_502, ", and so have 1,500 more")])
def test_a_content_that_many_files_have_is_one_warning(count: int, more: str) -> None:
    copies = Copies()
    for number in range(count):
        copies.add(listed(f"{number}.pdf", 4), document(f"{number}.pdf", b"the same"))

    assert told(copies) == [
        (
            4,
            "same-bytes",
            f"`1.pdf` has the same bytes as `0.pdf`{more}: each is uploaded; leave out what is not needed",
        )
    ]


def test_an_object_that_two_entries_name_is_the_same_file() -> None:
    copies = Copies()
    for line, item_id in enumerate(("terms", "conditions"), 4):
        copies.add(listed(item_id, line, source="s3://bucket/terms.pdf"), None)

    assert [(line, code) for line, code, _ in told(copies)] == [(5, "same-file")]


def test_a_name_with_a_line_break_stays_on_its_line() -> None:
    copies = Copies()
    for name in ("a.pdf", "two\nlines.pdf"):
        copies.add(listed(name, 4), document(name, b"the same"))

    assert r"`two\nlines.pdf` has the same bytes" in told(copies)[0][2]


def test_a_name_in_another_unicode_form_is_a_warning() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Müller/é.pdf") for form in ("NFC", "NFD"))
    copies = Copies()
    copies.add(listed(f"./{composed}", 4), document(decomposed, b"1"))
    copies.add(listed("é/link.pdf", 5), document("other.pdf", b"2"))
    copies.add(listed("same-é.pdf", 6), document("same-é.pdf", b"3"))

    assert told(copies) == [
        (
            4,
            "other-form",
            f"the file of `./{composed}` has a name in another Unicode form (on Macs, NFD); it is used",
        )
    ]
