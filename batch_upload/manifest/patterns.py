"""The patterns of `glob` and `exclude`: alternatives in braces, names that match, and files that are left out. Pure."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

from batch_upload.document import EVERY_EXTENSION
from batch_upload.spelling import composed

ALTERNATIVES_MAX = 1_000
"""How many patterns the braces of one may stand for."""
PATTERN_LENGTH_MAX = 4_096
"""PATH_MAX of Linux (limits.h): braces of a longer pattern stay as they are, since no path can match it."""


def alternatives(pattern: str) -> tuple[str, ...]:
    """Return the patterns that `{a,b}` in a pattern stands for, as in a shell: in order, each once.

    Braces may be nested. Without a comma, or in `[…]`, they are characters of a name. Raises ValueError for more than
    ALTERNATIVES_MAX.
    """
    if "{" not in pattern or len(pattern) > PATTERN_LENGTH_MAX:
        return (pattern,)
    found: dict[str, None] = {}
    waiting = [pattern]
    while waiting:
        each = waiting.pop()
        group = _first_group(each)
        if group is None:
            found[each] = None
        else:
            begin, *commas, end = group
            parts = [each[left + 1 : right] for left, right in zip((begin, *commas), (*commas, end), strict=True)]
            waiting.extend(each[:begin] + part + each[end + 1 :] for part in reversed(parts))
        if len(waiting) + len(found) > ALTERNATIVES_MAX:
            raise ValueError(f"more than {ALTERNATIVES_MAX:,} patterns")
    return tuple(found)


def _first_group(pattern: str) -> tuple[int, ...] | None:
    """Return where the first of the outermost braces with a comma begins, has its own commas, and ends."""
    first: tuple[int, ...] | None = None
    unclosed: list[list[int]] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            at = _end_of_class(pattern, at)
        elif char == "{":
            unclosed.append([at])
        elif char == "," and unclosed:
            unclosed[-1].append(at)
        elif char == "}" and unclosed:
            group = unclosed.pop()
            if len(group) > 1 and (first is None or group[0] < first[0]):
                first = (*group, at)
        at += 1
    return first


def _end_of_class(pattern: str, begin: int) -> int:
    """Return where the `[…]` that begins here ends, or `begin` if it does not end: then it is a character."""
    at = begin + 1
    at += pattern.startswith("!", at)
    at += pattern.startswith("]", at)
    end = pattern.find("]", at)
    return begin if end < 0 else end


class NamePattern:
    """A pattern of names, such as `*.pdf`. Its extension, if it is one of a document, matches in any case.

    `fold` is applied to the pattern and to names before they are compared. A leading dot is matched only by a dot,
    unless `with_hidden`.
    """

    __slots__ = ("_any_case", "_fold", "_regex")

    def __init__(self, pattern: str, *, fold: Callable[[str], str] | None = None, with_hidden: bool = False) -> None:
        self._fold = fold
        folded = pattern if fold is None else fold(pattern)
        self._any_case = _with_lower_extension(folded) is not None
        hidden = "" if with_hidden or pattern.startswith(".") else r"(?!\.)"
        translated = fnmatch.translate(_with_lower_extension(folded) or folded)
        self._regex = re.compile(hidden + translated, re.DOTALL)

    def matches(self, name: str) -> bool:
        """Tell whether the pattern matches a name as a whole."""
        if self._fold is not None:
            name = self._fold(name)
        if self._any_case:
            name = _with_lower_extension(name) or name
        return self._regex.fullmatch(name) is not None


def _with_lower_extension(name: str) -> str | None:
    """Return a name with the extension of a document in lower case; None if it has no such extension."""
    bare, dot, extension = name.rpartition(".")
    lower = dot + extension.lower()
    return bare + lower if lower in EVERY_EXTENSION else None


class Exclusion:
    """What `exclude` leaves out of the matches of a glob.

    A pattern without `/` is compared with the file's name and those of its folders, another one with the path and the
    folders on its way, from the manifest's folder. `*` also matches names that begin with a dot, and both Unicode forms
    of a name are the same.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: list[NamePattern] = []
        self._paths: list[Sequence[NamePattern | None]] = []
        """Each a pattern for every name of a path; None for `**`."""
        for pattern in patterns:
            segments = _names_of(pattern)
            while segments[-1:] == ["**"]:
                segments.pop()  # what is in a folder is excluded with it
            if len(segments) == 1 and "/" not in pattern.rstrip("/"):
                self._names.append(_of_exclusion(segments[0]))
            else:
                self._paths.append([None if each == "**" else _of_exclusion(each) for each in segments])

    def __bool__(self) -> bool:
        return bool(self._names or self._paths)

    def excludes(self, path: str) -> bool:
        """Tell whether a path, relative to the manifest's folder or absolute, is left out."""
        names = _names_of(path)
        return any(pattern.matches(name) for pattern in self._names for name in names) or any(
            _begins_with(names, pattern) for pattern in self._paths
        )


def _of_exclusion(segment: str) -> NamePattern:
    return NamePattern(segment, fold=composed, with_hidden=True)


def _names_of(path: str) -> list[str]:
    """Return the names of a path or pattern; the first one of an absolute path is empty."""
    names = [each for each in path.split("/") if each not in ("", ".")]
    return ["", *names] if path.startswith("/") else names


def _begins_with(names: Sequence[str], pattern: Sequence[NamePattern | None]) -> bool:
    """Tell whether the first names of a path match a pattern. On a mismatch its last `**` takes one name more."""
    at = place = 0
    again: tuple[int, int] | None = None
    while place < len(pattern):
        wanted = pattern[place]
        if wanted is None:
            again = at, place + 1
            place += 1
        elif at < len(names) and wanted.matches(names[at]):
            at, place = at + 1, place + 1
        elif again is not None and at < len(names):
            at, place = again[0] + 1, again[1]
            again = at, place
        else:
            return False
    return True
