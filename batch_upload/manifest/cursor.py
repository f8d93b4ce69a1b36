"""A manifest as a stream of YAML events, guarded: nothing is ever built from it but text.

The guards stand before anything is built: PyYAML's C loader dies of 200,000 nested brackets when it composes them, and
merge keys cost time without end. Events come one by one, so that nesting is stopped at the 21st level.
"""

from collections.abc import Iterator, Mapping
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

from batch_upload.manifest.codes import Code
from batch_upload.manifest.problems import Problems, quoted
from batch_upload.manifest.quotes import in_quotes
from batch_upload.model import Position

DEPTH_LIMIT = 20
NULLS = ("", "~")
"""What stands for nothing when it is written without quotes. `null` is a surname, and text as written."""

_SUSPECT_KEYS = ("<<", *NULLS)

Pair = tuple[str, ScalarEvent, Event]


class Parser(Protocol):
    """What PyYAML's loaders share: the next event."""

    def get_event(self) -> Event: ...

    def dispose(self) -> None: ...


class Loader(Protocol):
    """A PyYAML loader class, of which only the parser is used."""

    def __call__(self, stream: TextIO) -> Parser: ...


FASTEST_LOADER: Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class CannotGoOnError(Exception):
    """Reading cannot go on after this problem, which is already among the problems. Never leaves this room."""


def position(event: Event) -> Position:
    """Where an event begins, counted from 1."""
    mark: Any = event.start_mark
    return Position(mark.line + 1, mark.column + 1)


def line_of(mark: Any) -> int:  # noqa: ANN401  the marks of the C parser are a class of their own
    """The line of a mark, counted from 1."""
    line: int = mark.line + 1
    return line


def is_plain(event: ScalarEvent) -> bool:
    """Whether a scalar is written without quotes and not as a block."""
    return not event.style


def is_null(event: ScalarEvent) -> bool:
    """Whether nothing is written where a value could be."""
    return event.value in NULLS and not event.style


class Cursor:
    """Hands out events and reports what no manifest may have, wherever it stands.

    Raises yaml.YAMLError where the text is not YAML, and CannotGoOnError where reading on makes no sense.
    """

    def __init__(self, stream: TextIO, problems: Problems, *, loader: Loader, watch_blocks: bool) -> None:
        self._parser = loader(stream)
        self._next_event = self._parser.get_event
        self._problems = problems
        self._depth = 0
        self._watch_blocks = watch_blocks
        self.blocks: list[range] = []
        """The lines, from 1, that a quoted or block text continues on; kept only when asked for."""

    def close(self) -> None:
        """Let go of the parser."""
        self._parser.dispose()

    def root(self) -> NodeEvent | None:
        """The event that begins the document, or None where there is none. Called once, first."""
        self._next_event()
        if isinstance(self._next_event(), StreamEndEvent):
            return None
        node = self.take()
        return node if isinstance(node, NodeEvent) else None

    def end(self) -> None:
        """Check that the document was the only one."""
        self._next_event()
        event = self._next_event()
        if isinstance(event, DocumentStartEvent):
            self._problems.add(position(event), Code.SECOND_DOCUMENT, "a second document: a manifest is one")

    def take(self) -> Event:
        """The next event of the document."""
        event = self._next_event()
        if isinstance(event, ScalarEvent):
            if event.anchor or event.tag:
                self._report_properties(event)
            if not event.value.isascii():
                self._check_characters(event)
            if self._watch_blocks and event.style:
                self._note_block(event)
        elif isinstance(event, CollectionEndEvent):
            self._depth -= 1
        elif isinstance(event, CollectionStartEvent):
            if event.anchor or event.tag:
                self._report_properties(event)
            self._descend(event)
        elif isinstance(event, AliasEvent):
            self._report_alias(event)
        return event

    def skip(self, event: Event) -> None:
        """Pass over the rest of what `event` begins."""
        if not isinstance(event, CollectionStartEvent):
            return
        depth = self._depth
        while self._depth >= depth:
            self.take()

    def pairs(self) -> Iterator[Pair]:
        """The pairs of the mapping that just began: key, its event, and the event that begins the value.

        The caller takes each value to its end. Keys that no mapping may have are reported and passed over.
        """
        keys: dict[str, ScalarEvent] = {}
        while not isinstance(key := self.take(), MappingEndEvent):
            if not isinstance(key, ScalarEvent):
                self._pass_over(key)
                continue
            value = self.take()
            name = key.value
            if (name in keys or name in _SUSPECT_KEYS) and not self._is_good_key(key, keys):
                self.skip(value)
                continue
            keys[name] = key
            yield name, key, value

    def items(self) -> Iterator[Event]:
        """The events that begin the items of the list that just began. The caller takes each to its end."""
        while not isinstance(event := self.take(), SequenceEndEvent):
            yield event

    def _pass_over(self, key: Event) -> None:
        if not isinstance(key, AliasEvent):
            self._problems.add(position(key), Code.KEY_NOT_TEXT, f"a key must be text, not {kind_of(key)}")
        self.skip(key)
        self.skip(self.take())

    def _is_good_key(self, key: ScalarEvent, keys: Mapping[str, ScalarEvent]) -> bool:
        at, name = position(key), key.value
        if name == "<<" and is_plain(key):
            self._problems.add(at, Code.MERGE_KEY, f"a merge key cannot be used: {_SHARED}")
        elif is_null(key):
            self._problems.add(at, Code.KEY_NOT_TEXT, "a key must be text, not empty")
        elif name in keys:
            message = f"{quoted(name)} is given twice, first in line {position(keys[name]).line}: keep one"
            self._problems.add(at, Code.DUPLICATE_KEY, message)
        else:
            return True
        return False

    def _descend(self, event: Event) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            self._problems.add(position(event), Code.TOO_DEEP, f"nested more than {DEPTH_LIMIT} deep")
            raise CannotGoOnError

    def _check_characters(self, event: ScalarEvent) -> None:
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            self._problems.add(
                position(event), Code.SYNTAX, "a surrogate is not a character: write the character itself"
            )
            raise CannotGoOnError

    def _note_block(self, event: ScalarEvent) -> None:
        first, last = line_of(event.start_mark), line_of(event.end_mark)
        if last > first:
            # The mark after a block stands on the line that follows it.
            after = last + 1 if event.style in ("'", '"') else last
            self.blocks.append(range(first + 1, after))

    def _report_properties(self, event: NodeEvent) -> None:
        if event.anchor:
            anchor = f"&{event.anchor}"
            message = f"the anchor {quoted(anchor)} cannot be used: {_SHARED}; {_text_in_quotes(anchor)}"
            self._problems.add(position(event), Code.ANCHOR, message)
        tag = getattr(event, "tag", None)
        # A lone `!` says only "as it stands"; the C parser does not even tell of it.
        if tag and tag != "!":
            message = f"the YAML tag {quoted(tag)} cannot be used: remove it; {_text_in_quotes(tag)}"
            self._problems.add(position(event), Code.YAML_TAG, message)

    def _report_alias(self, event: AliasEvent) -> None:
        alias = f"*{event.anchor}"
        message = f"the alias {quoted(alias)} cannot be used: {_SHARED}; {_text_in_quotes(alias)}"
        self._problems.add(position(event), Code.ALIAS, message)


_SHARED = "put what entries share in `defaults`"


def _text_in_quotes(text: str) -> str:
    return f"a text that begins with `{text[0]}` needs quotes, as in {quoted(in_quotes(text))}"


def kind_of(event: Event) -> str:
    """What an event begins, in words."""
    if isinstance(event, MappingStartEvent):
        return "a mapping"
    if isinstance(event, SequenceStartEvent):
        return "a list"
    return "text"
