"""What a glob matches: the same on every machine, in the order of code points, without following links in `**`."""

import errno
import fnmatch
import os
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch_upload.manifest.problems import quoted_path
from batch_upload.shortage import through_shortages
from batch_upload.spelling import folded, path_advice

_MAGIC = re.compile(r"[*?\[]")
_LEFTOVERS = re.compile(r"~\$|(?:thumbs\.db|desktop\.ini|\.ds_store)\Z", re.IGNORECASE)
"""What Office, Windows and macOS leave in folders: lock files of open documents, previews, settings of the folder."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Paths as named from the folder, with `/`; and the folders that could not be read, each with its reason."""

    paths: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]


def matches(pattern: str, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> Matches:
    """Every file that `pattern` names below `folder`, or anywhere if it is absolute or climbs with `..`.

    `*`, `?` and `[…]` match within a name, `**` any number of folders. What begins with a dot is matched only by a
    pattern that begins with one, and leftovers of programs (`is_leftover`) by none. Folders are never matches; links to
    files are, and links that lead nowhere too, so that they are noticed. Raises OutOfResources where folders cannot be
    opened for want of our own resources. `pause` waits so many seconds for them.
    """
    return _found(_Search(folder, pause), pattern)


def is_leftover(name: str) -> bool:
    """Whether a file of this name was put there by a program for itself. No pattern matches it."""
    return _LEFTOVERS.match(name) is not None


def advice_on_no_match(pattern: str, folder: Path) -> str:
    """What to do about a pattern that matches nothing: whether names match it in another Unicode form or case."""
    alike = _found(_Search(folder, time.sleep, fold=_composed), pattern).paths
    if alike:
        where = f"in another Unicode form (Macs write names in NFD), such as {quoted_path(alike[0])}"
        return f"{_count(alike)} {where}: rename the files, or write `*` for the accented letters"
    alike = _found(_Search(folder, time.sleep, fold=folded), pattern).paths
    if alike:
        return (
            f"{_count(alike)} with other capital letters, such as {quoted_path(alike[0])}: write them as they are there"
        )
    return path_advice(pattern, key="glob") or "check the pattern"


def _count(paths: Sequence[str]) -> str:
    return "1 file would match it" if len(paths) == 1 else f"{len(paths):,} files would match it"


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _as_it_is(name: str) -> str:
    return name


def _found(search: "_Search", pattern: str) -> Matches:
    root = "/" if pattern.startswith("/") else ""
    found = set(search.walk(root, _segments(pattern)))
    return Matches(tuple(sorted(found)), tuple(sorted(search.unreadable.items())))


def _segments(pattern: str) -> tuple[str, ...]:
    segments: list[str] = []
    for segment in pattern.split("/"):
        repeated = segment == "**" and segments[-1:] == ["**"]
        if segment not in ("", ".") and not repeated:
            segments.append(segment)
    return tuple(segments)


@dataclass(slots=True)
class _Search:
    folder: Path
    pause: Callable[[float], None]
    fold: Callable[[str], str] = _as_it_is
    """Names and patterns are compared after this."""
    unreadable: dict[str, str] = field(default_factory=dict)

    def walk(self, root: str, segments: tuple[str, ...]) -> Iterator[str]:
        """Names from `folder`, some of them perhaps twice."""
        # Each folder meets each segment once: several `**` would else multiply the work.
        seen: set[tuple[str, int]] = set()
        waiting = [(root, 0)]
        while waiting:
            prefix, index = waiting.pop()
            if index >= len(segments) or (prefix, index) in seen:
                continue
            seen.add((prefix, index))
            is_last = index == len(segments) - 1
            if segments[index] == "**":
                waiting.append((prefix, index + 1))
                waiting.extend((f"{name}/", index) for name in self._folders_below(prefix))
                if is_last:
                    yield from self._files(prefix, re.compile(r"[^.].*", re.DOTALL))
            elif is_last:
                yield from self._last(prefix, segments[index])
            else:
                waiting.extend((f"{name}/", index + 1) for name in self._next(prefix, segments[index]))

    def _last(self, prefix: str, segment: str) -> Iterator[str]:
        name = prefix + segment
        if self._is_compared(segment):
            yield from self._files(prefix, _pattern(self.fold(segment)))
        elif not stat.S_ISDIR(self._mode(name)) and self._mode(name, follow_symlinks=False):
            yield name

    def _next(self, prefix: str, segment: str) -> Iterator[str]:
        if not self._is_compared(segment):
            if stat.S_ISDIR(self._mode(prefix + segment)):
                yield prefix + segment
            return
        pattern = _pattern(self.fold(segment))
        for entry in self._scan(prefix):
            if pattern.fullmatch(self.fold(entry.name)) and self._is_folder(prefix, entry):
                yield prefix + entry.name

    def _is_compared(self, segment: str) -> bool:
        """Whether the names in a folder are compared with a part of the pattern, and not only looked up."""
        return (self.fold is not _as_it_is and segment != "..") or _MAGIC.search(segment) is not None

    def _files(self, prefix: str, pattern: re.Pattern[str]) -> Iterator[str]:
        for entry in self._scan(prefix):
            name = entry.name
            if pattern.fullmatch(self.fold(name)) and not is_leftover(name) and not self._is_folder(prefix, entry):
                yield prefix + name

    def _folders_below(self, prefix: str) -> Iterator[str]:
        for entry in self._scan(prefix):
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield prefix + entry.name

    def _is_folder(self, prefix: str, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink():
            return stat.S_ISDIR(self._mode(prefix + entry.name))
        return entry.is_dir(follow_symlinks=False)

    def _mode(self, name: str, *, follow_symlinks: bool = True) -> int:
        """The mode of what is there, or 0 where there is nothing, or only a link that leads nowhere."""
        try:
            return os.stat(self.folder / name, follow_symlinks=follow_symlinks).st_mode
        except OSError as error:
            self._note(name, error)
            return 0

    def _scan(self, prefix: str) -> list[os.DirEntry[str]]:
        try:
            return through_shortages(lambda: _entries(self.folder / prefix), pause=self.pause)
        except OSError as error:
            self._note(prefix.rstrip("/") or ".", error)
            return []

    def _note(self, name: str, error: OSError) -> None:
        # What is not there, or leads in a circle, is no match, and that is all there is to say.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            self.unreadable[name] = (error.strerror or str(error)).lower()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _pattern(segment: str) -> re.Pattern[str]:
    hidden = "" if segment.startswith(".") else r"(?!\.)"
    return re.compile(hidden + fnmatch.translate(segment), re.DOTALL)
