"""The tags of an attachment: those of `defaults` and of its entry, with their templates filled in."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath

from batch_upload.manifest import rules
from batch_upload.manifest.problems import AddProblem, Code, Problems, excerpt
from batch_upload.manifest.rules import has_braces, wrong_with_template
from batch_upload.model import Entry, Manifest, Position, SourceKind

SHARED_TAGS = 10_000
"""How many different mappings of tags are kept to be shared. A batch has a few, or one for each item."""


class ItemTags:
    """Makes the tags of one attachment after another. `names` are those that templates may have.

    `report` adds problems, and `problems` counts the values that filters change. Too many tags in `defaults` are
    reported at once.
    """

    def __init__(
        self,
        manifest: Manifest,
        problems: Problems,
        report: AddProblem,
        note_default: Callable[[Entry, str], None],
        *,
        names: Sequence[str],
    ) -> None:
        self._manifest = manifest
        self._report = report
        self._note_default = note_default
        self._problems = problems
        self._names = names
        self._limit = rules.TAGS_LIMIT - 1 if manifest.identity_tag else rules.TAGS_LIMIT
        self.have_templates = any(has_braces(value) for value in manifest.tags.values())
        """Whether those of `defaults` have any."""
        self._merged: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._rendered: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        if len(manifest.tags) > self._limit:
            self._report_too_many(len(manifest.tags), manifest.tags_at, Position())

    def of(
        self, entry: Entry, source: str, item_id: str, label: str | None, target: str, values: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """Return the tags of an attachment, defaults included and templates rendered; None if one has a problem.

        `label` is that of its lane, None without `targets`; `target` and `values` are what templates need.
        """
        manifest = self._manifest
        own = tuple(entry.tags.items())
        shared = self._merged.get(own)
        if shared is not None:
            return shared
        merged = {**manifest.tags, **entry.tags}
        if len(merged) > self._limit >= len(manifest.tags):
            self._report_too_many(len(merged), {} if entry.at_file else entry.tags_at, entry.at)
            return None
        if not self.have_templates and not any(has_braces(value) for value in entry.tags.values()):
            if len(self._merged) < SHARED_TAGS:
                self._merged[own] = merged
            return merged
        of_item = values_of_item(manifest, entry, source, item_id)
        return self._filled(entry, merged, {**values, **of_item}, label, target)

    def _filled(
        self, entry: Entry, merged: Mapping[str, str], values: Mapping[str, str], label: str | None, target: str
    ) -> Mapping[str, str] | None:
        """Return tags with their templates filled in; None if one has a problem."""
        rendered: dict[str, str] = {}
        for key, value in merged.items():
            if not has_braces(value):
                rendered[key] = value
                continue
            written_at = entry.tags_at.get(key) or self._manifest.tags_at.get(key) or entry.at
            at = entry.at if entry.at_file else written_at
            if message := wrong_with_template(value, self._names):
                self._report(at, Code.TEMPLATE, message)
                self._note_default(entry, key)
                return None
            if label and (missing := rules.missing_variable(value, values)):
                self._report(at, Code.TEMPLATE, missing_message(missing, target))
                self._note_default(entry, key)
                return None
            text, wrong = rules.rendered_tag(key, value, values, partial(self._problems.tag_changed, written_at))
            if wrong:
                self._report(at, *wrong)
                return None
            rendered[key] = text
        if label is None:
            return rendered
        # An item has the same tags in many lanes, and the items of a lane often those of the lane.
        texts = tuple(rendered.items())
        if len(self._rendered) < SHARED_TAGS:
            return self._rendered.setdefault(texts, rendered)
        return self._rendered.get(texts, rendered)

    def of_plain(self, own: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the tags of an entry whose own have no templates, where `defaults` have none; None for too many."""
        merged = {**self._manifest.tags, **own} if self._manifest.tags else own
        return merged if len(merged) <= self._limit else None

    def _report_too_many(self, count: int, tags_at: Mapping[str, Position], at: Position) -> None:
        too_many = [*tags_at.values()][-(count - self._limit) :]
        counted = ", besides the identity tag" if self._manifest.identity_tag else ""
        message = f"{count} tags, at most {self._limit} are allowed{counted}"
        self._report(too_many[0] if too_many else at, Code.TOO_MANY_TAGS, message)


def values_of_item(manifest: Manifest, entry: Entry, source: str, item_id: str) -> dict[str, str]:
    """Return the values of an attachment's templates that depend on no lane: TEMPLATE_NAMES."""
    if entry.kind is SourceKind.URL:
        path = PurePosixPath("/", source.removeprefix("s3://"))
    else:
        path = PurePosixPath(os.path.normpath(manifest.folder / source))
    names = {"stem": path.stem, "name": path.name, "parent": path.parent.name, "id": item_id}
    return {**names, "batch": manifest.batch}


def missing_message(variable: str, target: str) -> str:
    """Return the message for a variable that a target does not have."""
    return f"`{{vars.{variable}}}`: the target {excerpt(target)} has no {excerpt(variable)} in `vars`"
