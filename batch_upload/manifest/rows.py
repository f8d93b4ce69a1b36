"""From an entry with `table` to an entry for each row: its templates are filled in from the columns."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path

from batch_upload.errors import UsageError
from batch_upload.escape import printable
from batch_upload.manifest import rules
from batch_upload.manifest.binds import plain_binds, wrong_with_member
from batch_upload.manifest.columns import Cells, Columns, Template, columns_in, template_of
from batch_upload.manifest.problems import Code, Invalid, Problems, excerpt
from batch_upload.manifest.rules import COLUMN_NAME, LANE_NAMES, TEMPLATE_NAMES, has_braces
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.tables import Table, TableFault, TableRow, errors_in, header_below, open_table
from batch_upload.model import Entry, Position, SourceKind, TargetName
from batch_upload.registration import Bind

_SHARED_FIELDS = Entry._fields.index("targets") + 1
"""The fields of an entry from here on are the same for all rows of a table."""
_NO_COLUMNS = Template(lambda _: "", (), is_cell=False, has_names=False)
_MAY_BE_NO_FILE_BELOW = re.compile(r"\n/|\.\.|/\.?\n")
"""In paths between line ends: what begins with `/`, goes up, or ends as a folder."""
ROWS_AT_ONCE = 250
"""Rows whose texts are checked together."""


@dataclass(slots=True)
class PlainRows:
    """Rows of one table, at least one. Each is a file with tags, without templates and without a wrong text.

    Their paths stay below the manifest's folder, and their ids are short enough. Iterated, it yields their entries.
    """

    base: Entry
    """What all entries of the table have in common."""
    keys: Sequence[str]
    """Those of the tags."""
    rows: Sequence[tuple[int, str, str | None, tuple[str, ...], Bind | None]]
    """Line, source, id, texts of the tags, and field of each; an empty text is no tag."""
    known_tags: dict[tuple[str, ...], Mapping[str, str]]
    """The tags of some texts, for all rows of the table."""

    def __iter__(self) -> Iterator[Entry]:
        return (self.entry(*row) for row in self.rows)

    def entry(self, line: int, source: str, item_id: str | None, texts: Sequence[str], bind: Bind | None) -> Entry:
        """Return the entry of a row."""
        at, tags = Position(line, 0), self.tags(texts)
        own = self.base._replace(kind=SourceKind.FILE, source=source, at=at, item_id=item_id, id_at=at, tags=tags)
        return own if bind is None else own._replace(bind=bind)

    def tags(self, texts: Sequence[str]) -> dict[str, str]:
        """Return a row's own tags."""
        return {key: text for key, text in zip(self.keys, texts, strict=True) if text}


EntryChunk = Sequence[Entry] | PlainRows
"""Entries that were read together."""


class RowReader:
    """Makes the entry of each row of a table. `name` is the table in problems.

    Problems of templates and columns are added once, at their places in the manifest, and then `is_good` is false.
    Those of a row are added at its line.
    """

    def __init__(
        self,
        entry: TableEntry,
        table: Table,
        problems: Problems,
        *,
        name: str,
        has_targets: bool,
        remedy: str = "",
        judge: Callable[[str, Bind | None], tuple[str, str] | None] | None = None,
        invalid: Invalid | None = None,
    ) -> None:
        """Prepare the templates.

        `remedy`: the advice on a value that no tag may have; if empty, it is to add a filter to the template. `judge`
        returns what is wrong with a file that goes into a field, `invalid` gets the problems of rows.
        """
        base = entry.entry
        self.is_good = True
        self.columns = Columns(table.columns)
        self._table = table
        self._problems = problems
        self._name = name
        self._base = base._replace(at_file=name, bind=None, bind_at=None)
        self._keys = [*base.tags]
        self._known_tags: dict[tuple[str, ...], Mapping[str, str]] = {}
        self._remedy = remedy
        self._judge = judge
        self._invalid = invalid or Invalid()
        self._has_targets = has_targets
        self._check_templates(entry)
        if not self.is_good:
            return

        def prepared(text: str | None, *, keep: bool = has_targets) -> Template | None:
            return None if text is None else template_of(text, self.columns, keep=keep)

        source = prepared(base.source)
        self._file = source if base.kind is SourceKind.FILE else None
        self._url = source if base.kind is SourceKind.URL else prepared(entry.url)
        self._id = prepared(base.item_id)
        self._targets = [template_of(text, self.columns, keep=False) for text, _ in base.targets or ()]
        self._tags: list[tuple[str, Template]] = []
        for key, text in base.tags.items():
            changed = partial(problems.tag_changed, base.tags_at.get(key, entry.at))
            keep = _has_other_names(text)
            self._tags.append((sys.intern(key), template_of(text, self.columns, keep=keep, changed=changed)))
        self._bind = [template_of(text, self.columns, keep=_has_other_names(text)) for text in base.bind or ()]
        self._width = len(table.columns)
        self._nameless = [place for place, column in enumerate(table.columns) if not column]
        self._shared = self._base[_SHARED_FIELDS:]
        # an empty constant is a tag, an empty cell is none; and what a filter changes is counted once
        are_tags_plain = all(text and "|" not in text for text in base.tags.values())
        self._is_plain = (
            judge is None
            and self._url is None
            and base.targets is None
            and not has_targets
            and not self._nameless
            and are_tags_plain
            and not any(template.has_names for template in self._bind)
        )
        partly = [template.columns for _, template in self._tags if not template.is_cell]
        partly += [template.columns for template in self._bind]
        used = (self._file, self._url, self._id, *self._targets, *(each for _, each in self._tags), *self._bind)
        self._used = sorted({place for template in used if template is not None for place in template.columns})
        self._needed = {place for places in (*partly, self._file.columns if self._file else ()) for place in places}

    def _check_templates(self, entry: TableEntry) -> None:
        base = entry.entry
        names = (COLUMN_NAME, *LANE_NAMES) if self._has_targets else (COLUMN_NAME,)
        names_of_tags = (*TEMPLATE_NAMES, *names)
        written = [(base.source, base.at, names), (base.item_id, base.id_at, names), (entry.url, entry.url_at, names)]
        written += [(text, at, (COLUMN_NAME,)) for text, at in base.targets or ()]
        # those of tags were checked, unless it was not known yet whether there are `targets`
        written += [(text, base.bind_at, names_of_tags) for text in base.bind or ()]
        written += [(text, base.tags_at.get(key), names_of_tags) for key, text in base.tags.items() if has_braces(text)]
        for text, at, allowed in written:
            if text is not None and (wrong := rules.wrong_with_template(text, allowed)):
                self.is_good = False
                self._problems.add(at or base.at, Code.TEMPLATE, wrong)
        if not self.is_good:
            return
        wanted = dict.fromkeys(column for text, _, _ in written if text is not None for column in columns_in(text))
        if missing := [column for column in wanted if self.columns.find(column) is None]:
            self.is_good = False
            reasons = "; ".join(dict.fromkeys(self.columns.wrong_with(column) for column in missing))

            def has_all(cells: Cells) -> bool:
                columns = Columns(cells)
                return all(columns.find(each) is not None for each in wanted)

            line = header_below(self._table, has_all)
            if line is not None:
                reasons = title_rows_message(self._table.line, line)
            self._problems.add(entry.at, Code.COLUMNS, f"{excerpt(entry.path)}: {reasons}")

    def chunks(self, rows_at_once: int = ROWS_AT_ONCE) -> Iterator[EntryChunk]:
        """Yield the entries of rows that have no problem. Raises OSError as reading the table does."""
        rows = iter(self._table.rows)
        fault: TableFault | None = None
        is_over = False
        while not is_over:
            chunk: list[TableRow] = []
            try:
                for row in islice(rows, rows_at_once):
                    chunk.append(row)  # what was read before a fault must not be lost
            except TableFault as error:
                fault = error
            is_over = len(chunk) < rows_at_once
            has_errors = self._table.may_have_errors and any(errors_in(cells, self._used) for _, cells in chunk)
            is_plain = self._is_plain and chunk and not has_errors
            plain = self._entries_at_once(chunk) if is_plain else None
            yield [self._entry_or_problem(*row) for row in chunk] if plain is None else plain
        if fault is not None:
            self._report(fault.line, [(fault.code, fault.message)])

    def _entry_or_problem(self, line: int, cells: Cells) -> Entry:
        """Return the entry of a row. One with problems has the first of them, and neither tags nor targets."""
        before = len(self._problems)
        entry, wrong = self._read(line, cells)
        if not wrong:
            return entry
        self._report(line, wrong)
        found = self._problems.after(before)
        self._invalid.problems.update(found)
        targets = None if entry.targets is None else ()
        return entry._replace(tags={}, tags_at={}, targets=targets, problem=found[0])

    def _report(self, line: int, wrong: Iterable[tuple[str, str]]) -> None:
        for code, message in wrong:
            self._problems.add_in_table(self._name, line, code, message)

    def _entries_at_once(self, rows: Sequence[TableRow]) -> PlainRows | None:
        """Return the entries of rows if they all have what they need, and nothing to report; None: look at each.

        As `entry_of`, but each check is made once for the texts of all rows. It takes half the time.
        """
        lines, many = zip(*rows, strict=True)
        if self._file is None or set(map(len, many)) != {self._width}:
            return None
        if not all(all(map(itemgetter(place), many)) for place in self._needed):
            return None
        sources = [*map(self._file.fill, many)]
        ids: Sequence[str | None] = [None] * len(many)
        if self._id is not None:
            ids = [text or None for text in map(self._id.fill, many)]
        written = [*sources, *filter(None, ids)]
        if not "".join(written).isprintable() or max(map(len, written)) > rules.ID_LENGTH:
            return None
        if _MAY_BE_NO_FILE_BELOW.search("\n".join(("", *sources, ""))):
            return None
        values = [[*map(template.fill, many)] for _, template in self._tags]
        for (_, template), texts in zip(self._tags, values, strict=True):
            if template.has_names or not rules.are_tag_values(texts):
                return None
        tags = zip(*values, strict=True) if values else [()] * len(many)
        binds: Sequence[Bind | None] | None = [None] * len(many)
        if self._bind:
            binds = plain_binds(*([*map(template.fill, many)] for template in self._bind))
        if binds is None:
            return None
        return PlainRows(
            self._base, self._keys, [*zip(lines, sources, ids, tags, binds, strict=True)], self._known_tags
        )

    def entry_of(self, line: int, cells: Cells) -> Entry | None:
        """Return the entry of a row, or None after its problems were added."""
        entry, wrong = self._read(line, cells)
        self._report(line, wrong)
        return None if wrong else entry

    def _read(self, line: int, cells: Cells) -> tuple[Entry, list[tuple[str, str]]]:
        """Return the entry of a row as far as it is known, and what is wrong with it. Reports nothing."""
        at = Position(line, 0)
        wrong: list[tuple[str, str]] = []
        if len(cells) != self._width or self._nameless:
            cells = self._whole(cells, wrong)
        error_places = frozenset(errors_in(cells, self._used) if self._table.may_have_errors else ())
        columns = ((excerpt(self._table.columns[place]), cells[place]) for place in sorted(error_places))
        wrong += ((Code.CELL_ERROR, cell_error_message(column, cell)) for column, cell in columns)
        bind = self._bind_of(cells, wrong) if self._bind else None
        kind, source = self._source_of(cells, bind, wrong, error_places)
        item_id = None if self._id is None else self._id.fill(cells) or None
        if item_id is not None and (found := rules.wrong_with_id(item_id)):
            wrong.append(found)
        tags: dict[str, str] = {}
        for key, template in self._tags:
            places = template.columns
            if places and not cells[places[0]] and not any(cells[place] for place in places):
                continue
            value = template.fill(cells)
            if value or not places:
                tags[key] = value
                found = None if template.has_names else rules.wrong_with_tag_value(key, value)
                if found and error_places.isdisjoint(places):
                    wrong.append((found[0], f"{found[1]}; {self._remedy or self._filter_advice(places)}"))
        targets = None if self._base.targets is None else self._targets_of(cells, at, wrong)
        base = self._base
        own = kind, source, at, item_id, at, tags, base.tags_at, base.generation, base.max_size_bytes, targets
        entry = tuple.__new__(Entry, own + self._shared)
        return entry if bind is None else entry._replace(bind=bind), wrong

    def _whole(self, cells: Cells, wrong: list[tuple[str, str]]) -> Cells:
        """Return as many cells as there are columns. In CSV a cell in no column that has a name is a problem."""
        if self._table.are_delimited:
            nameless = [cells[place] for place in self._nameless if place < len(cells)]
            if stray := next((cell for cell in (*nameless, *cells[self._width :]) if cell), None):
                advice = "put quotes around a cell that has a delimiter in it"
                wrong.append((Code.CELLS, f"{excerpt(stray)} is in no column that has a name: {advice}"))
        return cells if len(cells) >= self._width else [*cells, *[""] * (self._width - len(cells))]

    def _source_of(
        self, cells: Cells, bind: Bind | None, wrong: list[tuple[str, str]], error_places: frozenset[int]
    ) -> tuple[SourceKind, str]:
        file, url = self._file, self._url
        if not error_places.isdisjoint(place for each in (file, url) if each for place in each.columns):
            return SourceKind.FILE, ""
        empty = None if file is None else next((place for place in file.columns if not cells[place]), None)
        has_file = file is not None and empty is None
        if url is not None and all(cells[place] for place in url.columns):
            if has_file:
                wrong.append((Code.SEVERAL_SOURCES, "the row has both a `file` and a `url`: keep one"))
            text = url.fill(cells)
            # with `targets` it is checked when the templates of the lane are filled in
            if not (self._has_targets and has_braces(text)) and (found := rules.wrong_with_word(Code.URL, text)):
                wrong.append(self._of_column(url, found))
            return SourceKind.URL, text
        if has_file and file is not None:
            text = file.fill(cells)
            if found := rules.wrong_with_path(text) or (None if text else rules.wrong_with_text("file", text)):
                wrong.append(self._of_column(file, found))
            elif self._judge is not None and (why := self._judge(text, bind)):
                wrong.append(why)
            return SourceKind.FILE, text
        if file is not None and url is not None:
            wrong.append((Code.NO_SOURCE, "the row has neither a `file` nor a `url`"))
        else:
            columns = (file or url or _NO_COLUMNS).columns
            place = next(place for place in columns if not cells[place])
            wrong.append((Code.NO_SOURCE, f"the column {excerpt(self._table.columns[place])} is empty"))
        return SourceKind.FILE, ""

    def _targets_of(self, cells: Cells, at: Position, wrong: list[tuple[str, str]]) -> tuple[TargetName, ...]:
        names = []
        for template in self._targets:
            # `{col:Account}/{col:Region}` without a Region is all of the target
            name = template.fill(cells).rstrip("/")
            if not name:
                columns = " and ".join(excerpt(self._table.columns[place]) for place in template.columns)
                wrong.append((Code.NO_TARGET, f"column {columns}: the row names no target"))
            names.append((name, at))
        return tuple(names)

    def _bind_of(self, cells: Cells, wrong: list[tuple[str, str]]) -> Bind | None:
        """Return the field of a row, perhaps with templates of the lane and the file; None if it has a problem."""
        before, texts = len(wrong), list[str]()
        for key, template in zip(Bind._fields, self._bind, strict=True):
            empty = next((place for place in template.columns if not cells[place]), None)
            text = template.fill(cells)
            if empty is not None:
                column = excerpt(self._table.columns[empty])
                wrong.append((Code.BIND, f"the column {column} is empty, and `bind` needs it"))
            elif not template.has_names and (found := wrong_with_member(key, text)):
                wrong.append(self._of_column(template, found))
            texts.append(text)
        return Bind(*texts) if len(wrong) == before else None

    def _of_column(self, template: Template, wrong: rules.Wrong) -> rules.Wrong:
        """Return a problem that names the first column of its template."""
        column = next((excerpt(self._table.columns[place]) for place in template.columns), None)
        return wrong if column is None else (wrong[0], f"column {column}: {wrong[1]}")

    def _filter_advice(self, places: Sequence[int]) -> str:
        column = self._table.columns[places[0]] if places else "NAME"
        return f"`{{col:{column}|tag}}` replaces what tags may not have"


def _has_other_names(text: str) -> bool:
    """Tell whether a correct template takes from more than columns."""
    return len(columns_in(text)) < len(rules.names_in(text))


def rows_of_table(
    entry: TableEntry,
    problems: Problems,
    *,
    manifest: Path,
    folder: Path,
    allow_outside: bool,
    has_targets: bool,
    invalid: Invalid,
) -> Iterator[EntryChunk]:
    """Yield the entries of a table's rows, many together, and add every problem and warning of the table.

    `manifest` is the manifest as the user named it, `folder` its real folder.
    """
    real = Path(os.path.realpath(folder / entry.path))
    if not allow_outside and not real.is_relative_to(folder):
        message = f"{excerpt(entry.path)} leaves the manifest's folder: move it in, or use `--allow-outside`"
        problems.add(entry.at, Code.OUTSIDE, message)
        return
    if entry.path == "-":
        message = "a table of a manifest is a file: only `manifest new -` reads one from standard input"
        problems.add(entry.at, Code.TABLE, message)
        return
    name = str(manifest.parent / entry.path)
    try:
        with open_table(real, sheet=entry.sheet) as table:
            reader = RowReader(entry, table, problems, name=name, has_targets=has_targets, invalid=invalid)
            if reader.is_good:
                yield from reader.chunks()
    except UsageError as error:
        problems.add(entry.at, Code.TABLE, printable(error.message))
    except TableFault as fault:
        problems.add_in_table(name, fault.line, fault.code, fault.message)


def cell_error_message(column: str, error: str) -> str:
    """Return what to do about the error of a formula."""
    return f"the column {column} has the error {error}: mend its formula, or clear the cell"


def title_rows_message(first: int, header: int) -> str:
    """Return what to do about rows above the names of the columns, which are in the line `header`."""
    return f"line {first} has no names of columns, line {header} has: remove the lines above it"
