"""A spreadsheet's rows as entries: one for each, with a tag for each column that is nothing else."""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.new import Judge
from batch_upload.manifest.problems import quoted
from batch_upload.manifest.rules import has_braces
from batch_upload.manifest.tagging import Wanted
from batch_upload.model import Entry, Position, Problem, SourceKind

DELIMITERS = ",;\t|"
"""What spreadsheets write between cells: `;` where the comma is for decimals."""
OWN_COLUMNS = ("file", "url", "id")

_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_ZIP = b"PK\x03\x04"
"""Begins a workbook of Excel (ECMA-376, part 2, 7.3: a package is a ZIP file)."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class CsvCode(StrEnum):
    """What is wrong with a CSV file, beside what can be wrong with a manifest. Codes are only ever added."""

    CSV = "csv"
    COLUMNS = "columns"
    CELLS = "cells"


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file that was read. A row is the number of the line that it begins in, and its cells."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]


@dataclass(slots=True)
class Rows:
    """What was made of the rows. With a problem the entries are for nothing."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(raw: bytes, name: str) -> Table | Problem:
    """The cells of a CSV file in UTF-8, with or without a byte order mark, quoted as in RFC 4180.

    The delimiter is what stands most often in the header, or what a first line `sep=;` says. White space around a cell
    is not part of it. Rows without any text are left out.
    """
    text = _decoded(raw, name)
    if isinstance(text, Problem):
        return text
    said = _SEPARATOR_LINE.match(text)
    delimiter = said[1] if said else _delimiter_of(text)
    try:
        records = list(_records(text, delimiter))
    except _BrokenError as error:
        return Problem(name, Position(error.line), CsvCode.CSV, f"this is not CSV: {error}")
    if said:
        records = records[1:]
    if not records:
        return Problem(name, Position(), CsvCode.CSV, "the file is empty: its first line names the columns")
    (line, columns), *rows = records
    wrong = _wrong_with_columns(columns)
    if wrong is not None:
        return Problem(name, Position(line), CsvCode.COLUMNS, wrong)
    if not rows:
        return Problem(name, Position(line), CsvCode.CSV, "there is no row below the names of the columns")
    return Table(columns, rows)


def entries_of_table(
    table: Table, *, name: str, folder: Path, beside: Path, wanted: Wanted, tag_columns: bool, judge: Judge
) -> Rows:
    """An entry for each row, and every problem of each.

    Files are named from `folder`, where the CSV file is, and `beside` is where the manifest goes: both are real paths.
    With `tag_columns` each column that is not `file`, `url` or `id` is a tag; an empty cell is none.
    """
    made = Rows()
    maker = _Maker(table.columns, folder, beside, wanted, tag_columns=tag_columns, judge=judge)
    for wrong in maker.wrong_with_tag_columns():
        made.problems.append(Problem(name, Position(), *wrong))
    for line, cells in table.rows:
        entry, problems = maker.entry(line, cells)
        made.problems.extend(Problem(name, Position(line), code, message) for code, message in problems)
        if entry is not None:
            made.entries.append(entry)
    return made


class _BrokenError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _decoded(raw: bytes, name: str) -> str | Problem:
    if raw.startswith(_ZIP):
        return Problem(name, Position(), CsvCode.CSV, "the file is a workbook, not CSV: save it as `CSV UTF-8`")
    if raw.startswith(_UTF16):
        return Problem(name, Position(), Code.NOT_UTF8, "the file is UTF-16: save it as `CSV UTF-8`")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"the file is not UTF-8: byte 0x{raw[error.start]:02x}, Latin-1 perhaps; save it as `CSV UTF-8`"
        return Problem(name, Position(line), Code.NOT_UTF8, message)


def _delimiter_of(text: str) -> str:
    """The delimiter that stands most often in the first line, outside of quotes; a comma where there is none."""
    counts = dict.fromkeys(DELIMITERS, 0)
    in_quotes = False
    for char in text:
        if char == '"':
            in_quotes = not in_quotes
        elif not in_quotes and char in "\r\n":
            break
        elif not in_quotes and char in counts:
            counts[char] += 1
    return max(DELIMITERS, key=lambda each: counts[each])


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Every record that has any text, and the line that it begins in. Raises _BrokenError."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _BrokenError(line, str(error)) from error
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield line, stripped


def _wrong_with_columns(columns: Sequence[str]) -> str | None:
    named = [name for name in columns if name]
    own = [name.lower() for name in named if name.lower() in OWN_COLUMNS]
    if "file" not in own and "url" not in own:
        return f"there is no column `file` or `url`: the columns are {', '.join(quoted(name) for name in named)}"
    seen: set[str] = set()
    for name in (name.lower() if name.lower() in OWN_COLUMNS else name for name in named):
        if name in seen:
            return f"the column {quoted(name)} is there twice: rename one"
        seen.add(name)
    return None


class _Maker:
    """Makes an entry of a row."""

    def __init__(
        self, columns: Sequence[str], folder: Path, beside: Path, wanted: Wanted, *, tag_columns: bool, judge: Judge
    ) -> None:
        self._columns = [name.lower() if name.lower() in OWN_COLUMNS else name for name in columns]
        self._folder = folder
        self._beside = beside
        self._wanted = wanted
        self._tag_columns = [n for n in self._columns if n and n not in OWN_COLUMNS] if tag_columns else []
        self._limit = rules.TAGS_LIMIT - 1
        self._judge = judge
        self._problems: list[tuple[str, str]] = []

    def wrong_with_tag_columns(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the names of the columns that are tags, and with their number."""
        for name in self._tag_columns:
            if wrong := rules.wrong_with_tag_key(name):
                yield wrong[0], f"column {quoted(name)}: {wrong[1]}"

    def entry(self, line: int, cells: Sequence[str]) -> tuple[Entry | None, list[tuple[str, str]]]:
        """The entry of a row, or what is wrong with the row."""
        self._problems = []
        self._check_width(cells)
        row = {name: cell for name, cell in zip(self._columns, cells, strict=False) if name}
        found = self._source(row)
        tags = self._tags(row)
        if found is None or self._problems:
            return None, self._problems
        kind, source, written = found
        item_id = row.get("id") or written
        self._note("id", rules.wrong_with_id(item_id))
        entry = Entry(kind, source, Position(line), item_id=item_id, id_at=Position(line), tags=tags)
        return (None if self._problems else entry), self._problems

    def _check_width(self, cells: Sequence[str]) -> None:
        nameless = [
            cell for number, cell in enumerate(cells) if cell and not (self._columns[number : number + 1] or [""])[0]
        ]
        if nameless:
            advice = "put quotes around a cell that has a delimiter in it"
            message = f"{quoted(nameless[0])} is in no column that has a name: {advice}"
            self._problems.append((CsvCode.CELLS, message))

    def _source(self, row: Mapping[str, str]) -> tuple[SourceKind, str, str] | None:
        """What the row names, for the manifest, and as it is written."""
        file, url = row.get("file", ""), row.get("url", "")
        if file and url:
            self._problems.append((Code.SEVERAL_SOURCES, "the row has both a `file` and a `url`: keep one"))
        elif url:
            self._note("url", rules.wrong_with_word(Code.URL, url))
            return SourceKind.URL, url, url
        elif not file:
            self._problems.append((Code.NO_SOURCE, "the row has neither a `file` nor a `url`"))
        elif not self._note("file", rules.wrong_with_path(file) or rules.wrong_with_file(file)):
            return SourceKind.FILE, self._judged(file), file
        return None

    def _judged(self, file: str) -> str:
        is_named_from_there = self._folder == self._beside and not os.path.isabs(file)
        source = file if is_named_from_there else Path(os.path.relpath(self._folder / file, self._beside)).as_posix()
        if self._note("file", rules.wrong_with_path(source)):  # the folders between may have such names
            return source
        refused = self._judge(self._beside / source, file)
        if refused is not None:
            self._problems.append((refused.code, refused.message))
        return source

    def _tags(self, row: Mapping[str, str]) -> dict[str, str]:
        tags = {name: row[name] for name in self._tag_columns if row.get(name)}
        for name, value in tags.items():
            self._note(name, rules.wrong_with_tag_value(name, value))
        filled = self._wanted.of_row(row)
        for name, value in filled.items():
            # what is left of a template is checked when it is finished, with the names of the file
            if not has_braces(value) and (wrong := rules.wrong_with_tag_value(name, value)):
                self._problems.append((wrong[0], f"`--tag`: {wrong[1]}"))
        tags.update(filled)
        count = len({*tags, *self._wanted.shared})
        if count > self._limit:
            message = f"{count} tags, at most {self._limit} are allowed, besides the identity tag"
            self._problems.append((Code.TOO_MANY_TAGS, message))
        return tags

    def _note(self, column: str, wrong: rules.Wrong | None) -> bool:
        if wrong is not None:
            self._problems.append((wrong[0], f"column {quoted(column)}: {wrong[1]}"))
        return wrong is not None
