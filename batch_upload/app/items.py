"""From a manifest's path to items, or to all its problems. Nothing is sent, no ledger is written."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_upload.app.looks import Looked, Made, Memory, Sound, look_into_listed, remembered
from batch_upload.document import Document, RememberedDigest, YoungFile
from batch_upload.documents.inspect import inspect
from batch_upload.documents.look import Recall, Recent, recall_nothing
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.errors import EmptyShard, ManifestInvalid, UsageError
from batch_upload.form import limiting_form
from batch_upload.ledger_address import LedgerAddress
from batch_upload.manifest.globs import GlobFindings
from batch_upload.manifest.problems import Code
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import Item, Listed, Manifest, Problem
from batch_upload.settings import RunOptions, Settings, settings_of, settings_of_lane
from batch_upload.spelling import id_hint
from batch_upload.targets import ALL_LANES, LaneChoice, Target, ids_in_lane
from batch_upload.token import client_token
from batch_upload.words import count_words

UNMATCHED = frozenset({Code.NO_MATCH, Code.FOLDER_UNREADABLE})
"""Problems of a glob that hide files which a ledger may know."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A manifest and all its files, read.

    `fresh`: digests that were read and may be remembered, by resolved path. For a verb that only reads, `unmatched` are
    the problems of globs that match no file, and `unread` the attachments that cannot be sent.
    """

    manifest: Manifest
    items: tuple[Item, ...]
    fresh: dict[str, RememberedDigest] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    unmatched: tuple[Problem, ...] = ()
    unread: tuple[tuple[Listed, Problem], ...] = ()
    young: tuple[YoungFile, ...] = ()
    """Matches of globs that are left for a later run: no items, and what was uploaded under their ids stays."""

    @property
    def young_ids(self) -> frozenset[str]:
        """The ids of the matches that are left for a later run."""
        return frozenset(each.listed.item_id for each in self.young)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why `upload` sends nothing. A file that goes to several lanes has a problem once."""
        return tuple(dict.fromkeys((*self.unmatched, *(problem for _, problem in self.unread))))


@dataclass(frozen=True, slots=True)
class LanePart:
    """What one lane gets of a manifest: the lane as the manifest names it, its items, and the settings of its run."""

    target: Target
    prepared: Prepared
    settings: Settings


def lane_parts(prepared: Prepared, settings: Settings) -> tuple[LanePart, ...]:
    """Part a manifest by its lanes, in the manifest's order. `settings` are those of the whole run.

    A manifest without `targets` is one part. Otherwise `settings.lanes` chooses lanes, and the settings of a part
    have the ids of `--only` that are of its lane; a lane of which only ids are chosen, and none, is left out. Digests
    to be remembered stay with the whole.
    """
    manifest = prepared.manifest
    if not manifest.targets:
        return (LanePart(manifest.target, prepared, settings),)
    items: dict[str | None, list[Item]] = {}
    for item in prepared.items:
        items.setdefault(item.lane_label, []).append(item)
    unread: dict[str | None, list[tuple[Listed, Problem]]] = {}
    for listed, problem in prepared.unread:
        unread.setdefault(listed.lane_label, []).append((listed, problem))
    young: dict[str | None, list[YoungFile]] = {}
    for each in prepared.young:
        young.setdefault(each.listed.lane_label, []).append(each)
    parts = []
    for target in settings.lanes.of(manifest.targets):
        own = tuple(items.get(target.label, ())), tuple(unread.get(target.label, ()))
        only = settings.only_ids
        if only:
            ids = {item.item_id for item in own[0]} | {listed.item_id for listed, _ in own[1]}
            only = ids_in_lane(only, target) & ids
            if not only and not settings.only_states:
                continue  # empty it would choose everything
        parts.append(
            LanePart(
                target,
                replace(prepared, items=own[0], fresh={}, unread=own[1], young=tuple(young.get(target.label, ()))),
                replace(settings_of_lane(settings, target), only_ids=only),
            )
        )
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest whose files were all read, and how many attachments it lists."""

    manifest: Manifest
    count: int
    warnings: tuple[Problem, ...] = ()
    young: tuple[YoungFile, ...] = ()


def missing_files(prepared: Prepared) -> list[str]:
    """Return the files of a manifest that do not exist, as it names them."""
    return [listed.source for listed, problem in prepared.unread if problem.code == RefusalCode.MISSING]


def ready(
    path: Path, options: RunOptions, *, on_manifest: Callable[[Manifest, Settings], None] = lambda *_: None
) -> tuple[Prepared, Settings]:
    """Return the manifest with all its files read, and the settings. Raises ManifestInvalid and UsageError.

    ManifestInvalid has all problems of manifest and files, in the manifest's order. Files that the ledger remembers as
    they are now are not read, unless `rehash` is set. `on_manifest` is called before the files are read, once the
    manifest itself is.
    """
    prepared, settings = _prepared(path, options, on_manifest)
    if prepared.problems:
        raise invalid(path, prepared.problems)
    return prepared, settings


def ready_to_read(path: Path, options: RunOptions) -> tuple[Prepared, Settings]:
    """As `ready`, for a verb that writes no ledger: no digests are kept to be remembered.

    Raises UsageError; and ManifestInvalid if a problem is neither of a file nor of a glob without a match.
    """
    prepared, settings = _prepared(path, options, lambda *_: None)
    return replace(prepared, fresh={}), settings


def settings_of_manifest(options: RunOptions, manifest: Manifest) -> Settings:
    """Return the options completed by a manifest that was read. Raises UsageError as `settings_of`."""
    targets = manifest.targets if manifest.are_targets_whole else None
    return settings_of(options, manifest=manifest.path, ledger=manifest.ledger, target=manifest.target, targets=targets)


def _prepared(
    path: Path, options: RunOptions, on_manifest: Callable[[Manifest, Settings], None]
) -> tuple[Prepared, Settings]:
    @contextmanager
    def memory(manifest: Manifest) -> Iterator[Recall]:
        settings = settings_of_manifest(options, manifest)
        on_manifest(manifest, settings)
        with remembered(settings) as recall:
            yield recall

    fresh: dict[str, RememberedDigest] = {}
    looked = look_into_files(
        path,
        lambda found: tuple(item_of(*each) for each in found),
        allow_outside=options.allow_outside,
        is_strict=options.strict,
        lanes=options.lanes,
        fresh=fresh,
        memory=memory,
    )
    prepared = Prepared(
        looked.manifest,
        looked.made,
        fresh,
        looked.warnings,
        tuple(looked.problems),
        tuple(looked.refused),
        looked.young,
    )
    if any(problem.code not in UNMATCHED for problem in looked.problems):
        raise invalid(path, prepared.problems)
    return prepared, settings_of_manifest(options, looked.manifest)


def ready_part(manifest: Manifest, target: Target, listed: Sequence[Listed], settings: Settings) -> LanePart:
    """Look into the files of one lane, as `ready` does for all. `listed` are its attachments, `settings` the lane's.

    Raises ManifestInvalid. Blocking.
    """
    fresh: dict[str, RememberedDigest] = {}
    looked = look_into_listed(
        manifest,
        iter(listed),
        lambda found: tuple(item_of(*each) for each in found),
        allow_outside=settings.allow_outside,
        is_strict=settings.strict,
        fresh=fresh,
        memory=lambda _: remembered(settings),
    )
    prepared = Prepared(manifest, looked.made, fresh, looked.warnings, tuple(looked.problems), tuple(looked.refused))
    if prepared.problems:
        raise invalid(manifest.path, prepared.problems)
    return LanePart(target, prepared, settings)


def check(path: Path, *, allow_outside: bool, lanes: LaneChoice = ALL_LANES, is_strict: bool = False) -> Checked:
    """Read a manifest and all its files, and hold only its ids, which must differ. `lanes` chooses some.

    Raises ManifestInvalid, and UsageError as `list_manifest`.
    """
    looked = look_into_files(
        path,
        lambda found: sum(1 for _ in found),
        allow_outside=allow_outside,
        is_strict=is_strict,
        lanes=lanes,
        fresh=Recent(),
    )
    if looked.problems or looked.refused:
        problems = dict.fromkeys((*looked.problems, *(problem for _, problem in looked.refused)))
        raise invalid(path, tuple(problems))
    return Checked(looked.manifest, looked.made, looked.warnings, looked.young)


def look_into_files(
    path: Path,
    make: Callable[[Iterator[Sound]], Made],
    *,
    allow_outside: bool,
    is_strict: bool = False,
    lanes: LaneChoice = ALL_LANES,
    fresh: dict[str, RememberedDigest],
    memory: Memory = lambda _: nullcontext(recall_nothing),
) -> Looked[Made]:
    """Look into every file that a manifest lists; `make` gets the attachments without a problem, in order.

    `lanes` chooses those whose files are looked into. A file that goes to several lanes is looked into once. `fresh`
    gets the digests of the files that were read. `is_strict`: warnings are problems. A
    KeyboardInterrupt gets a note of what it interrupted. Raises ManifestInvalid if the manifest cannot be listed, and
    UsageError as `list_manifest`.
    """
    found: list[Looked[Made]] = []
    findings = GlobFindings()

    def take(manifest: Manifest, listed: Iterator[Listed]) -> None:
        looked = look_into_listed(
            manifest, listed, make, allow_outside=allow_outside, is_strict=is_strict, fresh=fresh, memory=memory
        )
        found.append(looked)

    try:
        manifest, _, problems = _listed(path, allow_outside=allow_outside, lanes=lanes, take=take, findings=findings)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"while reading `{path}` and its files; nothing was sent")
        raise
    looked = found[0]
    warnings = tuple(sorted((*looked.warnings, *findings.warnings), key=lambda warning: warning.at))
    young = tuple(findings.young)
    if is_strict:
        return replace(looked, manifest=manifest, problems=(*problems, *looked.problems, *warnings), young=young)
    return replace(looked, manifest=manifest, problems=problems, warnings=warnings, young=young)


def check_only(settings: Settings, prepared: Prepared) -> None:
    """Raise UsageError if `--only` names neither a state nor an id of the manifest, perhaps of one lane."""
    listed: list[Item | Listed] = [*prepared.items, *(listed for listed, _ in prepared.unread)]
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
        or "states are `failed`, `pending`, `parked`, `unknown`, `sending`, `processing` and `complete`",
    )


def list_items(
    path: Path, *, allow_outside: bool, lanes: LaneChoice = ALL_LANES
) -> tuple[Manifest, tuple[Listed, ...]]:
    """Read a manifest and expand it, without a look into its files. `lanes` chooses some.

    Raises ManifestInvalid with all its problems, and UsageError as `list_manifest`.
    """
    manifest, listed, unmatched = list_items_and_unmatched(path, allow_outside=allow_outside, lanes=lanes)
    if unmatched:
        raise invalid(path, unmatched)
    return manifest, listed


def list_items_and_unmatched(
    path: Path, *, allow_outside: bool, lanes: LaneChoice = ALL_LANES, findings: GlobFindings | None = None
) -> tuple[Manifest, tuple[Listed, ...], tuple[Problem, ...]]:
    """As `list_items`, for a verb that only reads the ledger; also return the problem of each glob without a match.

    `findings` gets what globs find besides. Raises ManifestInvalid with all problems if there are others.
    """
    manifest, listed, problems = _listed(
        path, allow_outside=allow_outside, lanes=lanes, take=lambda _, listed: tuple(listed), findings=findings
    )
    if any(problem.code not in UNMATCHED for problem in problems):
        raise invalid(path, problems)
    return manifest, listed, tuple(problems)


def _listed(
    path: Path,
    *,
    allow_outside: bool,
    lanes: LaneChoice,
    take: Callable[[Manifest, Iterator[Listed]], Made],
    findings: GlobFindings | None,
) -> tuple[Manifest, Made, Sequence[Problem]]:
    try:
        manifest, made, problems = list_manifest(
            path, allow_outside=allow_outside, lanes=lanes, take=take, findings=findings
        )
    except ManifestInvalid as error:
        raise invalid(path, error.problems) from error
    if lanes.shard is not None and not problems and not lanes.of(manifest.targets):
        raise empty_shard(path, lanes, manifest.targets)
    return manifest, made, problems


def empty_shard(path: LedgerAddress, lanes: LaneChoice, targets: Sequence[Target]) -> EmptyShard:
    """Return the end of a verb whose shard has none of these targets. `path` is the manifest's, or the ledger's."""
    count = len(replace(lanes, shard=None).of(targets))
    return EmptyShard(f"shard {lanes.shard} has none of the {count_words(count, 'lane')} of `{path}`, nothing to do")


def invalid(path: Path, problems: Sequence[Problem]) -> ManifestInvalid:
    """Return the error of these problems, sorted by their place in the manifest; those of other files come last."""
    ordered = sorted(problems, key=lambda problem: (problem.file != str(path), problem.at))
    return ManifestInvalid(
        f"{count_words(len(ordered), 'problem')} in `{path}`",
        problems=ordered,
        hint=f"`batch-upload validate {path}` lists all of them",
    )


def look_into(listed: Listed, settings: Settings, folder: Path) -> Item | Refusal:
    """Return the item with what is in its file now, or why that cannot be sent. `folder` is the manifest's.

    A URL is taken as it is.
    """
    if listed.path is None:
        return item_of(listed, None)
    root = None if settings.allow_outside else folder
    document = inspect(
        listed.path,
        max_size_bytes=listed.max_size_bytes,
        root=root,
        source=listed.source,
        form=limiting_form(listed.form, listed.max_size_bytes),
    )
    return document if isinstance(document, Refusal) else item_of(listed, document)


def item_of(listed: Listed, document: Document | None) -> Item:
    """Make an item of a listed attachment and of what its file holds; `document` is None for a URL."""
    content = f"url:{listed.source}" if document is None else f"sha256:{document.sha256}"
    token = client_token(
        batch=listed.batch,
        item_id=listed.item_id,
        content=content,
        generation=listed.generation,
        tags=listed.tags,
    )
    return Item(
        batch=listed.batch,
        item_id=listed.item_id,
        source=listed.source,
        digest=None if document is None else bytes.fromhex(document.sha256),
        client_token=token,
        tags=listed.tags,
        generation=listed.generation,
        identity_tag=listed.identity_tag,
        folder=listed.folder,
        size_bytes=document.size_bytes if document else None,
        content_type=document.content_type if document else None,
        max_size_bytes=listed.max_size_bytes,
        lane_label=listed.lane_label,
    )
