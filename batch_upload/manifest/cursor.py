"""A manifest as a stream of YAML events. Anchors, aliases, merge keys, tags and deep nesting are refused.

No tree is built: PyYAML's C loader crashes when it composes 200,000 nested brackets, and merge keys can take unlimited
time. Events are read one by one, so nesting stops at level 21.
"""

from collections.abc import Iterator
from typing import Any, Protocol, TextIO

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.rules import has_surrogate
from batch_upload.manifest.syntax import in_quotes
from batch_upload.model import Position

DEPTH_LIMIT = 20
NULLS = ("", "~")
"""Scalars that mean "no value" without quotes. `null` is not one of them: it is a surname, and text as written."""

_SUSPECT_KEYS = ("<<", *NULLS)
_USE_DEFAULTS = "put what entries share in `defaults`"

Pair = tuple[str, ScalarEvent, Event]


class Parser(Protocol):
    """The part of PyYAML's loaders that is used."""

    def get_event(self) -> Event: ...

    def dispose(self) -> None: ...


class Loader(Protocol):
    """A class of PyYAML's loaders."""

    def __call__(self, stream: TextIO) -> Parser: ...


FASTEST_LOADER: Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class CannotGoOnError(Exception):
    """Reading cannot go on after a problem that was added to the problems. Never leaves this package."""


def position(event: Event) -> Position:
    """Return where an event begins."""
    mark: Any = event.start_mark
    return Position(mark.line + 1, mark.column + 1)


def line_of(mark: Any) -> int:  # noqa: ANN401  the marks of the C parser are a class of their own
    """Return the line of a mark, counted from 1."""
    line: int = mark.line + 1
    return line


def is_plain(event: ScalarEvent) -> bool:
    """Tell whether a scalar is written without quotes and not as a block."""
    return not event.style


def is_null(event: ScalarEvent) -> bool:
    """Tell whether a scalar is the absence of a value."""
    return event.value in NULLS and not event.style


def yaml_kind(event: Event) -> str:
    """Return what an event begins, in words for messages."""
    if isinstance(event, MappingStartEvent):
        return "a mapping"
    if isinstance(event, SequenceStartEvent):
        return "a list"
    return "text"


class YamlCursor:
    """Hands out events and reports what no manifest may contain, at any place.

    Raises yaml.YAMLError where the text is not YAML, and CannotGoOnError where reading on makes no sense.
    """

    def __init__(self, stream: TextIO, problems: Problems, *, loader: Loader, watch_blocks: bool) -> None:
        self._parser = loader(stream)
        self._next_event = self._parser.get_event
        self._problems = problems
        self._depth = 0
        self._watch_blocks = watch_blocks
        self.blocks: list[range] = []
        """The lines, from 1, on which a quoted or block text continues; filled only with `watch_blocks`."""

    def close(self) -> None:
        """Release the parser."""
        self._parser.dispose()

    def root(self) -> NodeEvent | None:
        """Return the event that begins the document, or None if there is none. Call it once, first."""
        self._next_event()
        if isinstance(self._next_event(), StreamEndEvent):
            return None
        node = self.take()
        return node if isinstance(node, NodeEvent) else None

    def end(self) -> None:
        """Report a second document. Call it behind the end of the first."""
        self._next_event()
        event = self._next_event()
        if isinstance(event, DocumentStartEvent):
            self._problems.add(position(event), Code.SECOND_DOCUMENT, "a second document: a manifest is one")

    def take(self) -> Event:
        """Return the next event of the document."""
        event = self._next_event()
        if isinstance(event, ScalarEvent):
            if event.anchor or event.tag:
                self._report_properties(event)
            if not event.value.isascii() and has_surrogate(event.value):
                message = "a surrogate is not a character: write the character itself"
                self._problems.add(position(event), Code.SYNTAX, message)
                raise CannotGoOnError
            if self._watch_blocks and event.style:
                self._note_block(event)
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1
        elif isinstance(event, CollectionStartEvent):
            if event.anchor or event.tag:
                self._report_properties(event)
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                self._problems.add(position(event), Code.TOO_DEEP, f"nested more than {DEPTH_LIMIT} deep")
                raise CannotGoOnError
        elif isinstance(event, AliasEvent):
            self._report(event, Code.ALIAS, "alias", f"*{event.anchor}", _USE_DEFAULTS)
        return event

    def skip(self, event: Event) -> None:
        """Pass over the rest of what `event` begins."""
        if not isinstance(event, CollectionStartEvent):
            return
        depth = self._depth
        while self._depth >= depth:
            self.take()

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs of the mapping that just began: key, its event, and the event that begins the value.

        The caller reads each value to its end. Keys that no mapping may have are reported and left out.
        """
        keys: dict[str, ScalarEvent] = {}
        while not isinstance(key := self.take(), MappingEndEvent):
            if not isinstance(key, ScalarEvent):
                if not isinstance(key, AliasEvent):  # an alias is reported already
                    self._problems.add(position(key), Code.KEY_NOT_TEXT, f"a key must be text, not {yaml_kind(key)}")
                self.skip(key)
                self.skip(self.take())
                continue
            value = self.take()
            name = key.value
            if (name in keys or name in _SUSPECT_KEYS) and not self._is_good_key(key, keys.get(name)):
                self.skip(value)
                continue
            keys[name] = key
            yield name, key, value

    def items(self) -> Iterator[Event]:
        """Yield the events that begin the items of the list that just began. The caller reads each to its end."""
        while not isinstance(event := self.take(), SequenceEndEvent):
            yield event

    def _is_good_key(self, key: ScalarEvent, earlier: ScalarEvent | None) -> bool:
        """Report a merge key, an empty key and a key that the mapping has already. `earlier` is the first of two."""
        at, name = position(key), key.value
        if name == "<<" and is_plain(key):
            self._problems.add(at, Code.MERGE_KEY, f"a merge key cannot be used: {_USE_DEFAULTS}")
        elif is_null(key):
            self._problems.add(at, Code.KEY_NOT_TEXT, "a key must be text, not empty")
        elif earlier is not None:
            message = f"{excerpt(name)} is given twice, first in line {position(earlier).line}: keep one"
            self._problems.add(at, Code.DUPLICATE_KEY, message)
        else:
            return True
        return False

    def _note_block(self, event: ScalarEvent) -> None:
        first, last = line_of(event.start_mark), line_of(event.end_mark)
        if last > first:
            # The end mark of a block is on the line that follows it.
            after = last + 1 if event.style in ("'", '"') else last
            self.blocks.append(range(first + 1, after))

    def _report_properties(self, event: NodeEvent) -> None:
        if event.anchor:
            self._report(event, Code.ANCHOR, "anchor", f"&{event.anchor}", _USE_DEFAULTS)
        tag = getattr(event, "tag", None)
        # A lone `!` only says that a text is text, and the C parser does not report it.
        if tag and tag != "!":
            self._report(event, Code.YAML_TAG, "YAML tag", tag, "remove it")

    def _report(self, event: Event, code: Code, what: str, text: str, advice: str) -> None:
        quotes = f"a text that begins with `{text[0]}` needs quotes, as in {excerpt(in_quotes(text))}"
        self._problems.add(position(event), code, f"the {what} {excerpt(text)} cannot be used: {advice}; {quotes}")
