"""What the ledger holds for each item of a manifest, without a look into files; and what `status` says of it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.cli.output import Ended, Output, Repeated
from batch_upload.cli.prepare import list_items
from batch_upload.errors import ExitCode
from batch_upload.ledger.reading import RunRecord, find_reader
from batch_upload.ledger.stock import Stock
from batch_upload.model import Known, Lane, Listed, Manifest, State
from batch_upload.report.ndjson import known_line
from batch_upload.report.summary import Exit, Summary, exit_of
from batch_upload.report.summary_text import Invocation, attention_lines, states_line
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
    lane, last_run = _read(settings.ledger, manifest.batch)
    return Recorded(manifest, settings, Rows(listed, settings.ledger, manifest.batch), lane, last_run)


def _read(ledger: Path, batch: str) -> tuple[Lane | None, RunRecord | None]:
    reader = find_reader(ledger)
    if reader is None:
        return None, None
    with reader:
        runs = reader.runs(batch, limit=1)
        return reader.lane(), runs[0] if runs else None


def status_of(path: Path, flags: Flags, output: Output) -> Ended:
    """Show counts, and every item that is not simply done."""
    started = time.monotonic()
    found = recorded(path, flags)
    if output.json:
        for _, row in found.rows:
            if row is not None:
                output.event(known_line(row, at=datetime.now(UTC)))
    stock = found.rows.stock(*_NEEDY)
    summary = _summary(found, stock, "status", started=started, ending=exit_of(ExitCode.DONE))
    if not output.quiet:
        invocation = Invocation(str(path), Repeated.of(flags, found.settings).flags)
        output.answer([states_line(summary), *_last_run_lines(found), *attention_lines(stock.found, invocation)])
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
        elapsed_s=time.monotonic() - started,
    )


def _last_run_lines(found: Recorded) -> list[str]:
    run = found.last_run
    if run is None:
        return ["no run so far"]
    began = f"{run.began_at:%Y-%m-%d %H:%M:%SZ}"
    if run.ended_at is None:
        return [f"last run: {run.run_id}, began {began}, has not ended (under way, or its process died)"]
    return [f"last run: {run.run_id}, began {began}, ended {run.ended_at:%Y-%m-%d %H:%M:%SZ}, exit {run.exit_code}"]
