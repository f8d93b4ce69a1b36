"""What the ledger holds for each item of a manifest, without a look into files; and what `status` says of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.prepare import list_items
from batch_upload.cli.rates import expected_create_rate
from batch_upload.clock import counting_s
from batch_upload.errors import ExitCode
from batch_upload.ledger.health import holder_of
from batch_upload.ledger.lock import Note
from batch_upload.ledger.reading import RunRecord, find_reader
from batch_upload.ledger.stock import Stock
from batch_upload.model import Known, Lane, Listed, Manifest, State
from batch_upload.report.escape import printable
from batch_upload.report.estimate import run_s
from batch_upload.report.ndjson import known_line
from batch_upload.report.summary import Exit, Summary, exit_of
from batch_upload.report.summary_text import Invocation, attention_lines, states_line
from batch_upload.report.words import duration_words, rate_words
from batch_upload.settings import Flags, Settings, resolve, truth_of

Row = tuple[Listed, Known | None]
AT_ONCE = 500
"""Rows that are asked for together."""
_NEEDY = (State.PROCESSING, State.FAILED, State.UNKNOWN, State.SENDING, State.PARKED)
"""States of what people are told of by name."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A manifest's items beside what the ledger knows of their ids now; None for what was never enlisted.

    Each going through asks the ledger anew, some rows at a time, and holds no more of them.
    """

    listed: Sequence[Listed]
    ledger: Path
    batch: str

    def __len__(self) -> int:
        return len(self.listed)

    def __iter__(self) -> Iterator[Row]:
        reader = find_reader(self.ledger)
        if reader is None:
            yield from ((item, None) for item in self.listed)
            return
        with reader:
            for start in range(0, len(self.listed), AT_ONCE):
                some = self.listed[start : start + AT_ONCE]
                known = reader.known_of_ids(self.batch, [item.item_id for item in some])
                current = {row.item_id: row for row in known if row.current}
                yield from ((item, current.get(item.item_id)) for item in some)

    def stock(self, *wanted: State) -> Stock:
        """How far the items are, all at one moment, and those of them in these states."""
        ids = (item.item_id for item in self.listed)
        reader = find_reader(self.ledger)
        if reader is None:
            return Stock(+Counter({State.PENDING: len(self.listed)}), ())
        with reader:
            return reader.stock(self.batch, ids, wanted)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A manifest and what the ledger tells of it."""

    manifest: Manifest
    settings: Settings
    rows: Rows
    lane: Lane | None
    last_run: RunRecord | None
    create_rate: float
    """Creates a second to expect: as runs have learned it, else as a run would begin."""

    def chosen(self) -> Iterator[Row]:
        """The rows that `--only` chooses; all without it."""
        states, ids = self.settings.only_states, self.settings.only_ids
        whole = not states and not ids
        return ((item, row) for item, row in self.rows if whole or item.item_id in ids or state_of(row) in states)


def state_of(known: Known | None) -> State:
    """What is not in the ledger is not sent yet."""
    return State.PENDING if known is None else known.state


def recorded(path: Path, flags: Flags) -> Recorded:
    """Read the manifest and the ledger. Raises ManifestInvalid, LedgerUnusable and UsageError."""
    manifest, listed = list_items(path, allow_outside=truth_of(flags, "allow_outside"))
    settings = resolve(flags, manifest=path, ledger=manifest.ledger, target=manifest.target)
    rows, now = Rows(listed, settings.ledger, manifest.batch), datetime.now(UTC)
    reader = find_reader(settings.ledger)
    if reader is None:
        return Recorded(manifest, settings, rows, None, None, expected_create_rate(settings, (), now=now))
    with reader:
        runs = reader.runs(manifest.batch, limit=1)
        rate = expected_create_rate(settings, reader.rates(), now=now)
        return Recorded(manifest, settings, rows, reader.lane(), runs[0] if runs else None, rate)


def status_of(path: Path, flags: Flags, output: Output) -> Ended:
    """Show counts, and every item that is not simply done."""
    started = counting_s()
    found = recorded(path, flags)
    if output.json:
        for _, row in found.rows:
            if row is not None:
                output.event(known_line(row, at=datetime.now(UTC)))
    stock = found.rows.stock(*_NEEDY)
    summary = _summary(found, stock, "status", started=started, ending=exit_of(ExitCode.DONE))
    if not output.quiet:
        invocation = Invocation(str(path), Repeated.of(flags, found.settings).flags)
        lines = [*_last_run_lines(found), *_under_way_lines(found, stock), *attention_lines(stock.found, invocation)]
        output.answer([states_line(summary), *lines])
    return Ended(summary, lines=())


def summary_of(found: Recorded, verb: str, *, started: float, ending: Exit | None = None) -> Summary:
    """The summary of a verb that reads the ledger alone."""
    return _summary(found, found.rows.stock(), verb, started=started, ending=ending or exit_of(ExitCode.DONE))


def _summary(found: Recorded, stock: Stock, verb: str, *, started: float, ending: Exit) -> Summary:
    return Summary(
        verb=verb,
        exit=ending,
        run_id=found.last_run.run_id if found.last_run else None,
        batch=found.manifest.batch,
        account=found.lane.account if found.lane else None,
        region=found.lane.region if found.lane else None,
        items=len(found.rows),
        states={state.value: count for state, count in stock.states.items()},
        elapsed_s=counting_s() - started,
    )


def _last_run_lines(found: Recorded) -> list[str]:
    run = found.last_run
    if run is None:
        return ["no run so far"]
    began = f"{run.began_at:%Y-%m-%d %H:%M:%SZ}"
    named = f"last run: {run.run_id} ({run.verb}), began {began}"
    if run.ended_at is not None:
        return [f"{named}, ended {run.ended_at:%Y-%m-%d %H:%M:%SZ}, exit {run.exit_code}{_reason(run)}"]
    if holder(found) is not None:
        return [f"{named}, is under way"]
    return [f"{named}, stopped without an end: run the same command again"]


def _reason(run: RunRecord) -> str:
    """Why a run ended as it did, in brackets; nothing where all was well or nothing was recorded."""
    reason = (run.summary or {}).get("exit", {}).get("reason")
    return printable(f" ({reason})") if run.exit_code and isinstance(reason, str) else ""


def holder(found: Recorded) -> Note | None:
    """Which process holds the ledger now, or None."""
    try:
        return holder_of(found.settings.ledger)
    except OSError:
        return None


def who_of(note: Note) -> str:
    """The process that holds a ledger, for people."""
    return printable(f"process {note.pid} on {note.host}") if note.pid else "a process without a name"


def left_of(states: Mapping[State, int], create_rate: float) -> tuple[int, float | None]:
    """How many items are still to be sent, and how many seconds that and the statuses take; None where none is left."""
    left = states.get(State.PENDING, 0) + states.get(State.SENDING, 0)
    if not left:
        return 0, None
    return left, run_s(left, left + states.get(State.PROCESSING, 0), create_rate)


def _under_way_lines(found: Recorded, stock: Stock) -> list[str]:
    """Which process holds the ledger now, how fast it sends, and how long what is left takes."""
    note = holder(found)
    if note is None:
        return []
    since = f" since {note.since}" if note.pid else ""
    lines = [printable(f"running now: {who_of(note)}{since}")]
    left, left_s = left_of(stock.states, found.create_rate)
    if left_s is not None:
        pace = f"{rate_words(found.create_rate)}, about {duration_words(left_s)} left"
        lines.append(f"  {left:,} to send at {pace}")
    return lines
