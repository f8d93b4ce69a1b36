"""A ledger in place of a manifest: its lanes and batches, listed from the ledger alone.

Every item that the ledger has is listed once for its lane and batch, with its current token. Items that no run has
recorded are not known, and no file is looked at.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from batch_upload.app.items import empty_shard
from batch_upload.errors import LedgerUnusable, UsageError
from batch_upload.ledger import find_reader
from batch_upload.ledger_address import LedgerAddress, PostgresUrl
from batch_upload.model import Known, Lane, Listed, Manifest, Position
from batch_upload.ports import LedgerReader
from batch_upload.settings import NO_MANIFEST, RunOptions, Settings, settings_of
from batch_upload.targets import Target, ids_in_lane

NOT_READ = "the manifest was not read"
"""Why less is known of an item than with its manifest."""


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """One batch of one lane of a ledger.

    `manifest` replaces the one that was not read: its path is the ledger's if that is a file, it lists nothing, and its
    batch is empty where the ledger has none. `reader` is of the lane, and open as long as `ledger_parts`.
    """

    manifest: Manifest
    target: Target
    settings: Settings
    lane: Lane | None
    """None if no run has reached a lane."""
    reader: LedgerReader

    @property
    def batch(self) -> str | None:
        """The name of the batch, None if there is none."""
        return self.manifest.batch or None


def refuse_batch(manifest: Path, options: RunOptions) -> None:
    """Raise UsageError for `--batch` with a manifest."""
    if options.batch is not None:
        message = f"`--batch` chooses in a ledger, and `{manifest}` is a manifest, which is of one batch"
        raise UsageError(message, hint="leave `--batch` out, or name the ledger")


@contextmanager
def ledger_parts(ledger: LedgerAddress, options: RunOptions) -> Iterator[tuple[LedgerPart, ...]]:
    """Yield the batches of every lane of a ledger, at least one part, in the order of their names.

    A lane is named by the target that was pinned to it last, else by account and Region; `--target` chooses some. A
    ledger with one lane and no targets has a part without a label. `batch` of the options chooses one. All is read at
    one moment. Blocking. Raises LedgerUnusable, and UsageError for options that need the manifest, and for a batch that
    the ledger does not have.
    """
    settings = _settings(ledger, options)
    reader = find_reader(ledger)
    if reader is None:
        raise LedgerUnusable(
            f"`{ledger}` is empty: no run has recorded anything in it",
            hint="name the manifest, which lists what there is to do",
        )
    path = NO_MANIFEST if isinstance(ledger, PostgresUrl) else ledger
    with reader, reader.moment():
        labels = {lane: label for label, lane in reader.lanes()}  # of several labels the last
        lanes: list[tuple[Lane | None, Target]] = [(lane, _target(lane, label)) for lane, label in labels.items()]
        if list(labels.values()) in ([], [None]):
            lanes = [(lane, Target(lane.region, lane.account)) for lane in labels] or [(None, Target())]
        lanes.sort(key=lambda each: each[1].label or "")
        named = tuple(target for _, target in lanes if target.label is not None)
        chosen = {target.label for target in options.lanes.of(named, what="ledger")}
        if named and not chosen:
            raise empty_shard(path, options.lanes, named)
        readers = [(lane, target, reader.of(lane)) for lane, target in lanes if not named or target.label in chosen]
        batches = {of_lane: of_lane.batches() or [""] for _, _, of_lane in readers}
        if options.batch is not None and not any(options.batch in found for found in batches.values()):
            names = sorted({name for found in batches.values() for name in found if name})
            there = ", ".join(f"`{name}`" for name in names) or "none"
            raise UsageError(f"`{ledger}` has no batch `{options.batch}`", hint=f"it has {there}")
        yield tuple(
            LedgerPart(
                Manifest(path, path.resolve().parent, batch, (), ledger=str(ledger), target=target, targets=named),
                target,
                replace(
                    settings,
                    lane_label=target.label,
                    only_ids=ids_in_lane(options.only_ids, target),
                ),
                lane,
                of_lane,
            )
            for lane, target, of_lane in readers
            for batch in batches[of_lane]
            if options.batch is None or batch == options.batch
        )


def current_rows(known: Sequence[Known]) -> list[Known]:
    """Return the current row of each id, in the order in which the ids were first enlisted. `known`: oldest first."""
    rows: dict[str, Known] = {}
    for row in known:
        if row.current or row.item_id not in rows:
            rows[row.item_id] = row
    return [row for row in rows.values() if row.current]


def listed_of_row(row: Known, manifest: Manifest, *, folder: Path | None, label: str | None) -> Listed:
    """Return a row of the ledger as a manifest would list it. `folder` is its file's; None if no file is looked at."""
    return Listed(
        batch=manifest.batch,
        item_id=row.item_id,
        source=row.source or row.item_id,
        folder=folder,
        tags=row.tags,
        generation=row.generation,
        max_size_bytes=manifest.max_size_bytes,
        identity_tag=row.identity_tag,
        at=Position(0, 0),
        lane_label=label,
        bind=row.bind,
    )


def _target(lane: Lane, label: str | None) -> Target:
    name = lane.account if label is None else label.removesuffix(f"/{lane.region}")
    return Target(lane.region, lane.account, name=name)


def _settings(ledger: LedgerAddress, options: RunOptions) -> Settings:
    if options.ledger is not None and not _are_same(options.ledger, ledger):
        raise UsageError(
            f"`--ledger {options.ledger}` and the ledger `{ledger}` are both given", hint="name one of them"
        )
    needy = next((flag for flag, is_set in (("--local", options.local), ("--rehash", options.rehash)) if is_set), None)
    if needy is not None:
        raise manifest_needed(ledger, needy)
    manifest = NO_MANIFEST if isinstance(ledger, PostgresUrl) else ledger
    return settings_of(replace(options, ledger=ledger), manifest=manifest)


def _are_same(one: LedgerAddress, other: LedgerAddress) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.absolute() == other.absolute()
    return str(one) == str(other)


def manifest_needed(ledger: LedgerAddress, flag: str) -> UsageError:
    """Return the error of a flag that needs the manifest in whose place a ledger was named."""
    return UsageError(
        f"`{flag}` needs the manifest, and `{ledger}` is a ledger", hint=f"name the manifest, or leave `{flag}` out"
    )
