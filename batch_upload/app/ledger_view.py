"""What the ledger holds for the items of a manifest, without a look into files; also while a run writes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.exits import lane_summary
from batch_upload.app.items import Prepared, invalid, list_items_and_unmatched
from batch_upload.app.rates import expected_create_rate
from batch_upload.engine.plan import Selection
from batch_upload.engine.rows import shown_row_of_id, with_retries_counted
from batch_upload.errors import OLD_COPY, ExitCode, LedgerOfAnotherLane
from batch_upload.ledger import ANSWERED, Note, find_reader, holder_of
from batch_upload.model import Known, Lane, Listed, Manifest, Position, Problem, State
from batch_upload.ports import LedgerReader
from batch_upload.records import RunRecord, Stock
from batch_upload.settings import RunOptions, Settings, settings_of
from batch_upload.summary import Exit, Summary

ListedRow = tuple[Listed, Known | None]
RUNS_LOOKED_AT = 20
"""How many of the latest runs are searched for one that reached the service."""
ROWS_A_QUERY = 500
"""How many items are looked up in one query."""


@dataclass(frozen=True, slots=True)
class ItemRows:
    """The items of a manifest with their current rows in the ledger; None for an item that has none.

    Each iteration reads the ledger again, ROWS_A_QUERY items at a time, and holds no more rows than theirs. The fault
    of a row that ended as UPLOAD_FAILED has the number of its retries.
    """

    listed: Sequence[Listed]
    ledger: Path
    batch: str

    def __len__(self) -> int:
        return len(self.listed)

    def __iter__(self) -> Iterator[ListedRow]:
        for item, rows in self._with_tokens():
            yield item, next((row for row in rows if row.current), None)

    def shown(self) -> Iterator[ListedRow]:
        """Yield the items with the rows that are reported: while tags change, the attachment that has the old ones."""
        for item, rows in self._with_tokens():
            yield item, shown_row_of_id(rows)

    def _with_tokens(self) -> Iterator[tuple[Listed, Sequence[Known]]]:
        reader = find_reader(self.ledger)
        if reader is None:
            yield from ((item, ()) for item in self.listed)
            return
        with reader:
            for start in range(0, len(self.listed), ROWS_A_QUERY):
                some = self.listed[start : start + ROWS_A_QUERY]
                known = reader.known_of_ids(self.batch, [item.item_id for item in some])
                rows: defaultdict[str, list[Known]] = defaultdict(list)
                for row in with_retries_counted(known, known):
                    rows[row.item_id].append(row)
                yield from ((item, rows.get(item.item_id, ())) for item in some)

    def stock(self) -> Stock:
        """Count the items by state, all at one moment."""
        ids = (item.item_id for item in self.listed)
        reader = find_reader(self.ledger)
        if reader is None:
            return Stock(+Counter({State.PENDING: len(self.listed)}), ())
        with reader:
            return reader.stock(self.batch, ids, ())


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A manifest, and what its ledger holds."""

    manifest: Manifest
    settings: Settings
    rows: ItemRows
    lane: Lane | None
    last_run: RunRecord | None
    create_rate: float
    """Creates a second to expect: as earlier runs learned it, else the rate that a run begins with."""
    unmatched: Sequence[Problem] = ()
    """Why `upload` sends nothing: globs of the manifest that match no file."""
    gone: int = 0
    """How many of the items the manifest no longer lists, because a glob matches no file any more."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty if it does not."""

    @property
    def selection(self) -> Selection:
        """What `--only` chooses."""
        return Selection(self.settings.only_states, self.settings.only_ids)

    def is_listed(self, place: int) -> bool:
        """Whether the manifest lists the item at this place of `rows`; those that it lists no longer come last."""
        return place < len(self.rows) - self.gone


def view_ledger(path: Path, options: RunOptions) -> LedgerView:
    """Read the manifest, without its files, and the ledger. Blocking.

    Raises ManifestInvalid, LedgerUnusable and UsageError.
    """
    manifest, listed, unmatched = list_items_and_unmatched(
        path, allow_outside=options.allow_outside, targets=options.targets
    )
    settings = settings_of(
        options, manifest=path, ledger=manifest.ledger, target=manifest.target, targets=manifest.targets
    )
    now = datetime.now(UTC)
    reader = find_reader(settings.ledger)
    if reader is None:
        if unmatched:
            raise invalid(path, unmatched)
        rows = ItemRows(listed, settings.ledger, manifest.batch)
        return LedgerView(manifest, settings, rows, None, None, expected_create_rate(settings, (), now=now))
    with reader:
        gone = no_longer_matched(reader, manifest, listed) if unmatched else ()
        rows = ItemRows((*listed, *gone), settings.ledger, manifest.batch)
        runs = reader.runs(manifest.batch, limit=RUNS_LOOKED_AT)
        rate = expected_create_rate(settings, reader.rates(), now=now)
        last_run = runs[0] if runs else None
        return LedgerView(
            manifest, settings, rows, reader.lane(), last_run, rate, unmatched, len(gone), refusal_of(runs)
        )


def no_longer_matched(reader: LedgerReader, manifest: Manifest, listed: Sequence[Listed]) -> tuple[Listed, ...]:
    """Return the batch's items in the ledger that the manifest does not list: files that no glob matches any more."""
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


def refusal_of(runs: Sequence[RunRecord]) -> str:
    """Return why `upload` refuses the ledger of these runs, which come latest first; empty if it does not.

    The latest run that reached the service decides. `reconcile` adds to such a ledger what it does not know.
    """
    reached = next((run for run in runs if run.exit_code in ANSWERED), None)
    reason = ((reached.summary or {}).get("exit", {}).get("reason") if reached else None) or ""
    is_refused = reached is not None and reached.exit_code == ExitCode.DISAGREEMENT and OLD_COPY in reason
    return str(reason) if is_refused else ""


def summary_of_view(found: LedgerView, verb: str, *, started: float, ending: Exit | None = None) -> Summary:
    """Return the summary of a verb that only reads the ledger. `started` is a moment of `counting_s()`."""
    return lane_summary(
        verb,
        found.lane,
        found.rows.stock().states,
        batch=found.manifest.batch,
        items=len(found.rows),
        started=started,
        ending=ending,
        run_id=found.last_run.run_id if found.last_run else None,
    )


def holder(ledger: Path) -> Note | None:
    """Return the process that holds the ledger now; None if there is none or that cannot be read."""
    try:
        return holder_of(ledger)
    except OSError:
        return None


def check_lane(ledger: Lane | None, asked: Lane | None, settings: Settings) -> None:
    """Raise LedgerOfAnotherLane if a ledger that is only read belongs to another lane than the one asked."""
    if ledger is not None and asked is not None and ledger != asked:
        raise LedgerOfAnotherLane(
            f"`{settings.ledger}` belongs to account {ledger.account} in {ledger.region},"
            f" these credentials are of account {asked.account} in {asked.region}",
            hint="`--ledger PATH` names another, `--profile` and `--region` choose the account",
        )


def unplanned(prepared: Prepared, known: Sequence[Known]) -> tuple[Known | None, ...]:
    """Return the ledger's rows of files that cannot be sent, then of items that no glob matches any more.

    None for a file that the ledger does not know.
    """
    rows: defaultdict[str, list[Known]] = defaultdict(list)
    for row in known:
        rows[row.item_id].append(row)
    ids = [listed.item_id for listed, _ in prepared.unread]
    if prepared.unmatched:
        listed = {*ids, *(item.item_id for item in prepared.items)}
        ids += [row.item_id for row in known if row.current and row.item_id not in listed]
    return tuple(shown_row_of_id(rows.get(item_id, ())) for item_id in ids)
