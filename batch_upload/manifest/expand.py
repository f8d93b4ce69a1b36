"""From entries to the attachments that are to be: globs, defaults, templates, ids."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.matches import advice_on_no_match, matches
from batch_upload.manifest.problems import Problems, printable, quoted
from batch_upload.manifest.rules import has_braces, render, wrong_with_template
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind


def expand(manifest: Manifest, *, allow_outside: bool) -> tuple[tuple[Listed, ...], tuple[Problem, ...]]:
    """Every attachment of the manifest, in its order, the matches of a glob by code point; and every problem.

    Folders are read where there are globs, but no file is looked into. What has a problem is not listed. With
    `allow_outside` paths may leave the manifest's folder; links that lead out of it are found by whoever opens them.
    """
    problems = Problems(str(manifest.path))
    work = Expansion(manifest, problems, allow_outside=allow_outside)
    listed = tuple(item for entry in manifest.entries for item in work.of(entry))
    return listed, problems.in_order()


SHARED_TAGS = 10_000
"""So many different mappings of tags are kept to be shared; a batch has a few, or one for each item."""


@dataclass(slots=True)
class _Shared:
    """Files that the glob at work matches as well as another glob, or as entries of their own. `line`: of the first."""

    example: str
    line: int
    count: int = 0


@dataclass(slots=True)
class _Ids:
    """The ids of a manifest, taken entry by entry. An id that is taken twice is added to `problems`.

    Overlapping globs are one problem for each pair, however many files they share.
    """

    problems: Problems
    _takers: dict[str, int] = field(default_factory=dict)
    """By id: the line of the entry that took it first, or minus the number of the glob, from 1. A million fit."""
    _globs: list[tuple[Entry, int]] = field(default_factory=list)
    """Each glob so far, and how many files it matches."""
    _further: dict[str, list[int]] = field(default_factory=dict)
    """By id: globs that wanted it, too."""
    _shared: dict[int, _Shared] = field(default_factory=dict)
    """What the glob at work shares: by the number of the other glob, or 0 for all entries with a file of their own."""

    def begin_glob(self, entry: Entry, count: int) -> None:
        """From now on ids are taken by the matches of this glob, so many, until `end_glob`."""
        self._globs.append((entry, count))

    def end_glob(self) -> None:
        """Report what the glob shares with the entries before it."""
        entry, count = self._globs[-1]
        for number, shared in self._shared.items():
            message = self._overlap(entry, count, number, shared) if number else _has_entries(entry, shared)
            self.problems.add(entry.at, Code.DUPLICATE_ID, message)
        self._shared.clear()

    def take(self, entry: Entry, item_id: str) -> bool:
        """Whether the id is free, which it is not any more."""
        is_glob = entry.kind is SourceKind.GLOB
        at = entry.id_at or entry.at
        first = self._takers.get(item_id)
        if first is None:
            self._takers[item_id] = -len(self._globs) if is_glob else at.line
            return True
        if is_glob:
            self._share(item_id, first)
        else:
            self.problems.add(at, Code.DUPLICATE_ID, self._taken_already(entry, item_id, first))
        return False

    def _share(self, item_id: str, first: int) -> None:
        others = self._further.setdefault(item_id, [])
        for taker in (first, *others):
            number = max(0, -taker)
            line = self._globs[number - 1][0].at.line if number else taker
            self._shared.setdefault(number, _Shared(item_id, line)).count += 1
        others.append(-len(self._globs))

    def _taken_already(self, entry: Entry, item_id: str, first: int) -> str:
        if first < 0:
            glob = self._globs[-first - 1][0]
            where = f"the glob {quoted(glob.source)} in line {glob.at.line}"
            if entry.source == item_id:
                return f"{where} matches {quoted(item_id)} already: leave this entry out, or narrow the pattern"
            return f"the id {quoted(item_id)} is that of a file which {where} matches: give this entry another `id`"
        if entry.item_id is None:
            how = "leave one of the two out, or give one an `id` of its own"
            return f"{quoted(item_id)} is listed in line {first} already: {how}"
        return f"the id {quoted(item_id)} is used in line {first} already: give one of the two another `id`"

    def _overlap(self, entry: Entry, count: int, number: int, shared: _Shared) -> str:
        first, first_count = self._globs[number - 1]
        both = f"{quoted(first.source)} in line {shared.line} and {quoted(entry.source)}"
        if shared.count == count == first_count:
            advice = "leave one of the two out"
        elif shared.count == count:
            advice = "leave this one out, which matches nothing else"
        elif shared.count == first_count:
            advice = f"leave line {shared.line} out, which matches nothing else"
        else:
            advice = "narrow one of the patterns"
        return f"{both} match the same {_files(shared.count)}, such as {quoted(shared.example)}: {advice}"


def _has_entries(entry: Entry, shared: _Shared) -> str:
    example = f"such as {quoted(shared.example)} in line {shared.line}"
    if shared.count == 1:
        return (
            f"{quoted(entry.source)} matches a file that has an entry of its own, {quoted(shared.example)} in line "
            f"{shared.line}: leave that entry out, or narrow the pattern"
        )
    return (
        f"{quoted(entry.source)} matches {_files(shared.count)} that have entries of their own, {example}: "
        "leave those entries out, or narrow the pattern"
    )


def _files(count: int) -> str:
    return "file" if count == 1 else f"{count:,} files"


@dataclass(slots=True)
class Expansion:
    """Takes the entries of a manifest one by one, in their order. What is wrong with them is added to `problems`."""

    manifest: Manifest
    problems: Problems
    allow_outside: bool = field(kw_only=True)
    _folder: str = field(init=False)
    _tags_limit: int = field(init=False)
    _ids: _Ids = field(init=False)
    _has_templates: bool = field(init=False)
    _merged: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._tags_limit = rules.TAGS_LIMIT - 1 if self.manifest.identity_tag else rules.TAGS_LIMIT
        if len(self.manifest.tags) > self._tags_limit:
            self._report_too_many(len(self.manifest.tags), self.manifest.tags_at, Position())
        self._ids = _Ids(self.problems)
        self._folder = str(self.manifest.folder)
        self._has_templates = any(has_braces(value) for value in self.manifest.tags.values())

    def of(self, entry: Entry) -> Sequence[Listed]:
        """The attachments of one entry that have no problem."""
        if entry.kind is not SourceKind.URL and self._leaves(entry.source):
            message = f"{quoted(entry.source)} leaves the manifest's folder: move it in, or use `--allow-outside`"
            self.problems.add(entry.at, Code.OUTSIDE, message)
            return ()
        if entry.kind is SourceKind.GLOB:
            return self._of_glob(entry)
        if entry.kind is SourceKind.FILE and (wrong := rules.wrong_with_file(entry.source)):
            self.problems.add(entry.at, *wrong)
            return ()
        item = self._listed(entry, entry.source)
        return () if item is None else (item,)

    def _of_glob(self, entry: Entry) -> Sequence[Listed]:
        paths = self._matches(entry)
        self._ids.begin_glob(entry, len(paths))
        each = (self._listed(entry, source) for source in paths)
        listed = tuple(item for item in each if item is not None)
        self._ids.end_glob()
        return listed

    def _matches(self, entry: Entry) -> tuple[str, ...]:
        found = matches(entry.source, self.manifest.folder)
        for name, reason in found.unreadable:
            message = f"{quoted(name)} cannot be read for the glob {quoted(entry.source)}: {reason}"
            self.problems.add(entry.at, Code.FOLDER_UNREADABLE, message)
        if not found.paths and not found.unreadable:
            advice = printable(advice_on_no_match(entry.source, self.manifest.folder))
            self.problems.add(entry.at, Code.NO_MATCH, f"{quoted(entry.source)} matches no file: {advice}")
        return found.paths

    def _leaves(self, source: str) -> bool:
        if self.allow_outside or not (source.startswith("/") or ".." in source):
            return False
        whole = os.path.normpath(os.path.join(self._folder, source))
        return os.path.commonpath((whole, self._folder)) != self._folder

    def _listed(self, entry: Entry, source: str) -> Listed | None:
        manifest = self.manifest
        item_id = entry.item_id if entry.item_id is not None else source
        tags = self._tags(entry, source, item_id)
        if not self._takes_id(entry, item_id) or tags is None:
            return None
        return Listed(
            batch=manifest.batch,
            item_id=item_id,
            source=source,
            folder=None if entry.kind is SourceKind.URL else manifest.folder,
            tags=tags,
            generation=entry.generation or manifest.generation,
            max_size_bytes=entry.max_size_bytes or manifest.max_size_bytes,
            identity_tag=manifest.identity_tag,
            at=entry.at,
        )

    def _takes_id(self, entry: Entry, item_id: str) -> bool:
        if entry.item_id is None:
            is_found = entry.kind is SourceKind.GLOB
            wrong = rules.wrong_with_name(item_id) if is_found else rules.wrong_with_id(item_id)
            if wrong:
                self.problems.add(entry.id_at or entry.at, *wrong)
                return False
        return self._ids.take(entry, item_id)

    def _tags(self, entry: Entry, source: str, item_id: str) -> Mapping[str, str] | None:
        manifest = self.manifest
        own = tuple(entry.tags.items())
        shared = self._merged.get(own)
        if shared is not None:
            return shared
        merged = {**manifest.tags, **entry.tags}
        if len(merged) > self._tags_limit >= len(manifest.tags):
            self._report_too_many(len(merged), entry.tags_at, entry.at)
            return None
        if not self._has_templates and not any(has_braces(value) for value in entry.tags.values()):
            if len(self._merged) < SHARED_TAGS:
                self._merged[own] = merged
            return merged
        values = self._template_values(entry, source, item_id)
        rendered: dict[str, str] = {}
        for key, value in merged.items():
            at = entry.tags_at.get(key) or manifest.tags_at.get(key) or entry.at
            text = self._rendered(at, key, value, values)
            if text is None:
                return None
            rendered[key] = text
        return rendered

    def _report_too_many(self, count: int, tags_at: Mapping[str, Position], at: Position) -> None:
        too_many = [*tags_at.values()][-(count - self._tags_limit) :]
        counted = ", besides the identity tag" if self.manifest.identity_tag else ""
        message = f"{count} tags, at most {self._tags_limit} are allowed{counted}"
        self.problems.add(too_many[0] if too_many else at, Code.TOO_MANY_TAGS, message)

    def _rendered(self, at: Position, key: str, value: str, values: Mapping[str, str]) -> str | None:
        if not has_braces(value):
            return value
        if message := wrong_with_template(value):
            self.problems.add(at, Code.TEMPLATE, message)
            return None
        text = render(value, values)
        wrong = rules.wrong_with_tag_value(key, text)
        if wrong:
            # Names from a Mac have accents apart from their letters (NFD), which tags may not hold. Nothing else is
            # normalised: what was accepted as it is stays so, and with it the token.
            text = unicodedata.normalize("NFC", text)
            wrong = rules.wrong_with_tag_value(key, text)
        if wrong:
            code, message = wrong
            self.problems.add(at, code, f"{message} (of {quoted(values['id'])})")
            return None
        return text

    def _template_values(self, entry: Entry, source: str, item_id: str) -> dict[str, str]:
        if entry.kind is SourceKind.URL:
            path = PurePosixPath("/", source.removeprefix("s3://"))
        else:
            path = PurePosixPath(os.path.normpath(self.manifest.folder / source))
        return {
            "stem": path.stem,
            "name": path.name,
            "parent": path.parent.name,
            "id": item_id,
            "batch": self.manifest.batch,
        }
