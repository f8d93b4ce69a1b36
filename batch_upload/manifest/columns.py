"""The columns of a table, and templates that take from them, ready to be filled in from the cells of a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from batch_upload.manifest import rules
from batch_upload.manifest.filters import TagChanged, filtered
from batch_upload.manifest.problems import excerpt
from batch_upload.manifest.rules import COLUMN_PREFIX, TEMPLATE_PIECE, has_braces
from batch_upload.spelling import closest, literal

Cells = Sequence[str]
Filled = Callable[[Cells], str]
"""Makes a text of the cells of a row."""


class Template(NamedTuple):
    """A template of an entry with `table`, ready to be filled in."""

    fill: Filled
    columns: tuple[int, ...]
    """The places of the columns that it takes from."""
    is_cell: bool
    """Whether it is one column and nothing else."""
    has_names: bool
    """Whether other names are left in it, so that what it makes is a template."""


@dataclass(slots=True)
class Columns:
    """Finds columns by name: exactly, or in other case or with other white space if only one fits."""

    names: Sequence[str]
    _places: dict[str, int] = field(default_factory=dict)
    """By name; -1 for one that two columns have."""
    _folded: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, name in enumerate(self.names):
            if name:
                self._places[name] = -1 if name in self._places else place
                self._folded.setdefault(folded_name(name), []).append(place)

    def find(self, name: str) -> int | None:
        """Return the place of a column; None if there is none or more than one."""
        place = self._places.get(name)
        if place is None:
            alike = self._folded.get(folded_name(name), [])
            return alike[0] if len(alike) == 1 else None
        return None if place < 0 else place

    def wrong_with(self, name: str) -> str:
        """Return why `find` returns None, in words, with what to do."""
        if self._places.get(name) == -1:
            return f"the column {excerpt(name)} is there twice: rename one"
        alike = [self.names[place] for place in self._folded.get(folded_name(name), [])]
        if alike:
            return f"{excerpt(name)} may be the column {' or '.join(map(excerpt, alike))}: write it exactly"
        found = closest(name, self._places)
        listed = self.listed if found is None else f"did you mean {excerpt(found.name)}?"
        return f"there is no column {excerpt(name)}: {listed}"

    @property
    def listed(self) -> str:
        """The columns, for messages."""
        return f"the columns are {', '.join(map(excerpt, dict.fromkeys(filter(None, self.names))))}"


def folded_name(name: str) -> str:
    """Return the same key for all names that differ only in case and white space."""
    return " ".join(name.casefold().split())


def columns_in(text: str) -> list[str]:
    """Return the columns that a correct template takes from, in its order."""
    names = rules.names_in(text)
    return [name.removeprefix(COLUMN_PREFIX) for name in names if name.startswith(COLUMN_PREFIX)]


def template_of(text: str, columns: Columns, *, keep: bool, changed: TagChanged | None = None) -> Template:
    """Prepare a correct template whose columns all exist.

    With `keep` the result is a template: other names stay in it, and braces of a cell are doubled, since they are text.
    `changed` is called as by `filtered`.
    """
    parts: list[str | tuple[int, str, str]] = []
    has_names, end = False, 0
    for piece in TEMPLATE_PIECE.finditer(text):
        name, filters = piece[1], piece[2]
        parts.append(text[end : piece.start()])
        end = piece.end()
        if name is not None and name.startswith(COLUMN_PREFIX):
            place = columns.find(name.removeprefix(COLUMN_PREFIX))
            parts.append((-1 if place is None else place, filters, name))
        else:
            has_names = has_names or name is not None
            parts.append(piece[0] if keep else piece[0][0])
    parts.append(text[end:])
    parts = [part for part in parts if part]
    places = tuple(part[0] for part in parts if not isinstance(part, str))
    is_cell = len(parts) == len(places) == 1
    return Template(_filling(parts, keep=keep, changed=changed), places, is_cell=is_cell, has_names=has_names)


def _filling(parts: Sequence[str | tuple[int, str, str]], *, keep: bool, changed: TagChanged | None) -> Filled:
    """Return what makes a text of a row's cells. Most templates are one column, perhaps behind a folder."""

    def cell(place: int, filters: str, name: str) -> Filled:
        def filled(cells: Cells) -> str:
            value = filtered(cells[place], filters, name=name, changed=changed)
            return literal(value) if keep and has_braces(value) else value

        return filled if filters or keep else itemgetter(place)

    if all(isinstance(part, str) for part in parts):
        constant = "".join(part for part in parts if isinstance(part, str))
        return lambda _: constant
    fills = [cell(*part) if not isinstance(part, str) else None for part in parts]
    first, *others = fills
    if first is not None and not others:
        return first
    if len(parts) == 2 and isinstance(parts[0], str) and others[0] is not None:
        beginning, last = parts[0], others[0]
        return lambda cells: beginning + last(cells)
    pairs = [(part if isinstance(part, str) else "", fill) for part, fill in zip(parts, fills, strict=True)]
    return lambda cells: "".join(text if fill is None else fill(cells) for text, fill in pairs)
