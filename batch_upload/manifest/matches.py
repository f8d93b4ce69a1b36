"""What a glob matches: the same on every machine, sorted by code points. `**` follows no links."""

import errno
import fnmatch
import os
import re
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batch_upload.escape import quoted_path
from batch_upload.shortage import through_shortages
from batch_upload.spelling import folded, path_advice
from batch_upload.words import count_words

_WILDCARD = re.compile(r"[*?\[]")
_LEFTOVERS = re.compile(r"~\$|(?:thumbs\.db|desktop\.ini|\.ds_store)\Z", re.IGNORECASE)
"""Files that Office, Windows and macOS leave in folders: lock files of open documents, previews, folder settings."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Paths relative to the folder, with `/`, and the folders that could not be read, each with the reason."""

    paths: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]


def matches(pattern: str, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> Matches:
    """Find every file that `pattern` names below `folder`, or anywhere if it is absolute or goes up with `..`.

    `*`, `?` and `[…]` match within a name, `**` any number of folders. Hidden names are matched only by a pattern that
    begins with a dot, and leftovers of programs (`is_leftover`) by none. Folders are never matches. Links to files are,
    broken ones too, so that they are reported. Raises OutOfResources if folders cannot be opened because
    this process lacks file descriptors or memory. `pause` waits so many seconds for them.
    """
    return _Search(folder, pause).find(pattern)


def is_leftover(name: str) -> bool:
    """Tell whether a program puts files of this name into folders for its own use."""
    return _LEFTOVERS.match(name) is not None


def advice_on_no_match(pattern: str, folder: Path) -> str:
    """Return what to do about a pattern that matches nothing. Tries other Unicode forms and other case."""
    alike = _Search(folder, time.sleep, fold=partial(unicodedata.normalize, "NFC")).find(pattern).paths
    how = "in another Unicode form (Macs write names in NFD)"
    advice = "rename the files, or write `*` for the accented letters"
    if not alike:
        alike = _Search(folder, time.sleep, fold=folded).find(pattern).paths
        how, advice = "with other capital letters", "write them as they are there"
    if not alike:
        return path_advice(pattern, key="glob") or "check the pattern"
    return f"{count_words(len(alike), 'file')} would match it {how}, such as {quoted_path(alike[0])}: {advice}"


@dataclass(slots=True)
class _Search:
    folder: Path
    pause: Callable[[float], None]
    fold: Callable[[str], str] | None = None
    """Applied to names and patterns before they are compared."""
    unreadable: dict[str, str] = field(default_factory=dict)

    def find(self, pattern: str) -> Matches:
        segments: list[str] = []
        for segment in pattern.split("/"):
            is_repeated = segment == "**" and segments[-1:] == ["**"]
            if segment not in ("", ".") and not is_repeated:
                segments.append(segment)
        found = set(self._walk("/" if pattern.startswith("/") else "", segments))
        return Matches(tuple(sorted(found)), tuple(sorted(self.unreadable.items())))

    def _walk(self, root: str, segments: Sequence[str]) -> Iterator[str]:
        """Yield paths relative to `folder`, some of them perhaps twice."""
        # Each folder meets each segment once: several `**` would otherwise multiply the work.
        seen: set[tuple[str, int]] = set()
        waiting = [(root, 0)]
        while waiting:
            prefix, index = waiting.pop()
            if index >= len(segments) or (prefix, index) in seen:
                continue
            seen.add((prefix, index))
            segment, is_last = segments[index], index == len(segments) - 1
            if segment == "**":
                waiting.append((prefix, index + 1))
                below = [each.name for each in self._scan(prefix) if each.is_dir(follow_symlinks=False)]
                waiting.extend((f"{prefix}{name}/", index) for name in below if not name.startswith("."))
                if is_last:
                    yield from self._matching(prefix, re.compile(r"[^.].*", re.DOTALL), folders=False)
            elif (self.fold and segment != "..") or _WILDCARD.search(segment):
                hidden = "" if segment.startswith(".") else r"(?!\.)"
                translated = fnmatch.translate(self.fold(segment) if self.fold else segment)
                found = self._matching(prefix, re.compile(hidden + translated, re.DOTALL), folders=not is_last)
                if is_last:
                    yield from found
                else:
                    waiting.extend((f"{path}/", index + 1) for path in found)
            elif is_last:
                path = prefix + segment
                if not stat.S_ISDIR(self._mode(path)) and self._mode(path, follow_symlinks=False):
                    yield path
            elif stat.S_ISDIR(self._mode(prefix + segment)):
                waiting.append((f"{prefix}{segment}/", index + 1))

    def _matching(self, prefix: str, pattern: re.Pattern[str], *, folders: bool) -> Iterator[str]:
        """Yield the paths of a folder's folders, or of its files without leftovers, that match a pattern."""
        for entry in self._scan(prefix):
            name = entry.name
            if pattern.fullmatch(self.fold(name) if self.fold else name) and (folders or not is_leftover(name)):
                if entry.is_symlink():
                    is_folder = stat.S_ISDIR(self._mode(prefix + name))
                else:
                    is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder == folders:
                    yield prefix + name

    def _mode(self, name: str, *, follow_symlinks: bool = True) -> int:
        """Return the mode of a path, or 0 if there is nothing or only a broken link."""
        try:
            return os.stat(self.folder / name, follow_symlinks=follow_symlinks).st_mode
        except OSError as error:
            self._note(name, error)
            return 0

    def _scan(self, prefix: str) -> list[os.DirEntry[str]]:
        def entries() -> list[os.DirEntry[str]]:
            with os.scandir(self.folder / prefix) as found:
                return list(found)

        try:
            return through_shortages(entries, pause=self.pause)
        except OSError as error:
            self._note(prefix.rstrip("/") or ".", error)
            return []

    def _note(self, name: str, error: OSError) -> None:
        # A path that does not exist, or whose links go round in a circle, is only no match.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            self.unreadable[name] = (error.strerror or str(error)).lower()
