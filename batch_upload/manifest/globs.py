"""What globs find besides attachments: files that other entries name, files that are too young, and similar names."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from batch_upload.document import YoungFile
from batch_upload.escape import printable
from batch_upload.manifest.matches import Matches, advice_on_no_match
from batch_upload.manifest.problems import ManifestWarning, excerpt
from batch_upload.model import Entry, Problem
from batch_upload.spelling import composed
from batch_upload.words import count_words


@dataclass(slots=True)
class GlobFindings:
    """What globs find besides attachments. Ages count from `now_s`, in seconds since 1970."""

    now_s: float = field(default_factory=time.time)
    young: list[YoungFile] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    """Of names that are almost matched."""

    def age_of(self, path: str) -> float | None:
        """Return how many seconds ago a file was changed; less than 0 for the future. None for one that vanished.

        A broken link, or a file whose state cannot be read, is infinitely old: it is a problem, and not young.
        """
        try:
            return self.now_s - os.stat(path).st_mtime
        except OSError:
            return float("inf") if os.path.lexists(path) else None


class NamedFiles:
    """The files that entries of one lane name by `file`. No glob has them. `folder` is the manifest's."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._paths: dict[str, str] = {}
        """In their one spelling, by their NFC."""

    def add(self, source: str) -> None:
        """Add the `file` of an entry."""
        path = self._spelt_once(source)
        self._paths.setdefault(composed(path), path)

    def has(self, match: str) -> bool:
        """Tell whether a glob's match is one of them. One in another Unicode form is, unless both exist."""
        if not self._paths:
            return False
        path = self._spelt_once(match)
        named = self._paths.get(composed(path))
        return named is not None and (named == path or not os.path.lexists(os.path.join(self._folder, named)))

    def _spelt_once(self, source: str) -> str:
        """Return a path without `.` and `//`, relative to the folder if it is in it."""
        return os.path.normpath(source.removeprefix(f"{self._folder}/") if source.startswith("/") else source)


def no_match_message(entry: Entry, patterns: Sequence[str], found: Matches, folder: Path) -> str:
    """Return the message of a glob that has no match. `patterns` are its alternatives."""
    if found.excluded:
        files, which = count_words(found.excluded, "file"), "which" if found.excluded == 1 else "all of which"
        what = f"{excerpt(entry.source)} matches {files}, {which} `exclude` leaves out"
        return f"{what}: narrow `exclude`, or write `optional: true`"
    advice = printable(advice_on_no_match(entry.source, patterns, folder))
    return f"{excerpt(entry.source)} matches no file: {advice}"


def warning_of_alike(manifest: str, entry: Entry, names: Sequence[str]) -> Problem:
    """Return the warning of a glob that would match these files, were they named a little differently."""
    is_form = composed(names[0]) != names[0]
    how = "in another Unicode form (Macs write names in NFD)" if is_form else "with other capital letters"
    files = count_words(len(names), "more file")
    message = f"{files} would match {excerpt(entry.source)} {how}, such as {excerpt(names[0])}"
    advice = "it is left out; rename it" if len(names) == 1 else "they are left out; rename them"
    return Problem(
        manifest, entry.at, ManifestWarning.SIMILAR_NAMES, f"{message}: {advice}, or add a `glob` or `exclude`"
    )
