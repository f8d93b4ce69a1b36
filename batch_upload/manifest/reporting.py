"""What the expansion of a manifest's entries reports: problems, each once, and what cannot be sent because of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from batch_upload.manifest.globs import NamedFiles
from batch_upload.manifest.ids import Ids
from batch_upload.manifest.item_tags import missing_message
from batch_upload.manifest.patterns import alternatives
from batch_upload.manifest.problems import Code, Invalid, Problems, excerpt, refused
from batch_upload.model import Entry, Manifest, Position, Problem, SourceKind


@dataclass(slots=True)
class ExpandedLane:
    """What the expansion knows of a lane. `label` and `values` are empty in a manifest without `targets`."""

    label: str | None
    name: str
    values: Mapping[str, str]
    """For templates: `{account}`, `{region}`, `{target}`, `{vars.NAME}`."""
    ids: Ids
    files: NamedFiles
    """Empty if the manifest has no globs."""


class ExpansionReport:
    """Adds problems to `problems`, and to `invalid` the attachments that cannot be sent by themselves.

    `chosen`: the labels of the lanes that are expanded; None for all.
    """

    def __init__(
        self,
        manifest: Manifest,
        problems: Problems,
        *,
        chosen: Collection[str | None] | None,
        invalid: Invalid | None,
        has_lanes: bool,
    ) -> None:
        self._manifest = manifest
        self._problems = problems
        self._chosen = chosen
        self._invalid = invalid or Invalid()
        self._has_lanes = has_lanes
        self._reported: dict[tuple[str | None, Position, str], Problem | None] = {}
        self._of_defaults: set[Problem] = set()
        """Problems of `defaults`, which every entry may have."""
        self._shared: dict[str | None, list[str]] = {}
        """Of the current glob by lane: the files whose ids are used before."""

    @property
    def _first_label(self) -> str | None:
        """The lane in which an entry counts whose lanes are not known."""
        labels = (each.label for each in self._manifest.targets)
        return next((each for each in labels if self._chosen is None or each in self._chosen), None)

    def _refuse(self, entry: Entry, label: str | None, source: str = "") -> None:
        """Note that an attachment of the entry is not listed in a lane, for the problem that was reported last.

        Without a `source` the whole entry is refused: then what it names is not known, unless it is one document.
        """
        problem = entry.problem or self._problems.last
        if problem is not None and problem not in self._of_defaults:
            self._invalid.refuse(refused(self._manifest, entry, label, source), problem)

    def _refuse_in(self, entry: Entry, lanes: Sequence[ExpandedLane]) -> tuple[()]:
        """Note that nothing of the entry is listed in these lanes."""
        for lane in lanes:
            self._refuse(entry, lane.label)
        return ()

    def _refuse_shared(self, entry: Entry, source: str, lane: ExpandedLane) -> None:
        """Refuse an attachment whose id is used before, and take back the first one: either may be the one meant."""
        self._refuse(entry, lane.label, source)
        if self._problems.last is not None:
            self._invalid.withdraw(lane.label, entry.item_id or source, self._problems.last)

    def _with_last_problem(self, entry: Entry) -> Entry:
        """Return the entry with the problem that was reported last, if there is one and it has none yet."""
        if entry.problem is not None or self._problems.last is None:
            return entry
        self._invalid.problems.add(self._problems.last)
        return entry._replace(problem=self._problems.last)

    def _report(self, at: Position, code: Code, message: str) -> None:
        """Add a problem: once, whatever the number of lanes that have it."""
        if self._has_lanes and (self._problems.table, at, message) in self._reported:
            self._problems.last = self._reported[self._problems.table, at, message]
            return
        self._problems.add(at, code, message)
        if self._has_lanes:
            self._reported[self._problems.table, at, message] = self._problems.last

    def _note_default(self, entry: Entry, key: str) -> None:
        """Note that the problem that was reported last is of `defaults`, if that is where the tag is from."""
        if key not in entry.tags and self._problems.last is not None:
            self._of_defaults.add(self._problems.last)

    def _report_of_lane(self, label: str | None, at: Position, code: Code, message: str) -> None:
        """Add a problem that names the first of the lanes that have it."""
        if (self._problems.table, at, message) not in self._reported:
            self._problems.add(at, code, f"{message} (for {excerpt(label or '')})")
            self._reported[self._problems.table, at, message] = self._problems.last
        self._problems.last = self._reported[self._problems.table, at, message]

    def _report_missing(self, variable: str, lane: ExpandedLane, at: Position) -> None:
        self._report(at, Code.TEMPLATE, missing_message(variable, lane.name))

    def _report_in_manifest(self, at: Position, code: Code, message: str) -> None:
        """Add a problem at a place of the manifest: once, whatever the number of rows that have it."""
        table, self._problems.table = self._problems.table, None
        if (None, at, message) not in self._reported:
            self._problems.add(at, code, message)
            self._reported[None, at, message] = self._problems.last
        self._problems.last = self._reported[None, at, message]
        self._problems.table = table

    def _refuse_target(self, at: Position) -> None:
        message = "`target` names one of `targets`, and the manifest has none: leave it out, or write `targets`"
        self._problems.add(at, Code.TARGETS, message)

    def _refuse_without_target(self, entry: Entry, example: str) -> None:
        message = f"{excerpt(entry.source)} names no target: write `target: {example}`"
        message = f"{message}, here or in `defaults`, since the manifest has `targets`"
        self._problems.add(entry.at, Code.NO_TARGET, message)
        self._refuse(entry, self._first_label)

    def _texts_of_source(self, entry: Entry) -> tuple[str, ...]:
        """Return what of an entry names its documents, and may have templates with `targets`."""
        if entry.kind is SourceKind.GLOB:
            return (*alternatives(entry.source), *entry.exclude, *self._manifest.exclude)
        return (entry.source,)

    def _end_glob(self, entry: Entry, lanes: Sequence[ExpandedLane]) -> None:
        """Report what a glob shares with the entries before it, and refuse that."""
        for lane in lanes:
            lane.ids.end_glob()
            for source in self._shared.pop(lane.label, ()):
                self._refuse_shared(entry, source, lane)
