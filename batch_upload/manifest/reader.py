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
from batch_upload.manifest.codes import Code
from batch_upload.manifest.cursor import (
    FASTEST_LOADER,
    CannotGoOnError,
    Cursor,
    Loader,
    Pair,
    is_null,
    line_of,
    position,
)
from batch_upload.manifest.entries import EntryReader
from batch_upload.manifest.expand import Expansion
from batch_upload.manifest.problems import Problems, quoted
from batch_upload.manifest.quotes import advice_for_line
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, Screened, cannot_be_read, opened, screen
from batch_upload.manifest.values import NO_TAGS, Values
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Listed, Manifest, Position, Problem, Target

T = TypeVar("T")


def list_manifest(
    path: Path,
    *,
    allow_outside: bool,
    take: Callable[[Manifest, Iterator[Listed]], T],
    loader: Loader = FASTEST_LOADER,
    size_limit_bytes: int = SIZE_LIMIT_BYTES,
) -> tuple[Manifest, T, tuple[Problem, ...]]:
    """Hand the attachments of a manifest to `take`, and return the manifest, what `take` made, and every problem.

    `take` is called once and must take all attachments. They come while the manifest is read, so none is kept in
    memory, and the manifest returned has no entries. Attachments with a problem are left out. What follows a fault of
    YAML's own grammar cannot be read. `loader` is one of PyYAML's; the C one is used where it is built. The other is
    slower, refuses tabs between words, and words its faults of grammar differently; in all else they agree.

    Raises ManifestInvalid where nothing can be made of the manifest, and UsageError where it is no regular file or
    cannot be read.
    """
    problems = Problems(str(path))
    with _reading(path, problems, loader=loader, size_limit_bytes=size_limit_bytes) as reader:
        manifest = reader.head()
        expansion = Expansion(manifest, problems, allow_outside=allow_outside)
        taken = take(manifest, (each for entry in reader.entries() for each in expansion.of(entry)))
    return manifest, taken, problems.in_order()


def read_manifest(path: Path, *, loader: Loader = FASTEST_LOADER) -> Manifest:
    """Return a manifest with all its entries, without looking for the files that it names.

    Raises ManifestInvalid with every problem of the text, in its order, and UsageError as `list_manifest`.
    """
    problems = Problems(str(path))
    with _reading(path, problems, loader=loader) as reader:
        manifest = reader.head()
        entries = tuple(reader.entries())
    if problems:
        raise _invalid(path, problems)
    return replace(manifest, entries=entries)


def ledger_named_in(path: Path) -> str | None:
    """Return the `ledger` of a manifest; None also where the manifest cannot be understood.

    Raises UsageError as `list_manifest`.
    """
    with suppress(ManifestInvalid), _reading(path, Problems(str(path))) as reader:
        return reader.head().ledger
    return None


@contextmanager
def _reading(
    path: Path, problems: Problems, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES
) -> Iterator["_Reader"]:
    with opened(path) as file:
        try:
            screened = screen(file, problems, size_limit_bytes=size_limit_bytes)
        except OSError as error:
            raise cannot_be_read(path, error) from error
        if not screened.readable:
            raise _invalid(path, problems)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        cursor = Cursor(text, problems, loader=loader, watch_blocks=bool(screened.tabs))
        try:
            yield _Reader(path, file, cursor, problems, screened)
        finally:
            cursor.close()
            text.detach()


def _invalid(path: Path, problems: Problems) -> ManifestInvalid:
    found = problems.in_order()
    count = f"{len(found)} problem{'s' if len(found) != 1 else ''}"
    return ManifestInvalid(f"{count} in {quoted(str(path))}", problems=found)


class _Reader:
    """Reads a manifest: its `head`, then its `entries`, each once.

    Entries are handed out as they are read. Only where other keys may follow `attachments`, `head` reads them all.
    """

    def __init__(self, path: Path, file: BinaryIO, cursor: Cursor, problems: Problems, screened: Screened) -> None:
        self._path = path
        self._file = file
        self._cursor = cursor
        self._problems = problems
        self._screened = screened
        self._values = Values(cursor, problems)
        self._entry_reader = EntryReader(self._values, problems)
        self._pairs: Iterator[Pair] = iter(())
        self._entries: Iterator[Entry] = iter(())
        self._seen: set[str] = set()
        self._is_broken = False
        self._batch: str | None = None
        self._ledger: str | None = None
        self._part_of: str | None = None
        self._target: dict[str, str | None] = {}
        self._tags = NO_TAGS
        self._max_size_bytes: int | None = None
        self._generation: int | None = None
        self._identity_tag: bool | None = None
        self._takers = {
            "version": self._values.check_version,
            "ledger": self._take_ledger,
            "part_of": self._take_part_of,
            "batch": self._take_batch,
            "target": self._take_target,
            "defaults": self._take_defaults,
        }

    def head(self) -> Manifest:
        """Return the manifest without its entries. Raises ManifestInvalid where its grammar is broken."""
        with self._until_fault():
            self._read_head()
        if self._is_broken:
            raise _invalid(self._path, self._problems)
        return Manifest(
            path=self._path,
            folder=self._path.resolve().parent,
            batch=self._batch or "",
            entries=(),
            ledger=self._ledger,
            part_of=self._part_of,
            target=Target(**self._target),
            tags=self._tags.values,
            tags_at=self._tags.at,
            max_size_bytes=self._max_size_bytes or MAX_SIZE_DEFAULT_BYTES,
            generation=self._generation or 1,
            identity_tag=self._identity_tag is not False,
        )

    def entries(self) -> Iterator[Entry]:
        """The entries, up to a fault of grammar, without those that have a problem of their own."""
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
            # `defaults` or the `batch` may follow: entries are of no use before they are known
            self._entries = iter(list(self._read_entries(root, attachments)))
        else:
            self._entries = self._read_last_entries(root, attachments)

    def _read_keys(self, root: Event) -> tuple[int, Event] | None:
        """Read up to the entries, and return the line of their key and the event that begins them; None at the end."""
        for name, key, value in self._pairs:
            self._seen.add(name)
            if name == "attachments":
                return line_of(key.start_mark), value
            if name in self._takers:
                self._takers[name](value)
            else:
                self._values.report_unknown(name, key, "the manifest")
                self._cursor.skip(value)
        for name in ("version", "batch", "attachments"):
            if name not in self._seen:
                self._problems.add(position(root), Code.MISSING_KEY, f"`{name}` is missing: every manifest has one")
        self._end()
        return None

    def _read_entries(self, root: Event, attachments: Event) -> Iterator[Entry]:
        for item in self._values.items(attachments, "`attachments`"):
            entry = self._entry_reader.read(item)
            if entry is not None:
                yield entry
        self._read_keys(root)

    def _read_last_entries(self, root: Event, attachments: Event) -> Iterator[Entry]:
        keys = len(self._seen)
        yield from self._read_entries(root, attachments)
        if len(self._seen) > keys:
            raise RuntimeError("a key follows the entries that were handed out without it")

    def _end(self, ends_at: Position | None = None) -> None:
        """Check what follows the document, and report tabs: to the end, or up to where YAML cannot read on."""
        if ends_at is None:
            self._cursor.end()
        # A quoted or block text may hold tabs of its own where its lines begin.
        in_texts = {line for block in self._cursor.blocks for line in block}
        for tab in self._screened.tabs:
            if tab.line not in in_texts and (ends_at is None or tab.line <= ends_at.line):
                self._problems.add(tab, Code.TAB, "a tab in the indentation: use spaces")

    @contextmanager
    def _until_fault(self) -> Iterator[None]:
        """Read as far as YAML's grammar goes, and report where it does not."""
        try:
            yield
        except CannotGoOnError:
            self._is_broken = True
        except yaml.YAMLError as error:
            self._is_broken = True
            ends_at = _position_of(error)
            if not any(tab.line == ends_at.line for tab in self._screened.tabs):
                advice = _unclosed(error) or advice_for_line(self._line(ends_at.line), ends_at.column)
                self._problems.add(ends_at, Code.SYNTAX, f"this is not YAML: {advice or _reason(error)}")
            self._end(ends_at)
        except UnicodeDecodeError as error:
            raise UsageError("the manifest was changed while it was read", hint="try again") from error
        except OSError as error:
            raise cannot_be_read(self._path, error) from error

    def _line(self, number: int) -> str:
        """A line of the file, from 1, without its end. Nothing can be read on after it."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig")
        found = next(islice(text, number - 1, None), "")
        text.detach()
        return found.rstrip("\n")

    def _take_ledger(self, event: Event) -> None:
        self._ledger = self._values.text(event, "ledger")

    def _take_part_of(self, event: Event) -> None:
        self._part_of = self._values.text(event, "part_of")

    def _take_batch(self, event: Event) -> None:
        self._batch = self._values.word(event, "batch", Code.BATCH)

    def _take_target(self, event: Event) -> None:
        values, target = self._values, self._target
        takers = {
            "region": lambda event: target.update(region=values.word(event, "region", Code.REGION)),
            "account": lambda event: target.update(account=values.word(event, "account", Code.ACCOUNT)),
            "profile": lambda event: target.update(profile=values.text(event, "profile")),
            "role_arn": lambda event: target.update(role_arn=values.word(event, "role_arn", Code.ROLE_ARN)),
        }
        values.fields(event, "`target`", takers)

    def _take_defaults(self, event: Event) -> None:
        takers = {
            "tags": self._take_tags,
            "max_size": self._take_max_size,
            "generation": self._take_generation,
            "identity_tag": self._take_identity_tag,
        }
        self._values.fields(event, "`defaults`", takers)

    def _take_tags(self, event: Event) -> None:
        self._tags = self._values.tags(event)

    def _take_max_size(self, event: Event) -> None:
        self._max_size_bytes = self._values.size_bytes(event)

    def _take_generation(self, event: Event) -> None:
        self._generation = self._values.generation(event)

    def _take_identity_tag(self, event: Event) -> None:
        self._identity_tag = self._values.truth(event)


def _position_of(error: yaml.YAMLError) -> Position:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return Position(mark.line + 1, mark.column + 1) if mark else Position()


def _unclosed(error: yaml.YAMLError) -> str | None:
    """What to say where a quotation mark is missing: the text that it begins goes to the end of the file."""
    begin = getattr(error, "context_mark", None)
    if begin is None or "quoted scalar" not in str(error) or "end of stream" not in str(error):
        return None
    return f"the quotation mark in line {begin.line + 1}, column {begin.column + 1} is not closed"


def _reason(error: yaml.YAMLError) -> str:
    parts = (getattr(error, "context", None), getattr(error, "problem", None))
    return ", ".join(part for part in parts if part) or str(error)
