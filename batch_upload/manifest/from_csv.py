"""The rows of a spreadsheet as entries: one entry a row, with a tag for each column that has no other meaning."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from batch_upload.manifest import rules
from batch_upload.manifest.new import Judge, Rejection, WantedTags
from batch_upload.manifest.new_targets import ACCOUNT_COLUMN, REGION_COLUMN, RowTargets
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.rules import has_braces
from batch_upload.model import Entry, Position, Problem, SourceKind
from batch_upload.spelling import literal

DELIMITERS = ",;\t|"
"""What spreadsheets write between cells: `;` where a comma is the decimal point."""
OWN_COLUMNS = ("file", "url", "id")

_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_WORKBOOK = b"PK\x03\x04"
"""The first bytes of a workbook of Excel (ECMA-376, part 2, 7.3: a package is a ZIP file)."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class CsvCode(StrEnum):
    """What is wrong with a CSV file, besides the codes of a manifest. Codes are only ever added."""

    CSV = "csv"
    COLUMNS = "columns"
    CELLS = "cells"


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file that was read. A row is the number of its first line, and its cells."""

    columns: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]


@dataclass(slots=True)
class EntriesOfRows:
    """The entries of the rows, and every problem. With a problem the entries are useless."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(raw: bytes, name: str) -> Table | Problem:
    """Return the cells of a CSV file in UTF-8, with or without a byte order mark, quoted as in RFC 4180.

    The delimiter is the most frequent one in the header, or that of a first line `sep=;`. White space around a cell is
    not part of it. Rows without any text are left out.
    """
    text = _utf8_text(raw, name)
    if isinstance(text, Problem):
        return text
    separator = _SEPARATOR_LINE.match(text)
    delimiter = separator[1] if separator else _delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells):
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        return Problem(name, Position(line), CsvCode.CSV, f"this is not CSV: {error}")
    if separator:
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


def _utf8_text(raw: bytes, name: str) -> str | Problem:
    if raw.startswith(_WORKBOOK):
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
    """Return the most frequent delimiter of the first line, quoted text left out; a comma if there is none."""
    counts = dict.fromkeys(DELIMITERS, 0)
    is_in_quotes = False
    for char in text:
        if char == '"':
            is_in_quotes = not is_in_quotes
        elif not is_in_quotes and char in "\r\n":
            break
        elif not is_in_quotes and char in counts:
            counts[char] += 1
    return max(DELIMITERS, key=lambda each: counts[each])


def _lower_own(columns: Sequence[str], more: Sequence[str] = ()) -> list[str]:
    """Return the names of columns, those of OWN_COLUMNS and `more` in lower case."""
    return [name.lower() if name.lower() in (*OWN_COLUMNS, *more) else name for name in columns]


def _wrong_with_columns(columns: Sequence[str]) -> str | None:
    named = [name for name in _lower_own(columns) if name]
    if "file" not in named and "url" not in named:
        listed = ", ".join(excerpt(name) for name in columns if name)
        return f"there is no column `file` or `url`: the columns are {listed}"
    twice = next((name for number, name in enumerate(named) if name in named[:number]), None)
    return None if twice is None else f"the column {excerpt(twice)} is there twice: rename one"


def entries_of_table(
    table: Table,
    *,
    name: str,
    folder: Path,
    manifest_folder: Path,
    wanted: WantedTags,
    tag_columns: bool,
    judge: Judge,
    targets: RowTargets | None = None,
) -> EntriesOfRows:
    """Make an entry of each row, and report every problem of each.

    Files are named relative to `folder`, which has the CSV file. Both folders are real paths. With `tag_columns` each
    column that is not `file`, `url` or `id` is a tag; an empty cell is none. `targets` takes the target of each row.
    """
    made = EntriesOfRows()
    own: tuple[str, ...] = OWN_COLUMNS
    columns = _lower_own(table.columns)
    if targets is not None:
        columns = _lower_own(table.columns, () if targets.file is not None else (ACCOUNT_COLUMN, REGION_COLUMN))
        targets.for_columns(columns)
        own = (*own, *targets.own_columns)
    tagging = [column for column in columns if column and column not in own] if tag_columns else []
    for column in tagging:
        if wrong := rules.wrong_with_tag_key(column):
            made.problems.append(Problem(name, Position(), wrong[0], f"column {excerpt(column)}: {wrong[1]}"))
    for line, cells in table.rows:
        row = _TableRow(line, {column: cell for column, cell in zip(columns, cells, strict=False) if column})
        row.check_width(columns, cells)
        entry = row.entry(folder, manifest_folder, tagging, wanted, judge)
        target = None if targets is None else targets.of_row(line, row.cells, row.problems)
        if target is not None and entry is not None:
            # with `targets`, braces of sources and ids are templates
            item_id = None if entry.item_id is None else literal(entry.item_id)
            entry = entry._replace(source=literal(entry.source), item_id=item_id, targets=(target,))
        made.problems.extend(Problem(name, Position(line), code, message) for code, message in row.problems)
        if not row.problems and entry is not None:
            made.entries.append(entry)
    return made


@dataclass(slots=True)
class _TableRow:
    line: int
    cells: Mapping[str, str]
    """By column; without those that have no name."""
    problems: list[Rejection] = field(default_factory=list)

    def check_width(self, columns: Sequence[str], cells: Sequence[str]) -> None:
        """Report a cell in no column, or in one without a name."""
        named = len(columns)
        nameless = [cell for n, cell in enumerate(cells) if cell and (n >= named or not columns[n])]
        if nameless:
            advice = "put quotes around a cell that has a delimiter in it"
            message = f"{excerpt(nameless[0])} is in no column that has a name: {advice}"
            self.problems.append((CsvCode.CELLS, message))

    def entry(
        self, folder: Path, manifest_folder: Path, tag_columns: Sequence[str], wanted: WantedTags, judge: Judge
    ) -> Entry | None:
        """Return the entry; None, or with `problems`, if it has any."""
        file, url = self.cells.get("file", ""), self.cells.get("url", "")
        kind, source = SourceKind.FILE, file
        if file and url:
            self.problems.append((Code.SEVERAL_SOURCES, "the row has both a `file` and a `url`: keep one"))
        elif url:
            kind, source = SourceKind.URL, url
            self._note("url", rules.wrong_with_word(Code.URL, url))
        elif not file:
            self.problems.append((Code.NO_SOURCE, "the row has neither a `file` nor a `url`"))
        elif not self._note("file", rules.wrong_with_path(file) or rules.wrong_with_file(file)):
            if folder != manifest_folder or os.path.isabs(file):
                source = Path(os.path.relpath(folder / file, manifest_folder)).as_posix()
            # the folders between the two may have names that are not allowed
            if not self._note("file", rules.wrong_with_path(source)) and (why := judge(manifest_folder / source, file)):
                self.problems.append(why)
        tags = self._tags(tag_columns, wanted)
        if self.problems:
            return None
        item_id = self.cells.get("id") or file or url
        self._note("id", rules.wrong_with_id(item_id))
        at = Position(self.line)
        return Entry(kind, source, at, item_id=item_id, id_at=at, tags=tags)

    def _tags(self, columns: Sequence[str], wanted: WantedTags) -> dict[str, str]:
        tags = {name: self.cells[name] for name in columns if self.cells.get(name)}
        for name, value in tags.items():
            self._note(name, rules.wrong_with_tag_value(name, value))
        filled = wanted.of_row(self.cells)
        for name, value in filled.items():
            # a template that is left is checked when it is rendered with the names of the file
            if not has_braces(value) and (wrong := rules.wrong_with_tag_value(name, value)):
                self.problems.append((wrong[0], f"`--tag`: {wrong[1]}"))
        tags.update(filled)
        count, limit = len({*tags, *wanted.shared}), rules.TAGS_LIMIT - 1
        if count > limit:
            message = f"{count} tags, at most {limit} are allowed, besides the identity tag"
            self.problems.append((Code.TOO_MANY_TAGS, message))
        return tags

    def _note(self, column: str, wrong: rules.Wrong | None) -> bool:
        """Add a problem of a column. Return whether there is one."""
        if wrong is not None:
            self.problems.append((wrong[0], f"column {excerpt(column)}: {wrong[1]}"))
        return wrong is not None
