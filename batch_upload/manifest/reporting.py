"""What the expansion of a manifest's entries reports: problems, each once, and what cannot be sent because of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from batch_upload.manifest.globs import NamedFiles
from batch_upload.manifest.ids import Ids
from batch_upload.manifest.problems import Code, Invalid, Problems, excerpt, refused
from batch_upload.model import Entry, Manifest, Position, Problem, SourceKind
from batch_upload.registration import Bind


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
    fields: dict[Bind, str] = field(default_factory=dict)
    """By field of a registration: the id of the first attachment that goes into it."""


class ExpansionReport:
    """Adds problems to `problems`, and to `invalid` the attachments that cannot be sent, although others can.

    `chosen`: the labels of the lanes that are expanded; None for all. `has_lanes`: whether the manifest has `targets`.
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
        """By table, position and message: what several lanes or rows may have, and is reported once."""
        self._of_defaults: set[Problem] = set()
        """Problems of `defaults`, which every entry may have."""
        self._shared: dict[str | None, list[str]] = {}
        """Of the current glob by lane: the files whose ids are used before."""

    @property
    def first_label(self) -> str | None:
        """The lane in which an entry counts whose lanes are not known."""
        labels = (each.label for each in self._manifest.targets)
        return next((each for each in labels if self._chosen is None or each in self._chosen), None)

    def add(self, at: Position, code: Code, message: str) -> None:
        """Add a problem: once, whatever the number of lanes that have it."""
        if self._has_lanes:
            self._add_once(at, code, message, message)
        else:
            self._problems.add(at, code, message)

    def add_of_lane(self, label: str | None, at: Position, code: Code, message: str) -> None:
        """Add a problem once, and name the first of the lanes that have it; `label` is None without `targets`."""
        self._add_once(at, code, message, message if label is None else f"{message} (for {excerpt(label)})")

    def add_in_manifest(self, at: Position, code: Code, message: str) -> None:
        """Add a problem at a place of the manifest: once, whatever the number of rows that have it."""
        table, self._problems.table = self._problems.table, None
        self._add_once(at, code, message, message)
        self._problems.table = table

    def _add_once(self, at: Position, code: Code, message: str, written: str) -> None:
        """Add a problem, worded as `written`, unless this message was added here. It is the last one in both cases."""
        key = self._problems.table, at, message
        if key not in self._reported:
            self._problems.add(at, code, written)
            self._reported[key] = self._problems.last
        self._problems.last = self._reported[key]

    def note_default(self, entry: Entry, key: str) -> None:
        """Note that the problem that was reported last is of `defaults`, if that is where the tag is from."""
        if key not in entry.tags and self._problems.last is not None:
            self._of_defaults.add(self._problems.last)

    def refuse(self, entry: Entry, label: str | None, source: str = "") -> None:
        """Note that an attachment of the entry is not listed in a lane, for the problem that was reported last.

        Without a `source` the whole entry is refused: then what it names is not known, unless it is one document.
        """
        problem = entry.problem or self._problems.last
        if problem is not None and problem not in self._of_defaults:
            self._invalid.refuse(refused(self._manifest, entry, label, source), problem)

    def refuse_in(self, entry: Entry, lanes: Sequence[ExpandedLane]) -> tuple[()]:
        """Note that nothing of the entry is listed in these lanes."""
        for lane in lanes:
            self.refuse(entry, lane.label)
        return ()

    def refuse_shared(self, entry: Entry, source: str, lane: ExpandedLane) -> None:
        """Refuse an attachment whose id is used before, and take back the first one: either may be the one meant.

        A file of the current glob waits for `end_glob`, which reports it.
        """
        if entry.kind is SourceKind.GLOB:
            self._shared.setdefault(lane.label, []).append(source)
        else:
            self.refuse_second(entry, source, lane, first_id=entry.item_id or source)

    def refuse_second(self, entry: Entry, source: str, lane: ExpandedLane, *, first_id: str) -> None:
        """Refuse an attachment that excludes the one with the id `first_id`, and take that one back."""
        self.refuse(entry, lane.label, source)
        if self._problems.last is not None:
            self.withdraw(lane, first_id, self._problems.last)

    def withdraw(self, lane: ExpandedLane, item_id: str, problem: Problem) -> None:
        """Note that an attachment must not be sent, although it is listed."""
        self._invalid.withdraw(lane.label, item_id, problem)

    def leave_out(self, found: Iterable[Problem]) -> None:
        """Note that these problems are of an entry that is left out. Those of `defaults` are of every entry."""
        self._invalid.problems.update(set(found) - self._of_defaults)

    def with_last_problem(self, entry: Entry) -> Entry:
        """Return the entry with the problem that was reported last, if there is one and it has none yet."""
        if entry.problem is not None or self._problems.last is None:
            return entry
        self._invalid.problems.add(self._problems.last)
        return entry._replace(problem=self._problems.last)

    def end_glob(self, entry: Entry, lanes: Sequence[ExpandedLane]) -> None:
        """Report what a glob shares with the entries before it, and refuse that."""
        for lane in lanes:
            lane.ids.end_glob()
            for source in self._shared.pop(lane.label, ()):
                self.refuse_second(entry, source, lane, first_id=source)
