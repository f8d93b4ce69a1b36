"""`manifest new`: make a manifest of a folder or a table that passes `validate` as it is written."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from batch_upload.documents.inspect import examine
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.escape import printable
from batch_upload.form import Form, limiting_form
from batch_upload.manifest.columns import template_of
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.filters import is_replacement
from batch_upload.manifest.forms import BUILT_IN, FORM_OF_FIELD
from batch_upload.manifest.from_table import NewTableEntry, TableOptions, WantedBind, folder_of_missing, new_table_entry
from batch_upload.manifest.new import LeftOut, OneByOne, Rejection, WantedTags, entries_of_folder, wanted_tags
from batch_upload.manifest.new_targets import RowTargets
from batch_upload.manifest.problems import Code, Problems
from batch_upload.manifest.rows import RowReader
from batch_upload.manifest.rules import TARGET_TEMPLATE_NAMES, batch_of, wrong_with_template, wrong_with_word
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, copy_input, read_list
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.manifest.tables import Table, TableFault, open_table, read_table
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, Position, Problem, SourceKind
from batch_upload.registration import Bind
from batch_upload.spelling import text_of_literal
from batch_upload.targets import Target
from batch_upload.words import count_words

SKIP_HINT = (
    "correct these, or add `--skip-invalid`: the manifest is written, and `upload --skip-invalid` sends the others"
)
"""Printed where some rows are good."""
NOT_SKIPPED_HINT = "`--skip-invalid` cannot be used with `--target-column`: correct these, or remove their rows"
LEFT_OUT_SHOWN = 20
"""How many of the files that were left out are named in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewManifestOptions:
    """How to make a manifest. `folder` is the real path of the folder that it goes to: its paths start there."""

    folder: Path
    batch: str | None = None
    """Made of the name of the source if None."""
    tags: Sequence[str] = ()
    """`KEY=VALUE`, with templates."""
    max_size_bytes: int = MAX_SIZE_DEFAULT_BYTES
    """Overrides the size of `form`."""
    form: Form | None = None
    """The built-in form of all attachments."""
    allow_outside: bool = False
    target: Target = field(default_factory=Target)
    """The manifest's `target`: Region, account and role."""
    target_column: str | None = None
    """The column of a CSV file that names the target of each row. Then `target` has what all targets share."""
    targets_file: Path | None = None
    """A file of targets, which the manifest names; without it the CSV file has their accounts."""
    file_column: str | None = None  # has the files; or a template such as `Letters/{col:Name}.pdf`; guessed if None
    sheet: str | None = None  # of a workbook; the first if None
    clean_tags: str | None = None  # a character that replaces those that tags may not have; None: they are a problem
    bind: WantedBind | None = None
    """The field of a registration that the attachment of each row of a table goes into."""
    rows: bool = False  # whether each row of a table is written as an entry of its own
    skip_invalid: bool = False
    """Make the manifest although some rows have problems, which `NewManifest.problems` lists."""
    stdin: BinaryIO | None = None
    """Has the table in place of the source. Its rows are written one by one, since it cannot be read again."""
    passed_over: Sequence[Path] = ()
    """Real paths of files in the folder to skip: the manifest itself and its schema."""


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest that was made, and how many attachments it lists."""

    manifest: Manifest
    attachments: int
    left_out: Sequence[LeftOut] = ()
    one_by_one: Sequence[OneByOne] = ()
    targets_file: str | None = None
    """The file that has the targets of the manifest, relative to its folder."""
    table: TableEntry | None = None
    """The entry to write in place of those of the table's rows."""
    notes: Sequence[str] = ()
    """What was chosen or changed, for people."""
    problems: Sequence[Problem] = ()
    """With `skip_invalid`: of the rows that cannot be sent. `upload --skip-invalid` leaves them out."""
    invalid: int = 0
    """How many rows that are."""


def new_manifest(source: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of a folder's documents, or of a CSV file's rows. Blocking; writes nothing.

    Raises UsageError for invalid options, and ManifestInvalid with every problem of the source; with `skip_invalid`
    only if no row is good, or if targets are to be made of the rows.
    """
    _check_target(source, options)
    if options.clean_tags is not None and not is_replacement(options.clean_tags):
        message = f"`--clean-tags {options.clean_tags}` is not one character that a tag may have, such as `_`"
        raise UsageError(message)
    if options.stdin is None and source.is_dir():
        return manifest_of_folder(source, options)
    return manifest_of_table(source, options)


def _check_target(source: Path, options: NewManifestOptions) -> None:
    target = options.target
    given = {Code.REGION: target.region, Code.ACCOUNT: target.account, Code.ROLE_ARN: target.role_arn}
    if options.target_column is None:
        if options.targets_file is not None:
            raise UsageError("`--targets` needs `--target-column`, which says where each row goes")
        for code, text in given.items():
            if text is not None and (wrong := wrong_with_word(code, text)):
                raise UsageError(wrong[1])
        return
    if source.is_dir():
        raise UsageError("`--target-column` names a column, and a folder has none")
    if target.account is not None:
        raise UsageError("`--account` is for one target: with `--target-column` each has its own in the table")
    if options.targets_file is not None and (target.region is not None or target.role_arn is not None):
        raise UsageError("`--region` and `--role-arn` cannot be used with `--targets`, whose file has them")
    if target.region is not None and (wrong := wrong_with_word(Code.REGION, target.region)):
        raise UsageError(wrong[1])
    if target.role_arn is not None and (message := wrong_with_template(target.role_arn, TARGET_TEMPLATE_NAMES)):
        raise UsageError(f"`--role-arn`: {message}")


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """Return a line for each file that was left out, LEFT_OUT_SHOWN at most, and the number of the others."""
    lines = [printable(f"left out: {each.message}") for each in left_out[:LEFT_OUT_SHOWN]]
    more = len(left_out) - LEFT_OUT_SHOWN
    return [*lines, f"left out: {count_words(more, 'file')} more"] if more > 0 else lines


def manifest_of_folder(named: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of the documents in a folder. Raises as `new_manifest`."""
    wanted, source = wanted_tags(options.tags).cleaned(options.clean_tags), named.resolve()
    if options.file_column is not None or options.sheet is not None or options.bind is not None:
        raise UsageError("`--file-column`, `--sheet` and `--bind` are for a table, and this is a folder")
    if wanted.by_row:
        raise UsageError("`{col:NAME}` takes from a column, and a folder has none", hint="`{stem}` or `{parent}`")
    if not source.is_relative_to(options.folder) and not options.allow_outside:
        raise UsageError(
            f"`{named}` is outside the folder that the manifest goes to, nothing was written",
            hint=f"`-o {named.parent / 'NAME.yaml'}` puts it beside, or use `--allow-outside`",
        )
    judge = partial(_wrong_with_file, options, "folder")
    found = entries_of_folder(source, manifest_folder=options.folder, judge=judge, without=options.passed_over)
    if not found.entries:
        hint = "\n".join(left_out_lines(found.left_out))
        raise UsageError(f"there is no PDF, PNG or JPEG that can be uploaded in `{named}`", hint=hint)
    manifest, *_ = _checked_manifest(named, source.name, found.entries, wanted, options, ())
    return NewManifest(manifest, found.documents, found.left_out, found.one_by_one)


def manifest_of_table(source: Path, options: NewManifestOptions) -> NewManifest:
    """Make a manifest of the rows of a table: an entry with `table`, or with `rows` one for each. As `new_manifest`."""
    if options.stdin is None and source.exists() and not source.is_file():
        raise UsageError(f"`{source}` is neither a folder nor a file")
    try:
        if options.stdin is None:
            with open_table(source, sheet=options.sheet) as table:
                return _manifest_of_rows(source, table, source.resolve().parent, options)
        with tempfile.TemporaryFile() as copy:  # it is sought, which a pipe cannot be
            copy_input(options.stdin, copy)
            with read_table(copy, sheet=options.sheet) as table:
                return _manifest_of_rows(source, table, Path().resolve(), options)
    except TableFault as fault:
        problem = Problem(str(source), Position(fault.line, 0), str(fault.code), fault.message)
        raise _not_written(source, [problem]) from fault


def _manifest_of_rows(
    source: Path, table: Table, folder: Path, options: NewManifestOptions, *, key: str = "row"
) -> NewManifest:
    """Make a manifest of an open table, whose files are named relative to `folder`. Raises also TableFault."""
    wanted = wanted_tags(options.tags).cleaned(options.clean_tags)
    targets = None
    if options.target_column is not None:
        file, region, role = options.targets_file, options.target.region, options.target.role_arn
        named_file = None if file is None else Path(os.path.relpath(file.resolve(), options.folder)).as_posix()
        targets = RowTargets(options.target_column, options.folder, named_file, region, role)
    path = Path(os.path.relpath(source.resolve(), options.folder)).as_posix()
    new = new_table_entry(
        table,
        TableOptions(wanted, options.file_column, options.clean_tags, options.bind),
        path=path,
        folder=folder,
        manifest_folder=options.folder,
        targets=targets,
        sheet=options.sheet,
    )
    problems = Problems(str(source))
    look, missing = partial(_wrong_with_file, options, key), list[str]()

    def judge(text: str, bind: Bind | None) -> Rejection | None:
        """Look into a file, which the template names from the manifest's folder."""
        named = text_of_literal(text) if targets is not None else text
        path = _named_from(options.folder, folder, named)
        why = look(options.folder / path, named.removeprefix(_way_to(folder, options.folder)), bind)
        if why is not None and why[0] == RefusalCode.MISSING:
            missing.append(named)
        return why

    reader = RowReader(
        new.entry,
        table,
        problems,
        name=str(source),
        has_targets=targets is not None,
        remedy="" if options.clean_tags else "`--clean-tags _` replaces what tags may not have",
        judge=judge,
    )
    if not reader.is_good:
        raise _not_written(source, problems.in_order())
    rows = _RowsOfNew(new, reader, targets, folder, options)
    for line, cells in table.rows:
        rows.take(line, cells, problems)
    if key == "row" and len(missing) == rows.count and new.file is not None:
        names = [os.path.relpath(options.folder / name, folder) for name in missing]
        if hint := folder_of_missing(names, folder, new.file):
            raise _not_written(source, problems.in_order(), hint=hint)
    manifest, count, found = _checked_manifest(
        source, source.stem, rows.entries, wanted, options, problems.in_order(), targets
    )
    is_short = rows.is_short and not options.rows and options.stdin is None
    is_inside = source.resolve().is_relative_to(options.folder) or options.allow_outside
    entry = new.entry
    if new.target is not None:
        entry = entry._replace(entry=entry.entry._replace(targets=((new.target, Position()),)))
    notes = [*new.notes, *(each.message for each in problems.warnings())]
    if not is_short and not options.rows and options.stdin is None:
        notes.append("each row is written as an entry of its own, since its path, id or target cannot be a template")
    return NewManifest(
        manifest,
        count,
        targets_file=targets.file if targets is not None else None,
        table=entry if is_short and is_inside else None,
        notes=notes,
        problems=found,
        invalid=rows.count - count,
    )


def _named_from(manifest_folder: Path, folder: Path, named: str) -> str:
    """Return a path from the manifest's folder, also where a cell with an absolute path follows another folder."""
    cell = named.removeprefix(_way_to(folder, manifest_folder))
    return Path(os.path.relpath(cell, manifest_folder)).as_posix() if os.path.isabs(cell) else named


def _way_to(folder: Path, manifest_folder: Path) -> str:
    """Return what paths from a folder begin with if they start at the manifest's."""
    return "" if folder == manifest_folder else Path(os.path.relpath(folder, manifest_folder)).as_posix() + "/"


@dataclass(slots=True)
class _RowsOfNew:
    """The entries of a table's rows as they are written one by one."""

    new: NewTableEntry
    reader: RowReader
    targets: RowTargets | None
    folder: Path
    options: NewManifestOptions
    entries: list[Entry] = field(default_factory=list)
    count: int = 0
    is_short: bool = True
    """Whether an entry with `table` says the same."""

    def take(self, line: int, cells: Sequence[str], problems: Problems) -> None:
        """Add the entry of a row, or its problems."""
        self.count += 1
        entry = self.reader.entry_of(line, cells)
        target = None
        if self.targets is not None:
            wrong: list[Rejection] = []
            by_name = {name: cell for name, cell in zip(self.new.columns, cells, strict=False) if name}
            target = self.targets.of_row(line, by_name, wrong)
            for code, message in wrong:
                problems.add(Position(line, 0), code, message)
        if entry is None or (self.targets is not None and target is None):
            return
        if target is not None and self.new.target is not None:
            filled = template_of(self.new.target, self.reader.columns, keep=False)
            whole = [*cells, *[""] * (len(self.new.columns) - len(cells))]
            self.is_short = self.is_short and filled.fill(whole).rstrip("/") == target[0]
            entry = entry._replace(targets=(target,))
        source = entry.source
        if entry.kind is SourceKind.FILE:
            source = _named_from(self.options.folder, self.folder, source)
        # below another folder an id would begin with the way there
        is_elsewhere = self.folder != self.options.folder and entry.kind is SourceKind.FILE and entry.item_id is None
        self.is_short = self.is_short and source == entry.source and not is_elsewhere
        item_id = entry.item_id
        if item_id is None:
            item_id = os.path.relpath(self.options.folder / source, self.folder) if is_elsewhere else source
        self.entries.append(entry._replace(source=source, item_id=item_id))


def manifest_of_list(named: Path, options: NewManifestOptions, *, is_null: bool) -> NewManifest:
    """Make a manifest of the files that a list names, STANDARD_INPUT or a file: one a line, with `is_null` one a NUL.

    Paths start at the working directory. Raises as `new_manifest`.
    """
    wanted, separator = wanted_tags(options.tags), b"\0" if is_null else b"\n"
    if wanted.by_row or options.target_column is not None or options.bind is not None:
        raise UsageError("a list of files has no columns", hint="`{stem}` and `{parent}` are of each file")
    content = read_list(named)
    if len(content) > SIZE_LIMIT_BYTES:
        raise UsageError(f"the list `{named}` has more than {SIZE_LIMIT_BYTES} bytes", hint="split it")
    names = [os.fsdecode(name if is_null else name.removesuffix(b"\r")) for name in content.split(separator)]
    rows = [(line, [os.path.normpath(name)]) for line, name in enumerate(names, 1) if name]
    if not rows:
        raise UsageError(f"the list `{named}` names no file")
    table = Table(["file"], 1, iter(rows))
    return _manifest_of_rows(named, table, Path().resolve(), replace(options, rows=True), key="line")


def _wrong_with_file(
    options: NewManifestOptions, key: str, path: Path, source: str, bind: Bind | None = None
) -> Rejection | None:
    """Return why a file cannot be uploaded. The form of the field that it goes into limits its size."""
    root = None if options.allow_outside else options.folder
    form, limit_bytes = options.form, options.max_size_bytes
    of_field = None if bind is None else BUILT_IN.get(FORM_OF_FIELD.get(bind.field, ""))
    if of_field is not None and options.bind is not None:
        form, limit_bytes = of_field, options.bind.max_size_bytes or of_field.max_size_bytes or limit_bytes
    limiting = limiting_form(form, limit_bytes)
    found = examine(path, max_size_bytes=limit_bytes, root=root, source=source, key=key, form=limiting).found
    return (found.code, found.message) if isinstance(found, Refusal) else None


def _checked_manifest(
    source: Path,
    name: str,
    entries: Sequence[Entry],
    wanted: WantedTags,
    options: NewManifestOptions,
    problems: Sequence[Problem],
    targets: RowTargets | None = None,
) -> tuple[Manifest, int, Sequence[Problem]]:
    """Return a manifest, how many good attachments it lists, and `problems` with those of all entries.

    Raises ManifestInvalid for a problem, with `skip_invalid` only as `new_manifest` says.
    """
    batch = batch_of(name) if options.batch is None else options.batch
    if batch is None:
        raise UsageError(f"no name for the batch can be made of `{name}`", hint="`--batch NAME` gives it one")
    wrong = wrong_with_word(Code.BATCH, batch)
    if wrong is not None:
        raise UsageError(wrong[1])
    found = Problems(str(source))
    resolved = None if targets is None else targets.resolved(found, allow_outside=options.allow_outside)
    if resolved is not None and (problems or found):  # a row with a problem may be the one that says what its target is
        resolved = replace(resolved, is_whole=False)
    manifest = Manifest(
        path=source,
        folder=options.folder,
        batch=batch,
        entries=tuple(entries),
        tags=wanted.shared,
        max_size_bytes=options.max_size_bytes,
        has_max_size=True,
        form=options.form,
        target=options.target if targets is None else Target(),
        targets=() if resolved is None else resolved.lanes,
    )
    expansion = Expansion(manifest, found, allow_outside=options.allow_outside, targets=resolved)
    count = sum(1 for entry in entries for _ in expansion.of(entry))
    every = sorted([*problems, *found.in_order()], key=lambda problem: problem.at)
    if every and not (options.skip_invalid and count and targets is None):
        hint = NOT_SKIPPED_HINT if targets is not None and options.skip_invalid else ""
        raise _not_written(source, every, hint=SKIP_HINT if count and targets is None else hint)
    return manifest, count, every


def _not_written(source: Path, problems: Sequence[Problem], *, hint: str = "") -> ManifestInvalid:
    ordered = sorted(problems, key=lambda problem: problem.at)
    words = f"{count_words(len(ordered), 'problem')} in `{source}`, nothing was written"
    return ManifestInvalid(words, problems=ordered, hint=hint)
