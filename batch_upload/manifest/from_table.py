"""The entry with `table` that `manifest new` makes of the columns of a table."""

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from batch_upload.errors import UsageError
from batch_upload.manifest import rules
from batch_upload.manifest.binds import wrong_with_member
from batch_upload.manifest.columns import Columns, columns_in, folded_name
from batch_upload.manifest.filters import clean_for_tag
from batch_upload.manifest.forms import FORM_OF_FIELD
from batch_upload.manifest.new import WantedTags, with_filter
from batch_upload.manifest.new_targets import ACCOUNT_COLUMN, REGION_COLUMN, RowTargets
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.rows import title_rows_message
from batch_upload.manifest.rules import COLUMN_NAME, COLUMN_PREFIX, has_braces
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.tables import Table, TableFault, header_below
from batch_upload.model import Entry, Position, SourceKind
from batch_upload.registration import Bind
from batch_upload.spelling import literal

OWN_COLUMNS = ("file", "url", "id")
"""Columns that are no tags, in any case."""
REGISTRATION_COLUMNS = ("registration", "registrationid", "registration id")
"""Names of the column that has the registrations, in any case, with `_` or `-` for the space, if there is only one."""
FILE_COLUMNS = ("file name", "filename", "path", "attachment", "document")
"""Names of the column that has the files, if there is no column `file` or `url`, and only one of these."""
MISSING_SOUGHT, FOLDERS_SOUGHT = 100, 200
"""`folder_of_missing` looks for so many of the files at most, and in so many folders."""


@dataclass(frozen=True, slots=True)
class WantedBind:
    """The `bind` of every row."""

    field: str
    """The path of the field, or a template such as `{col:Field}`."""
    column: str | None = None
    """The column that has the registrations, or a template; None: the only one of REGISTRATION_COLUMNS."""
    max_size_bytes: int | None = None
    """The `max_size` of every row; None: that of the field's form, if it is known."""

    @property
    def form(self) -> str | None:
        """The name of the field's form; None if the field is not the same for all rows, or its form not known."""
        return FORM_OF_FIELD.get(self.field)


def wanted_bind(
    field: str | None, column: str | None, *, form: str | None, max_size_bytes: int | None
) -> WantedBind | None:
    """Return the `bind` that `--bind` and `--bind-column` ask for; None without them.

    `form` and `max_size_bytes` are those of `--form` and `--max-size`. Raises UsageError if they do not go together.
    """
    if field is None:
        if column is not None:
            raise UsageError("`--bind-column` goes with `--bind FIELD` only")
        return None
    wanted = WantedBind(field, column, max_size_bytes)
    if form is not None and wanted.form not in (None, form):
        raise UsageError(f"`--form {form}` and `--bind {field}` do not go together: the field's is `{wanted.form}`")
    return wanted


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The options for the entry of a table."""

    tags: WantedTags
    """Those of `--tag`, with the filters that they need."""
    file_column: str | None = None
    """The column that has the files, or a template such as `Letters/{col:Name}.pdf`."""
    clean: str | None = None
    """What replaces characters that tags may not have; None: they are a problem."""
    bind: WantedBind | None = None


@dataclass(slots=True)
class NewTableEntry:
    """An entry for a table, whose paths start at the manifest's folder."""

    entry: TableEntry
    columns: Sequence[str]
    """The table's, those with a meaning of their own in lower case."""
    file: str | None
    """The template of `file` from the table's folder; None for a table of addresses."""
    target: str | None = None
    """The template of `target`; None without `--target-column`."""
    notes: list[str] = field(default_factory=list)


def new_table_entry(
    table: Table,
    options: TableOptions,
    *,
    path: str,
    folder: Path,
    manifest_folder: Path,
    targets: RowTargets | None,
    sheet: str | None = None,
) -> NewTableEntry:
    """Return the entry that lists each row of a table.

    `path` is the table's from the manifest's folder; files are named relative to `folder`, which has the table. Both
    folders are real paths. Raises TableFault if the columns do not suffice, and UsageError for a column that an
    option names and the table does not have.
    """
    lowered: tuple[str, ...] = OWN_COLUMNS
    if targets is not None and targets.file is None:
        lowered = (*lowered, ACCOUNT_COLUMN, REGION_COLUMN)
    columns = [name.lower() if name.lower() in lowered else name for name in table.columns]
    written = dict(zip(columns, table.columns, strict=True))
    file, note = _file_template(table, columns, options.file_column)
    bind = None if options.bind is None else _bind(table, options.bind)
    used = {folded_name(column) for text in (file or "", *(bind or ())) for column in columns_in(text)}
    # with `--file-column` a column `file` is one as any other
    untagged = set(OWN_COLUMNS) if options.file_column is None else set(OWN_COLUMNS) - {"file"}
    if targets is not None:
        targets.for_columns(columns)
        untagged.update(targets.own_columns)
    tagging = [name for name in columns if name and name not in untagged and folded_name(name) not in used]
    by_row = options.tags.for_columns([name for name in table.columns if name]).by_row
    if not by_row:
        by_row = _tags_of_columns(table, tagging, written, options.clean)
    before = (
        "" if folder == manifest_folder else literal(Path(os.path.relpath(folder, manifest_folder)).as_posix() + "/")
    )
    url = _column(table, written["url"]) if "url" in columns else None
    item_id = _column(table, written["id"]) if "id" in columns else None
    if before and item_id is None:
        item_id = file
    kind, source = (SourceKind.FILE, before + file) if file is not None else (SourceKind.URL, url or "")
    max_size_bytes = None if options.bind is None else options.bind.max_size_bytes
    entry = Entry(kind, source, Position(), item_id=item_id, tags=by_row, max_size_bytes=max_size_bytes, bind=bind)
    made = TableEntry(path, Position(), entry, url if file is not None else None, Position(), sheet)
    notes = [note] if note else []
    if bind is not None and options.bind is not None and options.bind.column is None:
        (column,) = columns_in(bind.registration)
        notes.append(f"registrations are named by the column {excerpt(column)}")
    if bind is None and (found := _guesses(table.columns, REGISTRATION_COLUMNS)):
        named = " and ".join(map(excerpt, found))
        notes.append(f"{named}: `--bind FIELD` puts each attachment into this field of the row's registration")
    return NewTableEntry(made, columns, file, _target_template(table, written, targets), notes)


def _target_template(table: Table, written: Mapping[str, str], targets: RowTargets | None) -> str | None:
    if targets is None:
        return None
    name = _column(table, written[targets.column])
    if targets.file is not None:
        return name
    if REGION_COLUMN in written:
        return f"{name}/{_column(table, written[REGION_COLUMN])}"
    return name if targets.region is None else f"{name}/{targets.region}"


def _file_template(table: Table, columns: Sequence[str], wanted: str | None) -> tuple[str | None, str]:
    """Return the template of `file`, None for a table of addresses alone, and what to say about its choice."""
    if wanted is not None:
        return _wanted_template(table, wanted, "--file-column"), ""
    twice = [name for name in OWN_COLUMNS if columns.count(name) > 1]
    if twice:
        raise TableFault(Code.COLUMNS, f"the column {excerpt(twice[0])} is there twice: rename one", line=table.line)
    if "file" in columns:
        return _column(table, table.columns[columns.index("file")]), ""
    if "url" in columns:
        return None, ""
    guesses = _guesses(table.columns, FILE_COLUMNS)
    if len(guesses) == 1:
        return _column(table, guesses[0]), f"files are named by the column {excerpt(guesses[0])}"
    if not guesses:
        line = header_below(
            table, lambda cells: len(_guesses(cells, FILE_COLUMNS)) == 1 or "file" in map(str.lower, cells)
        )
        if line is not None:
            raise TableFault(Code.COLUMNS, title_rows_message(table.line, line), line=table.line)
    which = f"; it may be {' or '.join(map(excerpt, guesses))}" if guesses else ""
    message = (
        f"there is no column `file` or `url`{which}: `--file-column NAME` names it; {Columns(table.columns).listed}"
    )
    raise TableFault(Code.COLUMNS, message, line=table.line)


def _bind(table: Table, wanted: WantedBind) -> Bind:
    """Return the templates of `--bind` and `--bind-column`."""
    field = wanted.field
    if has_braces(field):
        field = _wanted_template(table, field, "--bind")
    elif (place := Columns(table.columns).find(field)) is not None:
        template = shlex.quote(_column(table, table.columns[place]))
        message = f"`--bind {field}` names a column, and `--bind` is for the path of a field"
        raise UsageError(message, hint=f"`--bind {template}` takes each row's field from it")
    elif wrong := wrong_with_member("field", field):
        raise UsageError(f"`--bind`: {wrong[1]}")
    if wanted.column is not None:
        return Bind(_wanted_template(table, wanted.column, "--bind-column"), field)
    guesses = _guesses(table.columns, REGISTRATION_COLUMNS)
    if len(guesses) == 1:
        return Bind(_column(table, guesses[0]), field)
    which = f"it may be {' or '.join(map(excerpt, guesses))}" if guesses else Columns(table.columns).listed
    message = f"which column has the registrations is not known: `--bind-column NAME` names it; {which}"
    raise TableFault(Code.COLUMNS, message, line=table.line)


def _wanted_template(table: Table, wanted: str, option: str) -> str:
    """Return the template of an option, which is the name of a column or a template itself."""
    names = Columns(table.columns)
    if not has_braces(wanted):
        place = names.find(wanted)
        if place is None:
            raise UsageError(f"`{option}`: {names.wrong_with(wanted)}")
        return _column(table, table.columns[place])
    if wrong := rules.wrong_with_template(wanted, (COLUMN_NAME,)):
        raise UsageError(f"`{option}`: {wrong}")
    for column in columns_in(wanted):
        if names.find(column) is None:
            raise UsageError(f"`{option}`: {names.wrong_with(column)}")
    return wanted


def _guesses(columns: Sequence[str], names: Collection[str]) -> list[str]:
    """Return the columns that have one of these names, in any case, with `_` or `-` for a space."""
    return [name for name in columns if folded_name(name.replace("_", " ").replace("-", " ")) in names]


def _column(table: Table, name: str) -> str:
    """Return the template for a column. Raises TableFault if its name cannot be in one."""
    if set("{}|") & set(name):
        message = f"the column {excerpt(name)}: rename it, a name that is used has no braces and no `|`"
        raise TableFault(Code.COLUMNS, message, line=table.line)
    if rules.has_surrogate(name):  # JSON can write half a character, and YAML cannot
        message = f"the column {excerpt(name)}: rename it, its name is not valid Unicode"
        raise TableFault(Code.COLUMNS, message, line=table.line)
    if Columns(table.columns).find(name) is None:
        raise TableFault(Code.COLUMNS, f"the column {excerpt(name)} is there twice: rename one", line=table.line)
    return f"{{{COLUMN_PREFIX}{name}}}"


def _tags_of_columns(
    table: Table, tagging: Sequence[str], written: Mapping[str, str], clean: str | None
) -> dict[str, str]:
    """Return a tag for each of these columns."""
    tags: dict[str, str] = {}
    for name in tagging:
        column = written[name]
        key = name if clean is None else clean_for_tag(name, clean)[: rules.TAG_KEY_LENGTH]
        if wrong := rules.wrong_with_tag_key(key):
            advice = "" if clean is not None else "; `--clean-tags _` replaces what tags may not have"
            raise TableFault(wrong[0], f"column {excerpt(column)}: {wrong[1]}{advice}", line=table.line)
        template = _column(table, column)
        if key in tags:
            raise TableFault(Code.COLUMNS, f"two columns become the tag {excerpt(key)}: rename one", line=table.line)
        tags[key] = template if clean is None else with_filter(template, f"|tag:{clean}")
    return tags


def folder_of_missing(names: Sequence[str], folder: Path, template: str) -> str:
    """Return a hint if most of these missing files are in one folder below `folder`, or lack an extension; or nothing.

    `names` are relative to `folder`, `template` is the one that made them.
    """
    sought = names[:MISSING_SOUGHT]
    best, where = len(sought) / 2, ("", "")
    with suppress(OSError):
        below = sorted(each.name for each in os.scandir(folder) if each.is_dir() and not each.name.startswith("."))
        for inside in ("", *(f"{name}/" for name in below[:FOLDERS_SOUGHT])):
            for ending in ("", ".pdf", ".png", ".jpg", ".jpeg"):
                found = sum((folder / f"{inside}{name}{ending}").is_file() for name in sought)
                if found > best:
                    best, where = found, (inside, ending)
    if where == ("", ""):
        return ""
    inside, ending = where
    example = next(name for name in sought if (folder / f"{inside}{name}{ending}").is_file())
    better = shlex.quote(f"{literal(inside)}{template}{ending}")
    asked = f"did you mean `{inside}{example}{ending}`?"
    return f"files are looked for beside the table: {asked} then add `--file-column {better}`"
