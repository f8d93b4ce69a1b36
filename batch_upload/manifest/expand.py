"""From entries to the attachments that are to be: globs, defaults, templates, ids."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from batch_upload.manifest import rules
from batch_upload.manifest.codes import Code
from batch_upload.manifest.ids import Ids
from batch_upload.manifest.matches import advice_on_no_match, matches
from batch_upload.manifest.problems import Problems, printable, quoted
from batch_upload.manifest.templates import has_braces, render, wrong_with_template
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind


def expand(manifest: Manifest, *, allow_outside: bool) -> tuple[tuple[Listed, ...], tuple[Problem, ...]]:
    """Every attachment of the manifest, in its order, the matches of a glob by code point; and every problem.

    Folders are read where there are globs, but no file is looked into. What has a problem is not listed. With
    `allow_outside` paths may leave the manifest's folder; links that lead out of it are found by whoever opens them.
    """
    work = Expansion(manifest, allow_outside=allow_outside)
    listed = tuple(item for entry in manifest.entries for item in work.of(entry))
    return listed, work.problems.in_order()


SHARED_TAGS = 10_000
"""So many different mappings of tags are kept to be shared; a batch has a few, or one for each item."""


@dataclass(slots=True)
class Expansion:
    """Takes the entries of a manifest one by one, in their order. What is wrong with them is in `problems`."""

    manifest: Manifest
    allow_outside: bool = field(kw_only=True)
    problems: Problems = field(init=False)
    _folder: str = field(init=False)
    _ids: Ids = field(init=False)
    _has_templates: bool = field(init=False)
    _merged: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.problems = Problems(str(self.manifest.path))
        self._ids = Ids(self.problems)
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
