"""From a YAML file to a Manifest, or to all its problems at once."""

import io
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import yaml
from yaml.events import Event, NodeEvent, ScalarEvent

from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.codes import Code
from batch_upload.manifest.cursor import FASTEST_LOADER, CannotGoOnError, Cursor, Loader, is_null, position
from batch_upload.manifest.entries import EntryReader
from batch_upload.manifest.problems import Problems, quoted
from batch_upload.manifest.quotes import advice_for_line
from batch_upload.manifest.rules import TAGS_LIMIT
from batch_upload.manifest.source import SIZE_LIMIT_BYTES, Screened, opened, screen
from batch_upload.manifest.values import NO_TAGS, Values
from batch_upload.model import MAX_SIZE_DEFAULT_BYTES, Entry, Manifest, Position, Problem, Target


def read_manifest(path: Path, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES) -> Manifest:
    """Read and check a manifest, without looking at the files it names. Memory follows the entries, not the tree.

    Raises ManifestInvalid with every problem that can be found, in file order; what follows a fault of YAML's own
    grammar cannot. Raises UsageError where `path` is no regular file or cannot be read. `loader` is one of PyYAML's;
    the C one is used where it is built. The other is slower, refuses tabs between words, and words its faults of
    grammar differently; in all else they agree.
    """
    manifest, found = read_as_far_as_possible(path, loader=loader, size_limit_bytes=size_limit_bytes)
    if found or manifest is None:
        count = f"{len(found)} problem{'s' if len(found) != 1 else ''}"
        raise ManifestInvalid(f"{count} in {quoted(str(path))}", problems=found)
    return manifest


def read_as_far_as_possible(
    path: Path, *, loader: Loader = FASTEST_LOADER, size_limit_bytes: int = SIZE_LIMIT_BYTES
) -> tuple[Manifest | None, tuple[Problem, ...]]:
    """What is right in a manifest, and every problem, so that its files can be looked into all the same.

    With a problem the manifest is for that alone: never send from it. None where its grammar is broken, or where
    nothing can be made of it. Raises UsageError as `read_manifest`.
    """
    problems = Problems(str(path))
    with opened(path) as file:
        draft = _draft(file, problems, loader=loader, size_limit_bytes=size_limit_bytes)
    return draft.manifest(path) if draft is not None else None, problems.in_order()


def read_document(file: BinaryIO, path: Path, problems: Problems) -> Manifest | None:
    """What is right in the text of a manifest that is said to stand at `path`; None where its grammar is broken."""
    draft = _draft(file, problems, loader=FASTEST_LOADER, size_limit_bytes=SIZE_LIMIT_BYTES)
    return None if draft is None else draft.manifest(path)


def _draft(file: BinaryIO, problems: Problems, *, loader: Loader, size_limit_bytes: int) -> "_Draft | None":
    screened = screen(file, problems, size_limit_bytes=size_limit_bytes)
    if not screened.readable:
        return None
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    cursor = Cursor(text, problems, loader=loader, watch_blocks=bool(screened.tabs))
    try:
        return _read_document(cursor, problems, screened, lambda number: _line(file, number))
    except UnicodeDecodeError as error:
        raise UsageError("the manifest was changed while it was read", hint="try again") from error
    finally:
        cursor.close()
        text.detach()


def _read_document(
    cursor: Cursor, problems: Problems, screened: Screened, line_at: Callable[[int], str]
) -> "_Draft | None":
    draft = _Draft(cursor, problems)
    ends_at: Position | None = None
    try:
        draft.read()
    except CannotGoOnError:
        return None
    except yaml.YAMLError as error:
        ends_at = _position_of(error)
        if not any(tab.line == ends_at.line for tab in screened.tabs):
            advice = _unclosed(error) or advice_for_line(line_at(ends_at.line), ends_at.column)
            problems.add(ends_at, Code.SYNTAX, f"this is not YAML: {advice or _reason(error)}")
    _report_tabs(cursor, problems, screened.tabs, ends_at)
    return draft if ends_at is None else None


def _line(file: BinaryIO, number: int) -> str:
    """A line of a file that was screened, from 1, without its end."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig")
    found = next(islice(text, number - 1, None), "")
    text.detach()
    return found.rstrip("\n")


def _report_tabs(cursor: Cursor, problems: Problems, tabs: tuple[Position, ...], ends_at: Position | None) -> None:
    # A quoted or block text may hold tabs of its own where its lines begin.
    in_texts = {line for block in cursor.blocks for line in block}
    for tab in tabs:
        if tab.line not in in_texts and (ends_at is None or tab.line <= ends_at.line):
            problems.add(tab, Code.TAB, "a tab in the indentation: use spaces")


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


class _Draft:
    """A manifest that is being read: what stands where it may, in whatever order."""

    def __init__(self, cursor: Cursor, problems: Problems) -> None:
        self._cursor = cursor
        self._problems = problems
        self._values = Values(cursor, problems)
        self._entry_reader = EntryReader(self._values, problems)
        self._entries: list[Entry] = []
        self._batch: str | None = None
        self._ledger: str | None = None
        self._part_of: str | None = None
        self._target: dict[str, str | None] = {}
        self._tags = NO_TAGS
        self._max_size_bytes: int | None = None
        self._generation: int | None = None
        self._identity_tag: bool | None = None

    def read(self) -> None:
        """Take the whole document off the cursor."""
        root = self._cursor.root()
        if root is None or (isinstance(root, ScalarEvent) and is_null(root)):
            self._problems.add(Position(), Code.EMPTY_MANIFEST, "the manifest is empty: begin with `version: 1`")
            return
        self._read_root(root)
        self._cursor.end()
        self._check_tag_counts()

    def manifest(self, path: Path) -> Manifest:
        """The manifest, of what had no problem."""
        return Manifest(
            path=path,
            folder=path.resolve().parent,
            batch=self._batch or "",
            entries=tuple(self._entries),
            ledger=self._ledger,
            part_of=self._part_of,
            target=Target(**self._target),
            tags=self._tags.values,
            tags_at=self._tags.at,
            max_size_bytes=self._max_size_bytes or MAX_SIZE_DEFAULT_BYTES,
            generation=self._generation or 1,
            identity_tag=self._identity_tag is not False,
        )

    def _read_root(self, root: NodeEvent) -> None:
        takers = {
            "version": self._values.check_version,
            "ledger": self._take_ledger,
            "part_of": self._take_part_of,
            "batch": self._take_batch,
            "target": self._take_target,
            "defaults": self._take_defaults,
            "attachments": self._take_attachments,
        }
        seen = self._values.fields(root, "the manifest", takers)
        if seen is None:
            return
        for name in ("version", "batch", "attachments"):
            if name not in seen:
                self._problems.add(position(root), Code.MISSING_KEY, f"`{name}` is missing: every manifest has one")

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

    def _take_attachments(self, event: Event) -> None:
        for item in self._values.items(event, "`attachments`"):
            entry = self._entry_reader.read(item)
            if entry is not None:
                self._entries.append(entry)

    def _check_tag_counts(self) -> None:
        """Only at the end: `defaults` may stand behind the entries."""
        limit = TAGS_LIMIT if self._identity_tag is False else TAGS_LIMIT - 1
        shared = self._tags.values
        if len(shared) > limit:
            self._report_too_many(self._tags.at, len(shared), limit)
            return
        for entry in self._entries:
            if len(shared) + len(entry.tags) <= limit:
                continue
            count = len(shared.keys() | entry.tags.keys())
            if count > limit:
                self._report_too_many(entry.tags_at, count, limit)

    def _report_too_many(self, tags_at: Mapping[str, Position], count: int, limit: int) -> None:
        at = list(tags_at.values())[-(count - limit) :][0]
        counted = "" if limit == TAGS_LIMIT else ", besides the identity tag"
        self._problems.add(at, Code.TOO_MANY_TAGS, f"{count} tags, at most {limit} are allowed{counted}")
