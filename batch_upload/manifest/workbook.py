"""Workbooks of Excel (.xlsx): the rows of a sheet as people see them, without macros and formulas being run."""

import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.cell.cell import TYPE_ERROR
from openpyxl.utils.exceptions import InvalidFileException

from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.tables import COLUMNS_LIMIT, CellError, Table, TableFault, TableRow
from batch_upload.model import KIB
from batch_upload.spelling import closest

PARTS_LIMIT = 10_000
"""Files in the ZIP. A workbook has some ten, and one for each sheet and picture."""
UNPACKED_LIMIT_BYTES = 256 * KIB * KIB
"""Of all XML together. A sheet of 100,000 rows and ten columns has about 60 MB."""
STRINGS_LIMIT_BYTES = 64 * KIB * KIB
"""Of the texts that all cells share, which are kept in memory."""
ROWS_LIMIT = 1_048_576
"""Rows of a sheet of Excel (its specifications and limits)."""
_ROWS_AT_ONCE = 200
_CONTENTS = "[Content_Types].xml"
_BROKEN = (
    zipfile.BadZipFile, zlib.error, InvalidFileException, ParseError, KeyError, ValueError, TypeError, IndexError,
    AttributeError, NotImplementedError, EOFError, RuntimeError, OverflowError, RecursionError,
)  # fmt: skip
"""What zipfile, the XML parser and openpyxl raise for a file that is damaged or made to harm."""


def read_workbook(file: BinaryIO, *, sheet: str | None = None) -> Table:
    """Read the columns of a sheet: the one of this name, or the first that is not hidden.

    Formulas are the values that were saved with them. A number is what is shown without separators of thousands, a
    date is ISO 8601. Raises TableFault if the file is no workbook, is damaged, or unpacks to more than is allowed.
    """
    _check_parts(file)
    with _named_faults(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, about styles and extensions that it leaves out
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        found = _sheet_of(book, sheet)
        found.reset_dimensions()  # what a program wrote there may be wrong, and rows would be lost
    rows = _rows_of(found)
    header = next(rows, None)
    if header is None:
        raise TableFault(Code.TABLE, f"the sheet {excerpt(found.title)} is empty: its first row names the columns")
    line, cells = header
    if len(cells) > COLUMNS_LIMIT:
        raise TableFault(Code.TABLE, f"the sheet {excerpt(found.title)} has more than {COLUMNS_LIMIT:,} columns")
    return Table(cells, line, rows, may_have_errors=True)


class _named_faults:  # noqa: N801  used as a context manager, and cheaper than a generator for each batch
    """Turn the errors of a damaged workbook into a TableFault."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, _BROKEN):
            message = f"the workbook is damaged ({type(error).__name__}): open it in Excel and save it again"
            raise TableFault(Code.TABLE, message) from error


def _check_parts(file: BinaryIO) -> None:
    """Raise TableFault for a ZIP that is no workbook, or that unpacks to too much.

    The sizes are those that the ZIP gives; zipfile reads no more of a part than that.
    """
    with _named_faults(), zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    sizes = {part.filename: part.file_size for part in parts}
    names = sizes.keys()
    other = ""
    if "mimetype" in names or "content.xml" in names:
        other = "a document of LibreOffice (.ods)"
    elif any(name.startswith("Index/") or name.endswith(".iwa") for name in names):
        other = "a document of Apple Numbers"
    elif any(name.startswith(("word/", "ppt/")) for name in names):
        other = "a document of Word or PowerPoint"
    elif any(name.endswith(".bin") and name.startswith("xl/workbook") for name in names):
        other = "a binary workbook (.xlsb)"
    elif _CONTENTS not in names:
        raise TableFault(Code.TABLE, "the file is a ZIP archive, and not a table: unpack it first")
    if other:
        raise TableFault(Code.TABLE, f"the file is {other}: save it as .xlsx, or as `CSV UTF-8`")
    strings = sum(size for name, size in sizes.items() if name.lower().endswith("sharedstrings.xml"))
    xml = sum(part.file_size for part in parts if part.filename.lower().endswith((".xml", ".rels")))
    if len(parts) > PARTS_LIMIT or xml > UNPACKED_LIMIT_BYTES or strings > STRINGS_LIMIT_BYTES:
        message = f"the workbook unpacks to {xml:,} bytes, at most {UNPACKED_LIMIT_BYTES:,} are read"
        raise TableFault(Code.TABLE, f"{message}: keep the table alone, and save it as `CSV UTF-8`")


def _sheet_of(book: Any, name: str | None) -> Any:  # noqa: ANN401  openpyxl has no types
    sheets = book.worksheets
    if not sheets:
        raise TableFault(Code.TABLE, "the workbook has no sheet with cells")
    if name is None:
        return next((each for each in sheets if each.sheet_state == "visible"), sheets[0])
    names = [each.title for each in sheets]
    if name not in names:
        alike = closest(name, names)
        advice = f"there are {', '.join(excerpt(each) for each in names)}"
        if alike is not None:
            advice = f"did you mean {excerpt(alike.name)}?"
        raise TableFault(Code.TABLE, f"the workbook has no sheet {excerpt(name)}: {advice}")
    return sheets[names.index(name)]


def _rows_of(sheet: Any) -> Iterator[TableRow]:  # noqa: ANN401  openpyxl has no types
    """Yield the rows that have any text."""
    rows = sheet.iter_rows()
    line = 0
    while True:
        with _named_faults(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = [[_text_of(cell) for cell in row] for row in islice(rows, _ROWS_AT_ONCE)]
        for cells in batch:
            line += 1
            if any(cells):
                yield line, _without_end(cells)
        if len(batch) < _ROWS_AT_ONCE:
            return
        if line > ROWS_LIMIT:
            raise TableFault(Code.TABLE, f"the sheet has more than {ROWS_LIMIT:,} rows", line=line)


def _without_end(cells: list[str]) -> Sequence[str]:
    """Return the cells without empty ones at the end."""
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text_of(cell: Any) -> str:  # noqa: ANN401  openpyxl has no types
    """Return the text of a cell as people see it; dates in ISO 8601, numbers without separators of thousands."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return CellError(value) if cell.data_type == TYPE_ERROR else value.strip()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return number_text(value, cell.number_format)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") if value.time() != time() else value.date().isoformat()
    if isinstance(value, time):
        return value.isoformat(timespec="seconds")
    return value.isoformat() if isinstance(value, date) else _duration_text(value)


def _duration_text(value: object) -> str:
    """Return `26:30:00` for a duration, as the format `[h]:mm:ss` shows it."""
    if not isinstance(value, timedelta):
        return str(value)
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def number_text(value: float, number_format: str) -> str:
    """Return a number as its format shows it, if that has leading zeros, decimals or per cent; else all its digits.

    So 7 in the format `00000` is `00007`, as customer numbers and post codes are written. Excel keeps 15 digits.
    """
    plain = number_format.split(";")[0]
    is_percent = plain.endswith("%")
    digits = plain.removesuffix("%").replace("#,##0", "0").removeprefix("#")
    whole, point, places = digits.partition(".")
    if not whole or whole.strip("0") or places.strip("0") or (point and not places):
        return _all_digits(value)
    exact = Decimal(repr(value)) * (100 if is_percent else 1)
    try:
        rounded = exact.quantize(Decimal(1).scaleb(-len(places)), rounding=ROUND_HALF_UP)
    except ArithmeticError:  # not finite, or beyond 28 digits
        return _all_digits(value)
    sign, text = ("-" if rounded < 0 else ""), f"{abs(rounded):f}"
    before, dot, after = text.partition(".")
    return f"{sign}{before.zfill(len(whole))}{dot}{after}{'%' if is_percent else ''}"


def _all_digits(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{Decimal(f'{value:.15g}'):f}"
