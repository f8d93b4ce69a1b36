"""Tables in a manifest: each row is an entry, and what is wrong is told once for the table or at the row's line."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.problems import Problems
from batch_upload.manifest.reader import list_manifest, read_manifest
from batch_upload.manifest.rows import RowReader
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.tables import open_table
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind
from batch_upload.registration import Bind
from batch_upload.targets import Target

Write = Callable[..., Path]

HEAD = "version: 1\nbatch: acme-2026\n"
ARN = "arn:aws:sms-voice:us-east-1:111122223333:registration/r-"
ENTRY = 'attachments:\n  - table: c.csv\n    file: "{col:File Name}"\n'


def listing(path: Path, *, allow_outside: bool = False) -> tuple[list[Listed], list[Problem], list[Problem]]:
    """What a manifest lists, its problems and its warnings."""
    warnings: list[Problem] = []
    _, listed, problems = list_manifest(
        path, allow_outside=allow_outside, take=lambda _, each: list(each), warn=warnings.append
    )
    return listed, list(problems), warnings


def words(problems: list[Problem], folder: Path) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in problems]


def test_each_row_is_an_attachment_with_the_columns_in_its_templates(write: Write, tmp_path: Path) -> None:
    write("File Name;Number;Company;Country\na.pdf;7;Acme;NO\n\nb.pdf;;;\n", "c.csv")
    path = write(
        HEAD + "defaults:\n  tags: {Country: US, Year: '2026'}\nattachments:\n  - table: c.csv\n"
        '    file: "in/{col:file  name}"\n    id: "{col:Number}"\n    generation: 2\n'
        '    tags: {Customer: "{col:Company}", Country: "{col:Country}", Name: "{stem} {col:Company|upper}"}\n'
    )

    listed, problems, _ = listing(path)

    assert problems == []
    assert [(each.item_id, each.source, dict(each.tags), each.generation, each.at.line) for each in listed] == [
        ("7", "in/a.pdf", {"Country": "NO", "Year": "2026", "Customer": "Acme", "Name": "a ACME"}, 2, 2),
        ("in/b.pdf", "in/b.pdf", {"Country": "US", "Year": "2026"}, 2, 4),
    ]
    assert {each.at_file for each in listed} == {str(tmp_path / "c.csv")}
    assert list_manifest(path, allow_outside=False, take=lambda _, each: len(list(each)))[0].tables == ("c.csv",)


def test_problems_of_rows_are_at_their_lines_in_the_table(write: Write, tmp_path: Path) -> None:
    write("File Name,Company\na.pdf,A & B\n,x\na.pdf,x,stray\n../up.pdf,x\na.pdf,y\na.pdf,z\n", "c.csv")
    path = write(HEAD + ENTRY + '    tags: {Customer: "{col:Company}"}\n  - file: a.pdf\n')

    _, problems, _ = listing(path)

    assert words(problems, tmp_path) == [
        "june.yaml:7:11: `a.pdf` is listed in line 2 of `c.csv` already: leave one of the two out, "
        "or give one an `id` of its own",
        "c.csv:2: `&` is not allowed in the tag `Customer`: `A & B`; letters, digits, spaces and `_.:/=+-@` are; "
        "`{col:Company|tag}` replaces what tags may not have",
        "c.csv:3: the column `File Name` is empty",
        "c.csv:4: `stray` is in no column that has a name: put quotes around a cell that has a delimiter in it",
        "c.csv:4: `a.pdf` is listed in line 2 already: leave one of the two out, or give one an `id` of its own",
        "c.csv:5: `../up.pdf` leaves the manifest's folder: move it in, or use `--allow-outside`",
        "c.csv:6: `a.pdf` is listed in line 2 already: leave one of the two out, or give one an `id` of its own",
        "c.csv:7: `a.pdf` is listed in line 2 already: leave one of the two out, or give one an `id` of its own",
    ]


@pytest.mark.parametrize(
    ("table", "entry", "place", "code", "message"),
    [
        (
            "File;Firm;firm\na;b;c\n",
            'file: "{col:File Name}"\n    tags: {A: "{col:FIRM}", B: "{col:Land}"}',
            "june.yaml:4:12",
            "columns",
            "`c.csv`: there is no column `File Name`: the columns are `File`, `Firm`, `firm`; `FIRM` may be the column "
            "`Firm` or `firm`: write it exactly; there is no column `Land`: the columns are `File`, `Firm`, `firm`",
        ),
        (
            "Customers of 2026\n\nFile Name,Firm\na.pdf,b\n",
            'file: "{col:File Name}"',
            "june.yaml:4:12",
            "columns",
            "`c.csv`: line 1 has no names of columns, line 3 has: remove the lines above it",
        ),
        (
            "File,File\na,b\n",
            'file: "{col:File}"',
            "june.yaml:4:12",
            "columns",
            "`c.csv`: the column `File` is there twice: rename one",
        ),
        (
            "File\na\n",
            'file: "{col:File}/{stem}"',
            "june.yaml:5:11",
            "template",
            "`{stem}` is not a template: `{col:NAME}` are, and `{{` and `}}` for braces",
        ),
        (
            "File\na\n",
            'file: "{col:File|titel}"',
            "june.yaml:5:11",
            "template",
            "`|titel` is not a filter: there are `tag`, `lower`, `upper`, `slug`",
        ),
        ("File\na\n", 'id: "{col:File}"', "june.yaml:4:5", "no-source", None),
        ("File\na\n", 'glob: "{col:File}"', "june.yaml:5:11", "several-sources", None),
        ("File\n\n", 'file: "{col:File}"', "c.csv:1", "csv", "there is no row below the names of the columns"),
        ('File\n"a\n', 'file: "{col:File}"', "c.csv:2", "csv", "this is not CSV: unexpected end of data"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_once(
    table: str, entry: str, place: str, code: str, message: str | None, write: Write, tmp_path: Path
) -> None:
    write(table, "c.csv")

    (problem,) = listing(write(f"{HEAD}attachments:\n  - table: c.csv\n    {entry}\n"))[1]

    assert str(problem).replace(f"{tmp_path}/", "").startswith(f"{place}: ")
    assert problem.code == code
    assert message is None or problem.message.replace(f"{tmp_path}/", "") == message


def test_a_table_that_cannot_be_opened_is_a_problem_of_the_manifest(write: Write, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    found = []
    for name in ("gone.csv", "folder", '"-"', "../out.csv"):
        path = write(f'{HEAD}attachments:\n  - table: {name}\n    file: "{{col:File}}"\n')
        found += [
            (problem.code, problem.at, problem.message.replace(f"{tmp_path}/", "")) for problem in listing(path)[1]
        ]

    assert [(code, tuple(at)) for code, at, _ in found] == [
        ("table", (4, 12)),
        ("table", (4, 12)),
        ("table", (4, 12)),
        ("outside", (4, 12)),
    ]
    assert "the table `gone.csv` cannot be read: no such file or directory" in found[0][2]
    assert "only `manifest new -` reads one from standard input" in found[2][2]


def test_columns_belong_to_entries_with_a_table(write: Write) -> None:
    path = write(
        HEAD
        + 'defaults: {tags: {A: "{col:x}"}}\nattachments:\n  - file: a.pdf\n    tags: {B: "{col:y}"}\n    sheet: S\n'
    )

    assert [(tuple(each.at), each.code) for each in listing(path)[1]] == [
        ((3, 22), "template"),
        ((6, 15), "template"),
        ((7, 12), "unknown-key"),
    ]


def test_values_that_the_filter_changed_are_counted_in_one_warning(write: Write, tmp_path: Path) -> None:
    write("File Name,Company\na&b.pdf,AT&T (US)\nc.pdf,fine\nd.pdf,A & B\n", "c.csv")
    path = write(HEAD + ENTRY + '    tags: {Customer: "{col:Company|tag}", Name: "{stem|tag:-}"}\n')

    listed, problems, warnings = listing(path)

    assert problems == []
    assert [dict(each.tags) for each in listed] == [
        {"Customer": "AT_T _US_", "Name": "a-b"},
        {"Customer": "fine", "Name": "c"},
        {"Customer": "A _ B", "Name": "d"},
    ]
    assert words(warnings, tmp_path) == [
        "june.yaml:6:12: 2 values of `Company` were changed for tags: `AT&T (US)` → `AT_T _US_`",
        "june.yaml:6:43: 1 value of `{stem}` was changed for tags: `a&b` → `a-b`",
    ]


def test_rows_may_have_files_or_addresses(write: Write) -> None:
    write("file,url\na.pdf,\n,s3://bucket/b.pdf\n", "c.csv")
    path = write(HEAD + 'attachments:\n  - {table: c.csv, file: "{col:file}", url: "{col:url}"}\n')

    assert [(each.source, each.folder is None) for each in listing(path)[0]] == [
        ("a.pdf", False),
        ("s3://bucket/b.pdf", True),
    ]


def test_rows_name_their_targets(write: Write) -> None:
    write("File,Account,Region\na{1}.pdf,acme,us-east-1\nb.pdf,acme,\nc.pdf,beta,us-east-1\nd.pdf,,\n", "c.csv")
    path = write(
        HEAD + "targets:\n  defaults: {regions: [us-east-1, us-west-2]}\n  list:\n"
        '    - {name: acme, account: "111122223333"}\n    - {name: beta, account: "444455556666"}\n'
        'attachments:\n  - table: c.csv\n    file: "{target}/{col:File}"\n    target: "{col:Account}/{col:Region}"\n'
    )

    listed, problems, _ = listing(path)

    assert [(each.lane_label, each.source) for each in listed] == [
        ("acme/us-east-1", "acme/a{1}.pdf"),
        ("acme/us-east-1", "acme/b.pdf"),
        ("acme/us-west-2", "acme/b.pdf"),
        ("beta/us-east-1", "beta/c.pdf"),
    ]
    assert [(each.at.line, each.code) for each in problems] == [(5, "no-target")]


def test_a_table_may_be_json_lines_and_stand_before_the_keys_that_its_rows_need(write: Write) -> None:
    write('{"f": "a.pdf", "c": "Åse"}\n{"f": "b.pdf"}\n', "c.jsonl")
    path = write('version: 1\nattachments:\n  - {table: c.jsonl, file: "{col:f}", tags: {C: "{col:c}"}}\nbatch: b\n')

    assert [dict(each.tags) for each in listing(path)[0]] == [{"C": "Åse"}, {}]


def test_a_file_of_a_row_is_no_match_of_a_glob(write: Write, tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).touch()
    write("File Name,Company\na.pdf,Acme\n", "c.csv")
    for order in ((0, 1), (1, 0)):
        parts = ('  - glob: "*.pdf"\n', ENTRY.partition("\n")[2])
        path = write(HEAD + "attachments:\n" + "".join(parts[index] for index in order))

        assert sorted(each.item_id for each in listing(path)[0]) == ["a.pdf", "b.pdf"]


CELLS = st.sampled_from(
    ["a.pdf", "b/c.pdf", "", "", "é", "A & B", "{x}", "..", "/etc/x", "d/", "x" * 300, "1", "2", "a\nb", "\u00a0", "NO"]
)


REGISTRATIONS = st.sampled_from(
    ["r-1", "r-1", "r-2", "r-3", "", "r 4", "r" * 257, "{stem}", f"{ARN}1", f"{ARN}5", ARN.replace("111", "222") + "6"]
)
BINDS = st.sampled_from(
    [
        None,
        Bind("{col:R}", "a.b"),
        Bind("{col:R}", "{col:I}.b"),
        Bind("x{col:R|lower}", "{stem}"),
        Bind("r-1", "a.{id}"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS, REGISTRATIONS), min_size=1, max_size=12),
    bind=BINDS,
    at_once=st.sampled_from([1, 2, 3]),
)
@example(rows=[("a.pdf", "1", "x", "r-1"), ("b.pdf", "", "", "r-2")], bind=Bind("{col:R}", "a.b"), at_once=2)
@example(rows=[("a.pdf", "1", "x", "r-1"), ("b.pdf", "", "", "r-1")], bind=Bind("{col:R}", "a.b"), at_once=2)
def test_rows_that_are_checked_together_are_what_each_is_by_itself(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], bind: Bind | None, at_once: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "c.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("F", "I", "T", "R"), *rows])
    tags = {"T": "{col:T}", "U": "u {col:T}", "V": "v"}
    entry = Entry(SourceKind.FILE, "x{col:F}", Position(), item_id="{col:I}", tags=tags, bind=bind)
    manifest = Manifest(path.parent / "june.yaml", path.parent, "june", (), target=Target("us-east-1", "111122223333"))

    def listed(*, together: bool) -> tuple[list[Listed], tuple[Problem, ...]]:
        problems = Problems("june.yaml")
        expansion = Expansion(manifest, problems, allow_outside=False)
        with open_table(path) as table:
            reader = RowReader(TableEntry("c.csv", Position(), entry), table, problems, name="c.csv", has_targets=False)
            chunks = (chunk if together else [*chunk] for chunk in reader.chunks(at_once if together else 1))
            return list(expansion.of_all(chunks)), problems.in_order()

    def made(*, together: bool) -> tuple[list[Entry], tuple[Problem, ...]]:
        problems = Problems("june.yaml")
        with open_table(path) as table:
            reader = RowReader(TableEntry("c.csv", Position(), entry), table, problems, name="c.csv", has_targets=False)
            if together:
                found = [each for chunk in reader.chunks(at_once) for each in chunk]
                return [each for each in found if each.problem is None], problems.in_order()
            entries = [reader.entry_of(*row) for row in table.rows]
        return [each for each in entries if each is not None], problems.in_order()

    if any(cell.strip() for row in rows for cell in row):
        assert made(together=True) == made(together=False)
        assert listed(together=True) == listed(together=False)


def test_a_row_that_is_written_as_an_entry_is_the_same_attachment(write: Write) -> None:
    write("File Name,Company\na.pdf,Acme\n", "c.csv")
    short = read_manifest(write(HEAD + ENTRY + '    tags: {Customer: "{col:Company}"}\n')).entries
    long = read_manifest(write(HEAD + "attachments:\n  - {file: a.pdf, tags: {Customer: Acme}}\n")).entries

    assert [(each.kind, each.source, each.item_id, dict(each.tags)) for each in short] == [
        (each.kind, each.source, each.item_id, dict(each.tags)) for each in long
    ]
