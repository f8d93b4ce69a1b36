"""From entries to the attachments that a manifest lists: globs, defaults, templates, ids."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from batch_upload.escape import printable
from batch_upload.manifest import rules
from batch_upload.manifest.matches import advice_on_no_match, matches
from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.rules import has_braces, render, wrong_with_template
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind

SHARED_TAGS = 10_000
"""How many different mappings of tags are kept to be shared. A batch has a few, or one for each item."""


def expand(manifest: Manifest, *, allow_outside: bool) -> tuple[tuple[Listed, ...], tuple[Problem, ...]]:
    """Return every attachment of the manifest, in its order, and every problem. Matches of a glob are sorted.

    Folders are read for globs, but no file is opened. What has a problem is not listed. With `allow_outside` paths may
    leave the manifest's folder. Links that leave it are found when a file is opened.
    """
    problems = Problems(str(manifest.path))
    expansion = Expansion(manifest, problems, allow_outside=allow_outside)
    listed = tuple(item for entry in manifest.entries for item in expansion.of(entry))
    return listed, problems.in_order()


class Expansion:
    """Expands the entries of a manifest one by one, in their order. Problems are added to `problems`."""

    def __init__(self, manifest: Manifest, problems: Problems, *, allow_outside: bool) -> None:
        self._manifest = manifest
        self._problems = problems
        self._allow_outside = allow_outside
        self._folder = str(manifest.folder)
        self._ids = _Ids(problems)
        self._tags_limit = rules.TAGS_LIMIT - 1 if manifest.identity_tag else rules.TAGS_LIMIT
        self._has_templates = any(has_braces(value) for value in manifest.tags.values())
        self._merged: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        if len(manifest.tags) > self._tags_limit:
            self._report_too_many(len(manifest.tags), manifest.tags_at, Position())

    def of(self, entry: Entry) -> Sequence[Listed]:
        """Return the attachments of one entry that have no problem."""
        source, folder = entry.source, self._folder
        may_leave = entry.kind is not SourceKind.URL and not self._allow_outside
        if may_leave and (source.startswith("/") or ".." in source):
            whole = os.path.normpath(os.path.join(folder, source))
            if os.path.commonpath((whole, folder)) != folder:
                message = f"{excerpt(source)} leaves the manifest's folder: move it in, or use `--allow-outside`"
                self._problems.add(entry.at, Code.OUTSIDE, message)
                return ()
        if entry.kind is SourceKind.GLOB:
            return self._of_glob(entry)
        if entry.kind is SourceKind.FILE and (wrong := rules.wrong_with_file(source)):
            self._problems.add(entry.at, *wrong)
            return ()
        item = self._listed(entry, source)
        return () if item is None else (item,)

    def _of_glob(self, entry: Entry) -> Sequence[Listed]:
        found = matches(entry.source, self._manifest.folder)
        for name, reason in found.unreadable:
            message = f"{excerpt(name)} cannot be read for the glob {excerpt(entry.source)}: {reason}"
            self._problems.add(entry.at, Code.FOLDER_UNREADABLE, message)
        if not found.paths and not found.unreadable:
            advice = printable(advice_on_no_match(entry.source, self._manifest.folder))
            self._problems.add(entry.at, Code.NO_MATCH, f"{excerpt(entry.source)} matches no file: {advice}")
        self._ids.begin_glob(entry, len(found.paths))
        each = (self._listed(entry, source) for source in found.paths)
        listed = tuple(item for item in each if item is not None)
        self._ids.end_glob()
        return listed

    def _listed(self, entry: Entry, source: str) -> Listed | None:
        manifest = self._manifest
        item_id = entry.item_id if entry.item_id is not None else source
        tags = self._tags(entry, source, item_id)
        if entry.item_id is None:
            is_found = entry.kind is SourceKind.GLOB
            wrong = rules.wrong_with_found_path(item_id) if is_found else rules.wrong_with_id(item_id)
            if wrong:
                self._problems.add(entry.id_at or entry.at, *wrong)
                return None
        if not self._ids.take(entry, item_id) or tags is None:
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

    def _tags(self, entry: Entry, source: str, item_id: str) -> Mapping[str, str] | None:
        """Return the tags of an attachment, defaults included and templates rendered; None if one has a problem."""
        manifest = self._manifest
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
        if entry.kind is SourceKind.URL:
            path = PurePosixPath("/", source.removeprefix("s3://"))
        else:
            path = PurePosixPath(os.path.normpath(manifest.folder / source))
        names = {"stem": path.stem, "name": path.name, "parent": path.parent.name, "id": item_id}
        values = {**names, "batch": manifest.batch}
        rendered: dict[str, str] = {}
        for key, value in merged.items():
            text, wrong = _rendered(key, value, values) if has_braces(value) else (value, None)
            if wrong:
                self._problems.add(entry.tags_at.get(key) or manifest.tags_at.get(key) or entry.at, *wrong)
                return None
            rendered[key] = text
        return rendered

    def _report_too_many(self, count: int, tags_at: Mapping[str, Position], at: Position) -> None:
        too_many = [*tags_at.values()][-(count - self._tags_limit) :]
        counted = ", besides the identity tag" if self._manifest.identity_tag else ""
        message = f"{count} tags, at most {self._tags_limit} are allowed{counted}"
        self._problems.add(too_many[0] if too_many else at, Code.TOO_MANY_TAGS, message)


def _rendered(key: str, template: str, values: Mapping[str, str]) -> tuple[str, rules.Wrong | None]:
    """Return the value that a tag's template gives, and what is wrong with the template or the value."""
    if message := wrong_with_template(template):
        return "", (Code.TEMPLATE, message)
    text = render(template, values)
    if rules.wrong_with_tag_value(key, text):
        # Names from a Mac have accents apart from their letters (NFD), which tags may not have. All other values stay
        # as they are: the token depends on them.
        text = unicodedata.normalize("NFC", text)
    wrong = rules.wrong_with_tag_value(key, text)
    return text, (wrong[0], f"{wrong[1]} (of {excerpt(values['id'])})") if wrong else None


@dataclass(slots=True)
class _Overlap:
    """Files that the current glob shares with another glob, or with entries that name one file each."""

    example: str
    line: int
    """Of the other entry that has the example."""
    count: int = 0


class _Ids:
    """The ids of a manifest, entry by entry. An id that is used twice is added to `problems`.

    Overlapping globs are one problem for each pair, however many files they share.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._first: dict[str, int] = {}
        """By id: the line of the first entry that has it, or minus the number of the glob, from 1. A million fit."""
        self._globs: list[tuple[Entry, int]] = []
        """Each glob so far, and how many files it matches."""
        self._further: dict[str, list[int]] = {}
        """By id: minus the numbers of further globs that match it."""
        self._overlaps: dict[int, _Overlap] = {}
        """Of the current glob: by the number of the other glob, or 0 for all entries that name one file each."""

    def begin_glob(self, entry: Entry, count: int) -> None:
        """Take ids for the `count` matches of this glob from now on, until `end_glob`."""
        self._globs.append((entry, count))

    def end_glob(self) -> None:
        """Report what the glob shares with the entries before it."""
        at = self._globs[-1][0].at
        for number, overlap in self._overlaps.items():
            self._problems.add(at, Code.DUPLICATE_ID, self._overlap_message(number, overlap))
        self._overlaps.clear()

    def take(self, entry: Entry, item_id: str) -> bool:
        """Use an id. Return whether it was free."""
        is_glob = entry.kind is SourceKind.GLOB
        at = entry.id_at or entry.at
        first = self._first.get(item_id)
        if first is None:
            self._first[item_id] = -len(self._globs) if is_glob else at.line
            return True
        if is_glob:
            further = self._further.setdefault(item_id, [])
            for other in (first, *further):
                number = max(0, -other)
                line = self._globs[number - 1][0].at.line if number else other
                self._overlaps.setdefault(number, _Overlap(item_id, line)).count += 1
            further.append(-len(self._globs))
            return False
        if first < 0:
            glob = self._globs[-first - 1][0]
            where = f"the glob {excerpt(glob.source)} in line {glob.at.line}"
            message = f"the id {excerpt(item_id)} is that of a file which {where} matches: give this entry another `id`"
            if entry.source == item_id:
                message = f"{where} matches {excerpt(item_id)} already: leave this entry out, or narrow the pattern"
        elif entry.item_id is None:
            how = "leave one of the two out, or give one an `id` of its own"
            message = f"{excerpt(item_id)} is listed in line {first} already: {how}"
        else:
            message = f"the id {excerpt(item_id)} is used in line {first} already: give one of the two another `id`"
        self._problems.add(at, Code.DUPLICATE_ID, message)
        return False

    def _overlap_message(self, number: int, overlap: _Overlap) -> str:
        entry, count = self._globs[-1]
        files = "file" if overlap.count == 1 else f"{overlap.count:,} files"
        if not number:
            example = f"{excerpt(overlap.example)} in line {overlap.line}"
            shared, which = f"{files} that have entries of their own, such as {example}", "those entries"
            if overlap.count == 1:
                shared, which = f"a file that has an entry of its own, {example}", "that entry"
            return f"{excerpt(entry.source)} matches {shared}: leave {which} out, or narrow the pattern"
        first, first_count = self._globs[number - 1]
        if overlap.count == count == first_count:
            advice = "leave one of the two out"
        elif overlap.count == count:
            advice = "leave this one out, which matches nothing else"
        elif overlap.count == first_count:
            advice = f"leave line {overlap.line} out, which matches nothing else"
        else:
            advice = "narrow one of the patterns"
        both = f"{excerpt(first.source)} in line {overlap.line} and {excerpt(entry.source)}"
        return f"{both} match the same {files}, such as {excerpt(overlap.example)}: {advice}"
