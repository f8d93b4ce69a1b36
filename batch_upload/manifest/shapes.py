"""The usual shapes of an entry, each learned from one and then taken by one regular expression.

What a shape can hold is a part of YAML so small that nobody can take it for anything else: one line a key; values
that are plain, or in quotes without escapes; tags as a mapping on one line, or on a line each. Where a text is of no
such shape, UnusualError says so, and the careful reader reads it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.templates import has_braces, wrong_with_template
from batch_upload.model import NOTHING, Entry, Position, SourceKind


class UnusualError(Exception):
    """Something that only the careful reader understands, or that it has to report. Never leaves this room."""


# No character that a manifest may have (source.py), and the space that does not break.
_NOWHERE = "\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff"


def one_of(ascii_class: str) -> str:
    """A pattern for these printable ASCII characters, and for all beyond ASCII that a manifest may have.

    It names what is left out: there is little of that, and `re` goes over every character that a class names.
    """
    left_out = re.sub(f"[{ascii_class}]", "", "".join(map(chr, range(0x20, 0x7F))))
    return f"[^{_NOWHERE}{re.escape(left_out)}]"


ANY = one_of(" -~")
# A plain value begins with nothing that YAML could mean something by, and holds neither `: ` nor ` #`.
_FIRST = one_of("A-Za-z0-9_./(")
_MORE = one_of('!"$-9;-~')
_PLAIN = rf"{_FIRST}{_MORE}*(?:(?:[ ]+|:){_MORE}+)*"
# Within braces also `,`, `[`, `]`, `{` and `}` have a meaning, and `:` has others.
_FLOW_FIRST, _FLOW_MORE = one_of("A-Za-z0-9_./"), one_of("A-Za-z0-9_./=+@-")
_FLOW_PLAIN = rf"{_FLOW_FIRST}{_FLOW_MORE}*(?:[ ]+{_FLOW_MORE}+)*"
_IN_DOUBLE, _IN_SINGLE = one_of(r" !#-\[\]-~"), one_of(" -&(-~")
_TAG_KEY = r"[A-Za-z0-9_][A-Za-z0-9_./=+@-]{0,127}"

_SCALARS = {'"': f'"({_IN_DOUBLE}+)"', "'": f"'({_IN_SINGLE}+)'", "": f"({_PLAIN})"}
"""By how a value begins: its pattern, with its text as a group."""
_TAG_VALUES = {'"': f'"({_IN_DOUBLE}*)"', "'": f"'({_IN_SINGLE}*)'", "": f"({_PLAIN})"}
_FLOW_VALUES = {**_TAG_VALUES, "": f"({_FLOW_PLAIN})"}
_FLOW_PAIR = re.compile(
    rf"(\"{_TAG_KEY}\"|{_TAG_KEY}): (\"{_IN_DOUBLE}*\"|'{_IN_SINGLE}*'|{_FLOW_PLAIN})(, |\}}$)", re.DOTALL
)
_KEY = re.compile(r"(id|file|glob|url|tags|generation|max_size):")
_TAG_LINE = re.compile(rf"([ ]+)({_TAG_KEY}): (.)")
_SOURCES = {kind.value: kind for kind in SourceKind}

_GAP = rf"((?:[ ]*(?:\#{ANY}*)?\n)*)"
_END = r"(?=[ ]*[-#\n]|\Z)"
"""What follows an entry is another one, a comment, an empty line or nothing: not more of the same entry."""
SHAPES_LIMIT = 50
"""A manifest of more shapes than that was written by people, who write small ones."""
SHARED_TAGS = 10_000
"""So many different mappings of tags are kept, for each shape, to be shared."""


@dataclass(slots=True)
class Shape:
    """One shape: its pattern, and which group is what."""

    pattern: re.Pattern[str]
    lines: int
    kind: SourceKind
    column: int
    """Of the source's value, from 1."""
    source_line: int
    """From the entry's first."""
    groups: Mapping[str, int]
    """The group of each key but `tags`, from 0."""
    tag_keys: tuple[str, ...]
    first_tag: int
    """The group of the first tag's value."""
    known_tags: dict[tuple[str, ...], Mapping[str, str]] = field(default_factory=dict)
    """Mappings of tags by their values: equal ones are one."""


def learn(block: str, indent: str) -> Shape:
    """The shape of the entry that these lines are. Raises UnusualError."""
    return _Learning(indent).shape(block.removesuffix("\n").split("\n"))


class _Learning:
    """Goes over the lines of an entry, and gathers its pattern."""

    def __init__(self, indent: str) -> None:
        self._prefixes = (f"{indent}- ", f"{indent}  ")
        self._pattern = [_GAP]
        self._count = 1
        self._groups: dict[str, int] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._tag_keys: tuple[str, ...] = ()
        self._first_tag = 0

    def shape(self, lines: list[str]) -> Shape:
        at = 0
        while at < len(lines):
            at += self._key(lines, at)
        sources = [name for name in _SOURCES if name in self._groups]
        if len(sources) != 1 or (sources == ["glob"] and "id" in self._groups):
            raise UnusualError
        source_line, column = self._places[sources[0]]
        pattern = re.compile("".join(self._pattern) + _END)
        return Shape(
            pattern=pattern,
            lines=len(lines),
            kind=_SOURCES[sources[0]],
            column=column,
            source_line=source_line,
            groups=self._groups,
            tag_keys=self._tag_keys,
            first_tag=self._first_tag,
        )

    def _key(self, lines: list[str], at: int) -> int:
        """Take the key that begins in a line, and give the number of its lines."""
        prefix = self._prefixes[at > 0]
        line = lines[at]
        found = _KEY.match(line, len(prefix)) if line.startswith(prefix) else None
        if found is None or found[1] in self._groups or (found[1] == "tags" and self._tag_keys):
            raise UnusualError
        name, rest = found[1], line[found.end() :]
        self._pattern.append(f"{prefix}{name}:")
        if name != "tags":
            self._scalar(name, rest)
            self._places[name] = (at, found.end() + 2)
            return 1
        self._first_tag = self._count
        if rest.startswith(" {"):
            self._flow_tags(rest)
            return 1
        return self._block_tags(rest, lines, at + 1)

    def _scalar(self, name: str, rest: str) -> None:
        if not rest.startswith(" ") or (name == "generation" and not rest[1:].isdigit()):
            raise UnusualError
        value = f"({rules.NUMBER_PATTERN})" if name == "generation" else _SCALARS[_quote_of(rest[1:2])]
        self._pattern.append(f" {value}\n")
        self._groups[name] = self._count
        self._count += 1

    def _flow_tags(self, rest: str) -> None:
        keys, at, separator = [], 2, ", "
        self._pattern.append(r" \{")
        while separator == ", ":
            pair = _FLOW_PAIR.match(rest, at)
            if pair is None:
                raise UnusualError
            keys.append(pair[1].strip('"'))
            separator, at = pair[3], pair.end()
            self._pattern.append(f"{re.escape(pair[1])}: {_FLOW_VALUES[_quote_of(pair[2][:1])]}{re.escape(separator)}")
        self._pattern.append("\n")
        self._take_tags(keys)

    def _block_tags(self, rest: str, lines: list[str], at: int) -> int:
        keys, width = [], None
        if rest:
            raise UnusualError
        self._pattern.append("\n")
        for line in lines[at:]:
            found = _TAG_LINE.match(line)
            if found is None or len(found[1]) <= len(self._prefixes[1]):
                break
            if width is not None and width != found[1]:
                raise UnusualError
            width = found[1]
            keys.append(found[2])
            self._pattern.append(f"{width}{re.escape(found[2])}: {_TAG_VALUES[_quote_of(found[3])]}\n")
        self._take_tags(keys)
        return 1 + len(keys)

    def _take_tags(self, keys: list[str]) -> None:
        if not keys or len(set(keys)) != len(keys) or any(rules.wrong_with_tag_key(key) for key in keys):
            raise UnusualError
        self._tag_keys = tuple(keys)
        self._count += len(keys)


def _quote_of(first: str) -> str:
    return first if first in ("'", '"') else ""


class Taker:
    """Takes entries off a text, by the shapes it has learned. `limit`: of tags, with `shared` ones counted."""

    def __init__(self, indent: str, *, shared: Mapping[str, str], limit: int) -> None:
        self._indent = indent
        self._shared = shared
        self._limit = limit
        self._shapes: list[Shape] = []

    def entries(self, text: str, line: int) -> Iterator[Entry]:
        """The entries of whole lines that begin at `line`. Raises UnusualError at the first that it does not know."""
        at, end = 0, len(text)
        while at < end:
            shape, found = self._match(text, at)
            if shape is None or found is None:
                if text[at:].strip(" \n") and not re.fullmatch(_GAP, text[at:]):
                    raise UnusualError
                return
            groups = found.groups()
            if groups[0]:
                line += groups[0].count("\n")
            yield self._entry(shape, groups, line)
            line += shape.lines
            at = found.end()

    def _match(self, text: str, at: int) -> tuple[Shape | None, re.Match[str] | None]:
        for shape in self._shapes:
            if found := shape.pattern.match(text, at):
                if shape is not self._shapes[0]:
                    self._shapes.remove(shape)
                    self._shapes.insert(0, shape)
                return shape, found
        learned = self._learned(text, at)
        return learned, None if learned is None else learned.pattern.match(text, at)

    def _learned(self, text: str, at: int) -> Shape | None:
        gap = re.compile(_GAP).match(text, at)
        begin = gap.end() if gap else at
        if begin == len(text):
            return None
        if len(self._shapes) == SHAPES_LIMIT:
            raise UnusualError
        next_one = re.compile(rf"\n(?={self._indent}- |[ ]*#|[ ]*\n)").search(text, begin)
        shape = learn(text[begin : next_one.end() if next_one else len(text)], self._indent)
        self._shapes.insert(0, shape)
        return shape

    def _entry(self, shape: Shape, groups: tuple[str, ...], line: int) -> Entry:
        at = shape.groups
        source = groups[at[shape.kind]]
        item_id = groups[at["id"]] if "id" in at else None
        if item_id is not None and len(item_id) > rules.ID_LENGTH:
            raise UnusualError
        if shape.kind is SourceKind.URL and rules.wrong_with_word(Code.URL, source):
            raise UnusualError
        return Entry(
            shape.kind,
            source,
            Position(line + shape.source_line, shape.column),
            item_id,
            None,
            self._tags(shape, groups) if shape.tag_keys else NOTHING,
            generation=int(groups[at["generation"]]) if "generation" in at else None,
            max_size_bytes=_size_bytes(groups[at["max_size"]]) if "max_size" in at else None,
        )

    def _tags(self, shape: Shape, groups: tuple[str, ...]) -> Mapping[str, str]:
        values = groups[shape.first_tag : shape.first_tag + len(shape.tag_keys)]
        known = shape.known_tags.get(values)
        if known is not None:
            return known
        tags = dict(zip(shape.tag_keys, values, strict=True))
        if len(self._shared.keys() | tags.keys()) > self._limit:
            raise UnusualError
        for key, value in tags.items():
            if wrong_with_template(value) if has_braces(value) else rules.wrong_with_tag_value(key, value):
                raise UnusualError
        if len(shape.known_tags) < SHARED_TAGS:
            shape.known_tags[values] = tags
        return tags


def _size_bytes(text: str) -> int:
    found = rules.size_bytes(text)
    if found is None:
        raise UnusualError
    return found
