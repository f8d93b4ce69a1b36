"""The report as a workbook, opened again as a spreadsheet opens it."""

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import openpyxl
import pytest
from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from batch_upload.model import State
from batch_upload.report.completion import HEADER, ReportRow, report_row
from batch_upload.report.workbook import CELL_MAX, SHEET_ROWS_MAX, write_workbook
from tests.unit.report.samples import HOSTILE_NAMES, TOO_LARGE, item, known


def opened(rows: Iterable[ReportRow], *more: str, sheet_rows_max: int = SHEET_ROWS_MAX) -> Workbook:
    """The workbook as another program reads it."""
    stream = io.BytesIO()
    write_workbook(rows, stream, more=more, sheet_rows_max=sheet_rows_max)
    return openpyxl.load_workbook(stream)


def cells_of(sheet: Worksheet, number: int = 2) -> dict[str, Cell]:
    titles = [cell.value for cell in sheet[1]]
    return dict(zip(titles, sheet[number], strict=True))


def test_the_sheet_has_the_columns_of_the_csv_with_numbers_times_and_text() -> None:
    row = replace(report_row(item(), known()), fate="current", run_id="run-1")

    sheet = opened([row], "in_manifest", "fate")["report"]

    cells = cells_of(sheet)
    assert list(cells) == [*HEADER, "in_manifest", "fate"]
    assert {name: cells[name].value for name in ("id", "size_bytes", "attempts", "run_id", "fate", "bound_to")} == {
        "id": "acme/loa",
        "size_bytes": 496_000,
        "attempts": 1,
        "run_id": "run-1",
        "fate": "current",
        "bound_to": None,
    }
    assert cells["first_sent_at"].value == datetime(2026, 11, 23, 14, 0)  # noqa: DTZ001 - a spreadsheet has no zones
    assert cells["first_sent_at"].is_date
    assert cells["tags"].value == '{"Country": "NO"}'


def test_the_header_is_bold_and_stays_in_sight_and_columns_are_wide_enough_to_read() -> None:
    sheet = opened([])["report"]

    assert sheet.freeze_panes == "A2"
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet.auto_filter.ref == "A1:AA1"
    assert sheet.column_dimensions["A"].width > 20


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x","y")', "+1", "-1", "@x", "#N/A", "00123", "1E5", "TRUE"])
def test_text_stays_text_to_the_letter(text: str) -> None:
    cell = cells_of(opened([report_row(item(text)._replace(source=text), None)])["report"])["id"]

    assert (cell.value, cell.data_type, cell.number_format) == (text, "s", "@")


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "a\x00b\x1f\ufffe", "lone \udcff surrogate"])
def test_any_name_can_be_written_and_read(name: str) -> None:
    cell = cells_of(opened([report_row(item("a")._replace(source=name), None)])["report"])["source"]

    assert cell.data_type == "s"
    assert str(cell.value).isascii() == name.isascii() or "\\" in str(cell.value)


def test_a_cell_holds_as_much_as_a_spreadsheet_can_show() -> None:
    fault = TOO_LARGE.__class__(TOO_LARGE.code, "x" * 40_000)

    cell = cells_of(opened([report_row(item(), known(state=State.FAILED, fault=fault))])["report"])["error_message"]

    assert len(cell.value) == CELL_MAX
    assert cell.value.endswith("x…")


@pytest.mark.parametrize(
    ("text", "is_date"),
    [("2400-02-29T23:59:59.999Z", True), ("9999-12-31T00:00:00.000Z", True), ("1890-01-01T00:00:00.000Z", False)],
)
def test_a_time_of_any_year_can_be_read(text: str, is_date: bool) -> None:  # noqa: FBT001
    cell = cells_of(opened([ReportRow("a", "a.pdf", completed_at=text)])["report"])["completed_at"]

    assert cell.is_date is is_date
    shown = cell.value.isoformat(timespec="milliseconds") if is_date else cell.value.removesuffix("Z")
    assert f"{shown}Z" == text


def test_a_sheet_that_is_full_is_followed_by_another() -> None:
    workbook = opened((report_row(item(f"item-{number}"), None) for number in range(5)), sheet_rows_max=3)

    assert workbook.sheetnames == ["report", "report 2", "report 3"]
    assert [sheet.max_row for sheet in workbook] == [3, 3, 2]
    assert [cells_of(sheet)["id"].value for sheet in workbook] == ["item-0", "item-2", "item-4"]
