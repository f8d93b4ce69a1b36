"""From a YAML file to a manifest and its attachments, or to all its problems at once."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

import yaml
from yaml.events import Event, MappingStartEvent, ScalarEvent

from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.cursor import (
    FASTEST_LOADER,
    CannotGoOnError,
    Loader,
    Pair,
    YamlCursor,
    is_null,
    line_of,
    position,
)
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, Screened, cannot_be_read, open_manifest, screen
from batch_upload.manifest.syntax import position_of_fault, syntax_message
from batch_upload.manifest.values import KEYS, NO_TAGS, Given, ManifestValues, value_in
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Listed, Manifest, Position, Problem
from batch_upload.targets import Target
from batch_upload.words import count_words

Taken = TypeVar("Taken")


def list_manifest(
    path: Path,
    *,
    allow_outside: bool,
    take: Callable[[Manifest, Iterator[Listed]], Taken],
    loader: Loader = FASTEST_LOADER,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> tuple[Manifest, Taken, tuple[Problem, ...]]:
    """Hand the attachments of a manifest to `take`; return the manifest, what `take` returned, and every problem.

    `take` is called once and must consume all attachments. They arrive while the manifest is read, so none is kept in
    memory, and the returned manifest has no entries. Attachments with a problem are left out. Reading ends at the first
    error of YAML's grammar. `loader` is one of PyYAML's. The Python one is slower than the C one, refuses tabs between
    words, and words errors of grammar differently.

    Raises ManifestInvalid if the keys before the attachments cannot be read, and UsageError if the path is no regular
    file or cannot be read.
    """
    problems = Problems(str(path))
    with _reading(path, problems, loader=loader, size_limit_bytes=size_limit_bytes) as reader:
        manifest = reader.head()
        expansion = Expansion(manifest, problems, allow_outside=allow_outside)
        taken = take(manifest, (each for entry in reader.entries() for each in expansion.of(entry)))
    return manifest, taken, problems.in_order()


def read_manifest(path: Path, *, loader: Loader = FASTEST_LOADER) -> Manifest:
    """Return a manifest with all its entries, without looking for the files that it names.

    Raises ManifestInvalid with every problem of the text in order of position, and UsageError as `list_manifest`.
    """
    problems = Problems(str(path))
    with _reading(path, problems, loader=loader) as reader:
        manifest = reader.head()
        entries = tuple(reader.entries())
    if problems:
        raise _manifest_invalid(path, problems)
    return replace(manifest, entries=entries)


def ledger_named_in(path: Path) -> str | None:
    """Return the `ledger` of a manifest. Return None also if the manifest cannot be understood.

    Raises UsageError as `list_manifest`.
    """
    with suppress(ManifestInvalid), _reading(path, Problems(str(path))) as reader:
        return reader.head().ledger
    return None


@contextmanager
def _reading(
    path: Path, problems: Problems, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES
) -> Iterator["_Reader"]:
    with open_manifest(path) as file:
        try:
            screened = screen(file, problems, size_limit_bytes=size_limit_bytes)
        except OSError as error:
            raise cannot_be_read(path, error) from error
        if not screened.readable:
            raise _manifest_invalid(path, problems)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        cursor = YamlCursor(text, problems, loader=loader, watch_blocks=bool(screened.tabs))
        try:
            yield _Reader(path, file, cursor, problems, screened)
        finally:
            cursor.close()
            text.detach()


def _manifest_invalid(path: Path, problems: Problems) -> ManifestInvalid:
    found = problems.in_order()
    return ManifestInvalid(f"{count_words(len(found), 'problem')} in {excerpt(str(path))}", problems=found)


class _Reader:
    """Reads a manifest: its `head`, then its `entries`, each once.

    Entries are handed out as they are read. Only if other keys may follow `attachments`, `head` reads them all.
    """

    def __init__(self, path: Path, file: BinaryIO, cursor: YamlCursor, problems: Problems, screened: Screened) -> None:
        self._path = path
        self._file = file
        self._cursor = cursor
        self._problems = problems
        self._screened = screened
        self._values = ManifestValues(cursor, problems)
        self._pairs: Iterator[Pair] = iter(())
        self._entries: Iterator[Entry] = iter(())
        self._given: Given = {}
        """The keys of the manifest that were read."""
        self._is_broken = False

    def head(self) -> Manifest:
        """Return the manifest without its entries. Raises ManifestInvalid if its grammar is broken."""
        with self._until_fault():
            self._read_head()
        if self._is_broken:
            raise _manifest_invalid(self._path, self._problems)
        target: Given = value_in(self._given, "target") or {}
        defaults: Given = value_in(self._given, "defaults") or {}
        tags = value_in(defaults, "tags") or NO_TAGS
        return Manifest(
            path=self._path,
            folder=self._path.resolve().parent,
            batch=value_in(self._given, "batch") or "",
            entries=(),
            ledger=value_in(self._given, "ledger"),
            part_of=value_in(self._given, "part_of"),
            target=Target(**{key: value_in(target, key) for key in KEYS["`target`"]}),
            tags=tags.values,
            tags_at=tags.at,
            max_size_bytes=value_in(defaults, "max_size") or MAX_SIZE_DEFAULT_BYTES,
            generation=value_in(defaults, "generation") or 1,
            identity_tag=value_in(defaults, "identity_tag") is not False,
        )

    def entries(self) -> Iterator[Entry]:
        """Yield the entries without those that have a problem of their own, up to an error of grammar."""
        with self._until_fault():
            yield from self._entries

    def _read_head(self) -> None:
        root = self._cursor.root()
        if root is None or (isinstance(root, ScalarEvent) and is_null(root)):
            self._problems.add(Position(), Code.EMPTY_MANIFEST, "the manifest is empty: begin with `version: 1`")
            return
        if not isinstance(root, MappingStartEvent):
            self._values.report_kind(root, "the manifest", "a mapping")
            self._end()
            return
        self._pairs = self._cursor.pairs()
        found = self._read_keys(root)
        if found is None:
            return
        line, attachments = found
        if root.flow_style or position(root).column > 1 or line < self._screened.last_line_at_margin:
            # `defaults` or `batch` may follow, without which an entry means nothing
            self._entries = iter(list(self._read_entries(root, attachments, are_last=False)))
        else:
            self._entries = self._read_entries(root, attachments, are_last=True)

    def _read_keys(self, root: Event) -> tuple[int, Event] | None:
        """Read up to the entries. Return the line of their key and the event that begins them, or None at the end."""
        for name, key, event in self._pairs:
            if name == "attachments":
                self._given[name] = None, event
                return line_of(key.start_mark), event
            self._given[name] = self._values.value(name, key, event, "the manifest")
        for name in ("version", "batch", "attachments"):
            if name not in self._given:
                self._problems.add(position(root), Code.MISSING_KEY, f"`{name}` is missing: every manifest has one")
        self._end()
        return None

    def _read_entries(self, root: Event, attachments: Event, *, are_last: bool) -> Iterator[Entry]:
        for item in self._values.items(attachments, "`attachments`"):
            entry = self._values.entry(item)
            if entry is not None:
                yield entry
        keys = len(self._given)
        self._read_keys(root)
        if are_last and len(self._given) > keys:
            raise RuntimeError("a key follows the entries that were handed out without it")

    def _end(self, ends_at: Position | None = None) -> None:
        """Report a second document and tabs: to the end, or up to where YAML cannot be read on."""
        if ends_at is None:
            self._cursor.end()
        # A quoted or block text may have tabs of its own at the beginning of its lines.
        in_texts = {line for block in self._cursor.blocks for line in block}
        for tab in self._screened.tabs:
            if tab.line not in in_texts and (ends_at is None or tab.line <= ends_at.line):
                self._problems.add(tab, Code.TAB, "a tab in the indentation: use spaces")

    @contextmanager
    def _until_fault(self) -> Iterator[None]:
        """Read as far as YAML's grammar goes, and report where it ends."""
        try:
            yield
        except CannotGoOnError:
            self._is_broken = True
        except yaml.YAMLError as error:
            self._is_broken = True
            ends_at = position_of_fault(error)
            if not any(tab.line == ends_at.line for tab in self._screened.tabs):
                # Nothing else is read from the file after this.
                self._file.seek(0)
                text = io.TextIOWrapper(self._file, encoding="utf-8-sig")
                line = next(islice(text, ends_at.line - 1, None), "").rstrip("\n")
                text.detach()
                message = syntax_message(error, line, ends_at.column)
                self._problems.add(ends_at, Code.SYNTAX, f"this is not YAML: {message}")
            self._end(ends_at)
        except UnicodeDecodeError as error:
            raise UsageError("the manifest was changed while it was read", hint="try again") from error
        except OSError as error:
            raise cannot_be_read(self._path, error) from error
