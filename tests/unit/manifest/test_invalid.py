"""One file per rule, each with what is expected of it in its first lines."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_upload.manifest.cursor import Loader
from batch_upload.manifest.problems import Code
from batch_upload.model import Problem

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[Problem]]

FOLDER = Path(__file__).parents[3] / "manifests" / "invalid"
SAMPLES = sorted(FOLDER.glob("*.yaml"))
EXPECTED = re.compile(r"# expect: (\d+):(\d+) ([a-z0-9-]+)")
GOOD = b"version: 1\nbatch: b\nattachments:\n  - file: a.pdf\n"

Places = Callable[..., list[tuple[int, int, str]]]

GENERATED: dict[str, tuple[bytes, tuple[int, int, str]]] = {
    "nul": (GOOD + b"    id: a\0b\n", (5, 10, Code.CHARACTER)),
    "escape": (b"version: 1 # \x1b[31m\n", (1, 14, Code.CHARACTER)),
    "line-separator": ("version: 1\r\nbatch: \u00e9\u2028b\n".encode(), (2, 9, Code.CHARACTER)),
    "next-line": ("version: 1\nbatch: b\u0085x\n".encode(), (2, 9, Code.CHARACTER)),
    "second-mark": (b"\xef\xbb\xbf# \xef\xbb\xbf\n", (1, 3, Code.CHARACTER)),
    "latin-1": ("version: 1\rbatch: b # \u00e9".encode() + b"\xe9", (2, 13, Code.NOT_UTF8)),
    "latin-1-far-in": (b"# x\n" * 400_000 + b"# \xff\n", (400_001, 3, Code.NOT_UTF8)),
    "utf-16": ("version: 1\n".encode("utf-16"), (1, 1, Code.NOT_UTF8)),
    "encoded-surrogate": (b"batch: \xed\xa0\x80\n", (1, 8, Code.NOT_UTF8)),
    "a-million-brackets": (b"[" * 1_000_000, (1, 21, Code.TOO_DEEP)),
    "a-million-dashes": (b"- " * 1_000_000, (1, 41, Code.TOO_DEEP)),
    "indented-without-end": ("\n".join(" " * i + "a:" for i in range(5_000)).encode(), (21, 21, Code.TOO_DEEP)),
    "empty": (b"", (1, 1, Code.EMPTY_MANIFEST)),
    "only-a-mark": (b"\xef\xbb\xbf", (1, 1, Code.EMPTY_MANIFEST)),
}


def expectations(path: Path) -> list[tuple[int, int, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = (EXPECTED.fullmatch(line) for line in lines)
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_exactly_the_expected_problems_are_found_at_their_places(path: Path, places_of: Places, loader: Loader) -> None:
    expected = expectations(path)

    assert expected
    assert places_of(path, loader=loader) == expected


@pytest.mark.parametrize("name", GENERATED)
def test_what_no_editor_should_have_to_open_is_refused_too(
    name: str, write: Write, places_of: Places, loader: Loader
) -> None:
    content, expected = GENERATED[name]

    assert expected in places_of(write(content), loader=loader)


def test_a_manifest_that_is_too_large_is_refused(write: Write, places_of: Places) -> None:
    path = write(GOOD)

    assert places_of(path, size_limit_bytes=len(GOOD)) == []
    assert places_of(path, size_limit_bytes=len(GOOD) - 1) == [(1, 1, Code.TOO_LARGE)]


def test_every_code_has_a_meaning_and_a_sample() -> None:
    sampled = {code for path in SAMPLES for _, _, code in expectations(path)}
    of_tables = {
        Code.TABLE,
        Code.CSV,
        Code.COLUMNS,
        Code.CELLS,
        Code.CELL_ERROR,
    }  # test_rows.py has them: they need a table
    elsewhere = {
        Code.TOO_LARGE,
        Code.FOLDER_UNREADABLE,
        *of_tables,
        *(expected[2] for _, expected in GENERATED.values()),
    }

    assert all(code.meaning for code in Code)
    assert sampled | elsewhere == set(Code)


def test_messages_read_as_messages_do(problems_of: ProblemsOf) -> None:
    for path in SAMPLES:
        for problem in problems_of(path):
            assert problem.file == str(path)
            assert not problem.message.endswith(".")
            assert problem.message.isprintable()
            assert not problem.message[0].isupper() or problem.message.startswith("U+")
