"""The page of a manifest and its ledger: the board is filled once, and kept up to date as the ledger changes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version

from batch_upload.app.ledger_view import LedgerView, hold_of, holder
from batch_upload.app.sendable import known_invalid
from batch_upload.engine.rows import has_failed_upload, with_retries_counted
from batch_upload.escape import printable
from batch_upload.model import Fault, Known, Listed, State
from batch_upload.operations import CREATE, PUT_FIELD
from batch_upload.ports import LedgerReader
from batch_upload.records import Bucket, Mark, NumberedAttempt, RunTally
from batch_upload.registration import BindState
from batch_upload.report.completion import report_row, row_of_invalid
from batch_upload.report.estimate import BINDS_PER_S, work_left
from batch_upload.report.lane_words import hold_words
from batch_upload.report.ndjson import NO_LANE, LaneRef
from batch_upload.report.page.board import Board, denial_of, placement_of
from batch_upload.report.page.causes import ATTENTION, causes_of
from batch_upload.report.page.head import ActiveRun, PageHead, RunTimeline, step_width_s
from batch_upload.report.summary_text import Invocation
from batch_upload.words import holder_words

TO_COME = frozenset({State.PENDING, State.SENDING, State.PROCESSING, State.BINDING})
"""States from which a run goes on to the bind, if the item has one."""
RUNS_MAX = 20
"""Runs that are shown with their timelines."""


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How much one page shows. A browser takes about 300 bytes for an item as text, and ten times that in memory."""

    items: int = 100_000
    attempts: int = 300_000


LIMITS = PageLimits()


@dataclass(slots=True)
class Page:
    """A board, and what keeps it up to date. For one thread at a time.

    Every item of the manifest counts; up to `limits.items` of those that `--only` chooses are shown, those that need
    attention first, the others in the manifest's order.
    """

    found: LedgerView
    invocation: Invocation
    limits: PageLimits
    board: Board
    lane: LaneRef = NO_LANE
    place: int | None = None
    """The place of its lane among several that share the board; None where there is only one."""
    is_held: bool = False
    """Whether a process held the ledger when the head was made."""
    holder: str = ""
    """That process, where several hosts share the ledger and each lane has its own; else empty."""
    _states: dict[str, State] = field(default_factory=dict)
    _listed: dict[str, Listed] = field(default_factory=dict)
    _item_of_token: dict[str, str] = field(default_factory=dict)
    _token_of_item: dict[str, str] = field(default_factory=dict)
    _attention: dict[str, Known] = field(default_factory=dict)
    _to_bind: set[str] = field(default_factory=set)
    """Ids of the items that are still to be put into a field."""
    _marks: Mapping[str, Mark] = field(default_factory=dict)
    _chosen: set[str] = field(default_factory=set)
    """Ids that `--only` has chosen; empty without it."""
    _last_attempt: int = 0
    _open_attempts: set[int] = field(default_factory=set)
    _attempts: int = 0

    @staticmethod
    def of(
        found: LedgerView,
        invocation: Invocation,
        reader: LedgerReader | None,
        *,
        at: datetime,
        after_revision: int = 0,
        limits: PageLimits = LIMITS,
    ) -> "Page":
        """Return the page of a view and of what else the ledger has. `invocation`: for the page's commands."""
        page = Page(found, replace(invocation, manifest=found.named), limits, Board(after_revision))
        page.board.begin_revision()
        page.fill(reader)
        page.board.head = page.head(reader, at).as_json(page.invocation)
        return page

    def fill(self, reader: LedgerReader | None) -> None:
        """Put the items and their attempts on a board that has none of this lane yet."""
        urgent: list[tuple[int, Listed, Known | None]] = []
        others: list[tuple[int, Listed, Known | None]] = []
        for place, (listed, known) in enumerate(self.found.rows):
            self._listed[listed.item_id] = listed
            state = self._count(listed.item_id, known)
            rows = urgent if listed.item_id in self._attention else others
            if self._is_chosen(listed.item_id, state) and len(rows) < self.limits.items:
                rows.append((place, listed, known))
        shown = [*urgent, *others[: self.limits.items - len(urgent)]]
        for _, listed, known in sorted(shown, key=lambda row: row[0]):
            self._put(listed, known)
        if reader is not None:
            self._put_attempts(reader.attempts_after(0))

    @property
    def states(self) -> Counter[str]:
        """The items of the manifest by state."""
        return Counter(state.value for state in self._states.values())

    def compare_with(self, marks: Iterable[Mark]) -> None:
        """Take only what differs from these marks as changed. They must be older than the view."""
        self._marks = {mark.client_token: mark for mark in marks}

    def keep_up(self, reader: LedgerReader, at: datetime) -> bool:
        """Show what has changed since the last call, as a new revision.

        Return False, and change nothing, where an item has another token now: then the page must be built again.
        """
        marks, known = self.changed(reader)
        if self.has_new_token(known):
            return False
        self.board.begin_revision()
        self.take(reader, marks, known)
        self.board.head = self.head(reader, at).as_json(self.invocation)
        return True

    def changed(self, reader: LedgerReader) -> tuple[Mapping[str, Mark], list[Known]]:
        """Return the marks of the lane, and the items that differ from the marks that were taken last."""
        batch = self.found.manifest.batch
        marks = {mark.client_token: mark for mark in reader.marks(batch)}
        changed = [token for token, mark in marks.items() if mark.current and mark != self._marks.get(token)]
        is_whole = self.found.is_ledger_alone  # then what is new belongs on the page, too
        known = [row for row in reader.known_of(batch, changed) if is_whole or row.item_id in self._listed]
        if failed := [row.item_id for row in known if has_failed_upload(row)]:
            known = with_retries_counted(known, reader.known_of_ids(batch, failed))
        return marks, known

    def has_new_token(self, known: Iterable[Known]) -> bool:
        """Return whether an item is new or has another token than the page shows, so that it must be built again."""
        return any(
            row.item_id not in self._listed
            or self._token_of_item.get(row.item_id, row.client_token) != row.client_token
            for row in known
        )

    def take(self, reader: LedgerReader, marks: Mapping[str, Mark], known: Iterable[Known]) -> None:
        """Put what has changed on the board, in the revision that was begun last."""
        self._marks = marks
        for row in known:
            state = self._count(row.item_id, row)
            has_room = row.item_id in self._attention or len(self.board) < self.limits.items
            is_shown = self.board.has(row.item_id, self.lane.target)
            if is_shown or (self._is_chosen(row.item_id, state) and has_room):
                self._put(self._listed[row.item_id], row)
        self._put_attempts(reader.attempts_after(self._last_attempt, again=self._open_attempts))

    def _count(self, item_id: str, known: Known | None) -> State:
        """Count an item in its state, and return the state."""
        state = self._states[item_id] = self.found.state_of(self._listed[item_id], known)
        if state is State.INVALID:
            self._attention[item_id] = known_invalid((self._listed[item_id], self.found.problems[item_id]), known)
        elif known is not None and (state in ATTENTION or denial_of(known) is not None):
            self._attention[item_id] = known
        else:
            self._attention.pop(item_id, None)
        placement = placement_of(self._listed[item_id], known)
        if placement is not None and placement.state is not BindState.BOUND and state in TO_COME:
            self._to_bind.add(item_id)
        else:
            self._to_bind.discard(item_id)
        return state

    def _is_chosen(self, item_id: str, state: State) -> bool:
        """Return whether `--only` chooses an item; one that was chosen before stays so."""
        if not self._only():
            return True
        if self.found.selection.takes(item_id, state):
            self._chosen.add(item_id)
        return item_id in self._chosen

    def _only(self) -> Sequence[str]:
        settings = self.found.settings
        return (*sorted(state.value for state in settings.only_states), *sorted(settings.only_ids))

    def _put(self, listed: Listed, known: Known | None) -> None:
        row, fault = report_row(listed, known, lane=self.lane), None if known is None else known.fault
        if self._states[listed.item_id] is State.INVALID:
            problem = self.found.problems[listed.item_id]
            row, fault = row_of_invalid(row, problem), Fault(problem.code, problem.message)
        if known is not None:
            self._item_of_token[known.client_token] = listed.item_id
            self._token_of_item[listed.item_id] = known.client_token
        resume_after, placement = None if known is None else known.resume_after, placement_of(listed, known)
        self.board.put(row, fault, resume_after=resume_after, lane=self.place, placement=placement)

    def _put_attempts(self, attempts: Iterable[NumberedAttempt]) -> None:
        for attempt in attempts:
            is_new = attempt.attempt_id > self._last_attempt
            self._last_attempt = max(self._last_attempt, attempt.attempt_id)
            (self._open_attempts.add if attempt.kind is None else self._open_attempts.discard)(attempt.attempt_id)
            item_id = self._item_of_token.get(attempt.client_token)
            if item_id is not None and self.board.has(item_id, self.lane.target):
                self._attempts += is_new
                if self._attempts <= self.limits.attempts or not is_new:
                    self.board.put_attempt(item_id, attempt, target=self.lane.target)

    def head(self, reader: LedgerReader | None, at: datetime) -> PageHead:
        """Return everything above the items as it is now."""
        pace, active, binds_per_s = None, None, BINDS_PER_S
        runs = [] if reader is None else run_timelines(reader, self.found.manifest.batch)
        for record in () if reader is None else reader.rates():
            if record.operation == CREATE and "rate" in record.learned:
                pace = record
            elif record.operation == PUT_FIELD:
                binds_per_s = record.learned.get("rate") or binds_per_s
        states = Counter(self._states.values())
        causes = causes_of(self._attention.values(), target=self.lane.target)
        if self.found.is_ledger_alone:  # `lane` may be named by its batch, too, which no flag takes
            causes = [replace(each, first=(self.found.target.label, each.first[1])) for each in causes]
        hold = None if reader is None else hold_of(reader)
        note = holder(self.found.settings.ledger, () if hold is None else (hold,))
        self.is_held, self.holder = note is not None, hold_words(hold) if hold is not None and hold.is_held else ""
        if note is not None and runs and runs[0].record.ended_at is None:
            rate = self.found.create_rate if pace is None else pace.learned["rate"]
            binds = len(self._to_bind)
            left, left_s = work_left(states, rate, binds=binds, binds_per_s=binds_per_s)
            who = holder_words(note.pid, note.host) if hold is None else hold_words(hold)
            active = ActiveRun(runs[0].record.run_id, who, left, rate, left_s, binds)
        return PageHead(
            batch=self.found.manifest.batch,
            manifest="not read" if self.found.is_ledger_alone else str(self.found.manifest.path),
            ledger=str(self.found.settings.ledger),
            lane=None if reader is None else reader.lane(),
            endpoint=None if reader is None else reader.endpoint(),
            program=f"batch-upload {version('batch-upload')}",
            at=at,
            states=states,
            chosen=len(self._chosen) if self._only() else len(self._listed),
            listed=len(self.board),
            only=self._only(),
            attempts_left_out=self._attempts > self.limits.attempts,
            causes=causes,
            runs=runs[:RUNS_MAX],
            more_runs=len(runs) > RUNS_MAX,
            active=active,
            pace=pace,
            is_ledger_alone=self.found.is_ledger_alone,
        )


def title_of(found: LedgerView) -> str:
    """Return the title of a browser's tab."""
    return printable(f"{found.manifest.batch} · batch-upload")


def run_timelines(reader: LedgerReader, batch: str) -> list[RunTimeline]:
    """Return the last runs with their timelines, latest first; one more than are shown, if there are more."""
    records = reader.runs(batch, RUNS_MAX + 1)
    tallies: dict[str, list[RunTally]] = {record.run_id: [] for record in records}
    for tally in reader.tallies(batch):
        if tally.run_id in tallies:
            tallies[tally.run_id].append(tally)
    widths = {}
    for record in records:
        last = max((tally.last_at for tally in tallies[record.run_id]), default=record.began_at)
        widths[record.run_id] = step_width_s(max(0.0, (last - record.began_at).total_seconds()))
    steps: defaultdict[str, list[Bucket]] = defaultdict(list)
    for bucket in reader.buckets({run_id: width for run_id, width in widths.items() if tallies[run_id]}):
        steps[bucket.run_id].append(bucket)
    return [
        RunTimeline(record, tallies[record.run_id], widths[record.run_id], steps[record.run_id]) for record in records
    ]
