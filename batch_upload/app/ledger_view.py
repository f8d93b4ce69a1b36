"""What the ledger holds for the items of a manifest, without a look into files; also while a run writes.

Where a ledger takes the place of the manifest, the items are those that it lists itself (`ledger_alone.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from batch_upload.app.exits import first_of, joint_batch, joint_summary, lane_summary, summary_of_lanes
from batch_upload.app.items import item_of
from batch_upload.app.lanes import ListedPart, lane_reader, listed_lanes
from batch_upload.app.ledger_alone import LedgerPart, current_rows, ledger_parts, listed_of_row
from batch_upload.app.looks import look_into_listed, remembered
from batch_upload.app.rates import expected_create_rate
from batch_upload.clock import counting_s
from batch_upload.engine.plan import Selection
from batch_upload.engine.rows import shown_row_of_id, state_of_row, with_retries_counted
from batch_upload.errors import OLD_COPY, ExitCode, LedgerOfAnotherLane
from batch_upload.ledger import ANSWERED, Note, holder_of
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Item, Known, Lane, Listed, Manifest, Problem, State
from batch_upload.ports import LedgerReader
from batch_upload.records import LaneHold, RunRecord, Stock
from batch_upload.settings import RunOptions, Settings
from batch_upload.summary import Exit, LaneSummary, Summary, reason_of_lanes
from batch_upload.targets import Target

ListedRow = tuple[Listed, Known | None]
RUNS_LOOKED_AT = 20
"""How many of the latest runs are searched for one that reached the service."""
OTHER_LANE_HINT = "give the other account a target of another name"
ROWS_A_QUERY = 500
"""How many items are looked up in one query."""


@dataclass(frozen=True, slots=True)
class ItemRows:
    """The items of a manifest with their current rows in the ledger; None for an item that has none.

    Each iteration reads the ledger again, ROWS_A_QUERY items at a time, and holds no more rows than theirs. The fault
    of a row that ended as UPLOAD_FAILED has the number of its retries.
    """

    listed: Sequence[Listed]
    ledger: LedgerAddress
    batch: str
    target: Target
    """The lane as the manifest names it."""

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
        with lane_reader(self.ledger, self.target) as reader:
            if reader is None:
                yield from ((item, ()) for item in self.listed)
                return
            for start in range(0, len(self.listed), ROWS_A_QUERY):
                some = self.listed[start : start + ROWS_A_QUERY]
                known = reader.known_of_ids(self.batch, [item.item_id for item in some])
                rows = rows_by_id(with_retries_counted(known, known))
                yield from ((item, rows.get(item.item_id, ())) for item in some)

    def stock(self) -> Stock:
        """Count the items by state, all at one moment."""
        ids = (item.item_id for item in self.listed)
        with lane_reader(self.ledger, self.target) as reader:
            if reader is None:
                return Stock(+Counter({State.PENDING: len(self.listed)}), ())
            return reader.stock(self.batch, ids, ())


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A lane of a manifest, and what the ledger holds of it."""

    manifest: Manifest
    target: Target
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
    is_ledger_alone: bool = False
    """Whether the manifest was not read: the items are those of the ledger, and `manifest` has only batch and lanes."""
    problems: Mapping[str, Problem] = field(default_factory=dict)
    """By id: why an item cannot be sent, by its entry; with `looked_into` also by its file."""
    entry_problems: Set[Problem] = frozenset()
    """Those of `problems` that entries have: what is known of their items may be wrong."""
    items: Mapping[str, Item] = field(default_factory=dict)
    """By id: with `looked_into` the items of which nothing was sent, with what is in their files."""

    @property
    def named(self) -> str:
        """What the user named: the manifest, or the ledger in its place."""
        return str(self.settings.ledger if self.is_ledger_alone else self.manifest.path)

    @property
    def selection(self) -> Selection:
        """What `--only` chooses."""
        return Selection(self.settings.only_states, self.settings.only_ids)

    def state_of(self, listed: Listed, known: Known | None) -> State:
        """Return the state of an item by its row: `invalid` if nothing of it was sent, and it cannot be."""
        return state_of_unread(known) if listed.item_id in self.problems else state_of_row(known)

    def states(self) -> Counter[State]:
        """Count the items by state."""
        known = tuple(each for each in self.rows.listed if each.item_id not in self.problems)
        states = Counter(replace(self.rows, listed=known).stock().states)
        invalid = replace(self.rows, listed=tuple(each for each in self.rows.listed if each.item_id in self.problems))
        told: set[str] = set()
        for listed, row in invalid.shown():
            states[self.state_of(listed, None if listed.item_id in told else row)] += 1
            told.add(listed.item_id)
        return +states

    def looked_into(self) -> "LedgerView":
        """Return the same with a look into the files of items of which the ledger has no row. Blocking."""
        if self.is_ledger_alone:
            return self
        unknown = [item for item, row in self.rows if row is None and item.item_id not in self.problems]
        looked = look_into_listed(
            self.manifest,
            iter(unknown),
            lambda found: {listed.item_id: item_of(listed, document) for listed, document in found},
            allow_outside=self.settings.allow_outside,
            fresh={},
            memory=lambda _: remembered(self.settings),
        )
        of_files = {listed.item_id: problem for listed, problem in looked.refused}
        return replace(self, problems={**self.problems, **of_files}, items=looked.made)

    def is_listed(self, place: int) -> bool:
        """Whether the manifest lists the item at this place of `rows`; those that it lists no longer come last."""
        return place < len(self.rows) - self.gone


def view_lanes(path: Path, options: RunOptions) -> tuple[LedgerView, ...]:
    """Read the manifest, without its files, and what the ledger holds of each of its lanes. Blocking.

    Raises ManifestInvalid, LedgerUnusable and UsageError.
    """
    with listed_lanes(path, options) as (manifest, unmatched, lanes):
        return tuple(_view_lane(manifest, part, reader, unmatched) for part, reader in lanes)


def view_ledger(ledger: LedgerAddress, options: RunOptions) -> tuple[LedgerView, ...]:
    """Read what a ledger holds, without a manifest: a view of each batch of each lane. Blocking.

    Raises LedgerUnusable, and UsageError as `ledger_parts`.
    """
    with ledger_parts(ledger, options) as parts:
        return tuple(_view_part(part) for part in parts)


def _view_part(part: LedgerPart) -> LedgerView:
    manifest, settings, reader, label = part.manifest, part.settings, part.reader, part.target.label
    rows = current_rows(reader.known(manifest.batch))
    runs = reader.runs(manifest.batch, limit=RUNS_LOOKED_AT)
    return LedgerView(
        manifest,
        part.target,
        settings,
        ItemRows(
            tuple(listed_of_row(row, manifest, folder=None, label=label) for row in rows),
            settings.ledger,
            manifest.batch,
            part.target,
        ),
        part.lane,
        runs[0] if runs else None,
        expected_create_rate(settings, reader.rates(), now=datetime.now(UTC)),
        refusal=refusal_of(runs),
        is_ledger_alone=True,
    )


def _view_lane(
    manifest: Manifest, part: ListedPart, reader: LedgerReader | None, unmatched: Sequence[Problem]
) -> LedgerView:
    now, settings, batch = datetime.now(UTC), part.settings, manifest.batch
    problems = {listed.item_id: problem for listed, problem in part.invalid}
    listed = part.listed
    if part.invalid:
        listed = tuple(sorted((*listed, *(each for each, _ in part.invalid)), key=lambda each: each.at))
    if reader is None:
        rows = ItemRows(listed, settings.ledger, batch, part.target)
        rate = expected_create_rate(settings, (), now=now)
        return LedgerView(manifest, part.target, settings, rows, None, None, rate, unmatched)
    gone = no_longer_matched(reader, manifest, part) if unmatched else ()
    runs = reader.runs(batch, limit=RUNS_LOOKED_AT)
    return LedgerView(
        manifest,
        part.target,
        settings,
        ItemRows((*listed, *gone), settings.ledger, batch, part.target),
        reader.lane(),
        runs[0] if runs else None,
        expected_create_rate(settings, reader.rates(), now=now),
        unmatched,
        len(gone),
        refusal_of(runs),
        problems=problems,
        entry_problems=frozenset(problems.values()),
    )


def no_longer_matched(reader: LedgerReader, manifest: Manifest, part: ListedPart) -> tuple[Listed, ...]:
    """Return a lane's items in the ledger that the manifest does not list: files that no glob matches any more."""
    ids = {item.item_id for item in (*part.listed, *(listed for listed, _ in part.invalid))}
    return tuple(
        listed_of_row(row, manifest, folder=manifest.folder, label=part.target.label)
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


def pin_refusal(pinned: Lane | None, target: Target) -> str:
    """Return why `upload` refuses a target that the ledger has as another lane; empty if it does not."""
    if pinned is None or target.label is None or (pinned.account, pinned.region) == (target.account, target.region):
        return ""
    return f"`{target.label}` is {pinned} in it, and {target.account}/{target.region} in the manifest"


def last_run_of(runs: Sequence[RunRecord]) -> RunRecord | None:
    """Return the latest of the last runs of several lanes, with the exit code that wins among its lanes.

    It has no end as long as one of its lanes has none.
    """
    latest = max(runs, key=lambda run: run.began_at, default=None)
    if latest is None:
        return None
    parts = [run for run in runs if run.run_id == latest.run_id]
    began_at, codes = min(run.began_at for run in parts), [run.exit_code for run in parts]
    ends = [run.ended_at for run in parts if run.ended_at is not None]
    exits = [Exit(ExitCode(code), "") for code in codes if code is not None]
    if len(ends) < len(parts) or len(exits) < len(parts):
        return replace(latest, began_at=began_at, ended_at=None, exit_code=None, summary=None)
    reason = reason_of_lanes([LaneSummary(None, None, None, each) for each in exits])
    code = first_of({each.code for each in exits})
    return replace(latest, began_at=began_at, ended_at=max(ends), exit_code=code, summary={"exit": {"reason": reason}})


def summary_of_views(
    lanes: Sequence[LedgerView],
    verb: str,
    *,
    started: float,
    ending: Exit | None = None,
    states: Sequence[Mapping[State, int]] | None = None,
) -> Summary:
    """Return the summary of a verb that only reads the ledger. `started` is a moment of `counting_s()`.

    `states`: of each lane the items by state, where the caller has counted them already.
    """
    counted = [found.states() for found in lanes] if states is None else states
    summaries = [
        (
            found.target,
            lane_summary(
                verb,
                found.lane,
                of_lane,
                batch=found.manifest.batch or None,
                items=len(found.rows),
                started=started,
                ending=ending,
            ),
        )
        for found, of_lane in zip(lanes, counted, strict=True)
    ]
    elapsed_s = counting_s() - started
    if len({found.named for found in lanes}) > 1:
        batch = joint_batch(summary.batch for _, summary in summaries)
        return summary_of_lanes(verb, summaries, batch=batch, elapsed_s=elapsed_s)
    last_run = last_run_of([found.last_run for found in lanes if found.last_run is not None])
    run_id = last_run.run_id if last_run else None
    return joint_summary(verb, summaries, elapsed_s=elapsed_s, run_id=run_id)


def hold_of(reader: LedgerReader) -> LaneHold | None:
    """Return who holds the lane of a reader, or held it last, where several hosts share the ledger."""
    holds = reader.holds()
    lane = reader.lane() if holds else None
    return next((each for each in holds if each.lane == lane), None)


def holder(ledger: LedgerAddress, holds: Iterable[LaneHold] = ()) -> Note | None:
    """Return the process that holds the ledger now; None if there is none or that cannot be read.

    Of a database it is the first that holds one of the lanes of `holds`.
    """
    if isinstance(ledger, PostgresUrl):
        held = next((each for each in holds if each.is_held), None)
        since = None if held is None or held.since is None else held.since.isoformat()
        return None if held is None else Note(held.pid, held.host, since, held.run_id)
    try:
        return holder_of(ledger)
    except OSError:
        return None


def check_lane(ledger: Lane | None, asked: Lane | None, settings: Settings) -> None:
    """Raise LedgerOfAnotherLane if a ledger that is only read belongs to another lane than the one asked."""
    if ledger is None or asked is None or ledger == asked:
        return
    if settings.lane_label is not None:
        raise LedgerOfAnotherLane(
            f"`{settings.lane_label}` is {ledger} in `{settings.ledger}`, its credentials are of {asked}",
            hint=OTHER_LANE_HINT,
        )
    raise LedgerOfAnotherLane(
        f"`{settings.ledger}` belongs to account {ledger.account} in {ledger.region},"
        f" these credentials are of account {asked.account} in {asked.region}",
        hint="`--ledger PATH` names another, `--profile` and `--region` choose the account",
    )


def rows_by_id(known: Sequence[Known]) -> Mapping[str, Sequence[Known]]:
    """Return rows by the id that they are of."""
    rows: defaultdict[str, list[Known]] = defaultdict(list)
    for row in known:
        rows[row.item_id].append(row)
    return rows


def rows_of_listed(listed: Sequence[Listed], known: Sequence[Known]) -> list[Known | None]:
    """Return the row that is shown of each attachment; None for what the ledger does not know.

    Of an id that is listed twice only the first has the row: the attachment is that of one of them at most.
    """
    rows = dict(rows_by_id(known))
    return [None if each.is_entry else shown_row_of_id(rows.pop(each.item_id, ())) for each in listed]


def state_of_unread(row: Known | None) -> State:
    """Return the state of an attachment that cannot be sent, to a verb that only reads: what the ledger has of it.

    As long as nothing of it was sent, it is `invalid`.
    """
    return State.INVALID if row is None or row.state is State.PENDING else row.state
