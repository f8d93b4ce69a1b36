"""What a glob matches: the same on every machine, sorted by code points. `**` follows no links."""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch_upload.document import EVERY_EXTENSION
from batch_upload.escape import quoted_path
from batch_upload.manifest.patterns import Exclusion, NamePattern
from batch_upload.shortage import through_shortages
from batch_upload.spelling import composed, folded, path_advice
from batch_upload.words import count_words

_WILDCARD = re.compile(r"[*?\[]")
_LEFTOVERS = re.compile(r"~\$|(?:thumbs\.db|desktop\.ini|\.ds_store)\Z", re.IGNORECASE)
"""Files that Office, Windows and macOS leave in folders: lock files of open documents, previews, folder settings."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Paths relative to the folder, with `/`, and the folders that could not be read, each with the reason."""

    paths: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    excluded: int = 0
    """How many files match and are left out by `exclude`."""
    alike: tuple[str, ...] = ()
    """Files that would match if their names had other capital letters or another Unicode form."""


def matches(
    patterns: Sequence[str],
    folder: Path,
    *,
    exclude: Sequence[str] = (),
    pause: Callable[[float], None] = time.sleep,
) -> Matches:
    """Find every file that one of `patterns` names below `folder`, or anywhere if it is absolute or has `..`.

    `*`, `?` and `[…]` match within a name, `**` any number of folders, and extensions of documents in any case. Hidden
    names are matched only by a pattern that begins with a dot, and leftovers of programs (`is_leftover`) by none.
    Folders are never matches. Links to files are, broken ones too, so that they are reported. `exclude` has patterns of
    what is left out. Raises OutOfResources if folders cannot be opened because this process lacks file descriptors or
    memory. `pause` waits so many seconds for them.
    """
    search, exclusion = _Search(folder, pause), Exclusion(exclude)
    found = {path for pattern in patterns for path in search.find(pattern)}
    kept = found if not exclusion else {path for path in found if not exclusion.excludes(path)}
    return Matches(
        tuple(sorted(kept)),
        tuple((name, why) for name, why in sorted(search.unreadable.items()) if not exclusion.excludes(name)),
        len(found) - len(kept),
        tuple(sorted(path for path in search.alike - found if not exclusion.excludes(path))),
    )


def is_leftover(name: str) -> bool:
    """Tell whether a program puts files of this name into folders for its own use."""
    return _LEFTOVERS.match(name) is not None


def advice_on_no_match(source: str, patterns: Sequence[str], folder: Path) -> str:
    """Return what to do about patterns that match nothing. Tries brackets as characters, other Unicode forms and case.

    `source` is what the patterns were written as.
    """

    def first_of(patterns: Sequence[str], fold: Callable[[str], str] | None = None) -> tuple[int, str]:
        search = _Search(folder, time.sleep, fold=fold)
        found = {path for pattern in patterns for path in search.find(pattern)}
        return len(found), quoted_path(min(found)) if found else ""

    if "[" in source:
        count, first = first_of([pattern.replace("[", "[[]") for pattern in patterns])
        if count:
            how = f"write `{source.replace('[', '[[]')}`" if "[[]" not in source else "write `[[]` for each `[`"
            return f"{count_words(count, 'file')} would match it with brackets in the name, such as {first}: {how}"
    count, first = first_of(patterns, composed)
    if count:
        how = "in another Unicode form (Macs write names in NFD)"
        advice = "rename the files, or write `*` for the accented letters"
    else:
        count, first = first_of(patterns, folded)
        how, advice = "with other capital letters", "write them as they are there"
    if not count:
        return path_advice(source, key="glob") or "check the pattern"
    return f"{count_words(count, 'file')} would match it {how}, such as {first}: {advice}"


@dataclass(slots=True)
class _Search:
    folder: Path
    pause: Callable[[float], None]
    fold: Callable[[str], str] | None = None
    """Applied to names and patterns before they are compared."""
    unreadable: dict[str, str] = field(default_factory=dict)
    alike: set[str] = field(default_factory=set)
    """Files whose names match only if they are folded (`spelling.folded`)."""

    def find(self, pattern: str) -> set[str]:
        """Return the paths that a pattern without alternatives matches."""
        segments: list[str] = []
        for segment in pattern.split("/"):
            is_repeated = segment == "**" and segments[-1:] == ["**"]
            if segment not in ("", ".") and not is_repeated:
                segments.append(segment)
        return set(self._walk("/" if pattern.startswith("/") else "", segments))

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
                    yield from self._matching(prefix, "*", folders=False)
            elif (self.fold and segment != "..") or _WILDCARD.search(segment):
                found = self._matching(prefix, segment, folders=not is_last)
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

    def _matching(self, prefix: str, segment: str, *, folders: bool) -> Iterator[str]:
        """Yield the paths of a folder's folders, or of its files without leftovers, whose names a pattern matches."""
        pattern = NamePattern(segment, fold=self.fold)
        bare, extension = os.path.splitext(segment)
        letters = bare if extension.lower() in EVERY_EXTENSION else segment
        may_be_alike = not folders and self.fold is None and letters.lower() != letters.upper()
        alike = NamePattern(segment, fold=folded) if may_be_alike else None
        for entry in self._scan(prefix):
            name = entry.name
            is_match = pattern.matches(name)
            if not (is_match or (alike is not None and alike.matches(name))) or (not folders and is_leftover(name)):
                continue
            if entry.is_symlink():
                is_folder = stat.S_ISDIR(self._mode(prefix + name))
            else:
                is_folder = entry.is_dir(follow_symlinks=False)
            if is_match and is_folder == folders:
                yield prefix + name
            elif not is_match and not is_folder:
                self.alike.add(prefix + name)

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
