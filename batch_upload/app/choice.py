"""What `--only` chooses of a manifest, and a manifest that is read to be sent: only the chosen is looked into."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from batch_upload.app.items import invalid, read_whole
from batch_upload.app.lanes import lane_readers
from batch_upload.app.sendable import Choice, Prepared
from batch_upload.errors import UsageError
from batch_upload.model import Item, Listed, Manifest, State
from batch_upload.settings import RunOptions, Settings
from batch_upload.spelling import id_hint
from batch_upload.targets import Target


def ready_to_send(
    path: Path, options: RunOptions, *, on_manifest: Callable[[Manifest, Settings], None] = lambda *_: None
) -> tuple[Prepared, Settings]:
    """As `items.ready`, but for `--only` and `--skip-invalid`: for a verb that sends.

    Only the files of what `--only` chooses are looked into. Raises ManifestInvalid for a problem of the manifest
    itself, and for one of what is chosen unless `skip_invalid` is set.
    """
    prepared, settings = read_whole(path, options, on_manifest, choose=choice_of, skips_invalid=options.skip_invalid)
    if prepared.problems and not options.skip_invalid:
        is_skippable = bool(prepared.items)
        raise invalid(path, prepared.problems, is_strict=options.strict, is_skippable=is_skippable)
    return prepared, settings


def ready_to_plan(path: Path, options: RunOptions) -> tuple[Prepared, Settings]:
    """As `ready_to_send`, for a verb that writes no ledger: problems of entries and files are noted, not raised."""
    prepared, settings = read_whole(path, options, choose=choice_of, skips_invalid=options.skip_invalid)
    return replace(prepared, fresh={}), settings


def choice_of(manifest: Manifest, settings: Settings, targets: Sequence[Target] = ()) -> Choice | None:
    """Return what `--only` chooses in these lanes, all of the manifest's unless given; None without `--only`.

    For states the ledger is read. Blocking. Raises LedgerUnusable.
    """
    if not settings.only_states:
        return Choice(settings.only_ids, frozenset()) if settings.only_ids else None
    held: dict[str | None, Mapping[str, set[State]]] = {}
    with lane_readers(settings.ledger) as reader_of:
        for target in targets or manifest.targets or (manifest.target,):
            states: defaultdict[str, set[State]] = defaultdict(set)
            reader = reader_of(target)
            for row in () if reader is None else reader.known(manifest.batch):
                states[row.item_id].add(row.state)
            held[target.label] = states
    return Choice(settings.only_ids, settings.only_states, held)


def check_only(settings: Settings, prepared: Prepared) -> None:
    """Raise UsageError if `--only` names neither a state nor an id of the manifest, perhaps of one lane.

    A file that is left for a later run is in the manifest, and there is nothing to do for it.
    """
    listed: list[Item | Listed] = [*prepared.items, *(listed for listed, _ in prepared.unread), *prepared.unchosen]
    listed += (each.listed for each in prepared.young)
    ids = {each.item_id for each in listed}
    for strange in sorted(settings.only_ids - ids):
        lane = _lane_of_only(strange, prepared.manifest.targets)
        if lane is None:
            raise unknown_only(strange, ids)
        target, item_id = lane
        of_lane = {each.item_id for each in listed if each.lane_label == target.label}
        if item_id not in of_lane:
            raise UsageError(
                f"`--only {strange}`: the manifest lists no `{item_id}` for `{target.label}`",
                hint=id_hint(item_id, of_lane) or "`--target` must choose the lane, too",
            )


def _lane_of_only(word: str, targets: Sequence[Target]) -> tuple[Target, str] | None:
    """Return the lane and the id of `acme/us-east-1:ID`, or None for another text."""
    label, colon, item_id = word.partition(":")
    target = next((each for each in targets if each.label == label), None) if colon else None
    return None if target is None else (target, item_id)


def unknown_only(item_id: str, ids: Iterable[str], *, what: str = "manifest") -> UsageError:
    """Return the error of an `--only` that names neither a state nor one of the ids. `what` has them."""
    return UsageError(
        f"`--only {item_id}` is neither a state nor an id of the {what}",
        hint=id_hint(item_id, ids)
        or "states are `failed`, `pending`, `parked`, `unknown`, `sending`, `processing`, `binding`, `invalid` and"
        " `complete`",
    )
