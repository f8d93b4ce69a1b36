"""The completion report as a workbook (.xlsx): the columns of the CSV, as texts, numbers and times.

Rows are written as they come, so that a report of any length needs little memory.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from batch_upload.escape import escaped_for
from batch_upload.report.completion import HEADER, ROW_FIELDS, ReportRow

if TYPE_CHECKING:
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

SHEET_ROWS_MAX = 1_048_576
"""Rows of a sheet (Excel specifications and limits)."""
CELL_MAX = 32_767
"""Characters of a cell (the same)."""
TIME_FORMAT = 'yyyy-mm-dd hh:mm:ss.000"Z"'
FIRST_YEAR = 1901
"""A spreadsheet counts days from 1900, and its first year has one too many: earlier times stay text."""
WIDTHS = {"id": 28, "source": 36, "state": 12, "error_message": 40, "bound_to": 44, "tags": 36, "feedback": 40}
WIDTHS |= {"first_sent_at": 25, "completed_at": 25}
WIDTH = 18
_TIMES = frozenset({"first_sent_at", "completed_at"})
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def write_workbook(
    rows: Iterable[ReportRow], stream: IO[bytes], *, more: Sequence[str] = (), sheet_rows_max: int = SHEET_ROWS_MAX
) -> int:
    """Write the rows under a header that stays in sight, and return their number. `more` are columns behind the others.

    Ids, digests and all other texts are text cells, which no spreadsheet runs as formulas or takes for numbers. Times
    are in UTC. A sheet that is full is followed by another one.
    """
    titles, columns = (*HEADER, *more), (*ROW_FIELDS, *more)
    workbook = Workbook(write_only=True)
    sheet, left, count = _new_sheet(workbook, titles), sheet_rows_max - 1, 0
    for row in rows:
        if left == 0:
            sheet, left = _new_sheet(workbook, titles), sheet_rows_max - 1
        sheet.append([_cell(sheet, name, getattr(row, name)) for name in columns])
        left -= 1
        count += 1
    workbook.save(stream)
    return count


def _new_sheet(workbook: Workbook, titles: Sequence[str]) -> "WriteOnlyWorksheet":
    number = len(workbook.worksheets)
    sheet = workbook.create_sheet("report" if number == 0 else f"report {number + 1}")
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(titles))}1"
    for place, title in enumerate(titles, 1):
        sheet.column_dimensions[get_column_letter(place)].width = WIDTHS.get(title, WIDTH)
    header = [WriteOnlyCell(sheet, title) for title in titles]
    for cell in header:
        cell.font = Font(bold=True)
    sheet.append(header)
    return sheet


def _cell(sheet: "WriteOnlyWorksheet", name: str, value: object) -> object:
    if isinstance(value, Mapping):
        value = json.dumps(dict(value), ensure_ascii=False) if value else None
    if not isinstance(value, str):
        return value
    if name in _TIMES and (at := datetime.fromisoformat(value)).year >= FIRST_YEAR:
        cell = WriteOnlyCell(sheet, at.replace(tzinfo=None))
        cell.number_format = TIME_FORMAT
        return cell
    text = escaped_for(_NOT_IN_XML.sub(lambda found: f"\\x{ord(found.group()):02x}", value), "utf-8")
    cell = WriteOnlyCell(sheet, text if len(text) <= CELL_MAX else f"{text[: CELL_MAX - 1]}…")
    cell.data_type = "s"  # or what begins with `=` would be a formula, and `#N/A` an error
    cell.number_format = "@"
    return cell
