"""`manifest new`: what it writes is valid as it is written, and nothing is replaced or left out in silence."""

import json
import subprocess
from datetime import date
from pathlib import Path

import openpyxl
import pytest
import yaml

from tests.support.batches import pdf, png
from tests.support.command import COMMAND
from tests.support.preloaded import Preloaded


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A folder with documents of two customers, and a file that is none."""
    for name, content in (
        ("acme/loa.pdf", pdf("acme")),
        ("acme/optin.png", png("acme")),
        ("Bäckerei #1/loa.pdf", pdf("bakery")),
        ("Bäckerei #1/notes.pdf", b"just text"),
    ):
        path = tmp_path / "customers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_a_folder_becomes_a_manifest_that_uploads(command: Preloaded, customers: Path) -> None:
    made = command.run("manifest", "new", "customers", "-o", "june.yaml", "--tag", "Name={stem}", cwd=customers)
    uploaded = command.run("upload", "june.yaml", "--local", "--json", cwd=customers)

    assert made.code == 0, made.stderr
    assert "left out: `customers/Bäckerei #1/notes.pdf` is plain text" in made.stderr
    assert "3 attachments in `june.yaml`, batch `customers`" in made.stderr
    assert "batch-upload plan june.yaml" in made.stderr
    assert (uploaded.code, uploaded.states) == (0, {"complete": 3})


def test_the_first_line_names_a_schema_that_lies_beside(command: Preloaded, customers: Path) -> None:
    command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    schema = command.run("manifest", "schema", cwd=customers)

    first = (customers / "june.yaml").read_text(encoding="utf-8").split("\n")[0]
    assert first == "# yaml-language-server: $schema=manifest.schema.json"
    assert (customers / "manifest.schema.json").read_text(encoding="utf-8") == schema.stdout


def test_nothing_is_replaced_without_force(command: Preloaded, customers: Path) -> None:
    command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    (customers / "june.yaml").write_text("mine", encoding="utf-8")

    refused = command.run("manifest", "new", "customers", "-o", "june.yaml", cwd=customers)
    kept = (customers / "june.yaml").read_text(encoding="utf-8")
    forced = command.run("manifest", "new", "customers", "-o", "june.yaml", "--force", cwd=customers)

    assert (refused.code, kept, forced.code) == (2, "mine", 0)
    assert "`june.yaml` exists already" in refused.stderr
    assert command.run("validate", "june.yaml", cwd=customers).code == 0
    assert sorted(path.name for path in customers.iterdir()) == ["customers", "june.yaml", "manifest.schema.json"]


def test_tags_that_a_name_cannot_fill_are_told_before_anything_is_written(command: Preloaded, customers: Path) -> None:
    refused = command.run("manifest", "new", "customers", "-o", "june.yaml", "--tag", "Name={parent}", cwd=customers)

    assert refused.code == 21
    assert "`#` is not allowed in the tag `Name`" in refused.stderr
    assert not (customers / "june.yaml").exists()


def test_paths_are_named_from_where_the_manifest_is_written(command: Preloaded, customers: Path) -> None:
    inside = command.run("manifest", "new", "customers/acme", "-o", "customers/acme/a.yaml", cwd=customers)
    elsewhere = customers / "elsewhere"
    elsewhere.mkdir()
    outside = command.run("manifest", "new", "../customers", "-o", "a.yaml", cwd=elsewhere)
    allowed = command.run("manifest", "new", "../customers", "-o", "a.yaml", "--allow-outside", cwd=elsewhere)

    assert (inside.code, outside.code, allowed.code) == (0, 2, 0)
    assert 'glob: "*.pdf"' in (customers / "customers/acme/a.yaml").read_text(encoding="utf-8")
    assert "--allow-outside" in outside.stderr
    assert command.run("validate", "a.yaml", "--allow-outside", cwd=elsewhere).code == 0


def test_rows_become_entries_with_a_tag_for_each_column(command: Preloaded, customers: Path) -> None:
    lines = ("File;ID;Country;Company", "customers/acme/loa.pdf;acme/loa;NO;0123", "customers/acme/optin.png;;;-x")
    (customers / "sheets").mkdir()
    (customers / "list.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))

    made = command.run("manifest", "new", "list.csv", "--rows", cwd=customers)
    written = command.run("manifest", "new", "list.csv", "--rows", "--json", "-o", "list.yaml", cwd=customers)

    assert made.code == written.code == 0
    assert made.stdout == (customers / "list.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(made.stdout)["attachments"] == [
        {"id": "acme/loa", "file": "customers/acme/loa.pdf", "tags": {"Country": "NO", "Company": "0123"}},
        {"id": "customers/acme/optin.png", "file": "customers/acme/optin.png", "tags": {"Company": "-x"}},
    ]
    assert (written.summary["items"], written.summary["batch"]) == (2, "list")
    assert command.run("validate", "list.yaml", cwd=customers).code == 0


def test_every_row_that_cannot_be_an_entry_is_named_and_nothing_is_written(command: Preloaded, customers: Path) -> None:
    rows = ("file,id,Note", "customers/acme/loa.pdf,a,x", "gone.pdf,b,", "customers/acme/optin.png,a,y", ",,{z}")
    (customers / "list.csv").write_text("\n".join(rows), encoding="utf-8")

    refused = command.run("manifest", "new", "list.csv", "--json", "-o", "list.yaml", cwd=customers)

    assert refused.code == 21
    assert [(line["line"], line["code"]) for line in refused.of("problem")] == [
        (3, "missing"),
        (4, "duplicate-id"),
        (5, "no-source"),
        (5, "tag-value"),
    ]
    assert not (customers / "list.yaml").exists()


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """An export of a spreadsheet with a byte order mark and semicolons, beside a folder of letters."""
    (tmp_path / "Letters 2026").mkdir()
    for name in ("Müller", "acme", "Ørsted"):
        (tmp_path / "Letters 2026" / f"{name}.pdf").write_bytes(pdf(name))
    rows = (
        "Letter;File Name;Company",
        "1;Müller.pdf;Müller & Söhne, GmbH",
        "2;acme.pdf;",
        "3;Ørsted.pdf;AT&T (US)",
        ";;",
    )
    (tmp_path / "kunden.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    return tmp_path


def test_an_export_beside_a_folder_of_letters_is_uploaded_as_the_messages_say(
    command: Preloaded, letters: Path
) -> None:
    new = ("manifest", "new", "kunden.csv", "-o", "june.yaml")
    advice = ("--file-column", "Letters 2026/{col:File Name}", "--clean-tags", "_")

    refused = command.run(*new, cwd=letters)
    made = command.run(*new, *advice, cwd=letters)
    checked = command.run("validate", "june.yaml", cwd=letters)
    uploaded = command.run("upload", "june.yaml", "--local", "--json", cwd=letters)
    again = command.run("upload", "june.yaml", "--local", "--json", cwd=letters)

    assert refused.code == 21
    assert "kunden.csv:2: `Müller.pdf` does not exist" in refused.stderr
    assert "`&` is not allowed in the tag `Company`" in refused.stderr
    assert "`--clean-tags _` replaces what tags may not have" in refused.stderr
    assert (
        "hint: files are looked for beside the table: did you mean `Letters 2026/Müller.pdf`? then add "
        "`--file-column 'Letters 2026/{col:File Name}'`"
    ) in refused.stderr
    assert made.code == 0, made.stderr
    assert "2 values of `Company` were changed for tags: `Müller & Söhne, GmbH` → `Müller _ Söhne_ GmbH`" in made.stderr
    assert yaml.safe_load((letters / "june.yaml").read_text(encoding="utf-8"))["attachments"] == [
        {
            "table": "kunden.csv",
            "file": "Letters 2026/{col:File Name}",
            "tags": {"Letter": "{col:Letter|tag:_}", "Company": "{col:Company|tag:_}"},
        }
    ]
    assert (checked.code, "is valid: 3 items" in checked.stderr + checked.stdout) == (0, True)
    assert (uploaded.code, uploaded.states) == (0, {"complete": 3})
    assert [each["line"] for each in uploaded.of("warning") if each["code"] == "changed-for-tag"] == [9]
    assert (again.code, again.summary["uploaded"]) == (0, 0)


def test_a_workbook_is_a_table_whose_new_rows_are_uploaded_later(command: Preloaded, letters: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Document", "Since", "Number"])
    book.active.append(["Letters 2026/Müller.pdf", date(2026, 11, 28), 7])
    book.active["C2"].number_format = "00000"
    book.save(letters / "kunden.xlsx")

    made = command.run("manifest", "new", "kunden.xlsx", "-o", "x.yaml", cwd=letters)
    first = command.run("upload", "x.yaml", "--local", "--json", cwd=letters)
    book.active.append(["Letters 2026/acme.pdf", None, 8])
    book.save(letters / "kunden.xlsx")
    second = command.run("upload", "x.yaml", "--local", "--json", cwd=letters)
    part = command.run(
        "report", "x.yaml", "--local", "--format", "manifest", "--only", "Letters 2026/Müller.pdf", cwd=letters
    )

    assert "files are named by the column `Document`" in made.stderr
    assert (first.states, second.states, second.summary["uploaded"]) == ({"complete": 1}, {"complete": 2}, 1)
    (entry,) = yaml.safe_load(part.stdout)["attachments"]
    assert (entry["file"], entry["tags"]) == ("Letters 2026/Müller.pdf", {"Since": "2026-11-28", "Number": "00007"})


def test_the_error_of_a_formula_becomes_no_tag_and_no_file(command: Preloaded, letters: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Document", "Company", "Note"])
    book.active.append(["Letters 2026/Müller.pdf", "#N/A", "fine"])
    book.active.append(["#REF!", "Acme", "fine"])
    book.active.append(["Letters 2026/acme.pdf", "Acme", "#DIV/0!"])
    for place in ("B2", "A3", "C4"):
        book.active[place].data_type = "e"
    book.save(letters / "kunden.xlsx")
    (letters / "x.yaml").write_text(
        'version: 1\nbatch: b\nattachments:\n  - table: kunden.xlsx\n    file: "{col:Document}"\n'
        '    tags: {Company: "{col:Company|tag}", As written: "{col:Company}"}\n',
        encoding="utf-8",
    )

    checked = command.run("validate", "x.yaml", "--json", cwd=letters)
    made = command.run("manifest", "new", "kunden.xlsx", "-o", "y.yaml", "--rows", "--clean-tags", "_", cwd=letters)

    assert checked.code == 21
    assert [(each["line"], each["code"], each["message"]) for each in checked.of("problem")] == [
        (2, "cell-error", "the column `Company` has the error #N/A: mend its formula, or clear the cell"),
        (3, "cell-error", "the column `Document` has the error #REF!: mend its formula, or clear the cell"),
    ]
    assert made.code == 21
    assert "kunden.xlsx:4: the column `Note` has the error #DIV/0!" in made.stderr


def test_the_same_problem_of_many_rows_is_grouped_for_people_and_told_one_by_one_to_programs(
    command: Preloaded, letters: Path
) -> None:
    (letters / "many.csv").write_text("file,Company\n" + "".join(f",Firm {n}\n" for n in range(30)), encoding="utf-8")
    (letters / "m.yaml").write_text(
        'version: 1\nbatch: b\nattachments:\n  - {table: many.csv, file: "{col:file}"}\n', encoding="utf-8"
    )

    people = command.run("validate", "m.yaml", cwd=letters)
    programs = command.run("validate", "m.yaml", "--json", cwd=letters)

    assert people.stderr.count("the column `file` is empty") == 5
    assert "many.csv: the same in 25 more rows: lines 7, 8, 9" in people.stderr
    problems = programs.of("problem")
    assert [(line["file"], line["line"], line["column"]) for line in problems] == [
        ("many.csv", n, 1) for n in range(2, 32)
    ]


def test_a_table_from_standard_input_is_copied_row_by_row(command: Preloaded, letters: Path) -> None:
    row = json.dumps({"file": "Letters 2026/acme.pdf", "Company": "Acme"})
    ended = subprocess.run(
        [COMMAND, "manifest", "new", "-", "-o", "june.yaml"],
        cwd=letters,
        input=f"{row}\n",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    made = yaml.safe_load((letters / "june.yaml").read_text(encoding="utf-8"))
    assert (made["batch"], made["attachments"]) == (
        "june",
        [{"id": "Letters 2026/acme.pdf", "file": "Letters 2026/acme.pdf", "tags": {"Company": "Acme"}}],
    )
    assert command.run("validate", "june.yaml", cwd=letters).code == 0


def test_no_output_replaces_a_table_of_the_manifest(command: Preloaded, letters: Path) -> None:
    (letters / "m.yaml").write_text(
        'version: 1\nbatch: b\nattachments:\n  - {table: kunden.csv, file: "Letters 2026/{col:File Name}"}\n',
        encoding="utf-8",
    )

    refused = command.run("report", "m.yaml", "--local", "-o", "kunden.csv", "--format", "csv", cwd=letters)

    assert refused.code == 2
    assert "is a table of the manifest, which it would overwrite" in refused.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04" + bytes(60), "c.xlsx:1: the workbook is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "c.xlsx:1: the file is an old workbook of Excel (.xls)"),
        (b"Title\n\nPath,x\na,b\n", "c.xlsx:1: line 1 has no names of columns, line 3 has: remove the lines above it"),
        (b"Path,Document\na,b\n", "it may be `Path` or `Document`: `--file-column NAME` names it"),
    ],
)
def test_what_is_wrong_with_a_spreadsheet_is_told_with_what_to_do(
    content: bytes, words: str, command: Preloaded, letters: Path
) -> None:
    (letters / "c.xlsx").write_bytes(content)

    refused = command.run("manifest", "new", "c.xlsx", "-o", "c.yaml", cwd=letters)

    assert refused.code == 21
    assert words in refused.stderr
    assert not (letters / "c.yaml").exists()


def test_a_bad_file_is_excluded_by_name_and_files_that_are_added_later_are_found(
    command: Preloaded, tmp_path: Path
) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(pdf(name))
    (tmp_path / "bad [1].pdf").write_bytes(b"<!DOCTYPE html><title>log in</title>")

    made = command.run("manifest", "new", ".", "-o", "m.yaml", cwd=tmp_path)
    (tmp_path / "later.pdf").write_bytes(pdf("later"))
    planned = command.run("plan", "m.yaml", "--offline", "--json", cwd=tmp_path)

    assert made.code == 0
    assert "`exclude` of `*.pdf` names 1 file that cannot be uploaded" in made.stderr
    assert "files added later are found; delete a name from `exclude` once its file can be uploaded" in made.stderr
    assert sorted(line["id"] for line in planned.of("action")) == ["a.pdf", "b.pdf", "later.pdf"]


def test_a_column_whose_name_yaml_cannot_hold_is_told_and_nothing_is_written(
    command: Preloaded, tmp_path: Path
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a"))
    (tmp_path / "t.jsonl").write_text(r'{"file": "a.pdf", "\ud800": "x"}')

    made = command.run("manifest", "new", "t.jsonl", "-o", "t.yaml", "--clean-tags", "_", cwd=tmp_path)

    assert made.code == 21
    assert r"t.jsonl:1: the column `\ud800`: rename it, its name is not valid Unicode" in made.stderr
    assert not (tmp_path / "t.yaml").exists()
