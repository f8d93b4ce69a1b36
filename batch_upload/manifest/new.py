"""Make a manifest: the tags of `--tag`, the documents of a folder, and the text that reads back as the same manifest.

`from_table.py` has the entry of a table.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from batch_upload.document import EVERY_EXTENSION
from batch_upload.errors import UsageError
from batch_upload.manifest import rules
from batch_upload.manifest.columns import Columns, columns_in
from batch_upload.manifest.matches import is_leftover
from batch_upload.manifest.patterns import Exclusion
from batch_upload.manifest.problems import Code, excerpt
from batch_upload.manifest.rules import (
    COLUMN_NAME,
    COLUMN_PREFIX,
    TEMPLATE_NAMES,
    TEMPLATE_PIECE,
    has_braces,
    wrong_with_template,
)
from batch_upload.manifest.table_entry import TableEntry
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, Position, SourceKind
from batch_upload.spelling import closest, size_text, targets_lines, yaml_scalar, yaml_text

SCHEMA_NAME = "manifest.schema.json"
"""The first line of a new manifest names this file beside it, so that editors need no network."""

EXCLUDED_MAX = 100
"""Files that a glob excludes by name: each is compared with each match whenever the manifest is read."""

Rejection = tuple[str, str]
"""Why a file cannot be uploaded: a stable code, and a message for people."""
Judge = Callable[[Path, str], Rejection | None]
"""Looks into a file, and returns why it cannot be uploaded. The text is the name of the file in messages."""


@dataclass(frozen=True, slots=True)
class WantedTags:
    """The tags of `--tag KEY=VALUE`. Templates of the manifest (`{stem}`) stay in the values for its reader."""

    shared: Mapping[str, str] = field(default_factory=dict)
    """The same for every entry."""
    by_row: Mapping[str, str] = field(default_factory=dict)
    """Those with `{col:NAME}`, which are filled in row by row."""

    def cleaned(self, replacement: str | None) -> "WantedTags":
        """Return the same tags, whose templates replace what tags may not have. None: unchanged."""
        if replacement is None:
            return self
        written = f"|tag:{replacement}"
        shared = {key: with_filter(text, written) if has_braces(text) else text for key, text in self.shared.items()}
        return WantedTags(shared, {key: with_filter(text, written) for key, text in self.by_row.items()})

    def for_columns(self, known: Collection[str]) -> "WantedTags":
        """Return the same tags with columns named as the table names them. Case is ignored where one column fits.

        Raises UsageError for a column that the table does not have.
        """
        columns = Columns(list(known))

        def named(key: str, piece: re.Match[str]) -> str:
            if piece[1] is None or not piece[1].startswith(COLUMN_PREFIX):
                return piece[0]
            name = piece[1].removeprefix(COLUMN_PREFIX)
            place = columns.find(name)
            if place is None:
                found = closest(name, known)
                raise UsageError(
                    f"`--tag` {excerpt(key)} asks for the column {excerpt(name)}, which is not there",
                    hint=columns.listed if found is None else f"there is {excerpt(found.name)}, {found.how}",
                )
            return f"{{{COLUMN_PREFIX}{columns.names[place]}{piece[2]}}}"

        by_row = {key: TEMPLATE_PIECE.sub(partial(named, key), value) for key, value in self.by_row.items()}
        return replace(self, by_row=by_row)


def with_filter(template: str, written: str) -> str:
    """Return a correct template with a filter behind each name that has no filter `tag` yet."""

    def filtered(piece: re.Match[str]) -> str:
        if piece[1] is None or "|tag" in piece[2]:
            return piece[0]
        return f"{{{piece[1]}{piece[2]}{written}}}"

    return TEMPLATE_PIECE.sub(filtered, template)


def wanted_tags(texts: Sequence[str]) -> WantedTags:
    """Return the tags of these `KEY=VALUE`. Raises UsageError for what cannot be a tag."""
    shared: dict[str, str] = {}
    by_row: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"`--tag` {excerpt(text)} is not `KEY=VALUE`", hint="such as `--tag Customer=acme`")
        wrong = rules.wrong_with_tag_key(key)
        if wrong is None and not has_braces(value):
            wrong = rules.wrong_with_tag_value(key, value)
        elif wrong is None and (message := wrong_with_template(value, (*TEMPLATE_NAMES, COLUMN_NAME))):
            wrong = Code.TEMPLATE, f"{message}; and `{{col:NAME}}` for a column of a table"
        if wrong is not None:
            raise UsageError(f"`--tag`: {wrong[1]}")
        if key in shared or key in by_row:
            raise UsageError(f"`--tag` {excerpt(key)} is given twice", hint="keep one")
        (by_row if columns_in(value) else shared)[key] = value
    if len(shared) + len(by_row) > rules.TAGS_LIMIT - 1:
        raise UsageError(f"at most {rules.TAGS_LIMIT - 1} tags are allowed, besides the identity tag")
    return WantedTags(shared, by_row)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not in the manifest. `path` is relative to the manifest."""

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Files that are listed one by one, because a pattern would also match others, which cannot be excluded by name."""

    pattern: str
    because: Sequence[str]
    """The paths of those that cannot be uploaded."""


@dataclass(slots=True)
class FromFolder:
    """What a folder has. `documents` is the number of attachments that the entries list."""

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    one_by_one: list[OneByOne] = field(default_factory=list)
    documents: int = 0


def entries_of_folder(source: Path, *, manifest_folder: Path, judge: Judge, without: Sequence[Path] = ()) -> FromFolder:
    """Make entries of the documents in a folder and below: a glob for each folder and extension.

    So files that are added later are found, too. A glob excludes the files that cannot be uploaded. Where that is not
    possible (a name that no manifest can hold, or that is another's in the other Unicode form) or they are more than
    EXCLUDED_MAX, the others are listed one by one, under the ids that the glob would give. As with `**`, hidden files,
    leftovers of programs and links to folders are left out. Both folders are real paths. Files in `without` are skipped
    silently.
    """
    found = FromFolder()

    def relative(path: Path) -> str:
        return Path(os.path.relpath(path, manifest_folder)).as_posix()

    def unreadable(error: OSError) -> None:
        path = relative(Path(error.filename))
        message = f"{excerpt(path)} cannot be read: {(error.strerror or str(error)).lower()}"
        found.left_out.append(LeftOut(path, Code.FOLDER_UNREADABLE, message))

    for name, folders, names in os.walk(source, onerror=unreadable):
        folder = Path(name)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for link in (relative(folder / each) for each in folders if (folder / each).is_symlink()):
            found.left_out.append(LeftOut(link, "folder", f"{excerpt(link)} is a link to a folder"))
        groups: dict[str, list[str]] = {}
        for each in sorted(names):
            if not each.startswith(".") and not is_leftover(each) and (folder / each) not in without:
                suffix = Path(each).suffix
                suffix = suffix.lower() if suffix.lower() in EVERY_EXTENSION else suffix
                groups.setdefault(suffix, []).append(relative(folder / each))
        for suffix in sorted(groups):
            _add_group(found, relative(folder), suffix, groups[suffix], manifest_folder, judge)
    return found


def _add_group(
    found: FromFolder, folder: str, suffix: str, paths: Sequence[str], manifest_folder: Path, judge: Judge
) -> None:
    """Add the files of one folder and extension: as a glob, which excludes the bad ones, or one by one."""
    good: list[str] = []
    bad: list[LeftOut] = []
    for path in paths:
        why = rules.wrong_with_found_path(path) or judge(manifest_folder / path, path)
        if why is None:
            good.append(path)
        else:
            bad.append(LeftOut(path, *why))
    found.documents += len(good)
    found.left_out.extend(bad)
    if not good:
        return
    glob = f"*{suffix}" if folder == "." else f"{_as_pattern(folder)}/*{suffix}"
    exclude = tuple(_as_pattern(each.path) for each in bad)
    can_be_written = len(bad) <= EXCLUDED_MAX and not any(rules.wrong_with_found_path(each.path) for each in bad)
    exclusion = Exclusion(exclude)
    if can_be_written and not any(exclusion.excludes(path) for path in good):
        found.entries.append(Entry(SourceKind.GLOB, glob, Position(), exclude=exclude))
        return
    found.one_by_one.append(OneByOne(glob, [each.path for each in bad]))
    found.entries.extend(Entry(SourceKind.FILE, path, Position(), item_id=path) for path in good)


def _as_pattern(path: str) -> str:
    """Return the pattern that matches just this path."""
    return re.sub(r"([*?\[{])", r"[\1]", path)


def manifest_lines(
    manifest: Manifest, *, targets_file: str | None = None, table: TableEntry | None = None
) -> Iterator[str]:
    """Yield the lines of a manifest that has a batch, targets, entries, and of `defaults` tags, a form and a size.

    Read back it has equal entries: values are quoted where a YAML reader could take them for something else.
    `targets_file` names the file that has its targets, relative to it. With `table`, that entry is written in place of
    those of its rows.
    """

    yield f"# yaml-language-server: $schema={SCHEMA_NAME}"
    yield "version: 1"
    yield f"batch: {yaml_scalar(manifest.batch)}"
    yield from _lane_lines(manifest, targets_file)
    form = manifest.form
    has_size = manifest.max_size_bytes != ((form and form.max_size_bytes) or MAX_SIZE_DEFAULT_BYTES)
    if manifest.tags or has_size or form:
        yield "defaults:"
    if form:
        yield f"  form: {form.name}"
    if has_size:
        yield f"  max_size: {size_text(manifest.max_size_bytes)}"
    yield from _tag_lines(manifest.tags, "  ")
    yield "attachments:"
    if table is not None:
        yield from _table_lines(table)
        yield from _tag_lines(table.entry.tags, "    ")
        return
    for entry in manifest.entries:
        source = f"{entry.kind}: {yaml_scalar(entry.source)}"
        if entry.kind is SourceKind.GLOB or entry.item_id is None:
            yield f"  - {source}"
            yield from ["    exclude:"] if entry.exclude else ()
            yield from (f"      - {yaml_text(pattern)}" for pattern in entry.exclude)
        else:
            yield f"  - id: {yaml_scalar(entry.item_id)}"
            yield f"    {source}"
        if entry.targets:
            yield f"    target: {yaml_scalar(entry.targets[0][0])}"
        yield from _bind_lines(entry)
        yield from _tag_lines(entry.tags, "    ")


def _table_lines(table: TableEntry) -> Iterator[str]:
    """Yield the lines of an entry with `table`, without its tags."""
    entry = table.entry
    yield f"  - table: {yaml_scalar(table.path)}"
    sources = (entry.kind.value, entry.source), ("url", table.url)
    for key, text in (("sheet", table.sheet), *sources, ("id", entry.item_id)):
        if text is not None:
            yield f"    {key}: {yaml_text(text)}"
    if entry.targets:
        yield f"    target: {yaml_text(entry.targets[0][0])}"
    yield from _bind_lines(entry)


def _bind_lines(entry: Entry) -> Iterator[str]:
    if entry.bind is not None:
        yield f"    bind: {{registration: {yaml_text(entry.bind.registration)}, field: {yaml_text(entry.bind.field)}}}"
    if entry.max_size_bytes is not None:
        yield f"    max_size: {size_text(entry.max_size_bytes)}"


def _tag_lines(tags: Mapping[str, str], indent: str) -> Iterator[str]:
    if tags:
        yield f"{indent}tags:"
    for key, value in tags.items():
        # always in quotes: `"NO"` is plainly meant as text
        yield f"{indent}  {yaml_scalar(key)}: {yaml_text(value)}"


def _lane_lines(manifest: Manifest, targets_file: str | None) -> Iterator[str]:
    """Yield the lines of `target` or `targets`, if there is one of them."""
    target = manifest.target
    members = {"region": target.region, "account": target.account, "role_arn": target.role_arn}
    if any(members.values()):
        yield "target:"
    for key, text in members.items():
        if text is not None:
            yield f"  {key}: {yaml_text(text)}"
    if targets_file is not None:
        yield f"targets: {{from: {yaml_text(targets_file)}}}"
    elif manifest.targets:
        yield from targets_lines(manifest.targets, yaml_text)
