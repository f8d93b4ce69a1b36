"""The page of a manifest: what stands in its ledger, put on a board, and kept up with what changes."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from batch_upload.app.ledger_view import LedgerView, holder
from batch_upload.engine.rows import has_failed_upload, state_of_row, with_retries_counted
from batch_upload.escape import printable
from batch_upload.ledger import Note, find_reader
from batch_upload.model import Fault, Known, Listed, OutcomeKind, State
from batch_upload.operations import CREATE
from batch_upload.ports import LedgerReader
from batch_upload.records import Mark, NumberedAttempt, RunRecord, RunTally
from batch_upload.report.completion import report_row
from batch_upload.report.estimate import work_left
from batch_upload.report.page.board import Board, Json, PageAttempt, json_chunks
from batch_upload.report.page.document import document
from batch_upload.report.page.head import (
    ATTENTION,
    Causes,
    Identity,
    LearnedPace,
    PageRun,
    Running,
    Standing,
    head_json,
    step_width_s,
)
from batch_upload.report.summary_text import Invocation
from batch_upload.words import holder_words

RUNS_MAX = 20
"""Runs whose course is shown."""

Rows = Iterable[tuple[Listed, Known | None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one page shows. A browser takes about 300 bytes for an item as text, and ten times that in memory."""

    items: int = 100_000
    attempts: int = 300_000


@dataclass(slots=True)
class Page:
    """A board, and what must be remembered to keep it up. Used by one thread at a time.

    Every item of the manifest counts; up to `limits.items` of those that `--only` chooses are shown, those that need
    attention first, the others in the manifest's order.
    """

    found: LedgerView
    invocation: Invocation
    limits: Limits
    board: Board
    _states: dict[str, State] = field(default_factory=dict)
    _listed: dict[str, Listed] = field(default_factory=dict)
    _item_of_token: dict[str, str] = field(default_factory=dict)
    _token_of_item: dict[str, str] = field(default_factory=dict)
    _attention: dict[str, Known] = field(default_factory=dict)
    _marks: Mapping[str, Mark] = field(default_factory=dict)
    _chosen: set[str] = field(default_factory=set)
    """By `--only`; empty without it."""
    _last_attempt: int = 0
    _open_attempts: set[int] = field(default_factory=set)
    _attempts: int = 0
    is_held: bool = False
    """Whether a process held the ledger when the head was made."""

    @staticmethod
    def of(
        found: LedgerView,
        repeated: Sequence[str],
        reader: LedgerReader | None,
        *,
        at: datetime,
        after_revision: int = 0,
        limits: Limits = Limits(),
    ) -> "Page":
        """The page of what was found, and of the rest that the ledger tells."""
        invocation = Invocation(str(found.manifest.path), tuple(repeated))
        page = Page(found, invocation, limits, Board(after_revision))
        page.board.turn()
        page._show(_kept(page._counted(found.rows), limits.items))
        if reader is not None:
            page._show_attempts(reader.attempts_after(0))
        page.board.head = page._head(reader, at)
        return page

    @property
    def states(self) -> Counter[str]:
        """How many items of the manifest are in each state."""
        return Counter(state.value for state in self._states.values())

    def knows(self, marks: Iterable[Mark]) -> None:
        """From now on only what differs from these marks has changed. They must be older than what was found."""
        self._marks = {mark.client_token: mark for mark in marks}

    def keep_up(self, reader: LedgerReader, at: datetime) -> bool:
        """Show what has changed since, as a new revision. False where the page must be made anew: another token
        stands for an item now."""
        marks = {mark.client_token: mark for mark in reader.marks(self.found.manifest.batch)}
        changed = [token for token, mark in marks.items() if mark.current and mark != self._marks.get(token)]
        known = [row for row in reader.known_of(self.found.manifest.batch, changed) if row.item_id in self._listed]
        if failed := [row.item_id for row in known if has_failed_upload(row)]:
            known = with_retries_counted(known, reader.known_of_ids(self.found.manifest.batch, failed))
        if any(self._is_another(row) for row in known):
            return False
        self._marks = marks
        self.board.turn()
        for row in known:
            self._count(row.item_id, row)
            if row.item_id in self.board or (self._chooses(row.item_id, row.state) and self._has_room(row.state)):
                self._put(self._listed[row.item_id], row)
        self._show_attempts(reader.attempts_after(self._last_attempt, again=self._open_attempts))
        self.board.head = self._head(reader, at)
        return True

    def _counted(self, rows: Rows) -> Iterator[tuple[Listed, Known | None]]:
        """The rows that are chosen; all are counted."""
        for listed, known in rows:
            self._listed[listed.item_id] = listed
            self._count(listed.item_id, known)
            if self._chooses(listed.item_id, state_of_row(known)):
                yield listed, known

    def _chooses(self, item_id: str, state: State) -> bool:
        """Whether `--only` chooses an item; one that was chosen before stays so."""
        states, ids = self.found.settings.only_states, self.found.settings.only_ids
        if not states and not ids:
            return True
        if state in states or item_id in ids:
            self._chosen.add(item_id)
        return item_id in self._chosen

    def _has_room(self, state: State) -> bool:
        return state in ATTENTION or len(self.board) < self.limits.items

    def _count(self, item_id: str, known: Known | None) -> None:
        state = self._states[item_id] = state_of_row(known)
        if known is not None and state in ATTENTION:
            self._attention[item_id] = known
        else:
            self._attention.pop(item_id, None)

    def _show(self, rows: Rows) -> None:
        for listed, known in rows:
            self._put(listed, known)

    def _put(self, listed: Listed, known: Known | None) -> None:
        row, fault, resume_after = report_row(listed, known), None, None
        if known is not None:
            self._item_of_token[known.client_token] = listed.item_id
            self._token_of_item[listed.item_id] = known.client_token
            fault, resume_after = known.fault, known.resume_after
        self.board.put(row, fault, resume_after=resume_after)

    def _is_another(self, known: Known) -> bool:
        return self._token_of_item.get(known.item_id, known.client_token) != known.client_token

    def _show_attempts(self, attempts: Iterable[NumberedAttempt]) -> None:
        for attempt in attempts:
            is_new = attempt.attempt_id > self._last_attempt
            self._last_attempt = max(self._last_attempt, attempt.attempt_id)
            self._remember_open(attempt)
            item_id = self._item_of_token.get(attempt.client_token)
            if item_id is not None and item_id in self.board:
                self._attempts += is_new
                if self._attempts <= self.limits.attempts or not is_new:
                    self.board.put_attempt(_page_attempt(attempt, item_id))

    def _remember_open(self, attempt: NumberedAttempt) -> None:
        if attempt.kind is None:
            self._open_attempts.add(attempt.attempt_id)
        else:
            self._open_attempts.discard(attempt.attempt_id)

    def _head(self, reader: LedgerReader | None, at: datetime) -> Json:
        causes = Causes()
        for item_id, known in self._attention.items():
            causes.add(item_id, known.state, known.fault, known.resume_after)
        standing = Standing(
            states=Counter(self._states.values()),
            chosen=len(self._chosen) if self._only() else len(self._listed),
            listed=len(self.board),
            only=self._only(),
            attempts_left_out=self._attempts > self.limits.attempts,
        )
        runs = [] if reader is None else runs_of(reader, self.found.manifest.batch)
        pace = None if reader is None else _pace(reader)
        note = holder(self.found.settings.ledger)
        self.is_held = note is not None
        return head_json(
            self._identity(reader),
            standing,
            causes.found(),
            runs[:RUNS_MAX],
            pace,
            self.invocation,
            at,
            more_runs=len(runs) > RUNS_MAX,
            running=self._running(note, runs, pace, standing.states),
        )

    def _running(
        self, note: Note | None, runs: Sequence[PageRun], pace: LearnedPace | None, states: Mapping[State, int]
    ) -> Running | None:
        """The run that is under way, or None: the latest without an end, while a process holds the ledger."""
        if note is None or not runs or runs[0].ended_at is not None:
            return None
        rate = self.found.create_rate if pace is None else pace.rate
        left, left_s = work_left(states, rate)
        return Running(runs[0].run_id, holder_words(note.pid, note.host), left, rate, left_s)

    def _only(self) -> Sequence[str]:
        settings = self.found.settings
        return (*sorted(state.value for state in settings.only_states), *sorted(settings.only_ids))

    def _identity(self, reader: LedgerReader | None) -> Identity:
        return Identity(
            batch=self.found.manifest.batch,
            manifest=str(self.found.manifest.path),
            ledger=str(self.found.settings.ledger),
            lane=None if reader is None else reader.lane(),
            endpoint=None if reader is None else reader.endpoint(),
            program=f"batch-upload {version('batch-upload')}",
        )


def title_of(found: LedgerView) -> str:
    """What a browser's tab says."""
    return printable(f"{found.manifest.batch} · batch-upload")


def now() -> datetime:
    return datetime.now(UTC)


def runs_of(reader: LedgerReader, batch: str) -> list[PageRun]:
    """The last runs, latest first, with their courses; one more than are shown, if there are more."""
    records = reader.runs(batch, RUNS_MAX + 1)
    tallies: dict[str, list[RunTally]] = {record.run_id: [] for record in records}
    for tally in reader.tallies(batch):
        if tally.run_id in tallies:
            tallies[tally.run_id].append(tally)
    widths = {record.run_id: _width_s(record, tallies[record.run_id]) for record in records}
    steps: dict[str, list[tuple[int, OutcomeKind, int]]] = {record.run_id: [] for record in records}
    for bucket in reader.buckets({run_id: width for run_id, width in widths.items() if tallies[run_id]}):
        steps[bucket.run_id].append((bucket.number, bucket.kind, bucket.count))
    return [_page_run(each, tallies[each.run_id], widths[each.run_id], steps[each.run_id]) for each in records]


def _width_s(record: RunRecord, tallies: Sequence[RunTally]) -> float:
    last = max((tally.last_at for tally in tallies), default=record.began_at)
    return step_width_s(max(0.0, (last - record.began_at).total_seconds()))


def _page_run(
    record: RunRecord, tallies: Sequence[RunTally], width_s: float, steps: Sequence[tuple[int, OutcomeKind, int]]
) -> PageRun:
    ending = (record.summary or {}).get("exit", {})
    return PageRun(
        run_id=record.run_id,
        verb=record.verb,
        began_at=record.began_at,
        ended_at=record.ended_at,
        exit_code=record.exit_code,
        reason=ending.get("reason"),
        tally={tally.kind: tally.count for tally in tallies},
        last_at=max((tally.last_at for tally in tallies), default=None),
        width_s=width_s,
        steps=steps,
    )


def _pace(reader: LedgerReader) -> LearnedPace | None:
    record = next((each for each in reader.rates() if each.operation == CREATE), None)
    rate = None if record is None else record.learned.get("rate")
    return None if record is None or rate is None else LearnedPace(rate, record.learned_at)


def _page_attempt(attempt: NumberedAttempt, item_id: str) -> PageAttempt:
    fault = None if attempt.code is None else Fault(attempt.code, attempt.message or "", attempt.reason)
    return PageAttempt(
        item_id=item_id,
        number=attempt.number,
        run_id=attempt.run_id,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        kind=attempt.kind,
        fault=fault,
        request_id=attempt.request_id,
        status=attempt.status,
    )


def _kept(rows: Rows, limit: int) -> Iterator[tuple[Listed, Known | None]]:
    """At most `limit` of the rows, those that need attention before the others, all in their order."""
    needy: list[tuple[int, Listed, Known | None]] = []
    others: list[tuple[int, Listed, Known | None]] = []
    for place, (listed, known) in enumerate(rows):
        kept = needy if state_of_row(known) in ATTENTION else others
        if len(kept) < limit:
            kept.append((place, listed, known))
    chosen = sorted([*needy, *others[: limit - len(needy)]], key=lambda row: row[0])
    return ((listed, known) for _, listed, known in chosen)


def still_page(found: LedgerView, repeated: Sequence[str]) -> tuple[Page, Iterator[str]]:
    """The page as it stands, and the pieces of its one file."""
    with ExitStack() as closing:
        reader = find_reader(found.settings.ledger)
        page = Page.of(found, repeated, closing.enter_context(reader) if reader else None, at=now())
    return page, document(json_chunks(page.board.since(0)), title=title_of(found), live=False)
