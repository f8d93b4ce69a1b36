"""From entries to the attachments that a manifest lists: globs, defaults, templates, ids."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

from batch_upload.document import YoungFile
from batch_upload.manifest import rules
from batch_upload.manifest.binds import ItemBinds
from batch_upload.manifest.forms import unknown_form
from batch_upload.manifest.globs import GlobFindings, NamedFiles, no_match_message, warning_of_alike
from batch_upload.manifest.ids import Ids
from batch_upload.manifest.item_tags import SHARED_TAGS, ItemTags, missing_message
from batch_upload.manifest.listed import ListedMaker
from batch_upload.manifest.matches import matches
from batch_upload.manifest.patterns import alternatives
from batch_upload.manifest.problems import AddProblem, Code, Invalid, Problems, excerpt
from batch_upload.manifest.reporting import ExpandedLane, ExpansionReport
from batch_upload.manifest.rows import EntryChunk, PlainRows
from batch_upload.manifest.rules import LANE_NAMES, TEMPLATE_NAMES, has_braces, render, wrong_with_template
from batch_upload.manifest.targets import Chooser, Targets, values_of
from batch_upload.model import Entry, Listed, Manifest, Position, Problem, SourceKind
from batch_upload.targets import Target


def expand(manifest: Manifest, *, allow_outside: bool) -> tuple[tuple[Listed, ...], tuple[Problem, ...]]:
    """Return every attachment of the manifest, in its order, and every problem. Matches of a glob are sorted.

    Folders are read for globs, but no file is opened. What has a problem is not listed. With `allow_outside` paths may
    leave the manifest's folder. Links that leave it are found when a file is opened.
    """
    problems = Problems(str(manifest.path))
    expansion = Expansion(manifest, problems, allow_outside=allow_outside)
    return tuple(expansion.of_all([manifest.entries])), problems.in_order()


class Expansion:
    """Expands the entries of a manifest, in their order. Problems are added to `problems`.

    `targets`: the manifest's with those that have a problem; those of `manifest` unless given. `chosen`: the labels of
    the lanes to expand for; None for all. `findings` gets what globs find besides. `has_globs`: False only if the
    manifest certainly has none. `invalid` gets the attachments that cannot be sent, although others can.
    """

    def __init__(
        self,
        manifest: Manifest,
        problems: Problems,
        *,
        allow_outside: bool,
        targets: Targets | None = None,
        chosen: Collection[str | None] | None = None,
        findings: GlobFindings | None = None,
        has_globs: bool = True,
        invalid: Invalid | None = None,
    ) -> None:
        has_lanes = targets is not None or bool(manifest.targets)
        self._manifest = manifest
        self._problems = problems
        self._chosen = chosen
        self._report = ExpansionReport(manifest, problems, chosen=chosen, invalid=invalid, has_lanes=has_lanes)
        self._findings = findings or GlobFindings()
        self._has_globs = has_globs
        self._alike: list[tuple[Entry, Sequence[str], Sequence[ExpandedLane]]] = []
        """The globs with names that they almost match, and their lanes."""
        self._allow_outside = allow_outside
        self._folder = str(manifest.folder)
        self._maker = ListedMaker(manifest)
        self._forms = self._maker.forms
        if targets is None and manifest.targets:
            targets = Targets(manifest.targets)
        self._only = (
            None if targets is not None else ExpandedLane(None, "", {}, Ids(problems.add), NamedFiles(self._folder))
        )
        names = TEMPLATE_NAMES if targets is None else (*TEMPLATE_NAMES, *LANE_NAMES)
        self._tags = ItemTags(manifest, problems, self._report.add, self._report.note_default, names=names)
        self._binds = ItemBinds(manifest, self._report, names=names)
        self._chooser = Chooser(targets or Targets(), self._report.add)
        self._lanes: dict[str | None, ExpandedLane] = {}
        default = manifest.default_targets
        self._default = None if default is None or targets is None else self._chooser.choose(default)
        if default and targets is None:
            self._refuse_target(default[0][1])

    def of_all(self, chunks: Iterable[EntryChunk]) -> Iterator[Listed]:
        """Yield the attachments of entries, read in any number at a time, without those that have a problem.

        A file that an entry names is no match of a glob, whichever comes first. So the entries behind the first glob
        are kept until all are read. To be used once.
        """
        left = iter(chunks)
        for chunk in left:
            if isinstance(chunk, PlainRows) or not any(entry.kind is SourceKind.GLOB for entry in chunk):
                yield from self._of_each(chunk)
                continue
            behind = list(left)
            for entry in chain(chunk, *behind):
                self._reserve(entry)
            for each in (chunk, *behind):
                yield from self._of_each(each)
        self._warn_of_alike()

    def _reserve(self, entry: Entry) -> None:
        """Keep the file of an entry from globs. Its problems are not reported yet."""
        if entry.kind is not SourceKind.FILE:
            return
        if self._only is not None:
            self._only.files.add(entry.source)
            return
        targets = self._default if entry.targets is None else self._chooser.choose(entry.targets)
        is_template = has_braces(entry.source)
        if not targets or (is_template and wrong_with_template(entry.source, LANE_NAMES)):
            return
        for target in targets:
            if self._chosen is None or target.label in self._chosen:
                lane = self._lane_of(target)
                if not is_template or rules.missing_variable(entry.source, lane.values) is None:
                    lane.files.add(render(entry.source, lane.values) if is_template else entry.source)

    def _of_each(self, entries: EntryChunk) -> Iterator[Listed]:
        """Yield the attachments of entries that can be listed, in each of their lanes."""
        may_be_plain = self._only is not None and not self._tags.have_templates
        is_form_known = (
            not isinstance(entries, PlainRows) or entries.base.form is None or entries.base.form in self._forms
        )
        if isinstance(entries, PlainRows) and may_be_plain and is_form_known:
            yield from self._of_plain_rows(entries)
            return
        for entry in entries:
            before = len(self._problems)
            self._problems.table = entry.at_file
            yield from self.of(entry)
            self._problems.table = None
            if entry.problem is not None:  # it is left out already: what else is wrong with it stops nothing more
                self._report.leave_out(self._problems.after(before))

    def of(self, entry: Entry) -> Iterable[Listed]:
        """Return the attachments of one entry that can be listed, in each of its lanes."""
        if entry.form is not None and entry.form not in self._forms:
            message = unknown_form(entry.form, self._forms)
            self._report.add_in_manifest(entry.form_at or entry.at, Code.UNKNOWN_FORM, message)
            entry = self._report.with_last_problem(entry)
        if not entry.source:
            self._report.refuse(entry, self._report.first_label)
            return ()
        if self._only is None:
            return self._in_lanes(entry)
        if entry.targets is not None:
            for _, at in entry.targets[:1]:
                self._refuse_target(at)
            self._report.refuse(entry, None)
            return ()
        if entry.kind is SourceKind.URL and has_braces(entry.source):
            wrong = rules.wrong_with_word(Code.URL, entry.source)
            if wrong is not None:
                self._problems.add(entry.at, *wrong)
                self._report.refuse(entry, None)
                return ()
        return self._of_finished(entry, (self._only,), self._problems.add)

    def _in_lanes(self, entry: Entry) -> Iterator[Listed]:
        """Yield the attachments of an entry in the lanes that it names. Lanes that share its source share its files."""
        entry, targets = self._with_targets(entry)
        labels = [each.label for each in targets if self._chosen is None or each.label in self._chosen]
        texts = [(text, entry.at) for text in self._texts_of_source(entry)]
        if entry.item_id is not None:
            texts.append((entry.item_id, entry.id_at or entry.at))
        for text, at in texts:
            if has_braces(text) and (wrong := wrong_with_template(text, LANE_NAMES)):
                self._problems.add(at, Code.TEMPLATE, wrong)
                for label in labels:
                    self._report.refuse(entry, label)
                return
        finished: dict[tuple[str, str | None, tuple[str, ...]], tuple[Entry, list[ExpandedLane]]] = {}
        for target in targets:
            if self._chosen is not None and target.label not in self._chosen:
                continue
            lane = self._lane_of(target)
            filled = self._filled(entry, lane)
            if filled is None:
                self._report.refuse(entry, lane.label)
            else:
                key = filled.source, filled.item_id, filled.exclude
                finished.setdefault(key, (filled, []))[1].append(lane)
        for filled, lanes in finished.values():
            is_of_lane = filled.source != entry.source
            report = partial(self._report.add_of_lane, lanes[0].label) if is_of_lane else self._report.add
            yield from self._of_finished(filled, lanes, report)

    def _with_targets(self, entry: Entry) -> tuple[Entry, Sequence[Target]]:
        """Return the lanes that an entry names, and the entry, with its problem if it names a lane that is not there.

        An entry whose lanes are not known is refused in the first one, so that it is counted.
        """
        targets = self._default
        if entry.targets is not None:
            self._problems.last = None
            targets = self._chooser.choose(entry.targets)
            entry = self._report.with_last_problem(entry)
        if targets is None:
            message = f"{excerpt(entry.source)} names no target: write `target: {self._chooser.example}`"
            message = f"{message}, here or in `defaults`, since the manifest has `targets`"
            self._problems.add(entry.at, Code.NO_TARGET, message)
            self._report.refuse(entry, self._report.first_label)
        elif not targets and entry.problem is not None:
            self._report.refuse(entry, self._report.first_label)
        return entry, targets or ()

    def _refuse_target(self, at: Position) -> None:
        message = "`target` names one of `targets`, and the manifest has none: leave it out, or write `targets`"
        self._problems.add(at, Code.TARGETS, message)

    def _texts_of_source(self, entry: Entry) -> tuple[str, ...]:
        """Return what of an entry names its documents, and may have templates with `targets`."""
        if entry.kind is SourceKind.GLOB:
            return (*alternatives(entry.source), *entry.exclude, *self._manifest.exclude)
        return (entry.source,)

    def _lane_of(self, target: Target) -> ExpandedLane:
        lane = self._lanes.get(target.label)
        if lane is None:
            label, name = target.label or "", target.name or ""
            lane = self._lanes[label] = ExpandedLane(
                sys.intern(label),
                name,
                values_of(target),
                Ids(partial(self._report.add_of_lane, label)),
                NamedFiles(self._folder),
            )
        return lane

    def _filled(self, entry: Entry, lane: ExpandedLane) -> Entry | None:
        """Return an entry with the templates of its source and id filled in; None if that has a problem."""
        source, item_id = entry.source, entry.item_id
        texts = [*self._texts_of_source(entry), *(() if item_id is None else (item_id,))]
        if not any(has_braces(text) for text in texts):
            return entry
        for text in texts:
            missing = rules.missing_variable(text, lane.values)
            if missing is not None:
                at = entry.id_at if text == item_id else None
                self._report.add(at or entry.at, Code.TEMPLATE, missing_message(missing, lane.name))
                return None
        report = partial(self._report.add_of_lane, lane.label)
        source = render(source, lane.values)
        item_id = None if item_id is None else render(item_id, lane.values)
        if entry.kind is SourceKind.URL and (wrong := rules.wrong_with_word(Code.URL, source)):
            report(entry.at, *wrong)
            return None
        wrong = rules.wrong_with_text(entry.kind, source) or (
            rules.wrong_with_id(item_id) if item_id is not None else None
        )
        if wrong:
            report(entry.at, *wrong)
            return None
        return entry._replace(
            source=source,
            item_id=item_id,
            patterns=tuple(render(text, lane.values) for text in alternatives(entry.source))
            if entry.kind is SourceKind.GLOB
            else (),
            exclude=tuple(render(text, lane.values) for text in entry.exclude),
        )

    def _of_finished(self, entry: Entry, lanes: Sequence[ExpandedLane], report: AddProblem) -> Iterable[Listed]:
        """Return the attachments of an entry without templates, file by file, each in every lane."""
        source, folder = entry.source, self._folder
        may_leave = entry.kind is not SourceKind.URL and not self._allow_outside
        paths = entry.patterns or (alternatives(source) if entry.kind is SourceKind.GLOB else (source,))
        for path in paths if may_leave else ():
            if path.startswith("/") or ".." in path:
                whole = os.path.normpath(os.path.join(folder, path))
                if os.path.commonpath((whole, folder)) != folder:
                    message = f"{excerpt(source)} leaves the manifest's folder: move it in, or use `--allow-outside`"
                    report(entry.at, Code.OUTSIDE, message)
                    return self._report.refuse_in(entry, lanes)
        if entry.kind is SourceKind.GLOB:
            return self._of_glob(entry, paths, lanes, report)
        if entry.kind is SourceKind.FILE and (wrong := rules.wrong_with_file(source)):
            report(entry.at, *wrong)
            return self._report.refuse_in(entry, lanes)
        items = [self._listed(entry, source, lane) for lane in lanes]
        return [item for item in items if item is not None]

    def _of_plain_rows(self, rows: PlainRows) -> Iterator[Listed]:
        """Yield the attachments of rows that almost never have a problem, in a manifest without `targets`.

        Returns the same as `of` for each row, in a third of the time: most of that goes to calls and constructors.
        """
        lane = self._only
        if lane is None:
            raise RuntimeError("rows of several lanes are expanded one by one")
        first = self._maker.listed(rows.base, "", "", {}, None, lane)
        batch, folder, same, rest = first.batch, first.folder, first[5:8], first[9:]
        fields, by_field = lane.fields, dict[str, Listed]()
        known, table, take, new = rows.known_tags, first.at_file, lane.ids.take_new, tuple.__new__
        if self._has_globs:
            for row in rows.rows:
                lane.files.add(row[1])
        for row in rows.rows:
            line, source, item_id, texts, bind = row
            tags = known.get(texts)
            if tags is None:
                tags = self._tags.of_plain(rows.tags(texts))
                if tags is not None and len(known) < SHARED_TAGS:
                    known[texts] = tags
            if tags is not None and bind not in fields and take(item_id or source, line, table):
                at = new(Position, (line, 0))
                if bind is None:
                    yield new(Listed, (batch, item_id or source, source, folder, tags, *same, at, *rest))
                    continue
                fields[bind] = item_id or source
                like = by_field.get(bind.field)
                if like is None:  # the form depends on the field
                    like = by_field[bind.field] = self._maker.listed(rows.base, "", "", {}, bind, lane)
                yield like._replace(item_id=item_id or source, source=source, tags=tags, at=at, bind=bind)
            else:
                self._problems.table = table
                yield from self.of(rows.entry(*row))
                self._problems.table = None

    def _of_glob(
        self, entry: Entry, patterns: Sequence[str], lanes: Sequence[ExpandedLane], report: AddProblem
    ) -> Iterator[Listed]:
        """Yield the attachments of a glob, whose braces stand for `patterns`, in each of the lanes."""
        exclude = tuple(render(text, lanes[0].values) if lanes[0].label else text for text in self._manifest.exclude)
        found = matches(patterns, self._manifest.folder, exclude=(*exclude, *entry.exclude))
        for name, reason in found.unreadable:
            message = f"{excerpt(name)} cannot be read for the glob {excerpt(entry.source)}: {reason}"
            report(entry.at, Code.FOLDER_UNREADABLE, message)
            self._report.refuse_in(entry, lanes)
        if not found.paths and not found.unreadable and not entry.optional:
            report(entry.at, Code.NO_MATCH, no_match_message(entry, patterns, found, self._manifest.folder))
            self._report.refuse_in(entry, lanes)
        if found.alike:
            self._alike.append((entry, found.alike, lanes))
        named = {id(lane): {path for path in found.paths if lane.files.has(path)} for lane in lanes}
        for lane in lanes:
            lane.ids.begin_glob(entry, len(found.paths) - len(named[id(lane)]))
        min_age_s = self._manifest.min_age_s if entry.min_age_s is None else entry.min_age_s
        for source in found.paths:
            age_s = self._findings.age_of(os.path.join(self._folder, source)) if min_age_s else min_age_s
            for lane in lanes if age_s is not None else ():
                item = None if source in named[id(lane)] else self._listed(entry, source, lane)
                if item is not None and age_s is not None and age_s < min_age_s:
                    self._findings.young.append(YoungFile(item, min_age_s, is_future=age_s < 0))
                elif item is not None:
                    yield item
        self._report.end_glob(entry, lanes)

    def _warn_of_alike(self) -> None:
        """Warn of names that a glob almost matches and that no entry lists."""
        for entry, alike, lanes in self._alike:
            left = [path for path in alike if not all(lane.ids.has(path) or lane.files.has(path) for lane in lanes)]
            if left:
                self._findings.warnings.append(warning_of_alike(self._problems.file, entry, left))

    def _listed(self, entry: Entry, source: str, lane: ExpandedLane) -> Listed | None:
        item_id = entry.item_id if entry.item_id is not None else source
        tags = self._tags.of(entry, source, item_id, lane.label, lane.name, lane.values)
        if entry.item_id is None:
            is_found = entry.kind is SourceKind.GLOB
            wrong = rules.wrong_with_found_path(item_id) if is_found else rules.wrong_with_id(item_id)
            if wrong:
                # the wrong path of a row was reported when the row was read: then the entry has a problem
                if entry.problem is None or not rules.wrong_with_path(item_id):
                    self._report.add(entry.id_at or entry.at, *wrong)
                self._report.refuse(entry, lane.label, source)
                return None
        bind = None if entry.bind is None else self._binds.of(entry, source, item_id, lane)
        if tags is None or (bind is None and entry.bind is not None):
            self._report.refuse(entry, lane.label, source)
            lane.ids.take(entry, item_id)
            return None
        if self._has_globs and entry.kind is SourceKind.FILE:
            lane.files.add(source)
        if not lane.ids.take(entry, item_id):
            self._report.refuse_shared(entry, source, lane)
            return None
        if entry.form is not None and entry.form not in self._forms:
            self._report.refuse(entry, lane.label, source)
            return None
        if bind is not None and not self._binds.take(entry, item_id, bind, lane):
            self._report.refuse_second(entry, source, lane, first_id=lane.fields[bind])
            return None
        if entry.problem is not None:
            self._report.withdraw(lane, item_id, entry.problem)
        return self._maker.listed(entry, source, item_id, tags, bind, lane)
