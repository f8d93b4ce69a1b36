"""Manifests that are made: whatever was put in is what a reader reads back, or a problem that names its row."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_upload.errors import UsageError
from batch_upload.manifest.expand import expand
from batch_upload.manifest.forms import BUILT_IN
from batch_upload.manifest.from_table import TableOptions, WantedBind, new_table_entry
from batch_upload.manifest.new import WantedTags, manifest_lines, wanted_tags
from batch_upload.manifest.problems import Code, Problems
from batch_upload.manifest.reader import read_manifest
from batch_upload.manifest.rows import RowReader
from batch_upload.manifest.rules import batch_of
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.tables import TableFault, read_table
from batch_upload.model import Entry, Manifest, Position, Problem, SourceKind
from batch_upload.registration import Bind

HOSTILE = (
    "NO", "0123", "1e3", "2026-11-23", "null", "~", "yes", "- a", "# b", "a: b", "a #b", "'", '"', "\\", "{a}", "&a",
    "*a", "!a", "%a", "@a", "`a", "|", ">", "?", "[a]", "a,b", "😀", "é", "<<", "---", "=1", ".", "..", "\u00a0x",
    "x\ty", "\u2028", "\ufeffx", "\x85", "a\nb", "a\r\nb", "{stem}", "s3://b/c.pdf", "", " ", "aws:x", "x" * 300,
    "\x00",
)  # fmt: skip
texts = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=12)


registrations = st.sampled_from(["registration-1", "NO", "0123", "1e3", "null", "", "a b", "{a}"]) | texts
BOUND = WantedBind("a.b", "Note")


def bound_to(wanted: WantedBind, note: str) -> Bind:
    """The field of a row whose column `Note` has this text."""
    registration = note if wanted.column == "Note" else f"{note}-1"
    return Bind(registration, wanted.field.replace("{col:Note}", note))


def manifest_of(folder: Path, entries: Sequence[Entry], wanted: WantedTags = WantedTags()) -> Manifest:  # noqa: B008 - frozen
    return Manifest(path=folder / "x", folder=folder, batch="june", entries=tuple(entries), tags=wanted.shared)


def read_back(manifest: Manifest, folder: Path) -> Manifest:
    path = folder / "made.yaml"
    path.write_text("".join(f"{line}\n" for line in manifest_lines(manifest)), encoding="utf-8", newline="")
    return read_manifest(path)


def bare(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """Entries without their places."""
    return [(each.kind, each.source, each.item_id, dict(each.tags), each.bind) for each in entries]


def csv_bytes(rows: Sequence[Sequence[str]], delimiter: str = ",", *, mark: bool = False) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8")


@dataclass(frozen=True, slots=True)
class Made:
    """What `manifest new` makes of a table, before it looks into the files."""

    entries: list[Entry]
    problems: list[Problem]
    entry: TableEntry | None = None
    lines: frozenset[int] = frozenset()
    """Those of the rows."""


def made_of(
    raw: bytes,
    folder: Path,
    wanted: WantedTags = WantedTags(),  # noqa: B008 - frozen
    *,
    manifest_folder: Path | None = None,
    bind: WantedBind | None = None,
) -> Made:
    """Make the entry of a table in a folder, and those of its rows."""
    problems = Problems("c.csv")
    options = TableOptions(wanted, bind=bind)
    home = manifest_folder or folder
    try:
        with read_table(io.BytesIO(raw)) as table:
            new = new_table_entry(table, options, path="c.csv", folder=folder, manifest_folder=home, targets=None)
            reader = RowReader(new.entry, table, problems, name="c.csv", has_targets=False)
            rows = list(table.rows)
    except TableFault as fault:
        return Made([], [Problem("c.csv", Position(fault.line, 0), fault.code, fault.message)])
    made = [reader.entry_of(*row) for row in rows]
    entries = [each for each in made if each is not None]
    return Made(entries, list(problems.in_order()), new.entry, frozenset(line for line, _ in rows))


def read_table_back(made: Made, raw: bytes, folder: Path, wanted: WantedTags) -> Manifest:
    """Read the manifest that names the table, beside which it is written."""
    (folder / "c.csv").write_bytes(raw)
    path = folder / "short.yaml"
    lines = manifest_lines(manifest_of(folder, made.entries, wanted), table=made.entry)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return read_manifest(path)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(texts, texts, texts, registrations), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    bind=st.sampled_from([None, BOUND, WantedBind("a.{col:Note}", "{col:Note}-1")]),
    mark=st.booleans(),
)
@example(rows=[("NO", "- a", "a: b #c", "0123")], delimiter=";", bind=None, mark=True)
@example(rows=[("NO", "- a", "a: b #c", "NO"), ("b", "", "", "1e3")], delimiter=",", bind=BOUND, mark=False)
def test_any_table_becomes_a_manifest_that_says_the_same_or_problems_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    delimiter: str,
    bind: WantedBind | None,
    *,
    mark: bool,
) -> None:
    folder = tmp_path_factory.mktemp("csv").resolve()
    header = ("file", "id", "Country", "Note")
    raw = csv_bytes([header, *rows], delimiter, mark=mark)

    made = made_of(raw, folder, bind=bind)
    if made.entry is None:
        assert not any(cell.strip() for row in rows for cell in row)
        return
    manifest = manifest_of(folder, made.entries)
    problems = [*made.problems, *expand(manifest, allow_outside=False)[1]]

    assert all(problem.at.line in made.lines for problem in problems)
    if not problems:
        short = read_table_back(made, raw, folder, WantedTags())
        assert bare(short.entries) == bare(manifest.entries)
        assert expand(short, allow_outside=False)[1] == ()
        again = read_back(manifest, folder)
        assert bare(again.entries) == bare(manifest.entries)
        listed, found = expand(again, allow_outside=False)
        assert found == ()
        stripped = [tuple(cell.strip() for cell in row) for row in rows]
        kept = [row for row in stripped if any(row)]
        assert [entry.source for entry in again.entries] == [row[0] for row in kept]
        assert [entry.item_id for entry in again.entries] == [row[1] or None for row in kept]
        assert [each.item_id for each in listed] == [row[1] or row[0] for row in kept]
        tags = {"Country"} if bind is not None else {"Country", "Note"}
        assert [dict(entry.tags) for entry in again.entries] == [
            {key: value for key, value in zip(("Country", "Note"), row[2:], strict=True) if value and key in tags}
            for row in kept
        ]
        assert [entry.bind for entry in again.entries] == [bind and bound_to(bind, row[3]) for row in kept]


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_other_yaml_readers_read_the_same(tmp_path: Path, loader: type) -> None:
    rows = [(f"{number}.pdf", value.strip(), value) for number, value in enumerate(HOSTILE)]
    made = made_of(csv_bytes([("file", "id", "Country"), *rows]), tmp_path.resolve())
    good = [entry._replace(item_id=entry.item_id or entry.source) for entry in made.entries]

    text = "".join(f"{line}\n" for line in manifest_lines(manifest_of(tmp_path, good)))
    loaded = yaml.load(text, loader)  # noqa: S506 - both are safe loaders

    assert len(good) > 20
    assert [(one["id"], one.get("tags", {})) for one in loaded["attachments"]] == [
        (one.item_id, dict(one.tags)) for one in good
    ]


@pytest.mark.parametrize(
    ("raw", "line", "code", "words"),
    [
        (b"file,Name\na.pdf,Caf\xe9\n", 2, "not-utf-8", "Latin-1"),
        ("file,Name\n".encode("utf-16"), 1, "not-utf-8", "UTF-16"),
        (b"", 1, Code.CSV, "empty"),
        (b"file,Name\n\n ,\n", 1, Code.CSV, "no row"),
        (b'file,Name\na.pdf,x\nb.pdf,"y" z\n', 3, Code.CSV, "not CSV"),
        (b'file,Name\na.pdf,"x\n', 2, Code.CSV, "not CSV"),
        (b"name,where\na,a.pdf\n", 1, Code.COLUMNS, "no column `file` or `url`"),
        (b"file,Name,Name\na.pdf,x,y\n", 1, Code.COLUMNS, "`Name` is there twice"),
        (b"FILE,file\na.pdf,x\n", 1, Code.COLUMNS, "`file` is there twice"),
    ],
)
def test_a_file_that_is_no_table_is_one_problem_in_its_line(raw: bytes, line: int, code: str, words: str) -> None:
    (found,) = made_of(raw, Path("/")).problems

    assert (found.file, found.at.line, found.code) == ("c.csv", line, code)
    assert words in found.message


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (",,x", "no-source", "neither"),
        ("a.pdf,s3://b/c.pdf,x", "several-sources", "both"),
        (",s3://b c.pdf,x", "url", "s3://BucketName"),
        ("a.pdf,,{stem}", "tag-value", "`{` is not allowed"),
        ("a.pdf,,x,stray", Code.CELLS, "`stray`"),
        ('"a\rb.pdf",,x', "control-character", r"the name `a\rb.pdf` has a line break: rename the file"),
        (f"a.pdf,,{'x' * 257}", "tag-value", "257 characters"),
    ],
)
def test_every_row_that_cannot_be_an_entry_is_named(tmp_path: Path, row: str, code: str, words: str) -> None:
    raw = f'file,url,Note\n"a\n.pdf",,\nok.pdf,,fine\n{row}\n'.encode()

    problems = made_of(raw, tmp_path).problems

    assert [(problem.at.line, problem.code) for problem in problems] == [(2, "control-character"), (5, code)]
    assert words in problems[1].message


def test_a_first_line_of_a_spreadsheet_says_the_delimiter() -> None:
    with read_table(io.BytesIO(b"\xef\xbb\xbfsep=;\r\nFile ; ID;Country\r\na.pdf;x, y; NO \r\n;;\r\n")) as table:
        rows = list(table.rows)

    assert (table.columns, table.line, rows) == (
        ["File", "ID", "Country"],
        2,
        [(3, ["a.pdf", "x, y", "NO"])],
    )


def test_a_template_takes_from_columns_and_keeps_the_manifests_own(tmp_path: Path) -> None:
    wanted = wanted_tags(["Name={stem} of {col:company}", "Plain=x", "Maybe={col:note}"])
    raw = b"file,company,note\na.pdf,Acme,\nb.pdf,B,n\n"

    made = made_of(raw, tmp_path, wanted)
    listed, problems = expand(
        read_back(manifest_of(tmp_path.resolve(), made.entries, wanted), tmp_path), allow_outside=False
    )

    assert problems == ()
    assert [dict(each.tags) for each in listed] == [
        {"Plain": "x", "Name": "a of Acme"},
        {"Plain": "x", "Name": "b of B", "Maybe": "n"},
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Name", "not `KEY=VALUE`"),
        ("aws:x=y", "keeps for itself"),
        ("=x", "1 to 128 characters"),
        ("Name={oops}", "`{col:NAME}` for a column"),
        ("Name=a(b", "`(` is not allowed"),
    ],
)
def test_a_tag_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        wanted_tags([text])

    assert words in refused.value.message


def test_a_column_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError) as refused:
        wanted_tags(["Name={col:firm}"]).for_columns(["file", "company"])

    assert "`firm`" in refused.value.message
    assert refused.value.hint == "the columns are `file`, `company`"


def test_capital_letters_of_columns_are_not_told_apart_unless_two_differ_in_nothing_else(tmp_path: Path) -> None:
    wanted = wanted_tags(["Name={col:company} {col:CITY}"]).for_columns(["file", "Company", "City"])

    assert wanted.by_row == {"Name": "{col:Company} {col:City}"}
    (entry,) = made_of(b"file,Company,City\na.pdf,acme,Oslo\n", tmp_path, wanted).entries
    assert entry.tags == {"Name": "acme Oslo"}
    of_small = wanted_tags(["Name={col:city}"]).for_columns(["City", "city"])
    assert of_small.by_row == {"Name": "{col:city}"}
    (entry,) = made_of(b"file,City,city\na.pdf,A,B\n", tmp_path, of_small).entries
    assert entry.tags == {"Name": "B"}
    with pytest.raises(UsageError):
        wanted_tags(["Name={col:CITY}"]).for_columns(["City", "city"])


@pytest.mark.parametrize(
    ("name", "batch"),
    [("Kunden März", "kunden-marz"), ("--x", "x"), ("June 2026 (new).v2", "june-2026-new-.v2"), ("客户", None)],
)
def test_a_batch_is_named_after_what_it_is_made_of(name: str, batch: str | None) -> None:
    assert batch_of(name) == batch


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("R&D 100%", "`&` is not allowed in the tag `Customer`"),
        ("x" * 300, "the tag `Customer` has 300 characters: at most 256 are allowed"),
        ("{stem}", "`{` is not allowed in the tag `Customer`"),
        ("a\nb", r"`\n` is not allowed in the tag `Customer`"),
    ],
)
def test_a_cell_that_cannot_be_a_tag_is_told_at_its_line(tmp_path: Path, cell: str, words: str) -> None:
    wanted = wanted_tags(["Customer={col:Name}"])
    raw = csv_bytes([("file", "Name"), ("a.pdf", "fine"), ("b.pdf", cell)])

    problems = problems_of_table(raw, tmp_path.resolve(), wanted)

    assert [(problem.at.line, problem.code) for problem in problems] == [(3, "tag-value")]
    assert words in problems[0].message


@pytest.mark.parametrize(
    ("cell", "code", "words"),
    [
        ("a.pdf/", "folder", "`a.pdf/` ends as only folders do"),
        ('"a\nb.pdf"', "control-character", r"column `file`: the name `a\nb.pdf` has a line break: rename the file"),
    ],
)
def test_a_cell_that_names_no_file_is_told_so(tmp_path: Path, cell: str, code: str, words: str) -> None:
    (problem,) = problems_of_table(f"file,Name\n{cell},x\n".encode(), tmp_path, WantedTags())

    assert (problem.at.line, problem.code) == (2, code)
    assert words in problem.message


def test_a_folder_between_table_and_manifest_that_no_manifest_can_name_is_a_problem(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    for name in ("two\nlines", "bytes \udcff"):
        made = made_of(b"file\na.pdf\n", root / name, manifest_folder=root)
        assert [problem.at.line for problem in made.problems] == [2]
        assert made.problems[0].message.startswith("column `file`: the name `")


def problems_of_table(raw: bytes, folder: Path, wanted: WantedTags) -> list[Problem]:
    """Everything that `manifest new` tells of the rows of a table."""
    made = made_of(raw, folder, wanted)
    return [*made.problems, *expand(manifest_of(folder, made.entries, wanted), allow_outside=False)[1]]


PARTS = st.sampled_from(["{col:Company}", "{col:Note}", "{stem}", "{name}", "{id}", "{batch}", "{{", "}}", "x ", "-"])


@settings(max_examples=200)
@given(
    rows=st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=4),
    templates=st.lists(st.lists(PARTS, max_size=4).map("".join), min_size=1, max_size=3),
)
@example(rows=[("a.pdf", "", "R&D", "x" * 300)], templates=["{col:Company}", "{col:Note}"])
@example(rows=[("a.pdf", "", "stem", "")], templates=["{{col:Company}}"])
def test_whatever_is_asked_for_with_tag_what_is_written_is_read_back_without_a_problem(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], templates: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tag").resolve()
    try:
        wanted = wanted_tags([f"Tag {number}={template}" for number, template in enumerate(templates)])
    except UsageError:
        return
    raw = csv_bytes([("file", "id", "Company", "Note"), *rows])
    made = made_of(raw, folder, wanted)
    if made.entry is None:
        return
    manifest = manifest_of(folder, made.entries, wanted)

    problems = [*made.problems, *expand(manifest, allow_outside=False)[1]]

    assert all(problem.at.line in made.lines for problem in problems)
    if not problems:
        short = read_table_back(made, raw, folder, wanted)
        assert bare(short.entries) == bare(manifest.entries)
        again = read_back(manifest, folder)
        assert expand(again, allow_outside=False)[1] == ()
        assert bare(again.entries) == bare(manifest.entries)


@pytest.mark.parametrize(("max_size_bytes", "is_written"), [(50_000, False), (60_000, True), (500_000, True)])
def test_a_manifest_for_a_form_has_a_size_only_where_it_is_not_the_forms(
    tmp_path: Path, max_size_bytes: int, *, is_written: bool
) -> None:
    entries = (Entry(SourceKind.FILE, "a.png", Position()),)
    form = BUILT_IN["rcs-logo"]
    made = replace(manifest_of(tmp_path, entries), form=form, max_size_bytes=max_size_bytes, has_max_size=True)

    read = read_back(made, tmp_path)
    (listed,), problems = expand(read, allow_outside=False)

    assert (read.form, read.has_max_size, problems) == (form, is_written, ())
    assert listed.max_size_bytes == max_size_bytes
