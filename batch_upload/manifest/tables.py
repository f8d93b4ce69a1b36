"""Tables, row by row: CSV, JSON Lines and workbooks (`workbook.py`) have the same columns and cells here.

A row is the number of its first line, and its cells. No format keeps more than one row in memory, besides what is
needed to find the columns; what a file may cost is bounded.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from batch_upload.errors import UsageError
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, THE_TABLE, open_manifest
from batch_upload.model import KIB

DELIMITERS = ",;\t|"
"""What spreadsheets write between cells: `;` where a comma is the decimal point."""
LINE_LIMIT = KIB * KIB
"""Characters of a line. The longest cell of Excel has 32,767 (its specifications and limits)."""
COLUMNS_LIMIT = 16_384
"""Columns of a sheet of Excel (its specifications and limits)."""
KEYS_OF_OBJECTS = 1_000
"""The columns of JSON Lines are the keys of so many objects: later ones may lack some, but have no others."""

_HEAD_BYTES = 8_192
_PIECE_BYTES = KIB * KIB
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""The first bytes of an old document of Office, and of a new one that is encrypted ([MS-CFB], 2.2)."""
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""The first bytes of a PNG and of a JPEG."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SEPARATOR_LINE = re.compile(r"sep=(.)[\r\n]*", re.IGNORECASE)
_JSON_LINES = (".jsonl", ".ndjson")
_SAVE_AS = "save it as .xlsx, or as `CSV UTF-8`"

TableRow = tuple[int, Sequence[str]]
"""The number of a row's first line, from 1, and its cells. Some may be missing at the end, or too many."""


class CellError(str):
    """The error that a workbook shows in place of a formula's value, such as `#N/A`."""

    __slots__ = ()


class TableFault(Exception):
    """A table cannot be read, or not further. `line` is where. Never leaves this package."""

    def __init__(self, code: Code, message: str, *, line: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


@dataclass(slots=True)
class Table:
    """An open table. `rows` are those below the names of the columns, without empty ones, and are read once.

    White space around a cell is not part of it. Reading them raises TableFault where the table is broken, and OSError.
    `are_delimited`: whether a cell in no column that has a name is a problem, since a delimiter may have made it.
    """

    columns: Sequence[str]
    line: int
    """Of the names of the columns."""
    rows: Iterator[TableRow]
    are_delimited: bool = False
    may_have_errors: bool = False
    """Whether a cell may be a CellError."""


@contextmanager
def open_table(path: Path, *, sheet: str | None = None) -> Iterator[Table]:
    """Open a table: JSON Lines by its extension, a workbook by its content, and otherwise CSV.

    Raises TableFault if it is none of these, and UsageError if it is no regular file or cannot be opened.
    """
    with open_manifest(path, what=THE_TABLE) as file, read_table(file, suffix=path.suffix, sheet=sheet) as table:
        yield table


@contextmanager
def read_table(
    file: BinaryIO, *, suffix: str = "", sheet: str | None = None, size_limit_bytes: int = SIZE_LIMIT_BYTES
) -> Iterator[Table]:
    """Read a table from the beginning of a file that can be sought. As `open_table`.

    Without a suffix of JSON Lines, a table whose first character is `{` is JSON Lines.
    """
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size_bytes > size_limit_bytes:
        raise TableFault(Code.TABLE, f"{THE_TABLE} has more than {size_limit_bytes} bytes: split it")
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        from batch_upload.manifest.workbook import read_workbook  # heavy: only for a workbook

        yield _with_rows(read_workbook(file, sheet=sheet))
        return
    _refuse_other_formats(head)
    if sheet is not None:
        raise TableFault(Code.TABLE, "only a workbook (.xlsx) has sheets: remove `sheet`")
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    is_json = suffix.lower() in _JSON_LINES or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    try:
        with _decoding(file):
            table = _with_rows(_json_lines(text) if is_json else _csv(text))
        yield table
    finally:
        text.detach()


def _refuse_other_formats(head: bytes) -> None:
    """Raise TableFault for a file that is no text. Workbooks (.xlsx) are ZIP files, and were recognised before."""
    if head.startswith(_COMPOUND_FILE):
        what = "an old workbook of Excel (.xls), or one with a password"
        raise TableFault(Code.TABLE, f"the file is {what}: open it in Excel, and {_SAVE_AS}")
    if head.startswith(_UTF16):
        raise TableFault(Code.NOT_UTF8, "the file is UTF-16: save it as `CSV UTF-8`")
    if head.startswith(b"%PDF-"):
        raise TableFault(Code.TABLE, "the file is a PDF: name the table that it was made of")
    if head.startswith(_PICTURES):
        raise TableFault(Code.TABLE, "the file is a picture: name a table, or the folder that has the picture")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        raise TableFault(Code.TABLE, "the file is JSON, not JSON Lines: write each object in a line of its own")
    if start[:1] == b"<" and re.match(rb"<(?:!doctype|html|\?xml|table)", start, re.IGNORECASE):
        raise TableFault(Code.TABLE, f"the file is a web page or XML, whatever its name: {_SAVE_AS}")


@contextmanager
def _decoding(file: BinaryIO) -> Iterator[None]:
    """Turn an error of the decoder into a TableFault that names the line."""
    try:
        yield
    except UnicodeDecodeError:
        _raise_not_utf8(file)


def _raise_not_utf8(file: BinaryIO) -> NoReturn:
    """Find the byte that is not UTF-8. Only then is the file read again, in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, is_after_cr = 1, False
    file.seek(0)
    while True:
        piece = file.read(_PIECE_BYTES)
        try:
            text = decoder.decode(piece, final=not piece)
            byte = None
        except UnicodeDecodeError as error:
            text, byte = bytes(error.object[: error.start]).decode("utf-8", "replace"), error.object[error.start]
        line += text.count("\n") + text.count("\r") - text.count("\r\n") - (is_after_cr and text.startswith("\n"))
        is_after_cr = text.endswith("\r")
        if byte is not None:
            message = f"the file is not UTF-8: byte 0x{byte:02x}, Latin-1 perhaps; save it as `CSV UTF-8`"
            raise TableFault(Code.NOT_UTF8, message, line=line)
        if not piece:
            raise UsageError(f"{THE_TABLE} was changed while it was read", hint="try again")


class _Lines:
    """The lines of a text with their ends. Raises TableFault for a row that is too long to keep in memory."""

    def __init__(self, text: io.TextIOWrapper, code: Code) -> None:
        self._readline = text.readline
        self._code = code
        self.number = 0
        """Of the last line, from 1."""
        self.row_length = 0
        """Characters of the row so far: set it to 0 where a row begins."""

    def __iter__(self) -> Iterator[str]:
        while line := self._readline(LINE_LIMIT):
            self.number += 1
            self.row_length += len(line)
            if self.row_length >= LINE_LIMIT:
                raise TableFault(self._code, f"a row has more than {LINE_LIMIT:,} characters", line=self.number)
            yield line


def _csv(text: io.TextIOWrapper) -> Table:
    """Read CSV quoted as in RFC 4180, in UTF-8 with or without a byte order mark.

    The delimiter is the most frequent one in the header, or that of a first line `sep=;`.
    """
    first = text.readline(LINE_LIMIT)
    while first.count('"') % 2 and len(first) < LINE_LIMIT and (more := text.readline(LINE_LIMIT)):
        first += more  # a quoted name of a column has a line break
    separator = _SEPARATOR_LINE.fullmatch(first)
    delimiter = separator[1] if separator else _delimiter_of(first)
    text.seek(0)
    records = _csv_records(text, delimiter)
    if separator:
        next(records, None)
    header = next(records, None)
    if header is None:
        raise TableFault(Code.CSV, "the file is empty: its first line names the columns")
    line, columns = header
    _check_columns(columns, line)
    return Table(columns, line, records, are_delimited=True)


def _delimiter_of(line: str) -> str:
    """Return the most frequent delimiter of the first line, quoted text left out; a comma if there is none."""
    bare = re.sub(r'"[^"]*"?', "", line)
    return max(DELIMITERS, key=bare.count)


def _csv_records(text: io.TextIOWrapper, delimiter: str) -> Iterator[TableRow]:
    """Yield the rows that have any text. `text` is read from its beginning."""
    lines = _Lines(text, Code.CSV)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    strip = str.strip
    line = 1
    try:
        for record in reader:
            cells = [*map(strip, record)]
            if any(cells):
                yield line, cells
            line = lines.number + 1
            lines.row_length = 0
    except csv.Error as error:
        raise TableFault(Code.CSV, f"this is not CSV: {error}", line=line) from error
    except UnicodeDecodeError:
        _raise_not_utf8(text.buffer)  # type: ignore[arg-type]  # it is the file that was opened


def _json_lines(text: io.TextIOWrapper) -> Table:
    """Read JSON Lines: an object a line. Numbers are text as written; `null` and a missing key are an empty cell."""
    objects = _json_objects(text)
    first = list(islice(objects, KEYS_OF_OBJECTS))
    columns = list(dict.fromkeys(key for _, found in first for key in found))
    if not columns:
        raise TableFault(Code.TABLE, 'the file is empty: its lines are objects such as `{"file": "a.pdf"}`')
    _check_columns(columns, first[0][0])

    def rows() -> Iterator[TableRow]:
        for line, found in chain(first, objects):
            cells = [_json_text(found.get(column)) for column in columns]
            if any(cells):
                yield line, cells

    return Table(columns, first[0][0], rows())


def _json_objects(text: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    decode = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).decode
    lines = _Lines(text, Code.TABLE)
    try:
        for written in lines:
            lines.row_length = 0
            if not written.strip():
                continue
            found = decode(written)
            if not isinstance(found, dict):
                message = f'a line is an object such as `{{"file": "a.pdf"}}`, not {excerpt(written.strip())}'
                raise TableFault(Code.TABLE, message, line=lines.number)
            yield lines.number, found
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            _raise_not_utf8(text.buffer)  # type: ignore[arg-type]  # it is the file that was opened
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
        raise TableFault(Code.TABLE, f"this is not JSON: {reason}", line=lines.number) from error


def _json_text(value: object) -> str:
    """Return a value as a cell. A list or a mapping is its own JSON, which no tag and hardly a path may be."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)


def _check_columns(columns: Sequence[str], line: int) -> None:
    if len(columns) > COLUMNS_LIMIT:
        raise TableFault(Code.TABLE, f"the table has more than {COLUMNS_LIMIT:,} columns", line=line)


def _with_rows(table: Table) -> Table:
    """Return the table, which raises TableFault if it has no row."""
    rows, line = table.rows, table.line

    def found() -> Iterator[TableRow]:
        first = next(rows, None)
        if first is None:
            code = Code.CSV if table.are_delimited else Code.TABLE
            raise TableFault(code, "there is no row below the names of the columns", line=line)
        yield first
        yield from rows

    table.rows = found()
    return table


def errors_in(cells: Sequence[str], places: Iterable[int]) -> list[int]:
    """Return those of the places whose cells have an error. Places beyond the last cell have none."""
    return [place for place in places if place < len(cells) and isinstance(cells[place], CellError)]


def header_below(table: Table, is_header: Callable[[Sequence[str]], bool], *, within: int = 20) -> int | None:
    """Return the line of the first of the next rows that `is_header`, or None. It uses up these rows."""
    try:
        return next((line for line, cells in islice(table.rows, within) if is_header(cells)), None)
    except TableFault:
        return None
