"""Attachments are handed out while the manifest is read, and are the same as if all of it were read before."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.expand import expand
from batch_upload.manifest.problems import Problems
from batch_upload.manifest.reader import ledger_named_in, list_manifest, read_manifest
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, open_manifest, screen
from batch_upload.model import Listed, Manifest, Problem
from tests.support.traced_memory import most_bytes_of
from tests.unit.manifest.conftest import list_all

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[Problem]]

VERSION, BATCH, LEDGER = "version: 1\n", "batch: june\n", "ledger: june.db\n"
DEFAULTS = 'defaults: {tags: {Customer: "acme {batch}"}}\n'
HEAD = VERSION + BATCH + DEFAULTS
ATTACHMENTS = {
    "files": "attachments:\n  - file: a/b c.pdf\n  - file: it's-(2).pdf\n  - file: s3-x?y=%20&z\n",
    "at-the-margin": "attachments:\n- file: a.pdf\n  id: x/1\n- file: b.pdf\n  id: x/2\n",
    "quoted": "attachments:\n  - id: \"x: #1\"\n    file: 'a, b.pdf'\n  - id: \"~\"\n    file: '- b.pdf'\n",
    "all-keys": "attachments:\n"
    + "".join(
        f"  - generation: {n}\n    id: i{n}\n    max_size: {n}KB\n"
        f"    tags:\n      B: 'no'\n      a/1: x {n}\n    file: {n}\n"
        for n in range(1, 4)
    ),
    "flow-tags": 'attachments:\n  - url: s3://b/1\n    tags: {A: "x {stem}", "B": y z, C: \'\'}\n  - url: s3://b/2\n',
    "bound": "attachments:\n  - file: a\n    bind: {registration: '{batch}-1', field: x.y}\n"
    "  - url: s3://b/1\n    bind:\n      field: '{id|slug}.z'\n      registration: 12\n    id: éa\n",
    "gaps": "attachments:\n# first\n\n  # more\n  - file: a\n\n   # é: -\n  - file: b\n  \n  - file: c\n# end\n\n",
    "in-one-line": "attachments: [{file: a}, {file: ä/ø 😀.pdf}]\n",
}
LAST_KEYS = [
    LEDGER,
    'ledger : "june.db"\n',
    '"ledger": june.db\n',
    '"l\\x65dger": june.db\n',
    "? ledger\n: june.db\n",
    "# why\nledger: june.db\n",
]
INDENTED = "  " + (VERSION + BATCH + ATTACHMENTS["files"] + LEDGER).replace("\n", "\n  ").rstrip(" ")
IN_BRACES = "{version: 1, batch: june, attachments: [{file: a}],\nledger: june.db}\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("name", ATTACHMENTS)
def test_attachments_are_those_of_the_whole_manifest(name: str, end: str, write: Write) -> None:
    path = write((HEAD + ATTACHMENTS[name]).replace("\n", end))

    listed, problems = list_all(path)

    assert problems == ()
    assert listed == expand(read_manifest(path), allow_outside=False)[0]
    assert [each.tags["Customer"][:5] for each in listed] == ["acme "] * len(listed)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize(
    "text",
    [*(f"{VERSION}{BATCH}{each}{LEDGER}" for each in ATTACHMENTS.values()),
     *(f"{VERSION}{BATCH}{ATTACHMENTS['files']}{last}" for last in LAST_KEYS), INDENTED, IN_BRACES],
)  # fmt: skip
def test_keys_that_follow_the_attachments_are_known_before_the_first_is_handed_out(
    text: str, end: str, write: Write
) -> None:
    path = write(text.replace("\n", end))
    taken: list[Manifest] = []

    def take(manifest: Manifest, listed: Iterator[Listed]) -> int:
        taken.append(manifest)
        return sum(1 for _ in listed)

    _, count, problems = list_manifest(path, allow_outside=False, take=take)

    assert problems == ()
    assert count > 0
    assert [each.ledger for each in taken] == ["june.db"]
    assert ledger_named_in(path) == "june.db"


def test_attachments_are_handed_out_before_the_next_are_read(write: Write) -> None:
    count = 20_000
    path = write(HEAD + "attachments:\n" + "".join(f"  - file: f/{n:06}.pdf\n" for n in range(count)))

    most_bytes = most_bytes_of(
        "list_manifest(Path(arguments[0]), allow_outside=False, take=lambda _, listed: sum(1 for _ in listed))",
        path,
        imports="from pathlib import Path\nfrom batch_upload.manifest.reader import list_manifest",
    )

    # the ids, which must differ, take 200 each; an entry in memory would take 600 and more
    assert most_bytes - path.stat().st_size < 400 * count


def test_a_fault_of_grammar_is_told_with_the_problems_before_it(write: Write, problems_of: ProblemsOf) -> None:
    path = write(HEAD + "attachments:\n  - file: a.pdf\n    tags: {A: '{stem}*'}\n  - file: a.pdf\n  - file: }\n")

    assert [(each.at.line, each.code) for each in problems_of(path)] == [
        (6, "tag-value"),
        (7, "duplicate-id"),
        (8, "syntax"),
    ]


@pytest.mark.parametrize(
    "text", ["version: }\n", "batch: *a\n- x", "[" * 21, HEAD + ATTACHMENTS["files"] + "ledger: }"]
)
def test_nothing_is_handed_out_where_the_settings_cannot_be_read(text: str, write: Write) -> None:
    taken: list[Manifest] = []

    with pytest.raises(ManifestInvalid):
        list_manifest(write(text), allow_outside=False, take=lambda manifest, _: taken.append(manifest))

    assert taken == []


def test_a_manifest_that_cannot_be_understood_names_no_ledger(write: Write, tmp_path: Path) -> None:
    assert ledger_named_in(write("version: }\n")) is None
    assert ledger_named_in(write(b"\xff")) is None
    with pytest.raises(UsageError):
        ledger_named_in(tmp_path / "gone.yaml")


def test_what_take_raises_is_not_taken_for_a_fault_of_the_manifest(write: Write) -> None:
    def take(_manifest: Manifest, listed: Iterator[Listed]) -> None:
        next(listed)
        raise OSError("the disk of a document")

    with pytest.raises(OSError, match="the disk of a document"):
        list_manifest(write(HEAD + ATTACHMENTS["files"]), allow_outside=False, take=take)


PIECES = st.sampled_from([*":#-'\"{}[],&*!|>%@`~?= \t\n\r\\/.$<(;_", "a", "Z", "0", "é", "\u2028", "\x85", "\ufeff",
    "😀", "\n  ", "\n    ", "\n  - ", ": ", " #", "- ", "file: ", "    id: x\n", "    tags: {A: b}\n", "aws:",
    "    bind: {field: f, registration: r}\n", "field: ", "<<",
    "---\n", "...\n", "{stem}", "''", '""', "null", "\xa0", "\x07", *LAST_KEYS, "\rledger: x\r", "\n"])  # fmt: skip
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), PIECES), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(name=st.sampled_from(sorted(ATTACHMENTS)), keys=st.permutations(["", "", VERSION, BATCH, DEFAULTS]),
       changes=CHANGES, marks=st.integers(0, 2))  # fmt: skip
def test_whatever_is_written_and_in_whatever_order_the_attachments_are_those_of_the_whole_manifest(
    name: str, keys: list[str], changes: list[tuple[float, int, str]], marks: int, write: Write
) -> None:
    keys[keys.index("")] = ATTACHMENTS[name]
    text = "".join(keys)
    for where, removed, piece in changes:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + removed :]
    path = write("\ufeff" * marks + text)

    listed, problems = found(lambda: list_all(path))
    kept, kept_problems = found(lambda: expand(read_manifest(path), allow_outside=False))

    assert set(kept_problems) <= set(problems)
    assert bool(kept_problems) == bool(problems)
    assert problems or listed == kept


def found(
    work: Callable[[], tuple[tuple[Listed, ...], tuple[Problem, ...]]],
) -> tuple[Sequence[Listed], Sequence[Problem]]:
    """What is listed, and every problem."""
    try:
        return work()
    except ManifestInvalid as error:
        return (), error.problems


def can_stand(text: str, write: Write) -> bool:
    """Whether these characters may stand in a manifest."""
    path = write(text)
    with open_manifest(path) as file:
        return screen(file, Problems(str(path)), size_limit_bytes=SIZE_LIMIT_BYTES).readable


def test_a_manifest_may_have_what_yaml_calls_printable_but_what_breaks_lines_or_is_not_seen(write: Write) -> None:
    ranges = ((0x20, 0x7E), (0xA0, 0x2027), (0x202A, 0xD7FF), (0xE000, 0xFEFE), (0xFF00, 0xFFFD), (0x10000, 0x10FFFF))
    allowed = {*"\t\n\r", *(chr(code) for first, last in ranges for code in range(first, last + 1))}
    encodable = {chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF}

    assert can_stand("x" + "".join(sorted(allowed)), write)
    assert [char for char in sorted(encodable - allowed) if can_stand(f"x{char}", write)] == []
