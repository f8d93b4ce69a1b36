"""What a problem says: which value it is about, and what to write instead."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_upload.errors import UsageError
from batch_upload.manifest.cursor import Loader
from batch_upload.manifest.reader import read_manifest
from batch_upload.manifest.syntax import in_quotes
from batch_upload.model import Problem

Write = Callable[..., Path]
ProblemsOf = Callable[..., list[Problem]]

HEAD = "version: 1\nbatch: acme-2026\nattachments:\n"
BACKSLASH = "a backslash in double quotes begins a special character; use single quotes, or write paths with `/`"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  - glob: *.pdf\n", 'put it in quotes: `glob: "*.pdf"`'),
        ("  - glob: **/*.pdf # all\n", 'put it in quotes: `glob: "**/*.pdf"`'),
        ("  - glob: *a.pdf\n", 'put it in quotes: `glob: "*a.pdf"`'),
        ("  - glob: [a-z]*.pdf\n", 'put it in quotes: `glob: "[a-z]*.pdf"`'),
        ("  - {glob: *.pdf, tags: {A: b}}\n", 'put it in quotes: `glob: "*.pdf"`'),
        ("  - *.pdf\n", 'put it in quotes: `- glob: "*.pdf"`'),
        ("  - file: @a.pdf\n", 'put it in quotes: `file: "@a.pdf"`'),
        ("  - file: %a.pdf\n", 'put it in quotes: `file: "%a.pdf"`'),
        ("  - file: `a.pdf`\n", 'put it in quotes: `file: "`a.pdf`"`'),
        ("  - file: a.pdf\n    tags: {Handle: @acme, B: c}\n", 'put it in quotes: `Handle: "@acme"`'),
        ("  - file: a.pdf\n    tags:\n      Note: a: b\n", 'a value with a colon in it needs quotes: `Note: "a: b"`'),
        ('  - file: "C:\\Users\\jane\\a.pdf"\n', f"{BACKSLASH}: `file: 'C:\\Users\\jane\\a.pdf'`"),
        ('  - glob: "in\\d*.pdf"\n', f"{BACKSLASH}: `glob: 'in\\d*.pdf'`"),
        ('  - file: "a" b.pdf\n', 'put the whole value in one pair of quotes: `file: "a b.pdf"`'),
    ],
)
def test_a_value_that_needs_quotes_is_shown_with_them(
    lines: str, message: str, end: str, write: Write, problems_of: ProblemsOf, loader: Loader
) -> None:
    path = write((HEAD + lines).replace("\n", end).encode())

    *_, problem = problems_of(path, loader=loader)

    assert (problem.code, problem.message) == ("syntax", f"this is not YAML: {message}")
    assert problem.at.line == 3 + lines.count("\n")


@pytest.mark.parametrize("text", ["*.pdf", 'a "b"', "C:\\Users\\a.pdf", 'it\'s "a"', "@a", "a: b", "`x`", "%", "#1"])
def test_what_is_advised_is_read_as_the_text_that_was_meant(text: str, write: Write) -> None:
    manifest = read_manifest(write(f"{HEAD}  - glob: {in_quotes(text)}\n"))

    assert manifest.entries[0].source == text


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quotation_mark_that_is_not_closed_is_told_where_it_begins(
    quote: str, write: Write, problems_of: ProblemsOf, loader: Loader
) -> None:
    (problem,) = problems_of(write(f"{HEAD}  - file: {quote}a.pdf\n  - file: b.pdf\n"), loader=loader)

    assert problem.message == "this is not YAML: the quotation mark in line 4, column 11 is not closed"


def test_what_quotes_would_not_mend_is_told_in_the_parsers_words(write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write(HEAD + "  - file: a.pdf\n   id: x\n"))

    assert "quotes" not in problem.message
    assert problem.message.startswith("this is not YAML: ")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            '  - file: "in\\new.pdf"\n',
            r"`file` has a line break, since `\n` in double quotes means one: "
            "write paths with `/`, or use single quotes",
        ),
        (
            '  - file: "in\\a.pdf"\n',
            r"`file` has the control character U+0007, since `\a` in double quotes means one: "
            "write paths with `/`, or use single quotes",
        ),
        (
            '  - file: a.pdf\n    id: "x\\ty"\n',
            r"`id` has a tab, since `\t` in double quotes means one: use single quotes",
        ),
        ("  - file: |\n      a.pdf\n", r"`file` has a line break: remove it from `a.pdf\n`"),
        ("  - loa.pdf\n", "an entry must be a mapping, not text: write `- file: loa.pdf`"),
        ("  - my letter #1.pdf\n", 'an entry must be a mapping, not text: write `- file: "my letter"`'),
        ("  - in/*.pdf\n", 'an entry must be a mapping, not text: write `- glob: "in/*.pdf"`'),
        ("  - s3://b/a.pdf\n", "an entry must be a mapping, not text: write `- url: s3://b/a.pdf`"),
        ("  - [a.pdf]\n", "an entry must be a mapping, not a list: write `- file: files/a.pdf`"),
        ("  - file: [a.pdf]\n", "`file` must be text, not a list: an entry names one file; write an entry for each"),
        (
            "  - file: a.pdf\n    tags: [{Key: Customer, Value: acme}]\n",
            "`tags` must be a mapping, not a list: write tags as `tags: {Customer: acme}`",
        ),
        (
            "  - {glob: '*', exclude: {a: b}}\n",
            "`exclude` must be a pattern or a list of patterns, not a mapping: "
            "write `exclude: draft-*`, or a list of patterns",
        ),
        (
            "  - {file: a.pdf, target: {a: b}}\n",
            "`target` must be a name, or a list of names, not a mapping: write `target: acme`",
        ),
        ("  - file: a.pdf\n    tags: {A: }\n", '`A` must not be empty: for an empty tag write `""`'),
        ("  - file: a.pdf\n    tags: {A: ~}\n", '`A` must not be empty: for an empty tag write `""`'),
        (
            "  - glob: *abc\n",
            "the alias `*abc` cannot be used: put what entries share in `defaults`; "
            'a text that begins with `*` needs quotes, as in `"*abc"`',
        ),
        (
            "  - file: !a.pdf\n",
            "the YAML tag `!a.pdf` cannot be used: remove it; "
            'a text that begins with `!` needs quotes, as in `"!a.pdf"`',
        ),
        (
            "  - url: https://bucket.s3.amazonaws.com/a.pdf\n",
            "`url` must be `s3://BucketName/FileName`, without white space: "
            "`https://bucket.s3.amazonaws.com/a.pdf`; write `s3://bucket/a.pdf`",
        ),
        (
            "  - url: s3://bucket/my letter.pdf\n",
            "`url` must be `s3://BucketName/FileName`, without white space: `s3://bucket/my letter.pdf`; "
            "copy the object to a key without spaces, and name that",
        ),
        (
            "  - url: in/a.pdf\n",
            "`url` must be `s3://BucketName/FileName`, without white space: `in/a.pdf`; "
            "for a file of this machine write `file: in/a.pdf`",
        ),
        (
            "  - file: sub/a.pdf/\n",
            "`sub/a.pdf/` ends as only folders do: write `sub/a.pdf` for a file, or use a `glob`",
        ),
        (
            "  - file: a.pdf\n  - file: a.pdf\n",
            "`a.pdf` is listed in line 4 already: leave one of the two out, or give one an `id` of its own",
        ),
        (
            "  - {file: a.pdf, id: x}\n  - {file: b.pdf, id: x}\n",
            "the id `x` is used in line 4 already: give one of the two another `id`",
        ),
        (
            "  - file: a.pdf\n    tags: {Name: 'Socie\u0301te\u0301'}\n",
            "the accent or vowel sign U+0301 is not allowed in the tag `Name`: `Socie\u0301te\u0301`; letters, digits, "
            "spaces and `_.:/=+-@` are. Each accented letter is two characters here (NFD, as Macs write names): "
            "type it anew, `Société`",
        ),
        (
            "  - file: a.pdf\n    tags: {Name: 'हिन्दी'}\n",
            "the accent or vowel sign U+093F is not allowed in the tag `Name`: `हिन्दी`; letters, digits, "
            "spaces and `_.:/=+-@` are",
        ),
    ],
)
def test_a_problem_says_what_to_write_instead(
    lines: str, message: str, write: Write, problems_of: ProblemsOf, loader: Loader
) -> None:
    path = write(HEAD + lines)

    (problem,) = problems_of(path, loader=loader)

    assert problem.message == message


def test_the_top_of_a_manifest_gets_examples_too(write: Write, problems_of: ProblemsOf) -> None:
    path = write("version: [1]\nbatch: {a: b}\ntarget: us-east-1\ndefaults: []\nattachments: {}\n")

    assert [problem.message for problem in problems_of(path)] == [
        "`version` must be text, not a list: write `version: 1`",
        "`batch` must be text, not a mapping: write `batch: acme-2026`",
        "`target` must be a mapping, not text: write `target: {region: us-east-1}`",
        "`defaults` must be a mapping, not a list: write `defaults: {max_size: 500KB}`",
        "`attachments` must be a list, not a mapping: "
        "put a line such as `- file: files/a.pdf` below it for each document",
    ]


def test_a_manifest_in_utf_16_is_called_that(write: Write, problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(write((HEAD + "  - file: a.pdf\n").encode("utf-16")))

    assert problem.message == "the manifest is not UTF-8: it is UTF-16; save it as UTF-8"


def test_a_ledger_in_place_of_a_manifest_is_called_that_with_the_verbs_that_take_one(write: Write) -> None:
    path = write(b"SQLite format 3\0\x10\0\xf6")

    with pytest.raises(UsageError) as caught:
        read_manifest(path)

    assert caught.value.message == f"`{path}` is a database, such as a ledger, and not a manifest; nothing was done"
    assert "only `status`, `why` and `report` take a ledger" in caught.value.hint


def test_a_folder_is_told_to_be_made_a_manifest_of(tmp_path: Path) -> None:
    folder = tmp_path / "Letters 2026"
    folder.mkdir()

    with pytest.raises(UsageError) as caught:
        read_manifest(folder)

    assert caught.value.message == f"the manifest `{folder}` is a folder"
    assert caught.value.hint == (
        f"make a manifest of it first: `batch-upload manifest new '{folder}' -o letters-2026.yaml`"
    )


def test_a_table_is_told_to_be_made_a_manifest_of(write: Write) -> None:
    path = write("file,Company\na.pdf,Acme\n", "Kunden März.csv")

    with pytest.raises(UsageError) as caught:
        read_manifest(path)

    assert caught.value.message == f"`{path}` is a table, and not a manifest"
    new = f"batch-upload manifest new '{path}' -o kunden-marz.yaml"
    assert caught.value.hint == f"make a manifest of it first: `{new}`"
