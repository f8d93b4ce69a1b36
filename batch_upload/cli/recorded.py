"""What the ledger holds for each item of a manifest, without a look into files."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.items import Prepared, invalid, list_items_and_unmatched
from batch_upload.app.rates import expected_create_rate
from batch_upload.cli.flags import Flags, options_of, truth_of
from batch_upload.clock import counting_s
from batch_upload.engine.plan import Selection, shown_row_of_id
from batch_upload.engine.tries import with_retries_counted
from batch_upload.errors import OLD_COPY, ExitCode
from batch_upload.escape import printable
from batch_upload.ledger.health import holder_of
from batch_upload.ledger.lock import Note
from batch_upload.ledger.reading import LedgerReader, RunRecord, find_reader
from batch_upload.ledger.runs import ANSWERED
from batch_upload.ledger.stock import Stock
from batch_upload.model import Known, Lane, Listed, Manifest, Position, Problem, State
from batch_upload.report.estimate import run_s
from batch_upload.settings import Settings, settings_of
from batch_upload.summary import Exit, Summary, exit_of

Row = tuple[Listed, Known | None]
RUNS_LOOKED_AT = 20
"""So many of the latest runs are looked through for one that reached the service."""
AT_ONCE = 500
"""Rows that are asked for together."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A manifest's items beside what the ledger knows of their ids now; None for what was never enlisted.

    The fault of what ended as UPLOAD_FAILED has the number of its retries.
    Each going through asks the ledger anew, some rows at a time, and holds no more of them.
    """

    listed: Sequence[Listed]
    ledger: Path
    batch: str

    def __len__(self) -> int:
        return len(self.listed)

    def __iter__(self) -> Iterator[Row]:
        for item, rows in self._with_tokens():
            yield item, next((row for row in rows if row.current), None)

    def shown(self) -> Iterator[Row]:
        """Yield the items beside what is reported of them: while tags change, the attachment that has the old ones."""
        for item, rows in self._with_tokens():
            yield item, shown_row_of_id(rows)

    def _with_tokens(self) -> Iterator[tuple[Listed, Sequence[Known]]]:
        reader = find_reader(self.ledger)
        if reader is None:
            yield from ((item, ()) for item in self.listed)
            return
        with reader:
            for start in range(0, len(self.listed), AT_ONCE):
                some = self.listed[start : start + AT_ONCE]
                known = reader.known_of_ids(self.batch, [item.item_id for item in some])
                rows: defaultdict[str, list[Known]] = defaultdict(list)
                for row in with_retries_counted(known, known):
                    rows[row.item_id].append(row)
                yield from ((item, rows.get(item.item_id, ())) for item in some)

    def stock(self) -> Stock:
        """How far the items are, all at one moment."""
        ids = (item.item_id for item in self.listed)
        reader = find_reader(self.ledger)
        if reader is None:
            return Stock(+Counter({State.PENDING: len(self.listed)}), ())
        with reader:
            return reader.stock(self.batch, ids, ())


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
    unmatched: Sequence[Problem] = ()
    """Why `upload` sends nothing: globs of the manifest that match no file."""
    gone: int = 0
    """How many of the items the manifest no longer lists, because a glob matches no file any more."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty where it does not."""

    @property
    def selection(self) -> Selection:
        """What `--only` chooses."""
        return Selection(self.settings.only_states, self.settings.only_ids)

    def is_listed(self, place: int) -> bool:
        """Whether the manifest lists the item at this place of `rows`; those that it lists no longer come last."""
        return place < len(self.rows) - self.gone


def recorded(path: Path, flags: Flags) -> Recorded:
    """Read the manifest and the ledger. Raises ManifestInvalid, LedgerUnusable and UsageError."""
    allow_outside = truth_of(flags, "allow_outside")
    manifest, listed, unmatched = list_items_and_unmatched(path, allow_outside=allow_outside)
    settings = settings_of(options_of(flags), manifest=path, ledger=manifest.ledger, target=manifest.target)
    now = datetime.now(UTC)
    reader = find_reader(settings.ledger)
    if reader is None:
        if unmatched:
            raise invalid(path, unmatched)
        rows = Rows(listed, settings.ledger, manifest.batch)
        return Recorded(manifest, settings, rows, None, None, expected_create_rate(settings, (), now=now))
    with reader:
        gone = no_longer_matched(reader, manifest, listed) if unmatched else ()
        rows = Rows((*listed, *gone), settings.ledger, manifest.batch)
        runs = reader.runs(manifest.batch, limit=RUNS_LOOKED_AT)
        rate = expected_create_rate(settings, reader.rates(), now=now)
        last_run = runs[0] if runs else None
        return Recorded(manifest, settings, rows, reader.lane(), last_run, rate, unmatched, len(gone), refusal_of(runs))


def no_longer_matched(reader: LedgerReader, manifest: Manifest, listed: Sequence[Listed]) -> tuple[Listed, ...]:
    """What the ledger knows of the batch and the manifest does not list, since its files are gone."""
    ids = {item.item_id for item in listed}
    at = Position(0, 0)
    return tuple(
        Listed(
            batch=manifest.batch,
            item_id=row.item_id,
            source=row.source or row.item_id,
            folder=manifest.folder,
            tags=row.tags,
            generation=row.generation,
            max_size_bytes=manifest.max_size_bytes,
            identity_tag=row.identity_tag,
            at=at,
        )
        for row in reader.known(manifest.batch)
        if row.current and row.item_id not in ids
    )


def unplanned(prepared: Prepared, known: Sequence[Known]) -> tuple[Known | None, ...]:
    """What is known of the attachments whose files cannot be sent, and of those that no glob matches any more."""
    rows: defaultdict[str, list[Known]] = defaultdict(list)
    for row in known:
        rows[row.item_id].append(row)
    ids = [listed.item_id for listed, _ in prepared.unread]
    if prepared.unmatched:
        listed = {*ids, *(item.item_id for item in prepared.items)}
        ids += [row.item_id for row in known if row.current and row.item_id not in listed]
    return tuple(shown_row_of_id(rows.get(item_id, ())) for item_id in ids)


def refusal_of(runs: Sequence[RunRecord]) -> str:
    """Why `upload` refuses the ledger of these runs, latest first: as the last one that reached the service ended.

    Empty where it does not. `reconcile` takes over what such a ledger does not know.
    """
    reached = next((run for run in runs if run.exit_code in ANSWERED), None)
    reason = ((reached.summary or {}).get("exit", {}).get("reason") if reached else None) or ""
    is_refused = reached is not None and reached.exit_code == ExitCode.DISAGREEMENT and OLD_COPY in reason
    return str(reason) if is_refused else ""


def summary_of(found: Recorded, verb: str, *, started: float, ending: Exit | None = None) -> Summary:
    """The summary of a verb that reads the ledger alone."""
    return Summary(
        verb=verb,
        exit=ending or exit_of(ExitCode.DONE),
        run_id=found.last_run.run_id if found.last_run else None,
        batch=found.manifest.batch,
        account=found.lane.account if found.lane else None,
        region=found.lane.region if found.lane else None,
        items=len(found.rows),
        states={state.value: count for state, count in found.rows.stock().states.items()},
        elapsed_s=counting_s() - started,
    )


def holder(ledger: Path) -> Note | None:
    """Which process holds the ledger now, or None."""
    try:
        return holder_of(ledger)
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
