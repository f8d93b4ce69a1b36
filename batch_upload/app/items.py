"""From a manifest's path to items, or to all its problems. Nothing is sent, no ledger is written."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from batch_upload.app.looks import Looked, Made, Memory, Sound, look_into_listed, remembered
from batch_upload.app.sendable import BindPlace, Choice, Prepared, by_lane, item_of_listed, sorted_out
from batch_upload.document import Document, RememberedDigest
from batch_upload.documents.inspect import examine
from batch_upload.documents.look import Recall, recall_nothing
from batch_upload.documents.refusals import Refusal, RefusalCode
from batch_upload.errors import EmptyShard, ManifestInvalid
from batch_upload.form import limiting_form
from batch_upload.ledger_address import LedgerAddress
from batch_upload.manifest.globs import GlobFindings
from batch_upload.manifest.problems import Invalid, in_file_order
from batch_upload.manifest.reader import list_manifest
from batch_upload.model import Item, Listed, Manifest, Problem
from batch_upload.registration import Bind
from batch_upload.settings import RunOptions, Settings, settings_of, settings_of_lane
from batch_upload.targets import ALL_LANES, LaneChoice, Target, ids_in_lane
from batch_upload.token import client_token
from batch_upload.words import count_words


@dataclass(frozen=True, slots=True)
class LanePart:
    """What one lane gets of a manifest: the lane as the manifest names it, its items, and the settings of its run."""

    target: Target
    prepared: Prepared
    settings: Settings

    @property
    def binds(self) -> Iterator[Bind]:
        """The fields that its attachments are bound to, also those of attachments that are not chosen."""
        unread = (each for each, _ in self.prepared.unread)
        listed: tuple[Item | Listed, ...] = (*self.prepared.items, *self.prepared.unchosen, *unread)
        return (each.bind for each in listed if each.bind is not None)


def lane_parts(prepared: Prepared, settings: Settings) -> tuple[LanePart, ...]:
    """Part a manifest by its lanes, in the manifest's order. `settings` are those of the whole run.

    A manifest without `targets` is one part. Otherwise `settings.lanes` chooses lanes, and the settings of a part
    have the ids of `--only` that are of its lane; a lane of which only ids are chosen, and none, is left out. Digests
    to be remembered stay with the whole.
    """
    manifest = prepared.manifest
    if not manifest.targets:
        return (LanePart(manifest.target, prepared, settings),)
    items = by_lane(prepared.items, lambda item: item.lane_label)
    unread = by_lane(prepared.unread, lambda pair: pair[0].lane_label)
    unchosen = by_lane(prepared.unchosen, lambda listed: listed.lane_label)
    young = by_lane(prepared.young, lambda each: each.listed.lane_label)
    parts = []
    for target in settings.lanes.of(manifest.targets):
        own = replace(
            prepared,
            items=tuple(items[target.label]),
            fresh={},
            unread=tuple(unread[target.label]),
            unchosen=tuple(unchosen[target.label]),
            young=tuple(young[target.label]),
        )
        only = settings.only_ids
        if only:
            ids = {item.item_id for item in own.items} | {listed.item_id for listed, _ in own.unread}
            only = ids_in_lane(only, target) & ids
            if not only and not settings.only_states:
                continue  # empty it would choose everything
        parts.append(LanePart(target, own, replace(settings_of_lane(settings, target), only_ids=only)))
    return tuple(parts)


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
    prepared, settings = read_whole(path, options, on_manifest)
    if prepared.problems:
        raise invalid(path, prepared.problems)
    return prepared, settings


def ready_to_read(path: Path, options: RunOptions) -> tuple[Prepared, Settings]:
    """As `ready`, for a verb that writes no ledger: no digests are kept to be remembered.

    Raises UsageError; and ManifestInvalid if a problem is the manifest's own, neither of an entry nor of a file.
    """
    prepared, settings = read_whole(path, options)
    return replace(prepared, fresh={}), settings


def settings_of_manifest(options: RunOptions, manifest: Manifest) -> Settings:
    """Return the options completed by a manifest that was read. Raises UsageError as `settings_of`."""
    targets = manifest.targets if manifest.are_targets_whole else None
    return settings_of(options, manifest=manifest.path, ledger=manifest.ledger, target=manifest.target, targets=targets)


def read_whole(
    path: Path,
    options: RunOptions,
    on_manifest: Callable[[Manifest, Settings], None] = lambda *_: None,
    *,
    choose: Callable[[Manifest, Settings], Choice | None] = lambda *_: None,
    skips_invalid: bool = False,
) -> tuple[Prepared, Settings]:
    """Read a manifest and its files, and note what cannot be sent. `on_manifest` is as for `ready`.

    `choose` makes what chooses among the attachments; None for all of them. Raises ManifestInvalid for a problem of the
    manifest itself, with all others, and UsageError as `settings_of`.
    """
    choices: list[Choice | None] = []
    unchosen: list[Listed] = []

    def chosen(manifest: Manifest, listed: Iterator[Listed]) -> Iterator[Listed]:
        choice = choose(manifest, settings_of_manifest(options, manifest))
        choices.append(choice)
        return listed if choice is None else only_chosen(listed, choice, unchosen)

    @contextmanager
    def memory(manifest: Manifest) -> Iterator[Recall]:
        settings = settings_of_manifest(options, manifest)
        on_manifest(manifest, settings)
        with remembered(settings) as recall:
            yield recall

    fresh: dict[str, RememberedDigest] = {}
    bind_places: dict[tuple[str | None, str], BindPlace] = {}
    of_entries = Invalid()
    looked = look_into_files(
        path,
        lambda found: items_of(found, bind_places),
        allow_outside=options.allow_outside,
        is_strict=options.strict,
        lanes=options.lanes,
        fresh=fresh,
        memory=memory,
        chosen=chosen,
        of_entries=of_entries,
    )
    if of_entries.of_manifest(looked.problems):
        raise invalid(path, looked.all_problems, is_strict=options.strict)
    prepared = sorted_out(
        looked,
        of_entries,
        fresh,
        choice=choices[0],
        unchosen=unchosen,
        skips_invalid=skips_invalid,
        bind_places=bind_places,
    )
    return prepared, settings_of_manifest(options, looked.manifest)


def only_chosen(listed: Iterable[Listed], choice: Choice, unchosen: list[Listed]) -> Iterator[Listed]:
    """Yield what is to be looked at, and add the rest to `unchosen`."""
    for each in listed:
        if choice.looks_at(each):
            yield each
        else:
            unchosen.append(each)


def ready_part(
    manifest: Manifest,
    target: Target,
    listed: Sequence[Listed],
    settings: Settings,
    of_entries: Invalid,
    choice: Choice | None,
) -> LanePart:
    """Look into the files of one lane, as `ready_to_send` does for all. Blocking.

    `listed` are its attachments, `settings` the lane's; `of_entries` is of the whole manifest. Raises ManifestInvalid.
    """
    fresh: dict[str, RememberedDigest] = {}
    unchosen: list[Listed] = []
    bind_places: dict[tuple[str | None, str], BindPlace] = {}
    of_lane = replace(of_entries, refused=[each for each in of_entries.refused if each[0].lane_label == target.label])
    looked = look_into_listed(
        manifest,
        iter(listed) if choice is None else only_chosen(listed, choice, unchosen),
        lambda found: items_of(found, bind_places),
        allow_outside=settings.allow_outside,
        is_strict=settings.strict,
        fresh=fresh,
        memory=lambda _: remembered(settings),
    )
    prepared = sorted_out(
        looked,
        of_lane,
        fresh,
        choice=choice,
        unchosen=unchosen,
        skips_invalid=settings.skip_invalid,
        bind_places=bind_places,
    )
    problems = prepared.problems
    if choice is None:  # also of a glob that matches nothing here: the coordinator has found its files
        problems = tuple(dict.fromkeys((*problems, *(problem for _, problem in of_lane.refused))))
    if problems and not settings.skip_invalid:
        is_skippable = bool(prepared.items)
        raise invalid(manifest.path, problems, is_strict=settings.strict, is_skippable=is_skippable)
    return LanePart(target, prepared, settings)


def look_into_files(
    path: Path,
    make: Callable[[Iterator[Sound]], Made],
    *,
    allow_outside: bool,
    is_strict: bool = False,
    lanes: LaneChoice = ALL_LANES,
    fresh: dict[str, RememberedDigest],
    memory: Memory = lambda _: nullcontext(recall_nothing),
    chosen: Callable[[Manifest, Iterator[Listed]], Iterator[Listed]] = lambda _, listed: listed,
    of_entries: Invalid | None = None,
) -> Looked[Made]:
    """Look into every file that a manifest lists; `make` gets the attachments without a problem, in order.

    `lanes` and `chosen` choose those whose files are looked into. A file that goes to several lanes is looked into
    once. `fresh` gets the digests of the files that were read, `of_entries` what has a problem by itself. `is_strict`:
    warnings are problems. A KeyboardInterrupt gets a note of what it interrupted. Raises ManifestInvalid if the
    manifest cannot be listed, and UsageError as `list_manifest`.
    """
    found: list[Looked[Made]] = []
    findings = GlobFindings()
    found_warnings: list[Problem] = []

    def take(manifest: Manifest, listed: Iterator[Listed]) -> None:
        looked = look_into_listed(
            manifest,
            chosen(manifest, listed),
            make,
            allow_outside=allow_outside,
            is_strict=is_strict,
            fresh=fresh,
            memory=memory,
        )
        found.append(looked)

    try:
        manifest, _, problems = _listed(
            path,
            allow_outside=allow_outside,
            lanes=lanes,
            take=take,
            findings=findings,
            of_entries=of_entries,
            warn=found_warnings.append,
        )
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"while reading `{path}` and its files; nothing was sent")
        raise
    looked = found[0]
    warnings = tuple(in_file_order([*found_warnings, *looked.warnings, *findings.warnings], str(path)))
    young = tuple(findings.young)
    if is_strict:
        return replace(looked, manifest=manifest, problems=(*problems, *looked.problems, *warnings), young=young)
    return replace(looked, manifest=manifest, problems=problems, warnings=warnings, young=young)


def list_items(
    path: Path, *, allow_outside: bool, lanes: LaneChoice = ALL_LANES
) -> tuple[Manifest, tuple[Listed, ...]]:
    """Read a manifest and expand it, without a look into its files. `lanes` chooses some.

    Raises ManifestInvalid with all its problems, and UsageError as `list_manifest`.
    """
    manifest, listed, problems = _listed(
        path, allow_outside=allow_outside, lanes=lanes, take=lambda _, listed: tuple(listed)
    )
    if problems:
        raise invalid(path, problems)
    return manifest, listed


def list_sendable(
    path: Path, *, allow_outside: bool, lanes: LaneChoice = ALL_LANES, findings: GlobFindings | None = None
) -> tuple[Manifest, tuple[Listed, ...], Sequence[Problem], Invalid]:
    """As `list_items`, but also return the problems of single entries in file order, and what cannot be sent by them.

    Raises ManifestInvalid with all problems if one is the manifest's own.
    """
    of_entries = Invalid()
    manifest, listed, problems = _listed(
        path,
        allow_outside=allow_outside,
        lanes=lanes,
        take=lambda _, listed: tuple(listed),
        of_entries=of_entries,
        findings=findings,
    )
    if of_entries.of_manifest(problems):
        raise invalid(path, problems)
    return manifest, listed, tuple(dict.fromkeys(problems)), of_entries


def _listed(
    path: Path,
    *,
    allow_outside: bool,
    lanes: LaneChoice,
    take: Callable[[Manifest, Iterator[Listed]], Made],
    findings: GlobFindings | None = None,
    of_entries: Invalid | None = None,
    warn: Callable[[Problem], None] = lambda _: None,
) -> tuple[Manifest, Made, Sequence[Problem]]:
    try:
        manifest, made, problems = list_manifest(
            path, allow_outside=allow_outside, lanes=lanes, take=take, findings=findings, invalid=of_entries, warn=warn
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


def invalid(
    path: Path, problems: Sequence[Problem], *, is_strict: bool = False, is_skippable: bool = False
) -> ManifestInvalid:
    """Return the error of these problems, sorted by their place in the manifest, then in each other file.

    `is_strict`: warnings are among them; `is_skippable`: there are items that `--skip-invalid` would send.
    """
    ordered = in_file_order(problems, str(path))
    return ManifestInvalid(
        f"{count_words(len(ordered), 'problem')} in `{path}`",
        problems=ordered,
        hint=f"`batch-upload validate {path}{' --strict' if is_strict else ''}` lists all of them"
        + ("; `--skip-invalid` goes on without them" if is_skippable else ""),
    )


def look_into(listed: Listed, settings: Settings, folder: Path) -> Item | Refusal:
    """Return the item with what is in its file now, or why that cannot be sent. `folder` is the manifest's.

    A URL is taken as it is.
    """
    if listed.path is None:
        return item_of(listed, None)
    root = None if settings.allow_outside else folder
    document = examine(
        listed.path,
        max_size_bytes=listed.max_size_bytes,
        root=root,
        source=listed.source,
        form=limiting_form(listed.form, listed.max_size_bytes),
    ).found
    return document if isinstance(document, Refusal) else item_of(listed, document)


def items_of(found: Iterator[Sound], bind_places: dict[tuple[str | None, str], BindPlace]) -> tuple[Item, ...]:
    """Make the items of listed attachments. `bind_places` gets the place of each `bind`."""
    items = []
    for listed, document in found:
        if listed.bind is not None:
            bind_places[listed.lane_label, listed.item_id] = listed.at_file, listed.bind_at or listed.at
        items.append(item_of(listed, document))
    return tuple(items)


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
    return item_of_listed(listed, token, document)
