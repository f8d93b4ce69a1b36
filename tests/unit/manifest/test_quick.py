"""The quick way through a manifest: it reads what the careful one reads, or nothing."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.manifest.listing import list_manifest, list_manifest_once
from batch_upload.manifest.problems import Problems
from batch_upload.manifest.quick import QuickReader
from batch_upload.manifest.reader import read_document
from batch_upload.manifest.shapes import UnusualError, one_of
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, screen
from batch_upload.model import Entry, Listed, Manifest

Write = Callable[..., Path]

PATH = Path("june.yaml")
HEAD = 'version: 1\nbatch: june\ndefaults: {tags: {Customer: "acme {stem}"}}\n'
USUAL = {
    "files": "attachments:\n  - file: a/b c.pdf\n  - file: it's-(2).pdf\n  - file: s3://x?y=%20&z\n",
    "at-the-margin": "attachments:\n- file: a.pdf\n  id: x/1\n- file: b.pdf\n  id: x/2\n",
    "quoted": "attachments:\n  - id: \"x: #1\"\n    file: 'a, b.pdf'\n  - id: \"~\"\n    file: '- b.pdf'\n",
    "all-keys": "attachments:\n"
    + "".join(
        f"  - generation: {n}\n    id: i{n}\n    max_size: {n}KB\n"
        f"    tags:\n      B: 'no'\n      a/1: x {n}\n    file: {n}\n"
        for n in range(1, 4)
    ),
    "flow-tags": 'attachments:\n  - url: s3://b/1\n    tags: {A: "x, {stem}}}", "B": y z, C: \'\'}\n  - url: s3://b/2\n',
    "mixed": "attachments:\n  - file: a\n  - glob: x/**/*.pdf\n  - id: u\n    url: s3://b/c\n"
    "  - file: ä/ø 😀.pdf\n  - file: b\n",
    "gaps": "attachments:\n# first\n\n  # more\n  - file: a\n\n   # é: -\n  - file: b\n  \n  - file: c\n# end\n\n",
    "no-end-of-line": "attachments:\n  - file: a\n  - file: b",
}


def careful(text: str) -> tuple[Manifest | None, bool]:
    """What the careful reader makes of a text, and whether it has a problem."""
    problems = Problems("june.yaml")
    return read_document(io.BytesIO(text.encode("utf-8")), PATH, problems), bool(problems)


def quick(text: str, chunk_bytes: int = 1_000_000) -> tuple[Manifest, list[Entry]] | None:
    """What the quick reader makes of it, or None."""
    try:
        reader = QuickReader(io.BytesIO(text.encode("utf-8")), PATH, chunk_bytes=chunk_bytes)
        return reader.manifest, list(reader.entries())
    except UnusualError:
        return None


def assert_same(found: tuple[Manifest, list[Entry]], text: str) -> None:
    manifest, has_problems = careful(text)
    assert manifest is not None
    assert not has_problems
    assert found[0] == replace(manifest, entries=())
    assert found[1] == [entry._replace(id_at=None, tags_at={}) for entry in manifest.entries]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("name", USUAL)
def test_a_usual_manifest_is_read_as_the_careful_reader_reads_it(name: str, end: str) -> None:
    text = (HEAD + USUAL[name]).replace("\n", end)

    found = quick(text)

    assert found is not None
    assert_same(found, text)


@pytest.mark.parametrize("chunk_bytes", [len(HEAD) + 30, len(HEAD) + 45, 1_000])
@pytest.mark.parametrize("place", [HEAD.rstrip(), "a.pdf"])
def test_a_line_that_ends_as_only_yaml_knows_is_left_to_the_careful_reader(place: str, chunk_bytes: int) -> None:
    text = (HEAD + USUAL["at-the-margin"]).replace(place, f"{place}\r\r")

    assert quick(text, chunk_bytes=chunk_bytes) is None


def test_it_does_not_matter_where_a_piece_of_the_file_ends() -> None:
    text = HEAD + USUAL["all-keys"] + "  - file: ø\n" * 3
    for chunk_bytes in range(len(HEAD) + 120, len(text) + 2):
        found = quick(text, chunk_bytes)
        assert found is not None
        assert_same(found, text)


@pytest.mark.parametrize(
    "attachments",
    [
        "attachments: [{file: a.pdf}, {file: b.pdf}]\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\nledger: x\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    x.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n\n    x.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    - file: c.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n---\n",
        "attachments:\n  - file: a.pdf\n  - file: |\n      b.pdf\n",
        'attachments:\n  - file: a.pdf\n  - file: "b\n    c.pdf"\n',
        "attachments:\n  - file: a.pdf\n  - file: b.pdf # why\n",
        "attachments:\n  - file: a.pdf\n  - file: &b b.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: ~\n",
        'attachments:\n  - file: a.pdf\n  - file: "b\\x41"\n',
        "attachments:\n  - file: a.pdf\n  - fil: b.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    file: c.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    url: s3://b/c\n",
        "attachments:\n  - file: a.pdf\n  - glob: b.pdf\n    id: c\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    generation: '2'\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    max_size: 6MiB\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    tags: {aws: x, aws: y}\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    tags: {A: a*b}\n",
        "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    tags: {A: '{stem'}\n",
        "attachments:\n  - file: a.pdf\n  - url: b.pdf\n",
        f"attachments:\n  - file: a.pdf\n  - file: b.pdf\n    id: {'x' * 1_025}\n",
        f"attachments:\n  - file: a.pdf\n  - file: b.pdf\n    tags: {{{', '.join(f't{n}: x' for n in range(49))}}}\n",
        "attachments:\n  - file: a.pdf\n  - file: b\u2028.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b\t.pdf\n",
        "attachments:\n  - file: a.pdf\n  - file: b\r.pdf\n",
    ],
)
def test_what_is_not_usual_is_left_to_the_careful_reader(attachments: str) -> None:
    assert quick(HEAD + attachments) is None


@pytest.mark.parametrize(
    "text",
    [
        'version: 1\nbatch: "b\nattachments:\n  - file: a.pdf\n  - file: b.pdf\n"\n',
        "version: 1\nbatch: b\nledger: |\n  x\n attachments:\n  - file: a.pdf\n  - file: b.pdf\n",
        "--- |\nattachments:\n  - file: a.pdf\n  - file: b.pdf\n",
        "version: 2\nbatch: b\nattachments:\n  - file: a.pdf\n  - file: b.pdf\n",
        "# attachments:\nversion: 1\nattachments:\n  - file: a.pdf\n  - file: b.pdf\n",
    ],
)
def test_what_only_looks_like_the_list_is_not_taken_for_it(text: str) -> None:
    assert quick(text) is None


def test_a_second_byte_order_mark_is_left_to_the_careful_reader() -> None:
    text = HEAD + USUAL["files"]

    assert quick(f"\ufeff{text}") is not None
    assert quick(f"\ufeff\ufeff{text}") is None


def test_bytes_that_are_not_utf_8_are_left_to_the_careful_reader() -> None:
    data = HEAD.encode() + b"attachments:\n  - file: a.pdf\n  - file: \xff.pdf\n"

    with pytest.raises(UnusualError):
        list(QuickReader(io.BytesIO(data), PATH).entries())


@pytest.mark.parametrize("marks", range(4))
@pytest.mark.parametrize("chunk_bytes", [len(HEAD) + 60, 1_000_000])
def test_one_byte_order_mark_is_passed_over_and_a_second_is_refused_by_both(marks: int, chunk_bytes: int) -> None:
    text = "\ufeff" * marks + HEAD + USUAL["files"]

    found = quick(text, chunk_bytes)

    assert [found is None, careful(text)[1]] == [marks > 1, marks > 1]
    if found is not None:
        assert_same(found, text)


PIECES = st.sampled_from([*":#-'\"{}[],&*!|>%@`~?= \t\n\r\\/.$<(;_", "a", "Z", "0", "é", "\u2028", "\x85", "\ufeff",
    "😀", "\n  ", "\n    ", "\n  - ", ": ", " #", "- ", "file: ", "    id: x\n", "    tags: {A: b}\n", "aws:", "<<",
    "---\n", "...\n", "{stem}", "''", '""', "null", "\xa0", "\x07"])  # fmt: skip
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), PIECES), min_size=1, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=600)
@given(name=st.sampled_from(sorted(USUAL)), changes=CHANGES, chunk_bytes=st.integers(60, 400), marks=st.integers(0, 2))
def test_whatever_is_changed_in_a_usual_manifest_both_ways_agree_or_the_quick_one_steps_back(
    name: str, changes: list[tuple[float, int, str]], chunk_bytes: int, marks: int
) -> None:
    text = HEAD + USUAL[name]
    for where, removed, piece in changes:
        at = len(HEAD) - 1 + int(where * (len(text) - len(HEAD)))
        text = text[:at] + piece + text[at + removed :]
    text = "\ufeff" * marks + text

    found = quick(text, chunk_bytes)

    if found is not None:
        assert_same(found, text)


TEXTS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("ab1 .-_/:#,'\"{}[]&*!|>%@`~?=\\")), min_size=1, max_size=8
)


@settings(deadline=None, max_examples=600)
@given(
    quotes=st.lists(st.sampled_from(["{}", '"{}"', "'{}'"]), min_size=3, max_size=3),
    keys=st.permutations(["file: {0}", "id: {1}", "tags: {{A: {2}}}"]),
    values=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=2, max_size=3),
)
def test_whatever_the_values_are_both_ways_agree_or_the_quick_one_steps_back(
    quotes: list[str], keys: list[str], values: list[tuple[str, str, str]]
) -> None:
    lines = ["attachments:"]
    for each in values:
        written = [quote.format(value) for quote, value in zip(quotes, each, strict=True)]
        lines += [("  - " if n == 0 else "    ") + key.format(*written) for n, key in enumerate(keys)]
    text = HEAD + "\n".join(lines) + "\n"

    found = quick(text)

    if found is not None:
        assert_same(found, text)


def test_a_problem_that_shows_late_is_told_with_all_the_others_and_their_places(write: Write) -> None:
    path = write(HEAD + "attachments:\n  - file: a.pdf\n  - file: b.pdf\n    tags: {A: '{stem}*'}\n  - file: a.pdf\n")
    taken: list[Manifest] = []

    def take(manifest: Manifest, items: Iterator[Listed]) -> list[str]:
        taken.append(manifest)
        return [each.item_id for each in items]

    _, last, problems = list_manifest(path, allow_outside=False, take=take)

    assert len(taken) == 2
    assert last == ["a.pdf"]
    assert [(each.at.line, each.at.column, each.code) for each in problems] == [
        (7, 12, "tag-value"),
        (8, 11, "duplicate-id"),
    ]


@pytest.mark.parametrize("last", ["  - file: c.pdf\n", "  - file: a.pdf\n"])
def test_who_must_not_be_called_in_vain_is_called_once_whichever_way_leads_to_the_end(last: str, write: Write) -> None:
    path = write(HEAD + f"attachments:\n  - file: a.pdf\n  - file: b.pdf\n{last}")
    taken: list[Manifest] = []

    def take(manifest: Manifest, items: Iterator[Listed]) -> list[Listed]:
        taken.append(manifest)
        return list(items)

    _, once, problems = list_manifest_once(path, allow_outside=False, take=take)

    assert len(taken) == 1
    assert (once, problems) == list_manifest(path, allow_outside=False, take=take)[1:]


def can_stand(text: str) -> bool:
    """Whether the careful reader lets these characters into a manifest."""
    problems = Problems(str(PATH))
    return screen(io.BytesIO(text.encode()), problems, size_limit_bytes=SIZE_LIMIT_BYTES).readable


def test_a_manifest_may_have_what_yaml_calls_printable_but_what_breaks_lines_or_is_not_seen() -> None:
    ranges = ((0x20, 0x7E), (0xA0, 0x2027), (0x202A, 0xD7FF), (0xE000, 0xFEFE), (0xFF00, 0xFFFD), (0x10000, 0x10FFFF))
    allowed = {*"\t\n\r", *(chr(code) for first, last in ranges for code in range(first, last + 1))}
    encodable = {chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF}

    assert can_stand("x" + "".join(sorted(allowed)))
    assert [char for char in sorted(encodable - allowed) if can_stand(f"x{char}")] == []


def test_a_shape_takes_all_of_these_that_are_beyond_ascii_and_of_ascii_what_it_names() -> None:
    everything = "".join(chr(code) for code in range(sys.maxunicode + 1))

    taken = re.findall(one_of(r"a-c\[\]-"), everything)

    assert taken[:6] == ["-", "[", "]", "a", "b", "c"]
    assert can_stand("".join(taken))
    assert taken[6] == "\xa1"
    assert (
        len(taken)
        == 6 + (0x2027 - 0xA1 + 1) + (0xD7FF - 0x202A + 1) + (0xFEFE - 0xE000 + 1) + (0xFFFD - 0xFF00 + 1) + 2**20
    )
