"""Tables of every format: the same rows come out, at their lines, and what is no table is called what it is."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch_upload.errors import UsageError
from batch_upload.manifest import workbook
from batch_upload.manifest.tables import TableFault, open_table, read_table
from batch_upload.manifest.workbook import number_text

Rows = list[tuple[int, list[str]]]


def read(raw: bytes, *, suffix: str = "", sheet: str | None = None) -> tuple[list[str], Rows]:
    with read_table(io.BytesIO(raw), suffix=suffix, sheet=sheet) as table:
        return list(table.columns), [(line, list(cells)) for line, cells in table.rows]


def fault_of(raw: bytes, *, suffix: str = "", sheet: str | None = None) -> tuple[int, str, str]:
    with pytest.raises(TableFault) as fault:
        read(raw, suffix=suffix, sheet=sheet)
    return fault.value.line, fault.value.code, fault.value.message


def book_bytes(rows: list[list[object]], title: str = "Sheet", formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    for place, number_format in (formats or {}).items():
        sheet[place].number_format = number_format
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def zip_bytes(parts: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@settings(max_examples=80)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.booleans(),
)
@example(rows=[('a "b"\r\nc', ";", "|")], delimiter=";", end="\r", mark=True)
def test_cells_of_csv_come_back_as_they_were_written_without_white_space_at_their_ends(
    rows: list[tuple[str, str, str]], delimiter: str, end: str, *, mark: bool
) -> None:
    text = io.StringIO(newline="")
    # by itself it quotes only its own line end
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("A", "B", "C"), *rows])
    stripped = [[cell.strip() for cell in row] for row in rows]
    kept = [row for row in stripped if any(row)]

    raw = text.getvalue().encode("utf-8-sig" if mark else "utf-8")

    if not kept:
        assert fault_of(raw)[2] == "there is no row below the names of the columns"
    else:
        columns, found = read(raw)
        assert (columns, [row for _, row in found]) == (["A", "B", "C"], kept)
        assert [line for line, _ in found] == sorted({line for line, _ in found})


@given(rows=st.lists(st.dictionaries(st.sampled_from(["A", "B", "C"]), cells, min_size=1), min_size=1, max_size=6))
def test_objects_of_json_lines_are_rows_whose_columns_are_all_keys(rows: list[dict[str, str]]) -> None:
    raw = "\n".join(json.dumps(row) for row in rows).encode()
    wanted = [row for row in rows if any(text.strip() for text in row.values())]
    if not wanted:
        assert "there is no row" in fault_of(raw)[2]
        return

    columns, found = read(raw)

    assert set(columns) == {key for row in rows for key in row}
    assert [dict(zip(columns, row, strict=True)) for _, row in found] == [
        {key: row.get(key, "").strip() for key in columns} for row in wanted
    ]


def test_values_of_json_lines_are_text_as_written() -> None:
    raw = '\ufeff{"n": 1.50, "big": 12345678901234567890, "yes": true, "no": null, "list": [1]}\n\n{"n": 7}\n'.encode()

    assert read(raw, suffix=".JSONL") == (
        ["n", "big", "yes", "no", "list"],
        [(1, ["1.50", "12345678901234567890", "true", "", '["1"]']), (3, ["7", "", "", "", ""])],
    )


def test_a_quoted_name_of_a_column_may_have_a_line_break_before_the_first_separator() -> None:
    assert read(b'"File\nName";Company\na.pdf;x\n') == (["File\nName", "Company"], [(3, ["a.pdf", "x"])])


def test_cells_of_a_workbook_are_the_text_that_people_see() -> None:
    rows: list[list[object]] = [
        ["File Name", "Größe", "Datum", None],
        ["Müller.pdf", 7, date(2026, 11, 28)],
        [],
        ["b", 123456789012, datetime(2026, 11, 28, 14, 30, tzinfo=UTC).replace(tzinfo=None)],
        ["c", 0.1 + 0.2, time(3, 4)],
        ["d", True, timedelta(hours=26, minutes=30)],
        ["=1+1", " x ", "#N/A"],
    ]

    assert read(book_bytes(rows, formats={"B2": "00000"})) == (
        ["File Name", "Größe", "Datum"],
        [
            (2, ["Müller.pdf", "00007", "2026-11-28"]),
            (4, ["b", "123456789012", "2026-11-28T14:30:00"]),
            (5, ["c", "0.3", "03:04:00"]),
            (6, ["d", "TRUE", "26:30:00"]),
            (7, ["", "x", "#N/A"]),
        ],
    )


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (7, "General", "7"),
        (7, "00000", "00007"),
        (-7, "000", "-007"),
        (1234.5, "#,##0.00", "1234.50"),
        (0.125, "0%", "13%"),
        (2.5, "0", "3"),
        (1e20, "General", "100000000000000000000"),
        (1.5e-7, "General", "0.00000015"),
        (3.0, "General", "3"),
        (12.5, '0.00" EUR"', "12.5"),
        (float("inf"), "0", "Infinity"),
    ],
)
def test_numbers_have_the_digits_that_their_format_shows(value: float, number_format: str, text: str) -> None:
    assert number_text(value, number_format) == text


def test_the_first_sheet_is_read_that_is_not_hidden_or_the_one_that_is_named() -> None:
    book = openpyxl.Workbook()
    book.active.append(["hidden"])
    book.active.append(["x"])
    book.active.sheet_state = "hidden"
    for name in ("Kunden", "Other"):
        sheet = book.create_sheet(name)
        sheet.append([name])
        sheet.append(["y"])
    made = io.BytesIO()
    book.save(made)

    assert read(made.getvalue())[0] == ["Kunden"]
    assert read(made.getvalue(), sheet="Other")[0] == ["Other"]
    assert fault_of(made.getvalue(), sheet="other")[2] == "the workbook has no sheet `other`: did you mean `Other`?"
    assert fault_of(b"a\nb\n", sheet="x")[2] == "only a workbook (.xlsx) has sheets: remove `sheet`"


def test_rows_beyond_what_a_workbook_says_of_its_size_are_read_too() -> None:
    raw = book_bytes([["A"], ["1"], ["2"]])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    assert b'ref="A1:A3"' in sheet
    parts["xl/worksheets/sheet1.xml"] = sheet.replace(b'ref="A1:A3"', b'ref="A1"')

    assert read(zip_bytes(parts))[1] == [(2, ["1"]), (3, ["2"])]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an old workbook of Excel (.xls), or one with a password"),
        (zip_bytes({"mimetype": b"x", "content.xml": b"<x/>"}), "a document of LibreOffice (.ods)"),
        (zip_bytes({"Index/Tables.iwa": b"x"}), "a document of Apple Numbers"),
        (zip_bytes({"word/document.xml": b"x"}), "a document of Word or PowerPoint"),
        (zip_bytes({"a.csv": b"file"}), "a ZIP archive, and not a table"),
        (b"%PDF-1.7\n", "the file is a PDF"),
        (b"\x89PNG\r\n\x1a\n", "the file is a picture"),
        (b"\xff\xd8\xff\xe0", "the file is a picture"),
        (b'\n[{"file": "a.pdf"}]', "JSON, not JSON Lines"),
        (b"<html><table>", "a web page or XML"),
        ("file\n".encode("utf-16"), "the file is UTF-16"),
        (b'{"file": "a.pdf"}\n["b.pdf"]\n', 'a line is an object such as `{"file": "a.pdf"}`, not `["b.pdf"]`'),
        (b'{"file": "a.pdf"}\n{"file": \n', "this is not JSON: Expecting value"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", "this is not JSON: nested too deep"),
        (b"", "the file is empty"),
        (b"PK\x03\x04" + bytes(60), "the workbook is damaged (BadZipFile)"),
        (book_bytes([]), "the sheet `Sheet` is empty"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_what_is_no_table_is_called_what_it_is(raw: bytes, words: str) -> None:
    assert words in fault_of(raw)[2]


def test_a_byte_that_is_not_utf_8_is_told_at_its_line_after_the_rows_above_it() -> None:
    raw = b"file\r\n" + b"a.pdf\r\n" * 200_000 + b"caf\xe9.pdf\r\n"
    found: list[int] = []

    with pytest.raises(TableFault) as fault, read_table(io.BytesIO(raw)) as table:
        found.extend(line for line, _ in table.rows)

    assert (fault.value.line, fault.value.code) == (200_002, "not-utf-8")
    assert len(found) > 190_000


def test_what_a_table_may_cost_is_bounded() -> None:
    large = io.BytesIO(b"file\n" + b"x" * 100)
    with pytest.raises(TableFault, match="more than 100 bytes"), read_table(large, size_limit_bytes=100):
        pass

    one_line = fault_of(b"file\n" + b"x," * 600_000)
    assert one_line[0] == 2
    assert "a row has more than 1,048,576 characters" in one_line[2]
    assert "a row has more than" in fault_of(b"file\n" + b'"a\n",' * 300_000)[2]
    assert "field larger than field limit" in fault_of(b'file\n"' + b"x\n" * 100_000)[2]
    assert "more than 16,384 columns" in fault_of(b"a," * 20_000 + b"\n")[2]


def test_a_workbook_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    bomb = zip_bytes({"[Content_Types].xml": b"", "xl/worksheets/sheet1.xml": bytes(workbook.UNPACKED_LIMIT_BYTES + 1)})
    texts = zip_bytes({"[Content_Types].xml": b"", "xl/sharedStrings.xml": bytes(workbook.STRINGS_LIMIT_BYTES + 1)})

    assert len(bomb) < 1_000_000
    assert "the workbook unpacks to 268,435,457 bytes, at most 268,435,456 are read" in fault_of(bomb)[2]
    assert "the workbook unpacks to" in fault_of(texts)[2]


def test_a_workbook_whose_xml_multiplies_itself_is_damaged() -> None:
    raw = book_bytes([["A"], ["1"]])
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(12))
    sheet = parts["xl/worksheets/sheet1.xml"].replace(b"<t>1</t>", b"<t>&e11;</t>")
    parts["xl/worksheets/sheet1.xml"] = f"<!DOCTYPE worksheet [{entities}]>".encode() + sheet

    assert "the workbook is damaged" in fault_of(zip_bytes(parts))[2]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_a_workbook_that_was_cut_off_is_damaged(cut: float) -> None:
    raw = book_bytes([["A"], *([*str(n)] for n in range(500))])

    assert "the workbook is damaged" in fault_of(raw[: int(len(raw) * cut)])[2]


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 20_000), byte=st.integers(0, 255))
def test_a_workbook_with_a_changed_byte_is_read_or_damaged(at: int, byte: int) -> None:
    raw = bytearray(book_bytes([["A", "B"], *([*str(n)] for n in range(30))]))
    raw[at % len(raw)] = byte
    found: list[object] = []
    with suppress(TableFault):
        found.extend(read(bytes(raw)))

    assert len(found) in (0, 2)


def test_a_table_is_a_regular_file(tmp_path: Path, write: Callable[..., Path]) -> None:
    assert write("file\na.pdf\n", "c.csv").exists()
    with open_table(tmp_path / "c.csv") as table:
        assert list(table.rows) == [(2, ["a.pdf"])]
    for name in ("gone.csv", "."):
        with pytest.raises(UsageError, match="the table"), open_table(tmp_path / name):
            pass
